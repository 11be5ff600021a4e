//! A copy of the sources, as a checkout of them would be.
//!
//! - What is copied is the union of the workspace, its members and its path dependencies, wherever links lead to them, each
//!   file once and at the same places relative to each other; where they lie in a git repository, the whole working tree,
//!   so that git finds nothing missing. What `.gitignore` leaves out stays out unless git tracks it or the build names it.
//! - `.git` is what a sandbox shows of it ([`Repository`]): the same answers, no hooks, no tokens. Linked worktrees become
//!   plain ones.
//! - The image that is checked is never among the sources, wherever it lies and whatever links to it.
//! - A link that git tracks stays as it is, to the letter, since git compares its text; where it leads out of the sources,
//!   the same thing is there beside the copy. Of other links, one within the sources stays as it is, one by an absolute path
//!   leads to the copy, and one that leaves them to where it led.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use super::RebuildError;
use crate::build::repository::Repository;
use crate::build::toolchain::find_program;
use plugin_oci::environment::Environment;
use plugin_oci::failure::Error;
use plugin_oci::fs::{FileError, create_dirs, sorted_listing};

/// What is to be copied.
#[derive(Debug)]
pub struct Sources<'a> {
    /// The workspace, its members and its path dependencies.
    pub roots: Vec<&'a PathBuf>,
    /// Directories of products.
    pub products: Vec<&'a PathBuf>,
    /// The layout or archive that is checked.
    pub image: Option<&'a PathBuf>,
}

/// A copy, decided.
#[derive(Debug)]
pub struct Checkout {
    /// Directories to copy, none within another.
    roots: Vec<PathBuf>,
    /// The working tree among them.
    tree: Option<PathBuf>,
    /// The directory that holds all of them.
    common: PathBuf,
    /// Directories of products: copied is only what git tracks of them.
    products: Vec<PathBuf>,
    /// The image that is checked: never copied.
    image: Vec<PathBuf>,
    /// Where the copy goes.
    to: PathBuf,
    /// The directory around it in which nothing else lies.
    around: PathBuf,
}

impl Checkout {
    /// Decides what is copied.
    pub fn of(sources: &Sources<'_>, to: PathBuf, around: PathBuf) -> Self {
        let mut roots: Vec<PathBuf> = sources.roots.iter().map(|root| real(root)).collect();
        let tree = roots.first().and_then(|workspace| working_tree(workspace));
        roots.extend(tree.clone());
        roots.sort();
        // What lies within another comes right after it.
        roots.dedup_by(|root, above| root.starts_with(above));
        let common = roots.iter().skip(1).fold(roots.first().cloned().unwrap_or_default(), |common, root| {
            root.ancestors().find(|ancestor| common.starts_with(ancestor)).map_or(common.clone(), Path::to_owned)
        });
        let products = sources.products.iter().map(|directory| real(directory)).collect();
        let image = sources.image.map(|image| real(image)).map_or_else(Vec::new, |image| {
            if roots.iter().any(|root| root.starts_with(&image)) {
                ["blobs", "index.json", "oci-layout"].map(|name| image.join(name)).to_vec()
            } else {
                vec![image]
            }
        });
        Self { roots, tree, common, products, image, to, around }
    }

    /// Where something of the sources is in the copy.
    pub fn place(&self, path: &Path) -> PathBuf {
        let real = real(path);
        self.to.join(real.strip_prefix(&self.common).unwrap_or(&real))
    }

    /// Copies; `files` also where they are ignored.
    pub fn make(&self, files: &[PathBuf], env: &Environment) -> Result<(), Error> {
        let mut trees = Vec::new();
        for root in &self.roots {
            self.copy_root(root, &mut trees)?;
        }
        for file in files.iter().map(|file| real(file)).filter(|file| self.holds(file) && !self.is_left_out(file)) {
            if self.place(&file).symlink_metadata().is_err() {
                self.copy_tree(&file)?;
            }
        }
        // One that is tracked by another may be found on the way.
        while let Some(tree) = trees.pop() {
            self.finish_tree(&tree, &mut trees, env)?;
        }
        Ok(())
    }

    fn holds(&self, path: &Path) -> bool {
        self.roots.iter().any(|root| path.starts_with(root))
    }

    fn is_of_image(&self, path: &Path) -> bool {
        self.image.iter().any(|image| path.starts_with(image))
    }

    fn is_left_out(&self, path: &Path) -> bool {
        self.is_of_image(path) || self.products.iter().any(|products| path.starts_with(products))
    }

