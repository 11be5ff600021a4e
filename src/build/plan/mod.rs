//! Everything about a build, decided before anything is done: [`plan`] turns a [`Workspace`] into a [`Plan`].
//!
//! A plan is pure data. `--dry-run` prints it; nothing later decides anything that is not in it.
//!
//! - [`remap`]: which paths are hidden from the compilers, behind which names.
//! - [`rustflags`]: ours beside the user's.
//! - [`invocation`]: the cargo commands.
//! - [`identity`]: crates outside the workspace under names that do not tell where they lie, and [`out_dirs`], what their build
//!   scripts make.
//! - [`system`]: what every system has and an empty image lacks.
//! - [`request`]: the record from which the same artifact can be built again.
//! - [`annotations`]: what the image says about itself; [`destination`]: where it goes.
//! - `hazards`: what would make bytes differ all the same.
//!
//! # What makes a build the same everywhere
//!
//! - Always `--target`, the host's too: without it cargo passes rustflags to build scripts, and the bytes differ.
//! - `CARGO_INCREMENTAL=0`, absolute paths remapped for rustc and C compilers, `SOURCE_DATE_EPOCH` set for build scripts
//!   that honour it.
//! - A `*-linux-gnu` program in an image without base is linked with `+crt-static`: nothing there could load it otherwise.
//!   It then embeds the host's libc, so that another distribution gives other bytes; a note says so.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::build::hermetic::{self, Ground, HermeticError, Output, Sandbox, WantedLinker};
use crate::build::kinds::{Kind, Placement, Product, Subject};
use crate::build::manifest::bases::Bases;
use crate::build::manifest::files::PackedFile;
use crate::build::manifest::{self, BuildFlags, Builder, ContractFiles, Plugin, Workspace};
use crate::build::repository::revision::{self, Revision};
use crate::build::sbom::format::Format;
use crate::build::toolchain::config::CargoConfig;
use crate::build::toolchain::linker::Linker;
use crate::build::toolchain::metadata::MetadataOptions;
use crate::build::toolchain::{ToolchainError, find_program};
use crate::hosts::cosmo::contract::directory;
use crate::hosts::cosmo::rules;
use plugin_oci::documents::image::Execution;
use plugin_oci::environment::Environment;
use plugin_oci::failure::Error;
use plugin_oci::fs::stamps;
use plugin_oci::progress::{Event, Progress};
use plugin_oci::values::compression::Compression;
use plugin_oci::values::epoch::Epoch;
use plugin_oci::values::platform::{Platform, split_glibc};
use plugin_oci::values::reference::Reference;
use plugin_oci::values::tag::Tag;

pub mod annotations;
pub mod destination;
mod error;
mod hazards;
pub mod identity;
pub mod invocation;
pub mod out_dirs;
pub mod remap;
pub mod request;
pub mod rustflags;
pub mod system;

pub use error::{Misplaced, PlanError};

use destination::Destination;
use invocation::Invocation;
use remap::Remap;
use rustflags::TargetFlags;
use system::System;

