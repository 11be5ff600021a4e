//! From layers to an image: configuration, manifest, and the index over the platforms.
//!
//! Every byte is decided by the arguments. Times are the epoch's; maps are sorted; nothing names this tool's version, a host,
//! or an absolute path.
//!
//! With a base image (image-spec `config.md`): its layers come first, byte for byte; its configuration is kept, keys unknown
//! here included, and ours are set over it; its history stays verbatim and in front, and each added layer gets exactly one
//! non-empty entry. Docker-typed descriptors of the base are retyped to OCI; the blobs behind them are the same bytes.
//! Setting an entrypoint drops the base's command, as every builder does.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::documents::{Config, Descriptor, DocumentError, Index, Manifest, media_type};
use crate::failure::Failure;
use crate::values::digest::Digest;
use crate::values::epoch::Epoch;
use crate::values::platform::Platform;

/// Name of the image that an image builds on (image-spec, `annotations.md`).
pub const BASE_NAME: &str = "org.opencontainers.image.base.name";
/// Digest of the same.
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// What the history says of every layer that was added here.
pub const CREATED_BY: &str = "cargo plugin-build";

/// A layer that is part of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Media type, digest and size of the compressed blob.
    pub descriptor: Descriptor,
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
}

/// An image to build on, for one platform.
#[derive(Clone, Debug)]
pub struct Base {
    /// How the image is called, without anything that depends on where it lies.
    pub name: String,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Its layers, as its manifest describes them.
    pub layers: Vec<Descriptor>,
    /// Its configuration.
    pub config: Config,
}

/// How a runtime starts what an image holds: what its configuration says beside the entrypoint, which each platform has of
/// its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Execution {
    /// Default arguments (the configuration's `Cmd`).
    pub args: Vec<String>,
    /// The user: `uid`, `uid:gid` or a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// Ports that it listens at, `8080/tcp`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub ports: BTreeSet<String>,
    /// Directories whose content outlives a container.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub volumes: BTreeSet<String>,
    /// The signal that asks it to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Labels of the configuration.
    pub labels: BTreeMap<String, String>,
}

/// Everything about an image but its layers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it runs on.
    pub platform: Platform,
    /// The one time in it.
    pub epoch: Epoch,
    /// What a runtime starts.
    pub entrypoint: Vec<String>,
    /// How it is started.
    pub execution: Execution,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// What it builds on.
    pub base: Option<Base>,
}

/// An assembled image of one platform.
#[derive(Clone, Debug)]
pub struct Image {
    /// What it runs on.
    pub platform: Platform,
    /// Its manifest's descriptor, with the platform.
    pub descriptor: Descriptor,
    /// Its manifest.
    pub manifest: Manifest,
    /// The canonical bytes of its manifest.
    pub manifest_bytes: Vec<u8>,
    /// The canonical bytes of its configuration.
    pub config_bytes: Vec<u8>,
    /// The layers that were added to the base.
    pub layers: Vec<Layer>,
}

/// Why an image could not be assembled.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The base's configuration has keys of the wrong shape.
    #[error("the configuration of base image {name} is unusable")]
    Base {
        /// The base.
        name: String,
        /// What is wrong.
        source: DocumentError,
    },
    /// The base has another number of layers than its configuration says.
    #[error("base image {name} has {layers} layers but {diff_ids} diff ids")]
    BaseLayers {
        /// The base.
        name: String,
        /// In its manifest.
        layers: usize,
        /// In its configuration.
        diff_ids: usize,
    },
}

impl Failure for ImageError {}

impl Image {
    /// Puts an image together.
    pub fn assemble(settings: &Settings, layers: Vec<Layer>) -> Result<Self, ImageError> {
        let config_bytes = configuration(settings, &layers)?;
        let base_layers = settings.base.iter().flat_map(|base| &base.layers).map(retyped);
        let mut annotations = settings.annotations.clone();
        if let Some(base) = &settings.base {
            annotations.insert(BASE_NAME.to_owned(), base.name.clone());
            annotations.insert(BASE_DIGEST.to_owned(), base.digest.to_string());
        }
        let manifest = Manifest {
            media_type: media_type::MANIFEST.to_owned(),
            artifact_type: None,
            config: Descriptor::of(media_type::CONFIG, &config_bytes),
            layers: base_layers.chain(layers.iter().map(|layer| layer.descriptor.clone())).collect(),
            subject: None,
            annotations,
        };
        Ok(Self::of_manifest(settings.platform.clone(), manifest, config_bytes, layers))
    }

