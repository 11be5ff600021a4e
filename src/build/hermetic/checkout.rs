//! What a sandbox shows of the git repository that the sources lie in.
//!
//! - Of `.git` what [`Repository`] names.
//! - Of the working tree around the workspace what git tracks: sources include it, and without it git calls the tree dirty. A
//!   directory in which everything is tracked is shown whole, any other file by file, so that what lies beside them
//!   untracked (`.env`, keys, other builds) is not there. All that git tracks it holds as an object, too, which is
//!   shown anyway. Within the workspace and its packages everything is shown, tracked or not.
//! - Of what lies beside them untracked and not ignored, the name alone, as a link that leads to nothing: git lists it, and
//!   nobody can read it. Of an untracked directory the name of one file in it, by which git knows that there is something.
//! - Of submodules the same, where they are checked out.
//!
//! A tracked link stays one, and leads to nothing where it leads out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::view::{Content, Item, ItemKind, Role, View, trace};
use crate::build::repository::{Entry, Repository, repositories};
use plugin_oci::fs::sorted_listing;

/// The most files and directories that are mounted one by one: the kernel allows 100,000 mounts (`fs.mount-max`), and each
/// costs some microseconds. Of more files copies are made.
const MOST_MOUNTS: usize = 2_000;

/// Shows git what it needs of the repositories at, below and above a directory, and hides the rest of them.
pub fn show_all(directory: &Path, without: &[&Path], view: &mut View) {
    for repository in repositories(directory, without) {
        show(&repository, view);
    }
    if let Some(repository) = Repository::above(directory).and_then(|above| Repository::at(&above)) {
        show(&repository, view);
        for module in repository.modules() {
            show(&module, view);
        }
    }
}

fn show(repository: &Repository, view: &mut View) {
    if repository.dot_git.is_file() {
        view.add(&repository.dot_git, Role::Cover, Content::ReadOnly);
    }
    for directory in repository.directories() {
        view.add(directory, Role::Cover, Content::Stand(Vec::new()));
    }
    for part in repository.parts() {
        let content = part.text.map_or(Content::ReadOnly, Content::Text);
        view.add(&part.path, Role::Cover, content);
    }
    for lender in repository.lenders().proven {
        view.add(&lender, Role::Cover, Content::ReadOnly);
    }
}

/// Shows what git tracks around a workspace, where its repository is `tree`. `without` are the directories that have places of
/// their own, or none.
pub fn show_tree(workspace: &Path, tree: &Path, without: &[PathBuf], view: &mut View) {
    let Some(repository) = Repository::at(tree).filter(|_| workspace != tree) else { return };
    if !repository.tracks(&workspace.join("Cargo.toml")) {
        return;
    }
    let mut walk = Walk { without, modules: Vec::new() };
    let mut items = walk.tree(tree, &repository);
    for module in &walk.modules {
        show(module, view);
    }
    let mut mounts = items.iter().filter(|item| item.kind == ItemKind::Real).count();
    for item in items.iter_mut().rev().filter(|item| item.kind == ItemKind::Real) {
        if mounts > MOST_MOUNTS && tree.join(&item.name).is_file() {
            item.kind = ItemKind::Copy;
            mounts -= 1;
        }
    }
    view.add(tree, Role::Repository, Content::Stand(items));
}

/// Where the name of an untracked file leads: the kernel has no file of that name.
const NOWHERE: &str = "/proc/self/nothing";

/// The most files that are looked at for one that is not ignored.
const MOST_SEARCHED: usize = 10_000;

struct Walk<'a> {
    without: &'a [PathBuf],
    modules: Vec<Repository>,
}

