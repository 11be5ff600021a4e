//! `inspect`: what an image is made of, down to the files of its layers.
//!
//! Threat: *memory and time*; a layer of a million long names, and an image that names it a thousand times. The lists of all
//! layers together have `LIST` bytes of memory: what does not fit is counted, and layers after that are not read. The limits
//! of unpacking hold for the layers of each platform, and [`READ_TOGETHER`] for all that is read.

use serde::Serialize;

use super::program::{self, Paths, Program};
use plugin_oci::documents::{Descriptor, media_type};
use plugin_oci::failure::Error;
use plugin_oci::layers::unpack::{Entry, ExtractError, ExtractOptions, Kind, LayerInput, READ_TOGETHER, Spent, list_entries};
use plugin_oci::listing::{Attachment, attachments};
use plugin_oci::stores::{
    PlatformImage, Selector, Source, Verified, platform_images, platform_of, read_config, read_document, read_wasm_config,
    resolve_for,
};
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;
use plugin_oci::values::platform::Platform;

/// What to look at.
#[derive(Clone, Debug)]
pub struct InspectOptions {
    /// The image.
    pub selector: Selector,
    /// Only this platform.
    pub platform: Option<Platform>,
    /// Read the layers and list their files.
    pub files: bool,
}

/// An image.
#[derive(Clone, Debug, Serialize)]
pub struct Inspected {
    /// Digest of the root.
    pub digest: Digest,
    /// Media type of the root.
    pub media_type: String,
    /// Annotations of the root.
    pub annotations: std::collections::BTreeMap<String, String>,
    pub platforms: Vec<InspectedPlatform>,
    /// What refers to it.
    pub attachments: Vec<Attachment>,
}

#[derive(Clone, Debug, Serialize)]
pub struct InspectedPlatform {
    /// `os/architecture`; absent for an artifact without one.
    pub platform: Option<String>,
    pub manifest: Digest,
    /// The type of artifact, where it is no container image.
    pub artifact_type: Option<String>,
    /// Annotations of its manifest.
    pub annotations: std::collections::BTreeMap<String, String>,
    /// Its configuration, as it is.
    pub config: Option<serde_json::Value>,
    /// What is started or loaded, where its layers were read and it is a plain file in one of them.
    pub program: Option<Program>,
    pub layers: Vec<InspectedLayer>,
}

