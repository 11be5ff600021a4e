//! Git repositories as builds may see them: what git needs to answer, and nothing that is secret or runs.
//!
//! Build scripts ask git for a revision, so that a build without the repository gives other bytes. What is shown is named
//! one by one (`SHOWN`): objects, references, the index and a configuration of harmless keys. Hooks, logs (which repeat
//! the URL of a clone with its token), URLs, credentials and everything unknown stay away: `git remote get-url` fails, by
//! design.
//!
//! A working tree's `.git` is the repository, or a file that names it: a linked worktree keeps its own state beside a
//! common directory, a submodule lies in the `modules` of the repository above. Threat: sources bring a `.git` that names
//! somebody else's repository. One that lies elsewhere counts only where it says itself that this is its working tree
//! (`core.worktree`, which `git init --separate-git-dir` does not set); one that lends objects only where this one knows what
//! it holds ([`Lenders`]).

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use plugin_oci::fs::{FileError, create_dirs, sorted_listing};

mod borrowed;
mod configuration;
mod index;
pub mod revision;

pub use borrowed::Lenders;
pub use configuration::configuration;
pub use index::Entry;

/// What is shown of a repository beside its configuration, by name.
const SHOWN: [&str; 9] = ["HEAD", "index", "info", "objects", "packed-refs", "refs", "reftable", "shallow", "modules"];

/// The parts of a linked worktree that are its own, not the common directory's.
const OWN: [&str; 2] = ["HEAD", "index"];

/// Lets git know files by size and time of modification, which a copy keeps.
const CHECKS: &str = "[core]\n\tcheckStat = minimal\n\ttrustctime = false\n";

/// The repository of a working tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// The working tree's `.git`: a directory or a file.
    pub dot_git: PathBuf,
    /// The directory with the working tree's state.
    pub state: PathBuf,
    /// The directory with objects and references: the same but for a linked worktree.
    pub common: PathBuf,
}

/// Something of a repository that may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it lies.
    pub path: PathBuf,
    /// A text that takes its place; the file or directory itself where there is none.
    pub text: Option<String>,
}

impl Repository {
    /// The repository of a working tree, whole or not; `None` where the directory is none.
    pub fn at(directory: &Path) -> Option<Self> {
        let directory = directory.canonicalize().ok()?;
        let dot_git = directory.join(".git");
        let kind = dot_git.symlink_metadata().ok()?.file_type();
        if kind.is_dir() {
            return Some(Self { state: dot_git.clone(), common: dot_git.clone(), dot_git });
        }
        let text = Some(&dot_git).filter(|_| kind.is_file()).and_then(|file| fs::read_to_string(file).ok())?;
        let state = directory.join(text.strip_prefix("gitdir:")?.trim()).canonicalize().ok()?;
        let read = |name: &str| fs::read_to_string(state.join(name)).ok();
        let led = |text: &str| state.join(text.trim()).canonicalize().ok();
        if let Some(back) = read("gitdir") {
            let common = led(&read("commondir")?)?;
            let is_ours = led(&back)? == dot_git && state.starts_with(common.join("worktrees"));
            return is_ours.then_some(Self { dot_git, state, common });
        }
        let config = read("config")?;
        let mut keys = config.lines().filter_map(|line| line.split_once('='));
        let (_, tree) = keys.find(|(key, _)| key.trim() == "worktree")?;
        (led(tree)? == directory).then(|| Self { dot_git, common: state.clone(), state })
    }

    /// The working tree that a directory lies in, of a repository that git would take for one.
    pub fn above(directory: &Path) -> Option<PathBuf> {
        let is_whole = |above: &&Path| Self::at(above).is_some_and(|repository| repository.state.join("HEAD").is_file());
        directory.ancestors().find(is_whole).map(Path::to_owned)
    }

    /// The directories that are the repository's: what is in them is hidden but for its [`parts`](Self::parts).
    pub fn directories(&self) -> Vec<&Path> {
        let mut directories = vec![self.state.as_path(), self.common.as_path()];
        directories.dedup();
        directories
    }

