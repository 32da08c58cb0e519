//! caapc: a container admission controller for Kubernetes.
//!
//! The edge of the product: Kubernetes, HTTP and files. What a policy means lives in
//! `caapc-compiler`, what decides an image in `caapc-vm`. Start at `cli`.
#![forbid(unsafe_code)]

pub mod admission;
pub mod api;
mod byte_search;
pub mod cli;
pub mod doctor;
pub mod install;
pub mod namespaces;
pub mod policy_set;
pub mod reference;
pub mod scan;
pub mod serve;
pub mod telemetry;
pub mod watch;
