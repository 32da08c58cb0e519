//! The request road: an AdmissionReview in, its answer out.
//!
//! It is bounded, allocates nothing in steady state, and knows neither HTTP nor the cluster:
//! `serve` brings bodies, `watch` fills the shelves. It never imports the compiler: nothing here
//! can compile a pattern.

pub mod fault;
pub mod image;
pub mod json;
pub mod limits;
pub mod review;
pub mod workload;
