//! The policies of a cluster or a folder as they come and go: what has to be compiled again, and
//! which version of each is in force.
//!
//! A change of one policy compiles that policy only; [`Set::link`] then makes the program of all.
//! A version that does not compile never replaces one that did (spec: policy, "A policy that does
//! not compile"). No I/O: whoever watches feeds it. Start at [`Set::apply`].

use std::collections::BTreeMap;
use std::sync::Arc;

use caapc_vm::program::Program;

use crate::link::{LinkError, Linker};
use crate::lower::{lower, lower_broken};
use crate::policy::Entry;
use crate::unit::Unit;

/// What becomes of a policy that never compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnInvalid {
    /// What its valid selectors match is rejected.
    #[default]
    Deny,
    /// It is as if it were absent.
    Ignore,
}

/// Which version of a policy is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InForce {
    /// This one.
    This,
    /// The last one that compiled.
    Last,
    /// None: it rejects what it selects, or is ignored.
    None,
}

#[derive(Clone, Debug, Default)]
struct Versions {
    /// The last version that compiled.
    good: Option<Arc<Unit>>,
    /// The newest version, if it does not compile.
    broken: Option<Arc<Unit>>,
}

/// A set of policies by name.
#[derive(Default)]
pub struct Set {
    policies: BTreeMap<String, Versions>,
    linker: Linker,
    on_invalid: OnInvalid,
}

impl Set {
    /// A set without policies.
    pub fn new(on_invalid: OnInvalid) -> Self {
        Self { on_invalid, ..Self::default() }
    }

    /// Takes a new version of a policy and says which version is in force from now on.
    pub fn apply(&mut self, entry: &Entry) -> InForce {
        let versions = self.policies.entry(entry.name().to_owned()).or_default();
        match entry {
            Entry::Policy(policy) => {
                *versions = Versions { good: Some(Arc::new(lower(policy))), broken: None };
                return InForce::This;
            }
            Entry::Broken(broken) => versions.broken = Some(Arc::new(lower_broken(broken))),
        }
        if versions.good.is_some() { InForce::Last } else { InForce::None }
    }

    /// Takes an earlier version that compiled, if nothing newer did: after a restart, from where
    /// it was kept.
    pub fn remember(&mut self, entry: &Entry) {
        if let Entry::Policy(policy) = entry {
            let versions = self.policies.entry(policy.name.clone()).or_default();
            versions.good.get_or_insert_with(|| Arc::new(lower(policy)));
        }
    }

    /// Forgets a policy.
    pub fn remove(&mut self, name: &str) {
        self.policies.remove(name);
    }

    /// Forgets every policy of which `keep` says no: the end of a list that was read anew.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.policies.retain(|name, _| keep(name));
    }

    /// How many policies there are.
    pub fn len(&self) -> usize {
        self.policies.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// How many policies' newest version does not compile.
    pub fn broken(&self) -> usize {
        self.policies.values().filter(|versions| versions.broken.is_some()).count()
    }

    /// Links what is in force.
    ///
    /// # Errors
    /// The patterns of all policies together are over the limit.
    pub fn link(&mut self) -> Result<Program, LinkError> {
        let units: Vec<Arc<Unit>> =
            self.policies.values().filter_map(|versions| self.in_force(versions)).collect();
        self.linker.link(&units)
    }

    fn in_force(&self, versions: &Versions) -> Option<Arc<Unit>> {
        let rejecting = versions.broken.clone().filter(|_| self.on_invalid == OnInvalid::Deny);
        versions.good.clone().or(rejecting)
    }
}
