//! A pool of strings in blocks, which a program shares with whoever compiled it: a pattern's text
//! is in memory once, however many programs have it.
//!
//! On file it is one block. Start at [`Texts::share`].

use std::sync::Arc;

use crate::pools::read_strings;
use crate::wire::{Fault, Reader, Writer};

/// The pool; strings have numbers in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    blocks: Vec<Block>,
    /// Where each string ends in its block; it begins where the one before it ends.
    ends: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Block {
    text: Arc<str>,
    /// The number of its first string.
    first: u32,
}

impl Texts {
    /// Adds a string and gives its number.
    pub fn push(&mut self, text: &str) -> u32 {
        self.share(text.into(), [text.len()])
    }

    /// Adds the strings of a block, given by their lengths, and gives the number of the first.
    pub fn share(&mut self, text: Arc<str>, lens: impl IntoIterator<Item = usize>) -> u32 {
        let first = self.ends.len() as u32;
        let mut end = 0;
        self.ends.extend(lens.into_iter().map(|len| {
            end += len;
            end as u32
        }));
        if self.ends.len() > first as usize {
            self.blocks.push(Block { text, first });
        }
        first
    }

    /// Gives back the room that was kept for more.
    pub fn shrink_to_fit(&mut self) {
        self.blocks.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The string of a number; empty for a number outside the pool.
    pub fn at(&self, number: u32) -> &str {
        let block = self.blocks.partition_point(|block| block.first <= number);
        let Some(Block { text, first }) = block.checked_sub(1).and_then(|at| self.blocks.get(at))
        else {
            return "";
        };
        let end = |number: u32| self.ends.get(number as usize).copied().unwrap_or(0) as usize;
        let start = if number == *first { 0 } else { end(number - 1) };
        text.get(start..end(number)).unwrap_or("")
    }

    /// Every string in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len() as u32).map(|number| self.at(number))
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.u32(self.iter().map(str::len).sum::<usize>() as u32);
        self.iter().for_each(|text| out.bytes.extend_from_slice(text.as_bytes()));
        let mut end = 0;
        out.u32(self.ends.len() as u32);
        for text in self.iter() {
            end += text.len() as u32;
            out.u32(end);
        }
    }

    pub(crate) fn read(from: &mut Reader<'_>, what: &'static str) -> Result<Self, Fault> {
        let (text, ends) = read_strings(from, what)?;
        let blocks =
            if ends.is_empty() { Vec::new() } else { vec![Block { text: text.into(), first: 0 }] };
        Ok(Self { blocks, ends })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back_from_their_blocks_and_from_bytes() {
        let mut texts = Texts::default();
        assert_eq!(texts.push("one"), 0);
        assert_eq!(texts.share("twothree".into(), [3, 0, 5]), 1);
        assert_eq!(texts.share("".into(), []), 4);
        assert_eq!(texts.push(""), 4);
        let all = ["one", "two", "", "three", ""];
        assert!(texts.iter().eq(all));
        assert_eq!(texts.at(5), "");
        let mut out = Writer::default();
        texts.write(&mut out);
        let read = Texts::read(&mut Reader::new(&out.bytes), "texts").unwrap();
        assert!(read.iter().eq(all));
        assert_eq!(Texts::default().at(0), "");
    }
}
