//! A stand-in for the API server, in this process and over real HTTP: lists in pages, watches with
//! versions, bookmarks and `410 Gone`, create, replace with conflicts, merge patch, delete; and on
//! demand the bad days: disconnects, refusals, garbage in a stream, a compacted history.
//!
//! No TLS, no users, no schemas. Start at [`ApiServer::start`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The server; it ends with the runtime it was started on.
#[derive(Clone)]
pub struct ApiServer {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    version: u64,
    /// Versions up to this one are no longer known to watches.
    compacted: u64,
    /// Every disconnect raises it; streams of an earlier one end.
    epoch: u64,
    served: BTreeSet<String>,
    objects: BTreeMap<Key, Value>,
    log: Vec<Entry>,
    /// Codes that the next requests are answered with.
    refuse: VecDeque<u16>,
    /// Requests by method and path, oldest first.
    pub seen: Vec<String>,
}

type Key = (String, String, String);

struct Entry {
    version: u64,
    collection: String,
    line: String,
}

struct Place {
    collection: String,
    namespace: String,
    name: String,
    sub: String,
}

impl ApiServer {
    /// Starts on a free port of the loopback, serving collections such as `/api/v1/namespaces`.
    pub async fn start(served: &[&str]) -> Self {
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let state = State {
            version: 100,
            served: served.iter().map(|path| (*path).to_owned()).collect(),
            ..State::default()
        };
        let server = Self {
            address: socket.local_addr().expect("bound"),
            state: Arc::new(Mutex::new(state)),
            changed: watch::Sender::new(0),
        };
        let accepting = server.clone();
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = socket.accept().await else { continue };
                let server = accepting.clone();
                tokio::spawn(async move {
                    let mut changed = server.changed.subscribe();
                    let epoch = server.state().epoch;
                    let handler = server.clone();
                    let service = service_fn(move |request| {
                        let server = handler.clone();
                        async move { Ok::<_, Infallible>(server.answer(request).await) }
                    });
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service);
                    let cut = async {
                        while server.state().epoch == epoch && changed.changed().await.is_ok() {}
                    };
                    tokio::select! { _ = connection => {}, () = cut => {} }
                });
            }
        });
        server
    }

    /// A client of this server.
    pub fn client(&self) -> kube::Client {
        let uri = format!("http://{}", self.address).parse().expect("a URI");
        let mut config = kube::Config::new(uri);
        config.connect_timeout = Some(Duration::from_secs(2));
        kube::Client::try_from(config).expect("a client")
    }

    /// A kubeconfig for this server.
    pub fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "t",
            "clusters": [{"name": "t", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "t", "user": {}}],
            "contexts": [{"name": "t", "context": {"cluster": "t", "user": "t"}}],
        })
        .to_string()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the state")
    }

    fn told(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    /// Serves one more collection, as when a CRD is installed.
    pub fn serve(&self, collection: &str) {
        self.state().served.insert(collection.to_owned());
    }

    /// Creates or replaces an object, whatever it is; only its name must be right.
    pub fn put(&self, collection: &str, object: Value) {
        self.state().put(collection, object);
        self.told();
    }

    /// Deletes an object.
    pub fn delete(&self, collection: &str, namespace: &str, name: &str) {
        self.state().delete(&key(collection, namespace, name));
        self.told();
    }

    /// An object as it is now.
    pub fn get(&self, collection: &str, namespace: &str, name: &str) -> Option<Value> {
        self.state().objects.get(&key(collection, namespace, name)).cloned()
    }

    /// All objects of a collection.
    pub fn all(&self, collection: &str) -> Vec<Value> {
        self.state().of(collection).map(|(_, object)| object.clone()).collect()
    }

    /// Puts a line into the streams of a collection.
    pub fn garbage(&self, collection: &str, line: &str) {
        {
            let mut state = self.state();
            state.version += 1;
            let version = state.version;
            let (collection, line) = (collection.to_owned(), format!("{line}\n"));
            state.log.push(Entry { version, collection, line });
        }
        self.told();
    }

    /// Creates an object without telling any watch.
    pub fn put_silently(&self, collection: &str, object: Value) {
        let mut state = self.state();
        let log = state.log.len();
        state.put(collection, object);
        state.log.truncate(log);
    }

    /// Deletes an object without telling any watch: what a stream with garbage in it lost.
    pub fn delete_silently(&self, collection: &str, namespace: &str, name: &str) {
        self.state().objects.remove(&key(collection, namespace, name));
    }

    /// Cuts every connection.
    pub fn disconnect(&self) {
        self.state().epoch += 1;
        self.told();
    }

    /// Forgets the history, so that watches of earlier versions are told `410 Gone`.
    pub fn compact(&self) {
        let mut state = self.state();
        state.version += 1;
        state.compacted = state.version;
        state.log.clear();
    }

    /// Answers the next requests with these codes.
    pub fn refuse(&self, codes: &[u16]) {
        self.state().refuse.extend(codes);
    }

    /// Requests so far whose line contains all of these.
    pub fn seen(&self, parts: &[&str]) -> usize {
        let seen = |line: &&String| parts.iter().all(|part| line.contains(part));
        self.state().seen.iter().filter(seen).count()
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let query: BTreeMap<String, String> = head
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let refused = {
            let mut state = self.state();
            state.seen.push(format!("{} {}", head.method, head.uri));
            state.refuse.pop_front()
        };
        if let Some(code) = refused {
            return failure(code, "refused by the test");
        }
        let place = place(head.uri.path());
        if !self.state().served.contains(&place.collection) {
            return failure(404, "the server could not find the requested resource");
        }
        let parsed = || serde_json::from_slice::<Value>(&body).unwrap_or(Value::Null);
        match (head.method, place.name.is_empty()) {
            (Method::GET, true) if query.contains_key("watch") => self.watch(place, &query),
            (Method::GET, true) => self.state().list(&place, &query),
            (Method::GET, false) => match self.state().objects.get(&place.key()) {
                Some(object) => reply(200, object),
                None => failure(404, "not found"),
            },
            (method, _) => {
                let response = self.state().change(&method, &place, parsed());
                self.told();
                response
            }
        }
    }

    fn watch(&self, place: Place, query: &BTreeMap<String, String>) -> Response<Body> {
        let from: u64 = query.get("resourceVersion").and_then(|v| v.parse().ok()).unwrap_or(0);
        let secs: u64 = query.get("timeoutSeconds").and_then(|v| v.parse().ok()).unwrap_or(60);
        if from < self.state().compacted {
            let status = status(410, "too old resource version");
            let line = event("ERROR", &status);
            return respond(200, Full::new(Bytes::from(line)).boxed_unsync());
        }
        let (lines, receiver) = mpsc::channel::<String>(64);
        let server = self.clone();
        tokio::spawn(async move {
            let streaming = server.stream(&place.collection, from, lines);
            let _ = tokio::time::timeout(Duration::from_secs(secs), streaming).await;
        });
        let frames = futures_util::stream::unfold(receiver, |mut receiver| async move {
            let line = receiver.recv().await?;
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from(line))), receiver))
        });
        respond(200, BodyExt::boxed_unsync(StreamBody::new(frames)))
    }

    async fn stream(&self, collection: &str, mut from: u64, lines: mpsc::Sender<String>) {
        let mut changed = self.changed.subscribe();
        let epoch = self.state().epoch;
        let mut bookmark = tokio::time::interval(Duration::from_millis(300));
        loop {
            let (batch, version) = {
                let state = self.state();
                if state.epoch != epoch {
                    return;
                }
                let news = state.log.iter().filter(|e| e.version > from);
                let ours = news.filter(|e| e.collection == collection);
                (ours.map(|e| e.line.clone()).collect::<Vec<_>>(), state.version)
            };
            from = version;
            for line in batch {
                if lines.send(line).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                told = changed.changed() => if told.is_err() { return },
                _ = bookmark.tick() => {
                    let meta = json!({"resourceVersion": from.to_string()});
                    let object = json!({"kind": "X", "apiVersion": "v1", "metadata": meta});
                    if lines.send(event("BOOKMARK", &object)).await.is_err() { return }
                }
            }
        }
    }
}

