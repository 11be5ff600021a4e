//! Writing an archive: content to temporary files beside it, then the whole tar at once.
//!
//! The same content gives the same bytes, whatever was there before: `oci-layout`, `index.json`, then the blobs that the
//! index reaches, sorted; mode 0644, directories 0755, owner 0, time 0. What is in the archive already is kept as far as its
//! tags reach it; blobs that a delta leaves out are left out. Files that are no part of a layout do not survive.
//!
//! The commit locks the directory that the archive is in, reads the archive anew, writes a temporary file, syncs and renames
//! it. A crash leaves the old archive, or none.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Archive, BLOBS, StoreError};
use crate::documents::{Descriptor, Document};
use crate::fs::lock::Lock;
use crate::fs::{self as durable, FileError, TempFile};
use crate::progress::{Event, Outcome, Progress};
use crate::stores::error::UNKNOWN;
use crate::stores::layout::{INDEX_FILE, IndexFile, MARKER, MARKER_FILE, change_tags};
use crate::stores::{Commit, Selector, Sink, Source, TagChange, Tagged, Verified, read_document};
use crate::values::digest::Digest;

/// The writing end of an archive.
pub struct ArchiveWriter<'a> {
    path: PathBuf,
    existing: Option<Archive>,
    staged: Mutex<BTreeMap<Digest, (u64, TempFile)>>,
    progress: &'a dyn Progress,
}

impl<'a> ArchiveWriter<'a> {
    /// Prepares to write the archive at `path`, or to add to it. Nothing is made or changed yet.
    pub fn new(path: &Path, progress: &'a dyn Progress) -> Result<Self, StoreError> {
        Ok(Self { path: path.to_owned(), existing: existing(path)?, staged: Mutex::default(), progress })
    }

    fn dir(&self) -> &Path {
        self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    fn staged(&self) -> MutexGuard<'_, BTreeMap<Digest, (u64, TempFile)>> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stage(&self, descriptor: &Descriptor, file: TempFile) -> Outcome {
        self.staged().insert(descriptor.digest.clone(), (descriptor.size, file));
        Outcome::Copied
    }

    fn write(&self, index: &IndexFile, content: &Content) -> Result<(), StoreError> {
        let writing = |error| StoreError::from(FileError::at("write", &self.path)(error));
        let (top, blobs) = (index.to_file()?, content.reachable(index)?);
        if blobs.len() > BLOBS {
            let (object, count, limit) = (self.path.display().to_string(), blobs.len() as u64, BLOBS as u64);
            return Err(StoreError::Full { object, count, of: "blobs", limit });
        }
        let mut temp = TempFile::new_in(self.dir())?;
        let mut tar = tar::Builder::new(io::BufWriter::with_capacity(256 << 10, &mut temp));
        append_bytes(&mut tar, MARKER_FILE, MARKER).map_err(writing)?;
        append_bytes(&mut tar, INDEX_FILE, &top).map_err(writing)?;
        append_dir(&mut tar, "blobs/").map_err(writing)?;
        let mut algorithm = None;
        for (digest, size) in blobs {
            if algorithm.replace(digest.algorithm()) != Some(digest.algorithm()) {
                append_dir(&mut tar, &format!("blobs/{}/", digest.algorithm().as_str())).map_err(writing)?;
            }
            let descriptor = Descriptor::new("application/octet-stream", digest, size);
            let mut reader = Recorded { inner: Verified::new(content.open(&descriptor)?, &descriptor), failure: None };
            let outcome = append_blob(&mut tar, &descriptor, &mut reader);
            if let Some(failure) = reader.failure {
                return Err(StoreError::reading(&content.name(), &descriptor, failure));
            }
            outcome.map_err(writing)?;
        }
        tar.into_inner().and_then(|mut buffer| buffer.flush()).map_err(writing)?;
        temp.persist(&self.path, 0o644)?;
        durable::sync_dir(self.dir())?;
        self.progress.event(Event::Wrote { path: self.path.display().to_string() });
        Ok(())
    }
}

impl Sink for ArchiveWriter<'_> {
    fn name(&self) -> String {
        format!("oci-archive:{}", self.path.display())
    }

    fn contains(&self, descriptor: &Descriptor) -> Result<bool, StoreError> {
        if self.staged().contains_key(&descriptor.digest) {
            return Ok(true);
        }
        let Some(section) = self.existing.as_ref().and_then(|archive| archive.section(&descriptor.digest)) else {
            return Ok(false);
        };
        Ok(io::copy(&mut Verified::new(section, descriptor), &mut io::sink()).is_ok())
    }

    fn put_blob(&self, descriptor: &Descriptor, content: &mut (dyn Read + Send)) -> Result<Outcome, StoreError> {
        durable::create_dirs(self.dir())?;
        let mut temp = TempFile::new_in(self.dir())?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            match content.read(&mut buffer) {
                Ok(0) => return Ok(self.stage(descriptor, temp)),
                Ok(count) => temp.write_all(&buffer[..count]).map_err(FileError::at("write", temp.path()))?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StoreError::reading(UNKNOWN, descriptor, error)),
            }
        }
    }

    fn put_manifest(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<Outcome, StoreError> {
        if self.contains(descriptor)? { Ok(Outcome::Present) } else { self.put_blob(descriptor, &mut &*bytes) }
    }

    fn adopt(&self, descriptor: &Descriptor, staged: TempFile) -> Result<Outcome, StoreError> {
        if self.contains(descriptor)? { Ok(Outcome::Present) } else { Ok(self.stage(descriptor, staged)) }
    }

    fn parallelism(&self) -> usize {
        std::thread::available_parallelism().map_or(2, usize::from).min(4)
    }

    fn commit(&self, commit: &Commit) -> Result<Vec<TagChange>, StoreError> {
        durable::create_dirs(self.dir())?;
        let waiting = || self.progress.status("Blocking", format!("waiting for the lock on {}", self.dir().display()));
        let _lock = Lock::directory(self.dir(), waiting)?;
        durable::sweep(self.dir());
        let existing = existing(&self.path)?;
        let before = existing.as_ref().map_or_else(|| IndexFile::empty(&self.path), |archive| archive.index().clone());
        let mut index = before.clone();
        let changes = change_tags(&mut index, commit, &self.name())?;
        let staged = std::mem::take(&mut *self.staged());
        if existing.is_none() || index != before || !staged.is_empty() {
            self.write(&index, &Content { existing, staged })?;
        }
        Ok(changes)
    }
}

