//! Literals that may stand anywhere in a text.
//!
//! A window as long as the shortest literal moves over the text. Its last two symbols say how
//! far it may move before a literal can end in it (Wu and Manber's shift table), so that most
//! symbols are never looked at; where it may not move, the trie is walked from its beginning.
//! Literals of like length share a [`Keywords`], so that one short one does not hold up all.

use super::lists::Lists;
use super::trie::{ANY, Aside, Row, Tree, Trie};
use crate::wire::Fault;

const SHIFTS: usize = 1 << 12;
/// The longest window.
const WINDOW_MAX: usize = 64;
/// Below this length the window is a single symbol.
const WINDOW_MIN: usize = 4;

/// A verified trie of literals, and the shift table made from it.
#[derive(Clone, Debug)]
pub(super) struct Keywords {
    trie: Trie,
    window: usize,
    shifts: Box<[u8; SHIFTS]>,
}

/// Where two neighbouring symbols are in the shift table.
#[inline]
const fn slot(first: u8, second: u8) -> usize {
    ((first as usize) << 5 ^ second as usize) & (SHIFTS - 1)
}

impl Keywords {
    /// The only way to make one.
    pub(super) fn new(tree: Tree, lists: &Lists, hits: u32, gates: u32) -> Result<Self, Fault> {
        let trie = Trie::new(tree, lists, hits, 0, gates)?;
        let tree = trie.tree();
        if tree.keys.iter().skip(1).any(|&key| key == ANY) {
            return Err(Fault::new("keywords", "a key is not a symbol"));
        }
        let paths = Paths::of(tree);
        let Some(shortest) = paths.shortest else {
            return Ok(Self { trie, window: 1, shifts: Box::new([0; SHIFTS]) });
        };
        if shortest == 0 {
            return Err(Fault::new("keywords", "a literal is empty"));
        }
        let window = shortest.min(WINDOW_MAX);
        let mut shifts = Box::new([0; SHIFTS]);
        if window >= WINDOW_MIN {
            shifts.fill(window as u8 - 1);
            paths.blocks(tree, window, |at, first, second| {
                if let Some(shift) = shifts.get_mut(slot(first, second)) {
                    *shift = (*shift).min((window - 2 - at) as u8);
                }
            });
        }
        Ok(Self { trie, window, shifts })
    }

    pub(super) fn trie(&self) -> &Trie {
        &self.trie
    }

    /// Says the rows of every literal in the text, and where it begins and ends.
    #[inline]
    pub(super) fn scan(
        &self,
        text: &[u8],
        aside: &mut Vec<Aside>,
        mut reach: impl FnMut(&[Row], usize, usize),
    ) {
        if self.window < WINDOW_MIN {
            for (at, &symbol) in text.iter().enumerate() {
                if self.trie.begins(symbol) {
                    self.trie.walk::<false>(text, at, aside, |rows, end| reach(rows, at, end));
                }
            }
            return;
        }
        let mut end = self.window;
        while let Some(&[first, second]) = text.get(end - 2..end) {
            let shift = self.shifts.get(slot(first, second)).copied().unwrap_or(0);
            if shift > 0 {
                end += shift as usize;
                continue;
            }
            let at = end - self.window;
            if text.get(at).is_some_and(|&symbol| self.trie.begins(symbol)) {
                self.trie.walk::<false>(text, at, aside, |rows, end| reach(rows, at, end));
            }
            end += 1;
        }
    }

    /// Bytes of the tables.
    pub(super) fn bytes(&self) -> usize {
        self.trie.bytes() + SHIFTS
    }
}

/// For each node the symbols before its key: how many, and the last of them.
struct Paths {
    before: Vec<(u32, u8)>,
    /// The length of the shortest literal.
    shortest: Option<usize>,
}

impl Paths {
    fn of(tree: &Tree) -> Self {
        let mut before = vec![(0_u32, 0_u8); tree.keys.len()];
        let mut shortest = None;
        for (number, pair) in tree.nodes.windows(2).enumerate() {
            let ([node, next], Some(&(len, _))) = (pair, before.get(number)) else { continue };
            let own = tree.own(number);
            let key = u32::from(number > 0);
            let len = len + key + own.len() as u32;
            if node.act < next.act {
                shortest = Some(shortest.map_or(len as usize, |s: usize| s.min(len as usize)));
            }
            let last = own.last().or(tree.keys.get(number)).copied().unwrap_or(0);
            if let Some(children) = before.get_mut(node.child as usize..next.child as usize) {
                children.fill((len, last));
            }
        }
        Self { before, shortest }
    }

    /// Says every two neighbouring symbols within the first `window` of each literal, and the
    /// position of the first of them.
    fn blocks(&self, tree: &Tree, window: usize, mut block: impl FnMut(usize, u8, u8)) {
        for (number, &(len, last)) in self.before.iter().enumerate().skip(1) {
            let (mut at, mut last) = (len as usize, last);
            let key = tree.keys.get(number).copied().unwrap_or(0);
            for symbol in std::iter::once(key).chain(tree.own(number).iter().copied()) {
                if at >= window {
                    break;
                }
                if at > 0 {
                    block(at - 1, last, symbol);
                }
                (last, at) = (symbol, at + 1);
            }
        }
    }
}
