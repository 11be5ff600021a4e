//! Attachments: manifests that refer to an image and travel with it.
//!
//! An attachment is an artifact manifest (image-spec, `manifest.md`, "Guidelines for Artifact Usage"): an `artifactType`,
//! the empty configuration, the image's root as `subject`, and its files as layers that are no tars, each under its file
//! name in the title annotation, so that tools for artifacts write them out under these names. The subject is the index
//! (or the lone manifest), never one platform's manifest: what is said here holds for all platforms.
//!
//! Nothing in an attachment depends on when or where it was made.
//!
//! ```
//! use plugin_oci::attachments::Attachment;
//! use plugin_oci::documents::{Descriptor, media_type};
//!
//! let image = Descriptor::of(media_type::INDEX, b"the bytes of an index");
//! let notes = Attachment::builder("application/vnd.example.notes", &image).file("NOTES", "text/plain", b"hello".to_vec()).finish();
//! assert_eq!(notes.subject, image.digest);
//! ```

use std::collections::BTreeMap;

use crate::documents::{Descriptor, Document, Manifest, REF_NAME, media_type};
use crate::stores::staged::Bundle;
use crate::stores::{Commit, Referrer, Sink, Source, StoreError, Tagged, read_document};
use crate::values::digest::Digest;
use crate::values::tag::is_attached_to;

/// Annotation with the file name of a layer.
pub const TITLE: &str = "org.opencontainers.image.title";

/// The one configuration of artifacts that have none.
const EMPTY_CONFIG: &[u8] = b"{}";

/// A finished attachment in memory.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// What it refers to.
    pub subject: Digest,
    /// Describes the manifest, with its artifact type, as an `index.json` and the list of referrers show it.
    pub descriptor: Descriptor,
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// Every blob that the manifest points at.
    pub blobs: Vec<(Descriptor, Vec<u8>)>,
}

impl Attachment {
    /// Starts an attachment to the image whose root is `subject`.
    pub fn builder(artifact_type: impl Into<String>, subject: &Descriptor) -> Builder {
        let subject = Descriptor::new(subject.media_type.clone(), subject.digest.clone(), subject.size);
        let config = (media_type::EMPTY.to_owned(), EMPTY_CONFIG.to_vec());
        let (layers, annotations) = (Vec::new(), BTreeMap::new());
        Builder { artifact_type: Some(artifact_type.into()), config, subject, layers, annotations }
    }

    /// The same with a configuration, which says what type it is of.
    pub fn of_config(media_type: &str, config: Vec<u8>, subject: &Descriptor) -> Builder {
        Builder { artifact_type: None, config: (media_type.to_owned(), config), ..Self::builder("", subject) }
    }

    /// Puts the attachment into a bundle that is about to be written.
    pub fn add_to(self, bundle: &mut Bundle<'_>) {
        for (_, bytes) in self.blobs {
            bundle.add_document(bytes);
        }
        bundle.add_referrer(self.subject, self.descriptor, self.manifest);
    }

    /// Brings the attachment to a store that has its subject. What is there already stays as it is.
    pub fn write(&self, sink: &dyn Sink) -> Result<(), StoreError> {
        for (descriptor, bytes) in &self.blobs {
            if !sink.contains(descriptor)? {
                sink.put_blob(descriptor, &mut bytes.as_slice())?;
            }
        }
        sink.put_manifest(&self.descriptor, &self.manifest)?;
        let (mut descriptor, subject) = (self.descriptor.clone(), self.subject.clone());
        // What is looked for by a tag of its own gets it.
        let tag = descriptor.ref_name().filter(|tag| is_attached_to(tag, &subject)).map(str::to_owned);
        descriptor.annotations.remove(REF_NAME);
        let tags = tag.map(|tag| Tagged { tag, root: descriptor.clone() }).into_iter().collect();
        sink.commit(&Commit { tags, referrers: vec![Referrer { descriptor, subject }], ..Commit::default() })?;
        Ok(())
    }
}

/// An attachment in the making.
#[derive(Clone, Debug)]
pub struct Builder {
    artifact_type: Option<String>,
    config: (String, Vec<u8>),
    subject: Descriptor,
    layers: Vec<(Descriptor, Vec<u8>)>,
    annotations: BTreeMap<String, String>,
}

impl Builder {
    /// Adds a file. Files keep the order in which they are added.
    #[must_use]
    pub fn file(self, title: &str, media_type: &str, bytes: Vec<u8>) -> Self {
        self.layer(media_type, bytes, [(TITLE, title)])
    }