    /// Copies what is not ignored; adds the working trees that it meets.
    fn copy_root(&self, root: &Path, trees: &mut Vec<PathBuf>) -> Result<(), Error> {
        create_dirs(&self.place(root))?;
        let without = [&self.image[..], &self.products].concat();
        let mut walk = ignore::WalkBuilder::new(root);
        walk.standard_filters(false).git_ignore(true).git_exclude(true).require_git(false).follow_links(false);
        walk.filter_entry(move |entry| !without.iter().any(|path| path == entry.path()) && entry.file_name() != ".git");
        for entry in walk.build() {
            let entry = entry.map_err(|source| RebuildError::Sources { root: root.to_owned(), source })?;
            self.copy_one(entry.path())?;
            if let Some(repository) = entry.file_type().filter(fs::FileType::is_dir).and_then(|_| Repository::at(entry.path())) {
                self.copy_repository(&repository)?;
                trees.push(entry.into_path());
            }
        }
        Ok(())
    }

    /// A submodule's file names a directory that is copied with the repository above; any other repository is copied to
    /// where the working tree is.
    fn copy_repository(&self, repository: &Repository) -> Result<(), FileError> {
        let own = self.tree.as_ref().and_then(|tree| Repository::at(tree));
        let is_module = own.is_some_and(|own| own.modules().iter().any(|module| module.state == repository.state));
        let dot_git = self.place(repository.dot_git.parent().unwrap_or(&repository.dot_git)).join(".git");
        if !is_module {
            return repository.copy(&dot_git);
        }
        let text = fs::read(&repository.dot_git).map_err(FileError::at("read", &repository.dot_git))?;
        fs::write(&dot_git, text).map_err(FileError::at("write", &dot_git))
    }

    /// What git tracks comes along although it is ignored or lies among products, links to the letter; and the index learns
    /// what its files look like now. By git itself, with the copy's configuration only.
    fn finish_tree(&self, tree: &Path, trees: &mut Vec<PathBuf>, env: &Environment) -> Result<(), Error> {
        let at = self.place(tree);
        let Some(listed) = git(&at, &["ls-files", "-z"], env) else { return Ok(()) };
        let names = listed.split(|byte| *byte == 0).filter_map(|name| std::str::from_utf8(name).ok());
        for name in names.filter(|name| !name.is_empty()) {
            let (file, copy) = (tree.join(name), at.join(name));
            let Ok(found) = file.symlink_metadata() else { continue };
            if self.is_of_image(&file) {
                continue;
            }
            if found.is_symlink() {
                self.copy_tracked_link(&file, &copy)?;
            } else if copy.symlink_metadata().is_err() {
                if found.is_dir() { self.copy_root(&file, trees)? } else { self.copy_one(&file)? }
            }
        }
        let _ = git(&at, &["update-index", "-q", "--refresh"], env);
        Ok(())
    }

    /// Gives a link the text that git has for it. What it leads to out of the sources is put where that text leads in the
    /// copy, as far as that is a place of ours.
    fn copy_tracked_link(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        let target = fs::read_link(from).map_err(FileError::at("read", from))?;
        let led = real(&from.parent().unwrap_or(from).join(&target));
        if self.is_of_image(&led) || fs::read_link(to).is_ok_and(|text| text == target) {
            return Ok(());
        }
        if to.symlink_metadata().is_ok() {
            fs::remove_file(to).map_err(FileError::at("replace", to))?;
        }
        create_dirs(to.parent().unwrap_or(to))?;
        link(&target, to)?;
        let beside = lexical(&to.parent().unwrap_or(to).join(&target));
        let is_ours = beside.starts_with(&self.around) && !beside.starts_with(&self.to);
        if target.is_relative() && is_ours && beside.symlink_metadata().is_err() && led.symlink_metadata().is_ok() {
            create_dirs(beside.parent().unwrap_or(&beside))?;
            link(&led, &beside)?;
        }
        Ok(())
    }

    /// Whether a file, or something in a directory, is none of the checkout's: a part of the image, or in the working tree
    /// and not tracked. To be asked once the copy is made.
    pub fn is_foreign(&self, file: &Path, env: &Environment) -> bool {
        let file = real(file);
        if self.is_left_out(&file) {
            return true;
        }
        let Some(tree) = self.tree.as_ref().filter(|tree| file.starts_with(tree)) else { return false };
        let below = self.place(&file);
        let below = below.to_string_lossy();
        let ask =
            |args: &[&str]| git(&self.place(tree), &[&["--literal-pathspecs", "ls-files"], args, &["--", &below]].concat(), env);
        if file.is_dir() {
            ask(&["--others"]).is_none_or(|others| !others.is_empty())
        } else {
            ask(&["--error-unmatch"]).is_none()
        }
    }

