//! The webhook as a service: sockets, TLS, bounds, health, metrics.
//!
//! What is decided comes from `admission`; what is known comes from the shelves, which `watch` or
//! `local` keep. It knows neither of them, nor the compiler: those are handed in as functions.
//! Start at `http`, then `webhook`.

pub mod body;
pub mod gate;
pub mod guard;
pub mod http;
pub mod limits;
pub mod ops;
pub mod selfsigned;
pub mod service;
pub mod status;
pub mod tls;
pub mod webhook;
