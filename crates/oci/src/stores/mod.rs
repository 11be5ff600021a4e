//! Stores: where images lie, and the one way to move them.
//!
//! A [`Source`] yields content by descriptor, a [`Sink`] takes it; [`copy`](copy::copy) is the only function that moves
//! blobs between them, so build, push, pull, export and import are the same movement with different ends.
//!
//! What a source yields is never trusted: [`Verified`] checks size and digest of every byte stream, and
//! [`read_document`] checks both before anything is parsed.
//!
//! ```
//! use plugin_oci::progress::Silent;
//! use plugin_oci::stores::archive::{Archive, ArchiveWriter};
//! use plugin_oci::stores::copy::{CopyOptions, copy};
//! use plugin_oci::stores::layout::{Layout, LayoutWriter, Obsolete};
//! use plugin_oci::stores::staged::Bundle;
//! use plugin_oci::stores::{Selector, Source as _};
//!
//! // An index over nothing, from memory to a layout, and from there to an archive.
//! let scratch = tempfile::tempdir()?;
//! let (layout, archive) = (scratch.path().join("layout"), scratch.path().join("image.tar"));
//! let bundle = Bundle::of_index(&plugin_oci::documents::image::index_over(&[], Default::default()), &[]);
//! let options = CopyOptions { tags: vec!["1.0".parse()?], ..CopyOptions::default() };
//! copy(&bundle, &LayoutWriter::new(&layout, Obsolete::Keep, &Silent)?, bundle.root(), &options, &Silent)?;
//!
//! let source = Layout::open(&layout)?;
//! let root = source.resolve(&Selector::Tag("1.0".to_owned()))?;
//! copy(&source, &ArchiveWriter::new(&archive, &Silent)?, &root, &options, &Silent)?;
//! assert_eq!(Archive::open(&archive)?.resolve(&Selector::Only)?.digest, root.digest);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod archive;
pub mod bucket;
pub mod copy;
mod error;
mod findings;
pub mod layout;
pub mod named;
pub mod open;
mod referrers;
pub mod registry;
pub mod staged;
mod verified;

use std::collections::BTreeSet;
use std::io::{self, Read, Write as _};
use std::sync::{Mutex, PoisonError};

pub use error::{RemoteError, StoreError, Unread};
pub use findings::{finding_of, text_of};
pub use referrers::{images, listed};
pub use verified::{Mismatch, Verified};

use crate::documents::{Descriptor, Document};
use crate::fs::{FileError, TempFile};
use crate::progress::Outcome;
use crate::values::digest::Digest;
use crate::values::platform::Platform;

/// What names an image within a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The only tag there is (a local store), or `latest` (a registry).
    Only,
    /// A tag, or the `ref.name` of a local store.
    Tag(String),
    /// A digest.
    Digest(Digest),
}

impl Selector {
    /// What a reference selects: its digest where it has one, else its tag.
    pub fn of(tag: Option<&str>, digest: Option<&Digest>) -> Self {
        match (digest, tag) {
            (Some(digest), _) => Self::Digest(digest.clone()),
            (None, Some(tag)) => Self::Tag(tag.to_owned()),
            (None, None) => Self::Only,
        }
    }
}

/// A tag and what it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// The tag.
    pub tag: String,
    /// The index or manifest.
    pub root: Descriptor,
}

/// A place that images are read from. Its bytes are hostile until checked.
pub trait Source: Sync {
    /// How a person calls it: `oci:DIR`, `docker://HOST/REPO`.
    fn name(&self) -> String;

    /// Every tag, sorted.
    fn tags(&self) -> Result<Vec<Tagged>, StoreError>;

    /// The images without a tag that are listed even so and refer to no other: those of a local store.
    fn untagged(&self) -> Result<Vec<Descriptor>, StoreError> {
        Ok(Vec::new())
    }

    /// Finds an image.
    fn resolve(&self, selector: &Selector) -> Result<Descriptor, StoreError>;

    /// Opens content, unchecked: wrap it in [`Verified`].
    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, StoreError>;

    /// The manifests whose `subject` is `subject`, sorted by digest. One with a tag of its subject
    /// ([`is_attached_to`](crate::values::tag::is_attached_to)) has it as its name.
    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, StoreError>;

    /// Hands over a blob that still is a temporary file of ours, so that a sink can adopt it without copying.
    fn take_staged(&self, digest: &Digest) -> Option<TempFile> {
        let _ = digest;
        None
    }

    /// Whether content can be had from the middle on, so that what has arrived of it need not be fetched again.
    fn resumes(&self) -> bool {
        false
    }

