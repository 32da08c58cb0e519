//! What is known of images: scan results, thresholds and exceptions (spec: scan).
//!
//! [`ScanStore`] takes results, exceptions and settings as they come; [`ScanShelf`] is what it
//! looks like at one moment, and answers for the request road.

pub mod entry;
pub mod exceptions;
pub mod fact;
pub mod files;
pub mod report;
pub mod settings;
pub mod shelf;
pub mod store;
pub mod table;

mod index;
#[cfg(test)]
mod plain;
mod record;
mod resolve;
mod words;

pub use entry::{PlatformFact, ScanEntry, WorstRow};
pub use exceptions::{Exception, Scope};
pub use fact::{ScanFact, ScanState};
pub use record::parse_time;
pub use settings::{Settings, Thresholds};
pub use shelf::ScanShelf;
pub use store::ScanStore;

/// The beginning of a text that somebody else wrote, for a message: a parser may quote a whole file.
fn beginning(text: &str) -> String {
    const CHARS_MAX: usize = 300;
    match text.char_indices().nth(CHARS_MAX) {
        Some((at, _)) => text.get(..at).unwrap_or_default().to_owned() + "…",
        None => text.to_owned(),
    }
}
