//! Requests and answers (distribution-spec 1.1).

mod acts;
mod heads;
mod listen;
mod lists;
mod manifests;
mod mirrored;
mod pages;
mod policy;
mod pull;
mod push;
mod rest;
mod tags;
mod tls;
mod watch;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use plugin_oci::stores::bucket::lease::Purpose;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::heads::Query;
pub use self::listen::{Listening, listen};
use self::mirrored::VIA;
pub use self::policy::Policy;
pub use self::tls::Tls;
use self::watch::Counts;
use crate::audit::Audit;
use crate::auth::{Access, Gate, REFRESH, need};
use crate::fault::Fault;
use crate::keys::Keys;
use crate::mirror::Mirrors;
use crate::names::Route;
use crate::pattern::Pattern;
use crate::store::{Lease, Store};
use crate::uploads::{Incoming, Limits};

pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// How a registry behaves.
pub struct Settings {
    /// Tags that never move, once they are there: patterns of a tag, or of `NAME:TAG`.
    pub immutable: Vec<Pattern>,
    /// The most bytes of a blob.
    pub blob_limit: u64,
    /// How long a client may be silent within a request.
    pub patience: Duration,
    /// How many requests are answered at once.
    pub requests: usize,
    /// Whether those who want a blob are led to the store.
    pub redirect: bool,
    /// Whether each request is told on standard error, as a line of JSON.
    pub access_log: bool,
    /// Where acts are told.
    pub audit: Option<Arc<Audit>>,
    /// Which repositories are other registries'.
    pub mirrors: Option<Mirrors>,
    /// Which manifests are accepted.
    pub policy: Option<Policy>,
}

/// A registry.
pub struct Registry {
    store: Store,
    keys: Keys,
    gate: Gate,
    lease: Lease,
    counts: Counts,
    room: Arc<Semaphore>,
    settings: Settings,
    known: pages::Known,
}

impl Registry {
    /// A registry over a store.
    pub fn new(store: Store, keys: Keys, gate: Gate, settings: Settings) -> Self {
        let room = Arc::new(Semaphore::new(settings.requests.min(Semaphore::MAX_PERMITS)));
        Self {
            store,
            keys,
            gate,
            lease: Lease::new(Purpose::Serve),
            counts: Counts::default(),
            room,
            settings,
            known: pages::Known::default(),
        }
    }

    /// Learns what was revoked, again and again.
    pub(crate) async fn keep_up(self: Arc<Self>) {
        loop {
            tokio::time::sleep(REFRESH).await;
            if let Err(fault) = self.gate.refresh(&self.store).await {
                drop(Fault::from(fault));
            }
        }
    }

    /// Answers a request.
    pub(crate) async fn answer(self: Arc<Self>, request: Request, client: Option<IpAddr>) -> Response {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        if is_read || self.settings.audit.is_none() {
            return self.reply(request, client).await;
        }
        // Whoever leaves while something is done does not keep it from being told.
        let replied = tokio::spawn(self.reply(request, client)).await;
        replied.unwrap_or_else(|_| Fault::unavailable("the request broke off").into_response())
    }

    async fn reply(self: Arc<Self>, request: Request, client: Option<IpAddr>) -> Response {
        let is_head = request.method() == Method::HEAD;
        if let Some(response) = self.tell(request.uri().path()).await {
            return if is_head { without_body(response) } else { response };
        }
        let (watched, act) = (self.watch(&request, client), self.act(&request, client));
        let (request, is_left) = rest::read_to_end(request);
        let mut owner = None;
        let outcome = match self.room.clone().try_acquire_owned() {
            Ok(permit) => guarded(self.respond(request, &mut owner)).await.map(|response| while_read(response, permit)),
            Err(_) => Err(Fault::busy("too many requests at once").with(header::RETRY_AFTER, "1")),
        };
        let mut response = outcome.unwrap_or_else(IntoResponse::into_response);
        if let Some(act) = act {
            response = act.ended(response, owner.as_deref()).await;
        }
        watched.answered(&response, owner.as_deref());
        if is_left.load(Ordering::Relaxed) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
        if is_head { without_body(response) } else { response }
    }

    async fn respond(self: &Arc<Self>, request: Request, owner: &mut Option<String>) -> Result<Response, Fault> {
        let (head, body) = request.into_parts();
        let route = Route::parse(head.uri.path())?;
        let (method, headers) = (head.method, &head.headers);
        let access = self.gate.who(&self.keys, headers)?;
        if let Access::Owner(token) = &access {
            *owner = Some(token.id.clone());
        }
        match &route {
            Route::ListPage => self.gate.look(&access)?,
            _ => self.gate.pass(&access, route.name(), need(&route, &method))?,
        }
        let query = heads::query(head.uri.query());
        let is_read = method == Method::GET || method == Method::HEAD;
        let incoming = || Ok::<_, Fault>(Incoming::new(body, heads::length(headers)?, self.limits()));
        if !is_read {
            self.check_own(&route, &method)?;
            self.may_act().await?;
            self.serving().await?;
        }
        let mut response = match (&route, &method) {
            _ if is_read => {
                let via = headers.get_all(header::VIA).iter().filter_map(|via| via.to_str().ok());
                let via = via.collect::<Vec<_>>().join(", ");
                VIA.scope(via, self.read(&route, &method, &access, headers, &query)).await
            }
            (Route::Blob(name, digest), &Method::DELETE) => self.delete_blob(name, digest).await,
            (Route::Manifest(name, wanted), &Method::PUT) => self.put_manifest(name, wanted, headers, incoming()?).await,
            (Route::Manifest(name, wanted), &Method::DELETE) => self.delete_manifest(name, wanted).await,
            (Route::Uploads(name), &Method::POST) => self.begin_upload(name, &access, &query, incoming()?).await,
            (Route::Upload(name, session), &Method::PATCH) => self.extend_upload(name, session, headers, incoming()?).await,
            (Route::Upload(name, session), &Method::PUT) => self.finish_upload(name, session, &query, headers, incoming()?).await,
            (Route::Upload(name, session), &Method::DELETE) => self.cancel_upload(name, session).await,
            _ => Err(not_allowed(&route)),
        }?;
        if route.name().is_some_and(|name| !self.gate.is_public(name))
            && let Some(cache) = response.headers().get(header::CACHE_CONTROL).and_then(|cache| cache.to_str().ok())
        {
            // What a token opened is nobody else's.
            let private = cache.replace("public", "private");
            set(&mut response, header::CACHE_CONTROL, private);
        }
        Ok(response)
    }

