//! Rows of bits over all policies, in whichever of two forms is smaller.

/// A set of policies.
#[derive(Clone, Debug)]
pub(super) enum Row {
    /// A word for each 64 policies.
    Dense(Box<[u64]>),
    /// The words that are not zero, rising.
    Sparse(Box<[(u32, u64)]>),
}

impl Row {
    /// The row of `words` words in which `policies`, rising, are set.
    pub(super) fn of(words: usize, policies: impl Iterator<Item = u32>) -> Self {
        let mut sparse: Vec<(u32, u64)> = Vec::new();
        for policy in policies {
            let (word, bit) = (policy / 64, 1 << (policy % 64));
            match sparse.last_mut() {
                Some((last, bits)) if *last == word => *bits |= bit,
                _ => sparse.push((word, bit)),
            }
        }
        Self::new(words, sparse)
    }

    fn new(words: usize, sparse: Vec<(u32, u64)>) -> Self {
        if is_dense(words, sparse.len()) {
            let mut dense = vec![0; words].into_boxed_slice();
            for (word, bits) in sparse {
                if let Some(slot) = dense.get_mut(word as usize) {
                    *slot |= bits;
                }
            }
            Self::Dense(dense)
        } else {
            Self::Sparse(sparse.into())
        }
    }

    /// Sets this row's policies.
    #[inline]
    pub(super) fn set(&self, policies: &mut [u64]) {
        match self {
            Self::Dense(row) => {
                for (policies, bits) in policies.iter_mut().zip(row) {
                    *policies |= bits;
                }
            }
            Self::Sparse(row) => {
                for &(word, bits) in row {
                    if let Some(policies) = policies.get_mut(word as usize) {
                        *policies |= bits;
                    }
                }
            }
        }
    }

    /// Clears this row's policies.
    #[inline]
    pub(super) fn clear(&self, policies: &mut [u64]) {
        match self {
            Self::Dense(row) => clear(policies, row),
            Self::Sparse(row) => {
                for &(word, bits) in row {
                    if let Some(policies) = policies.get_mut(word as usize) {
                        *policies &= !bits;
                    }
                }
            }
        }
    }

    /// Clears this row's policies but for `apart`, which is turned around: what of it is in the
    /// row stays, what of it is not is cleared as well.
    pub(super) fn clear_but(&self, apart: &[(u32, u64)], policies: &mut [u64]) {
        let Self::Dense(row) = self else {
            // INVARIANT (dense base): only a dense row has values that differ from it.
            return;
        };
        let mut from = 0;
        for &(word, turned) in apart {
            let word = word as usize;
            let (Some(between), Some(kept)) = (policies.get_mut(from..word), row.get(from..word))
            else {
                return;
            };
            clear(between, kept);
            if let (Some(policies), Some(bits)) = (policies.get_mut(word), row.get(word)) {
                *policies &= !(bits ^ turned);
            }
            from = word + 1;
        }
        if let (Some(rest), Some(kept)) = (policies.get_mut(from..), row.get(from..)) {
            clear(rest, kept);
        }
    }

    /// The row with `apart` turned around.
    fn turned(&self, words: usize, apart: &[(u32, u64)]) -> Self {
        let mut all: Vec<(u32, u64)> = match self {
            Self::Dense(row) => (0..).zip(row.iter().copied()).collect(),
            Self::Sparse(row) => row.to_vec(),
        };
        for &(word, bits) in apart {
            match all.binary_search_by_key(&word, |&(word, _)| word) {
                Ok(at) => {
                    if let Some((_, row)) = all.get_mut(at) {
                        *row ^= bits;
                    }
                }
                Err(at) => all.insert(at, (word, bits)),
            }
        }
        all.retain(|&(_, bits)| bits != 0);
        Self::new(words, all)
    }

    /// The row of a value of which this is the row of every other value.
    pub(super) fn value(&self, words: usize, apart: Vec<(u32, u64)>) -> Value {
        // PERF: patching a row costs more than a row of its own, which costs memory; values are as
        // many as policies in the worst case, so a row of its own may be twice as large at most.
        if matches!(self, Self::Dense(_)) && apart.len() * 4 < words {
            Value::Patch(apart.into())
        } else {
            Value::Own(self.turned(words, &apart))
        }
    }
}

/// What one value of a key rules out.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// These policies.
    Own(Row),
    /// What every other value does, but for these; see [`Row::clear_but`].
    Patch(Box<[(u32, u64)]>),
}

const fn is_dense(words: usize, set: usize) -> bool {
    set * 2 >= words
}

fn clear(policies: &mut [u64], row: &[u64]) {
    for (policies, bits) in policies.iter_mut().zip(row) {
        *policies &= !bits;
    }
}
