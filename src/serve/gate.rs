//! How much work is let in at the same time.
//!
//! A request holds a place from its head to its answer; some of them work, the others wait in a
//! bounded queue, and one more is answered with 429 at once (spec: webhook, "Answers"). Bodies
//! have a budget in bytes of their own, taken before they are read. Nothing here waits for a lock.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Why a request was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Too many requests at once.
    Queue,
    /// Too many bytes of bodies at once.
    Bodies,
    /// Its turn did not come before its deadline.
    Deadline,
}

impl Full {
    /// The label of the metric.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Bodies => "bodies",
            Self::Deadline => "deadline",
        }
    }
}

/// Places, turns, and a budget for bodies. Clones share them.
#[derive(Clone, Debug)]
pub struct Gate {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    kib: Arc<Semaphore>,
}

/// A place among the requests that are let in.
#[derive(Debug)]
pub struct Place {
    _place: OwnedSemaphorePermit,
    _kib: OwnedSemaphorePermit,
    turns: Arc<Semaphore>,
}

impl Gate {
    /// `concurrency` requests work, `queue` wait, and their bodies have `bytes` together.
    pub fn new(concurrency: usize, queue: usize, bytes: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(concurrency + queue)),
            turns: Arc::new(Semaphore::new(concurrency)),
            kib: Arc::new(Semaphore::new(bytes / 1024)),
        }
    }

    /// Lets a request with a body of at most `bytes` in.
    ///
    /// # Errors
    /// At once, if there is no place for it.
    pub fn enter(&self, bytes: usize) -> Result<Place, Full> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Full::Queue)?;
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let kib = Arc::clone(&self.kib).try_acquire_many_owned(kib).map_err(|_| Full::Bodies)?;
        Ok(Place { _place: place, _kib: kib, turns: Arc::clone(&self.turns) })
    }
}

impl Place {
    /// Waits for a turn to work, first come, first served.
    ///
    /// # Errors
    /// If it does not come before the deadline.
    pub async fn turn(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Full> {
        // A turn that is free has nobody waiting for it, and taking it needs no timer.
        if let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned() {
            return Ok(turn);
        }
        let turn = Arc::clone(&self.turns).acquire_owned();
        match tokio::time::timeout_at(deadline, turn).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(Full::Deadline),
        }
    }
}
