//! The control road: what the API server or a folder says, onto the shelves.
//!
//! Feeds tell a keeper what changed; the keeper compiles what changed, off the request threads,
//! and publishes new shelves whole. It knows neither `admission` nor `serve`.
//! Start at `keeper`, then `feed`.

pub mod events;
pub mod feed;
mod folder;
pub mod keeper;
pub mod lease;
pub mod local;
pub mod loose;
pub mod namespace;
pub mod policies;
pub mod reports;
pub mod retention;
mod scan_files;
pub mod status;
pub mod validate;

use std::time::SystemTime;

use caapc_vm::facts::Timestamp;

/// This machine's clock; before 1970 it is 1970.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let secs = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    Timestamp { secs, nanos: since.subsec_nanos() }
}
