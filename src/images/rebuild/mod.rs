//! `verify --rebuild`: builds an image again from the same sources, elsewhere and under other circumstances, and compares.
//!
//! 1. `record`: what the image says about how it was asked for.
//! 2. `elsewhere`: a copy of the sources in another place, and everything else that must make no difference.
//! 3. `differs`: what of the request the sources do not say; `grammar`: what of that may be repeated here at all.
//! 4. The same build there. Platforms that were asked for differently, as in an image joined from several machines, are
//!    built one after the other and joined again.
//! 5. The roots' digests. Where they differ, the tools first: another compiler, linker or libc explains everything; then
//!    what [`diff`] says.
//!
//! A request that holds absolute paths cannot be repeated elsewhere, and neither can an image without one: exit code 1.

mod bases;
mod checkout;
mod differs;
mod elsewhere;
mod error;
mod grammar;
mod record;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::diff::{self, Difference, Tools, Verdict};
use crate::build::manifest::{self, BuildFlags, SETTINGS, Workspace};
use crate::build::plan::{self, Plan};
use crate::build::{self, Toolchain};
use checkout::{Checkout, Sources};
use elsewhere::{Elsewhere, OtherUmask};
pub use error::RebuildError;
use plugin_oci::documents::image::{BASE_DIGEST, BASE_NAME};
use plugin_oci::documents::{Descriptor, Document, Index};
use plugin_oci::environment::Environment;
use plugin_oci::failure::Error;
use plugin_oci::fs::stamps::Hints;
use plugin_oci::progress::{Event, Progress, Silent};
use plugin_oci::stores::layout::Layout;
use plugin_oci::stores::registry::Settings;
use plugin_oci::stores::{Selector, Source, platform_images, read_document};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::reference::ReferenceError;
use record::{Record, Request};

/// How to rebuild.
#[derive(Clone, Debug, Default)]
pub struct RebuildOptions {
    /// What the checker gives: where the sources are, `--hermetic`, and what `build` was given.
    pub flags: BuildFlags,
    /// Whether what the sources do not say may be taken from the image without being held against it.
    pub accept_request: bool,
    /// The layout directory or archive that holds the image, where it lies on this disk: never a part of the sources.
    pub image: Option<PathBuf>,
    /// How to reach the registry of a base image.
    pub registries: Settings,
}

/// What a rebuild showed.
#[derive(Clone, Debug, Serialize)]
pub struct RebuildReport {
    #[serde(rename = "digest")]
    pub image: Digest,
    /// Digest of what was built again; absent where the request is not repeated here.
    pub rebuilt: Option<Digest>,
    /// Whether the same tools were at work.
    pub tools: Tools,
    /// How much the two differ; absent where nothing was built.
    pub verdict: Option<Verdict>,
    /// What the request holds that is not repeated here.
    pub refused: Vec<String>,
    /// Whether differences of the request count.
    pub request_accepted: bool,
    /// What was taken from the image, because the sources do not say it.
    pub taken: Vec<String>,
    /// Every difference: the request's, known hazards and other tools first.
    pub differences: Vec<Difference>,
}

impl RebuildReport {
    /// Whether the image is what its sources give.
    pub fn is_same(&self) -> bool {
        self.rebuilt.as_ref() == Some(&self.image) && (self.request_accepted || !self.request_differs())
    }

    /// Whether the request says what the sources do not.
    pub fn request_differs(&self) -> bool {
        self.differences.iter().any(|difference| difference.rule == differs::REQUEST_DIFFERS)
    }
}

/// One group of platforms, built again.
struct Rebuilt {
    layout: Layout,
    root: Descriptor,
    plan: Plan,
    platforms: Vec<plugin_oci::values::platform::Platform>,
}

