//! From nothing to an enforced policy, and out again without a trace.
//!
//! Everything that `caapc install` prints is built here as typed Kubernetes objects from one
//! [`Options`]; the Helm chart and the kustomize base are held equal to them by tests. What the
//! cluster is asked, and what is changed there, lives here too. This room knows nothing of policies
//! or images: what is wrong with an installation is the business of `doctor`.
//!
//! Start at [`objects::all`]; then [`apply`], [`rotate`] and [`uninstall`].

pub mod adopt;
pub mod apply;
pub mod certs;
pub mod cluster;
pub mod names;
pub mod objects;
pub mod options;
pub mod print;
pub mod rotate;
pub mod uninstall;

use thiserror::Error;

pub use options::Options;

/// Why something could not be installed, renewed or removed. The text is one clear sentence.
#[derive(Debug, Error)]
pub enum Fault {
    /// The input is wrong: an option, a file, a certificate.
    #[error("{0}")]
    Input(String),
    /// The environment is: a cluster that does not answer or does not permit it.
    #[error("{0}")]
    Environment(String),
}
