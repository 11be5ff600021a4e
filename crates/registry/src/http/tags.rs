//! Tags.

use axum::http::HeaderMap;
use plugin_oci::documents::Descriptor;
use plugin_oci::stores::bucket::objects::Kind;
use plugin_oci::values::digest::Digest;

use super::Registry;
use super::heads::{self, Preconditions};
use crate::fault::Fault;
use crate::names::Name;
use crate::store::{Condition, Listed, Refers, reconcile, withdraw};

/// How often a tag is tried.
const ROUNDS: u32 = 100;

impl Registry {
    /// Whether a tag never moves.
    fn is_immutable(&self, name: &Name, tag: &str) -> bool {
        let full = format!("{}:{tag}", name.as_str());
        self.settings.immutable.iter().any(|pattern| pattern.matches(tag) || pattern.matches(&full))
    }

    /// Whether a tag may come to stand for a digest, now that it stands for another or for nothing.
    fn check_move(
        &self,
        name: &Name,
        tag: &str,
        conditions: &Preconditions,
        old: Option<&Digest>,
        new: &Digest,
    ) -> Result<(), Fault> {
        conditions.check(old.map(heads::etag).as_deref())?;
        if old.is_some_and(|old| old != new) && self.is_immutable(name, tag) {
            return Err(Fault::immutable(format!("the tag `{tag}` stands for another manifest, and does not move")));
        }
        Ok(())
    }

    /// Looks, before anything is written, whether a tag may be set.
    pub(super) async fn may_tag(&self, name: &Name, tag: &str, headers: &HeaderMap, new: &Digest) -> Result<(), Fault> {
        let now = self.store.get(&name.tag(tag)).await?;
        let old = now.map(|now| Digest::of(&now.bytes));
        self.check_move(name, tag, &Preconditions::of(headers), old.as_ref(), new)
    }

    /// Lets a tag stand for a manifest; what it stood for before.
    pub(super) async fn set_tag(
        &self,
        name: &Name,
        tag: &str,
        headers: &HeaderMap,
        root: &Descriptor,
        bytes: &[u8],
    ) -> Result<Option<Digest>, Fault> {
        let (key, new, conditions) = (name.tag(tag), Digest::of(bytes), Preconditions::of(headers));
        for _ in 0..ROUNDS {
            let now = self.store.get(&key).await?;
            let old = now.as_ref().map(|now| Digest::of(&now.bytes));
            self.check_move(name, tag, &conditions, old.as_ref(), &new)?;
            let condition = now.map_or(Condition::Absent, |now| Condition::Unchanged(now.version));
            if old == Some(new.clone())
                || self.store.put(&key, &Kind::changing(&root.media_type), bytes.to_vec(), condition).await?
            {
                reconcile(&self.store, &Listed { name, tag }).await?;
                return Ok(old);
            }
        }
        Err(Fault::contended(format!("the tag `{tag}` moves faster than it can be set")))
    }

    /// Lets a tag stand for nothing.
    pub(super) async fn remove_tag(&self, name: &Name, tag: &str) -> Result<(), Fault> {
        if self.is_immutable(name, tag) {
            return Err(Fault::immutable(format!("the tag `{tag}` does not move")));
        }
        withdraw(&self.store, &Listed { name, tag }).await?;
        self.store.delete(&name.tag(tag)).await?;
        Ok(reconcile(&self.store, &Listed { name, tag }).await?)
    }

    /// Takes a manifest that is about to be removed off the list of its subject.
    pub(super) async fn unlist_referrer(&self, name: &Name, subject: &Digest, entry: &Descriptor) -> Result<(), Fault> {
        Ok(withdraw(&self.store, &Refers { name, subject, entry }).await?)
    }

    /// Lets the list of a subject say whether a manifest that refers to it is there.
    pub(super) async fn list_referrer(&self, name: &Name, subject: &Digest, entry: &Descriptor) -> Result<(), Fault> {
        Ok(reconcile(&self.store, &Refers { name, subject, entry }).await?)
    }
}
