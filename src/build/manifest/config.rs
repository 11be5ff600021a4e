//! The keys of `[package.metadata.plugin-build]` and `[workspace.metadata.plugin-build]`, as types.
//!
//! These types are the only list of keys: reading, the nearest-key suggestion and the JSON schema all come from them.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};

use crate::build::kinds::Kind;
use plugin_oci::documents::image::Execution;
use plugin_oci::values::compression::Compression;

/// One table, as written: what is absent is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "plugin-build", description = "The table [package.metadata.plugin-build] of a Cargo.toml")]
pub struct Config {
    /// What the plugin is to its host. Inferred from the package's targets when absent.
    pub kind: Option<Kind>,
    /// The plugin's name; the package's when absent.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_][A-Za-z0-9._-]*$"))]
    pub name: Option<String>,
    /// The binary to compile, when there are several.
    pub bin: Option<String>,
    /// Target triples; the host's when absent.
    #[schemars(length(min = 1))]
    pub targets: Option<Vec<String>>,
    /// Files to pack beside the artifact.
    pub files: Option<Vec<FileRule>>,
    /// What the image starts; the artifact when absent.
    pub entrypoint: Option<Vec<String>>,
    /// Default arguments of the entrypoint.
    pub args: Option<Vec<String>>,
    /// The user, `name`, `uid` or `uid:gid`.
    pub user: Option<String>,
    /// The working directory, absolute.
    pub workdir: Option<String>,
    /// Environment variables.
    pub env: Option<BTreeMap<String, String>>,
    /// Labels of the image config.
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations of manifest and index.
    pub annotations: Option<BTreeMap<String, String>>,
    /// Users that the image knows by name: `/etc/passwd` and `/etc/group`, behind those of a base.
    pub passwd: Option<Vec<User>>,
    /// The certificates of public authorities, at `/etc/ssl/certs/ca-certificates.crt`.
    pub ca_certificates: Option<bool>,
    /// The time zone database, at `/usr/share/zoneinfo`.
    pub timezone_data: Option<bool>,
    /// Ports that the program listens at.
    pub ports: Option<Vec<Port>>,
    /// Directories whose content is to outlive a container, absolute.
    pub volumes: Option<Vec<String>>,
    /// The signal that asks the program to end, by its name.
    #[schemars(regex(pattern = r"^SIG[A-Z0-9]+$"))]
    pub stop_signal: Option<String>,
    /// The image to build on: `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or `docker://...`, or a table of them by platform.
    /// Nothing when absent.
    pub base: Option<Base>,
    /// What a `library` is in: an artifact of its own, or an ordinary image.
    pub shape: Option<Shape>,
    /// How layers are compressed.
    pub compression: Option<Compression>,
    /// Packs the loader and the libraries that a dynamically linked artifact needs.
    pub bundle_libs: Option<bool>,
    /// Embeds the list of crates that it was compiled from into the program, as cargo-auditable does.
    pub auditable: Option<bool>,
    /// How many of its last builds the package's own layout keeps; all that have a tag when absent.
    pub keep: Option<NonZeroUsize>,
    /// Where the contract of a `cosmo-router` plugin lies.
    pub contract: Option<Contract>,
}

/// Files to pack.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "a table such as { from = \"assets/**\", to = \"share/\" }")]
pub struct FileRule {
    /// A glob, a file or a directory, relative to the package.
    pub from: String,
    /// The directory in the image that it lands in; the root when absent.
    #[serde(default)]
    pub to: String,
    /// Permission bits in octal; 0644 when absent.
    #[schemars(regex(pattern = r"^0?[0-7]{3}$"))]
    pub mode: Option<String>,
}

/// A user of the image.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "a table such as { name = \"app\", uid = 1000 }")]
pub struct User {
    /// The name, which its group has too, unless that is another's.
    #[schemars(regex(pattern = r"^[A-Za-z_][A-Za-z0-9_.-]{0,31}$"))]
    pub name: String,
    /// The user's number.
    pub uid: u32,
    /// The group's number; the user's when absent.
    pub gid: Option<u32>,
    /// The home directory, absolute, which nobody makes; `/` when absent.
    pub home: Option<String>,
    /// What a login would start, absolute; `/sbin/nologin` when absent.
    pub shell: Option<String>,
}

