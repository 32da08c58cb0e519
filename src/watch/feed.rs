//! One list-and-watch against the API server, for as long as the process lives.
//!
//! What it promises to its shelf:
//! INVARIANT (nothing removed early): objects that a list does not have go only at its end.
//! INVARIANT (no lost delete): after an event that cannot be read, everything is listed again.
//! A stream that breaks is taken up where it ended; `410 Gone` lists again; every failure waits
//! longer than the one before. Start at [`Feed::run`].

use std::pin::pin;
use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt;
use kube::Client;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::{ObjectList, Request};
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use super::loose::Loose;
use crate::telemetry::health::Flag;
use crate::telemetry::metrics::{Control, Shelf};

/// How long the API server keeps a watch open. It also bounds how long a connection that died
/// silently goes unnoticed.
const WATCH_SECS: u32 = 120;

/// Silence after which a watch is taken for dead: the server should have ended it by then.
const SILENCE_MAX: Duration = Duration::from_secs(WATCH_SECS as u64 + 15);

/// A page of a list takes at most this long.
const LIST_TIMEOUT: Duration = Duration::from_secs(60);

/// How often it is looked whether an optional kind has been installed.
const ABSENT_RETRY: Duration = Duration::from_secs(10);

/// What a shelf is told.
#[derive(Clone, Debug)]
pub enum Event {
    /// A full list begins.
    Begin,
    /// An object is, or is now, so.
    Apply(Loose),
    /// An object is gone.
    Delete(String),
    /// The list is complete: what was not in it is gone.
    Complete,
}

/// Which objects, and whom to tell.
pub struct Feed {
    /// How the shelf is called in metrics, logs and `/readyz`.
    pub name: &'static str,
    /// Such as `/apis/caapc.dev/v1alpha1/imagescans`.
    pub path: String,
    /// Labels and names only, for kinds of which nothing else is needed.
    pub metadata_only: bool,
    /// The kind may not be installed; then it is waited for without complaint.
    pub optional: bool,
    /// Objects in one page of a list; fewer for kinds with big objects.
    pub page: u32,
    /// Told why the first list is not complete; set by whoever keeps the shelf.
    pub ready: Flag,
    /// Counters.
    pub metrics: Control,
}

enum End {
    /// The server ended the watch, as it does after a while.
    Closed,
    /// Broken off; it can go on from where it was.
    Broken(String),
    /// It must begin with a list again.
    Lost(String),
    /// The kind is not installed, which is fine for an optional one.
    Absent,
    /// Nobody listens any more.
    Unheard,
}

impl Feed {
    /// Lists and watches until nobody listens. `tag` makes a message of an event.
    pub async fn run<M: Send>(
        self,
        client: Client,
        to: Sender<M>,
        tag: impl Fn(Event) -> M + Send,
    ) {
        let mut backoff = Backoff::default();
        let label = Shelf { shelf: self.name };
        loop {
            let end = match self.list(&client, &to, &tag).await {
                Ok(version) => {
                    self.metrics.watch_up.get_or_create(&label).set(1);
                    self.follow(&client, &to, &tag, version, &mut backoff).await
                }
                Err(end) => end,
            };
            self.metrics.watch_up.get_or_create(&label).set(0);
            match end {
                End::Unheard => return,
                End::Closed => {}
                End::Absent => tokio::time::sleep(ABSENT_RETRY).await,
                End::Broken(reason) | End::Lost(reason) => self.failed(&reason),
            }
            backoff.rest().await;
        }
    }

    fn failed(&self, reason: &str) {
        self.metrics.watch_errors.get_or_create(&Shelf { shelf: self.name }).inc();
        self.ready.blocked_by(reason);
        tracing::warn!(shelf = self.name, reason, "a watch failed and will be tried again");
    }

