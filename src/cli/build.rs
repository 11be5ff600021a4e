//! `build`, the main job: cargo's flags under cargo's names, and our own.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::args::{ColorChoice, GlobalArgs};
use super::context::{Context, json_line};
use super::copy::CarryArgs;
use super::push;
use crate::build::manifest::{BuildFlags, Builder};
use crate::build::plan::Plan;
use crate::build::{self, Built};
use crate::images::copy::Target;
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::fs;
use plugin_oci::interrupt::within;
use plugin_oci::values::compression::Compression;
use plugin_oci::values::platform::Platform;
use plugin_oci::values::reference::Reference;

/// What to build and how: shared by every verb that builds first.
#[derive(Debug, Clone, Default, Args)]
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
    #[arg(long, value_name = "BUILDER", help_heading = "Image", value_parser = ["cargo", "zigbuild"])]
    builder: Option<String>,
    /// Layout directory [default: target/plugin-build/PACKAGE; with several packages DIR/PACKAGE]
    #[arg(short, long, value_name = "DIR", help_heading = "Image")]
    output: Option<PathBuf>,
    /// Tag in the layout [default: the package's version] (repeatable)
    #[arg(short, long, value_name = "TAG", help_heading = "Image")]
    tag: Vec<String>,
    /// Compression of layers [default: gzip]
    #[arg(long, value_name = "KIND", help_heading = "Image", value_parser = ["gzip", "zstd", "none"])]
    compression: Option<String>,
    /// Image to build on
    #[arg(long, value_name = "IMAGE", help_heading = "Image")]
    base: Option<String>,
    /// Annotation of the image (repeatable)
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Image", value_parser = parse_pair)]
    annotation: Vec<(String, String)>,
    /// Label of the image's configuration (repeatable)
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Image", value_parser = parse_pair)]
    label: Vec<(String, String)>,

    /// Attach what was built from what and with which tools (SLSA provenance)
    #[arg(long, help_heading = "Image")]
    provenance: bool,

    /// Arguments for cargo itself
    #[arg(last = true, value_name = "CARGO ARGS")]
    cargo_args: Vec<String>,
}

/// Flags that only `build` itself has.
#[derive(Debug, Clone, Default, Args)]
pub struct BuildVerbArgs {
    #[command(flatten)]
    build: BuildArgs,
    /// Longest that planning, compiling and packing may take together: `10m`
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, help_heading = "Cargo")]
    timeout: Option<Duration>,
    /// Print everything that is decided, and do nothing
    #[arg(long, help_heading = "Image")]
    dry_run: bool,
    /// Push the image to a repository too, under its own tags or the one given (repeatable)
    #[arg(long, value_name = "REPO[:TAG]", conflicts_with = "dry_run", help_heading = "Image")]
    push: Vec<String>,
    /// Write the JSON of the result to a file as well
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    metadata_file: Option<PathBuf>,
}

/// Parses `os/architecture`.
pub fn parse_platform(text: &str) -> Result<Platform, String> {
    text.parse().map_err(|error: plugin_oci::values::platform::PlatformError| error.to_string())
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
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

    /// The platforms asked for.
    pub fn platforms(&self) -> &[Platform] {
        &self.platform
    }

    /// The flags as decided values.
    pub fn flags(&self, global: &GlobalArgs) -> BuildFlags {
        let args = self.clone();
        BuildFlags {
            packages: args.package,
            workspace: args.workspace,
            exclude: args.exclude,
            manifest_path: args.manifest_path,
            features: args.features,
            all_features: args.all_features,
            no_default_features: args.no_default_features,
            profile: args.profile,
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
            targets: args.target,
            platforms: args.platform,
            builder: if args.builder.as_deref() == Some("zigbuild") { Builder::Zigbuild } else { Builder::Cargo },
            base: args.base,
            compression: args.compression.and_then(|word| word.parse::<Compression>().ok()),
            annotations: args.annotation.into_iter().collect(),
            labels: args.label.into_iter().collect(),
            output: args.output,
            tags: args.tag,
            provenance: args.provenance,
        }
    }
}

/// Builds and prints one line or object per plugin.
pub fn build(args: &BuildVerbArgs, context: &Context) -> Result<ExitCode, Error> {
    let flags = args.build.flags(&context.global);
    let mut targets = Vec::new();
    let built = within(args.timeout, || {
        let plan = build::plan(&flags, &context.env, context.progress())?;
        if args.dry_run {
            // JSON for people is JSON all the same, and the user's own.
            if context.json() {
                context.result("plan", &plan, String::new);
            } else {
                context.print_bytes(format!("{}\n", serde_json::to_string_pretty(&plan).unwrap_or_default()).as_bytes());
            }
            return Ok(Vec::new());
        }
        targets = push_targets(&args.push, plan.images.len())?;
        build::build(&plan, &context.global.registries.settings(), &context.env, context.progress())
    })?;
    if args.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    for image in &built {
        context.result("plugin-image", image, || line(image, context));
    }
    if let Some(file) = &args.metadata_file {
        let text: String = built.iter().map(|image| json_line("plugin-image", image) + "\n").collect();
        let file = context.path(file);
        file.parent().map_or(Ok(()), fs::create_dirs)?;
        fs::write_atomically(&file, text.as_bytes())?;
    }
    let mut earlier = None;
    for image in &built {
        for target in &targets {
            push_image(image, target, &mut earlier, context)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Where to push; several images need a place each, which only a prefix gives them.
fn push_targets(repositories: &[String], images: usize) -> Result<Vec<Target>, Error> {
    if images > 1
        && let Some(repository) = repositories.iter().find(|repository| !repository.ends_with('/'))
    {
        let message = format!("{images} plugins cannot all be pushed to `{repository}`");
        return Err(Complaint::usage(message).with_hint("end it with a slash: each goes to PREFIX/NAME").into());
    }
    repositories.iter().map(|repository| push::target(repository)).collect()
}

/// Pushes under the tag that the target names, else under each of the image's own.
fn push_image(image: &Built, target: &Target, earlier: &mut Option<String>, context: &Context) -> Result<(), Error> {
    let tags = if target.has_tag() { image.tags.get(..1).unwrap_or_default() } else { image.tags.as_slice() };
    for tag in tags {
        let reference = Reference::layout(&image.layout, Some(tag.clone()));
        push::push_to(&reference, target.clone(), &CarryArgs::default(), earlier, context)?;
    }
    Ok(())
}

/// `oci:<dir>:<first tag>`, the directory as seen from here where it lies below.
fn line(image: &Built, context: &Context) -> String {
    let dir = image.layout.strip_prefix(&context.env.cwd).unwrap_or(&image.layout);
    format!("oci:{}:{}", dir.display(), image.tags.first().map_or("", String::as_str))
}

/// Builds the one selected plugin for a verb that goes on with it.
pub fn build_one(args: &BuildArgs, context: &Context) -> Result<Built, Error> {
    let flags = args.flags(&context.global);
    let plan = build::plan(&flags, &context.env, context.progress())?;
    if plan.images.len() != 1 {
        return Err(not_one(&plan).into());
    }
    build::build(&plan, &context.global.registries.settings(), &context.env, context.progress())?
        .pop()
        .ok_or_else(|| Complaint::failed("nothing was built").into())
}

/// Says that a verb takes one plugin.
pub fn not_one(plan: &Plan) -> Complaint {
    let names: Vec<&str> = plan.images.iter().map(|image| image.package.as_str()).collect();
    let message = format!("this verb takes one plugin, and {} are selected: {}", names.len(), names.join(", "));
    Complaint::usage(message).with_hint("choose one with `-p`")
}