impl Walk<'_> {
    fn tree(&mut self, tree: &Path, repository: &Repository) -> Vec<Item> {
        let entries = repository.tracked().unwrap_or_default();
        self.directory(tree, "", &entries).items
    }

    /// What is tracked in one directory of a working tree; `front` is the way there, with a slash at its end, which all
    /// entries begin with.
    fn directory(&mut self, tree: &Path, front: &str, entries: &[Entry]) -> Directory {
        let mut found = Directory { items: Vec::new(), is_whole: true };
        let mut tracked: BTreeSet<std::ffi::OsString> = BTreeSet::new();
        let name_of = |entry: &Entry| entry.name[front.len()..].split('/').next().map(str::to_owned).unwrap_or_default();
        for group in entries.chunk_by(|one, other| name_of(one) == name_of(other)) {
            let name = format!("{front}{}", name_of(&group[0]));
            let path = tree.join(&name);
            let Ok(kind) = path.symlink_metadata().map(|found| found.file_type()) else { continue };
            let is_file = group[0].name == name;
            tracked.insert(name_of(&group[0]).into());
            if self.without.contains(&path) {
                found.is_whole = false;
            } else if is_file && group[0].is_module && kind.is_dir() {
                found.is_whole = false;
                found.items.extend(self.module(&path, &name));
            } else if !is_file && kind.is_dir() {
                let below = self.directory(tree, &format!("{name}/"), group);
                if below.is_whole {
                    found.items.push(Item { name: name.into(), kind: ItemKind::Real });
                } else {
                    found.is_whole = false;
                    found.items.extend(below.items);
                }
            } else if is_file && kind.is_file() {
                found.items.push(Item { name: name.into(), kind: ItemKind::Real });
            } else if let Some(target) = fs::read_link(&path).ok().filter(|target| is_file && target.to_str().is_some()) {
                found.items.push(Item { name: name.into(), kind: ItemKind::Link(target) });
            } else {
                found.is_whole = false;
            }
        }
        let at = tree.join(front);
        let names = sorted_listing(&at).unwrap_or_default();
        found.is_whole &= names.iter().all(|name| tracked.contains(name));
        if !found.is_whole {
            let untracked = names_of(&at, Some(1)).into_iter().filter(|path| {
                let is_own = self.without.iter().any(|without| without.starts_with(path));
                !is_own && !path.file_name().is_some_and(|name| tracked.contains(name))
            });
            let first =
                |path: PathBuf| if path.is_dir() && !path.is_symlink() { names_of(&path, None).pop() } else { Some(path) };
            let names = untracked.filter_map(first).filter_map(|path| path.strip_prefix(tree).map(Path::to_owned).ok());
            let names = names.filter(|name| name.to_str().is_some());
            found.items.extend(names.map(|name| Item { name, kind: ItemKind::Link(NOWHERE.into()) }));
        }
        found
    }

    /// A submodule, as git knows it by its directory.
    fn module(&mut self, path: &Path, name: &str) -> Vec<Item> {
        let mut items = vec![Item { name: name.into(), kind: ItemKind::Empty }];
        if let Some(repository) = Repository::at(path) {
            let below = self.tree(path, &repository);
            items.extend(below.into_iter().map(|item| Item { name: Path::new(name).join(item.name), kind: item.kind }));
            self.modules.push(repository);
        }
        items
    }
}

/// What lies in a directory and is not ignored, as far as patterns in the working tree tell; or the first file anywhere below it.
fn names_of(directory: &Path, depth: Option<usize>) -> Vec<PathBuf> {
    let mut walk = ignore::WalkBuilder::new(directory);
    walk.standard_filters(false).git_ignore(true).git_exclude(true).parents(true).require_git(false).follow_links(false);
    walk.max_depth(depth).filter_entry(|entry| entry.file_name() != ".git");
    let found = walk.build().flatten().filter(|entry| entry.depth() > 0).take(MOST_SEARCHED);
    if depth.is_some() {
        return found.map(ignore::DirEntry::into_path).collect();
    }
    let mut files = found.filter(|entry| entry.file_type().is_some_and(|kind| !kind.is_dir()));
    files.next().map(ignore::DirEntry::into_path).into_iter().collect()
}

struct Directory {
    items: Vec<Item>,
    /// Whether nothing lies in it that git does not track.
    is_whole: bool,
}

/// A directory for stands, if it is on the file system of the sources.
pub fn stand(directory: PathBuf, sources: &Path) -> Option<PathBuf> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let device = |path: &Path| path.metadata().ok().map(|found| found.dev());
        let there = directory.ancestors().find_map(device);
        (there == device(sources) && trace(&directory).real == directory).then_some(directory)
    }
    #[cfg(not(unix))]
    {
        let _ = sources;
        Some(directory).filter(|directory| trace(directory).real == *directory)
    }
}
