//! What those who run a registry are told of it: whether it works, how much it does, and who asks for what.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::{Registry, document, status};
use crate::clock;

/// The form of Prometheus (Prometheus documentation, "Exposition Formats").
const PROMETHEUS: &str = "text/plain; version=0.0.4";

/// What has been done since the process began.
#[derive(Default)]
pub(crate) struct Counts {
    answers: Mutex<BTreeMap<(&'static str, u16), u64>>,
    microseconds: AtomicU64,
    at_work: AtomicU64,
}

/// A request that is being answered.
pub(super) struct Watched<'a> {
    registry: &'a Registry,
    client: Option<IpAddr>,
    method: &'static str,
    path: String,
    begun: Instant,
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.registry.counts.at_work.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Registry {
    /// Begins to watch a request.
    pub(super) fn watch(&self, request: &Request, client: Option<IpAddr>) -> Watched<'_> {
        let method = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"].into_iter().find(|it| request.method().as_str() == *it);
        // A session is its client's secret.
        let path = request.uri().path();
        let path = path.find("/blobs/uploads/").map_or(path, |at| &path[..at + "/blobs/uploads/".len()]).to_owned();
        self.counts.at_work.fetch_add(1, Ordering::Relaxed);
        Watched { registry: self, client, method: method.unwrap_or("other"), path, begun: Instant::now() }
    }

    /// Answers those who look after it; nothing for what is a registry's.
    pub(super) async fn tell(&self, path: &str) -> Option<Response> {
        match path {
            "/healthz" => Some(status(StatusCode::OK)),
            "/readyz" => {
                let is_ready = self.store.head("_r/ready").await.is_ok();
                Some(status(if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }))
            }
            "/metrics" => Some(document(self.counts.text().into_bytes(), PROMETHEUS)),
            _ => None,
        }
    }
}

impl Watched<'_> {
    /// Ends it with an answer.
    pub(super) fn answered(self, response: &Response, owner: Option<&str>) {
        let (code, took) = (response.status().as_u16(), self.begun.elapsed());
        let counts = &self.registry.counts;
        if let Ok(mut answers) = counts.answers.lock() {
            *answers.entry((self.method, code)).or_default() += 1;
        }
        counts.microseconds.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if self.registry.settings.access_log {
            let line = json!({
                "at": humantime::format_rfc3339_millis(clock::now()).to_string(),
                "client": self.client.map(|client| client.to_string()),
                "token": owner,
                "method": self.method,
                "path": self.path,
                "status": code,
                "milliseconds": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            });
            eprintln!("{line}");
        }
    }
}

impl Counts {
    fn text(&self) -> String {
        let mut text = String::from("# TYPE plugin_registry_requests_total counter\n");
        let answers = self.answers.lock().map(|answers| answers.clone()).unwrap_or_default();
        for ((method, code), count) in answers {
            // A text takes whatever is written.
            let _ = writeln!(text, "plugin_registry_requests_total{{method=\"{method}\",code=\"{code}\"}} {count}");
        }
        let micros = self.microseconds.load(Ordering::Relaxed);
        let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
        let _ = writeln!(text, "# TYPE plugin_registry_request_seconds_total counter");
        let _ = writeln!(text, "plugin_registry_request_seconds_total {seconds}.{rest:06}");
        let _ = writeln!(text, "# TYPE plugin_registry_requests_at_work gauge");
        let _ = writeln!(text, "plugin_registry_requests_at_work {}", self.at_work.load(Ordering::Relaxed));
        text
    }
}