/// What may go into the new archive: what was staged, and what the old one has.
struct Content {
    existing: Option<Archive>,
    staged: BTreeMap<Digest, (u64, TempFile)>,
}

impl Content {
    /// Every blob that the index reaches and that is here, with its size.
    fn reachable(&self, index: &IndexFile) -> Result<BTreeMap<Digest, u64>, StoreError> {
        let mut found = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut next = index.entries()?;
        while let Some(descriptor) = next.pop() {
            // The same bytes may be called a blob elsewhere.
            if !seen.insert((descriptor.digest.clone(), descriptor.is_manifest_or_index())) {
                continue;
            }
            let Some(size) = self.size_of(&descriptor.digest) else { continue };
            found.insert(descriptor.digest.clone(), size);
            if descriptor.is_manifest_or_index() {
                match read_document(self, &descriptor)?.0 {
                    Document::Index(index) => next.extend(index.manifests),
                    // What a manifest points at is a blob, whatever media type it claims.
                    Document::Manifest(manifest) => {
                        for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
                            if let Some(size) = self.size_of(&blob.digest) {
                                found.insert(blob.digest.clone(), size);
                            }
                        }
                    }
                }
            }
        }
        Ok(found)
    }

    fn size_of(&self, digest: &Digest) -> Option<u64> {
        let old = || self.existing.as_ref()?.blobs.get(digest).map(|place| place.size);
        self.staged.get(digest).map(|(size, _)| *size).or_else(old)
    }
}

impl Source for Content {
    fn name(&self) -> String {
        self.existing.as_ref().map_or_else(|| "the new archive".to_owned(), Archive::name)
    }

    fn tags(&self) -> Result<Vec<Tagged>, StoreError> {
        Ok(Vec::new())
    }

    fn resolve(&self, selector: &Selector) -> Result<Descriptor, StoreError> {
        Err(StoreError::NotFound { store: self.name(), wanted: format!("{selector:?}"), available: Vec::new() })
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, StoreError> {
        if let Some((_, file)) = self.staged.get(&descriptor.digest) {
            return Ok(Box::new(file.reopen()?));
        }
        match self.existing.as_ref().and_then(|archive| archive.section(&descriptor.digest)) {
            Some(section) => Ok(Box::new(section)),
            None => Err(StoreError::MissingBlob { store: self.name(), digest: descriptor.digest.to_string() }),
        }
    }

    fn referrers(&self, _subject: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        Ok(Vec::new())
    }
}

/// Keeps the error of the reader apart from the writer's.
struct Recorded<R> {
    inner: R,
    failure: Option<io::Error>,
}

impl<R: Read> Read for Recorded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| {
            let shown = io::Error::new(error.kind(), error.to_string());
            self.failure = Some(error);
            shown
        })
    }
}

fn existing(path: &Path) -> Result<Option<Archive>, StoreError> {
    match std::fs::metadata(path) {
        Ok(_) => Archive::open(path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::at("read", path)(error).into()),
    }
}

/// A header that says nothing of this machine: owner 0, time 0.
pub fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header
}

/// Appends a file of mode 0644.
pub fn append_bytes<W: Write>(tar: &mut tar::Builder<W>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = header(tar::EntryType::Regular, 0o644, bytes.len() as u64);
    tar.append_data(&mut header, name, bytes)
}

/// Appends a directory of mode 0755.
pub fn append_dir<W: Write>(tar: &mut tar::Builder<W>, name: &str) -> io::Result<()> {
    let mut header = header(tar::EntryType::Directory, 0o755, 0);
    tar.append_data(&mut header, name, io::empty())
}

/// A blob under its name. A SHA-512 name is longer than ustar's field: it goes into a PAX record.
fn append_blob<W: Write>(tar: &mut tar::Builder<W>, blob: &Descriptor, content: &mut dyn Read) -> io::Result<()> {
    let name = format!("blobs/{}/{}", blob.digest.algorithm().as_str(), blob.digest.hex());
    let mut header = header(tar::EntryType::Regular, 0o644, blob.size);
    if header.set_path(&name).is_err() {
        tar.append_pax_extensions([("path", name.as_bytes())])?;
        header.set_path(&name[..100])?;
    }
    header.set_cksum();
    tar.append(&header, content)
}
