//! `inspect`: what an image is made of, down to the files of its layers.

use serde::Serialize;

use super::list::artifact_type;
use plugin_oci::documents::{Descriptor, media_type};
use plugin_oci::failure::Error;
use plugin_oci::layers::unpack::{Entry, ExtractError, ExtractOptions, Kind, LayerInput, list_entries};
use plugin_oci::stores::{
    PlatformImage, Selector, Source, Verified, platform_images, platform_of, read_config, read_document, read_wasm_config,
};
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;
use plugin_oci::values::platform::Platform;

/// What to look at.
#[derive(Clone, Debug)]
pub struct Options {
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
    /// Its platforms.
    pub platforms: Vec<InspectedPlatform>,
    /// What refers to it.
    pub attachments: Vec<Attachment>,
}

/// One platform.
#[derive(Clone, Debug, Serialize)]
pub struct InspectedPlatform {
    /// `os/architecture`; absent for an artifact without one.
    pub platform: Option<String>,
    /// Digest of its manifest.
    pub manifest: Digest,
    /// The type of artifact, where it is no container image.
    pub artifact_type: Option<String>,
    /// Annotations of its manifest.
    pub annotations: std::collections::BTreeMap<String, String>,
    /// Its configuration, as it is.
    pub config: Option<serde_json::Value>,
    /// Its layers.
    pub layers: Vec<InspectedLayer>,
}

/// One layer.
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
    /// Why it was not read to its end, or is not what the configuration says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// One entry of a layer.
#[derive(Clone, Debug, Serialize)]
pub struct File {
    /// Its path.
    pub path: String,
    /// `file`, `directory`, `symlink`, `hard-link`, `whiteout`, `opaque`, `other`.
    pub kind: &'static str,
    /// Permission bits, octal.
    pub mode: String,
    /// Bytes of content.
    pub size: u64,
    /// Where a link points.
    pub target: Option<String>,
    /// Why it is never made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A manifest that refers to the image.
#[derive(Clone, Debug, Serialize)]
pub struct Attachment {
    /// Digest of its manifest.
    pub digest: Digest,
    /// Its artifact type.
    pub artifact_type: String,
    /// Bytes of its manifest.
    pub size: u64,
}

/// Looks at an image.
pub fn inspect(source: &dyn Source, options: &Options) -> Result<Inspected, Error> {
    let root = source.resolve(&options.selector)?;
    let annotations = read_document(source, &root)?.0.annotations().clone();
    let mut platforms = Vec::new();
    for image in platform_images(source, &root)? {
        let wanted = options.platform.as_ref().zip(image.descriptor.platform.as_ref());
        if wanted.is_none_or(|(wanted, found)| found.serves(wanted)) {
            platforms.push(platform(source, image, options.files)?);
        }
    }
    let mut attachments = Vec::new();
    for referrer in source.referrers(&root.digest)? {
        let artifact_type = artifact_type(source, &referrer)?;
        attachments.push(Attachment { digest: referrer.digest, artifact_type, size: referrer.size });
    }
    Ok(Inspected { digest: root.digest, media_type: root.media_type, annotations, platforms, attachments })
}

fn platform(source: &dyn Source, image: PlatformImage, files: bool) -> Result<InspectedPlatform, Error> {
    let platform = platform_of(source, &image)?;
    let manifest = image.manifest;
    let config =
        if media_type::is_config(&manifest.config.media_type) { Some(read_config(source, &manifest.config)?) } else { None };
    let mut layers = Vec::new();
    for (position, layer) in manifest.layers.iter().enumerate() {
        let diff_id = config.as_ref().and_then(|config| config.diff_ids().get(position).cloned());
        let (files, problem) = if files { list_files(source, layer, diff_id.clone())? } else { (None, None) };
        layers.push(InspectedLayer {
            files,
            problem,
            digest: layer.digest.clone(),
            media_type: layer.media_type.clone(),
            size: layer.size,
            diff_id,
        });
    }
    let is_wasm = manifest.config.media_type == media_type::WASM_CONFIG;
    let wasm = is_wasm.then(|| read_wasm_config(source, &manifest.config)).transpose()?;
    Ok(InspectedPlatform {
        platform: platform.map(|platform| platform.to_string()),
        manifest: image.descriptor.digest,
        artifact_type: manifest.effective_artifact_type().map(str::to_owned),
        annotations: manifest.annotations,
        config: config.map(|config| serde_json::Value::Object(config.tree().clone())).or(wasm),
        layers,
    })
}

/// The entries of a layer that is a tar, as far as they go, and what is wrong with it; nothing for one that is something else.
fn list_files(
    source: &dyn Source,
    layer: &Descriptor,
    diff_id: Option<Digest>,
) -> Result<(Option<Vec<File>>, Option<String>), Error> {
    let Some(compression) = Compression::of_media_type(&layer.media_type) else { return Ok((None, None)) };
    let reader = Box::new(Verified::new(source.open(layer)?, layer));
    let mut files = Vec::new();
    let listed = list_entries(LayerInput { reader, compression, diff_id }, &ExtractOptions::default(), &mut |entry, problem| {
        files.push(file(&entry, problem));
    });
    let problem = match listed {
        Ok(_) => None,
        Err(error) if error.rule().is_some() => Some(one_line(error)),
        Err(error) => return Err(error.into()),
    };
    Ok((Some(files), problem))
}

fn file(entry: &Entry, problem: Option<ExtractError>) -> File {
    let (kind, target) = match &entry.kind {
        Kind::File => ("file", None),
        Kind::Directory => ("directory", None),
        Kind::Symlink { target } => ("symlink", Some(target.clone())),
        Kind::HardLink { target } => ("hard-link", Some(target.clone())),
        Kind::Whiteout => ("whiteout", None),
        Kind::Opaque => ("opaque", None),
        Kind::Other(_) => ("other", None),
    };
    let problem = match (problem, &entry.kind) {
        (Some(error), _) => Some(one_line(error)),
        (None, Kind::Other(what)) => Some(format!("it is {what}")),
        (None, _) => None,
    };
    File { path: entry.path.clone(), kind, mode: format!("{:04o}", entry.mode), size: entry.size, target, problem }
}

fn one_line(error: ExtractError) -> String {
    Error::from(error).chain().join(": ")
}
