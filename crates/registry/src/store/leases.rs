//! What keeps those apart who rely on what is there from those who remove it ([`plugin_oci::stores::bucket::lease`]).

use std::time::{Duration, Instant};

use plugin_oci::stores::bucket::lease::{LEASES, LIFETIME, Purpose};
use plugin_oci::stores::bucket::objects::JSON;
use tokio::sync::Mutex;

use super::{Condition, Kind, Store, StoreFault};

/// How long a lease is not looked at again.
const FRESH: Duration = Duration::from_hours(1);

/// A lease, from the first time that it is needed.
pub(crate) struct Lease {
    purpose: Purpose,
    held: Mutex<Option<(String, Instant)>>,
}

impl Lease {
    pub(crate) fn new(purpose: Purpose) -> Self {
        Self { purpose, held: Mutex::new(None) }
    }

    /// Has it; the key of another's where that keeps it from it.
    pub(crate) async fn hold(&self, store: &Store) -> Result<Result<(), String>, StoreFault> {
        let mut held = self.held.lock().await;
        if held.as_ref().is_some_and(|(_, since)| since.elapsed() < FRESH) {
            return Ok(Ok(()));
        }
        let key = held.take().map_or_else(|| self.purpose.key(), |(key, _)| key);
        store.put(&key, &Kind::changing(JSON), b"{}".to_vec(), Condition::None).await?;
        let all = store.list(LEASES).await?;
        let now = all.iter().find(|entry| entry.key == key).map(|own| own.modified);
        let stands = all.into_iter().find(|other| {
            let age = now.and_then(|now| now.duration_since(other.modified).ok()).unwrap_or_default();
            let excluded = Purpose::of(&other.key).is_none_or(|purpose| self.purpose.excludes(purpose));
            other.key != key && excluded && age <= LIFETIME
        });
        if let Some(other) = stands {
            store.delete(&key).await?;
            return Ok(Err(other.key));
        }
        *held = Some((key, Instant::now()));
        Ok(Ok(()))
    }

    /// Gives it back.
    pub(crate) async fn release(&self, store: &Store) {
        if let Some((key, _)) = self.held.lock().await.take() {
            // It ends by itself, should this fail.
            drop(store.delete(&key).await);
        }
    }
}