/// Builds an image again and compares.
pub fn rebuild(
    source: &dyn Source,
    selector: &Selector,
    options: &RebuildOptions,
    env: &Environment,
    progress: &dyn Progress,
) -> Result<RebuildReport, Error> {
    apart(options, env)?;
    let root = source.resolve(selector)?;
    let records = record::records(source, &platform_images(source, &root)?)?;
    let groups = record::groups(&records);
    // An index names the base's index, each platform's manifest that of its platform.
    let base_digest = read_document(source, &root)?.0.annotations().get(BASE_DIGEST).cloned();
    let elsewhere = Elsewhere::new(env)?;
    let mut findings = Findings::default();
    let mut rebuilt = Vec::new();
    {
        let _umask = OtherUmask::set();
        let there = elsewhere.environment(env)?;
        for (number, group) in groups.iter().enumerate() {
            let base_digest = base_digest.as_deref();
            let hazards = Hazards { progress, told: Mutex::default() };
            let again =
                Again { group, base_digest, options, here: env, there: &there, elsewhere: &elsewhere, progress: &hazards };
            rebuilt.extend(again.build(number, &mut findings)?);
            findings.hazards.extend(hazards.told.into_inner().unwrap_or_default());
        }
    }
    let mut report = RebuildReport {
        image: root.digest.clone(),
        rebuilt: None,
        tools: Tools::Unknown,
        verdict: None,
        refused: findings.refused,
        request_accepted: options.accept_request,
        taken: findings.taken,
        differences: findings.differences,
    };
    if !report.refused.is_empty() {
        return Ok(report);
    }
    let digest = joined(&rebuilt)?;
    let recorded = Toolchain::recorded(source, &root.digest)?;
    let (tools, differences) = compare_tools(recorded.as_ref(), &rebuilt, env, progress);
    report.tools = tools;
    let mut verdict = Verdict::Same;
    if digest != root.digest {
        report.differences.extend(findings.hazards);
        let first = report.differences.len();
        for one in &rebuilt {
            let platforms = if rebuilt.len() > 1 { one.platforms.as_slice() } else { &[] };
            let roots = [root.clone(), one.root.clone()];
            let (found, more) = diff::compare([source, &one.layout], &roots, platforms, progress)?;
            verdict = verdict.max(found);
            report.differences.extend(more);
        }
        // Tools that are not known explain something only where the compilers left other words in the program, or nothing of
        // the sources'.
        let speak = |told: &Difference| told.rule == "compiler" || told.rule == "symbol-hash";
        let unknown = tools == Tools::Unknown && !report.differences[first..].iter().any(speak);
        let at = if unknown { report.differences.len() } else { first };
        report.differences.splice(at..at, differences);
        if verdict == Verdict::Same {
            verdict = Verdict::OtherDescription;
            let text = "the platforms agree, the index over them does not".to_owned();
            report.differences.push(difference("index", "document-bytes", text, [None, None]));
        }
    }
    report.rebuilt = Some(digest);
    report.verdict = Some(verdict);
    Ok(report)
}

/// Refuses to be called in the image, or to take sources that lie in it: cargo would take its manifests and configuration.
fn apart(options: &RebuildOptions, env: &Environment) -> Result<(), RebuildError> {
    let Some(image) = options.image.as_ref().and_then(|image| image.canonicalize().ok()) else { return Ok(()) };
    let manifest = options.flags.manifest_path.as_ref().map(|path| env.resolve(path));
    let within = [Some(env.cwd.clone()), manifest].into_iter().flatten();
    let found = { within }.find(|path| path.canonicalize().is_ok_and(|path| path.starts_with(&image)));
    found.map_or(Ok(()), |path| Err(RebuildError::Within { path, image }))
}

/// Keeps what is known to make bytes differ until it is known whether they do.
struct Hazards<'a> {
    progress: &'a dyn Progress,
    told: Mutex<Vec<Difference>>,
}

impl Progress for Hazards<'_> {
    fn event(&self, event: Event) {
        let Event::Hazard { rule, text, hint } = event else { return self.progress.event(event) };
        let told = difference("sources", rule, format!("{text} ({hint})"), [None, None]);
        let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains(&told) {
            all.push(told);
        }
    }

    fn caution(&self, warning: &(dyn std::error::Error + 'static)) {
        self.progress.caution(warning);
    }
}

/// What is told beside the comparison.
#[derive(Default)]
struct Findings {
    /// What the sources do not say of the request.
    differences: Vec<Difference>,
    /// What of it is not repeated.
    refused: Vec<String>,
    /// What was taken from the image.
    taken: Vec<String>,
    /// What is known to make bytes differ.
    hazards: Vec<Difference>,
}

/// One group on its way.
struct Again<'a> {
    group: &'a [&'a Record],
    base_digest: Option<&'a str>,
    options: &'a RebuildOptions,
    here: &'a Environment,
    there: &'a Environment,
    elsewhere: &'a Elsewhere,
    progress: &'a dyn Progress,
}

