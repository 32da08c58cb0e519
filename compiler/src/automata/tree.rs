//! Sorts literals into the tree of [`caapc_vm::matcher::trie`], breadth first.

use super::hash::Map;

use caapc_vm::matcher::lists::{Lists, Out, Run};
use caapc_vm::matcher::trie::{ANY, Act, LABEL_MAX, LABELS_MAX, Node, Row, Tree};

use super::TooBig;

/// One literal, what it does, and for which hit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    at: u32,
    len: u32,
    pub(super) act: Act,
    pub(super) hit: u32,
}

/// No hit: for acts that have hits of their own.
pub(super) const NO_HIT: u32 = u32::MAX;

/// Literals of one tree.
#[derive(Clone, Debug, Default)]
pub(super) struct Literals {
    symbols: Vec<u8>,
    pub(super) entries: Vec<Entry>,
    /// Keys are kept from their ends.
    is_back: bool,
}

impl Literals {
    /// For a tree that is walked backwards.
    pub(super) fn backwards() -> Self {
        Self { is_back: true, ..Self::default() }
    }

    pub(super) fn push(&mut self, key: &[u8], act: Act, hit: u32) {
        let at = self.symbols.len() as u32;
        if self.is_back {
            self.symbols.extend(key.iter().rev());
        } else {
            self.symbols.extend_from_slice(key);
        }
        self.entries.push(Entry { at, len: key.len() as u32, act, hit });
    }

    /// The literal of an entry, as it was pushed.
    pub(super) fn key(&self, entry: &Entry) -> Vec<u8> {
        let mut key = self.text(entry).to_vec();
        if self.is_back {
            key.reverse();
        }
        key
    }

    fn text(&self, entry: &Entry) -> &[u8] {
        let at = entry.at as usize;
        self.symbols.get(at..at + entry.len as usize).unwrap_or(&[])
    }

    fn symbol(&self, entry: &Entry, depth: usize) -> Option<u8> {
        self.text(entry).get(depth).copied()
    }

    /// Makes the tree.
    ///
    /// # Errors
    /// More than [`LABELS_MAX`] symbols of labels.
    pub(super) fn tree(mut self, lists: &mut ListPool) -> Result<Tree, TooBig> {
        let mut entries = std::mem::take(&mut self.entries);
        let mut planter = Planter {
            tree: Tree { nodes: Vec::new(), keys: vec![0], labels: Vec::new(), rows: Vec::new() },
            groups: vec![Group { from: 0, to: entries.len(), depth: 0 }],
            labels: Map::default(),
        };
        let mut at = 0;
        while let Some(&group) = planter.groups.get(at) {
            planter.plant(&self, &mut entries, group, at == 0, lists);
            at += 1;
        }
        let mut tree = planter.tree;
        tree.nodes.push(Node::new(tree.keys.len() as u32, tree.rows.len() as u32, 0, 0));
        if tree.labels.len() > LABELS_MAX {
            return Err(TooBig {
                message: format!(
                    "the patterns have {} bytes of literal text, the limit is {LABELS_MAX}",
                    tree.labels.len()
                ),
            });
        }
        tree.shrink_to_fit();
        Ok(tree)
    }
}

/// Entries that agree on their first symbols.
#[derive(Clone, Copy)]
struct Group {
    from: usize,
    to: usize,
    depth: usize,
}

struct Planter {
    tree: Tree,
    groups: Vec<Group>,
    labels: Map<Box<[u8]>, u32>,
}

