//! The store as a source of what stands beside one manifest, for whoever reads in a thread of his own.

use std::io::{self, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use plugin_oci::documents::Descriptor;
use plugin_oci::failure::Complaint;
use plugin_oci::stores::bucket::lists::parse_referrers;
use plugin_oci::stores::registry::media_type_of;
use plugin_oci::stores::{RemoteError, Selector, Source, StoreError, Tagged};
use plugin_oci::values::digest::Digest;
use tokio::runtime::Handle;

use super::Registry;
use crate::http::mirrored::VIA;
use crate::names::{Name, Route, Wanted};
use crate::store::{Object, Pieces, Read as Opened, StoreFault};

/// So many bytes of what stands beside a manifest are read: whoever may push puts there what he likes.
const LIMIT: u64 = 8 << 20;
/// How long a judge waits for what another registry has.
const FETCHING: Duration = Duration::from_secs(20);

pub(super) struct Beside {
    registry: Arc<Registry>,
    name: Name,
    /// The manifest itself, which need not be in the store yet.
    root: (Digest, Vec<u8>),
    runtime: Handle,
    /// Through whom the request came.
    via: String,
    /// Until when something may be fetched.
    until: Instant,
    /// How many bytes may still be read.
    left: AtomicU64,
}

fn failed(fault: &StoreFault) -> StoreError {
    RemoteError::new(Complaint::failed(fault.to_string())).into()
}

impl Beside {
    pub(super) fn new(registry: Arc<Registry>, name: Name, digest: Digest, bytes: Vec<u8>) -> Self {
        Self {
            registry,
            name,
            root: (digest, bytes),
            runtime: Handle::current(),
            via: VIA.try_with(Clone::clone).unwrap_or_default(),
            until: Instant::now() + FETCHING,
            left: LIMIT.into(),
        }
    }

    fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        self.runtime.block_on(self.registry.store.get(key)).map_err(|fault| failed(&fault))
    }

    /// Fetches it from a registry that is mirrored; whether it is here then.
    fn fetch(&self, route: &Route) -> bool {
        let fetching = VIA.scope(self.via.clone(), async { self.registry.fetch(route).await });
        let left = self.until.saturating_duration_since(Instant::now());
        let fetched = self.runtime.block_on(async { tokio::time::timeout(left, fetching).await });
        matches!(fetched, Ok(Ok(true)))
    }

    fn described(found: &Object, digest: Digest) -> Descriptor {
        let media_type = media_type_of(found.content_type.as_deref().unwrap_or_default(), &found.bytes);
        Descriptor::new(media_type, digest, found.bytes.len() as u64)
    }
}

impl Source for Beside {
    fn name(&self) -> String {
        format!("the repository {}", self.name.as_str())
    }

    fn tags(&self) -> Result<Vec<Tagged>, StoreError> {
        Ok(Vec::new())
    }

    fn resolve(&self, selector: &Selector) -> Result<Descriptor, StoreError> {
        let (key, wanted) = match selector {
            Selector::Tag(tag) => (self.name.tag(tag), tag.clone()),
            Selector::Digest(digest) => (self.name.manifest(digest), digest.to_string()),
            Selector::Only => (self.name.tag("latest"), "latest".to_owned()),
        };
        match (self.get(&key)?, selector) {
            (Some(found), Selector::Digest(digest)) => Ok(Self::described(&found, digest.clone())),
            (Some(found), _) => Ok(Self::described(&found, Digest::of(&found.bytes))),
            (None, _) => Err(StoreError::NotFound { store: Source::name(self), wanted, available: Vec::new() }),
        }
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, StoreError> {
        let digest = &descriptor.digest;
        if *digest == self.root.0 {
            return Ok(Box::new(Cursor::new(&self.root.1)));
        }
        let size = descriptor.size;
        let take = |left: u64| left.checked_sub(size);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            let object = format!("what is beside {}", self.root.0);
            return Err(StoreError::TooLarge { object, size, limit: LIMIT });
        }
        let missing = || StoreError::MissingBlob { store: Source::name(self), digest: digest.to_string() };
        if descriptor.is_manifest_or_index() {
            let key = self.name.manifest(digest);
            let found = match self.get(&key)? {
                None if self.fetch(&Route::Manifest(self.name.clone(), Wanted::Digest(digest.clone()))) => self.get(&key)?,
                found => found,
            };
            let found = found.ok_or_else(missing)?;
            return Ok(Box::new(Cursor::new(found.bytes)));
        }
        let key = self.name.blob(digest);
        let read = || self.runtime.block_on(self.registry.store.read(&key, None)).map_err(|fault| failed(&fault));
        let found = match read()? {
            Opened::Absent if self.fetch(&Route::Blob(self.name.clone(), digest.clone())) => read()?,
            found => found,
        };
        let Opened::Found { pieces, .. } = found else { return Err(missing()) };
        Ok(Box::new(Reader { runtime: self.runtime.clone(), pieces, piece: Bytes::new() }))
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        let key = self.name.referrers(subject);
        let Some(found) = self.get(&key)? else { return Ok(Vec::new()) };
        let mut entries = parse_referrers(&found.bytes).map_err(|error| failed(&StoreFault::new(&key, error)))?;
        entries.retain(Descriptor::is_manifest_or_index);
        entries.sort_by(|a, b| a.digest.cmp(&b.digest));
        Ok(entries)
    }
}

/// Pieces, one after the other.
struct Reader {
    runtime: Handle,
    pieces: Pieces,
    piece: Bytes,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.runtime.block_on(self.pieces.next()) {
                Some(piece) => self.piece = piece.map_err(io::Error::other)?,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}
