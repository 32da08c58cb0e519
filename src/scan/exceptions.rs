//! Exceptions: vulnerabilities that do not count, and what an image's score is without them.
//!
//! An expired exception is as if it were absent from the instant it expires: expiry is looked at
//! with the `now` of each question, and nothing waits for it (spec: scan, "Where results live").
//! Start at [`Exception::read`] and [`Standing::of`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use caapc_vm::facts::Timestamp;

use super::record::{Peak, RULES, Record, Row, parse_time, raise};
use super::words::{Word, Words};
use crate::api::{ExceptionScope, MissingScore, Score, VulnerabilityExceptionSpec};
use crate::reference::Reference;

/// One exception, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// The name of its object.
    pub name: Arc<str>,
    /// The vulnerability that does not count.
    pub id: Arc<str>,
    /// Where.
    pub scope: Scope,
    /// From this instant on it counts again; `None`: never.
    pub expires: Option<Timestamp>,
    /// Why it does not count.
    pub justification: Option<Box<str>>,
    /// Who answers for it.
    pub owner: Option<Box<str>>,
}

/// Where an exception holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In every image.
    Any,
    /// In one repository, in canonical form.
    Repo(Box<str>),
    /// In some tags of one repository.
    Image(Box<str>, Box<[Box<str>]>),
}

/// The image that is asked about, as far as scopes need it.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// Registry and repository in canonical form.
    pub(super) repository: &'a str,
    /// The tag; `None` if it is asked for by digest.
    pub(super) tag: Option<&'a str>,
}

/// The exceptions of one vulnerability.
#[derive(Clone, Debug, Default)]
pub(super) struct OfOne {
    /// When the last of those for any image expires; `None`: there are none.
    any_until: Option<Timestamp>,
    any: Vec<Arc<Exception>>,
    /// The others, by repository.
    scoped: Vec<Arc<Exception>>,
}

/// The exceptions by vulnerability, as a shelf sees them.
pub(super) type ById = HashMap<Word, Arc<OfOne>>;

/// All exceptions by vulnerability; the mutable side.
#[derive(Clone, Debug, Default)]
pub(super) struct Exceptions {
    by_name: BTreeMap<Arc<str>, Arc<Exception>>,
    by_id: Arc<ById>,
    /// Vulnerabilities whose exceptions changed since [`Self::settle`].
    changed: HashSet<Word>,
}

/// What exceptions make of one record. Images none of whose vulnerabilities has one have none.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    /// The maxima over all that no scope has to be asked for: from each instant on, rising.
    steps: Box<[Step]>,
    /// Vulnerabilities with an exception for some repository.
    hits: Box<[Hit]>,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    from: Timestamp,
    maxima: [Peak; RULES],
}

#[derive(Clone, Debug)]
struct Hit {
    row: Row,
    exceptions: Arc<OfOne>,
}

const FOREVER: Timestamp = Timestamp { secs: i64::MAX, nanos: 999_999_999 };

impl Exception {
    /// Checks an exception.
    ///
    /// # Errors
    /// One sentence with the field path.
    pub fn read(name: &str, spec: &VulnerabilityExceptionSpec) -> Result<Self, String> {
        if spec.vulnerability.is_empty() {
            return Err("spec.vulnerability: empty; write an id such as CVE-2024-1234".to_owned());
        }
        let expires = spec.expires_at.as_deref().map(parse_time).transpose();
        Ok(Self {
            name: name.into(),
            id: spec.vulnerability.as_str().into(),
            scope: read_scope(spec)?,
            expires: expires.map_err(|why| format!("spec.expiresAt: {why}"))?,
            justification: spec.justification.as_deref().map(Into::into),
            owner: spec.owner.as_deref().map(Into::into),
        })
    }

    /// Whether it is in force at `now`: it is not at the instant it expires.
    pub fn in_force(&self, now: Timestamp) -> bool {
        now < self.until()
    }

    fn until(&self) -> Timestamp {
        self.expires.unwrap_or(FOREVER)
    }

    /// Whether its scope holds the image that is asked about.
    fn covers(&self, asked: Asked<'_>, record: &Record) -> bool {
        match &self.scope {
            Scope::Any => true,
            Scope::Repo(repository) => **repository == *asked.repository,
            Scope::Image(repository, tags) => {
                **repository == *asked.repository
                    && match asked.tag {
                        Some(tag) => tags.iter().any(|one| **one == *tag),
                        None => tags.iter().any(|one| lists(record, repository, one)),
                    }
            }
        }
    }