impl Planter {
    /// Makes the node of a group, and the groups of its children.
    fn plant(
        &mut self,
        literals: &Literals,
        entries: &mut [Entry],
        group: Group,
        is_root: bool,
        lists: &mut ListPool,
    ) {
        let entries = entries.get_mut(group.from..group.to).unwrap_or(&mut []);
        let len = if is_root { 0 } else { common(literals, entries, group.depth) };
        let label = entries.first().map_or(0, |entry| {
            let text = literals.text(entry);
            self.label(text.get(group.depth..group.depth + len).unwrap_or(&[]), literals.is_back)
        });
        let depth = group.depth + len;
        let row = self.tree.rows.len() as u32;
        let child = self.tree.keys.len() as u32;
        self.tree.nodes.push(Node::new(child, row, label, len as u32));
        // Entries that end here have no symbol, and `None` sorts first.
        entries.sort_unstable_by_key(|entry| literals.symbol(entry, depth));
        let ends = entries.partition_point(|entry| literals.symbol(entry, depth).is_none());
        let (here, below) = entries.split_at_mut(ends);
        here.sort_unstable_by_key(|entry| (entry.act, entry.hit));
        for same in here.chunk_by(|a, b| a.act == b.act) {
            let out = lists.out(same.iter().map(|entry| entry.hit).filter(|&hit| hit != NO_HIT));
            self.tree.rows.push(Row { act: same.first().map_or(Act::Exact, |e| e.act), out });
        }
        let mut from = group.from + ends;
        for same in below.chunk_by(|a, b| literals.symbol(a, depth) == literals.symbol(b, depth)) {
            let key = same.first().and_then(|entry| literals.symbol(entry, depth));
            self.tree.keys.push(key.unwrap_or(ANY));
            self.groups.push(Group { from, to: from + same.len(), depth: depth + 1 });
            from += same.len();
        }
    }

    fn label(&mut self, text: &[u8], is_back: bool) -> u32 {
        if text.is_empty() {
            return 0;
        }
        if let Some(&at) = self.labels.get(text) {
            return at;
        }
        let at = self.tree.labels.len() as u32;
        if is_back {
            self.tree.labels.extend(text.iter().rev());
        } else {
            self.tree.labels.extend_from_slice(text);
        }
        self.labels.insert(text.into(), at);
        at
    }
}

/// How many symbols all entries share from `depth` on: no more than a label holds, and none of
/// them [`ANY`].
fn common(literals: &Literals, entries: &[Entry], depth: usize) -> usize {
    let rest = |entry: &Entry| literals.text(entry).get(depth..).unwrap_or(&[]);
    let Some(first) = entries.first() else { return 0 };
    let mut label = rest(first);
    label = label.get(..label.len().min(LABEL_MAX)).unwrap_or(&[]);
    let literal = label.iter().take_while(|&&symbol| symbol != ANY).count();
    label = label.get(..literal).unwrap_or(&[]);
    for entry in entries.iter().skip(1) {
        if !rest(entry).starts_with(label) {
            let same = label.iter().zip(rest(entry)).take_while(|(a, b)| a == b).count();
            label = label.get(..same).unwrap_or(&[]);
        }
        if label.is_empty() {
            return 0;
        }
    }
    label.len()
}

/// The lists of hits; equal ones are kept once.
#[derive(Debug)]
pub(super) struct ListPool {
    pub(super) lists: Lists,
    numbers: Map<Vec<(u32, u64)>, u32>,
}

impl ListPool {
    pub(super) fn new() -> Self {
        let lists = Lists { starts: vec![0], runs: Vec::new(), words: Vec::new() };
        Self { lists, numbers: Map::default() }
    }

    /// What sets these hits, given in order.
    pub(super) fn out(&mut self, mut hits: impl Iterator<Item = u32>) -> Out {
        let Some(first) = hits.next() else { return Out::NONE };
        let mut words = vec![(first / 64, 1_u64 << (first % 64))];
        for hit in hits {
            let bit = 1 << (hit % 64);
            match words.last_mut() {
                Some((word, bits)) if *word == hit / 64 => *bits |= bit,
                _ => words.push((hit / 64, bit)),
            }
        }
        if let [(_, bits)] = words.as_slice()
            && bits.is_power_of_two()
        {
            return Out::hit(first);
        }
        let next = self.numbers.len() as u32;
        let number = *self.numbers.entry(words.clone()).or_insert(next);
        if number == next {
            self.add(&words);
        }
        Out::list(number)
    }

    fn add(&mut self, words: &[(u32, u64)]) {
        let Lists { starts, runs, words: bits } = &mut self.lists;
        for run in words.chunk_by(|a, b| a.0 + 1 == b.0) {
            let (at, word) = (bits.len() as u32, run.first().map_or(0, |first| first.0));
            bits.extend(run.iter().map(|(_, bits)| bits));
            runs.push(Run { word, len: run.len() as u32, at });
        }
        starts.push(runs.len() as u32);
    }
}
