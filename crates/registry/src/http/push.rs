//! Blobs, from those who have leave to write.

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::Response;
use plugin_oci::values::digest::{Algorithm, Digest};

use super::heads::{self, Query};
use super::{CONTENT_DIGEST, Registry, set, status};
use crate::auth::{Access, Action};
use crate::fault::Fault;
use crate::names::Name;
use crate::store::Marked;
use crate::uploads::{self, Incoming, Session, algorithm};

const LEAST: HeaderName = HeaderName::from_static("oci-chunk-min-length");
const MOST: HeaderName = HeaderName::from_static("oci-chunk-max-length");
/// Chunks are better not smaller, for the sake of the store: 5 MiB.
const CHUNK: u64 = 5 << 20;

impl Registry {
    pub(super) async fn begin_upload(
        &self,
        name: &Name,
        access: &Access,
        query: &Query,
        incoming: Incoming,
    ) -> Result<Response, Fault> {
        if let (Some(digest), Some(from)) = (query.get("mount"), query.get("from"))
            && let (digest, from) = (parse_digest(digest)?, Name::parse(from)?)
            && self.gate.allows(access, &from, Action::Pull)
            && let Some(response) = self.mount(name, &digest, &from).await?
        {
            return Ok(response);
        }
        if let Some(digest) = query.get("digest") {
            let digest = parse_digest(digest)?;
            Marked::blob(digest.clone()).pardon(&self.store, name).await?;
            uploads::whole(&self.store, incoming, &digest, &name.blob(&digest)).await?;
            return Ok(created(name, &digest));
        }
        let algorithm = match query.get("digest-algorithm") {
            None => Algorithm::Sha256,
            Some(word) => algorithm(word).ok_or_else(|| Fault::digest_invalid("only sha256 and sha512 are known"))?,
        };
        let mut response = self.going_on(name, &Session::new(name.as_str(), algorithm), StatusCode::ACCEPTED);
        set(&mut response, LEAST, CHUNK);
        set(&mut response, MOST, self.settings.blob_limit);
        Ok(response)
    }

    async fn mount(&self, name: &Name, digest: &Digest, from: &Name) -> Result<Option<Response>, Fault> {
        let (source, target) = (from.blob(digest), name.blob(digest));
        let it = Marked::blob(digest.clone());
        let (meta, is_condemned) = tokio::try_join!(self.store.head(&source), it.is_condemned(&self.store, from))?;
        let Some(meta) = meta.filter(|_| !is_condemned) else { return Ok(None) };
        if source != target {
            it.pardon(&self.store, name).await?;
            self.store.copy(&source, &target, meta.size).await?;
        }
        Ok(Some(created(name, digest)))
    }

    pub(super) async fn upload_status(&self, name: &Name, signed: &str) -> Result<Response, Fault> {
        let session = Session::read(&self.keys, name.as_str(), signed)?;
        uploads::check(&self.store, &session).await?;
        Ok(self.going_on(name, &session, StatusCode::NO_CONTENT))
    }

    pub(super) async fn extend_upload(
        &self,
        name: &Name,
        signed: &str,
        headers: &HeaderMap,
        incoming: Incoming,
    ) -> Result<Response, Fault> {
        let session = Session::read(&self.keys, name.as_str(), signed)?;
        self.check_order(name, &session, headers)?;
        let next = uploads::extend(&self.store, &session, incoming).await?;
        Ok(self.going_on(name, &next, StatusCode::ACCEPTED))
    }

    pub(super) async fn finish_upload(
        &self,
        name: &Name,
        signed: &str,
        query: &Query,
        headers: &HeaderMap,
        incoming: Incoming,
    ) -> Result<Response, Fault> {
        let session = Session::read(&self.keys, name.as_str(), signed)?;
        let digest = query.get("digest").ok_or_else(|| Fault::digest_invalid("`digest` is wanted"))?;
        let digest = parse_digest(digest)?;
        self.check_order(name, &session, headers)?;
        // Who sends nothing more says so, by a length or by none.
        let is_all = heads::length(headers)?.unwrap_or(0) == 0 && !headers.contains_key(header::TRANSFER_ENCODING);
        let incoming = (!is_all).then_some(incoming);
        Marked::blob(digest.clone()).pardon(&self.store, name).await?;
        uploads::finish(&self.store, &session, incoming, &digest, &name.blob(&digest)).await?;
        Ok(created(name, &digest))
    }

    pub(super) async fn cancel_upload(&self, name: &Name, signed: &str) -> Result<Response, Fault> {
        let session = Session::read(&self.keys, name.as_str(), signed)?;
        uploads::cancel(&self.store, &session).await?;
        Ok(status(StatusCode::NO_CONTENT))
    }

    /// A chunk begins where the one before ended.
    fn check_order(&self, name: &Name, session: &Session, headers: &HeaderMap) -> Result<(), Fault> {
        let Some((first, length)) = heads::chunk(headers)? else { return Ok(()) };
        if first != session.offset {
            let fault = Fault::out_of_order(format!("the next byte is {}", session.offset));
            return Err(fault.with(header::RANGE, range(session)).with(header::LOCATION, self.location(name, session)));
        }
        match heads::length(headers)? {
            Some(said) if said != length => Err(Fault::size_invalid("the chunk is not as long as its range")),
            _ => Ok(()),
        }
    }

    fn location(&self, name: &Name, session: &Session) -> String {
        format!("/v2/{}/blobs/uploads/{}", name.as_str(), session.signed(&self.keys))
    }

    fn going_on(&self, name: &Name, session: &Session, code: StatusCode) -> Response {
        let mut response = status(code);
        set(&mut response, header::LOCATION, self.location(name, session));
        set(&mut response, header::RANGE, range(session));
        response
    }
}

/// Which bytes are there. Of none, what other registries say is `0-0`.
fn range(session: &Session) -> String {
    format!("0-{}", session.offset.saturating_sub(1))
}

fn parse_digest(text: &str) -> Result<Digest, Fault> {
    text.parse().map_err(|_| Fault::digest_invalid("this is no digest of sha256 or sha512"))
}

fn created(name: &Name, digest: &Digest) -> Response {
    let mut response = status(StatusCode::CREATED);
    set(&mut response, header::LOCATION, format!("/v2/{}/blobs/{digest}", name.as_str()));
    set(&mut response, CONTENT_DIGEST, digest.to_string());
    response
}
