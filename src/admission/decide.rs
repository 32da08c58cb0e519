//! What is decided for one request: pure, bounded, without allocation outside the arena.
//!
//! Every sentence of the contract's "Which objects are evaluated" is a branch here and a test
//! below. Texts are `message`'s, bytes are `respond`'s. Start at [`decide`].

use bumpalo::Bump;
use bumpalo::collections::{String, Vec};
use caapc_vm::facts::{ImageFacts, RequestFacts, ScanStatus, Timestamp};
use caapc_vm::program::RuleInfo;
use caapc_vm::run::{self, Scratch, Verdict};

use super::Snapshot;
use super::fault::{Fault, Place, Problem};
use super::image::{self, ContainerImage};
use super::limits::EXPIRY_WARNING_SECS;
use super::object::Object;
use super::options::{
    ImagePath, MissingNamespace, Mode, OnUnknownKind, Options, OwnerSkip, UnchangedUpdates,
};
use super::review::{Operation, Request};
use super::workload::{Workload, is_controller, is_garbage_collector};
use crate::namespaces::{CALICO_NAME_LABEL, NAME_LABEL};
use crate::reference::Reference;
use crate::scan::{ScanEntry, ScanFact, ScanState};

/// What is answered to one request.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    /// Whether the policies, or a fault of the object, reject it; the mode is applied later.
    pub rejected: bool,
    /// Why.
    pub why: Why<'a>,
    /// The mode in force for the namespace.
    pub mode: Mode,
    /// The object's name, or its `generateName`.
    pub name: &'a str,
    /// The images that were decided, in the contract's order.
    pub images: &'a [ImageDecision<'a>],
    /// The rule that decides: that of the first rejected image, else of the first that one allows.
    pub rule: Option<RuleInfo<'a>>,
    /// The namespace was not listed: only its name labels were known.
    pub namespace_assumed: bool,
    /// What the program was told of the request; absent: it was not asked.
    pub facts: Option<RequestFacts<'a>>,
}

impl<'a> Decision<'a> {
    /// Whether the request is admitted, in the mode in force.
    pub fn allowed(&self) -> bool {
        !self.rejected || self.mode != Mode::Enforce
    }

    /// The first rejected image: the one that is reported.
    pub fn first_rejected(&self) -> Option<&'a ImageDecision<'a>> {
        self.images.iter().find(|image| matches!(image.verdict, Verdict::Reject(_)))
    }
}

/// Why a request is answered as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why<'a> {
    /// Not evaluated: DELETE or CONNECT.
    Operation,
    /// Not evaluated: a subresource that holds no images.
    SubResource,
    /// Not evaluated: no namespace.
    ClusterScoped,
    /// Not evaluated: a kind that is not known here.
    UnknownKind,
    /// Not evaluated: its owner was.
    Child,
    /// Not evaluated: an owned object whose owners and images stay the same.
    UnchangedChild,
    /// Not evaluated: it is being deleted and no image is new.
    Ending,
    /// Not evaluated: a built-in controller changed it and no image is new.
    Controller,
    /// Not evaluated: no image changed, and the switch says so.
    UnchangedImages,
    /// Nothing to evaluate: no container is new.
    NothingNew,
    /// The policies decided its images.
    Evaluated,
    /// The object cannot be read.
    Fault(Fault<'a>),
    /// Its namespace is not on the shelf: an error, no decision.
    NamespaceUnknown,
}

impl Why<'_> {
    /// One word for logs, metrics and audit annotations.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Operation => "operation",
            Self::SubResource => "subresource",
            Self::ClusterScoped => "cluster-scoped",
            Self::UnknownKind => "unknown-kind",
            Self::Child => "child",
            Self::UnchangedChild => "unchanged-child",
            Self::Ending => "ending",
            Self::Controller => "controller",
            Self::UnchangedImages => "unchanged-images",
            Self::NothingNew => "nothing-new",
            Self::Evaluated => "evaluated",
            Self::Fault(_) => "fault",
            Self::NamespaceUnknown => "namespace-unknown",
        }
    }
}

/// One image and what was decided of it.
#[derive(Clone, Copy, Debug)]
pub struct ImageDecision<'a> {
    /// Where it stands, and the image string.
    pub container: ContainerImage<'a>,
    /// What its scan says.
    pub scan: ScanFact,
    /// What the program was told.
    pub facts: ImageFacts<'a>,
    /// What the program says.
    pub verdict: Verdict,
    /// The rule that decided, for messages.
    pub rule: Option<RuleInfo<'a>>,
    /// What the shelf has of it; `None` if the image string is no reference.
    pub known: Option<ScanEntry<'a>>,
    /// When it will be rejected, soon, because an exception expires.
    pub expires: Option<Timestamp>,
    /// It is rejected, and would not be if a scan found nothing now.
    pub scan_helps: bool,
}

