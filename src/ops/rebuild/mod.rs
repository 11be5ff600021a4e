//! `verify --rebuild`: builds an image again from the same sources, elsewhere and under other circumstances, and compares.
//!
//! 1. `record`: what the image says about how it was asked for; `trust`: what of it may be done here.
//! 2. `elsewhere`: a copy of the sources in another place, and everything else that must make no difference.
//! 3. The same build there. Platforms that were asked for differently, as in an image joined from several machines, are
//!    built one after the other and joined again.
//! 4. The roots' digests. Where they differ, the tools first: another compiler, linker or libc explains everything; then
//!    what [`diff`] says.
//!
//! A request that holds absolute paths cannot be repeated elsewhere, and neither can an image without one: exit code 1.

mod elsewhere;
mod record;
mod trust;

use std::path::PathBuf;

use serde::Serialize;

use super::build::{self, Toolchain};
use super::diff::{self, Difference, Tools, Verdict};
use crate::digest::Digest;
use crate::environment::Environment;
use crate::failure::{Error, Explain};
use crate::hermetic;
use crate::image::{BASE_DIGEST, BASE_NAME};
use crate::oci::{Descriptor, Document, Index};
use crate::plan::{self, Plan};
use crate::plugin::{self, BuildFlags, Workspace};
use crate::progress::{Progress, Silent};
use crate::reference::Reference;
use crate::store::layout::Layout;
use crate::store::registry::Settings;
use crate::store::{Selector, Source, platform_images, read_document};
use elsewhere::{Elsewhere, OtherUmask, Sources};
use record::{Record, Request};

/// How to rebuild.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where the sources are: `--manifest-path`.
    pub manifest_path: Option<PathBuf>,
    /// `--offline`.
    pub offline: bool,
    /// `--hermetic`.
    pub hermetic: bool,
    /// The base, where the sources do not name it: `--base`.
    pub base: Option<String>,
    /// How often `-v` was given, for cargo.
    pub verbose: u8,
    /// `-q`, for cargo.
    pub quiet: bool,
    /// `--color`, for cargo.
    pub color: Option<String>,
    /// How to reach the registry of a base image.
    pub registries: Settings,
}

/// What a rebuild showed.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Digest of the image.
    pub image: Digest,
    /// Digest of what was built again.
    pub rebuilt: Digest,
    /// Whether the same tools were at work.
    pub tools: Tools,
    /// How much the two differ.
    pub verdict: Verdict,
    /// What was taken from the image, because the sources do not say it.
    pub taken: Vec<String>,
    /// Every difference, other tools first.
    pub differences: Vec<Difference>,
}

/// One group of platforms, built again.
struct Rebuilt {
    layout: Layout,
    root: Descriptor,
    plan: Plan,
    platforms: Vec<crate::platform::Platform>,
}

/// Builds an image again and compares.
pub fn rebuild(
    source: &dyn Source,
    selector: &Selector,
    options: &Options,
    env: &Environment,
    progress: &dyn Progress,
) -> Result<Report, Error> {
    let root = source.resolve(selector)?;
    let records = record::records(source, &platform_images(source, &root)?)?;
    for record in &records {
        refuse(trust::bold_cargo_args(&record.request.cargo_args, options.hermetic), record, options)?;
        // The sources are asked here first.
        if options.hermetic {
            hermetic::check_sources(env, &record.request.cargo_args)?;
        }
    }
    let groups = record::groups(&records);
    // An index names the base's index, each platform's manifest that of its platform.
    let base_digest = read_document(source, &root)?.0.annotations().get(BASE_DIGEST).cloned();
    let elsewhere = Elsewhere::new(env)?;
    let mut taken = Vec::new();
    let mut rebuilt = Vec::new();
    {
        let _umask = OtherUmask::set();
        let there = elsewhere.environment(env)?;
        for (number, group) in groups.iter().enumerate() {
            let again = Again {
                group,
                base_digest: base_digest.as_deref(),
                options,
                here: env,
                there: &there,
                elsewhere: &elsewhere,
                progress,
            };
            rebuilt.push(again.build(number, &mut taken)?);
        }
    }
    let digest = joined(&rebuilt)?;
    let recorded = Toolchain::recorded(source, &root.digest)?;
    let (tools, mut differences) = compare_tools(recorded.as_ref(), &rebuilt, env, progress);
    let mut verdict = Verdict::Same;
    if digest == root.digest {
        differences.clear();
    } else {
        for one in &rebuilt {
            let platforms = if rebuilt.len() > 1 { one.platforms.as_slice() } else { &[] };
            let roots = [root.clone(), one.root.clone()];
            let (found, more) = diff::compare([source, &one.layout], &roots, platforms, progress)?;
            verdict = verdict.max(found);
            differences.extend(more);
        }
        if verdict == Verdict::Same {
            verdict = Verdict::OtherDescription;
            let text = "the platforms agree, the index over them does not".to_owned();
            differences.push(difference("index", "document-bytes", text, [None, None]));
        }
    }
    Ok(Report { image: root.digest, rebuilt: digest, tools, verdict, taken, differences })
}