impl State {
    fn of(&self, collection: &str) -> impl Iterator<Item = (&Key, &Value)> {
        self.objects.iter().filter(move |(key, _)| key.0 == collection)
    }

    fn put(&mut self, collection: &str, mut object: Value) -> Value {
        self.version += 1;
        let version = self.version;
        let text = |object: &Value, at: &str| {
            object.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let (namespace, name) =
            (text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
        let key = key(collection, &namespace, &name);
        let before = self.objects.get(&key);
        let meta = object["metadata"].as_object_mut().expect("metadata is an object");
        meta.insert("resourceVersion".to_owned(), version.to_string().into());
        let uid = before.map_or(format!("uid-{version}"), |before| text(before, "/metadata/uid"));
        meta.entry("uid").or_insert(uid.into());
        let generation = before.map_or(1, |before| {
            let generation = before["metadata"]["generation"].as_u64().unwrap_or(1);
            if before["spec"] == object["spec"] { generation } else { generation + 1 }
        });
        object["metadata"]["generation"] = generation.into();
        let kind = if before.is_some() { "MODIFIED" } else { "ADDED" };
        self.log.push(Entry {
            version,
            collection: collection.to_owned(),
            line: event(kind, &object),
        });
        self.objects.insert(key, object.clone());
        object
    }

    fn delete(&mut self, key: &Key) -> Option<Value> {
        let mut object = self.objects.remove(key)?;
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.log.push(Entry {
            version: self.version,
            collection: key.0.clone(),
            line: event("DELETED", &object),
        });
        Some(object)
    }

    fn list(&self, place: &Place, query: &BTreeMap<String, String>) -> Response<Body> {
        let limit: usize = query.get("limit").and_then(|v| v.parse().ok()).unwrap_or(usize::MAX);
        let skip: usize = query.get("continue").and_then(|v| v.parse().ok()).unwrap_or(0);
        let ours =
            |(key, _): &(&Key, &Value)| place.namespace.is_empty() || key.1 == place.namespace;
        let items: Vec<&Value> = self.of(&place.collection).filter(ours).map(|(_, o)| o).collect();
        let page: Vec<&&Value> = items.iter().skip(skip).take(limit).collect();
        let mut meta = json!({"resourceVersion": self.version.to_string()});
        if skip + page.len() < items.len() {
            meta["continue"] = (skip + page.len()).to_string().into();
        }
        let list = json!({"kind": "List", "apiVersion": "v1", "metadata": meta, "items": page});
        reply(200, &list)
    }

    fn change(&mut self, method: &Method, place: &Place, body: Value) -> Response<Body> {
        let collection = &place.collection;
        if *method == Method::POST {
            let mut object = body;
            if !place.namespace.is_empty() {
                object["metadata"]["namespace"] = place.namespace.clone().into();
            }
            if let Some(prefix) = object["metadata"]["generateName"].as_str() {
                object["metadata"]["name"] = format!("{prefix}{}", self.version).into();
            }
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            if self.objects.contains_key(&key(collection, &place.namespace, name)) {
                return failure(409, "already exists");
            }
            return reply(201, &self.put(collection, object));
        }
        let Some(before) = self.objects.get(&place.key()).cloned() else {
            return failure(404, "not found");
        };
        if *method == Method::DELETE {
            let wanted = body.pointer("/preconditions/resourceVersion");
            if wanted.is_some_and(|v| !v.is_null() && *v != before["metadata"]["resourceVersion"]) {
                return failure(409, "the object has been modified");
            }
            return reply(200, &self.delete(&place.key()).unwrap_or_default());
        }
        let version = body.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        if version.is_some_and(|v| before["metadata"]["resourceVersion"] != v) {
            return failure(409, "the object has been modified");
        }
        let mut after = if *method == Method::PUT { body } else { merged(before.clone(), &body) };
        if place.sub == "status" {
            let status = after["status"].take();
            after = before.clone();
            after["status"] = status;
        }
        after["metadata"]["name"] = place.name.clone().into();
        after["metadata"]["uid"] = before["metadata"]["uid"].clone();
        if !place.namespace.is_empty() {
            after["metadata"]["namespace"] = place.namespace.clone().into();
        }
        reply(200, &self.put(collection, after))
    }
}

impl Place {
    fn key(&self) -> Key {
        key(&self.collection, &self.namespace, &self.name)
    }
}

fn key(collection: &str, namespace: &str, name: &str) -> Key {
    (collection.to_owned(), namespace.to_owned(), name.to_owned())
}

fn place(path: &str) -> Place {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let root = if parts.first() == Some(&"api") { 2 } else { 3 };
    let (root, rest) = parts.split_at(root.min(parts.len()));
    let (namespace, rest) = match rest {
        ["namespaces", namespace, plural, ..] if *plural != "status" => (*namespace, &rest[2..]),
        _ => ("", rest),
    };
    let part = |at: usize| rest.get(at).copied().unwrap_or_default().to_owned();
    Place {
        collection: format!("/{}/{}", root.join("/"), part(0)),
        namespace: namespace.to_owned(),
        name: part(1),
        sub: part(2),
    }
}

fn merged(mut base: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    if !base.is_object() {
        base = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            base.as_object_mut().expect("an object").remove(key);
        } else {
            let before = base.get_mut(key).map_or(Value::Null, Value::take);
            base[key] = merged(before, value);
        }
    }
    base
}

/// The tag comes first, as Go writes it.
fn event(kind: &str, object: &Value) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")
}

fn status(code: u16, message: &str) -> Value {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        _ => "InternalError",
    };
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
           "message": message, "reason": reason, "code": code})
}

fn failure(code: u16, message: &str) -> Response<Body> {
    reply(code, &status(code, message))
}

fn reply(code: u16, value: &Value) -> Response<Body> {
    respond(code, Full::new(Bytes::from(value.to_string())).boxed_unsync())
}

fn respond(code: u16, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).expect("a code");
    response.headers_mut().insert("content-type", "application/json".parse().expect("a value"));
    response
}
