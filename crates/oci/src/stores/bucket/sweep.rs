//! Removing tags, and what no tag reaches. Nobody publishes meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::objects::Objects;
use super::published::Published;
use crate::stores::layout::Reachable;
use crate::stores::{Selector, Source as _, StoreError, read_document};
use crate::values::digest::Digest;
use crate::values::tag::{is_attached_to, referrers_suffix};

/// A blob or manifest that was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// The repository that had it.
    pub repository: String,
    /// What it was.
    pub digest: Digest,
    /// How many bytes it had.
    pub bytes: u64,
}

/// Removes a tag, or an image under all its tags; what it named. What only it reached is no longer named, and stays.
pub(super) fn unpublish(published: &Published<'_>, wanted: &Selector) -> Result<Digest, StoreError> {
    let root = published.resolve(wanted)?;
    let tags: BTreeSet<String> = match wanted {
        Selector::Tag(tag) => BTreeSet::from([tag.clone()]),
        _ => published.tags()?.into_iter().filter(|tagged| tagged.root.digest == root.digest).map(|tagged| tagged.tag).collect(),
    };
    remove_tags(published, &tags)?;
    if let Selector::Digest(digest) = wanted {
        if let Some(subject) = read_document(published, &root)?.0.subject() {
            published.update_referrers(&subject.digest, |entries| entries.retain(|entry| entry.digest != *digest))?;
        }
        published.objects.delete(&published.key(&format!("manifests/{digest}")))?;
    }
    Ok(root.digest)
}

/// Nothing is listed that is not there.
fn remove_tags(published: &Published<'_>, tags: &BTreeSet<String>) -> Result<(), StoreError> {
    if tags.is_empty() {
        return Ok(());
    }
    published.update_tags(|listed| listed.retain(|tag| !tags.contains(tag)))?;
    tags.iter().try_for_each(|tag| published.objects.delete(&published.key(&format!("manifests/{tag}"))))
}

/// What lies in a repository.
#[derive(Default)]
struct Held {
    tags: Vec<String>,
    manifests: BTreeMap<Digest, u64>,
    blobs: BTreeMap<Digest, u64>,
    /// Subjects that have a list.
    referrers: BTreeSet<Digest>,
}

/// Removes what no tag reaches. What cannot be read is an error: nothing is removed on a guess.
pub(super) fn collect(objects: &dyn Objects) -> Result<Vec<Swept>, StoreError> {
    let mut repositories: BTreeMap<String, Held> = BTreeMap::new();
    for entry in objects.list(super::BASE)? {
        let mut parts = entry.key.rsplitn(3, '/');
        let (Some(last), Some(kind), Some(rest)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let Some(name) = rest.strip_prefix(super::BASE) else { continue };
        let digest = last.parse::<Digest>();
        let held = repositories.entry(name.to_owned()).or_default();
        match (kind, digest) {
            ("blobs", Ok(digest)) => drop(held.blobs.insert(digest, entry.size)),
            ("manifests", Ok(digest)) => drop(held.manifests.insert(digest, entry.size)),
            ("referrers", Ok(digest)) => drop(held.referrers.insert(digest)),
            ("manifests", Err(_)) => held.tags.push(last.to_owned()),
            _ => {}
        }
    }
    let mut all = Vec::new();
    for (repository, held) in repositories {
        let published = Published::new(objects, &repository);
        let (reached, orphaned) = reached(&published, &held)?;
        remove_tags(&published, &orphaned)?;
        // Lists that another removal has left.
        for subject in held.referrers.iter().filter(|subject| !reached.contains(subject) && !held.manifests.contains_key(subject))
        {
            objects.delete(&published.key(&format!("referrers/{subject}")))?;
        }
        for digest in from_the_top(&published, held.manifests.keys().filter(|digest| !reached.contains(digest)))? {
            objects.delete(&published.key(&format!("manifests/{digest}")))?;
            objects.delete(&published.key(&format!("referrers/{digest}")))?;
            let bytes = held.manifests.get(&digest).copied().unwrap_or_default();
            all.push(Swept { repository: repository.clone(), digest, bytes });
        }
        for (digest, bytes) in held.blobs.into_iter().filter(|(digest, _)| !reached.contains(digest)) {
            objects.delete(&published.key(&format!("blobs/{digest}")))?;
            all.push(Swept { repository: repository.clone(), digest, bytes });
        }
    }
    Ok(all)
}

/// Manifests in an order in which each comes before those that it, or its list of referrers, names.
fn from_the_top<'d>(published: &Published<'_>, digests: impl Iterator<Item = &'d Digest>) -> Result<Vec<Digest>, StoreError> {
    let mut names: BTreeMap<Digest, Vec<Digest>> = BTreeMap::new();
    for digest in digests {
        let root = published.resolve(&Selector::Digest(digest.clone()))?;
        let mut named: Vec<Digest> = match read_document(published, &root) {
            Ok((document, _)) => document.children().into_iter().map(|child| child.digest.clone()).collect(),
            Err(StoreError::Document { .. } | StoreError::Corrupt { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        named.extend(published.referrers(digest)?.into_iter().map(|referrer| referrer.digest));
        names.insert(digest.clone(), named);
    }
    let mut above: BTreeMap<Digest, usize> = names.keys().map(|digest| (digest.clone(), 0)).collect();
    for digest in names.values().flatten() {
        above.entry(digest.clone()).and_modify(|count| *count += 1);
    }
    let mut ready: Vec<Digest> = above.iter().filter(|(_, count)| **count == 0).map(|(digest, _)| digest.clone()).collect();
    let mut order = Vec::new();
    while let Some(next) = ready.pop() {
        for digest in names.remove(&next).unwrap_or_default() {
            if let Some(count) = above.get_mut(&digest) {
                *count -= 1;
                if *count == 0 {
                    ready.push(digest);
                }
            }
        }
        order.push(next);
    }
    Ok(order)
}

/// Everything that tags reach, and what refers to it; and the tags that belong to a subject that nothing reaches.
fn reached(published: &Published<'_>, held: &Held) -> Result<(BTreeSet<Digest>, BTreeSet<String>), StoreError> {
    let mut reached = Reachable::default();
    let (mut attached, roots): (BTreeSet<&String>, BTreeSet<&String>) =
        held.tags.iter().partition(|tag| referrers_suffix(tag).is_some_and(|suffix| !suffix.is_empty()));
    for tag in roots {
        follow_tag(published, tag, &mut reached)?;
    }
    let mut asked = BTreeSet::new();
    while let Some(subject) = reached.digests.iter().find(|digest| held.referrers.contains(digest) && !asked.contains(*digest)) {
        let subject = subject.clone();
        for referrer in published.referrers(&subject)? {
            match reached.follow(published, &referrer, 0) {
                // Lists of referrers outlive what they list.
                Err(StoreError::MissingBlob { digest, .. }) if digest == referrer.digest.to_string() => {}
                outcome => outcome?,
            }
        }
        for tag in attached.iter().filter(|tag| is_attached_to(tag, &subject)) {
            follow_tag(published, tag, &mut reached)?;
        }
        attached.retain(|tag| !is_attached_to(tag, &subject));
        asked.insert(subject);
    }
    Ok((reached.digests, attached.into_iter().cloned().collect()))
}

fn follow_tag(published: &Published<'_>, tag: &str, reached: &mut Reachable) -> Result<(), StoreError> {
    published.fetch(tag)?.map_or(Ok(()), |(root, _)| reached.follow(published, &root, 0))
}
