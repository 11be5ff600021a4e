//! Lists that say what is there: of tags, of referrers. They change by compare-and-swap.

use std::time::Duration;

use plugin_oci::documents::{Descriptor, media_type};
use plugin_oci::stores::bucket::lists::{parse_referrers, parse_tags, referrers_document, tags_document};
use plugin_oci::stores::bucket::objects::JSON;
use plugin_oci::values::digest::Digest;

use super::{Condition, Kind, Object, Store, StoreFault};
use crate::names::Name;

/// How often a change is tried. Of those who try at once one gets through each time.
const ROUNDS: u32 = 500;

/// An entry of a list that stands for an object.
pub(crate) trait Membership {
    /// The key of the list.
    fn list(&self) -> String;
    /// The key of what the entry stands for.
    fn object(&self) -> String;
    /// What the list is served as.
    fn kind(&self) -> Kind;
    /// The list with the entry, or without; `None` where it is already as it should be.
    fn change(&self, list: Option<&Object>, is_there: bool) -> Result<Option<Vec<u8>>, StoreFault>;
}

/// Makes a list say of an object whether it is there.
///
/// Whoever writes or removes the object calls this afterwards. The list is read before the object is looked at, and again after
/// it was changed: whatever another does to the object in the meantime is either seen here, or it sees what was done here.
pub(crate) async fn reconcile(store: &Store, entry: &impl Membership) -> Result<(), StoreFault> {
    change(store, entry, false).await
}

/// Takes an object that is about to be removed off its list: nothing is listed that is not there.
pub(crate) async fn withdraw(store: &Store, entry: &impl Membership) -> Result<(), StoreFault> {
    change(store, entry, true).await
}

async fn change(store: &Store, entry: &impl Membership, goes: bool) -> Result<(), StoreFault> {
    let (list, object, kind) = (entry.list(), entry.object(), entry.kind());
    for round in 0..ROUNDS {
        let now = store.get(&list).await?;
        let is_there = !goes && store.head(&object).await?.is_some();
        let Some(bytes) = entry.change(now.as_ref(), is_there)? else { return Ok(()) };
        let condition = now.map_or(Condition::Absent, |now| Condition::Unchanged(now.version));
        if !store.put(&list, &kind, bytes, condition).await? {
            // Not all at the same time again.
            let pause = u64::from(std::process::id().wrapping_add(round.wrapping_mul(7)) % 50);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }
    Err(StoreFault::new(&list, "it changes faster than it can be written"))
}

/// A tag in the list of tags.
pub(crate) struct Listed<'a> {
    pub(crate) name: &'a Name,
    pub(crate) tag: &'a str,
}

impl Membership for Listed<'_> {
    fn list(&self) -> String {
        self.name.tags()
    }

    fn object(&self) -> String {
        self.name.tag(self.tag)
    }

    fn kind(&self) -> Kind {
        Kind::changing(JSON)
    }

    fn change(&self, list: Option<&Object>, is_there: bool) -> Result<Option<Vec<u8>>, StoreFault> {
        let before = list.map(|list| parse_tags(&list.bytes)).transpose();
        let before = before.map_err(|error| StoreFault::new(&self.list(), error))?.unwrap_or_default();
        let mut after = before.clone();
        if is_there {
            after.insert(self.tag.to_owned())
        } else {
            after.remove(self.tag)
        };
        Ok((before != after).then(|| tags_document(self.name.as_str(), &after)))
    }
}

/// A manifest in the list of what refers to its subject.
pub(crate) struct Refers<'a> {
    pub(crate) name: &'a Name,
    pub(crate) subject: &'a Digest,
    pub(crate) entry: &'a Descriptor,
}

impl Membership for Refers<'_> {
    fn list(&self) -> String {
        self.name.referrers(self.subject)
    }

    fn object(&self) -> String {
        self.name.manifest(&self.entry.digest)
    }

    fn kind(&self) -> Kind {
        Kind::changing(media_type::INDEX)
    }

    fn change(&self, list: Option<&Object>, is_there: bool) -> Result<Option<Vec<u8>>, StoreFault> {
        let before = list.map(|list| parse_referrers(&list.bytes)).transpose();
        let before = before.map_err(|error| StoreFault::new(&self.list(), error))?.unwrap_or_default();
        let mut after = before.clone();
        after.retain(|entry| entry.digest != self.entry.digest);
        if is_there {
            after.push(self.entry.clone());
            after.sort_by(|a, b| a.digest.cmp(&b.digest));
        }
        Ok((before != after).then(|| referrers_document(after)))
    }
}
