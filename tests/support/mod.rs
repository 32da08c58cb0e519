//! What several integration tests share.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

pub mod apiserver;
pub mod client;
pub mod cluster;
pub mod proxy;
pub mod serve;

use std::time::{Duration, Instant};

/// Waits until something holds; the bound is for liveness only.
#[track_caller]
pub fn eventually_blocking(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The same for asynchronous tests.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