/// Decides one request at one `now`. Everything it needs besides its arguments is on `snapshot`.
pub fn decide<'a>(
    snapshot: &'a Snapshot,
    options: &Options,
    request: &Request<'a>,
    now: Timestamp,
    scratch: &mut Scratch,
    arena: &'a Bump,
) -> Decision<'a> {
    let mut decision = Decision {
        rejected: false,
        why: Why::Evaluated,
        mode: mode(snapshot, options, request),
        name: request.name,
        images: &[],
        rule: None,
        namespace_assumed: false,
        facts: None,
    };
    let scope = match scope(options, request, &mut decision, arena) {
        Ok(Scope::Skip(why)) => {
            decision.why = why;
            decision.rejected =
                why == Why::UnknownKind && options.on_unknown_kind == OnUnknownKind::Deny;
            return decision;
        }
        Ok(Scope::Evaluate(object, images)) => evaluate(
            snapshot,
            options,
            request,
            now,
            scratch,
            arena,
            &object,
            images,
            &mut decision,
        ),
        Err(fault) => Err(fault),
    };
    if let Err(fault) = scope {
        decision.rejected = true;
        decision.why = Why::Fault(fault);
    }
    decision
}

/// What of a request is evaluated.
enum Scope<'a> {
    /// Nothing.
    Skip(Why<'a>),
    /// These images of this object.
    Evaluate(Object<'a>, &'a [ContainerImage<'a>]),
}

fn scope<'a>(
    options: &Options,
    request: &Request<'a>,
    decision: &mut Decision<'a>,
    arena: &'a Bump,
) -> Result<Scope<'a>, Fault<'a>> {
    if matches!(request.operation, Operation::Delete | Operation::Connect) {
        return Ok(Scope::Skip(Why::Operation));
    }
    let workload = Workload::of_resource(request.group, request.resource);
    let ephemeral =
        workload == Some(Workload::Pod) && request.sub_resource == "ephemeralcontainers";
    if !request.sub_resource.is_empty() && !ephemeral {
        return Ok(Scope::Skip(Why::SubResource));
    }
    let Some(workload) = workload else {
        let why = if request.namespace.is_empty() { Why::ClusterScoped } else { Why::UnknownKind };
        return Ok(Scope::Skip(why));
    };
    let missing = |field| Fault::new(Place::at("request", &[]).field(field), Problem::Missing);
    if request.namespace.is_empty() {
        return Err(missing("namespace"));
    }
    let object = Object::read("object", request.object.ok_or(missing("object"))?, arena)?;
    if decision.name.is_empty() {
        decision.name = object.name;
    }
    let change = Change::read(request, workload, object, arena);
    if ephemeral {
        return change.new_containers();
    }
    if let Some(why) = change.skip(options, request)? {
        return Ok(Scope::Skip(why));
    }
    Ok(Scope::Evaluate(object, change.images?))
}

/// An object and, on UPDATE, what it was before.
struct Change<'a> {
    workload: Workload,
    object: Object<'a>,
    images: Result<&'a [ContainerImage<'a>], Fault<'a>>,
    /// An old object that does not decode counts as absent, so that no rule excuses the new one.
    old: Option<Object<'a>>,
    old_images: Option<&'a [ContainerImage<'a>]>,
    arena: &'a Bump,
}

impl<'a> Change<'a> {
    fn read(
        request: &Request<'a>,
        workload: Workload,
        object: Object<'a>,
        arena: &'a Bump,
    ) -> Self {
        let old = match (request.operation, request.old_object) {
            (Operation::Update, Some(json)) => Object::read("oldObject", json, arena).ok(),
            _ => None,
        };
        let images = image::read(&object, workload, arena);
        let old_images = old.and_then(|old| image::read(&old, workload, arena).ok());
        Self { workload, object, images, old, old_images, arena }
    }

