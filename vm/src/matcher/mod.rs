//! Which patterns of a whole set of policies match an image: one pass over the string.
//!
//! A pattern feeds one or more *hits* (rules, numbered in policy order); [`Matcher::mark`] sets
//! the bit of every hit that has a matching pattern. Patterns are split by shape, so that the
//! cost of a text hardly grows with their number:
//!
//! | part | what it takes | how it is searched |
//! |---|---|---|
//! | `heads` | `^literal`, `^literal$`, `^literal` and a tail | [`trie`] from the beginning; a [`dfa`] from where the literal ends |
//! | `suffixes` | `literal$` | the same trie, backwards from the end |
//! | `keywords` | `literal` anywhere | [`keywords`] |
//! | `jobs` | everything else | a [`dfa`] over the whole text, or an [`nfa`]; where possible only once a literal that it needs was found (its gate) |
//!
//! It does not know where tables come from: the compiler makes them, or they are read from
//! bytes. [`Matcher::new`] is the only door, and verifies them, so that no table can make a
//! search panic, loop, leave its bounds or allocate. Start at [`Matcher::mark`].

pub mod dfa;
mod keywords;
pub mod lists;
pub mod nfa;
mod search;
pub mod symbols;
pub mod trie;

use crate::wire::{Fault, Reader, Writer};
use keywords::Keywords;
use lists::{Lists, Out};
pub use search::MatcherScratch;
use trie::{Tree, Trie};

/// The longest text, in bytes, for which [`Matcher::mark`] never allocates. A longer text is
/// searched as well, with the same result.
pub const TEXT_MAX: usize = 4096;

/// The most hits of one matcher.
pub const HITS_MAX: u32 = 1 << 24;

/// The most (hit, pattern) pairs of patterns that must be searched in the whole text and have no
/// gate (8 bytes each: 32 MiB).
pub const OPEN_MAX: usize = 1 << 22;

/// When a [`Job`] is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum When {
    /// For every text.
    Always,
    /// Once a gate that names it was found.
    Gated,
    /// For texts with scalars outside ASCII: the other tables under-approximate the pattern,
    /// because it tells such scalars apart.
    Foreign,
}

/// Which automaton a [`Job`] runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Machine {
    /// One of [`Tables::dfas`].
    Dfa(u32),
    /// One of [`Tables::nfas`].
    Nfa(u32),
}

/// A search of the whole text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// The automaton.
    pub machine: Machine,
    /// What a match sets.
    pub out: Out,
    /// Texts of fewer scalars cannot match.
    pub len_min: u16,
    /// When it is done.
    pub when: When,
}

/// The tables of a matcher, not verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// How many hits there are.
    pub hits: u32,
    /// Lists of hits.
    pub lists: Lists,
    /// What every text sets.
    pub always: Out,
    /// Literals at the beginning.
    pub heads: Tree,
    /// Literals at the end; labels are in the order of the text.
    pub suffixes: Tree,
    /// Literals anywhere, in groups of like length.
    pub keywords: Vec<Tree>,
    /// Searches of the whole text.
    pub jobs: Vec<Job>,
    /// Gate `i` opens the jobs `gated[gates[i]..gates[i + 1]]`.
    pub gates: Vec<u32>,
    /// The jobs that gates open.
    pub gated: Vec<u32>,
    /// The DFAs.
    pub dfas: dfa::Dfas,
    /// The NFAs.
    pub nfas: nfa::Nfas,
}

impl Tables {
    /// Tables that match nothing.
    pub fn empty(hits: u32) -> Self {
        Self {
            hits,
            lists: Lists::default(),
            always: Out::NONE,
            heads: Tree::empty(),
            suffixes: Tree::empty(),
            keywords: Vec::new(),
            jobs: Vec::new(),
            gates: vec![0],
            gated: Vec::new(),
            dfas: dfa::Dfas::default(),
            nfas: nfa::Nfas::default(),
        }
    }
}

/// The most groups of keywords.
const GROUPS_MAX: usize = 8;

/// Verified tables, ready to search. Cheap to share, never changed.
#[derive(Clone, Debug)]
pub struct Matcher {
    hits: u32,
    lists: Lists,
    always: Out,
    heads: Trie,
    suffixes: Trie,
    keywords: Vec<Keywords>,
    jobs: Vec<Job>,
    gates: Vec<u32>,
    gated: Vec<u32>,
    dfas: dfa::Dfas,
    nfas: nfa::Nfas,
    /// The jobs of [`When::Always`] and of [`When::Foreign`], by hit: made from `jobs`.
    open: [ByHit; 2],
    /// The longest NFA.
    nfa_len_max: usize,
    /// The deepest trie.
    depth_max: usize,
}

