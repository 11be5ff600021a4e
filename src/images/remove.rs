//! Removing: a tag or an image with what only it reached, or everything that no tag reaches.

use std::path::Path;

use serde::Serialize;

use plugin_oci::failure::{Complaint, Error};
use plugin_oci::progress::Progress;
use plugin_oci::stores::layout::{Layout, LayoutWriter, Obsolete};
use plugin_oci::stores::open::Stores;
use plugin_oci::stores::{Selector, Source as _};
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
            let Some(tag) = &registry.tag else { return Err(no_tag(reference)) };
            (tag.to_string(), stores.remover(registry).remove_tag(tag)?)
        }
        Reference::Layout(local) => {
            let tag = match &local.name {
                Some(name) => name.to_string(),
                None => match Layout::open(&local.path)?.resolve(&Selector::Only)?.ref_name() {
                    Some(name) => name.to_owned(),
                    None => return Err(no_tag(reference)),
                },
            };
            Layout::open(&local.path)?;
            let digest = LayoutWriter::new(&local.path, Obsolete::Remove, progress)?.remove_tag(&tag)?;
            (tag, digest)
        }
        Reference::Archive(_) => return Err(of_archive(reference)),
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
        Reference::Archive(_) => Err(of_archive(store)),
    }
}

fn no_tag(reference: &Reference) -> Error {
    Complaint::usage(format!("`{reference}` names no tag to remove")).into()
}

fn of_archive(reference: &Reference) -> Error {
    let message = format!("cannot remove `{reference}`: an archive is written as a whole");
    Complaint::usage(message).with_hint("copy what is to stay into another").into()
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
