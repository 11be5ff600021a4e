//! A repository: where it is, what leave its requests need, and what is known of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use ureq::http::Method;

use super::auth::Access;
use super::client::Client;
use super::error::RegistryError;
use super::session::Session;
use super::transport::{Call, Reply};
use super::url::Url;
use crate::documents::Descriptor;
use crate::values::digest::{Digest, Hasher};
use crate::values::reference::RegistryReference;

/// Bytes of manifests that are kept at most: two of the largest.
const DOCUMENTS_HELD: usize = 8 << 20;

/// A repository of a registry, to read from and to write to.
pub struct Repository<'a> {
    pub(super) client: &'a Client<'a>,
    pub(super) host: String,
    pub(super) name: String,
    /// Manifests that were read or written, so that they need not be fetched again.
    pub(super) manifests: Mutex<Documents>,
    /// Uploads that a refused mount has opened.
    pub(super) sessions: Mutex<BTreeMap<Digest, Session>>,
    /// Bytes that one request of an upload may carry, as far as refusals have told.
    pub(super) part_limit: AtomicU64,
    /// What leave is asked for.
    actions: &'static str,
    /// Through whom a request came before.
    via: Option<String>,
}

impl<'a> Repository<'a> {
    /// The repository that a reference names. Nothing is asked yet.
    pub fn new(client: &'a Client<'a>, reference: &RegistryReference) -> Self {
        let (host, name) = (reference.host.clone(), reference.repository.clone());
        let (manifests, sessions) = (Mutex::default(), Mutex::default());
        Self { client, host, name, manifests, sessions, part_limit: AtomicU64::new(u64::MAX), actions: "pull", via: None }
    }

    /// The same, asking for leave to write from the first request on.
    #[must_use]
    pub fn writing(mut self) -> Self {
        self.actions = "pull,push";
        self
    }

    /// The same, asking for leave to remove as well.
    #[must_use]
    pub fn removing(mut self) -> Self {
        self.actions = "delete,pull,push";
        self
    }

    /// The same for somebody who asks for others: what it reads, it asks for with this `Via` (RFC 9110, section 7.6.3).
    #[must_use]
    pub fn via(mut self, hops: String) -> Self {
        self.via = Some(hops);
        self
    }

    /// A request that reads.
    pub(super) fn call<'c>(&self, method: Method, url: Url) -> Call<'c> {
        let call = Call::new(method, url);
        match &self.via {
            Some(hops) => call.header("Via", hops.clone()),
            None => call,
        }
    }

    pub(super) fn url(&self, rest: &str) -> Result<Url, RegistryError> {
        self.client.url(&self.host, &format!("/v2/{}/{rest}", self.name))
    }

    pub(super) fn access(&self) -> Access {
        let scopes = BTreeSet::from([format!("repository:{}:{}", self.name, self.actions)]);
        Access { host: self.host.clone(), repository: self.name.clone(), scopes }
    }
}

/// A manifest or index that was fetched and checked.
pub struct Fetched {
    /// Describes it.
    pub descriptor: Descriptor,
    /// It.
    pub bytes: Arc<Vec<u8>>,
    /// A strong `ETag`.
    pub(super) etag: Option<String>,
}

/// Manifests and indexes, a few at a time: what does not fit is fetched again when it is needed.
#[derive(Default)]
pub(super) struct Documents {
    bytes: usize,
    by_digest: BTreeMap<Digest, Arc<Vec<u8>>>,
}

impl Documents {
    pub(super) fn get(&self, digest: &Digest) -> Option<&Arc<Vec<u8>>> {
        self.by_digest.get(digest)
    }

    pub(super) fn insert(&mut self, digest: Digest, bytes: Arc<Vec<u8>>) {
        if self.bytes + bytes.len() > DOCUMENTS_HELD {
            (self.bytes, self.by_digest) = (0, BTreeMap::new());
        }
        self.bytes += bytes.len();
        self.by_digest.insert(digest, bytes);
    }
}

pub(in crate::stores) fn hash(like: &Digest, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::with(like.algorithm());
    hasher.update(bytes);
    hasher.finish()
}

/// The digest that a registry states, which must be one.
pub(super) fn stated_digest(reply: &Reply) -> Result<Option<Digest>, RegistryError> {
    match reply.header("Docker-Content-Digest") {
        None => Ok(None),
        Some(text) => match text.trim().parse() {
            Ok(digest) => Ok(Some(digest)),
            Err(_) => Err(RegistryError::protocol(&reply.url, "its Docker-Content-Digest is no digest that can be checked")),
        },
    }
}

pub(super) fn check_digest(url: &Url, wanted: &Digest, found: Option<&Digest>) -> Result<(), RegistryError> {
    match found {
        Some(found) if found != wanted => {
            Err(RegistryError::WrongDigest { url: url.to_string(), wanted: wanted.to_string(), found: found.to_string() })
        }
        _ => Ok(()),
    }
}