    /// Wraps a manifest that is put together elsewhere: an artifact with a configuration of its own.
    pub fn of_manifest(platform: Platform, manifest: Manifest, config_bytes: Vec<u8>, layers: Vec<Layer>) -> Self {
        let manifest_bytes = manifest.to_bytes();
        // Without the manifest's artifact type, which it may leave out: containers/image drops the key from an index that it
        // copies (skopeo 1.9), and so refuses to copy one that has it with its digest preserved.
        let descriptor = Descriptor::of(media_type::MANIFEST, &manifest_bytes).with_platform(platform.clone());
        Self { platform, descriptor, manifest, manifest_bytes, config_bytes, layers }
    }
}

/// The index over some images, in the order of their platforms.
pub fn index_over(images: &[Image], annotations: BTreeMap<String, String>) -> Index {
    let manifests = images.iter().map(|image| image.descriptor.clone()).collect();
    let artifact_type = images.first().and_then(|image| image.manifest.artifact_type.clone());
    index_of(manifests, artifact_type, annotations)
}

/// The same from descriptors: a merge of finished images gives the index that one build would have given.
pub fn index_of(mut manifests: Vec<Descriptor>, artifact_type: Option<String>, annotations: BTreeMap<String, String>) -> Index {
    manifests.sort_by(|a, b| a.platform.cmp(&b.platform));
    Index { media_type: media_type::INDEX.to_owned(), artifact_type, manifests, subject: None, annotations }
}

fn retyped(descriptor: &Descriptor) -> Descriptor {
    let mut descriptor = descriptor.clone();
    descriptor.media_type = media_type::to_oci(&descriptor.media_type).to_owned();
    descriptor
}

fn configuration(settings: &Settings, layers: &[Layer]) -> Result<Vec<u8>, ImageError> {
    let created = settings.epoch.rfc3339();
    let mut document = settings.base.as_ref().map_or_else(Map::new, |base| base.config.tree().clone());
    let mut history = take_array(&mut document, "history");
    let mut diff_ids: Vec<Value> = Vec::new();
    if let Some(base) = &settings.base {
        let (in_manifest, in_config) = (base.layers.len(), base.config.diff_ids().len());
        if in_manifest != in_config {
            return Err(ImageError::BaseLayers { name: base.name.clone(), layers: in_manifest, diff_ids: in_config });
        }
        diff_ids.extend(base.config.diff_ids().iter().map(|id| json!(id)));
    }
    for layer in layers {
        history.push(json!({ "created": created, "created_by": CREATED_BY }));
        diff_ids.push(json!(layer.diff_id));
    }
    document.insert("created".to_owned(), json!(created));
    document.insert("os".to_owned(), json!(settings.platform.os));
    document.insert("architecture".to_owned(), json!(settings.platform.architecture));
    if let Some(variant) = &settings.platform.variant {
        document.insert("variant".to_owned(), json!(variant));
    }
    document.insert("rootfs".to_owned(), json!({ "type": "layers", "diff_ids": diff_ids }));
    document.insert("history".to_owned(), Value::Array(history));
    let config = document.entry("config").or_insert_with(|| json!({}));
    if !config.is_object() {
        *config = json!({});
    }
    if let Value::Object(config) = config {
        set_execution(config, &settings.entrypoint, &settings.execution);
    }
    let config = Config::from_value(Value::Object(document)).map_err(|source| {
        let name = settings.base.as_ref().map_or_else(|| "(none)".to_owned(), |base| base.name.clone());
        ImageError::Base { name, source }
    })?;
    Ok(config.to_bytes())
}

