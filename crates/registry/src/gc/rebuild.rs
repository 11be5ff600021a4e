//! Making the lists say what is there, should they ever not.

use std::collections::{BTreeMap, BTreeSet};

use plugin_oci::documents::{Descriptor, media_type};
use plugin_oci::stores::bucket::lists::{parse_referrers, parse_tags, referrers_document};
use plugin_oci::stores::bucket::objects::Kind;
use plugin_oci::values::digest::Digest;

use super::{Contents, referrer, survey};
use crate::names::Name;
use crate::store::{Condition, Listed, Refers, Sort, Store, StoreFault, reconcile};

/// Holds every list of tags and of referrers against a listing of the store, and mends it; the keys of those that were wrong. Those
/// who push may go on.
pub async fn rebuild(store: &Store) -> Result<Vec<String>, StoreFault> {
    let mut mended = Vec::new();
    for (name, contents) in survey(store).await? {
        tags(store, &name, &contents, &mut mended).await?;
        referrers(store, &name, &contents, &mut mended).await?;
    }
    Ok(mended)
}

async fn tags(store: &Store, name: &Name, contents: &Contents, mended: &mut Vec<String>) -> Result<(), StoreFault> {
    let key = name.tags();
    // What cannot be read is written anew.
    let list = store.get(&key).await?.map(|list| parse_tags(&list.bytes));
    if matches!(list, Some(Err(_))) {
        store.delete(&key).await?;
    }
    let listed = list.and_then(Result::ok).unwrap_or_default();
    let there: BTreeSet<String> = contents.tags.iter().cloned().collect();
    let mut wrong = listed.symmetric_difference(&there).peekable();
    if wrong.peek().is_some() {
        mended.push(key);
    }
    for tag in wrong {
        reconcile(store, &Listed { name, tag }).await?;
    }
    Ok(())
}

async fn referrers(store: &Store, name: &Name, contents: &Contents, mended: &mut Vec<String>) -> Result<(), StoreFault> {
    let mut wanted: BTreeMap<Digest, BTreeMap<Digest, Descriptor>> = BTreeMap::new();
    for it in contents.objects.keys().filter(|it| it.sort == Sort::Manifest) {
        wanted.entry(it.digest.clone()).or_default();
        let Some(found) = store.get(&it.object(name)).await? else { continue };
        if let Some((subject, entry)) = referrer(&it.digest, &found.bytes) {
            wanted.entry(subject).or_default().insert(entry.digest.clone(), entry);
        }
    }
    for (subject, wanted) in wanted {
        let key = name.referrers(&subject);
        let list = store.get(&key).await?.map(|list| parse_referrers(&list.bytes));
        let is_readable = matches!(list, Some(Ok(_)));
        if matches!(list, Some(Err(_))) {
            store.delete(&key).await?;
        }
        if !is_readable {
            let none = referrers_document(Vec::new());
            store.put(&key, &Kind::changing(media_type::INDEX), none, Condition::Absent).await?;
        }
        let listed = list.and_then(Result::ok).unwrap_or_default();
        let listed: BTreeMap<Digest, Descriptor> = listed.into_iter().map(|entry| (entry.digest.clone(), entry)).collect();
        if listed != wanted || !is_readable {
            mended.push(key);
        }
        let gone = listed.values().filter(|entry| !wanted.contains_key(&entry.digest));
        for entry in wanted.values().filter(|entry| listed.get(&entry.digest) != Some(entry)).chain(gone) {
            reconcile(store, &Refers { name, subject: &subject, entry }).await?;
        }
    }
    Ok(())
}
