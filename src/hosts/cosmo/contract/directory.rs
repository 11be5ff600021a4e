//! A contract as files, where `wgc router compose` looks for them.
//!
//! It takes a plugin's directory (`plugin.path` of its input), reads three places in it whatever else the package says, and
//! calls the plugin by the directory's name (`wgc` 0.112, `dist/src/commands/router/commands/compose.js`).
//!
//! Every file is durable before the first gets its name. A directory that was not there appears whole, by one rename; in one
//! that was, each file is the old one or the new one. What has other content is left, unless that is asked for; a link is
//! never followed.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::Contract;
use plugin_oci::failure::{Class, Error, Failure};
use plugin_oci::fs::anchor::Anchor;
use plugin_oci::fs::{FileError, TempDir, TempFile, create_dirs, set_mode, sync_dir};

pub const SCHEMA: &str = "src/schema.graphql";
pub const PROTO: &str = "generated/service.proto";
pub const MAPPING: &str = "generated/mapping.json";
/// The field numbers to keep, which composing does not read.
pub const LOCK: &str = "generated/service.proto.lock.json";

pub fn read(dir: &Path) -> Result<Contract, Error> {
    let file = |place: &str| {
        let path = dir.join(place);
        fs::read(&path).map_err(FileError::at("read", &path))
    };
    let lock = match file(LOCK) {
        Err(error) if error.source.kind() == io::ErrorKind::NotFound => None,
        read => Some(read?),
    };
    Ok(Contract { schema: file(SCHEMA)?, proto: file(PROTO)?, mapping: file(MAPPING)?, lock })
}

/// The first of these files (schema, proto, mapping) that composing would not find, or would find with other content, in a
/// package's directory: the place where it looks.
pub fn misplaced(dir: &Path, files: [&Path; 3]) -> Option<&'static str> {
    let is_there = |(place, file): &(&'static str, &Path)| {
        let looked = dir.join(place);
        looked == *file || fs::read(looked).ok().zip(fs::read(file).ok()).is_some_and(|(one, other)| one == other)
    };
    [SCHEMA, PROTO, MAPPING].into_iter().zip(files).find(|pair| !is_there(pair)).map(|(place, _)| place)
}

/// Writes a contract to a directory; the files, changed or not.
pub fn write(contract: &Contract, dir: &Path, force: bool) -> Result<Vec<PathBuf>, Error> {
    let files = [(SCHEMA, Some(&contract.schema)), (PROTO, Some(&contract.proto)), (MAPPING, Some(&contract.mapping))];
    let files: Vec<(&str, Option<&Vec<u8>>)> = files.into_iter().chain([(LOCK, contract.lock.as_ref())]).collect();
    if dir.symlink_metadata().is_ok() {
        write_into(&files, dir, force)?;
    } else {
        write_new(&files, dir)?;
    }
    Ok(files.iter().filter(|(_, bytes)| bytes.is_some()).map(|(place, _)| dir.join(place)).collect())
}

fn write_new(files: &[(&str, Option<&Vec<u8>>)], dir: &Path) -> Result<(), Error> {
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_dirs(parent)?;
    let staged = TempDir::new_in(tempfile::Builder::new().prefix(".plugin-build-"), parent)?;
    write_into(files, staged.path(), false)?;
    set_mode(staged.path(), 0o755)?;
    staged.persist(dir)?;
    Ok(sync_dir(parent)?)
}

/// What is to happen at a place.
enum Step {
    Write(TempFile),
    Remove,
}

fn write_into(files: &[(&str, Option<&Vec<u8>>)], dir: &Path, force: bool) -> Result<(), Error> {
    let root = Anchor::open(dir).map_err(FileError::at("open", dir))?;
    let (src, generated) = (root.make("src")?, root.make("generated")?);
    let anchor = |place: &str| if place.starts_with("src/") { &src } else { &generated };
    let mut steps = Vec::new();
    let mut differing = Vec::new();
    for (place, bytes) in files {
        let (folder, name) = (anchor(place), place.rsplit('/').next().unwrap_or(place));
        let (path, shown) = (folder.at(name), folder.shown(name));
        if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
            return Err(DirectoryError::InTheWay { path: shown }.into());
        }
        let found = match fs::read(&path) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(FileError::at("read", &shown)(error).into()),
        };
        let step = match bytes {
            _ if found.as_ref() == *bytes => continue,
            Some(bytes) => {
                let mut temp = TempFile::new_in(&folder.base())?;
                temp.write_all(bytes).map_err(FileError::at("write", &shown))?;
                Step::Write(temp)
            }
            // Numbers of another contract would be given to this one's fields.
            None => Step::Remove,
        };
        if found.is_some() {
            differing.push(shown);
        }
        steps.push((path, step));
    }
    if !force && !differing.is_empty() {
        return Err(DirectoryError::Differs { paths: differing }.into());
    }
    for (path, step) in steps {
        match step {
            Step::Write(temp) => temp.persist(&path, 0o644)?,
            Step::Remove => fs::remove_file(&path).map_err(FileError::at("remove", &path))?,
        }
    }
    for folder in [&src, &generated, &root] {
        sync_dir(&folder.base())?;
    }
    Ok(())
}

/// Why a directory is not read or written.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// There are files with other content.
    #[error("{} would be overwritten with other content", shown(paths))]
    Differs { paths: Vec<PathBuf> },
    /// A link or a directory has the name of a file.
    #[error("`{}` is no regular file", path.display())]
    InTheWay { path: PathBuf },
}

fn shown(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", ")
}

impl Failure for DirectoryError {
    fn class(&self) -> Class {
        Class::Failed
    }
}
