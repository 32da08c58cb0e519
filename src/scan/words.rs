//! Words: every vulnerability id, package and version once, as a small number.
//!
//! A thousand images of one base repeat the same few thousand words, so that a row of an image is
//! three numbers. Words are only ever added; the store starts anew with those in use when too many
//! are not. Start at [`Words::intern`].

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;

/// How many words there may be: a row keeps 24 bits for each.
pub(super) const WORDS_MAX: usize = 1 << 24;
const CHUNK_WORDS: usize = 1024;

/// The number of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Word(pub(super) u32);

/// The words of a store, to which one can add.
#[derive(Clone, Debug)]
pub(super) struct Words {
    numbers: HashTable<Word>,
    chunks: WordList,
    hasher: RandomState,
}

/// The words as a shelf sees them. Cheap to clone: the chunks are shared.
#[derive(Clone, Debug, Default)]
pub(super) struct WordList {
    chunks: Vec<Arc<Chunk>>,
}

/// A run of words in one text.
#[derive(Clone, Debug, Default)]
struct Chunk {
    text: String,
    /// Where each word ends; it begins where the one before ends.
    ends: Vec<u32>,
}

impl Words {
    pub(super) fn new() -> Self {
        let mut words = Self {
            numbers: HashTable::new(),
            chunks: WordList::default(),
            hasher: RandomState::new(),
        };
        words.intern("");
        words
    }

    /// The number of a word, which is added if it is new; `None` if there is no room for it.
    pub(super) fn intern(&mut self, word: &str) -> Option<Word> {
        let hash = self.hasher.hash_one(word);
        let Self { numbers, chunks, hasher } = self;
        if let Some(known) = numbers.find(hash, |known| chunks.text(*known) == word) {
            return Some(*known);
        }
        let number = chunks.push(word)?;
        numbers.insert_unique(hash, number, |known| hasher.hash_one(chunks.text(*known)));
        Some(number)
    }

    pub(super) fn list(&self) -> &WordList {
        &self.chunks
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }
}

impl WordList {
    /// The text of a word; empty for a number that is not one.
    pub(super) fn text(&self, word: Word) -> &str {
        let at = word.0 as usize;
        self.chunks.get(at / CHUNK_WORDS).map_or("", |chunk| chunk.text(at % CHUNK_WORDS))
    }

    /// The text of a word; `None` for the empty one.
    pub(super) fn some(&self, word: Word) -> Option<&str> {
        Some(self.text(word)).filter(|text| !text.is_empty())
    }

    fn push(&mut self, word: &str) -> Option<Word> {
        if self.chunks.last().is_none_or(|chunk| chunk.ends.len() == CHUNK_WORDS) {
            self.chunks.push(Arc::default());
        }
        let before = (self.chunks.len() - 1) * CHUNK_WORDS;
        let last = Arc::make_mut(self.chunks.last_mut()?);
        let number = before + last.ends.len();
        if number >= WORDS_MAX {
            return None;
        }
        last.text.push_str(word);
        last.ends.push(u32::try_from(last.text.len()).ok()?);
        u32::try_from(number).ok().map(Word)
    }
}

impl Chunk {
    fn text(&self, at: usize) -> &str {
        let begin = if at == 0 { Some(&0) } else { self.ends.get(at - 1) };
        match (begin, self.ends.get(at)) {
            (Some(&begin), Some(&end)) => &self.text[begin as usize..end as usize],
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_has_one_number_and_keeps_it() {
        let mut words = Words::new();
        let all: Vec<String> = (0..5_000).map(|n| format!("CVE-2024-{n}")).collect();
        let numbers: Vec<Word> = all.iter().map(|word| words.intern(word).unwrap()).collect();
        let before = words.list().clone();
        assert_eq!(words.intern("CVE-2024-17"), Some(numbers[17]));
        words.intern("new").unwrap();
        for (word, number) in all.iter().zip(numbers) {
            assert_eq!(words.list().text(number), word);
            assert_eq!(before.text(number), word);
        }
        assert_eq!(words.len(), 5_002);
        assert_eq!((words.list().some(Word(0)), words.list().text(Word(9_999))), (None, ""));
    }
}
