//! One repository of a bucket.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use super::lists::{parse_referrers, parse_tags, referrers_document, tags_document};
use super::objects::{JSON, Kind, Objects, update};
use crate::documents::{Descriptor, MANIFEST_LIMIT, media_type};
use crate::fs::TempFile;
use crate::progress::Outcome;
use crate::stores::registry::{Condition, hash, media_type_of};
use crate::stores::{
    Commit, Referrer, Reopen, Selector, Sink, Source, StoreError, TagChange, Tagged, listed, read_blob, read_document,
};
use crate::values::digest::Digest;

/// A repository, to read from and to write to.
pub struct Published<'a> {
    pub(super) objects: &'a dyn Objects,
    pub(super) repository: String,
}

impl<'a> Published<'a> {
    pub(super) fn new(objects: &'a dyn Objects, repository: &str) -> Self {
        Self { objects, repository: repository.to_owned() }
    }

    pub(super) fn key(&self, rest: &str) -> String {
        format!("v2/{}/{rest}", self.repository)
    }

    /// What is behind a tag or digest.
    pub(super) fn fetch(&self, wanted: &str) -> Result<Option<(Descriptor, Vec<u8>)>, StoreError> {
        let Some(found) = self.objects.get(&self.key(&format!("manifests/{wanted}")))? else { return Ok(None) };
        let digest = wanted.parse().map_or_else(|_| Digest::of(&found.bytes), |digest: Digest| hash(&digest, &found.bytes));
        let media_type = media_type_of(found.content_type.as_deref().unwrap_or_default(), &found.bytes);
        Ok(Some((Descriptor::new(media_type, digest, found.bytes.len() as u64), found.bytes)))
    }

    /// The tags as they are listed.
    pub fn tag_names(&self) -> Result<Option<BTreeSet<String>>, StoreError> {
        let found = self.objects.get(&self.key("tags/list"))?;
        found.map(|found| parse_tags(&found.bytes)).transpose()
    }

    /// Changes the list of tags.
    pub(super) fn update_tags(&self, change: impl Fn(&mut BTreeSet<String>)) -> Result<(), StoreError> {
        update(self.objects, &self.key("tags/list"), &Kind::changing(JSON), |now| {
            let before = now.map(|now| parse_tags(&now.bytes)).transpose()?;
            let mut tags = before.clone().unwrap_or_default();
            change(&mut tags);
            let is_same = before.as_ref() == Some(&tags);
            Ok((!is_same).then(|| tags_document(&self.repository, &tags)))
        })
    }

    /// Changes what is said to refer to a subject.
    pub(super) fn update_referrers(&self, subject: &Digest, change: impl Fn(&mut Vec<Descriptor>)) -> Result<(), StoreError> {
        update(self.objects, &self.key(&format!("referrers/{subject}")), &Kind::changing(media_type::INDEX), |now| {
            let before = now.map(|now| parse_referrers(&now.bytes)).transpose()?;
            let mut entries = before.clone().unwrap_or_default();
            change(&mut entries);
            let is_same = before.as_ref() == Some(&entries);
            Ok((!is_same).then(|| referrers_document(entries)))
        })
    }

    fn add_referrers(&self, referrers: &[Referrer]) -> Result<(), StoreError> {
        let mut by_subject: BTreeMap<&Digest, Vec<Descriptor>> = BTreeMap::new();
        for Referrer { descriptor, subject } in referrers {
            let entry = match &descriptor.artifact_type {
                Some(_) => descriptor.clone(),
                None => listed(descriptor, &read_document(self, descriptor)?.0),
            };
            by_subject.entry(subject).or_default().push(entry);
        }
        by_subject.into_iter().try_for_each(|(subject, new)| {
            self.update_referrers(subject, |entries| {
                entries.retain(|entry| new.iter().all(|new| new.digest != entry.digest));
                entries.extend(new.iter().cloned());
                entries.sort_by(|a, b| a.digest.cmp(&b.digest));
            })
        })
    }

    fn set_tag(&self, tagged: &Tagged, no_clobber: bool) -> Result<Option<TagChange>, StoreError> {
        let Tagged { tag, root } = tagged;
        let bytes = read_blob(self, root, MANIFEST_LIMIT)?;
        let moved = RefCell::new(None);
        update(self.objects, &self.key(&format!("manifests/{tag}")), &Kind::changing(&root.media_type), |now| {
            let old = now.map(|now| hash(&root.digest, &now.bytes));
            match old {
                Some(old) if old == root.digest => return Ok(None),
                Some(old) if no_clobber => {
                    return Err(StoreError::Clobber { store: Source::name(self), tag: tag.clone(), old: old.to_string() });
                }
                old => *moved.borrow_mut() = Some(TagChange { tag: tag.clone(), old, new: root.digest.clone() }),
            }
            Ok(Some(bytes.clone()))
        })?;
        Ok(moved.into_inner())
    }

