//! Pools: strings, and lists of numbers, each in one block and known by a number.

use crate::wire::{Fault, Reader, Writer};

/// Most policies, rules, instructions and pool entries that are read back from bytes.
pub const TABLE_ROWS_MAX: usize = 1 << 22;

/// A pool of strings in one block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strings {
    text: String,
    ends: Vec<u32>,
}

impl Strings {
    /// Adds a string and gives its number.
    pub fn push(&mut self, text: &str) -> u32 {
        let number = self.ends.len() as u32;
        self.text.push_str(text);
        self.ends.push(self.text.len() as u32);
        number
    }

    /// Gives back the room that was kept for more.
    pub fn shrink_to_fit(&mut self) {
        self.text.shrink_to_fit();
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
        let number = number as usize;
        let start = match number.checked_sub(1) {
            None => 0,
            Some(before) => self.ends.get(before).copied().unwrap_or(0) as usize,
        };
        let end = self.ends.get(number).copied().unwrap_or(0) as usize;
        self.text.get(start..end).unwrap_or("")
    }

    /// The text of all of them, one after the other.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Every string in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len() as u32).map(|number| self.at(number))
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.blob(self.text.as_bytes());
        out.list(&self.ends, |out, end| out.u32(*end));
    }

    pub(crate) fn read(from: &mut Reader<'_>, what: &'static str) -> Result<Self, Fault> {
        let (text, ends) = read_strings(from, what)?;
        Ok(Self { text: text.to_owned(), ends })
    }
}

/// Reads strings that were written as one block, and where each ends.
pub(crate) fn read_strings<'b>(
    from: &mut Reader<'b>,
    what: &'static str,
) -> Result<(&'b str, Vec<u32>), Fault> {
    let text = from.blob(what, u32::MAX as usize)?;
    let text = std::str::from_utf8(text).map_err(|_| Fault::new(what, "not UTF-8"))?;
    let ends = from.list(what, TABLE_ROWS_MAX, |from| from.u32(what))?;
    let mut start = 0;
    for &end in &ends {
        if end < start || !text.is_char_boundary(end as usize) {
            let why = format!("a string ends at {end}, which is no place for it");
            return Err(Fault::new(what, why));
        }
        start = end;
    }
    if start as usize == text.len() {
        Ok((text, ends))
    } else {
        Err(Fault::new(what, "text after the last string"))
    }
}

/// A pool of lists of numbers in one block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    items: Vec<u32>,
    ends: Vec<u32>,
}

impl Lists {
    /// Adds a list and gives its number.
    pub fn push(&mut self, items: &[u32]) -> u32 {
        let number = self.ends.len() as u32;
        self.items.extend_from_slice(items);
        self.ends.push(self.items.len() as u32);
        number
    }

    /// Gives back the room that was kept for more.
    pub fn shrink_to_fit(&mut self) {
        self.items.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    /// How many lists there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The list of a number; empty for a number outside the pool.
    pub fn at(&self, number: u32) -> &[u32] {
        let number = number as usize;
        let start = match number.checked_sub(1) {
            None => 0,
            Some(before) => self.ends.get(before).copied().unwrap_or(0) as usize,
        };
        let end = self.ends.get(number).copied().unwrap_or(0) as usize;
        self.items.get(start..end).unwrap_or(&[])
    }

    /// Every list in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u32]> {
        (0..self.ends.len() as u32).map(|number| self.at(number))
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.list(&self.items, |out, item| out.u32(*item));
        out.list(&self.ends, |out, end| out.u32(*end));
    }

    pub(crate) fn read(from: &mut Reader<'_>, what: &'static str) -> Result<Self, Fault> {
        let items = from.list(what, TABLE_ROWS_MAX, |from| from.u32(what))?;
        let ends = from.list(what, TABLE_ROWS_MAX, |from| from.u32(what))?;
        if !ends.is_sorted() || ends.last().map_or(0, |&end| end as usize) != items.len() {
            return Err(Fault::new(what, "the lists do not cover their items"));
        }
        Ok(Self { items, ends })
    }
}
