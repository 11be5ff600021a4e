//! The kinds that are no container image: a wasm artifact, and a library.
//!
//! `wasm` (CNCF WebAssembly artifact): a manifest with the configuration `application/vnd.wasm.config.v0+json` and exactly
//! one raw `application/wasm` layer. `library`: a manifest with an artifact type, the empty configuration, and one layer.

use std::collections::BTreeMap;
use std::fs;

use serde_json::json as value;

use super::error::AssembleError;
use crate::build::Compiled;
use crate::build::inspect::wasm::Form;
use crate::build::kinds::{Kind, library};
use crate::build::plan::{ImagePlan, Plan, TargetPlan};
use plugin_oci::documents::image::{Image, Layer};
use plugin_oci::documents::{Descriptor, Manifest, json, media_type};
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::fs::FileError;
use plugin_oci::values::compression::Compression;

/// The configuration of what has none.
pub const EMPTY: &[u8] = b"{}";
/// Annotation: the version of the compiler, because a library's ABI depends on it.
const RUSTC_KEY: &str = "dev.cargo-plugin-build.rustc";
/// Annotation: the digest of the exported names.
const EXPORTS_KEY: &str = "dev.cargo-plugin-build.exports";

/// A wasm artifact, and the bytes of its one layer.
pub fn wasm(
    plan: &Plan,
    target: &TargetPlan,
    compiled: &Compiled<'_>,
    annotations: BTreeMap<String, String>,
) -> Result<(Image, Vec<u8>), Error> {
    let path = &compiled.artifact.path;
    let bytes = fs::read(path).map_err(FileError::at("read", path))?;
    let Some(wasm) = &compiled.checked.executable.wasm else {
        return Err(Complaint::failed(format!("`{}` is no WebAssembly", path.display())).into());
    };
    let descriptor = Descriptor::of(media_type::WASM, &bytes);
    let mut config = value!({
        "created": plan.epoch.rfc3339(),
        "architecture": "wasm",
        "os": wasm.os(),
        "layerDigests": [descriptor.digest],
    });
    if wasm.form == Form::Component {
        config["component"] = value!({ "exports": wasm.exports, "imports": wasm.imports });
    }
    let layer = Layer { diff_id: descriptor.digest.clone(), descriptor };
    let image = artifact(target, None, Descriptor::of(media_type::WASM_CONFIG, &json::to_canonical(&config)), layer, annotations);
    Ok((Image { config_bytes: json::to_canonical(&config), ..image }, bytes))
}

/// What a host must know of a library before it loads it.
pub fn describe_library(plan: &Plan, compiled: &Compiled<'_>, annotations: &mut BTreeMap<String, String>) {
    let exports = library::exports_digest(&compiled.checked.executable.exports);
    annotations.insert(RUSTC_KEY.to_owned(), plan.rustc.release.to_string());
    annotations.insert(EXPORTS_KEY.to_owned(), exports.to_string());
}

/// A library artifact around a layer that is made already.
pub fn library(target: &TargetPlan, layer: Layer, annotations: BTreeMap<String, String>) -> Image {
    let config = Descriptor::of(media_type::EMPTY, EMPTY);
    Image { config_bytes: EMPTY.to_vec(), ..artifact(target, Some(library::ARTIFACT_TYPE), config, layer, annotations) }
}

fn artifact(
    target: &TargetPlan,
    artifact_type: Option<&str>,
    config: Descriptor,
    layer: Layer,
    annotations: BTreeMap<String, String>,
) -> Image {
    let manifest = Manifest {
        media_type: media_type::MANIFEST.to_owned(),
        artifact_type: artifact_type.map(str::to_owned),
        config,
        layers: vec![layer.descriptor.clone()],
        subject: None,
        annotations,
    };
    Image::of_manifest(target.platform.clone(), manifest, Vec::new(), vec![layer])
}

/// What a kind asks of the plan as a whole, told before anything is compiled.
pub fn preflight(image: &ImagePlan) -> Result<(), AssembleError> {
    let (kind, name) = (image.kind, image.name.clone());
    if !kind.has_index() && image.targets.len() > 1 {
        return Err(AssembleError::Targets { kind, name, targets: image.targets.len() });
    }
    let is_read_as_gzip = kind == Kind::ProxyWasm || kind == Kind::Library && image.is_artifact;
    if is_read_as_gzip && image.compression != Compression::Gzip {
        return Err(AssembleError::Compression { kind, name, compression: image.compression });
    }
    if image.base.is_some() && (image.is_artifact || kind == Kind::ProxyWasm) {
        return Err(AssembleError::Base { kind, name });
    }
    Ok(())
}