impl Default for Matcher {
    /// Without patterns and without hits.
    #[expect(clippy::expect_used, reason = "empty tables verify; a test makes them")]
    fn default() -> Self {
        Self::new(Tables::empty(0)).expect("empty tables verify")
    }
}

/// How many bytes each part of a matcher takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Literals at the beginning.
    pub heads: usize,
    /// Literals at the end.
    pub suffixes: usize,
    /// Literals anywhere.
    pub keywords: usize,
    /// DFAs, and how many there are.
    pub dfas: (usize, usize),
    /// NFAs, and how many there are.
    pub nfas: (usize, usize),
    /// Searches of the whole text with their gates, and how many there are.
    pub jobs: (usize, usize),
    /// Lists of hits.
    pub lists: usize,
}

impl Sizes {
    /// All of it.
    pub fn total(&self) -> usize {
        let Self { heads, suffixes, keywords, dfas, nfas, jobs, lists } = *self;
        heads + suffixes + keywords + dfas.0 + nfas.0 + jobs.0 + lists
    }
}

impl Matcher {
    /// Verifies tables; the only door to a matcher.
    ///
    /// # Errors
    /// The first table entry that is out of bounds.
    pub fn new(tables: Tables) -> Result<Self, Fault> {
        let Tables {
            hits,
            lists,
            always,
            heads,
            suffixes,
            keywords,
            jobs,
            gates,
            gated,
            dfas,
            nfas,
        } = tables;
        if hits > HITS_MAX {
            return Err(Fault::new("hits", format!("{hits}; the limit is {HITS_MAX}")));
        }
        lists.verify(hits)?;
        lists.check(always, hits)?;
        dfas.verify()?;
        nfas.verify()?;
        let count = jobs.len();
        for job in &jobs {
            lists.check(job.out, hits)?;
            let good = match job.machine {
                Machine::Dfa(dfa) => (dfa as usize) < dfas.dfas.len(),
                Machine::Nfa(nfa) => (nfa as usize) < nfas.nfas.len(),
            };
            if !good {
                return Err(Fault::new("jobs", "an automaton is out of range"));
            }
        }
        let end = gates.last().map(|&end| end as usize);
        if !gates.is_sorted()
            || end != Some(gated.len())
            || gated.iter().any(|&job| job as usize >= count)
        {
            return Err(Fault::new("gates", "a job is out of range"));
        }
        if keywords.len() > GROUPS_MAX {
            return Err(Fault::new(
                "keywords",
                format!("{} groups; the limit is {GROUPS_MAX}", keywords.len()),
            ));
        }
        let (tails, gate_count) = (dfas.dfas.len() as u32, gates.len() as u32 - 1);
        let heads = Trie::new(heads, &lists, hits, tails, gate_count)?;
        let suffixes = Trie::new(suffixes, &lists, hits, 0, gate_count)?;
        let keywords: Vec<Keywords> = keywords
            .into_iter()
            .map(|tree| Keywords::new(tree, &lists, hits, gate_count))
            .collect::<Result<_, _>>()?;
        let by_hit = |when| ByHit::new(&jobs, when, &lists);
        let open = [by_hit(When::Always)?, by_hit(When::Foreign)?];
        let nfa_len_max = nfas.nfas.iter().map(|nfa| nfa.len as usize).max().unwrap_or(0);
        let depth_max = heads.depth().max(suffixes.depth());
        Ok(Self {
            hits,
            lists,
            always,
            heads,
            suffixes,
            keywords,
            jobs,
            gates,
            gated,
            dfas,
            nfas,
            open,
            nfa_len_max,
            depth_max,
        })
    }

    /// How many hits there are.
    pub fn hits(&self) -> u32 {
        self.hits
    }

