//! A pattern as a few bytes: what shapes keep, and what automata are shared by.

use std::sync::Arc;

use crate::hir::{Class, Hir, Look};

const LOOKS: [Look; 6] =
    [Look::Start, Look::End, Look::StartLine, Look::EndLine, Look::Word, Look::NotWord];

/// Appends a number, seven bits to a byte.
pub(crate) fn put(code: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        code.push(number as u8 | 0x80);
        number >>= 7;
    }
    code.push(number as u8);
}

/// Appends bytes with their length before them.
pub(crate) fn put_bytes(code: &mut Vec<u8>, bytes: &[u8]) {
    put(code, bytes.len());
    code.extend_from_slice(bytes);
}

/// A pattern that is being written.
#[derive(Debug, Default)]
pub(super) struct Pack {
    pub(super) bytes: Vec<u8>,
    /// Where the classes so far are kept: one that comes again is a number.
    classes: Vec<usize>,
}

impl Pack {
    /// The whole of a pattern.
    pub(super) fn of(hir: &Hir) -> Vec<u8> {
        let mut pack = Self::default();
        pack.hir(hir);
        pack.bytes
    }

    /// Begins a sequence of `len` patterns that follow each other.
    pub(super) fn concat(&mut self, len: usize) {
        match len {
            0 => self.bytes.push(0),
            1 => {}
            _ => {
                self.bytes.push(5);
                put(&mut self.bytes, len);
            }
        }
    }

    /// Begins `node*`.
    pub(super) fn star(&mut self) {
        self.bytes.extend([7, 0, 0]);
    }

    /// Appends literal text, given as UTF-8.
    pub(super) fn literal(&mut self, text: &[u8]) {
        self.bytes.push(2);
        put_bytes(&mut self.bytes, text);
    }

    /// Appends a pattern.
    pub(super) fn hir(&mut self, hir: &Hir) {
        match hir {
            Hir::Empty => self.bytes.push(0),
            Hir::Nothing => self.bytes.push(1),
            Hir::Literal(text) => self.literal(text.as_bytes()),
            Hir::Class(class) => self.class(class),
            Hir::Look(look) => {
                let look = LOOKS.iter().position(|one| one == look).unwrap_or(0);
                self.bytes.extend([4, look as u8]);
            }
            Hir::Concat(items) => {
                self.concat(items.len());
                items.iter().for_each(|item| self.hir(item));
            }
            Hir::Alt(items) => {
                self.bytes.push(6);
                put(&mut self.bytes, items.len());
                items.iter().for_each(|item| self.hir(item));
            }
            Hir::Repeat { node, min, max } => {
                self.bytes.push(7);
                put(&mut self.bytes, *min as usize);
                put(&mut self.bytes, max.map_or(0, |max| max as usize + 1));
                self.hir(node);
            }
        }
    }

    fn class(&mut self, Class(members): &Class) {
        // A pattern keeps equal classes once, so the place tells which one it is.
        let place = members.as_ptr().addr();
        if let Some(number) = self.classes.iter().position(|&known| known == place) {
            self.bytes.push(8);
            return put(&mut self.bytes, number);
        }
        self.classes.push(place);
        self.bytes.push(3);
        put(&mut self.bytes, members.len());
        for &(first, last) in members.iter() {
            put(&mut self.bytes, first as usize);
            put(&mut self.bytes, last as usize - first as usize);
        }
    }
}

/// Reads numbers and bytes back.
pub(crate) struct Reader<'c> {
    pub(crate) rest: &'c [u8],
}

impl<'c> Reader<'c> {
    pub(super) fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        byte
    }

    pub(crate) fn number(&mut self) -> usize {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            number |= (byte as usize & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 || shift > 56 {
                return number;
            }
        }
    }

    pub(crate) fn bytes(&mut self) -> &'c [u8] {
        let len = self.number().min(self.rest.len());
        let (bytes, rest) = self.rest.split_at(len);
        self.rest = rest;
        bytes
    }
}

/// The pattern that [`Pack`] wrote.
pub(super) fn unpack(code: &[u8]) -> Hir {
    Unpack { reader: Reader { rest: code }, classes: Vec::new() }.hir()
}

struct Unpack<'c> {
    reader: Reader<'c>,
    classes: Vec<Class>,
}

impl Unpack<'_> {
    fn hir(&mut self) -> Hir {
        let Self { reader, .. } = self;
        match reader.byte() {
            0 => Hir::Empty,
            2 => Hir::Literal(String::from_utf8_lossy(reader.bytes()).into()),
            3 => {
                let len = reader.number();
                let char = |number: usize| char::from_u32(number as u32).unwrap_or(char::MAX);
                let members: Arc<[_]> = (0..len)
                    .map(|_| {
                        let first = reader.number();
                        (char(first), char(first + reader.number()))
                    })
                    .collect();
                self.classes.push(Class(members.clone()));
                Hir::Class(Class(members))
            }
            4 => Hir::Look(LOOKS.get(reader.byte() as usize).copied().unwrap_or(Look::Start)),
            5 => Hir::Concat(self.list()),
            6 => Hir::Alt(self.list()),
            7 => {
                let (min, max) = (reader.number() as u16, reader.number());
                let max = max.checked_sub(1).map(|max| max as u16);
                Hir::Repeat { node: Box::new(self.hir()), min, max }
            }
            8 => self.classes.get(reader.number()).cloned().map_or(Hir::Nothing, Hir::Class),
            _ => Hir::Nothing,
        }
    }

    fn list(&mut self) -> Vec<Hir> {
        let len = self.reader.number();
        (0..len).map(|_| self.hir()).collect()
    }
}
