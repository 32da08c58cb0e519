//! Which hits a match sets: a single number, or a list that equal matches share.

use super::bits;
use crate::wire::{Fault, Reader, Writer};

/// What a match sets: nothing, one hit, or a list of hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Out(u32);

impl Out {
    /// Sets nothing.
    pub const NONE: Self = Self(u32::MAX);
    const LIST: u32 = 1 << 31;

    /// One hit.
    pub const fn hit(hit: u32) -> Self {
        Self(hit & !Self::LIST)
    }

    /// A list of [`Lists`].
    pub const fn list(list: u32) -> Self {
        Self(list | Self::LIST)
    }

    pub(super) fn write(self, writer: &mut Writer) {
        writer.u32(self.0);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        reader.u32("hits").map(Self)
    }
}

/// Consecutive words of hit bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first word of the hits that is touched.
    pub word: u32,
    /// How many words.
    pub len: u32,
    /// Where their bits are in [`Lists::words`].
    pub at: u32,
}

/// Lists of hits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// List `i` is the runs from `starts[i]` to `starts[i + 1]`.
    pub starts: Vec<u32>,
    /// The runs of all lists.
    pub runs: Vec<Run>,
    /// The bits of all runs.
    pub words: Vec<u64>,
}

impl Lists {
    fn runs(&self, list: u32) -> &[Run] {
        let list = list as usize;
        let (Some(&from), Some(&to)) = (self.starts.get(list), self.starts.get(list + 1)) else {
            return &[];
        };
        self.runs.get(from as usize..to as usize).unwrap_or(&[])
    }

    fn bits(&self, run: Run) -> &[u64] {
        let at = run.at as usize;
        self.words.get(at..at + run.len as usize).unwrap_or(&[])
    }

    /// Sets the hits of `out`.
    #[inline]
    pub(super) fn set(&self, out: Out, hits: &mut [u64]) {
        if out.0 & Out::LIST == 0 {
            if let Some(word) = hits.get_mut(out.0 as usize >> 6) {
                *word |= 1 << (out.0 & 63);
            }
        } else if out != Out::NONE {
            for &run in self.runs(out.0 & !Out::LIST) {
                let into = hits.get_mut(run.word as usize..).unwrap_or(&mut []);
                for (word, bits) in into.iter_mut().zip(self.bits(run)) {
                    *word |= bits;
                }
            }
        }
    }

    /// Whether `out` would set a hit that is wanted and not set yet.
    #[inline]
    pub(super) fn is_pending(&self, out: Out, wanted: &[u64], hits: &[u64]) -> bool {
        self.is_pending_within(usize::MAX, out, wanted, hits)
    }

    /// The same, but a list of more than `max` words may be taken to be pending.
    #[inline]
    pub(super) fn is_pending_within(
        &self,
        max: usize,
        out: Out,
        wanted: &[u64],
        hits: &[u64],
    ) -> bool {
        let pending = |word: usize, bits: u64| {
            bits & wanted.get(word).copied().unwrap_or(0) & !hits.get(word).copied().unwrap_or(0)
                != 0
        };
        if out.0 & Out::LIST == 0 {
            return pending(out.0 as usize >> 6, 1 << (out.0 & 63));
        }
        if out == Out::NONE {
            return false;
        }
        let mut left = max;
        for &run in self.runs(out.0 & !Out::LIST) {
            let words = self.bits(run);
            if words.len() > left {
                return true;
            }
            left -= words.len();
            if (run.word as usize..).zip(words).any(|(word, &bits)| pending(word, bits)) {
                return true;
            }
        }
        false
    }

    /// Calls `each` with every (word, bits) of `out`.
    pub(super) fn each(&self, out: Out, mut each: impl FnMut(u32, u64)) {
        if out.0 & Out::LIST == 0 {
            each(out.0 >> 6, 1 << (out.0 & 63));
        } else if out != Out::NONE {
            for &run in self.runs(out.0 & !Out::LIST) {
                for (word, &bits) in (run.word..).zip(self.bits(run)) {
                    each(word, bits);
                }
            }
        }
    }

    /// Whether `out` stays within `hits` hits and within these lists.
    pub(super) fn check(&self, out: Out, hits: u32) -> Result<(), Fault> {
        let good = if out.0 & Out::LIST == 0 {
            out.0 < hits
        } else {
            out == Out::NONE || ((out.0 & !Out::LIST) as usize) + 1 < self.starts.len()
        };
        if good { Ok(()) } else { Err(Fault::new("hits", format!("{} is out of range", out.0))) }
    }

    /// INVARIANT (in bounds): every run lies within the hits and within `words`. The runs of a
    /// list do not overlap, so that a list costs no more than the hits have words.
    pub(super) fn verify(&self, hits: u32) -> Result<(), Fault> {
        let fault = |why: &str| Err(Fault::new("hit lists", why));
        if !self.starts.is_sorted()
            || self.starts.last().map_or(0, |&s| s as usize) != self.runs.len()
        {
            return fault("the starts are not in order");
        }
        for ends in self.starts.windows(2) {
            let &[from, to] = ends else { continue };
            let runs = self.runs.get(from as usize..to as usize).unwrap_or(&[]);
            let is_after = |a: &Run, b: &Run| u64::from(a.word) + u64::from(a.len) <= b.word.into();
            if !runs.is_sorted_by(is_after) || runs.iter().any(|run| run.len == 0) {
                return fault("the runs of a list overlap");
            }
        }
        let (words, last) = (u64::from(hits.div_ceil(64)), bits(hits));
        for &run in &self.runs {
            let end = u64::from(run.word) + u64::from(run.len);
            if end > words || u64::from(run.at) + u64::from(run.len) > self.words.len() as u64 {
                return fault("a run leaves its table");
            }
            if end == words && self.bits(run).last().is_some_and(|b| b & !last != 0) {
                return fault("a bit is beyond the last hit");
            }
        }
        Ok(())
    }

    /// Bytes of the tables.
    pub(super) fn bytes(&self) -> usize {
        self.starts.len() * 4 + self.runs.len() * 12 + self.words.len() * 8
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.list(&self.starts, |w, &s| w.u32(s));
        writer.list(&self.runs, |w, run| {
            w.u32(run.word);
            w.u32(run.len);
            w.u32(run.at);
        });
        writer.list(&self.words, |w, &word| w.u64(word));
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let max = reader.left() / 4;
        Ok(Self {
            starts: reader.list("hit lists", max, |r| r.u32("hit lists"))?,
            runs: reader.list("hit lists", max, |r| {
                Ok(Run {
                    word: r.u32("hit lists")?,
                    len: r.u32("hit lists")?,
                    at: r.u32("hit lists")?,
                })
            })?,
            words: reader.list("hit lists", max, |r| r.u64("hit lists"))?,
        })
    }
}
