//! The second port: health, metrics, and the listing of what runs. For operators, not for the
//! API server, so that a scrape never competes with a review for a connection.
//!
//! Start at [`Operations`].

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};

use super::guard::Arriving;
use super::http::Handler;
use super::status::{self, Body};
use crate::telemetry::health::Health;
use crate::telemetry::metrics::{self, Metrics};

const SERVED: &str = "/livez, /readyz (?verbose), /healthz, /metrics, /debug/program";

/// What the second port answers with.
pub struct Operations {
    /// Readiness.
    pub health: Health,
    /// Counters.
    pub metrics: Metrics,
    /// The listing of the program in force.
    pub listing: Arc<dyn Fn() -> String + Send + Sync>,
}

impl Handler for Operations {
    async fn handle(&self, request: Request<Incoming>, _: Arriving<'_>) -> Response<Body> {
        let path = request.uri().path();
        let known = ["/livez", "/readyz", "/healthz", "/metrics", "/debug/program"];
        if !known.contains(&path) {
            return status::not_found(path, SERVED);
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return status::method_not_allowed(request.method().as_str(), path, "GET");
        }
        match path {
            "/livez" => status::text(StatusCode::OK, "ok\n".to_owned()),
            "/metrics" => {
                status::typed(StatusCode::OK, metrics::CONTENT_TYPE, self.metrics.text().into())
            }
            "/debug/program" => status::text(StatusCode::OK, (self.listing)()),
            _ => self.ready(request.uri().query().is_some_and(verbose)),
        }
    }
}

impl Operations {
    fn ready(&self, verbose: bool) -> Response<Body> {
        let (ready, report) = self.health.report();
        let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let text = if verbose || !ready { report } else { "ok\n".to_owned() };
        status::text(code, text)
    }
}

fn verbose(query: &str) -> bool {
    query.split('&').any(|pair| pair.split('=').next() == Some("verbose"))
}
