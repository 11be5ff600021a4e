//! Removing: a tag or an image with what only it reached, or everything that no tag reaches.

use std::path::Path;

use serde::Serialize;

use plugin_oci::failure::{Class, Error, Failure};
use plugin_oci::progress::Progress;
use plugin_oci::stores::layout::{Layout, LayoutWriter, Obsolete};
use plugin_oci::stores::open::Stores;
use plugin_oci::stores::{Source as _, StoreError};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::reference::Reference;

/// What was removed.
#[derive(Clone, Debug, Serialize)]
pub struct Removed {
    /// The tag; `None` where an image was named by its digest, and all its tags went.
    pub tag: Option<String>,
    /// What it named.
    pub digest: Digest,
}

/// Removes the tag that `reference` names, or the image under all its tags.
pub fn remove(reference: &Reference, stores: &Stores<'_>, progress: &dyn Progress) -> Result<Removed, Error> {
    if let Some(digest) = reference.digest() {
        remove_digest(reference, digest, stores, progress)?;
        return Ok(Removed { tag: None, digest: digest.clone() });
    }
    let (tag, digest) = match reference {
        Reference::Registry(registry) => {
            let Some(tag) = &registry.tag else { return Err(RemoveError::NoTag(reference.clone()).into()) };
            (tag.to_string(), stores.remover(registry).remove_tag(tag)?)
        }
        Reference::Layout(local) => {
            let tag = match &local.name {
                Some(name) => name.to_string(),
                None => only_tag(reference, &Layout::open(&local.path)?)?,
            };
            Layout::open(&local.path)?;
            let digest = LayoutWriter::new(&local.path, Obsolete::Remove, progress)?.remove_tag(&tag)?;
            (tag, digest)
        }
        Reference::Archive(_) => return Err(RemoveError::Archive(reference.clone()).into()),
    };
    Ok(Removed { tag: Some(tag), digest })
}

/// Removes an image or attachment from its store under all its tags, with what refers to it.
pub fn remove_digest(store: &Reference, digest: &Digest, stores: &Stores<'_>, progress: &dyn Progress) -> Result<(), Error> {
    match store {
        Reference::Registry(registry) => Ok(stores.remover(registry).remove_digest(digest)?),
        Reference::Layout(local) => {
            Layout::open(&local.path)?;
            Ok(LayoutWriter::new(&local.path, Obsolete::Remove, progress)?.remove_digest(digest)?)
        }
        Reference::Archive(_) => Err(RemoveError::Archive(store.clone()).into()),
    }
}

/// The one tag that there is, whatever it names.
fn only_tag(reference: &Reference, layout: &Layout) -> Result<String, Error> {
    match layout.tags()?.as_slice() {
        [] => Err(RemoveError::NoTag(reference.clone()).into()),
        [only] => Ok(only.tag.clone()),
        several => {
            let available = several.iter().map(|tagged| tagged.tag.clone()).collect();
            Err(StoreError::Ambiguous { store: layout.name(), available }.into())
        }
    }
}

/// Why nothing is removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// The only image that there is has no tag.
    #[error("`{0}` names no tag to remove")]
    NoTag(Reference),
    /// An archive is never changed, only written.
    #[error("cannot remove `{0}`: an archive is written as a whole")]
    Archive(Reference),
}

impl Failure for RemoveError {
    fn class(&self) -> Class {
        Class::Usage
    }
}

/// What `gc` removed.
#[derive(Clone, Debug, Serialize)]
pub struct Collected {
    /// The blobs.
    pub removed: Vec<Digest>,
    /// Their bytes together.
    pub bytes: u64,
}

/// Removes every blob of a layout that no entry of its index reaches.
pub fn collect_garbage(dir: &Path, progress: &dyn Progress) -> Result<Collected, Error> {
    Layout::open(dir)?;
    let removed = LayoutWriter::new(dir, Obsolete::Remove, progress)?.collect_garbage()?;
    let bytes = removed.iter().map(|(_, size)| size).sum();
    Ok(Collected { removed: removed.into_iter().map(|(digest, _)| digest).collect(), bytes })
}
