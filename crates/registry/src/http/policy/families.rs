//! Which indexes of a repository list a manifest. Manifests never change: each is read once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use plugin_oci::documents::{Document, Index};
use plugin_oci::stores::registry::media_type_of;
use plugin_oci::values::digest::Digest;
use tokio::sync::Mutex;

use crate::names::Name;
use crate::store::{Store, StoreFault};

/// How many repositories are known at once.
const REPOSITORIES: usize = 64;
/// How many manifests are read at once.
const PARALLEL: usize = 8;
/// Looking takes at most one part of so many of the time.
const SHARE: u32 = 10;

/// What is known of all repositories.
#[derive(Default)]
pub(super) struct Families(Mutex<BTreeMap<Name, Arc<Mutex<Family>>>>);

/// What is known of one.
#[derive(Default)]
struct Family {
    seen: BTreeSet<Digest>,
    parents: BTreeMap<Digest, BTreeSet<Digest>>,
    /// When it was last looked at what there is, and for how long.
    looked: Option<(Instant, Duration)>,
}

impl Families {
    async fn of(&self, name: &Name) -> Arc<Mutex<Family>> {
        let mut all = self.0.lock().await;
        if all.len() >= REPOSITORIES && !all.contains_key(name) {
            all.clear();
        }
        all.entry(name.clone()).or_default().clone()
    }

    /// Takes note of an index.
    pub(super) async fn add(&self, name: &Name, digest: &Digest, index: &Index) {
        self.of(name).await.lock().await.add(digest, index);
    }

    /// The indexes that list a manifest; with `is_fresh`, those that the store has now.
    pub(super) async fn parents(
        &self,
        store: &Store,
        name: &Name,
        child: &Digest,
        is_fresh: bool,
    ) -> Result<Vec<Digest>, StoreFault> {
        let (asked, family) = (Instant::now(), self.of(name).await);
        let mut family = family.lock().await;
        if is_fresh {
            family.look(store, name, asked).await?;
        }
        Ok(family.parents.get(child).into_iter().flatten().cloned().collect())
    }
}

impl Family {
    fn add(&mut self, digest: &Digest, index: &Index) {
        self.seen.insert(digest.clone());
        for child in &index.manifests {
            self.parents.entry(child.digest.clone()).or_default().insert(digest.clone());
        }
    }

    /// Reads the manifests that it has not seen. All who have asked meanwhile are served by one look, and whoever asks again and again waits.
    async fn look(&mut self, store: &Store, name: &Name, asked: Instant) -> Result<(), StoreFault> {
        if let Some((begun, took)) = self.looked {
            if begun >= asked {
                return Ok(());
            }
            tokio::time::sleep((took * (SHARE + 1)).saturating_sub(begun.elapsed())).await;
        }
        let begun = Instant::now();
        let entries = store.list(&name.key("manifests/")).await?;
        let digests = entries.iter().filter_map(|entry| entry.key.rsplit('/').next()?.parse::<Digest>().ok());
        let new: Vec<Digest> = digests.filter(|digest| !self.seen.contains(digest)).collect();
        let reads: Vec<_> = new
            .into_iter()
            .map(|digest| async move {
                let found = store.get(&name.manifest(&digest)).await?;
                let parsed = found.and_then(|found| Document::parse(&found.bytes, &media_type_of("", &found.bytes)).ok());
                Ok::<_, StoreFault>((digest, parsed))
            })
            .collect();
        let mut reads = stream::iter(reads).buffer_unordered(PARALLEL);
        while let Some((digest, document)) = reads.try_next().await? {
            match document {
                Some(Document::Index(index)) => self.add(&digest, &index),
                _ => drop(self.seen.insert(digest)),
            }
        }
        self.looked = Some((begun, begun.elapsed()));
        Ok(())
    }
}
