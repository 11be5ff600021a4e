//! An OCI image layout as one tar file (`oci-archive:` of containers-transports(5)).
//!
//! | file | holds |
//! |---|---|
//! | `mod.rs` | [`Archive`]: reading |
//! | `section.rs` | a part of a file that is read by position, from any thread |
//! | `writer.rs` | [`ArchiveWriter`]: writing, and adding to what is there |
//!
//! # Reading
//! The archive is walked once when it is opened; contents are left out by seeking. Only `oci-layout`, `index.json` and
//! `blobs/<algorithm>/<hex>` count; a leading `./` is stripped, other files are skipped. Memory: one entry per blob.
//!
//! | threat | defence |
//! |---|---|
//! | readers that disagree about sizes or names | the walker of [`untar`](crate::layers::tar), which refuses what is doubtful |
//! | a blob or `index.json` twice (readers take the first or the last) | refused |
//! | a link or directory under a blob's name | refused; links are never followed |
//! | endless entries | one million at most, of which 200,000 blobs |
//! | content that is not what its name says | [`Verified`](super::Verified), as everywhere |
//! | the file replaced while it is read | it stays open, and is read by position from that one handle |

mod section;
mod writer;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use writer::{ArchiveWriter, append_bytes, append_dir, header};

use self::section::Section;
use super::layout::{INDEX_FILE, IndexFile, Listing, MARKER_FILE, check_marker};
use super::{Selector, Source, StoreError, Tagged};
use crate::documents::{self, Descriptor};
use crate::fs::FileError;
use crate::layers::tar::{Flag, Stream, TarError, Walker, shown};
use crate::values::digest::Digest;

/// How many entries of a tar are looked at.
const ENTRIES: u64 = 1_000_000;
/// How many blobs are remembered: some thirty megabytes of them.
const BLOBS: usize = 200_000;

/// An archive that exists.
#[derive(Clone, Debug)]
pub struct Archive {
    path: PathBuf,
    file: Arc<File>,
    index: IndexFile,
    listing: Arc<Listing>,
    blobs: BTreeMap<Digest, Extent>,
}

/// Where in the file something lies.
#[derive(Clone, Copy, Debug)]
struct Extent {
    offset: u64,
    size: u64,
}

impl Archive {
    /// Opens an archive and finds everything in it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let not_one = |reason: String| StoreError::NotALayout { path: path.to_owned(), reason };
        // Before it is opened: a FIFO would be waited for.
        match std::fs::metadata(path) {
            Ok(found) if found.is_file() => {}
            Ok(found) if found.is_dir() => return Err(not_one("it is a directory".to_owned())),
            Ok(_) => return Err(not_one("it is neither a file nor a directory".to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(not_one("there is no such file".to_owned())),
            Err(error) => return Err(FileError::at("read", path)(error).into()),
        }
        let file = Arc::new(File::open(path).map_err(FileError::at("read", path))?);
        if let Some((kind, command)) = compression_of(&file) {
            return Err(not_one(format!("it is compressed with {kind}: `{command}` makes it one")));
        }
        let found = find(&file).map_err(|error| match error {
            WalkError::Tar(error) => not_one(error.to_string()),
            WalkError::Io(error) => FileError::at("read", path)(error).into(),
        })?;
        let document = |name: &str, place: Option<Extent>| -> Result<Vec<u8>, StoreError> {
            let place = place.ok_or_else(|| not_one(absent(name, &found)))?;
            if place.size > documents::MANIFEST_LIMIT {
                let object = format!("{}:{name}", path.display());
                return Err(StoreError::TooLarge { object, size: place.size, limit: documents::MANIFEST_LIMIT });
            }
            let mut bytes = Vec::new();
            Section::new(file.clone(), place.offset, place.size).read_to_end(&mut bytes).map_err(FileError::at("read", path))?;
            Ok(bytes)
        };
        check_marker(&document(MARKER_FILE, found.marker)?).map_err(not_one)?;
        let index = IndexFile::parse(&document(INDEX_FILE, found.index)?, format!("{}:{INDEX_FILE}", path.display()))?;
        let listing = Arc::new(Listing::of(&index)?);
        Ok(Self { path: path.to_owned(), file, index, listing, blobs: found.blobs })
    }

    /// Its index.
    pub fn index(&self) -> &IndexFile {
        &self.index
    }

    /// Every blob that it holds, sorted.
    pub fn blobs(&self) -> impl Iterator<Item = &Digest> {
        self.blobs.keys()
    }

    fn section(&self, digest: &Digest) -> Option<Section> {
        self.blobs.get(digest).map(|place| Section::new(self.file.clone(), place.offset, place.size))
    }
}

impl Source for Archive {
    fn name(&self) -> String {
        format!("oci-archive:{}", self.path.display())
    }

