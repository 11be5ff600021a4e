//! Image configurations (image-spec, `config.md`), kept as a tree so that keys unknown here survive.

use oci_spec::image as spec;
use serde_json::{Map, Value};

use super::{DocumentError, check_names, json, typed};
use crate::values::digest::Digest;
use crate::values::platform::Platform;

const MEMBERS: [&str; 10] =
    ["created", "author", "architecture", "os", "os.version", "os.features", "variant", "config", "rootfs", "history"];
const ROOTFS: [&str; 2] = ["type", "diff_ids"];
/// What a runtime is told.
const CONFIG: [&str; 10] =
    ["User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal", "ArgsEscaped"];

/// A configuration: the document as it is, and what was checked of it.
#[derive(Clone, Debug)]
pub struct Config {
    tree: Map<String, Value>,
    spec: spec::ImageConfiguration,
    diff_ids: Vec<Digest>,
}

impl Config {
    /// Parses checked bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        Self::from_value(json::parse(bytes)?)
    }

    /// Takes a document that was put together here.
    pub fn from_value(value: Value) -> Result<Self, DocumentError> {
        check_names(&value, &MEMBERS)?;
        for (key, names) in [("rootfs", &ROOTFS[..]), ("config", &CONFIG)] {
            value.get(key).map_or(Ok(()), |part| check_names(part, names))?;
        }
        let tree: Map<String, Value> = typed("image configuration", value.clone())?;
        let spec: spec::ImageConfiguration = typed("image configuration", value)?;
        if spec.rootfs().typ() != "layers" {
            return Err(DocumentError::RootfsType(spec.rootfs().typ().clone()));
        }
        let diff_ids = spec.rootfs().diff_ids().iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        Ok(Self { tree, spec, diff_ids })
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        json::object_to_canonical(&self.tree)
    }

    /// The whole document.
    pub fn tree(&self) -> &Map<String, Value> {
        &self.tree
    }

    /// The typed view.
    pub fn spec(&self) -> &spec::ImageConfiguration {
        &self.spec
    }

    /// Digests of the uncompressed layers, the base first.
    pub fn diff_ids(&self) -> &[Digest] {
        &self.diff_ids
    }

    /// What the image says it runs on.
    pub fn platform(&self) -> Platform {
        Platform {
            os: self.spec.os().to_string(),
            architecture: self.spec.architecture().to_string(),
            variant: self.spec.variant().clone().filter(|variant| !variant.is_empty()),
            os_version: self.spec.os_version().clone().filter(|version| !version.is_empty()),
        }
    }

    /// The command line that a runtime would start: entrypoint, then arguments.
    pub fn command_line(&self) -> Vec<String> {
        let config = self.spec.config().as_ref();
        let part = |get: fn(&spec::Config) -> &Option<Vec<String>>| config.and_then(|c| get(c).clone()).unwrap_or_default();
        let mut line = part(spec::Config::entrypoint);
        line.extend(part(spec::Config::cmd));
        line
    }
}
