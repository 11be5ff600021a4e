//! What the command line says about a build, lowered once into decided values.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::config::{Base, Config};
use super::partition::Partition;
use crate::build::kinds::Kind;
use crate::build::sbom::format::Format;
use plugin_oci::values::compression::Compression;
use plugin_oci::values::platform::Platform;
use plugin_oci::values::tag::Tag;

/// Which driver compiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Builder {
    /// `cargo build`.
    #[default]
    Cargo,
    /// `cargo zigbuild`: links with zig, for targets without a linker of their own.
    Zigbuild,
}

impl Builder {
    /// Every builder, in the order of the help text.
    pub const ALL: [Self; 2] = [Self::Cargo, Self::Zigbuild];

    /// The word on the command line, and cargo's subcommand behind it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cargo => "cargo",
            Self::Zigbuild => "zigbuild",
        }
    }
}

/// The flags of a build. Those with a key in the configuration win over it.
#[derive(Clone, Debug, Default)]
pub struct BuildFlags {
    /// `-p`: names, `name@version`, or globs of names.
    pub packages: Vec<String>,
    pub workspace: bool,
    /// `--exclude`, with `--workspace`.
    pub exclude: Vec<String>,
    /// Only a part of the packages.
    pub partition: Option<Partition>,
    pub manifest_path: Option<PathBuf>,

    /// `-F`, each possibly several separated by commas or spaces.
    pub features: Vec<String>,
    pub all_features: bool,
    pub no_default_features: bool,
    /// `--profile`; `release` unless said.
    pub profile: Option<String>,
    pub target_dir: Option<PathBuf>,
    pub locked: bool,
    pub offline: bool,
    pub frozen: bool,
    /// `-j`.
    pub jobs: Option<String>,
    /// How often `-v` was given.
    pub verbose: u8,
    /// `-q`.
    pub quiet: bool,
    /// `--color`, passed on when given.
    pub color: Option<String>,
    /// What follows `--`, for cargo.
    pub cargo_args: Vec<String>,

    /// `--hermetic`: no network and no secrets for what cargo runs. Implies `--locked`.
    pub hermetic: bool,

    pub bin: Option<String>,
    pub kind: Option<Kind>,
    /// `--name`.
    pub name: Option<String>,
    /// `--target`, repeatable.
    pub targets: Vec<String>,
    /// `--platform`, repeatable, mapped to targets.
    pub platforms: Vec<Platform>,
    pub builder: Builder,
    pub base: Option<Base>,
    /// `--settings`: a file with the keys of the table, instead of the one beside the package.
    pub settings: Option<PathBuf>,
    /// `--no-revision`: nothing that git says gets into the image.
    pub no_revision: bool,
    pub compression: Option<Compression>,
    /// `--annotation K=V`.
    pub annotations: BTreeMap<String, String>,
    /// `--label K=V`.
    pub labels: BTreeMap<String, String>,
    /// `-o`.
    pub output: Option<PathBuf>,
    /// `-t`, repeatable.
    pub tags: Vec<Tag>,
    /// Unless `--no-provenance`.
    pub provenance: bool,
    /// Whether what is built is to be published at once.
    pub publishes: bool,
    /// `--sbom`; none with `--no-sbom`.
    pub sbom: Option<Format>,
}

impl BuildFlags {
    /// The profile wanted.
    pub fn profile(&self) -> &str {
        self.profile.as_deref().unwrap_or("release")
    }

    /// Single features, sorted, each once.
    pub fn feature_list(&self) -> Vec<String> {
        let mut features: Vec<String> = self
            .features
            .iter()
            .flat_map(|list| list.split([',', ' ']))
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        features.sort();
        features.dedup();
        features
    }

    /// What the flags say as a table, to be put over those of manifests. Of targets and binaries it is still asked what the
    /// manifests alone say, so these are not in it.
    pub fn table(&self) -> Config {
        let some = |map: &BTreeMap<String, String>| (!map.is_empty()).then(|| map.clone());
        Config {
            kind: self.kind,
            name: self.name.clone(),
            base: self.base.clone(),
            compression: self.compression,
            labels: some(&self.labels),
            annotations: some(&self.annotations),
            ..Config::default()
        }
    }

    /// The first of cargo's own arguments that says what is decided here.
    pub fn contradiction(&self) -> Option<&str> {
        const DECIDED: [&str; 7] =
            ["--target", "--target-dir", "--manifest-path", "--profile", "--release", "-r", "--message-format"];
        let names = self.cargo_args.iter().map(|argument| argument.split_once('=').map_or(argument.as_str(), |(name, _)| name));
        names.into_iter().find(|name| DECIDED.contains(name))
    }

    /// The feature flags as cargo takes them.
    pub fn feature_args(&self) -> Vec<String> {
        let mut args = Vec::new();
        let features = self.feature_list();
        if !features.is_empty() {
            args.extend(["--features".to_owned(), features.join(",")]);
        }
        if self.all_features {
            args.push("--all-features".to_owned());
        }
        if self.no_default_features {
            args.push("--no-default-features".to_owned());
        }
        args
    }

    /// `--locked`, `--offline`, `--frozen`, as given.
    pub fn lock_args(&self) -> Vec<String> {
        let flags = [(self.locked || self.hermetic, "--locked"), (self.offline, "--offline"), (self.frozen, "--frozen")];
        flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag.to_owned()).collect()
    }
}