    fn tags(&self) -> Result<Vec<Tagged>, StoreError> {
        Ok(self.listing.tags().to_vec())
    }

    fn untagged(&self) -> Result<Vec<Descriptor>, StoreError> {
        self.listing.roots(self)
    }

    fn resolve(&self, selector: &Selector) -> Result<Descriptor, StoreError> {
        self.listing.resolve(self, selector)
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, StoreError> {
        match self.section(&descriptor.digest) {
            Some(section) => Ok(Box::new(section)),
            None => Err(StoreError::MissingBlob { store: self.name(), digest: descriptor.digest.to_string() }),
        }
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        self.listing.referrers(self, subject)
    }
}

/// How a whole file is compressed, and what undoes it. Blobs are read where they lie, which takes a plain tar file.
fn compression_of(file: &Arc<File>) -> Option<(&'static str, &'static str)> {
    let mut magic = [0; 6];
    Section::new(file.clone(), 0, 6).read_exact(&mut magic).ok()?;
    COMPRESSORS.iter().find(|(start, ..)| magic.starts_with(start)).map(|(_, kind, command)| (*kind, *command))
}

/// What a compressed file starts with, what compressed it, and what undoes it.
const COMPRESSORS: [(&[u8], &str, &str); 8] = [
    (&[0x1f, 0x8b], "gzip", "gunzip"),
    (&[0x1f, 0x9d], "compress", "gunzip"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd", "unzstd"),
    (b"\xfd7zXZ\0", "xz", "unxz"),
    (b"BZh", "bzip2", "bunzip2"),
    (&[0x04, 0x22, 0x4d, 0x18], "lz4", "unlz4"),
    (b"LZIP", "lzip", "lzip -d"),
    (b"PK\x03\x04", "zip", "unzip"),
];

/// Why a tar without a file of the layout is none, as far as what it has instead tells.
fn absent(name: &str, found: &Found) -> String {
    match &found.elsewhere {
        Some(Elsewhere::Docker) => {
            "it is a docker archive: `skopeo copy docker-archive:FILE oci:DIR` makes a layout of it".to_owned()
        }
        Some(Elsewhere::Below(dir)) => format!("its layout lies in `{dir}`, and it must lie at the top of the tar"),
        None => format!("it has no `{name}` file"),
    }
}

#[derive(Default)]
struct Found {
    marker: Option<Extent>,
    index: Option<Extent>,
    blobs: BTreeMap<Digest, Extent>,
    elsewhere: Option<Elsewhere>,
}

/// What a tar has that is no layout.
enum Elsewhere {
    /// The list of images that `docker save` writes, and that a layout may have beside its index.
    Docker,
    /// A layout in a directory.
    Below(String),
}

enum WalkError {
    Tar(TarError),
    Io(io::Error),
}

impl From<TarError> for WalkError {
    fn from(error: TarError) -> Self {
        Self::Tar(error)
    }
}

fn find(file: &Arc<File>) -> Result<Found, WalkError> {
    let size = file.metadata().map_err(WalkError::Io)?.len();
    let mut found = Found::default();
    let mut walker = Walker::new(Pieces::new(Section::new(file.clone(), 0, size)));
    let mut entries = 0;
    while let Some(entry) = walker.next_entry()? {
        entries += 1;
        if entries > ENTRIES {
            return Err(TarError::Limit { what: "entries", allowed: ENTRIES }.into());
        }
        let offset = walker.offset();
        let malformed = |what| WalkError::Tar(TarError::Malformed { offset, what });
        let Some(name) = std::str::from_utf8(&entry.name).ok().map(|name| name.trim_start_matches("./")) else { continue };
        let place = Extent { offset, size: entry.size };
        let doubled = match name {
            MARKER_FILE => found.marker.replace(place).is_some(),
            INDEX_FILE => found.index.replace(place).is_some(),
            _ => {
                if let Some(digest) = blob_name(name) {
                    found.blobs.insert(digest, place).is_some()
                } else {
                    found.elsewhere = found.elsewhere.or_else(|| Elsewhere::of(name));
                    continue;
                }
            }
        };
        if found.blobs.len() > BLOBS {
            return Err(TarError::Limit { what: "blobs", allowed: BLOBS as u64 }.into());
        }
        if doubled {
            return Err(malformed("a file of the layout stands twice in the archive"));
        }
        match entry.flag {
            Flag::File => {}
            Flag::HardLink => {
                return Err(malformed("a file of the layout is a hard link, and `tar` was not told to pack a file instead"));
            }
            Flag::Symlink => {
                return Err(malformed("a file of the layout is a symbolic link, and `tar` was not told to pack a file instead"));
            }
            _ => return Err(malformed("a file of the layout is something else than a file")),
        }
        if offset.checked_add(entry.size).is_none_or(|end| end > size) {
            return Err(TarError::Truncated { offset: size }.into());
        }
    }
    Ok(found)
}

impl Elsewhere {
    fn of(name: &str) -> Option<Self> {
        let below = || name.strip_suffix(MARKER_FILE)?.strip_suffix('/').map(|dir| Self::Below(shown(dir.as_bytes())));
        if name == "manifest.json" { Some(Self::Docker) } else { below() }
    }
}

fn blob_name(name: &str) -> Option<Digest> {
    let (algorithm, hex) = name.strip_prefix("blobs/")?.split_once('/')?;
    format!("{algorithm}:{hex}").parse().ok()
}

/// Lends a file to the walker piece by piece, and leaves contents out.
struct Pieces {
    section: Section,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Pieces {
    fn new(section: Section) -> Self {
        Self { section, buffer: vec![0; 16 << 10], start: 0, end: 0 }
    }
}

impl Stream for Pieces {
    type Error = WalkError;

    fn fill(&mut self) -> Result<&[u8], WalkError> {
        while self.start == self.end {
            match self.section.read(&mut self.buffer) {
                Ok(0) => return Ok(&[]),
                Ok(count) => (self.start, self.end) = (0, count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(WalkError::Io(error)),
            }
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, bytes: usize) {
        self.start += bytes.min(self.end - self.start);
    }

    fn skip(&mut self, bytes: u64) -> Result<u64, WalkError> {
        let buffered = (self.end - self.start) as u64;
        if bytes <= buffered {
            return Ok(0);
        }
        self.start = self.end;
        Ok(buffered + self.section.skip(bytes - buffered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(files: &[(&str, &[u8])]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut builder = tar::Builder::new(file.reopen().unwrap());
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *content).unwrap();
        }
        builder.finish().unwrap();
        file
    }

    const EMPTY_INDEX: &[u8] = br#"{"schemaVersion":2,"manifests":[]}"#;
    const MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

    #[test]
    fn what_other_tools_put_beside_the_layout_is_skipped() {
        let blob = vec![7; 100_000];
        let digest = Digest::of(&blob);
        let name = format!("./blobs/sha256/{}", digest.hex());
        let file = tar(&[("manifest.json", b"[]"), (&name, &blob), ("./index.json", EMPTY_INDEX), ("./oci-layout", MARKER)]);
        let archive = Archive::open(file.path()).unwrap();
        let mut content = Vec::new();
        archive.open(&Descriptor::of("a/b", &blob)).unwrap().read_to_end(&mut content).unwrap();
        assert_eq!(content, blob);
    }

    #[test]
    fn an_archive_that_readers_could_disagree_about_is_refused() {
        for files in [
            &[("oci-layout", MARKER)][..],
            &[("index.json", EMPTY_INDEX)],
            &[("oci-layout", MARKER), ("index.json", EMPTY_INDEX), ("./index.json", EMPTY_INDEX)],
            &[("oci-layout", br#"{"imageLayoutVersion":"2.0.0"}"#), ("index.json", EMPTY_INDEX)],
        ] {
            assert!(Archive::open(tar(files).path()).is_err());
        }
        let file = tar(&[("oci-layout", MARKER), ("index.json", EMPTY_INDEX)]);
        file.as_file().set_len(700).unwrap();
        assert!(Archive::open(file.path()).is_err());
    }
}