/// A port, of TCP unless something else is said.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a port such as 8080 or \"53/udp\"")]
pub enum Port {
    Number(#[schemars(range(min = 1))] u16),
    Text(#[schemars(regex(pattern = r"^[0-9]{1,5}(/(tcp|udp|sctp))?$"))] String),
}

/// An image to build on, or one for each platform, such as `linux/amd64`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "an image such as \"oci:DIR:TAG\", or a table of images by platform")]
pub enum Base {
    All(String),
    Each(BTreeMap<String, String>),
}

/// What a plugin is wrapped in, where there is a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// An artifact of its own type, which no container engine takes for an image.
    #[default]
    Artifact,
    /// An ordinary image, which every engine takes.
    Image,
}

/// The files that tell a router's composer what a plugin answers, relative to the package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "a table such as { schema = \"src/schema.graphql\" }")]
pub struct Contract {
    /// The GraphQL schema; `src/schema.graphql` when absent.
    pub schema: Option<String>,
    /// The protobuf service; `generated/service.proto` when absent.
    pub proto: Option<String>,
    /// How the one maps to the other; `generated/mapping.json` when absent.
    pub mapping: Option<String>,
    /// Field numbers already given out; `generated/service.proto.lock.json` when absent.
    pub lock: Option<String>,
}

impl Config {
    /// Puts this table over a weaker one: maps merge by key, everything else is replaced.
    #[must_use]
    pub fn over(self, weaker: Self) -> Self {
        Self {
            kind: self.kind.or(weaker.kind),
            name: self.name.or(weaker.name),
            bin: self.bin.or(weaker.bin),
            targets: self.targets.or(weaker.targets),
            files: self.files.or(weaker.files),
            entrypoint: self.entrypoint.or(weaker.entrypoint),
            args: self.args.or(weaker.args),
            user: self.user.or(weaker.user),
            workdir: self.workdir.or(weaker.workdir),
            env: merge(self.env, weaker.env),
            labels: merge(self.labels, weaker.labels),
            annotations: merge(self.annotations, weaker.annotations),
            passwd: self.passwd.or(weaker.passwd),
            ca_certificates: self.ca_certificates.or(weaker.ca_certificates),
            timezone_data: self.timezone_data.or(weaker.timezone_data),
            ports: self.ports.or(weaker.ports),
            volumes: self.volumes.or(weaker.volumes),
            stop_signal: self.stop_signal.or(weaker.stop_signal),
            base: match (self.base, weaker.base) {
                (Some(Base::Each(strong)), Some(Base::Each(weak))) => merge(Some(strong), Some(weak)).map(Base::Each),
                (strong, weak) => strong.or(weak),
            },
            shape: self.shape.or(weaker.shape),
            compression: self.compression.or(weaker.compression),
            bundle_libs: self.bundle_libs.or(weaker.bundle_libs),
            auditable: self.auditable.or(weaker.auditable),
            keep: self.keep.or(weaker.keep),
            contract: match (self.contract, weaker.contract) {
                (Some(strong), Some(weak)) => Some(strong.over(weak)),
                (strong, weak) => strong.or(weak),
            },
        }
    }

    /// How a runtime starts what the image holds.
    pub fn execution(&self) -> Execution {
        Execution {
            args: self.args.clone().unwrap_or_default(),
            user: self.user.clone(),
            workdir: self.workdir.clone(),
            ports: self.ports.iter().flatten().filter_map(Port::spelled).collect(),
            volumes: self.volumes.iter().flatten().cloned().collect(),
            stop_signal: self.stop_signal.clone(),
            env: self.env.clone().unwrap_or_default(),
            labels: self.labels.clone().unwrap_or_default(),
        }
    }

    /// The keys of this table that only mean something to what is started in the image.
    pub(in crate::build) fn keys_of_a_system(&self) -> impl Iterator<Item = &'static str> {
        let keys = [
            ("ports", self.ports.is_some()),
            ("volumes", self.volumes.is_some()),
            ("stop-signal", self.stop_signal.is_some()),
            ("passwd", self.passwd.is_some()),
            ("ca-certificates", self.ca_certificates == Some(true)),
            ("timezone-data", self.timezone_data == Some(true)),
        ];
        keys.into_iter().filter(|(_, is_set)| *is_set).map(|(key, _)| key)
    }

    /// The JSON schema of the table.
    pub fn schema() -> Schema {
        schema_for!(Self)
    }

    /// The keys that a table may hold: the whole table at "", a rule at `files`, a user at `passwd`, the contract at
    /// `contract`. `None` for a
    /// table whose keys are the user's.
    pub(super) fn keys_of(table: &str) -> Option<Vec<String>> {
        let schema = match table {
            "" => schema_for!(Self),
            "files" => schema_for!(FileRule),
            "passwd" => schema_for!(User),
            "contract" => schema_for!(Contract),
            _ => return None,
        };
        let properties = schema.get("properties")?.as_object()?;
        Some(properties.keys().cloned().collect())
    }
}

impl Port {
    /// As OCI spells it, `8080/tcp`; `None` where it is no port.
    pub fn spelled(&self) -> Option<String> {
        let (number, protocol) = match self {
            Self::Number(number) => (*number, "tcp"),
            Self::Text(text) => {
                let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
                (number.parse().ok().filter(|_| number.bytes().all(|byte| byte.is_ascii_digit()))?, protocol)
            }
        };
        (number > 0 && ["tcp", "udp", "sctp"].contains(&protocol)).then(|| format!("{number}/{protocol}"))
    }
}

impl Contract {
    fn over(self, weaker: Self) -> Self {
        Self {
            schema: self.schema.or(weaker.schema),
            proto: self.proto.or(weaker.proto),
            mapping: self.mapping.or(weaker.mapping),
            lock: self.lock.or(weaker.lock),
        }
    }
}

type Map = Option<BTreeMap<String, String>>;

fn merge(strong: Map, weak: Map) -> Map {
    match (strong, weak) {
        (Some(strong), Some(mut weak)) => {
            weak.extend(strong);
            Some(weak)
        }
        (strong, weak) => strong.or(weak),
    }
}