/// One group on its way.
struct Again<'a> {
    group: &'a [&'a Record],
    base_digest: Option<&'a str>,
    options: &'a Options,
    here: &'a Environment,
    there: &'a Environment,
    elsewhere: &'a Elsewhere,
    progress: &'a dyn Progress,
}

impl Again<'_> {
    fn build(&self, number: usize, taken: &mut Vec<String>) -> Result<Rebuilt, Error> {
        let mut flags = BuildFlags {
            offline: self.options.offline,
            verbose: self.options.verbose,
            quiet: self.options.quiet,
            color: self.options.color.clone(),
            ..record::flags(self.group)
        };
        // Where the sources are, and what of them is needed, the user's own cargo knows.
        let original =
            BuildFlags { manifest_path: self.options.manifest_path.clone(), base: self.options.base.clone(), ..flags.clone() };
        let workspace = plugin::load(&original, self.here, &Silent)?;
        let planned = plan::plan(&workspace, &original, self.here, &Silent)?;
        let mut there = self.there.clone();
        there.cwd = self.check_out(&workspace, &planned, number)?;
        there.set("SOURCE_DATE_EPOCH", self.group[0].epoch.seconds().to_string());
        flags.locked = workspace.root.join("Cargo.lock").is_file();
        flags.base = self.base(&planned)?;
        flags.target_dir = Some(self.elsewhere.target_dir());
        flags.output = Some(self.elsewhere.layout(number));
        flags.tags = vec!["again".to_owned()];
        flags.jobs = Some("1".to_owned());
        flags.hermetic = self.options.hermetic;
        self.take(&planned, &mut flags, taken);
        let plan = self.plan(&flags, &mut there)?;
        self.progress.status("Rebuilding", format!("{} in {}", planned.images[0].name, there.cwd.display()));
        let root = build::build(&plan, &self.options.registries, &there, self.progress)?.pop().map(|built| built.root);
        let root = root.ok_or(RebuildError::Nothing)?;
        let platforms = self.group.iter().filter_map(|record| record.platform.clone()).collect();
        Ok(Rebuilt { layout: Layout::open(&self.elsewhere.layout(number))?, root, plan, platforms })
    }

    /// Copies the sources, once for all groups; gives the directory that corresponds to the user's.
    fn check_out(&self, workspace: &Workspace, planned: &Plan, number: usize) -> Result<PathBuf, Error> {
        let root = &workspace.root;
        let mut files: Vec<PathBuf> =
            ["Cargo.lock", ".cargo/config.toml", ".cargo/config"].iter().map(|name| root.join(name)).collect();
        files.extend(workspace.cargo_config.vendor_directories());
        files.extend(planned.images.iter().flat_map(|image| &image.files).map(|file| file.source.clone()));
        files.retain(|file| file.starts_with(root) && file.symlink_metadata().is_ok());
        let foreign = workspace.foreign.iter().filter(|package| package.is_path).map(|package| &package.directory);
        let outside = workspace.members.iter().filter(|member| !member.starts_with(root));
        let sources = Sources {
            workspace: root,
            packages: foreign.chain(outside).collect(),
            files,
            without: vec![&workspace.target_directory, &workspace.build_directory],
        };
        let checkout = if number == 0 { self.elsewhere.check_out(&sources)? } else { self.elsewhere.place_of(&sources) };
        // Cargo's configuration depends on where it is called.
        let below = self.here.cwd.strip_prefix(root).ok().filter(|below| !below.as_os_str().is_empty());
        let below = below.map(|below| checkout.join(below));
        Ok(below.filter(|directory| directory.is_dir()).unwrap_or(checkout))
    }

    /// Plans there. Rustflags and profile keys that came from the environment or from configuration outside the sources are
    /// set so that the request is the recorded one.
    fn plan(&self, flags: &BuildFlags, there: &mut Environment) -> Result<Plan, Error> {
        let plan = build::plan(flags, there, &Silent)?;
        let recorded = &self.group[0].request;
        let Some(planned) = plan.images[0].targets.first().and_then(|target| Request::parse(&target.request).ok()) else {
            return Ok(plan);
        };
        let hermetic = self.options.hermetic;
        let judge = if hermetic { trust::early_rustflags } else { trust::bold_rustflags };
        let mut bold =
            if hermetic { Vec::new() } else { trust::bold_profile_keys(&recorded.profile_keys, &planned.profile_keys) };
        if planned.rustflags != recorded.rustflags {
            bold.extend(judge(&recorded.rustflags));
        }
        refuse(bold, self.group[0], self.options)?;
        if planned.rustflags != recorded.rustflags {
            there.set("CARGO_ENCODED_RUSTFLAGS", recorded.rustflags.join("\u{1f}"));
        }
        let profile = flags.profile().to_uppercase().replace('-', "_");
        for (key, value) in &recorded.profile_keys {
            if planned.profile_keys.get(key) != Some(value) {
                let key = key.to_uppercase().replace(['-', '.'], "_");
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                there.set(format!("CARGO_PROFILE_{profile}_{key}"), value);
            }
        }
        build::plan(flags, there, self.progress)
    }

    /// The base: a local one lies where the sources say, one that was given on the command line must be given again.
    fn base(&self, planned: &Plan) -> Result<Option<String>, Error> {
        let annotations = &self.group[0].annotations;
        match (&planned.images[0].base, annotations.get(BASE_NAME), self.base_digest) {
            // What the tag named then, not what it names now; but no other repository than the sources', or an image could
            // have anything fetched.
            (Some(Reference::Registry(base)), Some(name), digest) => {
                let is_ours = name.strip_prefix(&base.name()).is_some_and(|tag| tag.is_empty() || tag.starts_with(':'));
                let recorded = digest.map_or_else(|| base.to_string(), |digest| format!("docker://{name}@{digest}"));
                is_ours.then_some(Some(recorded)).ok_or_else(|| RebuildError::UnknownBase { name: name.clone() }.into())
            }
            (Some(base), ..) => Ok(Some(base.to_string())),
            (None, None, _) => Ok(None),
            (None, Some(name), _) => Err(RebuildError::UnknownBase { name: name.clone() }.into()),
        }
    }

    /// What was given on the command line beside what cargo was asked: of annotations and labels, those whose names the
    /// sources do not have.
    fn take(&self, planned: &Plan, flags: &mut BuildFlags, taken: &mut Vec<String>) {
        let image = &planned.images[0];
        let record = self.group[0];
        for (key, value) in &record.annotations {
            let ours = key.starts_with("dev.cargo-plugin-build.") || key == BASE_NAME || key == BASE_DIGEST;
            if !ours && !image.annotations.contains_key(key) {
                flags.annotations.insert(key.clone(), value.clone());
                taken.push(format!("annotation {key}"));
            }
        }
        for (key, value) in &record.labels {
            if image.base.is_none() && !image.labels.contains_key(key) {
                flags.labels.insert(key.clone(), value.clone());
                taken.push(format!("label {key}"));
            }
        }
        if record.epoch != planned.epoch {
            taken.push(format!("time {}", record.epoch.rfc3339()));
        }
        taken.sort();
        taken.dedup();
    }
}

