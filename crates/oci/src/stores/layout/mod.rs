//! OCI image layout directories (image-spec, `image-layout.md`).
//!
//! ```text
//! oci-layout               {"imageLayoutVersion":"1.0.0"}
//! index.json               tags -> descriptors
//! blobs/sha256/<hex>       content under its digest
//! .plugin-build.builds     what was built into it, the last one last
//! .plugin-build.lock       empty; writers hold an exclusive flock on it
//! .plugin-build-*          temporary files, each under a flock of its own
//! ```
//!
//! Readers take no lock, because everything appears by rename: blobs first, `index.json` last. A crash at any instant
//! leaves every tag wholly old or wholly new; temporary files that nobody holds go at the next commit.

mod builds;
mod index_file;
mod listing;
mod part;
mod reach;
mod writer;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use builds::Build;
pub use index_file::IndexFile;
pub(super) use listing::Listing;
pub use reach::{Reachable, reachable};
pub(super) use writer::change_tags;
pub use writer::{LayoutWriter, Obsolete};

use super::{Selector, Source, StoreError, Tagged, read_document};
use crate::documents::{self, Descriptor, json};
use crate::fs::FileError;
use crate::fs::stamps::Stamp;
use crate::values::digest::{Digest, Hasher};

/// Name of the lock file, which also never goes into an archive.
pub const LOCK_FILE: &str = ".plugin-build.lock";
/// The file that marks a layout.
pub const MARKER_FILE: &str = "oci-layout";
/// Content of the marker file.
pub const MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// The file that holds the tags.
pub const INDEX_FILE: &str = "index.json";
/// The directory of the blobs.
const BLOBS: &str = "blobs";

/// A layout that exists.
#[derive(Clone, Debug)]
pub struct Layout {
    dir: PathBuf,
    /// What `index.json` listed when it looked like this.
    listed: Arc<Mutex<Option<Known>>>,
}

/// How an `index.json` looked, and what it listed then.
type Known = (Stamp, Arc<Listing>);

