//! Automata by what they mean, built once.

use super::hash::Map;
use std::sync::Arc;

use super::determinise::{From, Table, determinise};
use super::nfa::{self, Nfa};
use super::{TooBig, code};

/// An automaton of a part.
#[derive(Clone, Debug)]
pub(super) enum Automaton {
    Dfa(Table),
    Nfa(Nfa),
}

/// What an automaton is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Role {
    /// To be started behind a literal.
    Tail,
    /// To search a whole text.
    Whole,
    /// To search a whole text scalar by scalar.
    Foreign,
}

#[derive(Debug)]
struct Kept {
    automaton: Arc<Automaton>,
    round: u64,
}

/// Automata that were built before, by what they mean. Lives as long as the compiler, so that
/// a set that is linked again finds them; those that the last links did not use are dropped.
#[derive(Debug, Default)]
pub struct TailCache {
    kept: Map<(Role, Box<[u8]>), Kept>,
    round: u64,
}

/// Up to this many automata none is dropped.
const KEPT_MIN: usize = 1024;

impl TailCache {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many automata it holds.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    pub(super) fn get(&mut self, role: Role, pattern: &[u8]) -> Result<Arc<Automaton>, TooBig> {
        let key = (role, pattern.into());
        if let Some(kept) = self.kept.get_mut(&key) {
            kept.round = self.round;
            return Ok(Arc::clone(&kept.automaton));
        }
        let nfa = nfa::build(&code::unpack(pattern))?;
        let dfa = match role {
            Role::Tail => determinise(&nfa, From::Here),
            Role::Whole => determinise(&nfa, From::Text),
            Role::Foreign => None,
        };
        let automaton = Arc::new(dfa.map_or_else(|| Automaton::Nfa(nfa), Automaton::Dfa));
        let kept = Kept { automaton: Arc::clone(&automaton), round: self.round };
        self.kept.insert(key, kept);
        Ok(automaton)
    }

    /// Ends a link: forgets what neither it nor the one before it used.
    pub(super) fn turn(&mut self) {
        if self.kept.len() > KEPT_MIN {
            let oldest = self.round.saturating_sub(1);
            self.kept.retain(|_, kept| kept.round >= oldest);
        }
        self.round += 1;
    }
}
