//! What a verdict and its message need to know of one image's scan.

use caapc_vm::facts::{ScanStatus, Timestamp};

/// How far the scanning of an image has come (spec: scan, "Status"). Only `Scanned` yields
/// `Pass`, `Warn` or `Fail`; everything else is `Unknown` to a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScanState {
    /// No result was ever seen.
    NeverScanned,
    /// A scan was asked for and has no result yet.
    Pending,
    /// A complete result is known.
    Scanned,
    /// The scanner gave up.
    Failed,
    /// The result did not fit what can be stored.
    TooLarge,
    /// The report does not say anything about vulnerabilities.
    Unsupported,
    /// The result was dropped for its age.
    Expired,
}

/// The facts of one image at one `now`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanFact {
    /// As policies see it, after thresholds and exceptions.
    pub status: ScanStatus,
    /// When it was last scanned; `None`: never.
    pub last_scan: Option<Timestamp>,
    /// Why the status is what it is.
    pub state: ScanState,
}

impl ScanFact {
    /// An image nobody has scanned.
    pub const NEVER: Self =
        Self { status: ScanStatus::Unknown, last_scan: None, state: ScanState::NeverScanned };
}