    fn repository(&self) -> &str {
        match &self.scope {
            Scope::Any => "",
            Scope::Repo(repository) | Scope::Image(repository, _) => repository,
        }
    }
}

/// Whether a scan found by digest is known by a repository and tag.
pub(super) fn lists(record: &Record, repository: &str, tag: &str) -> bool {
    record.keys.iter().any(|key| {
        let rest = key.text.strip_prefix(repository).and_then(|rest| rest.strip_prefix(':'));
        rest == Some(tag)
    })
}

fn read_scope(spec: &VulnerabilityExceptionSpec) -> Result<Scope, String> {
    let given = |field: &Option<String>| field.as_ref().is_some_and(|text| !text.is_empty());
    let tags = spec.tags.as_deref().unwrap_or_default();
    match spec.scope {
        ExceptionScope::Any if given(&spec.repository) || given(&spec.registry) => Err(
            "spec.scope: `any` takes no registry and no repository; write `repo`, or leave them out"
                .to_owned(),
        ),
        ExceptionScope::Any if !tags.is_empty() => {
            Err("spec.tags: scope `any` takes no tags; write scope `image`".to_owned())
        }
        ExceptionScope::Repo if !tags.is_empty() => {
            Err("spec.tags: scope `repo` takes no tags; write scope `image`".to_owned())
        }
        ExceptionScope::Image if tags.is_empty() => {
            Err("spec.tags: scope `image` needs at least one tag; write `repo` for all".to_owned())
        }
        ExceptionScope::Any => Ok(Scope::Any),
        ExceptionScope::Repo => Ok(Scope::Repo(joined_repository(spec)?.into())),
        ExceptionScope::Image => Ok(Scope::Image(
            joined_repository(spec)?.into(),
            tags.iter().map(|tag| tag.as_str().into()).collect(),
        )),
    }
}

/// Registry and repository joined with `/`, in canonical form.
fn joined_repository(spec: &VulnerabilityExceptionSpec) -> Result<String, String> {
    let part = |field: &Option<String>| {
        field.as_deref().unwrap_or_default().trim().trim_matches('/').to_owned()
    };
    let (registry, repository) = (part(&spec.registry), part(&spec.repository));
    if repository.is_empty() {
        return Err(format!(
            "spec.repository: missing; scope `{}` is about one repository",
            spec.scope.word()
        ));
    }
    let joined = if registry.is_empty() { repository } else { format!("{registry}/{repository}") };
    let reference = Reference::parse(&joined)
        .map_err(|error| format!("spec.repository: `{joined}`: {error}"))?;
    if reference.tag().is_some() || reference.digest().is_some() {
        return Err(format!(
            "spec.repository: `{joined}` has a tag or a digest; write tags in `spec.tags`"
        ));
    }
    Ok(reference.canonical_repository())
}

impl OfOne {
    /// Whether one of them holds for the image at `now`.
    fn cover(&self, asked: Asked<'_>, record: &Record, now: Timestamp) -> bool {
        self.any_until.is_some_and(|until| now < until)
            || self.scoped_for(asked).any(|one| one.in_force(now) && one.covers(asked, record))
    }

    /// All that hold for the image at `now`.
    fn holding<'s>(
        &'s self,
        asked: Asked<'s>,
        record: &'s Record,
        now: Timestamp,
    ) -> impl Iterator<Item = &'s Arc<Exception>> {
        let all = self.any.iter().chain(self.scoped_for(asked));
        all.filter(move |one| one.in_force(now) && one.covers(asked, record))
    }

    fn scoped_for(&self, asked: Asked<'_>) -> std::slice::Iter<'_, Arc<Exception>> {
        let from = self.scoped.partition_point(|one| one.repository() < asked.repository);
        let rest = self.scoped.get(from..).unwrap_or_default();
        let len = rest.partition_point(|one| one.repository() == asked.repository);
        rest.get(..len).unwrap_or_default().iter()
    }
}

impl Exceptions {
    /// Adds an exception, or puts it in the place of the one of its name.
    pub(super) fn apply(&mut self, exception: Exception, words: &mut Words) {
        self.delete(&exception.name.clone(), words);
        if let Some(id) = words.intern(&exception.id) {
            self.changed.insert(id);
        }
        self.by_name.insert(exception.name.clone(), Arc::new(exception));
    }

    /// Takes an exception away.
    pub(super) fn delete(&mut self, name: &str, words: &mut Words) {
        if let Some(old) = self.by_name.remove(name)
            && let Some(id) = words.intern(&old.id)
        {
            self.changed.insert(id);
        }
    }

