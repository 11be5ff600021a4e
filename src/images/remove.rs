//! Removing: a tag with what only it reached, or everything that no tag reaches.

use std::path::Path;

use serde::Serialize;

use plugin_oci::failure::{Complaint, Error};
use plugin_oci::progress::Progress;
use plugin_oci::stores::layout::{Layout, LayoutWriter, Obsolete};
use plugin_oci::stores::{Selector, Source as _};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::reference::Reference;

/// A tag that was removed.
#[derive(Clone, Debug, Serialize)]
pub struct Removed {
    pub tag: String,
    /// What it named.
    pub digest: Digest,
}

/// Removes the tag of a layout that `reference` names.
pub fn remove(reference: &Reference, progress: &dyn Progress) -> Result<Removed, Error> {
    let Reference::Layout(local) = reference else {
        let message = format!("cannot remove `{reference}`: only tags of a layout directory (`oci:DIR:TAG`) can be removed");
        return Err(Complaint::usage(message).into());
    };
    if local.digest.is_some() {
        return Err(Complaint::usage(format!("`{reference}` names a digest, and a tag is what can be removed")).into());
    }
    let layout = Layout::open(&local.path)?;
    let tag = match &local.name {
        Some(name) => name.to_string(),
        None => match layout.resolve(&Selector::Only)?.ref_name() {
            Some(name) => name.to_owned(),
            None => return Err(Complaint::usage(format!("`{reference}` has no tag to remove")).into()),
        },
    };
    let writer = LayoutWriter::new(&local.path, Obsolete::Remove, progress)?;
    let digest = writer.remove_tag(&tag)?;
    Ok(Removed { tag, digest })
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
