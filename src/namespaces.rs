//! The shelf of namespace labels: an immutable snapshot, replaced whole.
//!
//! It neither watches nor reads files; `watch` and the command line fill it. A changed copy
//! shares all but one of its buckets with the original, so that one event in a cluster of ten
//! thousand namespaces costs a few microseconds. Start at [`Namespaces`].

use std::fmt;
use std::sync::Arc;

/// The label that Kubernetes sets on every namespace, and that is set here over any other value.
pub const NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// The label that policies of the original use for a namespace's name. It is always set here, over
/// any label of that name: a tenant could spoof it (spec: policy, "Evaluation", 1).
pub const CALICO_NAME_LABEL: &str = "projectcalico.org/name";

/// A power of two: ten thousand namespaces leave about 40 in each bucket.
const BUCKETS: usize = 256;

/// One namespace: its name and its labels, sorted by key, the two name labels included.
#[derive(Debug, PartialEq, Eq)]
pub struct Namespace {
    name: Box<str>,
    labels: Box<[(Box<str>, Box<str>)]>,
}

impl Namespace {
    /// Takes the labels as they are in the cluster. A key given twice counts with its first value.
    pub fn new<K, V>(name: &str, labels: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<Box<str>>,
        V: Into<Box<str>>,
    {
        let ours = |key: &str| key == NAME_LABEL || key == CALICO_NAME_LABEL;
        let mut labels: Vec<(Box<str>, Box<str>)> = labels
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .filter(|(key, _)| !ours(key))
            .collect();
        labels.push((NAME_LABEL.into(), name.into()));
        labels.push((CALICO_NAME_LABEL.into(), name.into()));
        labels.sort_by(|one, two| one.0.cmp(&two.0));
        labels.dedup_by(|later, first| later.0 == first.0);
        Self { name: name.into(), labels: labels.into() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its labels, sorted by key, each key once.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.labels.iter().map(|(key, value)| (&**key, &**value))
    }

    /// The value of one label.
    pub fn label(&self, key: &str) -> Option<&str> {
        let at = self.labels.binary_search_by(|(name, _)| (**name).cmp(key)).ok()?;
        self.labels.get(at).map(|(_, value)| &**value)
    }
}

type Bucket = Arc<Vec<Arc<Namespace>>>;

/// All namespaces that are known. Cloning is cheap and shares everything.
#[derive(Clone)]
pub struct Namespaces {
    buckets: Arc<[Bucket]>,
    count: usize,
}

impl Namespaces {
    /// No namespace at all.
    pub fn empty() -> Self {
        let bucket = Bucket::default();
        Self { buckets: std::iter::repeat_n(bucket, BUCKETS).collect(), count: 0 }
    }

    /// The namespace of this name.
    pub fn find(&self, name: &str) -> Option<&Namespace> {
        let bucket = self.buckets.get(bucket_of(name))?;
        let at = position(bucket, name).ok()?;
        bucket.get(at).map(|namespace| &**namespace)
    }

    /// A copy with this namespace added or replaced. The same labels again give the same shelf.
    #[must_use]
    pub fn with(&self, namespace: Namespace) -> Self {
        if self.find(namespace.name()) == Some(&namespace) {
            return self.clone();
        }
        let number = bucket_of(namespace.name());
        let mut count = self.count;
        let buckets = self.change(number, |bucket| match position(bucket, namespace.name()) {
            Ok(at) => bucket[at] = Arc::new(namespace),
            Err(at) => {
                bucket.insert(at, Arc::new(namespace));
                count += 1;
            }
        });
        Self { buckets, count }
    }

    /// A copy without the namespace of this name.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let mut count = self.count;
        let buckets = self.change(bucket_of(name), |bucket| {
            if let Ok(at) = position(bucket, name) {
                bucket.remove(at);
                count -= 1;
            }
        });
        Self { buckets, count }
    }

    /// Every namespace, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Namespace> {
        self.buckets.iter().flat_map(|bucket| bucket.iter()).map(|namespace| &**namespace)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The buckets, with one of them changed and all others shared.
    fn change(&self, number: usize, edit: impl FnOnce(&mut Vec<Arc<Namespace>>)) -> Arc<[Bucket]> {
        let mut edit = Some(edit);
        let changed = |(at, bucket): (usize, &Bucket)| {
            let mut bucket = Arc::clone(bucket);
            if at == number
                && let Some(edit) = edit.take()
            {
                edit(Arc::make_mut(&mut bucket));
            }
            bucket
        };
        self.buckets.iter().enumerate().map(changed).collect()
    }
}

impl Default for Namespaces {
    fn default() -> Self {
        Self::empty()
    }
}

impl FromIterator<Namespace> for Namespaces {
    /// The last of several of one name counts.
    fn from_iter<I: IntoIterator<Item = Namespace>>(namespaces: I) -> Self {
        let mut buckets = vec![Vec::<Arc<Namespace>>::new(); BUCKETS];
        for namespace in namespaces {
            let Some(bucket) = buckets.get_mut(bucket_of(namespace.name())) else { continue };
            match position(bucket, namespace.name()) {
                Ok(at) => bucket[at] = Arc::new(namespace),
                Err(at) => bucket.insert(at, Arc::new(namespace)),
            }
        }
        let count = buckets.iter().map(Vec::len).sum();
        Self { buckets: buckets.into_iter().map(Arc::new).collect(), count }
    }
}

impl fmt::Debug for Namespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// FNV-1a. Names are at most 63 bytes and a bucket is searched by bisection, so a tenant who
/// finds collisions gains nothing.
fn bucket_of(name: &str) -> usize {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    (hash ^ (hash >> 32)) as usize % BUCKETS
}

fn position(bucket: &[Arc<Namespace>], name: &str) -> Result<usize, usize> {
    bucket.binary_search_by(|namespace| (*namespace.name).cmp(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(namespace: &Namespace) -> Vec<(&str, &str)> {
        namespace.labels().collect()
    }

    #[test]
    fn the_name_labels_are_ours_whatever_a_tenant_wrote() {
        let shelf = Namespaces::empty().with(Namespace::new(
            "demo",
            [(CALICO_NAME_LABEL, "kube-system"), ("a", "1"), (NAME_LABEL, "other"), ("a", "2")],
        ));
        assert_eq!(
            labels(shelf.find("demo").unwrap()),
            [("a", "1"), (NAME_LABEL, "demo"), (CALICO_NAME_LABEL, "demo")]
        );
        assert_eq!(shelf.find("demo").unwrap().label("a"), Some("1"));
        assert_eq!(shelf.find("demo").unwrap().label("b"), None);
        assert!(shelf.find("dem").is_none());
    }

    #[test]
    fn a_snapshot_never_changes_and_shares_what_did_not() {
        let none = [("", ""); 0];
        let before: Namespaces =
            (0..5000).map(|n| Namespace::new(&format!("ns-{n}"), none)).collect();
        let after = before.with(Namespace::new("ns-7", [("team", "a")])).without("ns-8");
        assert_eq!((before.len(), after.len()), (5000, 4999));
        assert_eq!(before.find("ns-7").unwrap().label("team"), None);
        assert_eq!(after.find("ns-7").unwrap().label("team"), Some("a"));
        assert!(before.find("ns-8").is_some() && after.find("ns-8").is_none());
        let shared = |(one, two): &(&Bucket, &Bucket)| Arc::ptr_eq(one, two);
        let same = before.buckets.iter().zip(after.buckets.iter()).filter(shared).count();
        assert!(same >= BUCKETS - 2);
        assert_eq!(after.iter().count(), after.len());
        let fullest = before.buckets.iter().map(|bucket| bucket.len()).max().unwrap();
        assert!(fullest < 60, "{fullest} of 5000 in one bucket");
    }
}
