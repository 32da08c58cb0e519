//! What `/livez` and `/readyz` say.
//!
//! Ready: every shelf has finished its first list, the certificate is valid, and the service is
//! not draining (spec: webhook, "Start and end"). Losing a watch later does not make it unready:
//! what is on the shelves stays in force. Start at [`Health::report`].

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;

/// The parts that must be ready; clones share them.
#[derive(Clone, Default)]
pub struct Health {
    draining: Arc<AtomicBool>,
    parts: Arc<Vec<Part>>,
}

struct Part {
    name: &'static str,
    check: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
}

/// A part that becomes ready once, and can say why it is not yet.
#[derive(Clone, Debug, Default)]
pub struct Flag(Arc<FlagInner>);

#[derive(Debug, Default)]
struct FlagInner {
    set: AtomicBool,
    reason: ArcSwapOption<String>,
}

impl Flag {
    /// From now on it is ready.
    pub fn set(&self) {
        self.0.set.store(true, Ordering::Release);
    }

    /// Whether it is.
    pub fn is_set(&self) -> bool {
        self.0.set.load(Ordering::Acquire)
    }

    /// What stands in the way, for `/readyz`.
    pub fn blocked_by(&self, reason: &str) {
        self.0.reason.store(Some(Arc::new(reason.to_owned())));
    }

    fn check(&self) -> Result<(), String> {
        if self.is_set() {
            return Ok(());
        }
        Err(match &*self.0.reason.load() {
            None => "its first list is not complete".to_owned(),
            Some(reason) => format!("its first list is not complete: {reason}"),
        })
    }
}

/// What makes a [`Health`].
#[derive(Default)]
pub struct Parts(Vec<Part>);

impl Parts {
    /// A shelf, ready when its first list is complete.
    pub fn shelf(&mut self, name: &'static str) -> Flag {
        let flag = Flag::default();
        let seen = flag.clone();
        self.check(name, move || seen.check());
        flag
    }

    /// A part with a check of its own; the error is one sentence.
    pub fn check(
        &mut self,
        name: &'static str,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) {
        self.0.push(Part { name, check: Box::new(check) });
    }

    /// No more parts.
    pub fn finish(self) -> Health {
        Health { draining: Arc::default(), parts: Arc::new(self.0) }
    }
}

impl Health {
    /// From now on this process is not ready, whatever its parts say.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether everything is ready.
    pub fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Acquire) && self.parts.iter().all(|p| (p.check)().is_ok())
    }

    /// Whether everything is ready, and a line for each part.
    pub fn report(&self) -> (bool, String) {
        let mut ready = true;
        let mut text = String::new();
        let draining = self.draining.load(Ordering::Acquire);
        let drain = if draining { Err("the service is about to end".to_owned()) } else { Ok(()) };
        let checks = self.parts.iter().map(|part| (part.name, (part.check)()));
        for (name, result) in checks.chain([("shutdown", drain)]) {
            // Writing to a string does not fail.
            let _ = match result {
                Ok(()) => writeln!(text, "[+]{name} ok"),
                Err(reason) => {
                    ready = false;
                    writeln!(text, "[-]{name} failed: {reason}")
                }
            };
        }
        text.push_str(if ready { "readyz check passed\n" } else { "readyz check failed\n" });
        (ready, text)
    }
}