    /// Answers who reads: of another registry's repository, with what it has now.
    async fn read(
        self: &Arc<Self>,
        route: &Route,
        method: &Method,
        access: &Access,
        headers: &HeaderMap,
        query: &Query,
    ) -> Result<Response, Fault> {
        self.renew(route).await?;
        match self.read_here(route, method, access, headers, query).await {
            Err(fault) if fault.is_absence() && self.fetch(route).await? => {
                self.read_here(route, method, access, headers, query).await
            }
            outcome => outcome,
        }
    }

    async fn read_here(
        self: &Arc<Self>,
        route: &Route,
        method: &Method,
        access: &Access,
        headers: &HeaderMap,
        query: &Query,
    ) -> Result<Response, Fault> {
        let is_head = method == Method::HEAD;
        match route {
            Route::Base => Ok(document(b"{}".to_vec(), "application/json")),
            Route::ListPage => self.list_page(access, headers, query).await,
            Route::RepositoryPage(name) => self.repository_page(name, headers, query).await,
            Route::ImagePage(name, tag) => self.image_page(name, tag, headers).await,
            Route::Blob(name, digest) if is_head => self.has_blob(name, digest, access, headers).await,
            Route::Blob(name, digest) => self.blob(name, digest, headers).await,
            Route::Manifest(name, wanted) if is_head => self.has_manifest(name, wanted, access, headers).await,
            Route::Manifest(name, wanted) => self.manifest(name, wanted, access, headers).await,
            Route::Tags(name) => self.tags(name, query).await,
            Route::Referrers(name, subject) => self.referrers(name, subject, query).await,
            Route::Upload(name, session) => self.upload_status(name, session).await,
            Route::Uploads(_) => Err(not_allowed(route)),
        }
    }

    /// Keeps others from removing what is relied upon here.
    async fn serving(&self) -> Result<(), Fault> {
        match self.lease.hold(&self.store).await? {
            Ok(()) => {
                self.store.found().await;
                Ok(())
            }
            Err(_) => Err(Fault::unavailable("somebody removes from the store").with(header::RETRY_AFTER, "10")),
        }
    }

    /// Lets go of what it keeps from others.
    pub(crate) async fn end(&self) {
        self.lease.release(&self.store).await;
    }

    const fn limits(&self) -> Limits {
        Limits { blob: self.settings.blob_limit, patience: self.settings.patience }
    }
}

/// Whatever goes wrong with a request ends nothing but that request. What it was is on standard error.
async fn guarded(work: impl Future<Output = Result<Response, Fault>>) -> Result<Response, Fault> {
    let outcome = AssertUnwindSafe(work).catch_unwind().await;
    outcome.unwrap_or_else(|_| Err(Fault::internal("this is a fault of the server")))
}

fn not_allowed(route: &Route) -> Fault {
    Fault::method("this cannot be done with that").with(header::ALLOW, allowed(route))
}

const fn allowed(route: &Route) -> &'static str {
    match route {
        Route::Base
        | Route::Tags(_)
        | Route::Referrers(..)
        | Route::ListPage
        | Route::RepositoryPage(_)
        | Route::ImagePage(..) => "GET, HEAD",
        Route::Blob(..) => "GET, HEAD, DELETE",
        Route::Manifest(..) => "GET, HEAD, PUT, DELETE",
        Route::Uploads(_) => "POST",
        Route::Upload(..) => "GET, HEAD, PATCH, PUT, DELETE",
    }
}

/// A whole document.
fn document(bytes: Vec<u8>, media_type: &str) -> Response {
    let mut response = Response::new(Body::from(bytes));
    set(&mut response, header::CONTENT_TYPE, media_type);
    response
}

/// An answer that is a status.
fn status(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Sets a header, where its value can be one.
fn set(response: &mut Response, name: HeaderName, value: impl TryInto<HeaderValue>) {
    if let Ok(value) = value.try_into() {
        response.headers_mut().insert(name, value);
    }
}

/// Holds a permit until the body is read, where it comes in pieces.
fn while_read(response: Response, permit: OwnedSemaphorePermit) -> Response {
    use futures_util::StreamExt as _;
    if !response.headers().contains_key(header::CONTENT_LENGTH) {
        return response;
    }
    response.map(|body| {
        Body::from_stream(body.into_data_stream().map(move |piece| {
            let _held = &permit;
            piece
        }))
    })
}

/// What `HEAD` is told: all of the head, which says how long the body would be.
fn without_body(mut response: Response) -> Response {
    use axum::body::HttpBody as _;
    let length = response.body().size_hint().exact();
    if let (Some(length), false) = (length, response.headers().contains_key(header::CONTENT_LENGTH)) {
        set(&mut response, header::CONTENT_LENGTH, length.to_string());
    }
    *response.body_mut() = Body::empty();
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_within_a_request_is_an_answer() {
        let panics = async { panic!("as it should") };
        let fault = guarded(panics).now_or_never().unwrap().unwrap_err();
        assert_eq!(fault.into_response().status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
