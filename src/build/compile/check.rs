//! Looks at what was compiled before anything is packed: can it start where it goes, does it hold paths of this machine,
//! what else does it need.

use std::path::{Path, PathBuf};

use crate::build::hermetic::view::Content;
use crate::build::inspect::bundle::{Bundled, BundledFile, LibraryPaths, NSSWITCH, bundle};
use crate::build::inspect::leak::{self, Leak, Origin, Pattern};
use crate::build::inspect::{Executable, ExecutableError, Format, start};
use crate::build::kinds::{Kind, proxy_wasm};
use crate::build::plan::{ImagePlan, Plan, TargetPlan};
use crate::build::toolchain::home;
use plugin_oci::environment::Environment;
use plugin_oci::failure::{Error, Failure};
use plugin_oci::fs::sorted_listing;
use plugin_oci::fs::stamps::{Fingerprint, Hints};
use plugin_oci::progress::{Event, Progress};

use super::Artifact;

/// What is known of an artifact.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What it is.
    pub executable: Executable,
    /// Paths of this machine in it.
    pub leaks: Vec<Leak>,
    /// Loader and libraries to pack with it, for `bundle-libs`.
    pub bundled: Vec<BundledFile>,
    /// Whether an `nsswitch.conf` is packed with them, because nothing else in the image is one.
    pub nsswitch: bool,
}

/// Checks artifacts, in their order. A leak is told as a warning, and under `strict` (a hermetic build) is an error.
/// `hints` (one an image, in the plan's order) know which files have none.
pub fn check(
    plan: &Plan,
    artifacts: &[Artifact],
    hints: &[Hints],
    strict: bool,
    env: &Environment,
    progress: &dyn Progress,
) -> Result<Vec<Checked>, Error> {
    let patterns = patterns(plan, env);
    let hidden: Vec<String> = plan.remaps.iter().map(|remap| remap.to.clone()).collect();
    let mut checked = Vec::new();
    for artifact in artifacts {
        let mut images = plan.images.iter().zip(hints);
        let Some((image, hints)) = images.find(|(image, _)| image.package == artifact.package) else { continue };
        is_file_of_the_build(plan, &artifact.path)?;
        let (executable, bundled) = needs(image, artifact)?;
        let Bundled { files: bundled, name_service } = bundled;
        let has_own = target(image, artifact).is_some_and(|target| target.base.is_some())
            || image.files.iter().any(|file| file.path == NSSWITCH.0);
        let nsswitch = name_service.is_some() && !has_own;
        if let Some(missing) = name_service.filter(|missing| !missing.is_empty()) {
            let text = format!(
                "{} looks up names, and {} is not on this machine to be packed",
                artifact.path.display(),
                missing.join(", ")
            );
            progress.warn(text, Some("in the image such lookups fail: install it, or build on a `base` that has it".to_owned()));
        }
        if image.kind.is_process() && executable.format == Format::Elf && executable.interpreter.is_none() {
            name_service_of_static(artifact, hints, progress)?;
        }
        for file in &bundled {
            is_seen_by_the_build(plan, &artifact.path, &file.source)?;
        }
        if let Some(glibc) = &executable.glibc {
            let text = format!("{} needs glibc {glibc} or later where it runs", artifact.path.display());
            progress.event(Event::Note { text });
        }
        let own = || own_names(&plan.rustc.target_libdir(&artifact.target), &patterns);
        let leaks = leaks(&artifact.path, &patterns, &hidden, hints, own)?;
        for leak in &leaks {
            if strict && leak.is_grave() {
                return Err(CheckError::Leak { artifact: artifact.path.clone(), leak: leak.clone() }.into());
            }
            progress.warn(describe(&artifact.path, leak), Some(format!("it is probably {}", leak.cause())));
        }
        checked.push(Checked { executable, leaks, bundled, nsswitch });
    }
    Ok(checked)
}

/// What builds can put anything where their program should be, a pipe that never ends or a link, and may name another place to
/// cargo's reader. What a hermetic build cannot read, it must not have packed either.
fn is_file_of_the_build(plan: &Plan, artifact: &Path) -> Result<(), Error> {
    let read = |source| ExecutableError::Read { path: artifact.to_owned(), source };
    if !artifact.symlink_metadata().map_err(read)?.is_file() {
        return Err(CheckError::NoFile { artifact: artifact.to_owned() }.into());
    }
    let Some(sandbox) = &plan.hermetic else { return Ok(()) };
    let real = artifact.canonicalize().map_err(read)?;
    if sandbox.view.paths(&Content::Writable).any(|directory| real.starts_with(directory)) {
        return Ok(());
    }
    Err(CheckError::Elsewhere { path: real }.into())
}

/// The program says where its libraries are, and could name any.
fn is_seen_by_the_build(plan: &Plan, artifact: &Path, file: &Path) -> Result<(), Error> {
    let Some(sandbox) = &plan.hermetic else { return Ok(()) };
    let real = file.canonicalize().map_err(|source| ExecutableError::Read { path: file.to_owned(), source })?;
    if sandbox.view.shows(&real) {
        return Ok(());
    }
    Err(CheckError::Unseen { artifact: artifact.to_owned(), path: real }.into())
}

fn target<'p>(image: &'p ImagePlan, artifact: &Artifact) -> Option<&'p TargetPlan> {
    image.targets.iter().find(|target| target.target == artifact.target)
}

