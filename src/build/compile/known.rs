//! The no-change build of `--hermetic`: nothing is compiled when nothing that decides has changed.
//!
//! A hermetic build begins with an empty target directory, so that nothing an earlier build script left there gets into it: an
//! `rlib` that another commit's script replaced would be taken for cargo's own. The price is that whatever has to be done is
//! done whole. What costs nothing is a build in which nothing has changed at all: then the artifacts of the last one are the
//! result, without cargo.
//!
//! - What decides is the plan (cargo's arguments, the environment, the compiler's version, all that the sandbox shows) and every
//!   file of the sources and of the configuration, by the stamps of [`plugin_oci::fs::stamps`]; of what cargo fetched no more than cargo
//!   itself looks at, the lock file.
//! - The record lies beside the target directory of hermetic builds, where none of them can write, and names each artifact with
//!   its digest, which is compared before the artifact is taken.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::CompileError;
use crate::build::hermetic::Sandbox;
use crate::build::hermetic::view::{Content, ItemKind, Role, ViewEntry};
use crate::build::plan::Plan;
use crate::build::sbom::unit::Unit;
use plugin_oci::fs::lock::Lock;
use plugin_oci::fs::stamps::Fingerprint;
use plugin_oci::fs::{FileError, create_dirs, sorted_listing};
use plugin_oci::progress::Progress;
use plugin_oci::values::digest::{Digest, Hasher};

/// The record's file, among the hints.
pub(super) const FILE: &str = "hermetic.json";

/// What only a target directory holds: the mark of every cache, and what cargo keeps of the compiler.
const MARKS: [&str; 2] = ["CACHEDIR.TAG", ".rustc_info.json"];
/// The mark's content (<https://bford.info/cachedir/>).
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n";

/// A build as it was.
#[derive(Serialize, Deserialize)]
struct Kept {
    artifacts: Vec<Known>,
    units: Vec<Unit>,
}

/// An artifact as it was made.
#[derive(Serialize, Deserialize)]
struct Known {
    path: PathBuf,
    digest: Digest,
}

/// Waits until no other hermetic build of this workspace is at work: each empties the target directory, and packs what is
/// there. `None` where the build is not hermetic.
pub fn alone(plan: &Plan, progress: &dyn Progress) -> Result<Option<Lock>, FileError> {
    if plan.hermetic.is_none() {
        return Ok(None);
    }
    create_dirs(&plan.records)?;
    let waiting = || progress.status("Blocking", "waiting for another hermetic build of this workspace".to_owned());
    Lock::exclusive(&plan.records.join("hermetic.lock"), waiting).map(Some)
}

/// Everything that decides about the artifacts.
pub(super) fn fingerprint(plan: &Plan, sandbox: &Sandbox) -> Fingerprint {
    let mut fingerprint = Fingerprint::default();
    fingerprint.text(concat!("artifacts of ", env!("CARGO_PKG_VERSION")));
    let decided = (&plan.invocations, sandbox, &plan.rustc, &plan.linkers);
    fingerprint.text(&format!("{decided:?}"));
    fingerprint.file(&real(&sandbox.cargo));
    fingerprint.file(&real(&plan.rustc.program));
    let hidden: Vec<&Path> = sandbox.view.covers().chain(sandbox.view.paths(&Content::Writable)).collect();
    for place in sandbox.view.places() {
        let is_of_sources = matches!(place.role, Role::Workspace | Role::PathDependency | Role::Vendor | Role::Linker);
        if let Content::Stand(items) = &place.content {
            for item in items.iter().filter(|item| matches!(item.kind, ItemKind::Real | ItemKind::Copy)) {
                add(&mut fingerprint, &place.path.join(&item.name), &hidden);
            }
        } else if (is_of_sources || is_revision(place)) && place.content == Content::ReadOnly {
            add(&mut fingerprint, &place.path, &hidden);
        } else if place.role == Role::Toolchain && place.path.join("lib").is_dir() {
            add(&mut fingerprint, &place.path.join("lib"), &hidden);
        }
    }
    fingerprint
}

