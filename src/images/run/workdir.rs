//! Where an image lies while it runs: a directory named by the digest of the platform's manifest, kept for the next run.
//!
//! ```text
//! <cache>/sha256-<hex>/        the image's root
//! <cache>/sha256-<hex>.json    what was put there: every path with its kind, mode and digest
//! <cache>/sha256-<hex>.lock    held while the two above are looked at or made
//! ```
//!
//! The images that ran last stay, sixteen of them; what ran before goes with the next start, and everything with [`clear`].
//!
//! Before every start the directory is compared with the record, file by file; one that differs in anything, because the
//! last run wrote into it or somebody changed it, is made anew from the image. The record appears after the directory,
//! so that a crash leaves a directory without one, which counts as different. Who may write here may also change a
//! program after the check: the cache must belong to the user.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::RunOptions;
use crate::build::kinds::Kind;
use crate::images::install::survey::{Survey, survey_at};
use crate::images::unpack::{UnpackOptions, unpack};
use plugin_oci::documents::json;
use plugin_oci::failure::Error;
use plugin_oci::fs::lock::Lock;
use plugin_oci::fs::{FileError, create_dirs, sorted_listing, write_atomically};
use plugin_oci::layers::unpack::{ExtractOptions, Limits, Rules};
use plugin_oci::progress::Progress;
use plugin_oci::stores::{Selector, Source};
use plugin_oci::values::digest::Digest;

/// How many images stay.
const KEPT: usize = 16;

/// Version of the record.
const SCHEMA: u64 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    schema: u64,
    files: Survey,
}

/// The image's directory, as the image is.
pub(super) fn ready(
    source: &dyn Source,
    manifest: &Digest,
    kind: Kind,
    options: &RunOptions,
    progress: &dyn Progress,
) -> Result<PathBuf, Error> {
    create_private(&options.cache)?;
    let name = format!("{}-{}", manifest.algorithm().as_str(), manifest.hex());
    let (dir, record) = (options.cache.join(&name), options.cache.join(format!("{name}.json")));
    let waiting = || progress.detail(format!("waiting for another run of {manifest}"));
    let lock_file = options.cache.join(format!("{name}.lock"));
    let _lock = Lock::exclusive(&lock_file, waiting)?;
    // Its time says when an image ran last.
    fs::File::create(&lock_file).map_err(FileError::at("write", &lock_file))?;
    let older = entries(&options.cache)?.into_iter().filter(|entry| *entry != name).skip(KEPT - 1);
    older.for_each(|name| drop(forget(&options.cache, &name)));
    if dir.symlink_metadata().is_ok() {
        if is_as_recorded(&dir, &record) {
            progress.detail(format!("{} is as the image says", dir.display()));
            return Ok(dir);
        }
        progress.detail(format!("{} is not as the image says, and is made anew", dir.display()));
        remove(&dir, &record)?;
    }
    // What the router would not extract, or would extract otherwise, is refused for its plugins.
    let rules = if kind == Kind::CosmoRouter { Rules::Strict } else { Rules::Foreign };
    let unpack_options = UnpackOptions {
        selector: Selector::Digest(manifest.clone()),
        platform: options.platform.clone(),
        target: dir.clone(),
        extract: ExtractOptions { limits: Limits::default(), rules },
    };
    unpack(source, &unpack_options, progress)?;
    let content = Record { schema: SCHEMA, files: survey_at(&dir)? };
    write_atomically(&record, &json::serialize(&content)?)?;
    progress.status("Unpacked", format!("{manifest} to {}", dir.display()));
    Ok(dir)
}

/// The images in a cache, those that ran last first.
fn entries(cache: &Path) -> Result<Vec<String>, FileError> {
    let mut found = Vec::new();
    for file in sorted_listing(cache)? {
        let Some(name) = file.to_str().and_then(|name| name.strip_suffix(".lock")).filter(|name| name.starts_with("sha")) else {
            continue;
        };
        let ran = fs::symlink_metadata(cache.join(&file)).and_then(|metadata| metadata.modified()).ok();
        found.push((std::cmp::Reverse(ran), name.to_owned()));
    }
    found.sort();
    Ok(found.into_iter().map(|(_, name)| name).collect())
}

/// Removes one image from a cache.
fn forget(cache: &Path, name: &str) -> Result<(), FileError> {
    let (dir, lock_file) = (cache.join(name), cache.join(format!("{name}.lock")));
    let _lock = Lock::exclusive(&lock_file, || ())?;
    if dir.symlink_metadata().is_ok() {
        remove(&dir, &cache.join(format!("{name}.json")))?;
    }
    fs::remove_file(&lock_file).map_err(FileError::at("remove", &lock_file))
}

/// Removes everything that ran; how many images that were.
pub fn clear(cache: &Path) -> Result<usize, Error> {
    if !cache.is_dir() {
        return Ok(0);
    }
    create_private(cache)?;
    let entries = entries(cache)?;
    entries.iter().try_for_each(|name| forget(cache, name))?;
    Ok(entries.len())
}

fn is_as_recorded(dir: &Path, record: &Path) -> bool {
    let recorded = fs::read(record).ok().and_then(|bytes| json::parse_as::<Record>(&bytes).ok());
    recorded.is_some_and(|recorded| recorded.schema == SCHEMA && survey_at(dir).is_ok_and(|found| found == recorded.files))
}

/// Takes a directory away in one step, under the eyes of whatever may still run in it, then file by file.
fn remove(dir: &Path, record: &Path) -> Result<(), FileError> {
    drop(fs::remove_file(record));
    let mut aside = dir.as_os_str().to_owned();
    aside.push(".old");
    let aside = PathBuf::from(aside);
    drop(remove_tree(&aside));
    fs::rename(dir, &aside).map_err(FileError::at("remove", dir))?;
    remove_tree(&aside).map_err(FileError::at("remove", &aside))
}

/// Removes a tree in which directories may be read-only.
pub fn remove_tree(root: &Path) -> std::io::Result<()> {
    for entry in walkdir::WalkDir::new(root).into_iter().flatten().filter(|entry| entry.file_type().is_dir()) {
        drop(plugin_oci::fs::set_mode(entry.path(), 0o700));
    }
    fs::remove_dir_all(root)
}

/// Makes the cache, and sees that nobody else can write to it.
fn create_private(cache: &Path) -> Result<(), Error> {
    if !cache.is_dir() {
        create_dirs(cache)?;
        plugin_oci::fs::set_mode(cache, 0o700)?;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let found = fs::symlink_metadata(cache).map_err(FileError::at("read", cache))?;
        let mine = found.uid() == nix::unistd::geteuid().as_raw();
        if !found.is_dir() || !mine || found.mode() & 0o022 != 0 {
            return Err(super::RunError::OpenCache { path: cache.to_owned() }.into());
        }
    }
    Ok(())
}
