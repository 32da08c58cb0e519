//! Which patterns of a whole set of policies match an image: one pass over the string.

use crate::wire;

/// The tables of all patterns; its hits are rules numbered over all policies.
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    hits: u32,
}

/// What a search writes to.
#[derive(Clone, Debug, Default)]
pub struct MatcherScratch;

impl Matcher {
    /// How many hits it was made for.
    pub fn hits(&self) -> u32 {
        self.hits
    }

    /// Sets the bit of every wanted hit of which a pattern matches `text`.
    pub fn mark(
        &self,
        _text: &str,
        _wanted: &[u64],
        _scratch: &mut MatcherScratch,
        _hits: &mut [u64],
    ) {
    }

    /// Writes the tables.
    pub fn write(&self, _out: &mut wire::Writer) {}

    /// Reads the tables.
    pub fn read(_from: &mut wire::Reader<'_>, hits: u32) -> Result<Self, wire::Fault> {
        Ok(Self { hits })
    }
}

impl MatcherScratch {
    /// Makes it fit a matcher.
    pub fn prepare(&mut self, _matcher: &Matcher) {}
}
