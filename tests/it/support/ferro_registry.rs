//! The crate `ferro-oci-server`: a registry with the referrers API, in a thread of this process, on a free loopback port, with
//! its storage in memory.
//!
//! Nothing of ours bends to it. What tests must know where it is odd, each compared with distribution-spec 1.1:
//! - It mounts nothing: 202 and an upload ("Mounting a blob from another repository" allows that). Since its blobs belong to no
//!   repository, a `HEAD` in any of them finds what another has, so that nothing is sent twice either.
//! - It has the empty descriptor's `{}` without being sent it.
//! - It says `Range: 0-0` of an upload without bytes, for which the spec has no words and docker's registry the same.
//! - It lists tags in the order of bytes; "Listing Tags" wants upper and lower case to be equal. We sort them ourselves.
//! - It asks for no chunks (`OCI-Chunk-Min-Length: 0`): to see some, a limit on requests stands before it, as a proxy's would.

use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use ferro_oci_server::{Config, build_app};
use tokio::runtime::{Builder, Runtime};

/// A running registry; stopped when dropped.
pub struct FerroRegistry {
    /// `127.0.0.1:PORT`.
    pub host: String,
    log: Arc<Mutex<Vec<Answered>>>,
    _runtime: Runtime,
}

/// A request and what became of it.
#[derive(Clone, Debug)]
pub struct Answered {
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Bytes of its body that were received; those that were only promised when it was refused for its length.
    pub bytes: usize,
    pub status: u16,
}

impl FerroRegistry {
    /// Starts one.
    pub fn start() -> Self {
        Self::limited(usize::MAX)
    }

    /// Starts one behind a limit: 413 for a request with more bytes than this.
    pub fn limited(largest: usize) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let seen = log.clone();
        let store = Config { listen: String::new(), storage_dir: None }.blob_store().unwrap();
        let app = build_app(store).layer(from_fn(move |request, next| watch(request, next, largest, seen.clone())));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let host = listener.local_addr().unwrap().to_string();
        runtime.spawn(axum::serve(listener, app).into_future());
        Self { host, log, _runtime: runtime }
    }

    /// The requests with one of these methods and this in their path, in the order in which they were answered.
    pub fn requests(&self, methods: &str, part: &str) -> Vec<Answered> {
        let wanted = |seen: &&Answered| methods.split(' ').any(|method| method == seen.method) && seen.path.contains(part);
        self.log.lock().unwrap().iter().filter(wanted).cloned().collect()
    }

    /// How many bytes of blobs were received.
    pub fn blob_bytes(&self) -> usize {
        let uploads = self.requests("POST PATCH PUT", "/blobs/uploads/");
        uploads.iter().filter(|seen| seen.status < 300).map(|seen| seen.bytes).sum()
    }
}

async fn watch(request: Request, next: Next, largest: usize, log: Arc<Mutex<Vec<Answered>>>) -> Response {
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let promised = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0);
    let (bytes, response) = if promised > largest {
        (promised, StatusCode::PAYLOAD_TOO_LARGE.into_response())
    } else {
        let (head, body) = request.into_parts();
        let Ok(body) = to_bytes(body, largest).await else { return StatusCode::BAD_REQUEST.into_response() };
        (body.len(), next.run(Request::from_parts(head, Body::from(body))).await)
    };
    let status = response.status().as_u16();
    log.lock().unwrap().push(Answered { method, path, bytes, status });
    response
}