    /// Opens content from an offset on, unchecked; `None` where it can only be had from its start.
    fn open_from(&self, descriptor: &Descriptor, offset: u64) -> Result<Option<Box<dyn Read + Send + '_>>, StoreError> {
        if offset == 0 { self.open(descriptor).map(Some) } else { Ok(None) }
    }

    /// How many blobs may be fetched at once.
    fn parallelism(&self) -> usize {
        1
    }

    /// The registry repository (`host/name`) that this reads from: a sink at the same host may mount blobs from it.
    fn repository(&self) -> Option<String> {
        None
    }
}

/// What becomes visible together at the end of a copy.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Tags to set.
    pub tags: Vec<Tagged>,
    /// Images to keep without a tag: by digest. A registry keeps them anyway.
    pub untagged: Vec<Descriptor>,
    /// Referrer manifests that are now there.
    pub referrers: Vec<Referrer>,
    /// Referrers without a tag that go. A registry keeps them.
    pub replaced: BTreeSet<Digest>,
    /// Refuse to move a tag that names something else.
    pub no_clobber: bool,
}

/// A manifest that refers to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrer {
    /// Its descriptor, with `artifactType`.
    pub descriptor: Descriptor,
    /// What it refers to.
    pub subject: Digest,
}

/// How a tag changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagChange {
    /// The tag.
    pub tag: String,
    /// What it named before.
    pub old: Option<Digest>,
    /// What it names now.
    pub new: Digest,
}

/// Opens the same content again from its start, checked: for sinks that may have to send it more than once.
pub type Reopen<'a> = dyn Fn() -> Result<Box<dyn Read + Send + 'a>, StoreError> + Sync + 'a;

/// Opens content from an offset on, unchecked; `None` where that cannot be done.
pub type OpenFrom<'a> = dyn Fn(u64) -> Result<Option<Box<dyn Read + Send + 'a>>, StoreError> + Sync + 'a;

/// A place that images are written to. Nothing is visible before [`Sink::commit`]; success means "is there now".
pub trait Sink: Sync {
    /// How a person calls it.
    fn name(&self) -> String;

    /// Whether the content is there and sound.
    fn contains(&self, descriptor: &Descriptor) -> Result<bool, StoreError>;

    /// Takes a blob. `content` checks itself and fails rather than end early.
    fn put_blob(&self, descriptor: &Descriptor, content: &mut (dyn Read + Send)) -> Result<Outcome, StoreError>;

    /// Takes a blob that can be opened again, should its first way here break.
    fn put_again(&self, descriptor: &Descriptor, open: &Reopen<'_>) -> Result<Outcome, StoreError> {
        self.put_blob(descriptor, &mut *open()?)
    }

    /// Takes a blob from where an earlier try was cut off. What this one leaves, if it is cut off too, is there for the next.
    /// `None` where nothing can be made of that, and the blob is to be put as any other.
    fn put_onward(&self, descriptor: &Descriptor, open: &OpenFrom<'_>) -> Result<Option<Outcome>, StoreError> {
        let _ = (descriptor, open);
        Ok(None)
    }

    /// Takes the checked bytes of a manifest or index, after everything that it points at.
    fn put_manifest(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<Outcome, StoreError>;

    /// Takes a temporary file whose content was made and hashed by this process.
    fn adopt(&self, descriptor: &Descriptor, staged: TempFile) -> Result<Outcome, StoreError> {
        let file = staged.reopen()?;
        self.put_blob(descriptor, &mut Verified::new(file, descriptor))
    }

    /// Takes a blob from another repository of the same registry without its bytes passing through here.
    fn mount(&self, descriptor: &Descriptor, from: &str) -> Result<bool, StoreError> {
        let _ = (descriptor, from);
        Ok(false)
    }

    /// How many blobs may move at once.
    fn parallelism(&self) -> usize {
        1
    }

    /// Makes everything visible. The returned changes are those of tags only.
    fn commit(&self, commit: &Commit) -> Result<Vec<TagChange>, StoreError>;
}

/// Takes a blob that can be read only once by a sink that would rather open it itself.
fn put_once(sink: &dyn Sink, descriptor: &Descriptor, content: &mut (dyn Read + Send)) -> Result<Outcome, StoreError> {
    let once = Mutex::new(Some(content));
    let open = || -> Result<Box<dyn Read + Send + '_>, StoreError> {
        match once.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(content) => Ok(Box::new(content)),
            None => Err(StoreError::reading(error::UNKNOWN, descriptor, io::Error::other("it can be read only once"))),
        }
    };
    sink.put_again(descriptor, &open)
}