    /// Why the object is not evaluated, if one of the contract's rules says so.
    fn skip(&self, options: &Options, request: &Request<'a>) -> Result<Option<Why<'a>>, Fault<'a>> {
        let controller = is_controller(request.user);
        let Some(old) = &self.old else {
            let trusted = controller || options.owner_skip == OwnerSkip::Compat;
            let child =
                request.operation == Operation::Create && trusted && self.is_owned(options)?;
            return Ok(child.then_some(Why::Child));
        };
        if self.no_image_is_new() {
            if old.deleted {
                return Ok(Some(Why::Ending));
            }
            if controller || is_garbage_collector(request.user) {
                return Ok(Some(Why::Controller));
            }
        }
        if self.images_are_the_same() {
            let same_owners =
                self.object.owners(self.arena)? == old.owners(self.arena).unwrap_or_default();
            if same_owners && self.is_owned(options)? {
                return Ok(Some(Why::UnchangedChild));
            }
            if options.unchanged_updates == UnchangedUpdates::Allow {
                return Ok(Some(Why::UnchangedImages));
            }
        }
        Ok(None)
    }

    /// Whether a controller owner of a kind that is evaluated itself (in `compat`, of any kind)
    /// stands behind the object.
    fn is_owned(&self, options: &Options) -> Result<bool, Fault<'a>> {
        let counts = |api_version, kind| {
            options.owner_skip == OwnerSkip::Compat
                || Workload::of_kind(api_version, kind).is_some_and(Workload::owns_pods)
        };
        let owners = self.object.owners(self.arena)?;
        Ok(owners.iter().any(|owner| owner.controller && counts(owner.api_version, owner.kind)))
    }

    /// The same text has the same images, even if they are beyond a limit: whatever was
    /// admitted before a limit existed can still be ended.
    fn same_spec(&self) -> bool {
        let spec = |object: &Object<'a>| object.spec.map(|json| json.text());
        self.old.as_ref().is_some_and(|old| spec(old) == spec(&self.object))
    }

    fn no_image_is_new(&self) -> bool {
        self.same_spec()
            || match (self.images, self.old_images) {
                (Ok(new), Some(old)) => {
                    let old = self.texts(old);
                    new.iter().all(|image| old.binary_search(&image.image).is_ok())
                }
                _ => false,
            }
    }

    /// Equal as sets: the order of containers and their names do not matter.
    fn images_are_the_same(&self) -> bool {
        self.same_spec()
            || match (self.images, self.old_images) {
                (Ok(new), Some(old)) => self.texts(new) == self.texts(old),
                _ => false,
            }
    }

    /// The image strings, sorted, each once.
    fn texts(&self, images: &[ContainerImage<'a>]) -> Vec<'a, &'a str> {
        let mut texts = Vec::with_capacity_in(images.len(), self.arena);
        texts.extend(images.iter().map(|image| image.image));
        texts.sort_unstable();
        texts.dedup();
        texts
    }

    /// Of `pods/ephemeralcontainers`, only the containers that are absent from the old object,
    /// so that a pod whose main image went stale can still be debugged.
    fn new_containers(self) -> Result<Scope<'a>, Fault<'a>> {
        debug_assert_eq!(self.workload, Workload::Pod);
        let mut old = Vec::new_in(self.arena);
        old.extend_from_slice(self.old_images.unwrap_or_default());
        old.sort_unstable();
        let mut new = Vec::new_in(self.arena);
        new.extend(self.images?.iter().filter(|image| old.binary_search(image).is_err()));
        if new.is_empty() {
            return Ok(Scope::Skip(Why::NothingNew));
        }
        Ok(Scope::Evaluate(self.object, new.into_bump_slice()))
    }
}

