//! Blobs and manifests, for those who have leave to read.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use plugin_oci::stores::bucket::objects::Kind;
use plugin_oci::stores::registry::media_type_of;
use plugin_oci::values::digest::{Digest, Hasher};

use super::{CONTENT_DIGEST, Registry, document, heads, set, status};
use crate::auth::{Access, Action};
use crate::fault::Fault;
use crate::names::{Name, Wanted};
use crate::store::{Marked, Read, StoreFault};

impl Registry {
    /// What those who ask are told of a blob. To those who may push, what goes is not there, so that they send it again.
    pub(super) async fn has_blob(
        &self,
        name: &Name,
        digest: &Digest,
        access: &Access,
        headers: &HeaderMap,
    ) -> Result<Response, Fault> {
        let marked = Marked::blob(digest.clone());
        if self.gate.allows(access, name, Action::Push) && marked.is_condemned(&self.store, name).await? {
            return Err(Fault::blob_unknown("there is no such blob"));
        }
        self.blob_head(name, digest, headers).await
    }

    async fn blob_head(&self, name: &Name, digest: &Digest, headers: &HeaderMap) -> Result<Response, Fault> {
        let meta = self.store.head(&name.blob(digest)).await?.ok_or_else(|| Fault::blob_unknown("there is no such blob"))?;
        let is_known = heads::is_known(headers, &heads::etag(digest));
        let mut response = status(if is_known { StatusCode::NOT_MODIFIED } else { StatusCode::OK });
        describe_blob(&mut response, digest);
        if !is_known {
            set(&mut response, header::CONTENT_LENGTH, meta.size);
        }
        Ok(response)
    }

    pub(super) async fn blob(&self, name: &Name, digest: &Digest, headers: &HeaderMap) -> Result<Response, Fault> {
        let etag = heads::etag(digest);
        if heads::is_known(headers, &etag) {
            return self.blob_head(name, digest, headers).await;
        }
        if self.settings.redirect
            && self.store.head(&name.blob(digest)).await?.is_some()
            && let Some(url) = self.store.url(&name.blob(digest)).await?
        {
            let mut response = status(StatusCode::TEMPORARY_REDIRECT);
            set(&mut response, header::LOCATION, url);
            set(&mut response, header::CACHE_CONTROL, "no-store");
            return Ok(response);
        }
        let part = heads::range(headers, &etag);
        match self.store.read(&name.blob(digest), part).await? {
            Read::Absent => Err(Fault::blob_unknown("there is no such blob")),
            Read::Outside { size } => {
                Err(Fault::range("it has fewer bytes").with(header::CONTENT_RANGE, format!("bytes */{size}")))
            }
            Read::Found { size, range, pieces } => {
                let mut response = Response::new(Body::from_stream(pieces));
                describe_blob(&mut response, digest);
                set(&mut response, header::CONTENT_LENGTH, range.end - range.start);
                if part.is_some() {
                    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                    let range = format!("bytes {}-{}/{size}", range.start, range.end - 1);
                    set(&mut response, header::CONTENT_RANGE, range);
                }
                Ok(response)
            }
        }
    }

    /// The same of a manifest.
    pub(super) async fn has_manifest(
        self: &Arc<Self>,
        name: &Name,
        wanted: &Wanted,
        access: &Access,
        headers: &HeaderMap,
    ) -> Result<Response, Fault> {
        if let Wanted::Digest(digest) = wanted
            && self.gate.allows(access, name, Action::Push)
            && Marked::manifest(digest.clone()).is_condemned(&self.store, name).await?
        {
            return Err(Fault::manifest_unknown("there is no such manifest"));
        }
        self.manifest(name, wanted, access, headers).await
    }

    pub(super) async fn manifest(
        self: &Arc<Self>,
        name: &Name,
        wanted: &Wanted,
        access: &Access,
        headers: &HeaderMap,
    ) -> Result<Response, Fault> {
        let (key, cache) = match wanted {
            Wanted::Digest(digest) => (name.manifest(digest), Kind::fixed("").cache_control),
            Wanted::Tag(tag) => (name.tag(tag), Kind::changing("").cache_control),
        };
        let found = self.store.get(&key).await?.ok_or_else(|| Fault::manifest_unknown("there is no such manifest"))?;
        let digest = match wanted {
            Wanted::Tag(_) => Digest::of(&found.bytes),
            Wanted::Digest(digest) => {
                let mut hasher = Hasher::with(digest.algorithm());
                hasher.update(&found.bytes);
                let is_whole = hasher.finish() == *digest;
                if is_whole { digest.clone() } else { return Err(StoreFault::new(&key, "it has another digest").into()) }
            }
        };
        self.check_pull(name, wanted, access, &digest, &found.bytes).await?;
        let etag = heads::etag(&digest);
        let mut response = if heads::is_known(headers, &etag) {
            status(StatusCode::NOT_MODIFIED)
        } else {
            let media_type = media_type_of(found.content_type.as_deref().unwrap_or_default(), &found.bytes);
            document(found.bytes, &media_type)
        };
        set(&mut response, header::ETAG, etag);
        set(&mut response, CONTENT_DIGEST, digest.to_string());
        set(&mut response, header::CACHE_CONTROL, cache);
        Ok(response)
    }
}

fn describe_blob(response: &mut Response, digest: &Digest) {
    let kind = Kind::blob();
    set(response, header::CONTENT_TYPE, kind.content_type);
    set(response, header::CACHE_CONTROL, kind.cache_control);
    set(response, header::ACCEPT_RANGES, "bytes");
    set(response, header::ETAG, heads::etag(digest));
    set(response, CONTENT_DIGEST, digest.to_string());
}