    /// Adds a layer with these annotations.
    #[must_use]
    pub fn layer<'t>(self, media_type: &str, bytes: Vec<u8>, annotations: impl IntoIterator<Item = (&'t str, &'t str)>) -> Self {
        let mut descriptor = Descriptor::of(media_type, &bytes);
        descriptor.annotations = annotations.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        self.described(descriptor, bytes)
    }

    /// Adds a layer that is described already.
    #[must_use]
    pub fn described(mut self, descriptor: Descriptor, bytes: Vec<u8>) -> Self {
        self.layers.push((descriptor, bytes));
        self
    }

    /// Adds an annotation of the manifest, which lists of referrers repeat.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: impl Into<String>) -> Self {
        self.annotations.insert(key.to_owned(), value.into());
        self
    }

    /// The attachment.
    pub fn finish(self) -> Attachment {
        let (media_type, bytes) = self.config;
        let config = Descriptor::of(media_type, &bytes);
        let subject = self.subject.digest.clone();
        let manifest = Manifest {
            media_type: media_type::MANIFEST.to_owned(),
            artifact_type: self.artifact_type,
            config: config.clone(),
            layers: self.layers.iter().map(|(descriptor, _)| descriptor.clone()).collect(),
            subject: Some(self.subject),
            annotations: self.annotations.clone(),
        };
        let mut blobs = vec![(config, bytes)];
        blobs.extend(self.layers);
        let bytes = manifest.to_bytes();
        let mut descriptor = Descriptor::of(media_type::MANIFEST, &bytes);
        descriptor.artifact_type = manifest.artifact_type.or(Some(manifest.config.media_type));
        descriptor.annotations = self.annotations;
        Attachment { subject, descriptor, manifest: bytes, blobs }
    }
}

/// The manifests of one type that refer to `subject`, sorted by digest.
pub fn find(source: &dyn Source, subject: &Digest, artifact_type: &str) -> Result<Vec<Manifest>, StoreError> {
    let listed = list(source, subject, artifact_type)?;
    let read = listed.iter().map(|at| read(source, at, subject, artifact_type));
    read.filter_map(Result::transpose).collect()
}

/// What may be of one type among that which refers to `subject`, sorted by digest, as the store lists it.
pub fn list(source: &dyn Source, subject: &Digest, artifact_type: &str) -> Result<Vec<Descriptor>, StoreError> {
    let mut listed = source.referrers(subject)?;
    listed.retain(|at| at.artifact_type.as_deref().is_none_or(|named| named == artifact_type));
    Ok(listed)
}

/// Reads one of them; `None` where it is something else.
///
/// The type in a descriptor only says where to look: what counts is the manifest's own.
pub fn read(source: &dyn Source, at: &Descriptor, subject: &Digest, artifact_type: &str) -> Result<Option<Manifest>, StoreError> {
    let (Document::Manifest(manifest), _) = read_document(source, at)? else { return Ok(None) };
    let refers = manifest.subject.as_ref().is_some_and(|named| named.digest == *subject);
    Ok(Some(manifest).filter(|manifest| refers && manifest.effective_artifact_type() == Some(artifact_type)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> Descriptor {
        let mut subject = Descriptor::of(media_type::INDEX, b"an index");
        subject.annotations.insert(crate::documents::REF_NAME.to_owned(), "1.0".to_owned());
        subject
    }

    #[test]
    fn an_attachment_is_an_artifact_manifest_whose_bytes_depend_on_nothing_else() {
        let make = || Attachment::builder("application/x", &subject()).file("a.txt", "text/plain", b"hello".to_vec()).finish();
        let attachment = make();
        assert_eq!(attachment.manifest, make().manifest);
        assert_eq!(attachment.descriptor.digest, Digest::of(&attachment.manifest));
        assert_eq!(attachment.descriptor.artifact_type.as_deref(), Some("application/x"));
        let manifest = Manifest::parse(&attachment.manifest, Some(media_type::MANIFEST)).unwrap();
        assert_eq!(manifest.effective_artifact_type(), Some("application/x"));
        assert_eq!(manifest.config.media_type, media_type::EMPTY);
        assert_eq!(manifest.layers[0].annotations[TITLE], "a.txt");
        let named = manifest.subject.unwrap();
        assert_eq!(named.digest, subject().digest);
        assert!(named.annotations.is_empty(), "a subject's tag is not part of what it is");
    }

    #[test]
    fn every_blob_is_what_its_descriptor_says() {
        let attachment = Attachment::builder("application/x", &subject())
            .file("a", "text/plain", b"a".to_vec())
            .file("b", "text/plain", b"b".to_vec())
            .annotation("k", "v")
            .finish();
        assert_eq!(attachment.blobs.len(), 3);
        for (descriptor, bytes) in &attachment.blobs {
            assert_eq!(descriptor.digest, Digest::of(bytes));
            assert_eq!(descriptor.size, bytes.len() as u64);
        }
        assert_eq!(attachment.descriptor.annotations["k"], "v");
    }
}
