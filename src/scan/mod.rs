//! What is known of images: scan results, thresholds and exceptions (spec: scan).

pub mod fact;
pub mod settings;
pub mod shelf;

pub use fact::{ScanFact, ScanState};
pub use settings::{Settings, Thresholds};
pub use shelf::{ScanShelf, WorstRow};