impl Layout {
    /// Opens a directory, checking that it is a layout of a known version.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let layout = Self::at(dir);
        layout.check_marker()?;
        Ok(layout)
    }

    /// The layout at a directory, unchecked.
    fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), listed: Arc::default() }
    }

    /// Opens a directory that is a layout already; `None` where there is nothing yet, an empty directory, or what a first
    /// commit leaves that ended before it had written an index.
    pub fn open_existing(dir: &Path) -> Result<Option<Self>, StoreError> {
        let begun = |name: &OsString| name.to_string_lossy().starts_with(".plugin-build") || name == BLOBS;
        match crate::fs::sorted_listing(dir) {
            Ok(names) if names.iter().all(begun) => Ok(None),
            Ok(names) => {
                let layout = Self::open(dir)?;
                let whole = names.iter().any(|name| name != MARKER_FILE && !begun(name));
                Ok(whole.then_some(layout))
            }
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.source.kind() == io::ErrorKind::NotADirectory => {
                Err(StoreError::NotALayout { path: dir.to_owned(), reason: "it is no directory".to_owned() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where a blob lies. The only place that makes such a path: a digest holds nothing but its grammar.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(BLOBS).join(digest.algorithm().as_str()).join(digest.hex())
    }

    /// Reads `index.json`.
    pub fn index(&self) -> Result<IndexFile, StoreError> {
        IndexFile::read(&self.dir)
    }

    /// What `index.json` lists now: read again only where another writer has replaced it.
    fn listing(&self) -> Result<Arc<Listing>, StoreError> {
        let stamp = self.dir.join(INDEX_FILE).canonicalize().ok().and_then(|path| Stamp::of(&path));
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = listed.as_ref().filter(|(then, _)| Some(*then) == stamp) {
            return Ok(known.clone());
        }
        let listing = Arc::new(Listing::of(&self.index()?)?);
        *listed = stamp.map(|stamp| (stamp, listing.clone()));
        Ok(listing)
    }

    /// Whether a blob is there with its size and digest right.
    pub fn is_sound(&self, descriptor: &Descriptor) -> Result<bool, StoreError> {
        let path = self.blob_path(&descriptor.digest);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() && found.len() == descriptor.size => {}
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(FileError::at("read", &path)(error).into()),
        }
        let mut file = File::open(&path).map_err(FileError::at("read", &path))?;
        let mut hasher = Hasher::with(descriptor.digest.algorithm());
        hasher.update_from(&mut file).map_err(FileError::at("read", &path))?;
        Ok(hasher.finish() == descriptor.digest)
    }

    /// Every digest that lies below `blobs/`, sorted.
    pub fn blobs(&self) -> Result<Vec<Digest>, StoreError> {
        let mut digests = Vec::new();
        for algorithm in ["sha256", "sha512"] {
            let dir = self.dir.join(BLOBS).join(algorithm);
            if !dir.is_dir() {
                continue;
            }
            for name in crate::fs::sorted_listing(&dir)? {
                digests.extend(name.to_str().and_then(|hex| format!("{algorithm}:{hex}").parse::<Digest>().ok()));
            }
        }
        Ok(digests)
    }

    /// Before anything is removed: what a linked directory holds may belong to another layout.
    fn check_blob_dirs(&self) -> Result<(), StoreError> {
        let blobs = self.dir.join(BLOBS);
        let dirs = [blobs.join("sha256"), blobs.join("sha512"), blobs];
        match dirs.into_iter().find(|dir| dir.is_symlink()) {
            None => Ok(()),
            Some(path) => {
                let source = io::Error::other("it is a symbolic link, and another layout may need what it leads to");
                Err(FileError { what: "remove blobs from", path, source }.into())
            }
        }
    }

    fn check_marker(&self) -> Result<(), StoreError> {
        let not_a_layout = |reason: String| StoreError::NotALayout { path: self.dir.clone(), reason };
        let path = self.dir.join(MARKER_FILE);
        let bytes = match read_top(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.dir.is_dir() => {
                return Err(not_a_layout(format!("it has no `{MARKER_FILE}` file")));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(not_a_layout("there is no such directory".to_owned()));
            }
            Err(error) => return Err(FileError::at("read", &path)(error).into()),
        };
        check_marker(&bytes).map_err(not_a_layout)
    }
}

/// Reads a file at the top of a layout: one byte more than any of them may have, and nothing that would be waited for.
fn read_top(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(documents::MANIFEST_LIMIT + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Checks the content of the marker file; what is wrong with it otherwise.
pub(super) fn check_marker(bytes: &[u8]) -> Result<(), String> {
    let marker: oci_spec::image::OciLayout = json::parse_as(bytes).map_err(|error| format!("`{MARKER_FILE}`: {error}"))?;
    match marker.image_layout_version().as_str() {
        "1.0.0" => Ok(()),
        other => Err(format!("its version is `{}`, only 1.0.0 is known", other.escape_debug())),
    }
}

impl Source for Layout {
    fn name(&self) -> String {
        format!("oci:{}", self.dir.display())
    }

    fn tags(&self) -> Result<Vec<Tagged>, StoreError> {
        Ok(self.listing()?.tags().to_vec())
    }

    fn untagged(&self) -> Result<Vec<Descriptor>, StoreError> {
        self.listing()?.roots(self)
    }

    fn resolve(&self, selector: &Selector) -> Result<Descriptor, StoreError> {
        let listing = self.listing()?;
        match listing.resolve(self, selector) {
            // Of several images the one that was built last is meant.
            Err(ambiguous @ StoreError::Ambiguous { .. }) => match self.builds().pop() {
                Some(last) => listing.resolve(self, &Selector::Digest(last.digest)),
                None => Err(ambiguous),
            },
            found => found,
        }
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, StoreError> {
        let path = self.blob_path(&descriptor.digest);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => Ok(Box::new(File::open(&path).map_err(FileError::at("read", &path))?)),
            Ok(found) => {
                let what = if found.is_symlink() { "a symbolic link" } else { "not a regular file" };
                let source = io::Error::other(format!("it is {what}, and a blob must be a file of its own"));
                Err(StoreError::NotAFile { path, source })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::MissingBlob { store: self.name(), digest: descriptor.digest.to_string() })
            }
            Err(error) => Err(FileError::at("read", &path)(error).into()),
        }
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        self.listing()?.referrers(self, subject)
    }
}