    /// How many bytes each part takes.
    pub fn sizes(&self) -> Sizes {
        let open: usize = self.open.iter().map(|open| open.jobs.len() + open.words.len() + 1).sum();
        let jobs = self.jobs.len() * size_of::<Job>()
            + (self.gates.len() + self.gated.len()) * 4
            + open * 8;
        Sizes {
            heads: self.heads.bytes(),
            suffixes: self.suffixes.bytes(),
            keywords: self.keywords.iter().map(Keywords::bytes).sum(),
            dfas: (self.dfas.bytes(), self.dfas.dfas.len()),
            nfas: (self.nfas.bytes(), self.nfas.nfas.len()),
            jobs: (jobs, self.jobs.len()),
            lists: self.lists.bytes(),
        }
    }

    /// Writes the tables.
    pub fn write(&self, writer: &mut Writer) {
        self.lists.write(writer);
        self.always.write(writer);
        self.heads.tree().write(writer);
        self.suffixes.tree().write(writer);
        writer.list(&self.keywords, |w, keywords| keywords.trie().tree().write(w));
        writer.list(&self.jobs, |w, job| {
            let (kind, number) = match job.machine {
                Machine::Dfa(dfa) => (0, dfa),
                Machine::Nfa(nfa) => (1, nfa),
            };
            w.u8(kind | (job.when as u8) << 1);
            w.u32(number);
            job.out.write(w);
            w.u16(job.len_min);
        });
        writer.list(&self.gates, |w, &gate| w.u32(gate));
        writer.list(&self.gated, |w, &job| w.u32(job));
        self.dfas.write(writer);
        self.nfas.write(writer);
    }

    /// Reads and verifies the tables of a matcher of `hits` hits.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn read(reader: &mut Reader<'_>, hits: u32) -> Result<Self, Fault> {
        let max = reader.left();
        let what = "matcher";
        Self::new(Tables {
            hits,
            lists: Lists::read(reader)?,
            always: Out::read(reader)?,
            heads: Tree::read(reader)?,
            suffixes: Tree::read(reader)?,
            keywords: reader.list(what, GROUPS_MAX, Tree::read)?,
            jobs: reader.list(what, max / 11, |r| {
                let kind = r.u8(what)?;
                let number = r.u32(what)?;
                let machine =
                    if kind & 1 == 0 { Machine::Dfa(number) } else { Machine::Nfa(number) };
                let when = match kind >> 1 {
                    0 => When::Always,
                    1 => When::Gated,
                    2 => When::Foreign,
                    _ => return Err(Fault::new(what, "unknown kind of job")),
                };
                Ok(Job { machine, out: Out::read(r)?, len_min: r.u16(what)?, when })
            })?,
            gates: reader.list(what, max / 4, |r| r.u32(what))?,
            gated: reader.list(what, max / 4, |r| r.u32(what))?,
            dfas: dfa::Dfas::read(reader)?,
            nfas: nfa::Nfas::read(reader)?,
        })
    }
}

/// The jobs of one kind by the hits that wait for them.
#[derive(Clone, Debug, Default)]
struct ByHit {
    /// The words of hits that have any.
    words: Vec<u32>,
    /// The jobs of word `i` are `jobs[starts[i]..starts[i + 1]]`.
    starts: Vec<u32>,
    /// The bit of the hit, and the job.
    jobs: Vec<(u32, u32)>,
}

impl ByHit {
    fn new(jobs: &[Job], when: When, lists: &Lists) -> Result<Self, Fault> {
        let mut rows = Vec::new();
        for (number, job) in (0..).zip(jobs).filter(|(_, job)| job.when == when) {
            lists.each(job.out, |word, mut bits| {
                while bits != 0 {
                    rows.push((word, bits.trailing_zeros(), number));
                    bits &= bits - 1;
                }
            });
            if rows.len() > OPEN_MAX {
                return Err(Fault::new(
                    "jobs",
                    format!("more than {OPEN_MAX} rules wait for patterns without literal text"),
                ));
            }
        }
        rows.sort_unstable();
        let mut by_hit = Self::default();
        for same in rows.chunk_by(|a, b| a.0 == b.0) {
            by_hit.words.extend(same.first().map(|row| row.0));
            by_hit.starts.push(by_hit.jobs.len() as u32);
            by_hit.jobs.extend(same.iter().map(|&(_, bit, job)| (bit, job)));
        }
        by_hit.starts.push(by_hit.jobs.len() as u32);
        Ok(by_hit)
    }
}

/// The bits of the last word of `hits` hits.
const fn bits(hits: u32) -> u64 {
    match hits % 64 {
        0 => u64::MAX,
        used => (1 << used) - 1,
    }
}
