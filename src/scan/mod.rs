//! What is known of images: the shelf of scan results.
pub mod fact;
pub use fact::{ScanFact, ScanState};