/// Everything about a build.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    pub workspace_root: PathBuf,
    /// Where artifacts go.
    pub target_directory: PathBuf,
    /// Where intermediate files go.
    pub build_directory: PathBuf,
    /// Where is kept what the next build need not find out again: not where a hermetic build can write.
    #[serde(skip)]
    pub records: PathBuf,
    /// The compiler: `rustc -vV` and sysroot.
    pub rustc: crate::build::toolchain::rustc::Rustc,
    /// The linker of each target. Facts for the provenance, not for the image.
    pub linkers: BTreeMap<String, Linker>,
    /// Paths hidden from the compilers, in the order in which they are passed.
    pub remaps: Vec<Remap>,
    /// The cargo commands, in order.
    pub invocations: Vec<Invocation>,
    /// What fetches the sources first, under `--hermetic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fetch: Option<Invocation>,
    /// Where that happens.
    #[serde(skip)]
    pub fetching: Option<Sandbox>,
    /// Where the commands run, under `--hermetic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hermetic: Option<Sandbox>,
    /// Whether the network is out of bounds, for base images too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub offline: bool,
    /// The only time in the images.
    pub epoch: Epoch,
    /// Whether each image's provenance is attached to it.
    pub provenance: bool,
    /// The format of the bill of materials that is attached to each image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sbom: Option<Format>,
    /// Where the sources stood before the build, where git knows.
    #[serde(skip)]
    pub revision: Option<Revision>,
    /// How cargo is asked for the graph of what it compiled.
    #[serde(skip)]
    pub question: MetadataOptions,
    /// The images, one a plugin.
    pub images: Vec<ImagePlan>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImagePlan {
    /// The package's name.
    pub package: String,
    /// Cargo's identifier of the package.
    pub package_id: String,
    /// The package's version.
    pub version: String,
    /// The plugin's name.
    pub name: String,
    /// What it is to its host.
    pub kind: Kind,
    /// What cargo builds.
    pub product: Product,
    /// Tags in the layout; never empty.
    pub tags: Vec<Tag>,
    /// The layout directory, absolute.
    pub output: PathBuf,
    /// Whether the layout lies at its default place, which is disposable.
    pub output_is_default: bool,
    /// How many of its last builds the layout keeps; all that have a tag when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<NonZeroUsize>,
    /// One manifest each, in the order of platforms.
    pub targets: Vec<TargetPlan>,
    /// Files beside the artifact, sorted by path.
    pub files: Vec<PackedFile>,
    /// How layers are compressed.
    pub compression: Compression,
    /// The images to build on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Bases>,
    /// Whether it is no image that an engine takes.
    #[serde(skip)]
    pub is_artifact: bool,
    /// What is packed below everything of the user's.
    #[serde(skip_serializing_if = "System::is_empty")]
    pub system: System,
    /// How it is started.
    #[serde(flatten)]
    pub execution: Execution,
    /// Annotations of every manifest and of the index.
    pub annotations: BTreeMap<String, String>,
    /// Whether needed libraries are packed too.
    pub bundle_libs: bool,
    /// Whether the program carries the list of its crates.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub auditable: bool,
    /// The contract's files, for `cosmo-router`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contract: Option<ContractFiles>,
}

/// One platform of an image.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TargetPlan {
    /// The target triple.
    pub target: String,
    pub platform: Platform,
    /// Where the artifact lies, its mode, and what starts it.
    pub place: Placement,
    /// The image to build on.
    #[serde(skip)]
    pub base: Option<Reference>,
    /// Whether the artifact has to be static, because nothing in the image could load it otherwise.
    pub must_be_static: bool,
    /// Canonical JSON of what was asked of cargo: the annotation `dev.cargo-plugin-build.request` of this platform's
    /// manifest.
    pub request: String,
    /// Whether `request` says everything.
    pub rebuildable: bool,
}

