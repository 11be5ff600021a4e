//! A directory whose files are the objects, for a web server.
//!
//! A web server tells the type of a file by its name, and these names are given. So every manifest lies a second time below
//! `_r/types/`, under its own path with an extension that says what it is: a server that is told four extensions and to look
//! there first serves it right. The second file changes before the first, and one that would be found before it is removed
//! before that: a server that looks there sees a tag move at one moment, like everybody else.
//!
//! Writers of documents take turns by a lock; a version is a digest.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use super::BASE;
use super::objects::{Entry, Kind, Object, Objects};
use crate::documents::{Descriptor, MANIFEST_LIMIT, media_type};
use crate::fs::lock::Lock;
use crate::fs::{FileError, TEMP_PREFIX, TempFile, create_dirs, sorted_listing, sweep, sync_dir};
use crate::stores::registry::Condition;
use crate::stores::{Reopen, StoreError};
use crate::values::digest::Digest;

/// The object `v2/`: what every web server sends where a directory is asked for.
pub(super) const BASE_FILE: &str = "v2/index.html";
/// What is being written.
const UPLOADS: &str = "_r/up";
const LOCK: &str = "_r/lock";
const TYPES: &str = "_r/types";

/// The extensions below `_r/types/`, in the order in which a server is to look for them.
const EXTENSIONS: [(&str, &str); 4] = [
    (media_type::INDEX, "index"),
    (media_type::MANIFEST, "manifest"),
    (media_type::DOCKER_LIST, "docker-list"),
    (media_type::DOCKER_MANIFEST, "docker-manifest"),
];

/// A directory.
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// The directory at a path. Nothing is made yet.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.join(if key == BASE { BASE_FILE } else { key })
    }

    fn key(&self, path: &Path) -> Option<String> {
        let key = path.strip_prefix(&self.root).ok()?.to_str()?;
        Some(if key == BASE_FILE { BASE } else { key }.to_owned())
    }

    /// An object and its size.
    pub fn file(&self, key: &str) -> Result<Option<(File, u64)>, StoreError> {
        let path = self.path(key);
        match File::open(&path).and_then(|file| file.metadata().map(|found| (file, found))) {
            Ok((file, found)) if found.is_file() => Ok(Some((file, found.len()))),
            Ok(_) => Ok(None),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(FileError::at("read", &path)(error).into()),
        }
    }

    /// A new file that has no name yet.
    pub fn begin(&self) -> Result<TempFile, StoreError> {
        let dir = self.root.join(UPLOADS);
        create_dirs(&dir)?;
        Ok(TempFile::new_in(&dir)?)
    }

    /// Makes a file the object of a key, durably. For blobs: what is beside a document is not written.
    pub fn settle(&self, temp: TempFile, key: &str) -> Result<(), StoreError> {
        Ok(name(temp, &self.path(key))?)
    }

    /// Gives an object a second key, durably.
    pub fn link(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let (from, to) = (self.path(from), self.path(to));
        let dir = to.parent().unwrap_or(Path::new("."));
        create_dirs(dir)?;
        match fs::hard_link(&from, &to) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(FileError::at("link", &to)(error).into()),
            _ => Ok(sync_dir(dir)?),
        }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let mut temp = self.begin()?;
        temp.write_all(bytes).map_err(FileError::at("write", path))?;
        Ok(name(temp, path)?)
    }

    fn types(&self, key: &str) -> impl Iterator<Item = (&'static str, PathBuf)> {
        let path = self.root.join(TYPES).join(key);
        EXTENSIONS.into_iter().map(move |(media_type, extension)| {
            let mut path = path.clone().into_os_string();
            path.push(format!(".{extension}"));
            (media_type, PathBuf::from(path))
        })
    }

    fn collect(&self, dir: &Path, prefix: &str, found: &mut Vec<Entry>) -> Result<(), StoreError> {
        for name in sorted_listing(dir)? {
            let path = dir.join(&name);
            let failed = FileError::at("read", &path);
            let metadata = match fs::symlink_metadata(&path) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error).into()),
            };
            if metadata.is_dir() {
                self.collect(&path, prefix, found)?;
            } else if metadata.is_file()
                && !name.to_string_lossy().starts_with(TEMP_PREFIX)
                && let Some(key) = self.key(&path).filter(|key| key.starts_with(prefix))
            {
                let modified = metadata.modified().map_err(failed)?;
                found.push(Entry { key, size: metadata.len(), modified });
            }
        }
        Ok(())
    }
}

/// Gives a file its name, durably.
fn name(temp: TempFile, path: &Path) -> Result<(), FileError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    create_dirs(dir)?;
    temp.persist(path, 0o644)?;
    sync_dir(dir)
}

fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::at("remove", path)(error)),
        _ => Ok(()),
    }
}

impl Objects for Directory {
    fn name(&self) -> String {
        self.root.display().to_string()
    }

    fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        let Some((file, size)) = self.file(key)? else { return Ok(None) };
        if size > MANIFEST_LIMIT {
            return Err(StoreError::TooLarge { object: key.to_owned(), size, limit: MANIFEST_LIMIT });
        }
        let mut bytes = Vec::new();
        file.take(MANIFEST_LIMIT).read_to_end(&mut bytes).map_err(FileError::at("read", &self.path(key)))?;
        Ok(Some(Object { version: Digest::of(&bytes).to_string(), bytes, content_type: None }))
    }

    fn open(&self, key: &str) -> Result<Option<Box<dyn Read + Send + '_>>, StoreError> {
        Ok(self.file(key)?.map(|(file, _)| Box::new(file) as Box<dyn Read + Send>))
    }

    fn size(&self, key: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.file(key)?.map(|(_, size)| size))
    }

    fn put(&self, key: &str, kind: &Kind, bytes: &[u8], condition: &Condition) -> Result<bool, StoreError> {
        let lock = self.root.join(LOCK);
        create_dirs(&self.root.join(UPLOADS))?;
        let _lock = Lock::exclusive(&lock, || {})?;
        let holds = match condition {
            Condition::None => true,
            Condition::Absent => self.size(key)?.is_none(),
            Condition::Unchanged(version) => self.get(key)?.is_some_and(|now| now.version == *version),
        };
        if !holds {
            return Ok(false);
        }
        if EXTENSIONS.iter().any(|(media_type, _)| *media_type == kind.content_type) && key.contains("/manifests/") {
            if let Some((_, path)) = self.types(key).find(|(media_type, _)| *media_type == kind.content_type) {
                self.write(&path, bytes)?;
            }
            for (_, path) in self.types(key).filter(|(media_type, _)| *media_type != kind.content_type) {
                remove(&path)?;
            }
        }
        self.write(&self.path(key), bytes)?;
        Ok(true)
    }

    fn put_blob(&self, key: &str, blob: &Descriptor, open: &Reopen<'_>) -> Result<(), StoreError> {
        // What others have left in the middle.
        sweep(&self.root.join(UPLOADS));
        let (mut temp, path) = (self.begin()?, self.path(key));
        crate::stores::write_blob(blob, &mut *open()?, &mut temp)?;
        Ok(name(temp, &path)?)
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        remove(&self.path(key))?;
        self.types(key).try_for_each(|(_, path)| remove(&path))?;
        Ok(())
    }

    fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        let (dir, _) = prefix.rsplit_once('/').unwrap_or_default();
        let (dir, mut found) = (self.root.join(dir), Vec::new());
        if dir.is_dir() {
            self.collect(&dir, prefix, &mut found)?;
        }
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    fn parallelism(&self) -> usize {
        1
    }
}