    fn heard(&self) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        self.metrics
            .watch_heard
            .get_or_create(&Shelf { shelf: self.name })
            .set(now.map_or(0.0, |now| now.as_secs_f64()));
    }

    /// Everything there is, page by page; returns the version to watch from.
    async fn list<M>(
        &self,
        client: &Client,
        to: &Sender<M>,
        tag: &impl Fn(Event) -> M,
    ) -> Result<String, End> {
        self.metrics.watch_lists.get_or_create(&Shelf { shelf: self.name }).inc();
        send(to, tag(Event::Begin)).await?;
        let mut params = ListParams::default().limit(self.page);
        loop {
            let request = Request::new(self.path.as_str());
            let request = if self.metadata_only {
                request.list_metadata(&params)
            } else {
                request.list(&params)
            };
            let request = request.map_err(|error| End::Broken(error.to_string()))?;
            let page = client.request::<ObjectList<Loose>>(request);
            let page = tokio::time::timeout(LIST_TIMEOUT, page)
                .await
                .map_err(|_| End::Broken("the list took too long".to_owned()))?
                .map_err(|error| match &error {
                    kube::Error::Api(status) if status.code == 404 && self.optional => End::Absent,
                    _ => End::Broken(sentence(&error)),
                })?;
            self.heard();
            for object in page.items {
                if object.meta.name.is_empty() {
                    self.malformed();
                } else {
                    send(to, tag(Event::Apply(object))).await?;
                }
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => {
                    send(to, tag(Event::Complete)).await?;
                    return page
                        .metadata
                        .resource_version
                        .filter(|version| !version.is_empty())
                        .ok_or_else(|| End::Broken("the list has no resourceVersion".to_owned()));
                }
            }
        }
    }

    /// Watches from a version on, and goes on after each end, until it must list again.
    async fn follow<M>(
        &self,
        client: &Client,
        to: &Sender<M>,
        tag: &impl Fn(Event) -> M,
        mut version: String,
        backoff: &mut Backoff,
    ) -> End {
        let label = Shelf { shelf: self.name };
        loop {
            let begun = Instant::now();
            let before = version.clone();
            match self.watch(client, to, tag, &mut version).await {
                End::Closed => {}
                End::Broken(reason) => self.failed(&reason),
                end => return end,
            }
            if version != before || begun.elapsed() > Duration::from_secs(10) {
                backoff.reset();
            } else {
                // A server that ends each watch at once must not be asked in a busy loop.
                self.metrics.watch_up.get_or_create(&label).set(0);
                backoff.rest().await;
            }
            self.metrics.watch_up.get_or_create(&label).set(1);
        }
    }

    async fn watch<M>(
        &self,
        client: &Client,
        to: &Sender<M>,
        tag: &impl Fn(Event) -> M,
        version: &mut String,
    ) -> End {
        let params = WatchParams::default().timeout(WATCH_SECS);
        let request = Request::new(self.path.as_str());
        let request = if self.metadata_only {
            request.watch_metadata(&params, version)
        } else {
            request.watch(&params, version)
        };
        let events = async {
            client.request_events::<Loose>(request.map_err(kube::Error::BuildRequest)?).await
        };
        let events = match tokio::time::timeout(LIST_TIMEOUT, events).await {
            Err(_) => return End::Broken("the watch did not begin in time".to_owned()),
            Ok(Err(error)) if gone(&error) => return End::Lost(sentence(&error)),
            Ok(Err(error)) => return End::Broken(sentence(&error)),
            Ok(Ok(events)) => events,
        };
        let mut events = pin!(events);
        loop {
            let event = match tokio::time::timeout(SILENCE_MAX, events.try_next()).await {
                Err(_) => return End::Broken("the API server fell silent".to_owned()),
                Ok(Ok(None)) => return End::Closed,
                Ok(Ok(Some(event))) => event,
                Ok(Err(error @ kube::Error::ReadEvents(_))) => {
                    return End::Broken(sentence(&error));
                }
                // INVARIANT (no lost delete): it is not known what this event said.
                Ok(Err(error)) => {
                    self.malformed();
                    return End::Lost(sentence(&error));
                }
            };
            self.heard();
            let told = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
                WatchEvent::Deleted(object) => (object, true),
                WatchEvent::Bookmark(bookmark) => {
                    *version = bookmark.metadata.resource_version;
                    continue;
                }
                WatchEvent::Error(status) => {
                    return End::Lost(format!("{} ({})", status.message, status.code));
                }
            };
            let (object, deleted) = told;
            if object.meta.name.is_empty() || object.meta.resource_version.is_empty() {
                self.malformed();
                return End::Lost("an event without a name or version".to_owned());
            }
            version.clone_from(&object.meta.resource_version);
            let event =
                if deleted { Event::Delete(object.meta.key()) } else { Event::Apply(object) };
            if let Err(end) = send(to, tag(event)).await {
                return end;
            }
        }
    }

    fn malformed(&self) {
        self.metrics.malformed.get_or_create(&Shelf { shelf: self.name }).inc();
    }
}

async fn send<M>(to: &Sender<M>, message: M) -> Result<(), End> {
    to.send(message).await.map_err(|_| End::Unheard)
}

fn gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 410)
}

/// An error with its causes, in one sentence.
pub fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text.chars().filter(|c| !c.is_control()).take(512).collect()
}

/// Waits from a quarter of a second to ten seconds, each time longer, spread at random so that
/// replicas do not come back together.
#[derive(Debug, Default)]
pub struct Backoff(u32);

impl Backoff {
    /// The next wait is short again.
    pub fn reset(&mut self) {
        self.0 = 0;
    }

    /// Waits.
    pub async fn rest(&mut self) {
        let millis = (250_u64 << self.0.min(6)).min(10_000);
        self.0 = self.0.saturating_add(1);
        let noise = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |now| u64::from(now.subsec_nanos()));
        tokio::time::sleep(Duration::from_millis(millis / 2 + noise % (millis / 2 + 1))).await;
    }
}
