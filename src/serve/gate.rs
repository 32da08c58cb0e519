//! How much work is let in at the same time.
//!
//! A request holds a place from when its body is there to its answer; some of them work, the others
//! wait in a bounded queue, and one more is answered with 429 at once (spec: webhook, "Answers").
//! Bodies have a budget in bytes of their own, taken as they arrive: whoever announces a body and
//! does not send it holds neither. Nothing here waits, but a request for its turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;
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
pub struct Gate(Arc<Bounds>);

#[derive(Debug)]
struct Bounds {
    places: Budget,
    kib: Budget,
    turns: Semaphore,
}

/// Room for the bytes of one body, as far as they have arrived.
// PERF: all that a request holds is found through this one reference.
#[derive(Debug)]
pub struct Room {
    bounds: Arc<Bounds>,
    kib: usize,
}

/// A place among the requests that are let in.
#[derive(Debug)]
pub struct Place {
    room: Room,
    works: bool,
}

/// What there is to be taken and given back. Nobody waits for it, so a number is enough.
#[derive(Debug)]
struct Budget(AtomicUsize);

impl Budget {
    fn has(&self, count: usize) -> bool {
        self.0.load(Ordering::Relaxed) >= count
    }

    /// `false`, and as before, if there are not enough.
    fn take(&self, count: usize) -> bool {
        let left = |left: usize| left.checked_sub(count);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, left).is_ok()
    }

    fn give_back(&self, count: usize) {
        self.0.fetch_add(count, Ordering::AcqRel);
    }
}

impl Gate {
    /// `concurrency` requests work, `queue` wait, and their bodies have `bytes` together.
    pub fn new(concurrency: usize, queue: usize, bytes: usize) -> Self {
        Self(Arc::new(Bounds {
            places: Budget(AtomicUsize::new(concurrency + queue)),
            kib: Budget(AtomicUsize::new(bytes / 1024)),
            turns: Semaphore::new(concurrency),
        }))
    }

    /// Room for a body of at most `bytes` that is about to arrive.
    ///
    /// # Errors
    /// At once, if a request with such a body could not be let in now.
    pub fn room(&self, bytes: usize) -> Result<Room, Full> {
        if !self.0.places.has(1) {
            return Err(Full::Queue);
        }
        if !self.0.kib.has(bytes.div_ceil(1024)) {
            return Err(Full::Bodies);
        }
        Ok(Room { bounds: Arc::clone(&self.0), kib: 0 })
    }
}

impl Room {
    /// Takes room until there is enough for `bytes`.
    ///
    /// # Errors
    /// If there is none left.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        let more = bytes.div_ceil(1024).saturating_sub(self.kib);
        if more > 0 && !self.bounds.kib.take(more) {
            return Err(Full::Bodies);
        }
        self.kib += more;
        Ok(())
    }

    /// Lets a request whose body is there in.
    ///
    /// # Errors
    /// At once, if there is no place for it.
    pub fn enter(self) -> Result<Place, Full> {
        match self.bounds.places.take(1) {
            true => Ok(Place { room: self, works: false }),
            false => Err(Full::Queue),
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.bounds.kib.give_back(self.kib);
    }
}

impl Place {
    /// Waits for a turn to work, first come, first served.
    ///
    /// # Errors
    /// If it does not come before the deadline.
    pub async fn turn(&mut self, deadline: Instant) -> Result<(), Full> {
        let turns = &self.room.bounds.turns;
        // A turn that is free has nobody waiting for it, and taking it needs no timer.
        let turn = match turns.try_acquire() {
            Ok(turn) => turn,
            Err(_) => match tokio::time::timeout_at(deadline, turns.acquire()).await {
                Ok(Ok(turn)) => turn,
                _ => return Err(Full::Deadline),
            },
        };
        turn.forget();
        self.works = true;
        Ok(())
    }

    /// Gives the turn to others and keeps the place.
    pub fn rest(&mut self) {
        if std::mem::take(&mut self.works) {
            self.room.bounds.turns.add_permits(1);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.rest();
        self.room.bounds.places.give_back(1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        let place = quick.enter().expect("a place");
        assert!(matches!(gate.room(1), Err(Full::Queue)));
        slow.grow(3 << 10).expect("room");
        slow.grow(7 << 10).expect("room");
        assert_eq!(slower.grow(1), Err(Full::Bodies));
        drop(place);
        slower.grow(1).expect("room");
        drop(slow);
        slower.grow(8 << 10).expect("room");
        assert_eq!(gate.0.kib.0.load(Ordering::Relaxed), 0);
        drop(slower);
        assert_eq!(gate.0.kib.0.load(Ordering::Relaxed), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_comes_back_however_its_request_ends() {
        let gate = Gate::new(1, 2, 8 << 10);
        let place = || gate.room(1).expect("room").enter().expect("a place");
        let soon = || Instant::now() + Duration::from_secs(1);
        let (mut one, mut two, mut three) = (place(), place(), place());
        one.turn(soon()).await.expect("a turn");
        assert_eq!(two.turn(soon()).await, Err(Full::Deadline));
        // Its client goes away while it waits.
        let waiting = tokio::time::timeout(Duration::from_millis(1), two.turn(soon())).await;
        assert!(waiting.is_err());
        one.rest();
        one.rest();
        two.turn(soon()).await.expect("a turn");
        assert_eq!(three.turn(soon()).await, Err(Full::Deadline), "there is only one");
        drop(two);
        three.turn(soon()).await.expect("a turn");
        drop((one, three));
        assert_eq!(gate.0.turns.available_permits(), 1);
        assert_eq!(gate.0.places.0.load(Ordering::Relaxed), 3);
    }
}
