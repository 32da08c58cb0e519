//! One namespace, asked for because a review came before the watch told of it.
//!
//! The answer is remembered for a few seconds only: the watch is what counts. At most
//! sixteen questions are under way. Start at [`Fetcher::fetch`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace as NamespaceObject;
use kube::api::Api;
use kube::{Client, ResourceExt};
use tokio::sync::Semaphore;

use super::feed::sentence;
use crate::namespaces::Namespace;
use crate::telemetry::metrics::{Control, Fate};

/// Questions under way at the same time.
const FETCHES_MAX: usize = 16;

/// How long an answer is used again.
const REMEMBERED: Duration = Duration::from_secs(5);

/// Answers that are remembered at most.
const REMEMBERED_MAX: usize = 256;

/// Asks the API server for namespaces. Clones share what is remembered.
#[derive(Clone)]
pub struct Fetcher {
    api: Api<NamespaceObject>,
    places: Arc<Semaphore>,
    remembered: Arc<Mutex<HashMap<String, (Instant, Labels)>>>,
    metrics: Control,
}

type Labels = Vec<(String, String)>;

impl Fetcher {
    /// A fetcher that remembers nothing yet.
    pub fn new(client: Client, metrics: Control) -> Self {
        Self {
            api: Api::all(client),
            places: Arc::new(Semaphore::new(FETCHES_MAX)),
            remembered: Arc::default(),
            metrics,
        }
    }

    /// Asks for one namespace; `None`: there is none of that name.
    ///
    /// # Errors
    /// One sentence, if the API server does not answer.
    pub async fn fetch(self, name: String) -> Result<Option<Namespace>, String> {
        let _place = self.places.acquire().await.map_err(|error| error.to_string())?;
        // While this one waited, another request may have asked the same.
        if let Some(labels) = self.remembered(&name) {
            return Ok(Some(Namespace::new(&name, labels)));
        }
        let asked = self.api.get_metadata_opt(&name).await;
        let (outcome, result) = match asked {
            Ok(Some(object)) => {
                let labels: Labels = object.labels().clone().into_iter().collect();
                self.remember(&name, &labels);
                ("found", Ok(Some(Namespace::new(&name, labels))))
            }
            Ok(None) => ("missing", Ok(None)),
            Err(error) => ("failed", Err(sentence(&error))),
        };
        self.metrics.namespace_fetches.get_or_create(&Fate { outcome }).inc();
        result
    }

    fn remembered(&self, name: &str) -> Option<Labels> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, labels) = remembered.get(name)?;
        (at.elapsed() < REMEMBERED).then(|| labels.clone())
    }

    fn remember(&self, name: &str, labels: &Labels) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED_MAX {
            remembered.retain(|_, (at, _)| at.elapsed() < REMEMBERED);
        }
        if remembered.len() < REMEMBERED_MAX {
            remembered.insert(name.to_owned(), (Instant::now(), labels.clone()));
        }
    }
}
