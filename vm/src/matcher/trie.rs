//! Literals of many patterns in one tree with shared beginnings.
//!
//! A node is reached by one key and then a label, a stretch of symbols that has no branch.
//! [`Trie::walk`] follows all paths that agree with a text from one position, forwards or
//! backwards; what stands at the nodes is said to the caller.
//!
//! ```text
//!   gcr.io/company/team-1/    root ── g │ cr.io/company/team- ┬─ 1 │ /
//!   gcr.io/company/team-23/                                   └─ 2 │ 3/
//! ```

use super::lists::{Lists, Out};
use crate::wire::{Fault, Reader, Writer};

/// The key of a child that is reached by any scalar but a newline.
pub const ANY: u8 = 0xff;
/// The longest label of one node, in symbols.
pub const LABEL_MAX: usize = 63;
/// The most symbols of labels in one tree (64 MiB).
pub const LABELS_MAX: usize = 1 << 26;

/// A node. Nodes are in breadth-first order, so that the children of a node are neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its first child; the children end where those of the next node begin.
    pub child: u32,
    /// Its first act; likewise.
    pub act: u32,
    /// Where its label begins (26 bits), and how long it is (the upper 6 bits).
    label: u32,
}

const _: () = assert!(size_of::<Node>() == 12);

impl Node {
    /// A node; `at` below [`LABELS_MAX`], `len` at most [`LABEL_MAX`].
    pub const fn new(child: u32, act: u32, at: u32, len: u32) -> Self {
        Self { child, act, label: at | len << 26 }
    }

    const fn label(self) -> std::ops::Range<usize> {
        let at = self.label as usize & (LABELS_MAX - 1);
        at..at + (self.label >> 26) as usize
    }
}

/// What to do when a text has led to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Act {
    /// Set the hits, if there is no newline before the literal, after it.
    Hit {
        /// No newline may stand before it.
        before: bool,
        /// No newline may stand after it.
        after: bool,
    },
    /// Set the hits, if the text ends here.
    Exact,
    /// Set the hits, if this automaton matches from here on.
    Tail(u32),
    /// Do the jobs of this gate.
    Gate(u32),
}

impl Act {
    const fn code(self) -> u32 {
        match self {
            Self::Hit { before, after } => (before as u32) << 3 | (after as u32) << 4,
            Self::Exact => 1,
            Self::Tail(dfa) => dfa << 3 | 2,
            Self::Gate(gate) => gate << 3 | 3,
        }
    }

    const fn from_code(code: u32) -> Option<Self> {
        let arg = code >> 3;
        match code & 7 {
            0 if arg < 4 => Some(Self::Hit { before: arg & 1 == 1, after: arg & 2 == 2 }),
            1 if arg == 0 => Some(Self::Exact),
            2 => Some(Self::Tail(arg)),
            3 => Some(Self::Gate(arg)),
            _ => None,
        }
    }
}

/// One act and the hits it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// What to do.
    pub act: Act,
    /// For which hits.
    pub out: Out,
}

/// The tables of a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// The nodes, and one more that ends the last lists. The root is the first.
    pub nodes: Vec<Node>,
    /// The first symbol of each node, or [`ANY`] (which is greater than every symbol).
    pub keys: Vec<u8>,
    /// The labels of the nodes.
    pub labels: Vec<u8>,
    /// The acts of the nodes.
    pub rows: Vec<Row>,
}

/// A verified tree.
#[derive(Clone, Debug)]
pub(super) struct Trie {
    tree: Tree,
    /// The child of the root for each symbol; 0: none.
    first: Box<[u32; 256]>,
    /// How many nodes the longest path has: what [`Trie::walk`] may put aside.
    depth: usize,
}

/// Where a walk goes on later: a node already reached, and the position there.
pub(super) type Aside = (u32, u32);