    pub(super) fn by_id(&self) -> &Arc<ById> {
        &self.by_id
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Exception>> {
        self.by_name.values()
    }

    /// Brings the index up to date; returns the vulnerabilities about which something changed.
    pub(super) fn settle(&mut self, words: &mut Words) -> HashSet<Word> {
        let changed = std::mem::take(&mut self.changed);
        if changed.is_empty() {
            return changed;
        }
        let mut fresh: HashMap<Word, OfOne> = HashMap::new();
        for exception in self.by_name.values() {
            let Some(id) = words.intern(&exception.id).filter(|id| changed.contains(id)) else {
                continue;
            };
            let one = fresh.entry(id).or_default();
            match exception.scope {
                Scope::Any => {
                    one.any_until = one.any_until.max(Some(exception.until()));
                    one.any.push(exception.clone());
                }
                Scope::Repo(_) | Scope::Image(..) => one.scoped.push(exception.clone()),
            }
        }
        let by_id = Arc::make_mut(&mut self.by_id);
        by_id.retain(|id, _| !changed.contains(id));
        by_id.extend(fresh.into_iter().map(|(id, mut one)| {
            one.scoped.sort_by(|a, b| a.repository().cmp(b.repository()));
            (id, Arc::new(one))
        }));
        changed
    }

    /// Makes every vulnerability count as changed: the words were numbered anew.
    pub(super) fn renumber(&mut self, words: &mut Words) {
        self.by_id = Arc::default();
        self.changed = self.by_name.values().filter_map(|one| words.intern(&one.id)).collect();
    }
}

impl Standing {
    /// What exceptions make of a record; `None` if they are about none of its vulnerabilities.
    pub(super) fn of(record: &Record, exceptions: &Exceptions) -> Option<Self> {
        if exceptions.by_id.is_empty() {
            return None;
        }
        let mut base = record.overflow;
        let mut timed: Vec<(Timestamp, Row)> = Vec::new();
        let mut hits = Vec::new();
        for row in &record.rows {
            match exceptions.by_id.get(&row.id()) {
                None => raise(&mut base, *row),
                Some(one) => match one.any_until {
                    Some(until) if one.scoped.is_empty() => timed.push((until, *row)),
                    _ => hits.push(Hit { row: *row, exceptions: one.clone() }),
                },
            }
        }
        if timed.is_empty() && hits.is_empty() {
            return None;
        }
        timed.sort_by_key(|(until, _)| *until);
        let mut steps = vec![Step { from: Timestamp::MIN, maxima: base }];
        for (until, row) in timed.into_iter().filter(|(until, _)| *until != FOREVER) {
            let mut maxima = steps.last().map_or(base, |step| step.maxima);
            raise(&mut maxima, row);
            match steps.last_mut() {
                Some(last) if last.from == until || last.maxima == maxima => last.maxima = maxima,
                _ => steps.push(Step { from: until, maxima }),
            }
        }
        Some(Self { steps: steps.into(), hits: hits.into() })
    }

    /// The first instant after a time at which an exception expires.
    pub(super) fn next_expiry(&self, after: Timestamp) -> Option<Timestamp> {
        let steps = self.steps.iter().map(|step| step.from);
        let scoped = self.hits.iter().flat_map(|hit| {
            let OfOne { any, scoped, .. } = &*hit.exceptions;
            any.iter().chain(scoped).filter_map(|one| one.expires)
        });
        steps.chain(scoped).filter(|at| *at > after).min()
    }

    /// The highest score at `now`. Never allocates.
    pub(super) fn maximum(
        &self,
        record: &Record,
        rule: MissingScore,
        asked: Asked<'_>,
        now: Timestamp,
    ) -> Peak {
        let past = self.steps.partition_point(|step| step.from <= now);
        let step = past.checked_sub(1).and_then(|last| self.steps.get(last));
        let mut maximum = step.map_or(0, |step| step.maxima[rule as usize]);
        for hit in &self.hits {
            let score = hit.row.score(rule).map_or(0, Score::tenths);
            // PERF: a scope is asked for only if the answer matters.
            if score > maximum && !hit.exceptions.cover(asked, record, now) {
                maximum = score;
            }
        }
        maximum
    }
}

/// The exceptions that hold for a vulnerability of an image at `now`.
pub(super) fn holding<'s>(
    exceptions: &'s ById,
    id: Word,
    asked: Asked<'s>,
    record: &'s Record,
    now: Timestamp,
) -> impl Iterator<Item = &'s Arc<Exception>> {
    exceptions.get(&id).into_iter().flat_map(move |one| one.holding(asked, record, now))
}