/// Refuses flags that are not to be run here.
fn refuse(flags: Vec<String>, record: &Record, options: &Options) -> Result<(), RebuildError> {
    if flags.is_empty() {
        return Ok(());
    }
    let image = record.platform.as_ref().map_or_else(|| "the image".to_owned(), ToString::to_string);
    Err(RebuildError::Bold { image, flags, hermetic: options.hermetic })
}

/// The digest of the root over all groups.
fn joined(rebuilt: &[Rebuilt]) -> Result<Digest, Error> {
    let mut joined: Option<Index> = None;
    for one in rebuilt {
        let (document, _) = read_document(&one.layout, &one.root)?;
        let Document::Index(index) = document else { return Ok(one.root.digest.clone()) };
        match &mut joined {
            None => joined = Some(index),
            Some(all) => all.manifests.extend(index.manifests),
        }
    }
    let Some(mut index) = joined.filter(|_| rebuilt.len() > 1) else {
        return rebuilt.first().map(|one| one.root.digest.clone()).ok_or_else(|| RebuildError::Nothing.into());
    };
    index.manifests.sort_by(|a, b| a.platform.cmp(&b.platform));
    Ok(Digest::of(&index.to_bytes()))
}

/// Compares the tools that the provenance names with those that were at work now.
fn compare_tools(
    recorded: Option<&Toolchain>,
    rebuilt: &[Rebuilt],
    env: &Environment,
    progress: &dyn Progress,
) -> (Tools, Vec<Difference>) {
    let Some(recorded) = recorded else {
        let text = "the image does not say which compiler, linker and libc made it; `build --provenance` records them";
        return (Tools::Unknown, vec![difference("toolchain", "toolchain-unknown", text.to_owned(), [None, None])]);
    };
    let mut differences = Vec::new();
    for one in rebuilt {
        for image in &one.plan.images {
            differences.extend(diff::compare_tools(recorded, &Toolchain::of(&one.plan, image, env, progress)));
        }
    }
    differences.dedup();
    (Tools::of(&differences), differences)
}