impl Trie {
    /// The only way to make one.
    pub(super) fn new(
        tree: Tree,
        lists: &Lists,
        hits: u32,
        tails: u32,
        gates: u32,
    ) -> Result<Self, Fault> {
        let depth = verify(&tree)?;
        for row in &tree.rows {
            let good = match row.act {
                Act::Hit { .. } | Act::Exact => true,
                Act::Tail(dfa) => dfa < tails,
                Act::Gate(gate) => gate < gates,
            };
            if !good {
                return Err(Fault::new("trie", "an act is out of range"));
            }
            lists.check(row.out, hits)?;
        }
        let mut first = Box::new([0; 256]);
        if let Some(end) = tree.nodes.get(1) {
            for child in tree.nodes.first().map_or(0, |root| root.child)..end.child {
                if let Some(slot) =
                    tree.keys.get(child as usize).and_then(|&key| first.get_mut(key as usize))
                {
                    *slot = child;
                }
            }
        }
        Ok(Self { tree, first, depth })
    }

    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tree.rows.is_empty()
    }

    /// Whether a path begins with `symbol`.
    #[inline]
    pub(super) fn begins(&self, symbol: u8) -> bool {
        self.first.get(symbol as usize).is_some_and(|&child| child != 0)
    }

    /// Says the acts of every node that the text leads to from position `at`, and the position
    /// there. `BACK`: towards the beginning of the text.
    ///
    /// INVARIANT (forward): a child's number is greater than its parent's, and each node has one
    /// parent, so no node is visited twice.
    #[inline]
    pub(super) fn walk<const BACK: bool>(
        &self,
        text: &[u8],
        at: usize,
        aside: &mut Vec<Aside>,
        mut reach: impl FnMut(&[Row], usize),
    ) {
        let tree = &self.tree;
        let (mut number, mut at) = (0, at);
        aside.clear();
        loop {
            let (Some(node), Some(end)) = (tree.nodes.get(number), tree.nodes.get(number + 1))
            else {
                return;
            };
            if node.act < end.act {
                reach(tree.rows.get(node.act as usize..end.act as usize).unwrap_or(&[]), at);
            }
            let symbol =
                if BACK { at.checked_sub(1).and_then(|at| text.get(at)) } else { text.get(at) };
            let children = node.child as usize..end.child as usize;
            let mut next = None;
            if let (Some(&symbol), false) = (symbol, children.is_empty()) {
                let any = tree.keys.get(children.end - 1) == Some(&ANY);
                let child = if number == 0 {
                    self.first.get(symbol as usize).map(|&child| child as usize).filter(|&c| c != 0)
                } else {
                    let keys = tree.keys.get(children.clone()).unwrap_or(&[]);
                    keys.iter().position(|&key| key == symbol).map(|at| children.start + at)
                };
                next = child.and_then(|child| Some((child, self.label::<BACK>(text, at, child)?)));
                if any && symbol != b'\n' {
                    let child = children.end - 1;
                    if let Some(there) = self.label::<BACK>(text, at, child) {
                        if next.is_none() {
                            next = Some((child, there));
                        } else if aside.len() < aside.capacity() {
                            aside.push((child as u32, there as u32));
                        }
                    }
                }
            }
            (number, at) = match next {
                Some(next) => next,
                None => match aside.pop() {
                    Some((number, at)) => (number as usize, at as usize),
                    None => return,
                },
            };
        }
    }

    /// The position behind the key and the label of `child`, if they stand at `at`.
    #[inline]
    fn label<const BACK: bool>(&self, text: &[u8], at: usize, child: usize) -> Option<usize> {
        let label = self.tree.labels.get(self.tree.nodes.get(child)?.label())?;
        if BACK {
            let end = at.checked_sub(1)?;
            let start = end.checked_sub(label.len())?;
            (text.get(start..end)? == label).then_some(start)
        } else {
            let end = at + 1 + label.len();
            (text.get(at + 1..end)? == label).then_some(end)
        }
    }

    /// Bytes of the tables.
    pub(super) fn bytes(&self) -> usize {
        let Tree { nodes, keys, labels, rows } = &self.tree;
        nodes.len() * size_of::<Node>()
            + keys.len()
            + labels.len()
            + rows.len() * size_of::<Row>()
            + 1024
    }
}