    fn content(&self, kind: &str, digest: &Digest) -> String {
        self.key(&format!("{kind}/{digest}"))
    }
}

/// Where the content of a descriptor may lie, the likelier place first: a layer may claim any media type.
fn kinds(descriptor: &Descriptor) -> [&'static str; 2] {
    if descriptor.is_manifest_or_index() { ["manifests", "blobs"] } else { ["blobs", "manifests"] }
}

impl Source for Published<'_> {
    fn name(&self) -> String {
        format!("{} in {}", self.repository, self.objects.name())
    }

    fn tags(&self) -> Result<Vec<Tagged>, StoreError> {
        let mut tags = Vec::new();
        for tag in self.tag_names()?.unwrap_or_default() {
            // One that vanished between the list and the look is none.
            tags.extend(self.fetch(&tag)?.map(|(root, _)| Tagged { tag, root }));
        }
        Ok(tags)
    }

    fn resolve(&self, selector: &Selector) -> Result<Descriptor, StoreError> {
        let wanted = match selector {
            Selector::Only => "latest".to_owned(),
            Selector::Tag(tag) => tag.clone(),
            Selector::Digest(digest) => digest.to_string(),
        };
        if let Some((found, _)) = self.fetch(&wanted)? {
            return Ok(found);
        }
        match self.tag_names()? {
            Some(tags) => Err(StoreError::NotFound { store: Source::name(self), wanted, available: tags.into_iter().collect() }),
            None => Err(StoreError::NoRepository { store: Source::name(self) }),
        }
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, StoreError> {
        for kind in kinds(descriptor) {
            if let Some(found) = self.objects.open(&self.content(kind, &descriptor.digest))? {
                return Ok(found);
            }
        }
        Err(StoreError::MissingBlob { store: Source::name(self), digest: descriptor.digest.to_string() })
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        let found = self.objects.get(&self.key(&format!("referrers/{subject}")))?;
        let mut found = found.map(|found| parse_referrers(&found.bytes)).transpose()?.unwrap_or_default();
        found.retain(Descriptor::is_manifest_or_index);
        Ok(found)
    }
}

impl Sink for Published<'_> {
    fn name(&self) -> String {
        Source::name(self)
    }

    fn contains(&self, descriptor: &Descriptor) -> Result<bool, StoreError> {
        let size = self.objects.size(&self.content(kinds(descriptor)[0], &descriptor.digest))?;
        Ok(size == Some(descriptor.size))
    }

    fn put_blob(&self, descriptor: &Descriptor, content: &mut (dyn Read + Send)) -> Result<Outcome, StoreError> {
        crate::stores::put_once(self, descriptor, content)
    }

    fn adopt(&self, descriptor: &Descriptor, staged: TempFile) -> Result<Outcome, StoreError> {
        crate::stores::put_staged(self, descriptor, &staged)
    }

    fn put_again(&self, descriptor: &Descriptor, open: &Reopen<'_>) -> Result<Outcome, StoreError> {
        self.objects.put_blob(&self.content("blobs", &descriptor.digest), descriptor, open)?;
        Ok(Outcome::Copied)
    }

    fn put_manifest(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<Outcome, StoreError> {
        if self.contains(descriptor)? {
            return Ok(Outcome::Present);
        }
        // Whoever finds the manifest finds what refers to it.
        self.update_referrers(&descriptor.digest, |_| {})?;
        let key = self.content("manifests", &descriptor.digest);
        self.objects.put(&key, &Kind::fixed(&descriptor.media_type), bytes, &Condition::None)?;
        Ok(Outcome::Copied)
    }

    fn parallelism(&self) -> usize {
        self.objects.parallelism()
    }

    fn commit(&self, commit: &Commit) -> Result<Vec<TagChange>, StoreError> {
        self.add_referrers(&commit.referrers)?;
        let mut changes = Vec::new();
        for tagged in &commit.tags {
            changes.extend(self.set_tag(tagged, commit.no_clobber)?);
        }
        self.update_tags(|tags| tags.extend(commit.tags.iter().map(|tagged| tagged.tag.clone())))?;
        Ok(changes)
    }
}
