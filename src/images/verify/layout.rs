//! The files of a layout, and which errors of a store are findings.

use std::error::Error as _;
use std::fs::{self, File};
use std::path::Path;

use super::image::Walk;
use plugin_oci::failure::Error;
use plugin_oci::finding::Finding;
use plugin_oci::fs::{FileError, sorted_listing};
use plugin_oci::stores::StoreError;
use plugin_oci::stores::layout::Layout;
use plugin_oci::values::digest::{Digest, Hasher};

/// Checks every file below `blobs/` that no image reached: a blob under a name that is not its digest is wrong wherever it
/// lies. Orphans as such are fine.
pub fn check_blobs(layout: &Layout, walk: &mut Walk<'_>) -> Result<(), Error> {
    let blobs = layout.dir().join("blobs");
    if !is_directory(&blobs) {
        walk.add(Finding::new("blobs", "layout", "the layout has no `blobs` directory"));
        return Ok(());
    }
    for algorithm in sorted_listing(&blobs)? {
        let dir = blobs.join(&algorithm);
        let algorithm = algorithm.to_string_lossy().into_owned();
        if !is_directory(&dir) {
            walk.add(Finding::new(format!("blobs/{algorithm}"), "layout", "it is not a directory"));
            continue;
        }
        for name in sorted_listing(&dir)? {
            let object = format!("blobs/{algorithm}/{}", name.to_string_lossy());
            check_blob(&dir.join(&name), &object, &format!("{algorithm}:{}", name.to_string_lossy()), walk)?;
        }
    }
    Ok(())
}

fn check_blob(path: &Path, object: &str, digest: &str, walk: &mut Walk<'_>) -> Result<(), Error> {
    let Ok(digest) = digest.parse::<Digest>() else {
        walk.add(Finding::new(object, "blob-name", "its name is no digest that can be verified"));
        return Ok(());
    };
    let metadata = fs::symlink_metadata(path).map_err(FileError::at("read", path))?;
    if !metadata.is_file() {
        walk.add(Finding::new(object, "blob-type", "a blob must be a regular file"));
    } else if !walk.has_seen(&digest) {
        let mut hasher = Hasher::with(digest.algorithm());
        let mut file = File::open(path).map_err(FileError::at("read", path))?;
        hasher.update_from(&mut file).map_err(FileError::at("read", path))?;
        walk.count(metadata.len());
        let found = hasher.finish();
        if found != digest {
            walk.add(Finding::new(object, "digest-mismatch", format!("its content has digest {found}")));
        }
    }
    Ok(())
}

fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

/// Sorts an error of a store: what is wrong with bytes is a finding, what is wrong with the world is not.
pub fn finding_of(object: &str, error: &StoreError) -> Option<Finding> {
    let rule = match error {
        StoreError::Document { source, .. } => document_rule(source),
        StoreError::NotALayout { .. } => "layout",
        StoreError::DuplicateTag { .. } => "duplicate-tag",
        StoreError::MissingBlob { .. } => "missing-blob",
        StoreError::Corrupt { source, .. } if source.to_string().contains("digest") => "digest-mismatch",
        StoreError::Corrupt { .. } => "size-mismatch",
        StoreError::TooLarge { .. } => "too-large",
        StoreError::TooDeep { .. } => "nesting",
        StoreError::File(error) if error.source.to_string().contains("not a regular file") => "blob-type",
        StoreError::File(error) if error.source.kind() == std::io::ErrorKind::NotFound => "missing-file",
        _ => return None,
    };
    Some(Finding::new(object, rule, text_of(error)))
}

fn document_rule(error: &plugin_oci::documents::DocumentError) -> &'static str {
    use plugin_oci::documents::DocumentError as Wrong;
    match error {
        Wrong::Json(error) if error.is_duplicate_key() => "duplicate-key",
        Wrong::Json(_) => "json",
        Wrong::Shape { .. } | Wrong::SchemaVersion(_) | Wrong::NotAManifest(_) => "document-shape",
        Wrong::Digest(_) => "digest-grammar",
        Wrong::MediaTypeMismatch { .. } => "media-type",
        Wrong::Ambiguous { .. } | Wrong::Lookalike { .. } => "ambiguous-document",
        Wrong::RootfsType(_) => "rootfs-type",
        Wrong::WrongData(_) => "wrong-data",
    }
}

/// An error with its causes on one line.
pub fn text_of(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = cause.source();
    }
    text
}
