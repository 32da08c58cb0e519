//! Timing for tables of ratios: the fastest batch of each side, the batches taken in turn, so that
//! whatever else the machine does meets both. Included with `#[path]`.
#![allow(dead_code, unreachable_pub, reason = "each benchmark uses a part of it")]

use std::time::Instant;

/// Nanoseconds of the fastest of some runs.
pub fn least(runs: usize, mut work: impl FnMut()) -> f64 {
    (0..runs).map(|_| batch(&mut work, 1)).fold(f64::MAX, f64::min)
}

/// Nanoseconds of one call of each side, from the fastest of `rounds` batches. Before a batch its
/// side is called [`WARM`] times untimed: what the other sides pushed out of the caches is back
/// then. A side that takes over [`SLOW_NANOS`] is only in the first five rounds.
pub fn race(rounds: usize, sides: &mut [&mut dyn FnMut()]) -> Vec<f64> {
    let sizes: Vec<usize> = sides.iter_mut().map(|side| size(side)).collect();
    let mut best = vec![f64::MAX; sides.len()];
    for round in 0..rounds {
        for ((side, size), best) in sides.iter_mut().zip(&sizes).zip(&mut best) {
            if round < 5 || *best < SLOW_NANOS {
                (0..WARM).for_each(|_| side());
                *best = best.min(batch(side, *size));
            }
        }
    }
    best
}

/// A thousand `RegexSet`s fill megabytes: after one call they were still four times slower.
const WARM: usize = 5;
const SLOW_NANOS: f64 = 5e7;

/// How many calls take about two milliseconds.
fn size(work: &mut dyn FnMut()) -> usize {
    let once = batch(work, 3).max(1.0);
    ((2e6 / once) as usize).clamp(1, 100_000)
}

fn batch(work: &mut dyn FnMut(), size: usize) -> f64 {
    let start = Instant::now();
    for _ in 0..size {
        work();
    }
    start.elapsed().as_nanos() as f64 / size as f64
}
