//! What a store holds: tags, digests, platforms, sizes, attachments; and images without a tag, where it lists such.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::documents::{Descriptor, Document, NESTING_LIMIT, media_type};
use crate::failure::Error;
use crate::stores::{PlatformImage, Selector, Source, StoreError, Tagged, images, platform_of, read_document};
use crate::values::digest::Digest;

/// One tag of a store, or an image without one.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// Empty for what no tag is known of.
    pub tag: String,
    /// What it names.
    pub digest: Digest,
    /// The media type of the root.
    pub media_type: String,
    /// Platforms, in index order; empty for a lone manifest with a tag whose entry names none.
    pub platforms: Vec<OnPlatform>,
    /// Bytes of every distinct blob, manifest and index that it reaches.
    pub size: u64,
    /// What refers to it.
    pub attachments: Vec<Attachment>,
}

/// One platform of an image.
#[derive(Clone, Debug, Serialize)]
pub struct OnPlatform {
    /// `os/architecture[/variant]`.
    pub platform: String,
}

/// A manifest that refers to an image.
#[derive(Clone, Debug, Serialize)]
pub struct Attachment {
    /// Digest of its manifest.
    pub digest: Digest,
    /// What it is.
    pub artifact_type: String,
    /// Bytes of its manifest.
    pub size: u64,
}

/// Lists every tag of a store and what has none, or what a selector means.
pub fn list(source: &dyn Source, selector: &Selector) -> Result<Vec<Listed>, Error> {
    let mut listed = Vec::new();
    for Tagged { tag, root } in selected(source, selector)? {
        let mut sizes = Sizes::default();
        let mut platforms = sizes.add(source, &root, 0)?;
        if platforms.is_empty() {
            platforms.extend(lone_platform(source, &root, tag.is_empty())?);
        }
        let platforms = platforms.into_iter().map(|platform| OnPlatform { platform }).collect();
        let attachments = attachments(source, &root.digest)?;
        let (digest, media_type) = (root.digest, root.media_type);
        listed.push(Listed { tag, digest, media_type, platforms, size: sizes.total, attachments });
    }
    Ok(listed)
}

fn selected(source: &dyn Source, selector: &Selector) -> Result<Vec<Tagged>, StoreError> {
    let one = |tag: String| Ok(vec![Tagged { tag, root: source.resolve(selector)? }]);
    match selector {
        Selector::Only => {
            let untagged = source.untagged()?.into_iter().map(|root| Tagged { tag: String::new(), root });
            Ok(images(source)?.into_iter().chain(untagged).collect())
        }
        Selector::Tag(tag) => one(tag.clone()),
        // A registry would have to be asked for each of its tags.
        Selector::Digest(_) if source.repository().is_some() => one(String::new()),
        Selector::Digest(digest) => {
            let named: Vec<Tagged> = source.tags()?.into_iter().filter(|tagged| tagged.root.digest == *digest).collect();
            if named.is_empty() { one(String::new()) } else { Ok(named) }
        }
    }
}

/// The platform that the entry of a lone manifest names. Where nothing else tells images apart, the configuration is asked.
fn lone_platform(source: &dyn Source, root: &Descriptor, ask: bool) -> Result<Option<String>, StoreError> {
    let mut platform = root.platform.clone();
    if ask
        && platform.is_none()
        && let Document::Manifest(manifest) = read_document(source, root)?.0
    {
        platform = platform_of(source, &PlatformImage { descriptor: root.clone(), manifest })?;
    }
    Ok(platform.map(|platform| platform.to_string()))
}

/// Everything that refers to an image.
pub fn attachments(source: &dyn Source, subject: &Digest) -> Result<Vec<Attachment>, StoreError> {
    let referrers = source.referrers(subject)?.into_iter();
    let known = referrers.map(|referrer| {
        Ok(Attachment { artifact_type: artifact_type(source, &referrer)?, digest: referrer.digest, size: referrer.size })
    });
    known.collect()
}

/// The artifact type of a referrer: its descriptor's, or else its manifest's.
pub fn artifact_type(source: &dyn Source, referrer: &Descriptor) -> Result<String, StoreError> {
    if let Some(known) = referrer.artifact_type.as_ref().filter(|known| !media_type::is_config(known)) {
        return Ok(known.clone());
    }
    Ok(match read_document(source, referrer)?.0 {
        // One that has the shape of an image says by its first layer what it is.
        Document::Manifest(manifest) => {
            let layer = manifest.layers.first().map_or(&manifest.media_type, |layer| &layer.media_type);
            manifest.effective_artifact_type().unwrap_or(layer).to_owned()
        }
        Document::Index(index) => index.artifact_type.unwrap_or(index.media_type),
    })
}

#[derive(Default)]
struct Sizes {
    seen: BTreeSet<Digest>,
    total: u64,
}

impl Sizes {
    fn add(&mut self, source: &dyn Source, at: &Descriptor, depth: usize) -> Result<Vec<String>, StoreError> {
        if depth > NESTING_LIMIT || !self.seen.insert(at.digest.clone()) {
            return Ok(Vec::new());
        }
        self.total += at.size;
        if !at.is_manifest_or_index() {
            return Ok(Vec::new());
        }
        let mut platforms = Vec::new();
        match read_document(source, at)?.0 {
            Document::Index(index) => {
                for child in &index.manifests {
                    platforms.extend(child.platform.as_ref().map(ToString::to_string));
                    platforms.extend(self.add(source, child, depth + 1)?);
                }
            }
            Document::Manifest(manifest) => {
                for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
                    if self.seen.insert(blob.digest.clone()) {
                        self.total += blob.size;
                    }
                }
            }
        }
        Ok(platforms)
    }
}
