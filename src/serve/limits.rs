//! Every bound of the server in one place, with the reason for its size.
//!
//! A bound that is hit is always answered or counted, never silent.

use std::time::Duration;

/// The largest body of a request, in bytes (spec: webhook, "Answers").
pub const BODY_BYTES_MAX: usize = 8 << 20;

/// Bounds of one listener. [`Limits::default`] is what `caapc serve` runs with.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections; one more is closed at once, so that its client can try elsewhere.
    pub connections_max: usize,
    /// A TLS handshake takes at most this long.
    pub handshake: Duration,
    /// When all connections are taken, an unfinished handshake or head makes room after this; one
    /// that is only slow is through by then.
    pub stall: Duration,
    /// A connection without a request is closed after this. Go's client gives up after 90 s.
    pub idle: Duration,
    /// From the first byte of a request to the end of its head.
    pub header_read: Duration,
    /// From the head to the last byte of the body.
    pub body_read: Duration,
    /// A client that does not read its answer is dropped after this.
    pub write_stall: Duration,
    /// The head of a request, in bytes. hyper's smallest buffer is 8 KiB.
    pub head_bytes_max: usize,
    /// The number of headers of a request.
    pub headers_max: usize,
    /// One body, in bytes.
    pub body_bytes_max: usize,
    /// All bodies that are being read or decided together, in bytes.
    pub bodies_bytes_max: usize,
    /// Requests that are decided at the same time.
    pub concurrency: usize,
    /// Requests that may wait for that; one more is answered with 429 at once.
    pub queue: usize,
    /// Streams of one HTTP/2 connection.
    pub h2_streams_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            handshake: Duration::from_secs(5),
            stall: Duration::from_millis(500),
            idle: Duration::from_secs(180),
            header_read: Duration::from_secs(5),
            body_read: Duration::from_secs(5),
            write_stall: Duration::from_secs(10),
            head_bytes_max: 64 << 10,
            headers_max: 100,
            body_bytes_max: BODY_BYTES_MAX,
            bodies_bytes_max: 256 << 20,
            concurrency: 64,
            queue: 512,
            h2_streams_max: 128,
        }
    }
}

impl Limits {
    /// The bounds of the second port: small requests by few clients.
    pub fn operations() -> Self {
        Self {
            connections_max: 64,
            body_bytes_max: 0,
            concurrency: 8,
            queue: 32,
            ..Self::default()
        }
    }
}
