//! The files of a layout.

use std::fs::{self, File};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread::{self, available_parallelism};

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
        let mut unread = Vec::new();
        for name in sorted_listing(&dir)? {
            let path = dir.join(&name);
            let object = format!("blobs/{algorithm}/{}", name.to_string_lossy());
            let Ok(digest) = format!("{algorithm}:{}", name.to_string_lossy()).parse::<Digest>() else {
                walk.add(Finding::new(object, "blob-name", "its name is no digest that can be verified"));
                continue;
            };
            if !fs::symlink_metadata(&path).map_err(FileError::at("read", &path))?.is_file() {
                walk.add(Finding::new(object, "blob-type", "a blob must be a regular file"));
            } else if !walk.has_seen(&digest) {
                unread.push((path, object, digest));
            }
        }
        for ((_, object, digest), hashed) in unread.iter().zip(hash_all(&unread)) {
            let (found, bytes) = hashed?;
            walk.count(bytes);
            if found != *digest {
                walk.add(Finding::new(object, "digest-mismatch", format!("its content has digest {found}")));
            }
        }
    }
    Ok(())
}

/// The digest and size of each, several at a time.
fn hash_all(files: &[(PathBuf, String, Digest)]) -> Vec<Result<(Digest, u64), FileError>> {
    let each = files.len().div_ceil(available_parallelism().map_or(1, usize::from)).max(1);
    thread::scope(|scope| {
        let hash = |part: &[(PathBuf, String, Digest)]| part.iter().map(|(path, _, digest)| hash(path, digest)).collect();
        let parts: Vec<_> = files.chunks(each).map(|part| scope.spawn(move || -> Vec<_> { hash(part) })).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

fn hash(path: &Path, digest: &Digest) -> Result<(Digest, u64), FileError> {
    let mut hasher = Hasher::with(digest.algorithm());
    let mut file = File::open(path).map_err(FileError::at("read", path))?;
    hasher.update_from(&mut file).map_err(FileError::at("read", path))?;
    let bytes = file.metadata().map_err(FileError::at("read", path))?.len();
    Ok((hasher.finish(), bytes))
}

fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}
