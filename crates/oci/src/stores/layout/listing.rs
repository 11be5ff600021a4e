//! What an `index.json` lists, looked up. Each manifest that it lists is read once, however many images are asked about.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::{IndexFile, StoreError};
use crate::documents::{self, Descriptor, Document};
use crate::stores::referrers::{attached_tag, images};
use crate::stores::{PlatformImage, Selector, Source, Tagged, platform_of, read_document};
use crate::values::digest::Digest;

/// The entries of an `index.json`, and what is found out about them.
#[derive(Debug)]
pub struct Listing {
    entries: Vec<Descriptor>,
    tags: Vec<Tagged>,
    relations: Mutex<Option<Arc<Relations>>>,
}

/// How the entries stand to each other.
#[derive(Debug, Default)]
struct Relations {
    /// Those that refer to others, by whom they refer to.
    referrers: BTreeMap<Digest, Vec<Descriptor>>,
    /// Those without a tag that refer to nothing here, each digest once, in the order of the index.
    roots: Vec<Descriptor>,
    /// Those with a tag that cannot be read.
    damaged: Vec<Descriptor>,
}

impl Listing {
    /// Looks into an index that was read.
    pub(in crate::stores) fn of(index: &IndexFile) -> Result<Self, StoreError> {
        Ok(Self { entries: index.entries()?, tags: index.tags()?, relations: Mutex::default() })
    }

    /// Every tag, sorted.
    pub(in crate::stores) fn tags(&self) -> &[Tagged] {
        &self.tags
    }

    /// The images that have no tag and refer to nothing here. `source` is the store of this index, here and below.
    pub(in crate::stores) fn roots(&self, source: &dyn Source) -> Result<Vec<Descriptor>, StoreError> {
        Ok(self.relations(source)?.roots.clone())
    }

    /// The entries that refer to `subject`, sorted by digest. One that has a tag of its subject keeps it as its name.
    pub(in crate::stores) fn referrers(&self, source: &dyn Source, subject: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        let relations = self.relations(source)?;
        if let Some(damaged) = relations.damaged.iter().find(|entry| attached_tag(entry, subject).is_some()) {
            read_document(source, damaged)?;
        }
        Ok(relations.referrers.get(subject).cloned().unwrap_or_default())
    }

    /// Finds an image.
    pub(in crate::stores) fn resolve(&self, source: &dyn Source, selector: &Selector) -> Result<Descriptor, StoreError> {
        let available = || self.tags.iter().map(|tagged| tagged.tag.clone()).collect::<Vec<_>>();
        let found = match selector {
            Selector::Only => return self.only(source),
            Selector::Tag(tag) => self.tags.iter().find(|tagged| tagged.tag == *tag).map(|tagged| tagged.root.clone()),
            Selector::Digest(digest) => find_digest(source, &self.entries, digest, 0, &mut BTreeSet::new())?,
        };
        let wanted = match selector {
            Selector::Tag(tag) => tag.clone(),
            Selector::Digest(digest) => digest.to_string(),
            Selector::Only => String::new(),
        };
        found.ok_or_else(|| StoreError::NotFound { store: source.name(), wanted, available: available() })
    }

    /// The one image that there is: several tags of it do not make it several, nor do those of what refers to it.
    fn only(&self, source: &dyn Source) -> Result<Descriptor, StoreError> {
        if let [only] = self.tags.as_slice() {
            return Ok(only.root.clone());
        }
        let tags = images(source)?;
        if let Some((first, rest)) = tags.split_first() {
            if rest.iter().all(|other| other.root.digest == first.root.digest) {
                return Ok(first.root.clone());
            }
            let available = tags.into_iter().map(|tagged| tagged.tag).collect();
            return Err(StoreError::Ambiguous { store: source.name(), available });
        }
        match (self.roots(source)?.as_slice(), self.entries.as_slice()) {
            ([only], _) | ([], [only]) => Ok(only.clone()),
            ([], _) => Err(StoreError::Empty { store: source.name() }),
            (several, _) => Err(StoreError::Untagged { store: source.name(), available: described(source, several)? }),
        }
    }

    fn relations(&self, source: &dyn Source) -> Result<Arc<Relations>, StoreError> {
        let mut known = self.relations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref() {
            return Ok(known.clone());
        }
        let (mut found, mut untagged) = (Relations::default(), Vec::new());
        // What there is to refer to: the entries, and what those among them list that are indexes.
        let mut held: BTreeSet<Digest> = self.entries.iter().map(|entry| entry.digest.clone()).collect();
        for entry in self.entries.iter().filter(|entry| entry.is_manifest_or_index()) {
            let document = match read_document(source, entry) {
                // An image that is damaged is no reason to fail for another.
                Err(_) if entry.ref_name().is_some() => {
                    found.damaged.push(entry.clone());
                    continue;
                }
                read => read?.0,
            };
            let subject = document.subject().map(|subject| subject.digest.clone());
            if let Document::Index(index) = document {
                hold(source, &index.manifests, 0, &mut held);
            }
            if entry.ref_name().is_none() {
                untagged.push((entry, subject.clone()));
            }
            if let Some(subject) = subject {
                let mut entry = entry.clone();
                if attached_tag(&entry, &subject).is_none() {
                    entry.annotations.remove(documents::REF_NAME);
                }
                found.referrers.entry(subject).or_default().push(entry);
            }
        }
        let mut seen: BTreeSet<&Digest> = self.tags.iter().map(|tagged| &tagged.root.digest).collect();
        for (entry, subject) in untagged {
            if subject.is_none_or(|subject| !held.contains(&subject)) && seen.insert(&entry.digest) {
                found.roots.push(entry.clone());
            }
        }
        for entries in found.referrers.values_mut() {
            // Of two entries for one manifest, the one with a tag says more.
            entries.sort_by(|a, b| (&a.digest, a.ref_name().is_none()).cmp(&(&b.digest, b.ref_name().is_none())));
            entries.dedup_by(|a, b| a.digest == b.digest);
        }
        Ok(known.insert(Arc::new(found)).clone())
    }
}

