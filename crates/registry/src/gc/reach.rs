//! What a manifest reaches: what it names, what refers to it or is attached to it by a tag, and what those reach.

use std::collections::BTreeSet;

use plugin_oci::documents::Document;
use plugin_oci::stores::bucket::lists::parse_referrers;
use plugin_oci::stores::registry::media_type_of;
use plugin_oci::values::digest::Digest;

use crate::names::Name;
use crate::store::{Marked, Store, StoreFault};

/// Objects of a repository.
pub(crate) type Reached = BTreeSet<Marked>;

/// Adds what a manifest reaches, with itself. What cannot be read stops it: nothing is decided on a guess.
pub(crate) async fn reach(
    store: &Store,
    name: &Name,
    root: &Digest,
    bytes: Option<&[u8]>,
    reached: &mut Reached,
) -> Result<(), StoreFault> {
    let mut waiting = vec![(root.clone(), bytes.map(<[u8]>::to_vec))];
    while let Some((digest, known)) = waiting.pop() {
        if !reached.insert(Marked::manifest(digest.clone())) {
            continue;
        }
        let key = name.manifest(&digest);
        let bytes = match known {
            Some(bytes) => bytes,
            // Lists outlive what they list, and indexes name platforms that nobody has sent.
            None => match store.get(&key).await? {
                Some(found) => found.bytes,
                None => continue,
            },
        };
        let parsed = Document::parse(&bytes, &media_type_of("", &bytes));
        match parsed.map_err(|error| StoreFault::new(&key, error))? {
            Document::Index(index) => waiting.extend(index.manifests.into_iter().map(|child| (child.digest, None))),
            document @ Document::Manifest(_) => {
                reached.extend(document.children().into_iter().map(|child| Marked::blob(child.digest.clone())));
            }
        }
        let key = name.referrers(&digest);
        if let Some(found) = store.get(&key).await? {
            let entries = parse_referrers(&found.bytes).map_err(|error| StoreFault::new(&key, error))?;
            waiting.extend(entries.into_iter().map(|entry| (entry.digest, None)));
        }
    }
    Ok(())
}

/// Adds the tags of what is attached to manifests that are reached, and what those reach.
pub(crate) async fn reach_attached(
    store: &Store,
    name: &Name,
    all: impl Iterator<Item = &Marked>,
    reached: &mut Reached,
) -> Result<(), StoreFault> {
    let mut attached: Vec<&Marked> = all.filter(|it| it.tag().is_some()).collect();
    // What is attached has signatures of its own.
    while let Some(place) = attached.iter().position(|it| reached.contains(&Marked::manifest(it.digest.clone()))) {
        let it = attached.swap_remove(place);
        reach_tag(store, name, it, reached).await?;
    }
    Ok(())
}

/// Adds such a tag, and what it reaches.
pub(crate) async fn reach_tag(store: &Store, name: &Name, it: &Marked, reached: &mut Reached) -> Result<(), StoreFault> {
    reached.insert(it.clone());
    match store.get(&it.object(name)).await? {
        Some(found) => reach(store, name, &Digest::of(&found.bytes), Some(&found.bytes), reached).await,
        None => Ok(()),
    }
}
