//! The files of a layout.

use std::fs::{self, File};
use std::path::Path;

use super::image::Walk;
use plugin_oci::failure::Error;
use plugin_oci::finding::Finding;
use plugin_oci::fs::{FileError, sorted_listing};
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
