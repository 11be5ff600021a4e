//! Where an image lies while it runs: a directory named by the digest of the platform's manifest, kept for the next run.
//!
//! ```text
//! <cache>/sha256-<hex>/        the image's root
//! <cache>/sha256-<hex>.json    what was put there: every path with its kind, mode and digest
//! <cache>/sha256-<hex>.lock    held while the two above are looked at or made
//! ```
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
use plugin_oci::fs::{FileError, create_dirs, write_atomically};
use plugin_oci::layers::unpack::{ExtractOptions, Limits, Rules};
use plugin_oci::progress::Progress;
use plugin_oci::stores::{Selector, Source};
use plugin_oci::values::digest::Digest;

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
    let _lock = Lock::exclusive(&options.cache.join(format!("{name}.lock")), waiting)?;
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
