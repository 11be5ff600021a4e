//! What to build and how: the flags of every verb that builds first.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::global::{ColorChoice, GlobalArgs};
use crate::build::kinds::Kind;
use crate::build::manifest::config::Base;
use crate::build::manifest::{BuildFlags, Builder};
use crate::build::sbom::format::Format;
use plugin_oci::values::compression::Compression;
use plugin_oci::values::platform::Platform;
use plugin_oci::values::reference::ReferenceError;
use plugin_oci::values::tag::TagError;

/// What to build and how.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct BuildArgs {
    /// Package to build (repeatable)
    #[arg(short, long = "package", value_name = "SPEC", help_heading = "Packages")]
    package: Vec<String>,
    /// Build all plugins of the workspace
    #[arg(long, help_heading = "Packages")]
    workspace: bool,
    /// Leave a package out, with --workspace (repeatable)
    #[arg(long, value_name = "SPEC", requires = "workspace", help_heading = "Packages")]
    exclude: Vec<String>,
    /// The binary, when there are several
    #[arg(long, value_name = "NAME", help_heading = "Packages")]
    bin: Option<String>,
    /// What the plugin is to its host
    #[arg(long, value_name = "KIND", help_heading = "Packages", value_parser = kind())]
    kind: Option<Kind>,
    /// Path of a Cargo.toml
    #[arg(long, value_name = "PATH", help_heading = "Packages")]
    manifest_path: Option<PathBuf>,

    /// Features to enable, separated by spaces or commas
    #[arg(short = 'F', long, value_name = "FEATURES", help_heading = "Cargo")]
    features: Vec<String>,
    /// Enable all features
    #[arg(long, help_heading = "Cargo")]
    all_features: bool,
    /// Do not enable the default feature
    #[arg(long, help_heading = "Cargo")]
    no_default_features: bool,
    /// Profile to build with [default: release]
    #[arg(long, value_name = "NAME", help_heading = "Cargo")]
    profile: Option<String>,
    /// Build with the profile `release`, as cargo's flag does
    #[arg(short, long, conflicts_with = "profile", help_heading = "Cargo")]
    release: bool,
    /// Target triple to build for (repeatable)
    #[arg(long, value_name = "TRIPLE", help_heading = "Cargo")]
    target: Vec<String>,
    /// Directory for everything that cargo makes
    #[arg(long, value_name = "DIR", help_heading = "Cargo")]
    target_dir: Option<PathBuf>,
    /// Require that Cargo.lock is up to date
    #[arg(long, help_heading = "Cargo")]
    locked: bool,
    /// Do not use the network
    #[arg(long, help_heading = "Cargo")]
    offline: bool,
    /// --locked and --offline
    #[arg(long, help_heading = "Cargo")]
    frozen: bool,
    /// Number of parallel jobs
    #[arg(short, long, value_name = "N", help_heading = "Cargo", allow_hyphen_values = true)]
    jobs: Option<String>,

    /// Platform to build for: os/architecture, mapped to a target (repeatable)
    #[arg(long, value_name = "PLATFORM", help_heading = "Image", value_parser = parse_platform)]
    platform: Vec<Platform>,
    /// Build without network, secrets and write access beyond the target directory (Linux); implies --locked
    #[arg(long, help_heading = "Image")]
    hermetic: bool,
    /// What drives the compiler
    #[arg(long, value_name = "BUILDER", help_heading = "Image", value_parser = builder())]
    builder: Option<Builder>,
    /// Layout directory [default: target/plugin-build/PACKAGE; with several packages DIR/PACKAGE]
    #[arg(short, long, value_name = "DIR", help_heading = "Image")]
    output: Option<PathBuf>,
    /// Tag in the layout [default: the package's version] (repeatable)
    #[arg(short, long, value_name = "TAG", help_heading = "Image")]
    tag: Vec<String>,
    /// Compression of layers [default: gzip]
    #[arg(long, value_name = "KIND", help_heading = "Image", value_parser = compression())]
    compression: Option<Compression>,
    /// Image to build on
    #[arg(long, value_name = "IMAGE", help_heading = "Image")]
    base: Option<String>,
    /// File with the keys of [package.metadata.plugin-build] [default: plugin-build.toml beside Cargo.toml]
    #[arg(long, value_name = "FILE", help_heading = "Image")]
    settings: Option<PathBuf>,
    /// Leave out which commit the sources are, and where they can be had
    #[arg(long, help_heading = "Image")]
    no_revision: bool,
    /// Annotation of the image (repeatable)
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Image", value_parser = parse_pair)]
    annotation: Vec<(String, String)>,
    /// Label of the image's configuration (repeatable)
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Image", value_parser = parse_pair)]
    label: Vec<(String, String)>,

    /// Attach a list of what was compiled and packed in another format
    #[arg(long, value_name = "FORMAT", value_parser = one_of(Format::ALL, Format::as_str), help_heading = "Image")]
    sbom: Option<Format>,
    /// Attach no such list
    #[arg(long, conflicts_with = "sbom", help_heading = "Image")]
    no_sbom: bool,
    /// Attach what was built from what and with which tools, as is done anyway
    #[arg(long, hide = true, help_heading = "Image")]
    provenance: bool,
    /// Do not attach what was built from what and with which tools (SLSA provenance)
    #[arg(long, conflicts_with = "provenance", help_heading = "Image")]
    no_provenance: bool,

    /// Whether what is built is pushed at once.
    #[arg(skip)]
    pub publishes: bool,
    /// Arguments for cargo itself
    #[arg(last = true, value_name = "CARGO ARGS")]
    cargo_args: Vec<String>,
}

