//! A finished image before it lies anywhere: documents in memory, layers in temporary files or where they already were.
//!
//! A [`Bundle`] is a [`Source`], so that writing a layout is the same [`copy`](crate::stores::copy) as everything else.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Mutex, PoisonError};

use crate::documents::image::Image;
use crate::documents::{Descriptor, Index, media_type};
use crate::fs::TempFile;
use crate::stores::{Selector, Source, StoreError, Tagged};
use crate::values::digest::Digest;

/// One image with everything that belongs to it.
pub struct Bundle<'a> {
    root: Descriptor,
    documents: BTreeMap<Digest, Vec<u8>>,
    staged: Mutex<BTreeMap<Digest, TempFile>>,
    referrers: Vec<(Digest, Descriptor)>,
    behind: Vec<&'a dyn Source>,
}

impl<'a> Bundle<'a> {
    /// A bundle of images under an index.
    pub fn of_index(index: &Index, images: &[Image]) -> Self {
        let bytes = index.to_bytes();
        let mut root = Descriptor::of(media_type::INDEX, &bytes);
        root.artifact_type.clone_from(&index.artifact_type);
        let mut bundle = Self::empty(root);
        bundle.add_document(bytes);
        for image in images {
            bundle.add_image(image);
        }
        bundle
    }

    /// A bundle of one manifest without an index.
    pub fn of_manifest(image: &Image) -> Self {
        let mut root = image.descriptor.clone();
        root.platform = None;
        let mut bundle = Self::empty(root);
        bundle.add_image(image);
        bundle
    }

    /// A bundle of what refers to an image, without that.
    pub fn of_referrers(image: Descriptor) -> Self {
        Self::empty(image)
    }

    /// The index or lone manifest.
    pub fn root(&self) -> &Descriptor {
        &self.root
    }

    /// Adds a freshly made blob.
    pub fn add_staged(&mut self, digest: Digest, file: TempFile) {
        self.staged.get_mut().unwrap_or_else(PoisonError::into_inner).insert(digest, file);
    }

    /// Adds a small blob or a document that lives in memory.
    pub fn add_document(&mut self, bytes: Vec<u8>) {
        self.documents.insert(Digest::of(&bytes), bytes);
    }

    /// Adds a manifest that refers to `subject`; its blobs are added as documents.
    pub fn add_referrer(&mut self, subject: Digest, descriptor: Descriptor, manifest: Vec<u8>) {
        self.add_document(manifest);
        self.referrers.push((subject, descriptor));
    }

    /// Looks in another store for blobs that are neither in memory nor staged: a base image, or the layout itself.
    pub fn add_behind(&mut self, source: &'a dyn Source) {
        self.behind.push(source);
    }

    fn empty(root: Descriptor) -> Self {
        Self { root, documents: BTreeMap::new(), staged: Mutex::default(), referrers: Vec::new(), behind: Vec::new() }
    }

    fn add_image(&mut self, image: &Image) {
        self.add_document(image.manifest_bytes.clone());
        self.add_document(image.config_bytes.clone());
    }
}

impl Source for Bundle<'_> {
    fn name(&self) -> String {
        format!("the new image {}", self.root.digest)
    }

    fn tags(&self) -> Result<Vec<Tagged>, StoreError> {
        Ok(Vec::new())
    }

    fn resolve(&self, _selector: &Selector) -> Result<Descriptor, StoreError> {
        Ok(self.root.clone())
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, StoreError> {
        if let Some(bytes) = self.documents.get(&descriptor.digest) {
            return Ok(Box::new(bytes.as_slice()));
        }
        for source in &self.behind {
            match source.open(descriptor) {
                Err(StoreError::MissingBlob { .. }) => {}
                found => return found,
            }
        }
        Err(StoreError::MissingBlob { store: self.name(), digest: descriptor.digest.to_string() })
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        Ok(self.referrers.iter().filter(|(of, _)| of == subject).map(|(_, descriptor)| descriptor.clone()).collect())
    }

    fn take_staged(&self, digest: &Digest) -> Option<TempFile> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner).remove(digest)
    }
}