/// Takes a temporary file by a sink that would rather open it itself.
fn put_staged(sink: &dyn Sink, descriptor: &Descriptor, staged: &TempFile) -> Result<Outcome, StoreError> {
    if sink.contains(descriptor)? {
        return Ok(Outcome::Present);
    }
    let open = || -> Result<Box<dyn Read + Send + '_>, StoreError> { Ok(Box::new(Verified::new(staged.reopen()?, descriptor))) };
    sink.put_again(descriptor, &open)
}

/// Writes content that checks itself into a file.
fn write_blob(descriptor: &Descriptor, content: &mut (dyn Read + Send), file: &mut TempFile) -> Result<(), StoreError> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => file.write_all(&buffer[..count]).map_err(FileError::at("write", file.path()))?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(StoreError::reading(error::UNKNOWN, descriptor, error)),
        }
    }
}

/// Reads a small document whole: its size against `limit`, then size and digest against the descriptor.
pub fn read_blob(source: &dyn Source, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, StoreError> {
    if descriptor.size > limit {
        return Err(StoreError::TooLarge { object: descriptor.digest.to_string(), size: descriptor.size, limit });
    }
    let bytes = match &descriptor.data {
        Some(data) => return Ok(data.clone()),
        None => source.open(descriptor)?,
    };
    let mut content = Vec::new();
    Verified::new(bytes, descriptor)
        .read_to_end(&mut content)
        .map_err(|error| StoreError::reading(&source.name(), descriptor, error))?;
    Ok(content)
}

/// Reads and parses a manifest or index.
pub fn read_document(source: &dyn Source, descriptor: &Descriptor) -> Result<(Document, Vec<u8>), StoreError> {
    let bytes = read_blob(source, descriptor, crate::documents::MANIFEST_LIMIT)?;
    let document = Document::parse(&bytes, &descriptor.media_type)
        .map_err(|source| StoreError::Document { object: descriptor.digest.to_string(), source: Box::new(source) })?;
    Ok((document, bytes))
}

/// The most bytes that the manifests and indexes of one image may have together, each as often as it is listed: they are
/// held in memory, and an index that lists an index a thousand times is small.
const DOCUMENTS_LIMIT: u64 = 32 << 20;

/// Counts the bytes of manifests and indexes.
#[derive(Default)]
struct Held(u64);

impl Held {
    fn add(&mut self, at: &Descriptor) -> Result<(), StoreError> {
        self.0 = self.0.saturating_add(at.size);
        if self.0 > DOCUMENTS_LIMIT {
            let object = format!("what {} and its parents list", at.digest);
            return Err(StoreError::TooLarge { object, size: self.0, limit: DOCUMENTS_LIMIT });
        }
        Ok(())
    }
}

/// The tags that are meant of a root that was resolved without naming one: of a registry the one that was taken
/// ([`Selector::Only`]), of a local store all that it has.
pub fn meant_tags(source: &dyn Source, root: &Descriptor) -> Result<Vec<String>, StoreError> {
    if source.repository().is_some() {
        return Ok(vec![root.ref_name().unwrap_or("latest").to_owned()]);
    }
    let own = source.tags()?.into_iter().filter(|tagged| tagged.root.digest == root.digest);
    Ok(own.map(|tagged| tagged.tag).collect())
}

/// An image of one platform: its descriptor as the index gives it, its manifest and that manifest's bytes.
#[derive(Clone, Debug)]
pub struct PlatformImage {
    /// The manifest's descriptor, with a platform where the index gives one.
    pub descriptor: Descriptor,
    /// The manifest.
    pub manifest: crate::documents::Manifest,
}

/// Every single-platform manifest below a root, in index order.
pub fn platform_images(source: &dyn Source, root: &Descriptor) -> Result<Vec<PlatformImage>, StoreError> {
    let (mut images, mut held) = (Vec::new(), Held::default());
    collect_images(source, root, 0, &mut images, &mut held)?;
    Ok(images)
}

fn collect_images(
    source: &dyn Source,
    at: &Descriptor,
    depth: usize,
    images: &mut Vec<PlatformImage>,
    held: &mut Held,
) -> Result<(), StoreError> {
    held.add(at)?;
    if depth > crate::documents::NESTING_LIMIT {
        return Err(StoreError::TooDeep { object: at.digest.to_string() });
    }
    match read_document(source, at)?.0 {
        Document::Manifest(manifest) => images.push(PlatformImage { descriptor: at.clone(), manifest }),
        Document::Index(index) => {
            for child in index.manifests.iter().filter(|child| child.is_manifest_or_index()) {
                collect_images(source, child, depth + 1, images, held)?;
            }
        }
    }
    Ok(())
}

/// Finds an image, and of several without a tag the one for a platform: an `index.json` may list the platforms itself.
pub fn resolve_for(source: &dyn Source, selector: &Selector, platform: Option<&Platform>) -> Result<Descriptor, StoreError> {
    let (ambiguous, wanted) = match (source.resolve(selector), platform) {
        (Err(ambiguous @ StoreError::Untagged { .. }), Some(wanted)) => (ambiguous, wanted),
        (outcome, _) => return outcome,
    };
    let mut images = Vec::new();
    for root in source.untagged()? {
        images.extend(platform_images(source, &root)?);
    }
    let mut platforms = Vec::new();
    for image in &images {
        platforms.push(platform_of(source, image)?);
    }
    let chosen = select_among(source, images.clone(), wanted)?;
    let own = platform_of(source, &chosen)?;
    // Two that serve it equally well are two images.
    let rivals = images
        .iter()
        .zip(platforms)
        .filter(|(image, platform)| *platform == own && image.descriptor.digest != chosen.descriptor.digest);
    if rivals.count() > 0 { Err(ambiguous) } else { Ok(chosen.descriptor) }
}

/// Picks the manifest for a platform: the child that serves it best, the first of several, or a lone manifest whose
/// configuration does. One of several that are for other versions of the system is nobody's guess.
pub fn select_platform(source: &dyn Source, root: &Descriptor, wanted: &Platform) -> Result<PlatformImage, StoreError> {
    select_among(source, platform_images(source, root)?, wanted)
}

fn select_among(source: &dyn Source, images: Vec<PlatformImage>, wanted: &Platform) -> Result<PlatformImage, StoreError> {
    let (mut available, mut serving) = (Vec::new(), Vec::new());
    for image in images {
        let platform = match &image.descriptor.platform {
            Some(platform) => Some(platform.clone()),
            None => config_platform(source, &image)?,
        };
        match platform.as_ref().map_or(Some(u8::MAX), |platform| platform.distance(wanted)) {
            Some(distance) => serving.push((distance, platform, image)),
            None => available.extend(platform.map(|platform| platform.to_string())),
        }
    }
    let best = serving.iter().map(|(distance, ..)| *distance).min();
    serving.retain(|(distance, ..)| Some(*distance) == best);
    let versions: BTreeSet<&Platform> = serving.iter().filter_map(|(_, platform, _)| platform.as_ref()).collect();
    let differs = |pair: [&&Platform; 2]| pair[0].os_version != pair[1].os_version;
    if versions.iter().zip(versions.iter().skip(1)).any(|(one, next)| differs([one, next])) {
        let available = versions.iter().map(ToString::to_string).collect();
        return Err(StoreError::Versions { image: source.name(), wanted: wanted.to_string(), available });
    }
    let found = serving.into_iter().next().map(|(.., image)| image);
    found.ok_or_else(|| StoreError::NoPlatform { image: source.name(), wanted: wanted.to_string(), available })
}

fn config_platform(source: &dyn Source, image: &PlatformImage) -> Result<Option<Platform>, StoreError> {
    let config = &image.manifest.config;
    if !crate::documents::media_type::is_config(&config.media_type) {
        return Ok(None);
    }
    Ok(Some(read_config(source, config)?.platform()))
}

/// The platform that an image says it is for: in its index, or else in its configuration, a WebAssembly artifact's too.
pub fn platform_of(source: &dyn Source, image: &PlatformImage) -> Result<Option<Platform>, StoreError> {
    let config = &image.manifest.config;
    if image.descriptor.platform.is_some() || config.media_type != crate::documents::media_type::WASM_CONFIG {
        return image.descriptor.platform.clone().map_or_else(|| config_platform(source, image), |platform| Ok(Some(platform)));
    }
    let config = read_wasm_config(source, config)?;
    Ok(config["os"].as_str().zip(config["architecture"].as_str()).map(|(os, architecture)| Platform::new(os, architecture)))
}

/// Reads and parses the configuration of a WebAssembly artifact.
pub fn read_wasm_config(source: &dyn Source, descriptor: &Descriptor) -> Result<serde_json::Value, StoreError> {
    let bytes = read_blob(source, descriptor, crate::documents::CONFIG_LIMIT)?;
    crate::documents::json::parse(&bytes)
        .map_err(|source| StoreError::Document { object: descriptor.digest.to_string(), source: Box::new(source.into()) })
}

/// Reads and parses an image configuration.
pub fn read_config(source: &dyn Source, descriptor: &Descriptor) -> Result<crate::documents::Config, StoreError> {
    let bytes = read_blob(source, descriptor, crate::documents::CONFIG_LIMIT)?;
    crate::documents::Config::parse(&bytes)
        .map_err(|source| StoreError::Document { object: descriptor.digest.to_string(), source: Box::new(source) })
}