/// Parses `os/architecture`.
pub fn parse_platform(text: &str) -> Result<Platform, String> {
    text.parse().map_err(|error: plugin_oci::values::platform::PlatformError| error.to_string())
}

/// One of the builders, by its word.
pub fn builder() -> impl TypedValueParser<Value = Builder> {
    one_of(Builder::ALL, Builder::as_str)
}

/// One of the kinds, by its word.
pub fn kind() -> impl TypedValueParser<Value = Kind> {
    one_of(Kind::ALL, Kind::as_str)
}

fn compression() -> impl TypedValueParser<Value = Compression> {
    one_of(Compression::ALL, Compression::as_str)
}

fn one_of<T, const N: usize>(all: [T; N], word: fn(T) -> &'static str) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    let value = move |text: String| all.into_iter().find(|one| word(*one) == text).ok_or("no such word");
    PossibleValuesParser::new(all.map(word)).try_map(value)
}

/// Parses `KEY=VALUE`.
pub fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("want KEY=VALUE".to_owned()),
    }
}

impl BuildArgs {
    /// The arguments after `--`, for a verb that has a use of its own for them.
    pub fn take_arguments(&mut self) -> Vec<String> {
        std::mem::take(&mut self.cargo_args)
    }

    /// Compiles fast rather than small, under a tag that no release has, where nothing else was asked for.
    pub fn for_development(&mut self) {
        self.profile.get_or_insert_with(|| if self.release { "release" } else { "dev" }.to_owned());
        if self.tag.is_empty() {
            self.tag.push("dev".to_owned());
        }
    }

    /// The tags, for a verb that gives them to an image that it does not build.
    pub fn take_tags(&mut self) -> Vec<String> {
        std::mem::take(&mut self.tag)
    }

    /// Whether something was said that only a build can heed. A platform can be chosen of an image that is there.
    pub fn is_of_build(&self) -> bool {
        *self != Self { platform: self.platform.clone(), publishes: self.publishes, ..Self::default() }
    }

    /// The platforms asked for.
    pub fn platforms(&self) -> &[Platform] {
        &self.platform
    }

    /// The flags as decided values.
    pub fn flags(&self, global: &GlobalArgs) -> Result<BuildFlags, ReferenceError> {
        let args = self.clone();
        let tags = args.tag.iter().map(|tag| tag.parse()).collect::<Result<_, TagError>>()?;
        Ok(BuildFlags {
            packages: args.package,
            workspace: args.workspace,
            exclude: args.exclude,
            partition: None,
            manifest_path: args.manifest_path,
            features: args.features,
            all_features: args.all_features,
            no_default_features: args.no_default_features,
            profile: args.profile.or_else(|| args.release.then(|| "release".to_owned())),
            target_dir: args.target_dir,
            locked: args.locked,
            offline: args.offline,
            frozen: args.frozen,
            jobs: args.jobs,
            verbose: global.verbose,
            quiet: global.quiet,
            color: (global.color != ColorChoice::Auto).then(|| global.color.as_str().to_owned()),
            cargo_args: args.cargo_args,
            hermetic: args.hermetic,
            bin: args.bin,
            kind: args.kind,
            name: None,
            targets: args.target,
            platforms: args.platform,
            builder: args.builder.unwrap_or_default(),
            base: args.base.map(Base::All),
            settings: args.settings,
            no_revision: args.no_revision,
            compression: args.compression,
            annotations: args.annotation.into_iter().collect(),
            labels: args.label.into_iter().collect(),
            output: args.output,
            tags,
            provenance: !args.no_provenance,
            sbom: (!args.no_sbom).then(|| args.sbom.unwrap_or_default()),
            publishes: args.publishes || args.provenance,
        })
    }
}