    /// Everything that may be shown, in the places where it lies.
    pub fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        for name in SHOWN.iter().filter(|name| **name != "modules") {
            let home = if OWN.contains(name) { &self.state } else { &self.common };
            parts.extend(Some(Part { path: home.join(name), text: None }).filter(|part| is_own(&part.path)));
        }
        for name in sorted_listing(&self.state).unwrap_or_default() {
            if is_shared_index(&name) {
                parts.extend(Some(Part { path: self.state.join(name), text: None }).filter(|part| is_own(&part.path)));
            }
        }
        if self.state != self.common {
            let own = ["commondir", "gitdir", "info"].map(|name| Part { path: self.state.join(name), text: None });
            parts.extend(own.into_iter().filter(|part| is_own(&part.path)));
        }
        for directory in self.directories() {
            for file in ["config", "config.worktree"].map(|name| directory.join(name)) {
                if let Some(text) = Some(&file).filter(|file| is_own(file)).and_then(|file| fs::read_to_string(file).ok()) {
                    let text = configuration(&text) + &self.excludes(&text).unwrap_or_default();
                    parts.push(Part { path: file, text: Some(text) });
                }
            }
        }
        parts
    }

    /// The configuration that names further patterns of ignored files, where they lie in the working tree: by any other path a
    /// repository could have any file read.
    fn excludes(&self, text: &str) -> Option<String> {
        let mut keys = text.lines().filter_map(|line| line.split_once('='));
        let (_, named) = keys.rfind(|(key, _)| key.trim().eq_ignore_ascii_case("excludesfile"))?;
        let tree = self.dot_git.parent()?.canonicalize().ok()?;
        let file = tree.join(named.trim().trim_matches('"')).canonicalize().ok().filter(|file| file.is_file())?;
        let below = file.strip_prefix(&tree).ok().filter(|below| !below.starts_with(".git"))?.to_str()?;
        let is_plain = below.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./ ".contains(&byte));
        is_plain.then(|| format!("[core]\n\texcludesfile = \"{below}\"\n"))
    }

    /// The repositories of submodules, as [`parts`](Self::parts) has none of theirs.
    pub fn modules(&self) -> Vec<Self> {
        const DEEPEST: usize = 8;
        let mut found = Vec::new();
        let mut next: Vec<(PathBuf, usize)> = vec![(self.common.join("modules"), 0)];
        next.retain(|(modules, _)| is_own(modules));
        while let Some((directory, depth)) = next.pop() {
            for name in sorted_listing(&directory).unwrap_or_default() {
                let path = directory.join(name);
                if !is_own(&path) {
                    continue;
                }
                if path.join("HEAD").is_file() {
                    let module = Self { dot_git: path.clone(), state: path.clone(), common: path };
                    found.extend(module.modules());
                    found.push(module);
                } else if depth < DEEPEST && path.is_dir() {
                    // A submodule's name may hold slashes.
                    next.push((path, depth + 1));
                }
            }
        }
        found
    }

    /// Writes a repository that shows the same into a new directory, submodules too. Objects never change and are linked; those
    /// that are borrowed go on being so.
    pub fn copy(&self, to: &Path) -> Result<(), FileError> {
        self.copy_alone(to)?;
        for module in self.modules() {
            let below = module.state.strip_prefix(&self.common).unwrap_or(&module.state);
            module.copy_alone(&to.join(below))?;
        }
        Ok(())
    }

    fn copy_alone(&self, to: &Path) -> Result<(), FileError> {
        let elsewhere = ["commondir", "gitdir"];
        for part in self.parts() {
            let below = self.directories().into_iter().find_map(|home| part.path.strip_prefix(home).ok());
            let Some(below) = below.filter(|below| !elsewhere.iter().any(|name| *below == Path::new(name))) else { continue };
            match part.text {
                Some(text) if below == Path::new("config") => write(&to.join(below), (text + CHECKS).as_bytes())?,
                Some(text) => write(&to.join(below), text.as_bytes())?,
                None => copy_plain(&part.path, &to.join(below), below == Path::new("objects"))?,
            }
        }
        create_dirs(&to.join("refs"))?;
        create_dirs(&to.join("objects"))?;
        let lines: Vec<String> = self.alternates().iter().map(|path| path.display().to_string() + "\n").collect();
        if lines.is_empty() { Ok(()) } else { write(&to.join("objects/info/alternates"), lines.concat().as_bytes()) }
    }
}

/// Whether something is there and no link: sources could have one lead to anything.
fn is_own(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| !found.is_symlink())
}

/// Whether a file holds a part of the index.
fn is_shared_index(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with("sharedindex.")
}

/// The repositories of the working trees at and below a directory: one may have been cloned into another. Not below
/// `without`.
pub fn repositories(directory: &Path, without: &[&Path]) -> Vec<Repository> {
    let walk = walkdir::WalkDir::new(directory)
        .into_iter()
        .filter_entry(|entry| entry.file_type().is_dir() && entry.file_name() != ".git" && !without.contains(&entry.path()));
    let mut found: Vec<Repository> = walk.flatten().filter_map(|entry| Repository::at(entry.path())).collect();
    let modules: Vec<Repository> = found.iter().flat_map(Repository::modules).collect();
    found.retain(|repository| !modules.iter().any(|module| module.state == repository.state));
    found.extend(modules);
    found
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    create_dirs(path.parent().unwrap_or(path))?;
    fs::write(path, bytes).map_err(FileError::at("write", path))
}

/// Copies files and directories, or links files that never change; what is neither is left out, as git has none.
fn copy_plain(from: &Path, to: &Path, links: bool) -> Result<(), FileError> {
    let metadata = from.symlink_metadata().map_err(FileError::at("read", from))?;
    if metadata.is_dir() {
        create_dirs(to)?;
        for name in sorted_listing(from)? {
            // That one names the directories of others by relative paths.
            if name != "alternates" {
                copy_plain(&from.join(&name), &to.join(&name), links)?;
            }
        }
    } else if metadata.is_file() && !(links && fs::hard_link(from, to).is_ok()) {
        write(to, &fs::read(from).map_err(FileError::at("read", from))?)?;
        // An index that is younger than its files is believed.
        let copy = File::options().write(true).open(to).map_err(FileError::at("open", to))?;
        let time = metadata.modified().map_err(FileError::at("read", from))?;
        copy.set_modified(time).map_err(FileError::at("set the time of", to))?;
    }
    Ok(())
}
