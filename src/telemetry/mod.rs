//! What operators see: metrics, readiness and logs. No behaviour depends on it.
//!
//! Shared by `serve` and `watch`, which do not know each other. Start at `metrics`.

pub mod health;
pub mod histogram;
mod json_line;
pub mod log;
pub mod metrics;
