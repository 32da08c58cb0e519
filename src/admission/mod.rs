//! The request road: an AdmissionReview in, its answer out.
//!
//! It is bounded, allocates nothing in steady state, and knows neither HTTP nor the cluster:
//! `serve` brings bodies, `watch` fills the shelves. It never imports the compiler: nothing here
//! can compile a pattern. Start at [`answer`], then [`decide::decide`].
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod decide;
pub mod fault;
mod fields;
pub mod image;
pub mod json;
pub mod limits;
pub mod message;
pub mod object;
pub mod options;
pub mod respond;
pub mod review;
pub mod text;
pub mod workload;

use std::fmt;
use std::sync::Arc;

use bumpalo::Bump;
use caapc_vm::facts::Timestamp;
use caapc_vm::run::Scratch;

use self::decide::{Decision, Why};
use self::message::Texts;
use self::options::Options;
use self::review::Request;
use crate::namespaces::Namespaces;
use crate::policy_set::PolicySet;
use crate::scan::ScanShelf;

/// All shelves at one moment: what one request sees from its first to its last byte.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The policies, linked.
    pub policies: Arc<PolicySet>,
    /// The labels of the namespaces.
    pub namespaces: Arc<Namespaces>,
    /// The scan results, with exceptions and settings.
    pub scans: Arc<ScanShelf>,
    /// Counts the changes; told in audit annotations and logs.
    pub generation: u64,
}

/// What one thread needs to answer requests: scratch, an arena and buffers, all reused.
#[derive(Debug, Default)]
pub struct Worker {
    scratch: Scratch,
    arena: Bump,
    texts: Texts,
    out: Vec<u8>,
}

/// What a request leaves behind at most, in bytes; more is given back after it.
const ARENA_KEPT_BYTES: usize = 2 << 20;

impl Worker {
    /// A worker that has not met a request yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes it fit a snapshot, so that the first request after a change allocates nothing.
    pub fn prepare(&mut self, snapshot: &Snapshot) {
        self.scratch.prepare(snapshot.policies.program());
    }

    fn reset(&mut self) {
        self.arena.reset();
        if self.arena.allocated_bytes() > ARENA_KEPT_BYTES {
            self.arena = Bump::new();
        }
        self.out.clear();
        self.out.shrink_to(ARENA_KEPT_BYTES);
    }
}

/// The answer to one body.
#[derive(Debug)]
pub struct Answer<'w> {
    /// The HTTP status: 200 for every decision, 4xx for what is no review, 500 for a namespace
    /// that is not known.
    pub code: u16,
    /// The JSON body.
    pub body: &'w [u8],
    /// The request and its decision, for the log, the metrics and events; absent for a body
    /// that is no review.
    pub decided: Option<(Request<'w>, Decision<'w>)>,
    /// The sentence of a rejection or of an error; empty if there is nothing to say.
    pub reason: &'w str,
    /// The whole message of a rejection.
    pub message: &'w str,
    /// The warnings, one a line.
    pub warnings: &'w str,
}

impl Answer<'_> {
    /// The namespace to fetch before the same body can be answered.
    pub fn missing_namespace(&self) -> Option<&str> {
        let (request, decision) = self.decided.as_ref()?;
        (decision.why == Why::NamespaceUnknown).then_some(request.namespace)
    }
}

/// Answers one body. It waits for nothing and cannot fail: whatever the bytes are, there is an
/// answer. In steady state it allocates nothing.
pub fn answer<'w>(
    worker: &'w mut Worker,
    snapshot: &'w Snapshot,
    options: &Options,
    now: Timestamp,
    body: &'w [u8],
) -> Answer<'w> {
    worker.reset();
    let Worker { scratch, arena, texts, out } = worker;
    let arena: &'w Bump = arena;
    let request = match review::read(body, arena) {
        Ok(request) => request,
        Err(bad) => {
            let code = if bad == review::BadReview::TooLarge { 413 } else { 400 };
            return failed(out, texts, code, format_args!("{bad}"), None);
        }
    };
    let decision = decide::decide(snapshot, options, &request, now, scratch, arena);
    if decision.why == Why::NamespaceUnknown {
        let sentence = format_args!(
            "namespace `{}` is not known yet, so its policies cannot be chosen; try again",
            request.namespace
        );
        return failed(out, texts, 500, sentence, Some((request, decision)));
    }
    texts.write(options, &request, &decision, now);
    respond::review(out, snapshot, &request, &decision, texts);
    Answer {
        code: 200,
        body: out,
        decided: Some((request, decision)),
        reason: &texts.reason,
        message: &texts.message,
        warnings: &texts.warnings,
    }
}

fn failed<'w>(
    out: &'w mut Vec<u8>,
    texts: &'w mut Texts,
    code: u16,
    sentence: fmt::Arguments<'_>,
    decided: Option<(Request<'w>, Decision<'w>)>,
) -> Answer<'w> {
    texts.error(sentence);
    respond::status(out, code, &texts.reason);
    Answer { code, body: out, decided, reason: &texts.reason, message: &texts.reason, warnings: "" }
}