impl Again<'_> {
    /// Builds; nothing where the request holds what is not repeated here.
    fn build(&self, number: usize, findings: &mut Findings) -> Result<Option<Rebuilt>, Error> {
        let checker = &self.options.flags;
        let mut flags = BuildFlags {
            offline: checker.offline,
            verbose: checker.verbose,
            quiet: checker.quiet,
            color: checker.color.clone(),
            hermetic: checker.hermetic,
            ..record::flags(self.group)
        };
        // What the sources say with names of the image's choice, and no flag of it.
        let own = BuildFlags { cargo_args: checker.cargo_args.clone(), ..flags.clone() };
        // Where the sources are, and what of them is needed, the user's own cargo knows.
        let original = BuildFlags {
            manifest_path: checker.manifest_path.clone(),
            base: checker.base.clone(),
            kind: checker.kind,
            name: checker.name.clone(),
            settings: checker.settings.as_ref().map(|file| self.here.resolve(file)),
            ..own.clone()
        };
        let workspace = manifest::load(&original, self.here, &Silent)?;
        let plugin = workspace.plugins.first().ok_or(RebuildError::Nothing)?;
        let (name, kind, differences) = differs::identity(&self.group[0].annotations, plugin);
        findings.differences.extend(differences);
        let planned = plan::plan(&workspace, &original, self.here, &Silent)?;
        let (annotations, differences) = differs::revision(&self.group[0].annotations, &planned.images[0].annotations, plugin);
        findings.differences.extend(differences);
        let mut there = self.there.clone();
        let (checkout, cwd) = self.check_out(&workspace, &planned, number)?;
        there.cwd = cwd;
        there.set("SOURCE_DATE_EPOCH", self.group[0].epoch.seconds().to_string());
        let place = BuildFlags {
            locked: workspace.root.join("Cargo.lock").is_file(),
            base: self.base(&planned, findings)?,
            target_dir: Some(self.elsewhere.target_dir()),
            output: Some(self.elsewhere.layout(number)),
            tags: vec!["again".parse().map_err(ReferenceError::from)?],
            jobs: Some("1".to_owned()),
            name: name.or(original.name),
            kind: kind.or(original.kind),
            settings: original.settings,
            no_revision: true,
            annotations,
            ..own
        };
        let plan = build::plan(&place, &there, &Silent)?;
        let compared = self.compare(&workspace, &planned, &plan)?;
        let given = checker.cargo_args.iter().chain(&compared.of_environment);
        for place in [&self.here.cwd, &workspace.root] {
            let named = given.clone().flat_map(|flag| named_by(flag, place));
            if let Some(file) = { named }.find(|file| checkout.is_foreign(file, self.here)) {
                return Err(RebuildError::Foreign { file }.into());
            }
        }
        findings.differences.extend(compared.differences);
        findings.refused.extend(compared.refused);
        if !findings.refused.is_empty() {
            return Ok(None);
        }
        flags = BuildFlags { cargo_args: flags.cargo_args, ..place };
        self.take(&planned, &mut flags, &mut findings.taken);
        let plan = self.plan(&flags, &plan, &mut there)?;
        self.progress.status("Rebuilding", format!("{} in {}", planned.images[0].name, there.cwd.display()));
        let root = build::build(&plan, &self.options.registries, &there, self.progress)?.pop().map(|built| built.root);
        let root = root.ok_or(RebuildError::Nothing)?;
        let platforms = self.group.iter().filter_map(|record| record.platform.clone()).collect();
        Ok(Some(Rebuilt { layout: Layout::open(&self.elsewhere.layout(number))?, root, plan, platforms }))
    }

    /// Compares the request with what the sources plan there, and in the checker's own environment.
    fn compare(&self, workspace: &Workspace, here: &Plan, there: &Plan) -> Result<differs::Compared, Error> {
        let image = || self.group[0].platform.as_ref().map_or_else(|| "the image".to_owned(), ToString::to_string);
        let request = |plan: &Plan| -> Result<Request, RebuildError> {
            let target = plan.images.first().and_then(|image| image.targets.first()).ok_or(RebuildError::Nothing)?;
            Request::parse(&target.request).map_err(|detail| RebuildError::BadRequest { image: image(), detail })
        };
        let plugin = workspace.plugins.first().ok_or(RebuildError::Nothing)?;
        let checker = &self.options.flags;
        let platforms = checker.platforms.iter();
        let has_base = |platform: &_| plugin.base.as_ref().is_some_and(|base| base.of(platform).is_some());
        let platforms = platforms.filter_map(|platform| plugin.kind.target_of_platform(platform, has_base(platform)).ok());
        let targets = plugin.own_targets.iter().chain(&checker.targets).cloned().chain(platforms).collect();
        let product = plugin.own_product.as_ref().map(|product| product.name().to_owned());
        let mut packages = checker.packages.iter().map(|spec| manifest::names_package(spec, &plugin.package));
        let is_named = checker.packages.is_empty() || packages.try_fold(false, |any, names| names.map(|names| any || names))?;
        let own = differs::Own {
            flags: checker,
            facts: &plugin.package,
            package: (!is_named).then(|| checker.packages.join(" ")),
            targets,
            product: checker.bin.clone().or(product),
            there: request(there)?,
            here: request(here)?,
        };
        let requests: Vec<&Request> = self.group.iter().map(|record| &record.request).collect();
        Ok(differs::compare(&requests, &own))
    }

    /// Copies the sources, once for all groups; gives the directory that corresponds to the user's.
    fn check_out(&self, workspace: &Workspace, planned: &Plan, number: usize) -> Result<(Checkout, PathBuf), Error> {
        let root = &workspace.root;
        let mut files: Vec<PathBuf> =
            ["Cargo.lock", ".cargo/config.toml", ".cargo/config"].iter().map(|name| root.join(name)).collect();
        files.extend(workspace.plugins.iter().map(|plugin| plugin.package.directory.join(SETTINGS)));
        files.extend(workspace.cargo_config.vendor_directories());
        files.extend(planned.images.iter().flat_map(|image| &image.files).map(|file| file.source.clone()));
        files.retain(|file| file.symlink_metadata().is_ok());
        let outside = workspace.foreign.iter().filter(|package| package.is_path).map(|package| &package.directory);
        let sources = Sources {
            roots: std::iter::once(root).chain(&workspace.members).chain(outside).collect(),
            products: vec![&workspace.target_directory, &workspace.build_directory],
            image: self.options.image.as_ref(),
        };
        let checkout = Checkout::of(&sources, self.elsewhere.checkout(), self.elsewhere.around_checkout());
        if number == 0 {
            checkout.make(&files, self.here)?;
        }
        // Cargo's configuration depends on where it is called.
        let place = checkout.place(root);
        let below = checkout.place(&self.here.cwd);
        let cwd = if below.starts_with(&place) && below.is_dir() { below } else { place };
        Ok((checkout, cwd))
    }

    /// Plans there again, with what makes the request the recorded one: rustflags and profile keys that came from the
    /// environment or from configuration outside the sources.
    fn plan(&self, flags: &BuildFlags, own: &Plan, there: &mut Environment) -> Result<Plan, Error> {
        let recorded = &self.group[0].request;
        let planned = own.images[0].targets.first().and_then(|target| Request::parse(&target.request).ok());
        let planned = planned.ok_or(RebuildError::Nothing)?;
        if planned.rustflags != recorded.rustflags {
            there.set("CARGO_ENCODED_RUSTFLAGS", recorded.rustflags.join("\u{1f}"));
        }
        let profile = flags.profile().to_uppercase().replace('-', "_");
        for (key, value) in &recorded.profile_keys {
            if planned.profile_keys.get(key) != Some(value) {
                let key = key.to_uppercase().replace('-', "_");
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                there.set(format!("CARGO_PROFILE_{profile}_{key}"), value);
            }
        }
        build::plan(flags, there, self.progress)
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
            if image.base.is_none() && !image.execution.labels.contains_key(key) {
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

/// What of a directory a flag names: whatever there is by the name of one of its parts.
fn named_by(flag: &str, directory: &Path) -> Vec<PathBuf> {
    let ends = flag.match_indices(['=', ',', ':', '@', ' ', '"', '\'', '[']).map(|(at, _)| at + 1);
    let starts: Vec<usize> = [0, 1, 2].into_iter().chain(ends).collect();
    let mut found = Vec::new();
    for start in starts {
        let rest = flag.get(start..).unwrap_or_default();
        for end in rest.match_indices([',', ':', ' ', '"', '\'', ']']).map(|(at, _)| at).chain([rest.len()]) {
            let path = directory.join(&rest[..end]);
            if end > 0 && path.symlink_metadata().is_ok() && !found.contains(&path) {
                found.push(path);
            }
        }
    }
    found
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
        let text = "the image does not say which compiler, linker and libc made it: it has no provenance";
        return (Tools::Unknown, vec![difference("toolchain", "toolchain-unknown", text.to_owned(), [None, None])]);
    };
    let mut differences = Vec::new();
    for one in rebuilt {
        for image in &one.plan.images {
            differences.extend(diff::compare_tools(
                recorded,
                &Toolchain::of(&one.plan, image, &Hints::open(&one.plan.records.join("tools.json"), env), env, progress),
            ));
        }
    }
    differences.dedup();
    (Tools::of(&differences), differences)
}

fn difference(object: &str, rule: &'static str, message: String, [first, second]: [Option<String>; 2]) -> Difference {
    Difference { object: object.to_owned(), rule, message, first, second }
}
