//! The two webhooks: reviews in, answers out; everything between the socket and `admission`.
//!
//! A review's body is read, it takes a place, a namespace that is not known is fetched, and then it
//! is decided on this thread without waiting for anything. Start at [`Webhook::handle`].

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Write;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use caapc_vm::facts::{ScanStatus, Timestamp};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};

use super::body;
use super::gate::{Full, Gate, Place};
use super::guard::Arriving;
use super::http::Handler;
use super::limits::Limits;
use super::status::{self, Body};
use crate::admission::decide::{Decision, Why};
use crate::admission::options::{Mode, Options};
use crate::admission::text::{Bounded, is_safe};
use crate::admission::{self, Answer, Snapshot, Worker};
use crate::byte_search::is_plain;
use crate::namespaces::Namespace;
use crate::telemetry::metrics::{Gauged, Metrics, What};

const REVIEW: &str = "/admission-review";
const VALIDATE: &str = "/validate-policies";

/// The timeout that is assumed where the API server does not say its own.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// What a fetch of a namespace comes to: `None` if there is none of that name.
pub type Fetched = Pin<Box<dyn Future<Output = Result<Option<Namespace>, String>> + Send>>;

/// What the webhooks are made of. Functions stand for the rooms that are not known here.
pub struct Webhook {
    /// The shelves in force; empty until all of them have been filled once.
    pub snapshot: Arc<ArcSwapOption<Snapshot>>,
    /// The switches.
    pub options: Options,
    /// The bounds.
    pub limits: Limits,
    /// Places and turns for reviews.
    pub gate: Gate,
    /// The same for the validation of policies, which takes longer and must not be in the way.
    pub validation_gate: Gate,
    /// Counters.
    pub metrics: Metrics,
    /// The clock that gives each request its one `now`.
    pub clock: Clock,
    /// Asks the cluster for a namespace that the shelf does not have.
    pub fetch: Option<Fetch>,
    /// Answers a review of a policy: an HTTP code and a JSON body. It may take its time.
    pub validate: Validate,
    /// Is told of every rejection that is no dry run. It must not wait.
    pub rejected: Option<Rejected>,
}

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Asks for a namespace by name.
pub type Fetch = Arc<dyn Fn(&str) -> Fetched + Send + Sync>;

/// Answers a review of a policy.
pub type Validate = Arc<dyn Fn(&[u8]) -> (u16, Vec<u8>) + Send + Sync>;

/// Is told of a rejection.
pub type Rejected = Arc<dyn Fn(Rejection) + Send + Sync>;

/// A rejection, for an event beside the object's namespace. Texts have no control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The namespace of the object.
    pub namespace: String,
    /// `apps/deployments`, or `pods` for the core group.
    pub resource: String,
    /// The object's name or generateName.
    pub name: String,
    /// What became of the request: `reject`, or what `warn` and `audit` let through.
    pub action: &'static str,
    /// The message of the denial.
    pub message: String,
}

thread_local! {
    // PERF: what a request needs is kept for the thread; nobody waits for anybody.
    static WORKER: RefCell<Worker> = RefCell::new(Worker::new());
}

impl Handler for Webhook {
    async fn handle(&self, request: Request<Incoming>, arriving: Arriving<'_>) -> Response<Body> {
        let begun = Instant::now();
        let _counted = Gauged::new(&self.metrics.in_flight);
        let path = match request.uri().path() {
            REVIEW => REVIEW,
            VALIDATE => VALIDATE,
            _ => "other",
        };
        let answered = self.answered(path, request, begun, arriving).await;
        let response = answered.unwrap_or_else(|refused| *refused);
        self.metrics.requests.count(path, response.status().as_u16());
        self.metrics.request_seconds.observe(begun.elapsed());
        response
    }
}

type Answered = Result<Response<Body>, Box<Response<Body>>>;

/// A request that was let in.
struct Entered {
    place: Place,
    body: Bytes,
    /// When its client gives up.
    deadline: tokio::time::Instant,
}