fn difference(object: &str, rule: &'static str, message: String, [first, second]: [Option<String>; 2]) -> Difference {
    Difference { object: object.to_owned(), rule, message, first, second }
}

/// Why an image cannot be built again.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// Not made by this tool, or a base.
    #[error("{image} does not say how it was built: it has no annotation `dev.cargo-plugin-build.request`")]
    NoRequest {
        /// The platform.
        image: String,
    },
    /// Made by a later version, or tampered with.
    #[error("the request of {image} cannot be understood")]
    BadRequest {
        /// The platform.
        image: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A byte format that is not known.
    #[error("the image is of byte format {format}, which this version cannot write")]
    Format {
        /// The format.
        format: String,
    },
    /// Flags with absolute paths.
    #[error("{image} cannot be rebuilt elsewhere: flags of its build hold absolute paths: {}", flags.join(" "))]
    NotRebuildable {
        /// The platform.
        image: String,
        /// The flags.
        flags: Vec<String>,
    },
    /// Flags that may start programs.
    #[error("{image} asks for flags that could start any program here: {}", flags.join(" "))]
    Bold {
        /// The platform.
        image: String,
        /// The flags.
        flags: Vec<String>,
        /// Whether there is a sandbox.
        hermetic: bool,
    },
    /// A base that was given on the command line.
    #[error("the image builds on `{name}`, which the sources do not name")]
    UnknownBase {
        /// The base.
        name: String,
    },
    /// The sources could not be listed.
    #[error("cannot copy the sources in `{}`", root.display())]
    Sources {
        /// The directory.
        root: PathBuf,
        /// Why.
        source: ignore::Error,
    },
    /// The build gave no image.
    #[error("the rebuild gave no image")]
    Nothing,
}

impl Explain for RebuildError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotRebuildable { .. } => {
                Some("give such flags in the sources' own .cargo/config.toml, with relative paths".to_owned())
            }
            Self::Bold { hermetic: true, .. } => {
                Some("if they are to be trusted, give them in the sources' own .cargo/config.toml".to_owned())
            }
            Self::Bold { hermetic: false, .. } => Some(
                "`--hermetic` shuts in what rustc starts; if they are to be trusted, give them in the sources' own \
                 .cargo/config.toml"
                    .to_owned(),
            ),
            Self::UnknownBase { .. } => Some("give it with `--base`, as it was given to `build`".to_owned()),
            Self::BadRequest { .. } | Self::Format { .. } => Some("use the version that built it, or a later one".to_owned()),
            _ => None,
        }
    }
}