/// What says which commit is checked out, and how it is called.
fn is_revision(place: &ViewEntry) -> bool {
    const NAMES: [&str; 5] = ["HEAD", "packed-refs", "refs", "reftable", "shallow"];
    place.role == Role::Cover && NAMES.iter().any(|name| place.path.ends_with(name))
}

fn real(program: &Path) -> PathBuf {
    program.canonicalize().unwrap_or_else(|_| program.to_owned())
}

/// Every file below a place. Git's objects never change what git says while nothing names them.
fn add(fingerprint: &mut Fingerprint, place: &Path, hidden: &[&Path]) {
    let walk = walkdir::WalkDir::new(place).sort_by_file_name().into_iter();
    let walk = walk.filter_entry(|entry| !hidden.contains(&entry.path()) && !entry.path().ends_with(".git/objects"));
    for entry in walk {
        let Ok(entry) = entry else { return fingerprint.unknown() };
        let path = entry.path();
        fingerprint.text(&path.to_string_lossy());
        if entry.file_type().is_file() {
            fingerprint.file(path);
        } else if entry.file_type().is_symlink() {
            fingerprint.text(&fs::read_link(path).unwrap_or_default().to_string_lossy());
        }
    }
}

/// The artifacts of a record, if each is as it was made and where builds make them.
pub(super) fn recall(fact: &str, sandbox: &Sandbox) -> Option<(Vec<PathBuf>, Vec<Unit>)> {
    let Kept { artifacts, units } = serde_json::from_str(fact).ok()?;
    let is_same =
        |known: &Known| is_made_in(&known.path, sandbox) && digest(&known.path).is_some_and(|digest| digest == known.digest);
    artifacts.iter().all(is_same).then(|| (artifacts.into_iter().map(|known| known.path).collect(), units))
}

/// Whether a path, followed through links, lies where builds write.
pub(super) fn is_made_in(path: &Path, sandbox: &Sandbox) -> bool {
    let mut places = sandbox.view.paths(&Content::Writable);
    path.canonicalize().is_ok_and(|real| places.any(|place| real.starts_with(place)))
}

/// A record of artifacts.
pub(super) fn show<'a>(artifacts: impl Iterator<Item = &'a Path>, units: &[Unit]) -> Option<String> {
    let known: Option<Vec<Known>> = artifacts.map(|path| Some(Known { path: path.to_owned(), digest: digest(path)? })).collect();
    serde_json::to_string(&Kept { artifacts: known?, units: units.to_vec() }).ok()
}

fn digest(path: &Path) -> Option<Digest> {
    // A pipe that a build left there has no end.
    path.symlink_metadata().ok().filter(fs::Metadata::is_file)?;
    let mut hasher = Hasher::new();
    hasher.update_from(&mut fs::File::open(path).ok()?).ok()?;
    Some(hasher.finish())
}

/// Empties the directories that hermetic builds write to. No process of an earlier one is left to put something back. What is
/// no build's is left alone: the sources may choose the directory above.
pub(super) fn empty(sandbox: &Sandbox) -> Result<(), CompileError> {
    if let Some(stand) = sandbox.view.stand.as_deref().filter(|stand| stand.symlink_metadata().is_ok()) {
        fs::remove_dir_all(stand).map_err(FileError::at("remove", stand))?;
    }
    for directory in sandbox.view.paths(&Content::Writable) {
        create_dirs(directory)?;
        let names = sorted_listing(directory)?;
        if !names.is_empty() && !names.iter().any(|name| MARKS.iter().any(|mark| name == mark)) {
            return Err(CompileError::Occupied { directory: directory.to_owned() });
        }
        for name in names {
            let path = directory.join(name);
            let is_directory = path.symlink_metadata().is_ok_and(|found| found.is_dir());
            let gone = if is_directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            gone.map_err(FileError::at("remove", &path))?;
        }
        let mark = directory.join(MARKS[0]);
        fs::write(&mark, TAG).map_err(FileError::at("write", &mark))?;
    }
    Ok(())
}
