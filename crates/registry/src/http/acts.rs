//! Which acts the audit log tells of, and what it says of each.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use plugin_oci::values::digest::Digest;
use serde_json::{Map, Value, json};

use super::{CONTENT_DIGEST, Registry, heads};
use crate::audit::{Audit, at};
use crate::fault::{Code, Fault};
use crate::names::{Name, Route, Wanted};

/// What an act changed, where its request does not say it. It lies beside the answer.
#[derive(Clone)]
pub(super) struct Changed {
    /// What the tag stood for before.
    pub(super) before: Option<Digest>,
    /// The tags that went with a manifest.
    pub(super) tags: Vec<String>,
}

/// Something that a request wants to be done.
pub(super) struct Act {
    audit: Arc<Audit>,
    line: Map<String, Value>,
    /// Whether it is to change anything.
    changes: bool,
    /// Whether whoever sends it says who he is.
    has_credentials: bool,
}

fn unwritable() -> Fault {
    Fault::unavailable("the audit log cannot be written").with(header::RETRY_AFTER, "10")
}

impl Registry {
    /// What a request wants to be done, where that is to be told.
    pub(super) fn act(&self, request: &Request, client: Option<IpAddr>) -> Option<Act> {
        let audit = self.settings.audit.clone()?;
        let route = Route::parse(request.uri().path()).ok()?;
        let query = heads::query(request.uri().query());
        let mut line = Map::new();
        let mut say = |name: &str, value: Option<String>| drop(value.map(|value| line.insert(name.to_owned(), value.into())));
        say("at", Some(at()));
        say("client", client.map(|client| client.to_string()));
        let digest = || query.get("digest").and_then(|digest| digest.parse::<Digest>().ok());
        let method = request.method();
        let kind = match (&route, method) {
            (_, &Method::GET | &Method::HEAD) => "pull",
            (Route::Manifest(_, Wanted::Tag(_)), &Method::PUT) => "set-tag",
            (Route::Manifest(..), &Method::PUT) => "push-manifest",
            (Route::Manifest(_, Wanted::Tag(_)), &Method::DELETE) => "delete-tag",
            (Route::Manifest(..), &Method::DELETE) => "delete-manifest",
            (Route::Blob(..), &Method::DELETE) => "delete-blob",
            (Route::Uploads(_), &Method::POST) if query.contains_key("mount") => "mount-blob",
            (Route::Uploads(_) | Route::Upload(..), _) => "push-blob",
            _ => return None,
        };
        say("act", Some(kind.to_owned()));
        say("repository", route.name().map(|name| name.as_str().to_owned()));
        match &route {
            Route::Manifest(_, Wanted::Tag(tag)) => say("tag", Some(tag.to_string())),
            Route::Manifest(_, Wanted::Digest(digest)) | Route::Blob(_, digest) => say("digest", Some(digest.to_string())),
            Route::Uploads(_) if kind == "mount-blob" => {
                say("digest", query.get("mount").and_then(|it| it.parse::<Digest>().ok()).map(|it| it.to_string()));
                say("from", query.get("from").and_then(|from| Name::parse(from).ok()).map(|from| from.as_str().to_owned()));
            }
            Route::Uploads(_) | Route::Upload(..) => say("digest", digest().map(|digest| digest.to_string())),
            _ => {}
        }
        let has_credentials = request.headers().contains_key(header::AUTHORIZATION);
        Some(Act { audit, line, changes: kind != "pull", has_credentials })
    }

    /// Refuses to do what could not be told afterwards.
    pub(super) async fn may_act(&self) -> Result<(), Fault> {
        let Some(audit) = self.settings.audit.clone() else { return Ok(()) };
        match tokio::task::spawn_blocking(move || audit.ready()).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(unwritable()),
        }
    }
}

impl Act {
    /// Tells how it ended; the answer that may be given then.
    pub(super) async fn ended(self, response: Response, owner: Option<&str>) -> Response {
        let Self { audit, mut line, changes, has_credentials } = self;
        let status = response.status();
        let is_refusal = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        // That a token is wanted is said to everybody at first; and what opens an upload, or goes on with it, changes nothing yet.
        let is_told = match status.as_u16() {
            429 => false,
            202 | 204 => line["act"].as_str().is_some_and(|act| act.starts_with("delete")),
            _ => changes || status == StatusCode::FORBIDDEN || is_refusal && has_credentials,
        };
        if !is_told {
            return response;
        }
        let is_done = status.is_success();
        line.insert("token".to_owned(), json!(owner));
        line.insert("status".to_owned(), json!(status.as_u16()));
        let outcome = if is_done { "done" } else { ["failed", "refused"][usize::from(status.is_client_error())] };
        line.insert("outcome".to_owned(), json!(outcome));
        if let Some(Code(code)) = response.extensions().get() {
            line.insert("code".to_owned(), json!(code));
        }
        if let Some(digest) = response.headers().get(CONTENT_DIGEST).and_then(|digest| digest.to_str().ok()) {
            line.insert("digest".to_owned(), json!(digest));
        }
        if let Some(Changed { before, tags }) = response.extensions().get() {
            if line.contains_key("tag") {
                line.insert("before".to_owned(), json!(before.as_ref().map(ToString::to_string)));
            } else if !tags.is_empty() {
                line.insert("tags".to_owned(), json!(tags));
            }
        }
        let line = Value::Object(line);
        let written = tokio::task::spawn_blocking(move || if is_done { audit.tell(&line) } else { audit.refused(line) }).await;
        match written {
            Ok(Err(_)) | Err(_) if is_done => unwritable().into_response(),
            _ => response,
        }
    }
}