/// Decides everything.
pub fn plan(workspace: &Workspace, flags: &BuildFlags, env: &Environment, progress: &dyn Progress) -> Result<Plan, Error> {
    let epoch = match env.os("SOURCE_DATE_EPOCH") {
        Some(text) => Epoch::parse(&text.to_string_lossy())?,
        None => Epoch::default(),
    };
    for plugin in &workspace.plugins {
        preflight(plugin, progress)?;
    }
    let revision = if flags.no_revision { None } else { ask_revision(workspace, flags, env, progress)? };
    let remaps = remap::remaps(workspace, flags.hermetic, env);
    let targets = target_flags(workspace, flags, &remaps, env, progress)?;
    hazards::tell(workspace, flags, env, progress);
    let revision = revision.map(revision::Asked::answer).transpose()?.flatten();
    if let Some(revision) = revision.as_ref().filter(|revision| revision.is_dirty) {
        let text = format!("the sources differ from their commit: their revision is {}", revision.text());
        progress.event(Event::Note { text });
    }
    let mut images = Vec::new();
    for plugin in &workspace.plugins {
        // A part of several is laid out as the whole would be, whatever it has.
        let several = workspace.plugins.len() > 1 || flags.partition.is_some();
        let planner = Planner { workspace, flags, env, targets: &targets, several, revision: revision.as_ref(), progress };
        images.push(planner.image(plugin)?);
    }
    if flags.publishes || !workspace.target_directory.join(stamps::DIRECTORY).join(NOTED).exists() {
        note_static_gnu(&images, &targets, progress);
    }
    let linkers: BTreeMap<String, Linker> =
        targets.iter().map(|(target, flags)| (target.clone(), flags.linker.clone())).collect();
    let ground = workspace.ground.as_ref();
    let hermetic = ground.map(|ground| sandbox(ground, workspace, flags, &targets)).transpose()?;
    let fetching = ground.filter(|_| hermetic.as_ref().is_some_and(|sandbox| sandbox.fetches)).map(Ground::fetching);
    let fetching = fetching.transpose()?;
    let fetch = fetching.as_ref().map(|_| invocation::fetch(workspace, flags, env));
    let mut build_flags = flags.clone();
    let mut target_directory = workspace.target_directory.clone();
    if flags.hermetic {
        target_directory.push(hermetic::TARGET);
        build_flags = BuildFlags { frozen: true, target_dir: Some(target_directory.clone()), ..build_flags };
    }
    let invocations = invocation::invocations(workspace, &build_flags, &targets, &remaps, epoch, env);
    Ok(Plan {
        workspace_root: workspace.root.clone(),
        target_directory,
        build_directory: workspace.build_directory.clone(),
        records: workspace.target_directory.join(stamps::DIRECTORY),
        rustc: workspace.rustc.clone(),
        linkers,
        remaps,
        invocations,
        fetch,
        fetching,
        hermetic,
        offline: flags.offline || flags.frozen,
        epoch,
        provenance: flags.provenance,
        sbom: flags.sbom,
        revision,
        question: workspace.question.clone(),
        images,
    })
}

/// Asks git which commit the sources are, while everything else is decided.
fn ask_revision(
    workspace: &Workspace,
    flags: &BuildFlags,
    env: &Environment,
    progress: &dyn Progress,
) -> Result<Option<revision::Asked>, HermeticError> {
    let output = flags.output.as_ref().map(|output| env.resolve(output));
    let products = [&workspace.target_directory, &workspace.build_directory].into_iter().chain(&output);
    let products: Vec<&Path> = products.map(PathBuf::as_path).collect();
    let sandbox = workspace.ground.as_ref().map(Ground::questions_to_git).transpose()?;
    Ok(revision::ask(&workspace.root, &products, manifest::place(sandbox.as_ref(), env), progress))
}

/// What a hermetic build sees.
fn sandbox(
    ground: &Ground,
    workspace: &Workspace,
    flags: &BuildFlags,
    targets: &BTreeMap<String, TargetFlags>,
) -> Result<Sandbox, HermeticError> {
    let linkers = targets
        .values()
        .map(|target| WantedLinker { program: target.linker.program.clone(), is_of_sources: target.linker_is_of_sources });
    let output =
        Output { target: &workspace.target_directory, build: &workspace.build_directory, is_given: flags.target_dir.is_some() };
    ground.building(output, &linkers.collect::<Vec<_>>(), !flags.offline && !flags.frozen)
}