/// Sets what a runtime needs over what the base says.
fn set_execution(config: &mut Map<String, Value>, entrypoint: &[String], execution: &Execution) {
    let mut env: BTreeMap<String, String> = take_array(config, "Env")
        .iter()
        .filter_map(Value::as_str)
        .map(|pair| pair.split_once('=').map_or((pair.to_owned(), String::new()), |(k, v)| (k.to_owned(), v.to_owned())))
        .collect();
    env.extend(execution.env.clone());
    if !env.is_empty() {
        let pairs: Vec<String> = env.iter().map(|(key, value)| format!("{key}={value}")).collect();
        config.insert("Env".to_owned(), json!(pairs));
    }
    if !execution.labels.is_empty() {
        let labels = config.entry("Labels").or_insert_with(|| json!({}));
        if !labels.is_object() {
            *labels = json!({});
        }
        for (key, value) in &execution.labels {
            labels[key] = json!(value);
        }
    }
    if !entrypoint.is_empty() {
        config.insert("Entrypoint".to_owned(), json!(entrypoint));
        config.remove("Cmd");
    }
    if !execution.args.is_empty() {
        config.insert("Cmd".to_owned(), json!(execution.args));
    }
    for (key, names) in [("ExposedPorts", &execution.ports), ("Volumes", &execution.volumes)] {
        if names.is_empty() {
            continue;
        }
        let set = config.entry(key).or_insert_with(|| json!({}));
        if !set.is_object() {
            *set = json!({});
        }
        for name in names {
            set[name] = json!({});
        }
    }
    if let Some(signal) = &execution.stop_signal {
        config.insert("StopSignal".to_owned(), json!(signal));
    }
    if let Some(user) = &execution.user {
        config.insert("User".to_owned(), json!(user));
    }
    if let Some(workdir) = &execution.workdir {
        config.insert("WorkingDir".to_owned(), json!(workdir));
    }
}

fn take_array(map: &mut Map<String, Value>, key: &str) -> Vec<Value> {
    match map.remove(key) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            platform: Platform::new("linux", "amd64"),
            epoch: Epoch::default(),
            entrypoint: vec!["/greeter".to_owned()],
            execution: Execution { env: BTreeMap::from([("B".to_owned(), "2".to_owned())]), ..Execution::default() },
            annotations: BTreeMap::new(),
            base: None,
        }
    }

    fn layer(content: &[u8]) -> Layer {
        let descriptor = Descriptor::of("application/vnd.oci.image.layer.v1.tar", content);
        Layer { diff_id: descriptor.digest.clone(), descriptor }
    }

    #[test]
    fn a_base_keeps_its_unknown_keys_history_and_layers() {
        let base_layer = Descriptor::of("application/vnd.docker.image.rootfs.diff.tar.gzip", b"base");
        let config = json!({
            "architecture": "amd64", "os": "linux", "x-theirs": [1],
            "config": { "Env": ["PATH=/bin", "B=1"], "Cmd": ["sh"], "OnBuild": ["x"] },
            "rootfs": { "type": "layers", "diff_ids": [base_layer.digest] },
            "history": [{ "created_by": "them", "empty_layer": true }, { "created_by": "them too" }],
        });
        let mut settings = settings();
        settings.base = Some(Base {
            name: "base:1".to_owned(),
            digest: Digest::of(b"m"),
            layers: vec![base_layer.clone()],
            config: Config::from_value(config).unwrap(),
        });
        let image = Image::assemble(&settings, vec![layer(b"ours")]).unwrap();
        let config = String::from_utf8(image.config_bytes.clone()).unwrap();
        for part in [
            r#""Env":["B=2","PATH=/bin"]"#,
            r#""x-theirs":[1]"#,
            r#""OnBuild":["x"]"#,
            r#""Entrypoint":["/greeter"]"#,
            r#"{"created_by":"them","empty_layer":true},{"created_by":"them too"},{"created":"1970-01-01T00:00:00Z""#,
        ] {
            assert!(config.contains(part), "{part} is not in {config}");
        }
        assert!(!config.contains("Cmd"), "{config}");
        let manifest = &image.manifest;
        assert_eq!(manifest.layers[0].digest, base_layer.digest);
        assert_eq!(manifest.layers[0].media_type, "application/vnd.oci.image.layer.v1.tar+gzip");
        assert_eq!(manifest.annotations[BASE_NAME], "base:1");
    }

    #[test]
    fn platforms_stand_in_sorted_order() {
        let image = |os: &str, arch: &str| {
            let platform = Platform::new(os, arch);
            Image::assemble(&Settings { platform, ..settings() }, vec![layer(b"x")]).unwrap()
        };
        let index = index_over(&[image("linux", "arm64"), image("darwin", "arm64"), image("linux", "amd64")], BTreeMap::new());
        let order: Vec<String> = index.platforms().iter().map(ToString::to_string).collect();
        assert_eq!(order, ["darwin/arm64", "linux/amd64", "linux/arm64"]);
    }
}