impl Webhook {
    async fn answered(
        &self,
        path: &str,
        request: Request<Incoming>,
        begun: Instant,
        arriving: Arriving<'_>,
    ) -> Answered {
        match path {
            REVIEW => self.review(self.enter(request, &self.gate, begun, arriving).await?).await,
            VALIDATE => {
                let gate = &self.validation_gate;
                self.validate(self.enter(request, gate, begun, arriving).await?).await
            }
            _ => Err(Box::new(status::not_found(
                request.uri().path(),
                "POST /admission-review and POST /validate-policies",
            ))),
        }
    }

    async fn review(&self, Entered { mut place, body, deadline }: Entered) -> Answered {
        place.turn(deadline).await.map_err(|full| self.full(full))?;
        let missing = match self.decide(&body, None) {
            Step::Done(response) => return Ok(response),
            Step::Namespace(name) => name,
        };
        place.rest();
        let namespace = self.namespace(&missing, deadline).await?;
        place.turn(deadline).await.map_err(|full| self.full(full))?;
        match self.decide(&body, Some(namespace)) {
            Step::Done(response) => Ok(response),
            Step::Namespace(name) => Err(unknown_namespace(&name, "it is still missing")),
        }
    }

    async fn validate(&self, Entered { mut place, body, deadline }: Entered) -> Answered {
        place.turn(deadline).await.map_err(|full| self.full(full))?;
        let validate = Arc::clone(&self.validate);
        // The place and its turn are held until the work is done, even if its client is gone.
        let work = tokio::task::spawn_blocking(move || {
            let _held = place;
            validate(&body)
        });
        match tokio::time::timeout_at(deadline, work).await {
            Ok(Ok((code, body))) => {
                let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                Ok(status::json(code, body.into()))
            }
            Ok(Err(_)) => Err(self.panicked()),
            Err(_) => Err(refused(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the policy was not compiled in time; the watch will tell whether it compiles",
            )),
        }
    }

    /// Checks what can be known from the head, reads the body, and takes a place.
    async fn enter(
        &self,
        request: Request<Incoming>,
        gate: &Gate,
        begun: Instant,
        arriving: Arriving<'_>,
    ) -> Result<Entered, Box<Response<Body>>> {
        let begun = tokio::time::Instant::from_std(begun);
        let deadline = begun + allowance(request.uri().query());
        if request.method() != Method::POST {
            let (method, path) = (request.method().as_str(), request.uri().path());
            return Err(Box::new(status::method_not_allowed(method, path, "POST")));
        }
        body::require_json(request.headers())?;
        let bytes_max = self.limits.body_bytes_max;
        let announced = body::announced(request.body(), bytes_max)?;
        let full = |full| self.full(full);
        let mut room = gate.room(announced).map_err(full)?;
        let read_by = deadline.min(begun + self.limits.body_read);
        let grow = |bytes| room.grow(bytes).map_err(full);
        let body = body::read(request.into_body(), bytes_max, read_by, grow).await?;
        arriving.done();
        Ok(Entered { place: room.enter().map_err(full)?, body, deadline })
    }

    fn full(&self, full: Full) -> Box<Response<Body>> {
        self.metrics.overload.get_or_create(&What { what: full.word() }).inc();
        refused(
            StatusCode::TOO_MANY_REQUESTS,
            match full {
                Full::Queue => "too many reviews are waiting; add replicas or try again",
                Full::Bodies => "too many large reviews at once; add replicas or try again",
                Full::Deadline => "the review was not decided in time; add replicas or try again",
            },
        )
    }

    fn panicked(&self) -> Box<Response<Body>> {
        self.metrics.panics.inc();
        refused(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the review met a fault of caapc, which is logged; please report it",
        )
    }

    /// Decides one body on this thread. INVARIANT (no wait): nothing here waits for anything.
    fn decide(&self, body: &[u8], fetched: Option<Namespace>) -> Step {
        let loaded = self.snapshot.load();
        let Some(snapshot) = loaded.as_deref() else {
            return Step::Done(status::failure(
                StatusCode::INTERNAL_SERVER_ERROR,
                "policies, namespaces and scans have not been read yet; try again",
            ));
        };
        let extended = fetched.map(|namespace| Snapshot {
            namespaces: Arc::new(snapshot.namespaces.with(namespace)),
            ..snapshot.clone()
        });
        let snapshot = extended.as_ref().unwrap_or(snapshot);
        let decided = catch_unwind(AssertUnwindSafe(|| {
            WORKER.with_borrow_mut(|worker| self.answer(worker, snapshot, body))
        }));
        decided.unwrap_or_else(|_| {
            // Whatever state the panic left behind is thrown away with the worker.
            WORKER.set(Worker::new());
            Step::Done(*self.panicked())
        })
    }