/// The flags of every target wanted, after checking that its standard library and linker are there.
fn target_flags(
    workspace: &Workspace,
    flags: &BuildFlags,
    remaps: &[Remap],
    env: &Environment,
    progress: &dyn Progress,
) -> Result<BTreeMap<String, TargetFlags>, Error> {
    let zigbuild = flags.builder == Builder::Zigbuild;
    if zigbuild && find_program("cargo-zigbuild".as_ref(), env).is_none() {
        return Err(ToolchainError::NoZigbuild.into());
    }
    let config = &workspace.cargo_config;
    let mut targets = BTreeMap::new();
    for target in workspace.plugins.iter().flat_map(|plugin| &plugin.targets) {
        if targets.contains_key(target) {
            continue;
        }
        let (triple, glibc) = split_glibc(target);
        if glibc.is_some() && !zigbuild {
            return Err(PlanError::Glibc { target: target.clone(), triple: triple.to_owned() }.into());
        }
        if !config.builds_std(&flags.cargo_args) {
            workspace.rustc.check_std(triple, workspace.place(env), progress)?;
        }
        let cfgs = if config.needs_cfgs() { workspace.rustc.cfgs(triple, workspace.place(env), progress)? } else { Vec::new() };
        let users = config.rustflags(triple, &cfgs);
        let choose =
            |config: &CargoConfig| Linker::of(triple, config.linker(triple, &cfgs), &config.rustflags(triple, &cfgs).flags);
        let linker = if zigbuild { Linker::zig() } else { choose(config) };
        let callers = workspace.ground.as_ref().map(|ground| choose(ground.own_config()));
        let linker_is_of_sources = !zigbuild && callers.is_some_and(|callers| callers != linker);
        if !zigbuild {
            let is_static = |plugin: &Plugin| plugin.targets.contains(target) && rustflags::wants_static(plugin, target);
            let zig_could = !(rustflags::is_linux_gnu(target) && workspace.plugins.iter().any(is_static));
            linker.check(triple, &workspace.rustc, zig_could, env)?;
        }
        let remap_flags = remap::rustflags(remaps, &workspace.rustc);
        targets.insert(target.clone(), TargetFlags { users, remaps: remap_flags, linker, linker_is_of_sources });
    }
    Ok(targets)
}

/// The file that says that something was built here, and its builder told what depends on this machine.
pub const NOTED: &str = "noted";

/// Tells once that static gnu programs embed the host's libc.
fn note_static_gnu(images: &[ImagePlan], targets: &BTreeMap<String, TargetFlags>, progress: &dyn Progress) {
    let is_static_gnu = |target: &&TargetPlan| target.must_be_static && rustflags::is_linux_gnu(&target.target);
    let found = images.iter().flat_map(|image| &image.targets).filter(|target| targets.contains_key(&target.target));
    if let Some(target) = { found }.find(is_static_gnu) {
        progress.event(Event::Note {
            text: format!(
                "{} links this machine's libc into the program: another distribution gives other bytes, a musl target does not",
                target.target
            ),
        });
    }
}

struct Planner<'a> {
    workspace: &'a Workspace,
    flags: &'a BuildFlags,
    env: &'a Environment,
    targets: &'a BTreeMap<String, TargetFlags>,
    several: bool,
    revision: Option<&'a Revision>,
    progress: &'a dyn Progress,
}