#[expect(clippy::too_many_arguments, reason = "the second half of `decide`, with the same inputs")]
fn evaluate<'a>(
    snapshot: &'a Snapshot,
    options: &Options,
    request: &Request<'a>,
    now: Timestamp,
    scratch: &mut Scratch,
    arena: &'a Bump,
    object: &Object<'a>,
    images: &[ContainerImage<'a>],
    decision: &mut Decision<'a>,
) -> Result<(), Fault<'a>> {
    let mut namespace_labels = Vec::new_in(arena);
    match snapshot.namespaces.find(request.namespace) {
        Some(namespace) => namespace_labels.extend(namespace.labels()),
        None if options.missing_namespace == MissingNamespace::NameOnly => {
            decision.namespace_assumed = true;
            namespace_labels
                .extend([NAME_LABEL, CALICO_NAME_LABEL].map(|label| (label, request.namespace)));
        }
        None => {
            decision.why = Why::NamespaceUnknown;
            return Ok(());
        }
    }
    let facts = RequestFacts {
        labels: object.labels(arena)?,
        namespace_labels: namespace_labels.into_bump_slice(),
        now,
        skew_secs: snapshot.scans.settings().skew_secs,
    };
    let program = snapshot.policies.program();
    run::select(program, scratch, &facts);
    let mut decided: Vec<'a, ImageDecision<'a>> = Vec::with_capacity_in(images.len(), arena);
    for container in images {
        let reference = Reference::parse(container.image).ok();
        let known = reference.as_ref().map(|reference| snapshot.scans.entry(reference));
        let scan = known.map_or(ScanFact::NEVER, |known| known.fact(now));
        let (path, canonical) = paths(options.image_path, container.image, reference, arena);
        let facts = ImageFacts { path, canonical, status: scan.status, last_scan: scan.last_scan };
        let verdict = run::run(program, scratch, &facts);
        decision.rejected |= matches!(verdict, Verdict::Reject(_));
        let rule = match decided.last() {
            // PERF: most images of a request are decided by the same rule.
            Some(before) if before.verdict == verdict => before.rule,
            _ => verdict.rule().and_then(|rule| program.rule(rule)),
        };
        let container = *container;
        let (expires, scan_helps) = (None, false);
        let mut image =
            ImageDecision { container, known, scan, facts, verdict, rule, expires, scan_helps };
        image.expires = expiry(snapshot, now, scratch, &image);
        image.scan_helps = scan_would_help(snapshot, now, scratch, &image);
        decided.push(image);
    }
    decision.facts = Some(facts);
    decision.images = decided.into_bump_slice();
    let allowed = || decision.images.iter().find(|image| image.rule.is_some());
    decision.rule = decision.first_rejected().or_else(allowed).and_then(|image| image.rule);
    Ok(())
}

/// When an image that is allowed now will be rejected because an exception expires, if that is
/// soon (spec: webhook, "Answers").
fn expiry(
    snapshot: &Snapshot,
    now: Timestamp,
    scratch: &mut Scratch,
    image: &ImageDecision<'_>,
) -> Option<Timestamp> {
    if matches!(image.verdict, Verdict::Reject(_)) {
        return None;
    }
    let (at, status) = image.known?.worsens(now)?;
    if at > now.plus_secs(EXPIRY_WARNING_SECS) {
        return None;
    }
    let then = ImageFacts { status, ..image.facts };
    rejects(snapshot, scratch, &then).then_some(at)
}

/// Whether an image that is rejected without a result would be let in if a scan found nothing now.
fn scan_would_help(
    snapshot: &Snapshot,
    now: Timestamp,
    scratch: &mut Scratch,
    image: &ImageDecision<'_>,
) -> bool {
    let rejected = matches!(image.verdict, Verdict::Reject(_));
    if !rejected || image.known.is_none() || image.scan.state == ScanState::Scanned {
        return false;
    }
    let then = ImageFacts { status: ScanStatus::Pass, last_scan: Some(now), ..image.facts };
    !rejects(snapshot, scratch, &then)
}

/// Whether an image of the request would be rejected if these were its facts.
fn rejects(snapshot: &Snapshot, scratch: &mut Scratch, facts: &ImageFacts<'_>) -> bool {
    matches!(run::run(snapshot.policies.program(), scratch, facts), Verdict::Reject(_))
}

/// The strings that `imagePath` sees. What is no reference has no canonical form and is seen as
/// it is written.
fn paths<'a>(
    image_path: ImagePath,
    image: &'a str,
    reference: Option<Reference<'a>>,
    arena: &'a Bump,
) -> (&'a str, Option<&'a str>) {
    let canonical = || {
        let reference = reference?;
        let mut text =
            String::with_capacity_in(image.len() + "docker.io/library/:latest".len(), arena);
        reference.write_canonical(&mut text).ok()?;
        Some(text.into_bump_str())
    };
    match image_path {
        ImagePath::Raw => (image, None),
        ImagePath::Normalized => (canonical().unwrap_or(image), None),
        ImagePath::Both => (image, canonical()),
    }
}

/// The mode in force: the namespace's label where the operator named one, else the switch.
fn mode(snapshot: &Snapshot, options: &Options, request: &Request<'_>) -> Mode {
    let by_label = || {
        let key = options.mode_label.as_deref()?;
        Mode::from_word(snapshot.namespaces.find(request.namespace)?.label(key)?)
    };
    by_label().unwrap_or(options.mode)
}
