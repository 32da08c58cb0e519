//! A pattern as a few bytes: what shapes keep, and what automata are shared by.

use std::sync::Arc;

use crate::hir::{Class, Hir, Look};

const LOOKS: [Look; 6] =
    [Look::Start, Look::End, Look::StartLine, Look::EndLine, Look::Word, Look::NotWord];

/// Appends a number, seven bits to a byte.
pub(super) fn put(code: &mut Vec<u8>, mut number: usize) {
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

/// Begins a sequence of `len` patterns that follow each other.
pub(super) fn concat(code: &mut Vec<u8>, len: usize) {
    match len {
        0 => code.push(0),
        1 => {}
        _ => {
            code.push(5);
            put(code, len);
        }
    }
}

/// Begins `node*`.
pub(super) fn star(code: &mut Vec<u8>) {
    code.extend([7, 0, 0]);
}

/// Appends a pattern.
pub(super) fn pack(code: &mut Vec<u8>, hir: &Hir) {
    match hir {
        Hir::Empty => code.push(0),
        Hir::Nothing => code.push(1),
        Hir::Literal(text) => literal(code, text.as_bytes()),
        Hir::Class(Class(members)) => {
            code.push(3);
            put(code, members.len());
            for &(first, last) in members.iter() {
                put(code, first as usize);
                put(code, last as usize - first as usize);
            }
        }
        Hir::Look(look) => {
            code.push(4);
            code.push(LOOKS.iter().position(|one| one == look).unwrap_or(0) as u8);
        }
        Hir::Concat(items) => {
            concat(code, items.len());
            items.iter().for_each(|item| pack(code, item));
        }
        Hir::Alt(items) => {
            code.push(6);
            put(code, items.len());
            items.iter().for_each(|item| pack(code, item));
        }
        Hir::Repeat { node, min, max } => {
            code.push(7);
            put(code, *min as usize);
            put(code, max.map_or(0, |max| max as usize + 1));
            pack(code, node);
        }
    }
}

/// Appends literal text, given as UTF-8.
pub(super) fn literal(code: &mut Vec<u8>, text: &[u8]) {
    code.push(2);
    put_bytes(code, text);
}

/// Reads what the functions above wrote.
pub(crate) struct Reader<'c> {
    pub(crate) rest: &'c [u8],
}

impl<'c> Reader<'c> {
    pub(super) fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        byte
    }

    pub(super) fn number(&mut self) -> usize {
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

    pub(super) fn hir(&mut self) -> Hir {
        match self.byte() {
            0 => Hir::Empty,
            2 => Hir::Literal(String::from_utf8_lossy(self.bytes()).into()),
            3 => {
                let len = self.number();
                let char = |number: usize| char::from_u32(number as u32).unwrap_or(char::MAX);
                let members: Arc<[_]> = (0..len)
                    .map(|_| {
                        let first = self.number();
                        (char(first), char(first + self.number()))
                    })
                    .collect();
                Hir::Class(Class(members))
            }
            4 => Hir::Look(LOOKS.get(self.byte() as usize).copied().unwrap_or(Look::Start)),
            5 => Hir::Concat(self.list()),
            6 => Hir::Alt(self.list()),
            7 => {
                let (min, max) = (self.number() as u16, self.number());
                let max = max.checked_sub(1).map(|max| max as u16);
                Hir::Repeat { node: Box::new(self.hir()), min, max }
            }
            _ => Hir::Nothing,
        }
    }

    fn list(&mut self) -> Vec<Hir> {
        let len = self.number();
        (0..len).map(|_| self.hir()).collect()
    }
}

/// The pattern that [`pack`] wrote.
pub(super) fn unpack(code: &[u8]) -> Hir {
    Reader { rest: code }.hir()
}
