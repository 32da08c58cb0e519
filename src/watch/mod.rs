//! The control road: what the API server or a folder says, onto the shelves.
//!
//! Feeds tell a keeper what changed; the keeper compiles what changed, off the request threads,
//! and publishes new shelves whole. It knows neither `admission` nor `serve`.
//! Start at `keeper`, then `feed`.

pub mod events;
pub mod feed;
pub mod keeper;
pub mod lease;
pub mod local;
pub mod loose;
pub mod namespace;
pub mod policies;
pub mod status;
pub mod validate;
