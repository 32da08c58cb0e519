//! How much work is let in at the same time.
//!
//! A request holds a place from when its body is there to its answer; some of them work, the others
//! wait in a bounded queue, and one more is answered with 429 at once (spec: webhook, "Answers").
//! Bodies have a budget in bytes of their own, taken as they arrive: whoever announces a body and
//! does not send it holds neither. Nothing here waits, but a request for its turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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
    places: Budget,
    turns: Arc<Semaphore>,
    kib: Budget,
}

/// Room for the bytes of one body, as far as they have arrived.
#[derive(Debug)]
pub struct Room(Share);

/// A place among the requests that are let in.
#[derive(Debug)]
pub struct Place {
    _place: Share,
    _room: Room,
    turns: Arc<Semaphore>,
}

/// What there is to be taken and given back. Nobody waits for it, so a number is enough.
#[derive(Clone, Debug)]
struct Budget(Arc<AtomicUsize>);

/// What was taken from a budget; dropped, it is given back.
#[derive(Debug)]
struct Share {
    budget: Budget,
    count: usize,
}

impl Budget {
    fn new(count: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(count)))
    }

    fn has(&self, count: usize) -> bool {
        self.0.load(Ordering::Relaxed) >= count
    }

    /// Nothing of it so far.
    fn none(&self) -> Share {
        Share { budget: self.clone(), count: 0 }
    }
}

impl Share {
    /// Takes so many in all; `false`, and as before, if there are not enough.
    fn grow(&mut self, count: usize) -> bool {
        let more = count.saturating_sub(self.count);
        if more == 0 {
            return true;
        }
        let left = |left: usize| left.checked_sub(more);
        let taken = self.budget.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, left).is_ok();
        if taken {
            self.count += more;
        }
        taken
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.0.fetch_add(self.count, Ordering::AcqRel);
    }
}

impl Gate {
    /// `concurrency` requests work, `queue` wait, and their bodies have `bytes` together.
    pub fn new(concurrency: usize, queue: usize, bytes: usize) -> Self {
        Self {
            places: Budget::new(concurrency + queue),
            turns: Arc::new(Semaphore::new(concurrency)),
            kib: Budget::new(bytes / 1024),
        }
    }

    /// Room for a body of at most `bytes` that is about to arrive.
    ///
    /// # Errors
    /// At once, if a request with such a body could not be let in now.
    pub fn room(&self, bytes: usize) -> Result<Room, Full> {
        if !self.places.has(1) {
            return Err(Full::Queue);
        }
        if !self.kib.has(bytes.div_ceil(1024)) {
            return Err(Full::Bodies);
        }
        Ok(Room(self.kib.none()))
    }

    /// Lets a request whose body is there in.
    ///
    /// # Errors
    /// At once, if there is no place for it.
    pub fn enter(&self, room: Room) -> Result<Place, Full> {
        let mut place = self.places.none();
        match place.grow(1) {
            true => Ok(Place { _place: place, _room: room, turns: Arc::clone(&self.turns) }),
            false => Err(Full::Queue),
        }
    }
}

impl Room {
    /// Takes room until there is enough for `bytes`.
    ///
    /// # Errors
    /// If there is none left.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        if self.0.grow(bytes.div_ceil(1024)) { Ok(()) } else { Err(Full::Bodies) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_as_bytes_arrive() {
        let gate = Gate::new(1, 0, 8 << 10);
        assert!(matches!(gate.room(9 << 10), Err(Full::Bodies)), "it could never be let in");
        // Two that announce all there is, and send nothing, are in nobody's way.
        let mut slow = gate.room(8 << 10).expect("room");
        let mut slower = gate.room(8 << 10).expect("room");
        let mut quick = gate.room(700).expect("room");
        quick.grow(700).expect("room");
        let place = gate.enter(quick).expect("a place");
        assert!(matches!(gate.room(1), Err(Full::Queue)));
        slow.grow(3 << 10).expect("room");
        slow.grow(7 << 10).expect("room");
        assert_eq!(slower.grow(1), Err(Full::Bodies));
        drop(place);
        slower.grow(1).expect("room");
        drop(slow);
        slower.grow(8 << 10).expect("room");
        assert_eq!(gate.kib.0.load(Ordering::Relaxed), 0);
        drop(slower);
        assert_eq!(gate.kib.0.load(Ordering::Relaxed), 8);
    }
}