#[derive(Clone, Debug, Serialize)]
pub struct InspectedLayer {
    /// Digest of the blob.
    pub digest: Digest,
    /// Media type of the blob.
    pub media_type: String,
    /// Bytes of the blob.
    pub size: u64,
    /// Digest of the uncompressed tar.
    pub diff_id: Option<Digest>,
    /// Its entries, where they were read.
    pub files: Option<Vec<File>>,
    /// How many entries more it has than `files` had room for.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_files: u64,
    /// Why it was not read to its end, or is not what the configuration says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// One entry of a layer.
#[derive(Clone, Debug, Serialize)]
pub struct File {
    pub path: String,
    /// `file`, `directory`, `symlink`, `hard-link`, `whiteout`, `opaque`, `other`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Permission bits, octal.
    pub mode: String,
    /// Bytes of content.
    pub size: u64,
    /// Where a link points.
    #[serde(rename = "link")]
    pub target: Option<String>,
    /// Why it is never made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Bytes of memory for the lists of all files.
const LIST: usize = 12 << 20;
/// Bytes of memory for a file beside its texts and itself: allocations.
const OVERHEAD: usize = 64;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What the lists of files have cost so far.
#[derive(Default)]
struct Listing {
    held: usize,
    read: u64,
}

/// What was seen of a layer's files.
#[derive(Default)]
struct Listed {
    files: Option<Vec<File>>,
    more: u64,
    problem: Option<String>,
}

/// Looks at an image.
pub fn inspect(source: &dyn Source, options: &InspectOptions) -> Result<Inspected, Error> {
    let root = resolve_for(source, &options.selector, options.platform.as_ref())?;
    let annotations = read_document(source, &root)?.0.annotations().clone();
    let (mut platforms, mut listing) = (Vec::new(), Listing::default());
    let images = platform_images(source, &root)?;
    let wanted = options.platform.as_ref();
    let distance = |image: &PlatformImage| image.descriptor.platform.as_ref()?.distance(wanted?);
    let best = images.iter().filter_map(distance).min();
    for image in images {
        let has_platform = image.descriptor.platform.is_some();
        if wanted.is_none() || !has_platform || best.is_some() && distance(&image) == best {
            platforms.push(platform(source, image, options.files.then_some(&mut listing))?);
        }
    }
    let attachments = attachments(source, &root.digest)?;
    Ok(Inspected { digest: root.digest, media_type: root.media_type, annotations, platforms, attachments })
}

fn platform(source: &dyn Source, image: PlatformImage, mut listing: Option<&mut Listing>) -> Result<InspectedPlatform, Error> {
    let platform = platform_of(source, &image)?;
    let manifest = image.manifest;
    let config =
        if media_type::is_config(&manifest.config.media_type) { Some(read_config(source, &manifest.config)?) } else { None };
    let (mut layers, mut spent) = (Vec::new(), Spent::default());
    for (position, layer) in manifest.layers.iter().enumerate() {
        let diff_id = config.as_ref().and_then(|config| config.diff_ids().get(position).cloned());
        let Listed { files, more, problem } = match &mut listing {
            Some(listing) => listing.layer(source, layer, diff_id.clone(), &mut spent)?,
            None => Listed::default(),
        };
        layers.push(InspectedLayer {
            files,
            more_files: more,
            problem,
            digest: layer.digest.clone(),
            media_type: layer.media_type.clone(),
            size: layer.size,
            diff_id,
        });
    }
    let program = if listing.is_some() {
        let paths: Vec<Paths<'_>> = layers.iter().map(InspectedLayer::paths).collect();
        program::of(source, &manifest, config.as_ref(), &paths)?
    } else {
        None
    };
    let is_wasm = manifest.config.media_type == media_type::WASM_CONFIG;
    let wasm = is_wasm.then(|| read_wasm_config(source, &manifest.config)).transpose()?;
    Ok(InspectedPlatform {
        platform: platform.map(|platform| platform.to_string()),
        manifest: image.descriptor.digest,
        artifact_type: manifest.effective_artifact_type().map(str::to_owned),
        annotations: manifest.annotations,
        program,
        config: config.map(|config| serde_json::Value::Object(config.tree().clone())).or(wasm),
        layers,
    })
}

impl InspectedLayer {
    fn paths(&self) -> Paths<'_> {
        let files = self.files.as_ref().filter(|_| self.more_files == 0 && self.problem.is_none())?;
        Some(files.iter().map(|file| (file.path.as_str(), file.kind == "file")).collect())
    }
}

impl Listing {
    /// The entries of a layer that is a tar, as far as they go, and what is wrong with it; nothing for one that is something
    /// else.
    fn layer(
        &mut self,
        source: &dyn Source,
        layer: &Descriptor,
        diff_id: Option<Digest>,
        spent: &mut Spent,
    ) -> Result<Listed, Error> {
        let Some(compression) = Compression::of_media_type(&layer.media_type) else { return Ok(Listed::default()) };
        if self.held >= LIST || self.read >= READ_TOGETHER {
            let problem = Some("it was not read: the layers before it have more files than are listed".to_owned());
            return Ok(Listed { problem, ..Listed::default() });
        }
        let reader = Box::new(Verified::new(source.open(layer)?, layer));
        let (mut files, mut more, before) = (Vec::new(), 0, spent.unpacked);
        let mut visit = |entry: Entry, problem| {
            if self.held >= LIST {
                more += 1;
                return;
            }
            let file = file(entry, problem);
            self.held += file.memory();
            files.push(file);
        };
        let input = LayerInput { reader, compression, diff_id };
        let listed = list_entries(input, &ExtractOptions::default(), spent, &mut visit);
        self.read += spent.unpacked - before;
        let problem = match listed {
            Ok(_) => None,
            Err(error) if error.rule().is_some() => Some(one_line(error)),
            Err(error) => return Err(error.into()),
        };
        Ok(Listed { files: Some(files), more, problem })
    }
}

impl File {
    /// Bytes of memory that it takes.
    fn memory(&self) -> usize {
        let texts = [Some(&self.path), self.target.as_ref(), self.problem.as_ref()];
        size_of::<Self>() + OVERHEAD + texts.into_iter().flatten().map(String::len).sum::<usize>()
    }
}

fn file(entry: Entry, problem: Option<ExtractError>) -> File {
    let what = entry.kind;
    let (kind, target) = match &what {
        Kind::File => ("file", None),
        Kind::Directory => ("directory", None),
        Kind::Symlink { target } => ("symlink", Some(target.clone())),
        Kind::HardLink { target } => ("hard-link", Some(target.clone())),
        Kind::Whiteout => ("whiteout", None),
        Kind::Opaque => ("opaque", None),
        Kind::Other(_) => ("other", None),
    };
    let problem = match (problem, &what) {
        (Some(error), _) => Some(one_line(error)),
        (None, Kind::Other(other)) => Some(format!("it is {other}")),
        (None, _) => None,
    };
    File { path: entry.path, kind, mode: format!("{:04o}", entry.mode), size: entry.size, target, problem }
}

fn one_line(error: ExtractError) -> String {
    Error::from(error).chain().join(": ")
}