impl Planner<'_> {
    fn image(&self, plugin: &Plugin) -> Result<ImagePlan, Error> {
        self.check_base(plugin)?;
        let mut targets = Vec::new();
        for target in &plugin.targets {
            targets.push(self.target(plugin, target)?);
        }
        targets.sort_by(|a, b| a.platform.cmp(&b.platform));
        for pair in targets.windows(2) {
            if pair[0].platform == pair[1].platform {
                return Err(PlanError::SamePlatform {
                    platform: Box::new(pair[0].platform.clone()),
                    first: pair[0].target.clone(),
                    second: pair[1].target.clone(),
                }
                .into());
            }
        }
        let target_directory = &self.workspace.target_directory;
        let Destination { output, is_default: output_is_default, tags, .. } =
            Destination::of(&plugin.package, self.several, target_directory, self.flags, self.env)?;
        Ok(ImagePlan {
            package: plugin.package.name.clone(),
            package_id: plugin.package.id.clone(),
            version: plugin.package.version.to_string(),
            name: plugin.name.clone(),
            kind: plugin.kind,
            product: plugin.product.clone(),
            tags,
            output,
            keep: plugin.config.keep.filter(|_| output_is_default),
            output_is_default,
            targets,
            files: plugin.files.clone(),
            compression: plugin.config.compression.unwrap_or_default(),
            base: plugin.base.clone(),
            is_artifact: plugin.is_artifact(),
            system: System::of(plugin, self.workspace, self.progress)?,
            execution: plugin.config.execution(),
            annotations: annotations::of(plugin, self.revision),
            bundle_libs: plugin.config.bundle_libs == Some(true),
            auditable: plugin.config.auditable == Some(true),
            contract: plugin.contract.clone(),
        })
    }

    fn target(&self, plugin: &Plugin, target: &str) -> Result<TargetPlan, Error> {
        let (platform, mut place) = place(plugin, target)?;
        if let Some(entrypoint) = &plugin.config.entrypoint {
            place.entrypoint.clone_from(entrypoint);
        }
        let users = self.targets.get(target).map(|flags| flags.users.flags.as_slice()).unwrap_or_default();
        let record = request::request(self.workspace, plugin, self.flags, target, users);
        let base = plugin.base_of(target).cloned();
        let must_be_static = rustflags::wants_static(plugin, target) && platform.os == "linux";
        if must_be_static && self.flags.builder == Builder::Zigbuild && rustflags::is_linux_gnu(target) {
            let musl = platform.static_target().ok();
            return Err(PlanError::ZigStatic { name: plugin.name.clone(), target: target.to_owned(), musl }.into());
        }
        Ok(TargetPlan {
            target: target.to_owned(),
            platform,
            place,
            base,
            must_be_static,
            request: record.0,
            rebuildable: record.1,
        })
    }

    /// A base by tag changes under one's feet, which `--locked` forbids.
    fn check_base(&self, plugin: &Plugin) -> Result<(), Error> {
        let moving = plugin.base.iter().flat_map(Bases::named).find_map(|base| match base {
            Reference::Registry(base) if base.digest.is_none() => Some(base.to_string()),
            _ => None,
        });
        moving.filter(|_| !self.flags.lock_args().is_empty()).map_or(Ok(()), |base| Err(PlanError::UnpinnedBase(base).into()))
    }
}

/// The platform of a target, and where the artifact for it lies.
fn place(plugin: &Plugin, target: &str) -> Result<(Platform, Placement), Error> {
    let platform = plugin.kind.platform_of_target(target)?;
    let subject =
        Subject { name: &plugin.name, is_named: plugin.is_named, product: &plugin.product, target, platform: &platform };
    let place = plugin.kind.place(&subject)?;
    Ok((platform, place))
}

/// What a kind asks before anything is compiled; its targets first, since nobody should install a standard library only to
/// be told that the host does not run there.
fn preflight(plugin: &Plugin, progress: &dyn Progress) -> Result<(), Error> {
    for target in &plugin.targets {
        place(plugin, target)?;
    }
    if plugin.kind == Kind::CosmoRouter {
        let execution = plugin.config.execution();
        let set = [
            ("args", !execution.args.is_empty()),
            ("env", !execution.env.is_empty()),
            ("user", execution.user.is_some()),
            ("workdir", execution.workdir.is_some()),
        ];
        let set = set.into_iter().filter(|(_, set)| *set).map(|(key, _)| key);
        for key in set.chain(plugin.config.keys_of_a_system()) {
            let hint = "`startup_config` and files beside the program reach a plugin";
            progress.warn(format!("the Cosmo Router ignores `{key}` of `{}`", plugin.name), Some(hint.to_owned()));
        }
    }
    if let Some(contract) = &plugin.contract {
        let link = plugin.files.iter().find(|file| file.link.is_some());
        let subject = rules::Preflight {
            schema: &contract.schema,
            proto: &contract.proto,
            mapping: &contract.mapping,
            entrypoint: plugin.config.entrypoint.as_deref(),
            brings_system: plugin.base.is_some() || plugin.config.bundle_libs == Some(true),
            link: link.map(|file| file.path.as_str()),
        };
        if let Some(refused) = rules::preflight(&subject)? {
            let text = format!("{} was not compared with proto and mapping: {refused}", contract.schema.display());
            progress.warn(text, Some(refused.help()));
        }
        let files = [contract.schema.as_path(), &contract.proto, &contract.mapping];
        if let Some(place) = directory::misplaced(&plugin.package.directory, files) {
            progress.caution(&Misplaced { place });
        }
    }
    Ok(())
}