fn needs(image: &ImagePlan, artifact: &Artifact) -> Result<(Executable, Bundled), Error> {
    let target = target(image, artifact);
    let executable = start::check(&artifact.path, &artifact.platform, target.is_some_and(|target| target.must_be_static))?;
    if image.kind == Kind::ProxyWasm {
        proxy_wasm::check(
            &executable.exports,
            executable.wasm.as_ref().is_some_and(crate::build::inspect::wasm::Wasm::is_module),
        )?;
    }
    let dynamic = executable.interpreter.is_some() || !executable.needed.is_empty();
    let bundled =
        if image.bundle_libs && dynamic { bundle(&artifact.path, &LibraryPaths::of_system())? } else { Bundled::default() };
    Ok((executable, bundled))
}

/// A static glibc has in it the path of the file that says how names are looked up, if it looks any up; musl never has.
fn name_service_of_static(artifact: &Artifact, hints: &Hints, progress: &dyn Progress) -> Result<(), Error> {
    let path = &artifact.path;
    let mut fingerprint = Fingerprint::default();
    fingerprint.text("name service");
    fingerprint.file(path);
    let scan = || {
        let pattern = Pattern { path: format!("/{}", NSSWITCH.0), origin: Origin::Dependency };
        let found = leak::scan(path, &[pattern], &[]).map_err(|source| ExecutableError::Read { path: path.clone(), source })?;
        Ok::<_, Error>(!found.is_empty())
    };
    if hints.known_or(fingerprint, |text| text.parse().ok(), scan, |found| Some(found.to_string()))? {
        let text = format!(
            "{} looks up names by a static glibc: what the image's nsswitch.conf names beside `files` and `dns` needs libraries of the same \
             glibc",
            path.display()
        );
        progress.event(Event::Note { text });
    }
    Ok(())
}

/// The leaks of a file. That there are none is remembered, so that an unchanged file is not read again. `own` tells what
/// is no leak although it looks like one.
fn leaks(
    file: &Path,
    patterns: &[Pattern],
    hidden: &[String],
    hints: &Hints,
    own: impl Fn() -> Vec<Pattern>,
) -> Result<Vec<Leak>, Error> {
    let mut fingerprint = Fingerprint::default();
    fingerprint.text("leaks");
    patterns.iter().map(|pattern| &pattern.path).chain(hidden).for_each(|text| fingerprint.text(text));
    fingerprint.file(file);
    let look = |patterns: &[Pattern]| {
        leak::scan(file, patterns, hidden).map_err(|source| ExecutableError::Read { path: file.to_owned(), source })
    };
    let scan = || {
        let leaks = look(patterns)?;
        if leaks.iter().all(|leak| leak.origin != Origin::Toolchain) {
            return Ok(leaks);
        }
        let own = own();
        look(&patterns.iter().filter(|pattern| !own.contains(pattern)).cloned().collect::<Vec<_>>())
    };
    let clean = |leaks: &Vec<Leak>| leaks.is_empty().then(|| "none".to_owned());
    Ok(hints.known_or(fingerprint, |_| Some(Vec::new()), scan, clean)?)
}

/// The paths of the standard library's sources that it names itself, as it was compiled by whoever made it: they are the
/// same on every machine. Debian's names the directory where Debian puts its sources.
fn own_names(libdir: &Path, patterns: &[Pattern]) -> Vec<Pattern> {
    let std = sorted_listing(libdir).unwrap_or_default().into_iter().find(|name| {
        let is_rlib = Path::new(name).extension().is_some_and(|extension| extension == "rlib");
        is_rlib && name.as_encoded_bytes().starts_with(b"libstd-")
    });
    let Some(std) = std.map(|name| libdir.join(name)) else { return Vec::new() };
    let named = |pattern: &Pattern| leak::scan(&std, std::slice::from_ref(pattern), &[]).is_ok_and(|found| !found.is_empty());
    patterns.iter().filter(|pattern| pattern.origin == Origin::Toolchain && named(pattern)).cloned().collect()
}

/// The paths that must not be in an artifact: whatever was to be hidden, and the home directory.
fn patterns(plan: &Plan, env: &Environment) -> Vec<Pattern> {
    let origin = |name: &str| match name {
        "/ws" => Origin::Workspace,
        "/cargo" => Origin::CargoHome,
        "/ws/target" => Origin::Target,
        _ if name.starts_with("/rustc/") => Origin::Toolchain,
        _ => Origin::Dependency,
    };
    let hidden = plan.remaps.iter().filter_map(|remap| Pattern::of(origin(&remap.to), &remap.from));
    let home = home(env).and_then(|home| Pattern::of(Origin::Home, &home));
    hidden.chain(home).collect()
}

fn describe(artifact: &Path, leak: &Leak) -> String {
    let more = if leak.count > 1 { format!(", and {} more", leak.count - 1) } else { String::new() };
    format!("{} holds a path of this machine: {} at offset {}{more}", artifact.display(), leak.path, leak.offset)
}

/// Why an artifact is not packed.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Something else lies in its place.
    #[error("{} is no regular file", artifact.display())]
    NoFile { artifact: PathBuf },
    /// A hermetic build names a file that it did not make.
    #[error("{} lies outside of the target directory, and a hermetic build makes its program there", path.display())]
    Elsewhere { path: PathBuf },
    /// A hermetic build needs a file that it cannot see.
    #[error("{} needs {}, which a hermetic build cannot see", artifact.display(), path.display())]
    Unseen { artifact: PathBuf, path: PathBuf },
    /// It holds a path of this machine, and the build is hermetic.
    #[error("{}", describe(artifact, leak))]
    Leak { artifact: PathBuf, leak: Leak },
}

impl Failure for CheckError {}
