//! What is shown of an image, of the documents that it needs.

use std::collections::BTreeMap;
use std::io::Read;

use plugin_oci::catalogue::Image;
use plugin_oci::documents::{CONFIG_LIMIT, Descriptor, Document};
use plugin_oci::stores::bucket::lists::parse_referrers;
use plugin_oci::stores::registry::media_type_of;
use plugin_oci::stores::{Selector, Source, StoreError, Tagged};
use plugin_oci::values::digest::Digest;

use super::super::Registry;
use crate::fault::Fault;
use crate::names::Name;

/// How many documents are read of one image.
const DOCUMENTS: usize = 100;

/// The documents of an image, in memory.
#[derive(Default)]
struct Documents {
    bytes: BTreeMap<Digest, Vec<u8>>,
    referrers: Vec<Descriptor>,
}

impl Registry {
    /// What is shown of the image under a tag; `None` where there is none, or one that is not to be understood.
    pub(super) async fn shown(&self, name: &Name, tag: &str) -> Result<Option<Image>, Fault> {
        let Some(found) = self.store.get(&name.tag(tag)).await? else { return Ok(None) };
        let media_type = media_type_of(found.content_type.as_deref().unwrap_or_default(), &found.bytes);
        let root = Descriptor::new(media_type, Digest::of(&found.bytes), found.bytes.len() as u64);
        let mut documents = Documents::default();
        if let Some(list) = self.store.get(&name.referrers(&root.digest)).await? {
            documents.referrers = parse_referrers(&list.bytes).unwrap_or_default();
            documents.referrers.retain(Descriptor::is_manifest_or_index);
        }
        let untold = documents.referrers.iter().filter(|referrer| referrer.artifact_type.is_none()).cloned();
        let mut wanted: Vec<Descriptor> = untold.collect();
        wanted.extend(read(&root, &found.bytes));
        documents.bytes.insert(root.digest.clone(), found.bytes);
        while let Some(next) = wanted.pop() {
            if documents.bytes.len() == DOCUMENTS || documents.bytes.contains_key(&next.digest) || next.size > CONFIG_LIMIT {
                continue;
            }
            let key = if next.is_manifest_or_index() { name.manifest(&next.digest) } else { name.blob(&next.digest) };
            let Some(found) = self.store.get(&key).await? else { continue };
            wanted.extend(read(&next, &found.bytes));
            documents.bytes.insert(next.digest, found.bytes);
        }
        Ok(Image::read(&documents, &root).ok())
    }
}

/// What else is to be read of a document: manifests, and the configuration of one whose platform nothing else tells.
fn read(descriptor: &Descriptor, bytes: &[u8]) -> Vec<Descriptor> {
    match Document::parse(bytes, &descriptor.media_type) {
        Ok(Document::Index(index)) => index.manifests.into_iter().filter(Descriptor::is_manifest_or_index).collect(),
        Ok(Document::Manifest(manifest)) if descriptor.platform.is_none() => vec![manifest.config],
        _ => Vec::new(),
    }
}

impl Source for Documents {
    fn name(&self) -> String {
        "the registry".to_owned()
    }

    fn tags(&self) -> Result<Vec<Tagged>, StoreError> {
        Ok(Vec::new())
    }

    fn resolve(&self, selector: &Selector) -> Result<Descriptor, StoreError> {
        Err(StoreError::NotFound { store: self.name(), wanted: format!("{selector:?}"), available: Vec::new() })
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, StoreError> {
        let missing = || StoreError::MissingBlob { store: self.name(), digest: descriptor.digest.to_string() };
        Ok(Box::new(self.bytes.get(&descriptor.digest).ok_or_else(missing)?.as_slice()))
    }

    fn referrers(&self, _subject: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        Ok(self.referrers.clone())
    }
}