/// INVARIANT (in bounds), INVARIANT (forward). Returns the depth.
fn verify(tree: &Tree) -> Result<usize, Fault> {
    let fault = |why: &str| Err(Fault::new("trie", why));
    let count = tree.nodes.len().saturating_sub(1);
    let Some(end) = tree.nodes.get(count) else { return fault("there is no root") };
    if tree.keys.len() != count || count == 0 {
        return fault("there are not as many keys as nodes");
    }
    if end.child as usize != count || end.act as usize != tree.rows.len() {
        return fault("the lists of the last node do not end");
    }
    if tree
        .nodes
        .first()
        .is_none_or(|root| root.child != 1 || root.act != 0 || !root.label().is_empty())
    {
        return fault("the root is not a root");
    }
    let mut depths = vec![0_u32; count];
    for (number, pair) in tree.nodes.windows(2).enumerate() {
        let [node, next] = pair else { continue };
        let children = node.child as usize..next.child as usize;
        if children.start > children.end || node.act > next.act || children.end > count {
            return fault("the lists are not in order");
        }
        if !children.is_empty() && children.start <= number {
            return fault("a child is before its parent");
        }
        if node.label().end > tree.labels.len() {
            return fault("a label leaves the table");
        }
        let rows = tree.rows.get(node.act as usize..next.act as usize).unwrap_or(&[]);
        let gates = rows.iter().filter(|row| matches!(row.act, Act::Gate(_))).count();
        if !rows.is_sorted_by(|a, b| a.act < b.act) || gates > 1 {
            return fault("a node does the same twice");
        }
        let keys = tree.keys.get(children.clone()).unwrap_or(&[]);
        if !keys.is_sorted_by(|a, b| a < b) {
            return fault("the keys of children are not in order");
        }
        let depth = depths.get(number).map_or(0, |depth| depth + 1);
        depths.get_mut(children).unwrap_or(&mut []).fill(depth);
    }
    Ok(depths.into_iter().max().unwrap_or(0) as usize + 1)
}

impl Tree {
    /// The label of a node.
    pub(super) fn own(&self, number: usize) -> &[u8] {
        self.nodes.get(number).and_then(|node| self.labels.get(node.label())).unwrap_or(&[])
    }

    /// Gives back the room that was kept for more.
    pub fn shrink_to_fit(&mut self) {
        self.nodes.shrink_to_fit();
        self.keys.shrink_to_fit();
        self.labels.shrink_to_fit();
        self.rows.shrink_to_fit();
    }

    /// A tree with a root only.
    pub fn empty() -> Self {
        let (root, end) = (Node::new(1, 0, 0, 0), Node::new(1, 0, 0, 0));
        Self { nodes: vec![root, end], keys: vec![0], labels: Vec::new(), rows: Vec::new() }
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.list(&self.nodes, |w, node| {
            w.u32(node.child);
            w.u32(node.act);
            w.u32(node.label);
        });
        writer.blob(&self.keys);
        writer.blob(&self.labels);
        writer.list(&self.rows, |w, row| {
            w.u32(row.act.code());
            row.out.write(w);
        });
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let max = reader.left();
        let what = "trie";
        Ok(Self {
            nodes: reader.list(what, max / 12, |r| {
                Ok(Node { child: r.u32(what)?, act: r.u32(what)?, label: r.u32(what)? })
            })?,
            keys: reader.blob(what, max)?.to_vec(),
            labels: reader.blob(what, max.min(LABELS_MAX))?.to_vec(),
            rows: reader.list(what, max / 8, |r| {
                let act =
                    Act::from_code(r.u32(what)?).ok_or_else(|| Fault::new(what, "unknown act"))?;
                Ok(Row { act, out: Out::read(r)? })
            })?,
        })
    }
}