    fn answer(&self, worker: &mut Worker, snapshot: &Snapshot, body: &[u8]) -> Step {
        let now = (self.clock)();
        let begun = Instant::now();
        let answer = admission::answer(worker, snapshot, &self.options, now, body);
        let took = begun.elapsed();
        if let Some(name) = answer.missing_namespace()
            && !snapshot.namespaces.iter().any(|known| known.name() == name)
        {
            return Step::Namespace(name.to_owned());
        }
        self.metrics.decide_seconds.observe(took);
        self.tell(snapshot, &answer, now, took);
        let code = StatusCode::from_u16(answer.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Step::Done(status::json(code, Bytes::copy_from_slice(answer.body)))
    }

    /// The one log line, the counters and the event of an answer.
    fn tell(&self, snapshot: &Snapshot, answer: &Answer<'_>, now: Timestamp, took: Duration) {
        let Some((request, decision)) = &answer.decided else {
            self.metrics.decisions.count("error", "", None);
            tracing::warn!(code = answer.code, reason = answer.reason, "not a review");
            return;
        };
        let action = action(decision);
        let policy = decision.rule.map_or("", |rule| rule.policy);
        let index = decision.rule.map(|rule| rule.index);
        self.metrics.decisions.count(action, policy, index);
        if decision.why == Why::UnknownKind {
            self.metrics.unknown_kinds.inc();
        }
        for image in decision.images {
            if image.scan.status == ScanStatus::Unknown {
                self.metrics.unknown_images.inc();
            }
            if let Some(at) = image.scan.last_scan {
                let secs = u64::try_from(now.secs.saturating_sub(at.secs)).unwrap_or(0);
                self.metrics.scan_age_seconds.observe(Duration::from_secs(secs));
            }
        }
        tracing::info!(
            uid = &*printable(request.uid),
            decision = action,
            why = decision.why.word(),
            policy = &*printable(policy),
            rule = index,
            generation = snapshot.generation,
            latency_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            operation = request.operation.word(),
            resource = &*printable(request.resource),
            namespace = &*printable(request.namespace),
            name = &*printable(decision.name),
            dry_run = request.dry_run,
            images = decision.images.len(),
            reason = answer.reason,
            "decided"
        );
        if let Some(rejected) =
            self.rejected.as_ref().filter(|_| decision.rejected && !request.dry_run)
        {
            let resource = match request.group {
                "" => printable(request.resource).into_owned(),
                group => format!("{}/{}", printable(group), printable(request.resource)),
            };
            rejected(Rejection {
                namespace: printable(request.namespace).into_owned(),
                resource,
                name: printable(decision.name).into_owned(),
                action,
                message: lines(answer.message),
            });
        }
    }

    async fn namespace(
        &self,
        name: &str,
        deadline: tokio::time::Instant,
    ) -> Result<Namespace, Box<Response<Body>>> {
        let Some(fetch) = &self.fetch else {
            return Err(unknown_namespace(name, "there is no cluster to ask"));
        };
        match tokio::time::timeout_at(deadline, fetch(name)).await {
            Ok(Ok(Some(namespace))) => Ok(namespace),
            Ok(Ok(None)) => Err(unknown_namespace(name, "the API server does not know it either")),
            Ok(Err(reason)) => Err(unknown_namespace(name, &reason)),
            Err(_) => Err(unknown_namespace(name, "the API server did not tell of it in time")),
        }
    }
}

enum Step {
    Done(Response<Body>),
    Namespace(String),
}

/// What became of a request, in one word.
fn action(decision: &Decision<'_>) -> &'static str {
    match (decision.rejected, decision.mode) {
        _ if decision.why == Why::NamespaceUnknown => "error",
        (false, _) => "allow",
        (true, Mode::Enforce) => "reject",
        (true, Mode::Warn) => "warn",
        (true, Mode::Audit) => "audit",
    }
}

fn unknown_namespace(name: &str, reason: &str) -> Box<Response<Body>> {
    let name = status::clean(name);
    let message = format!("the labels of namespace `{name}` are not known: {reason}");
    refused(StatusCode::INTERNAL_SERVER_ERROR, &message)
}

fn refused(code: StatusCode, message: &str) -> Box<Response<Body>> {
    Box::new(status::failure(code, message))
}

/// Bytes of a user's text in a log line: more than any name that an API server takes.
const LOGGED_BYTES_MAX: usize = 320;

/// A user's text as a log line may have it; almost always as it is.
fn printable(text: &str) -> Cow<'_, str> {
    if text.len() <= LOGGED_BYTES_MAX && is_plain(text) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::new();
    // What does not fit is dropped, and the cut is marked.
    let _ = Bounded::new(&mut safe, LOGGED_BYTES_MAX).write_str(text);
    Cow::Owned(safe)
}

/// The same for a message of several lines.
fn lines(text: &str) -> String {
    text.chars().filter(|&c| is_safe(c) || c == '\n').collect()
}

/// How long a request may take: a tenth less than its client waits, so that it gets an answer.
fn allowance(query: Option<&str>) -> Duration {
    let mut parts = query.unwrap_or_default().as_bytes().split(|&byte| byte == b'&');
    let given = parts
        .find_map(|part| part.strip_prefix(b"timeout="))
        .and_then(|given| duration(std::str::from_utf8(given).ok()?))
        .unwrap_or(TIMEOUT_DEFAULT)
        .min(Duration::from_secs(60));
    given - (given / 10).clamp(Duration::from_millis(50), Duration::from_millis(500)).min(given)
}

/// Go's way to write a duration: `5s`, `1m30s`, `500ms`, `2.5s`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let nanos: u64 = match unit {
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "us" | "%C2%B5s" | "µs" => 1_000,
            "ns" => 1,
            _ => return None,
        };
        // PERF: the API server writes whole numbers.
        let nanos = match number.parse::<u64>() {
            Ok(number) => number.checked_mul(nanos)?,
            Err(_) => (number.parse::<f64>().ok()? * nanos as f64) as u64,
        };
        total = total.checked_add(nanos)?;
        rest = tail;
    }
    (total > 0).then_some(Duration::from_nanos(total))
}