/// Adds what an index lists, and what the indexes among it do.
fn hold(source: &dyn Source, children: &[Descriptor], depth: usize, held: &mut BTreeSet<Digest>) {
    for child in children {
        let is_new = held.insert(child.digest.clone());
        if is_new
            && depth < documents::NESTING_LIMIT
            && documents::media_type::is_index(&child.media_type)
            && let Ok((Document::Index(index), _)) = read_document(source, child)
        {
            hold(source, &index.manifests, depth + 1, held);
        }
    }
}

/// Images without a tag as a person tells them apart: `sha256:... (linux/amd64)`.
fn described(source: &dyn Source, roots: &[Descriptor]) -> Result<Vec<String>, StoreError> {
    let describe = |root: &Descriptor| {
        let platforms: Vec<String> = match read_document(source, root)?.0 {
            Document::Index(index) => index.platforms().iter().map(ToString::to_string).collect(),
            Document::Manifest(manifest) => {
                let image = PlatformImage { descriptor: root.clone(), manifest };
                platform_of(source, &image)?.iter().map(ToString::to_string).collect()
            }
        };
        let digest = &root.digest;
        Ok(if platforms.is_empty() { digest.to_string() } else { format!("{digest} ({})", platforms.join(", ")) })
    };
    roots.iter().map(describe).collect()
}

fn find_digest(
    source: &dyn Source,
    among: &[Descriptor],
    digest: &Digest,
    depth: usize,
    searched: &mut BTreeSet<Digest>,
) -> Result<Option<Descriptor>, StoreError> {
    if let Some(found) = among.iter().find(|descriptor| descriptor.digest == *digest) {
        return Ok(Some(found.clone()));
    }
    if depth > documents::NESTING_LIMIT {
        return Ok(None);
    }
    for descriptor in among.iter().filter(|descriptor| documents::media_type::is_index(&descriptor.media_type)) {
        if searched.insert(descriptor.digest.clone())
            && let Document::Index(index) = read_document(source, descriptor)?.0
            && let Some(found) = find_digest(source, &index.manifests, digest, depth + 1, searched)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;

    /// Manifests by digest, and how many were opened.
    #[derive(Default)]
    struct Counted {
        manifests: BTreeMap<Digest, Vec<u8>>,
        opened: AtomicUsize,
    }

    impl Source for Counted {
        fn name(&self) -> String {
            "counted".to_owned()
        }

        fn tags(&self) -> Result<Vec<Tagged>, StoreError> {
            unreachable!("the listing knows them")
        }

        fn resolve(&self, _selector: &Selector) -> Result<Descriptor, StoreError> {
            unreachable!("the listing does that")
        }

        fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, StoreError> {
            self.opened.fetch_add(1, Ordering::Relaxed);
            Ok(Box::new(self.manifests[&descriptor.digest].as_slice()))
        }

        fn referrers(&self, _subject: &Digest) -> Result<Vec<Descriptor>, StoreError> {
            unreachable!("the listing knows them")
        }
    }

    #[test]
    fn each_manifest_is_read_once_whatever_is_asked() {
        let (mut source, mut entries) = (Counted::default(), Vec::new());
        let mut add = |number: usize, subject: Option<&Descriptor>| {
            let empty = Descriptor::of(documents::media_type::EMPTY, b"{}");
            let mut manifest = json!({
                "schemaVersion": 2, "config": empty, "layers": [], "annotations": {"number": number.to_string()},
            });
            if let Some(subject) = subject {
                manifest["subject"] = json!(subject);
            }
            let bytes = manifest.to_string().into_bytes();
            let descriptor = Descriptor::of(documents::media_type::MANIFEST, &bytes);
            source.manifests.insert(descriptor.digest.clone(), bytes);
            descriptor
        };
        for number in 0..500 {
            let mut image = add(number, None);
            let referrer = add(number, Some(&image));
            image.annotations.insert(documents::REF_NAME.to_owned(), format!("v{number}"));
            entries.extend([image, referrer]);
        }
        let lone = add(500, None);
        entries.push(lone.clone());
        let index = json!({"schemaVersion": 2, "manifests": entries}).to_string();
        let listing = Listing::of(&IndexFile::parse(index.as_bytes(), String::new()).unwrap()).unwrap();
        for tagged in listing.tags() {
            assert_eq!(listing.referrers(&source, &tagged.root.digest).unwrap().len(), 1);
        }
        assert_eq!(listing.roots(&source).unwrap(), [lone]);
        assert_eq!(source.opened.load(Ordering::Relaxed), 1001);
    }
}
