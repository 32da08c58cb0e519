//! What a program is told: the facts of one request and of one container image.
//!
//! All facts are borrowed. There is no clock here: `now` is an argument, so that the same inputs
//! give the same verdict everywhere (INVARIANT (no clock)).

/// The scan status of an image, as policies see it (spec: policy, "Object").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ScanStatus {
    /// Nothing above the warn threshold.
    Pass = 0,
    /// Above the warn threshold, below the fail threshold.
    Warn = 1,
    /// At or above the fail threshold.
    Fail = 2,
    /// No complete scan is known.
    Unknown = 3,
}

impl ScanStatus {
    /// Every status, in the order of its number.
    pub const ALL: [Self; 4] = [Self::Pass, Self::Warn, Self::Fail, Self::Unknown];

    /// The word a policy uses for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "Pass",
            Self::Warn => "Warn",
            Self::Fail => "Fail",
            Self::Unknown => "Unknown",
        }
    }

    /// Reads a policy's word, exactly and case-sensitively.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.word() == word)
    }

    /// The bit of this status in a status mask.
    pub const fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// A point in time, UTC: whole seconds since 1970-01-01T00:00:00Z and nanoseconds after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since the epoch; negative before it.
    pub secs: i64,
    /// Nanoseconds within the second, 0 to 999,999,999.
    pub nanos: u32,
}

impl Timestamp {
    /// Earlier than every time that can be written.
    pub const MIN: Self = Self { secs: i64::MIN, nanos: 0 };

    /// A whole second.
    pub const fn from_secs(secs: i64) -> Self {
        Self { secs, nanos: 0 }
    }

    /// This time moved by whole seconds, saturating.
    pub const fn plus_secs(self, secs: i64) -> Self {
        Self { secs: self.secs.saturating_add(secs), nanos: self.nanos }
    }
}

/// The facts of one image.
#[derive(Clone, Copy, Debug)]
pub struct ImageFacts<'a> {
    /// The string that `imagePath` patterns are matched against.
    pub path: &'a str,
    /// The canonical form as well, where policies ask for both (spec: image-path, "String").
    pub canonical: Option<&'a str>,
    /// Scan status after thresholds and exceptions.
    pub status: ScanStatus,
    /// When it was last scanned; `None`: never, which is earlier than every time.
    pub last_scan: Option<Timestamp>,
}

/// The facts of one request. A key given twice counts with its first value.
#[derive(Clone, Copy, Debug)]
pub struct RequestFacts<'a> {
    /// `metadata.labels` of the admitted object.
    pub labels: &'a [(&'a str, &'a str)],
    /// The labels of its namespace.
    pub namespace_labels: &'a [(&'a str, &'a str)],
    /// The one `now` of the request.
    pub now: Timestamp,
    /// How far a scan time may lie in the future and still count as recent, in seconds.
    pub skew_secs: u32,
}