/// This machine's clock; before 1970 it is 1970.
pub fn machine_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let secs = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    Timestamp { secs, nanos: since.subsec_nanos() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_logged_is_bounded_and_safe() {
        assert!(matches!(printable("shop"), Cow::Borrowed("shop")));
        assert_eq!(printable("a\u{1b}[31m\n\u{202e}b\u{2028}é"), "a[31mbé");
        let long = printable(&"é".repeat(100_000)).into_owned();
        assert!(long.len() <= LOGGED_BYTES_MAX && long.ends_with('…'), "{}", long.len());
    }

    #[test]
    fn the_timeout_of_the_api_server_bounds_ours() {
        let millis = |query| allowance(query).as_millis();
        assert_eq!(millis(None), 4500);
        assert_eq!(millis(Some("timeout=5s")), 4500);
        assert_eq!(millis(Some("a=b&timeout=10s")), 9500);
        assert_eq!(millis(Some("timeout=1m30s")), 59500);
        assert_eq!(millis(Some("timeout=1s")), 900);
        assert_eq!(millis(Some("timeout=500ms")), 450);
        assert_eq!(millis(Some("timeout=30ms")), 0);
        assert_eq!(millis(Some("timeout=2.5s")), 2250);
        assert_eq!(millis(Some("timeout=99999h")), 59500);
        for wrong in
            ["timeout=", "timeout=5", "timeout=5x", "timeout=-5s", "timeout=0s", "timeout=9.9.9s"]
        {
            assert_eq!(millis(Some(wrong)), 4500, "{wrong}");
        }
    }
}