    /// Copies one file, link or directory (without what is in it), with the modes that a checkout would give it.
    fn copy_one(&self, from: &Path) -> Result<(), FileError> {
        let to = &self.to.join(from.strip_prefix(&self.common).unwrap_or(from));
        let metadata = from.symlink_metadata().map_err(FileError::at("read", from))?;
        if metadata.is_dir() {
            return create_dirs(to);
        }
        if let Some(parent) = to.parent() {
            create_dirs(parent)?;
        }
        if metadata.is_symlink() {
            return self.copy_link(from, to);
        }
        if !metadata.is_file() {
            return Ok(());
        }
        let mut source = fs::File::open(from).map_err(FileError::at("read", from))?;
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
            options.mode(if metadata.mode() & 0o100 == 0 { 0o666 } else { 0o777 });
        }
        let mut target = options.open(to).map_err(FileError::at("create", to))?;
        std::io::copy(&mut source, &mut target).map_err(FileError::at("write", to))?;
        // By size and time git knows that a file is as it was, whatever filters it does not have here.
        let time = metadata.modified().map_err(FileError::at("read", from))?;
        target.set_modified(time).map_err(FileError::at("set the time of", to))
    }

    fn copy_tree(&self, from: &Path) -> Result<(), FileError> {
        self.copy_one(from)?;
        if from.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            for name in sorted_listing(from)? {
                let below = from.join(&name);
                if !self.is_left_out(&below) && self.place(&below).symlink_metadata().is_err() {
                    self.copy_tree(&below)?;
                }
            }
        }
        Ok(())
    }

    fn copy_link(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        let target = fs::read_link(from).map_err(FileError::at("read", from))?;
        let led = real(&from.parent().unwrap_or(from).join(&target));
        if self.is_left_out(&led) {
            return Ok(());
        }
        let stays = target.is_relative() && self.spans(from, &target);
        let leads = if stays {
            target
        } else if self.holds(&led) {
            relative(to.parent().unwrap_or(to), &self.place(&led))
        } else {
            led
        };
        link(&leads, to)
    }

    /// Whether a relative link's text stays within what holds all sources.
    fn spans(&self, from: &Path, target: &Path) -> bool {
        let mut depth = from.strip_prefix(&self.common).map_or(0, |below| below.components().count().saturating_sub(1));
        target.components().all(|component| {
            let up = component == Component::ParentDir;
            let inside = !up || depth > 0;
            depth = if up { depth.saturating_sub(1) } else { depth + 1 };
            inside
        })
    }
}

/// The working tree that a workspace belongs to: its own, or one above that tracks it.
fn working_tree(workspace: &Path) -> Option<PathBuf> {
    let tree = Repository::above(workspace)?;
    let tracks = || Repository::at(&tree).is_some_and(|repository| repository.tracks(&workspace.join("Cargo.toml")));
    (tree == workspace || tracks()).then_some(tree)
}

/// Runs git in a working tree of ours; its stdout where it succeeds. It sees no configuration but that of the copy, which
/// names no program.
fn git(at: &Path, args: &[&str], env: &Environment) -> Option<Vec<u8>> {
    let mut command = Command::new(find_program("git".as_ref(), env)?);
    command.env_clear().env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("HOME", at);
    command.env("GIT_CEILING_DIRECTORIES", at.parent()?).args(["-c", "safe.directory=*"]).args(args).current_dir(at);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command.output().ok().filter(|output| output.status.success()).map(|output| output.stdout)
}

/// Where a path really leads, as far as it exists.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => real(parent).join(name),
        _ => path.to_owned(),
    })
}

/// A path without `..`, as if no component were a link.
fn lexical(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        if component == Component::ParentDir {
            plain.pop();
        } else {
            plain.push(component);
        }
    }
    plain
}

/// The way from a directory to a path, both absolute.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let shared = from.components().zip(to.components()).take_while(|(one, other)| one == other).count();
    let up = from.components().skip(shared).map(|_| Component::ParentDir);
    up.chain(to.components().skip(shared)).collect()
}

#[cfg(unix)]
fn link(target: &Path, to: &Path) -> Result<(), FileError> {
    std::os::unix::fs::symlink(target, to).map_err(FileError::at("create", to))
}

/// Links need privileges there; what they point to does not.
#[cfg(not(unix))]
fn link(target: &Path, to: &Path) -> Result<(), FileError> {
    let from = to.parent().unwrap_or(to).join(target);
    if from.is_dir() { create_dirs(to) } else { fs::copy(&from, to).map(drop).map_err(FileError::at("copy", &from)) }
}
