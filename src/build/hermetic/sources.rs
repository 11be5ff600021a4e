//! What belongs to the sources, read off the manifests before cargo is asked anything: cargo is only asked in a sandbox, and
//! that must show what it will want to read.
//!
//! | the manifests or the configuration of the sources name | shown |
//! |---|---|
//! | the workspace's root | whole, if it is not `/`, `HOME` or `CARGO_HOME` |
//! | a member or path dependency outside of it | whole, if it holds a `Cargo.toml` and lies in the same repository; where there is none, beside the workspace or in a package around it; below no hidden directory, in no home of another, and not where the repository is `HOME` itself |
//! | a directory of vendored packages | whole, if it is of the same repository, or holds nothing but what `cargo vendor` makes |
//! | a local registry | whole, if it is of the same repository, or holds nothing but an index and crates |
//! | manifests in the directories above | each, up to the one that says `[workspace]` |
//! | anything else | never |

use std::collections::VecDeque;
use std::path::{Component, Path, PathBuf};

use toml::{Table, Value};

use super::HermeticError;
use super::view::trace;
use crate::build::toolchain::{cargo_home, home};
use plugin_oci::environment::Environment;
use plugin_oci::fs::sorted_listing;

/// Where the sources are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// The workspace's root.
    pub root: PathBuf,
    /// Members and path dependencies outside of it, in the order in which they are named.
    pub outside: Vec<PathBuf>,
    /// Manifests above, which cargo reads on its way to the root.
    pub manifests: Vec<PathBuf>,
    /// What holds all that may belong to them.
    within: PathBuf,
    /// Whether that is a repository, all of which is theirs.
    is_repository: bool,
    /// `HOME` and `CARGO_HOME`: nothing in them belongs to sources that lie outside.
    homes: Vec<PathBuf>,
}

/// The most manifests that are followed.
const MOST_PACKAGES: usize = 10_000;

impl Sources {
    /// Follows the manifests from where cargo would start.
    pub fn survey(manifest_path: Option<&Path>, env: &Environment) -> Result<Self, HermeticError> {
        let given = manifest_path.map(|path| env.resolve(path));
        let above = || env.cwd.ancestors().find(|directory| directory.join("Cargo.toml").is_file());
        let start = match &given {
            Some(path) => path.parent().map(plain).unwrap_or_default(),
            _ => above().unwrap_or(&env.cwd).to_owned(),
        };
        let (root, manifests) = root(&start);
        let homes: Vec<PathBuf> = [home(env), cargo_home(env)].into_iter().flatten().map(|home| trace(&home).real).collect();
        let may_hold_all = |directory: &&Path| directory.parent().is_some() && !homes.contains(&trace(directory).real);
        let repository = root.ancestors().find(|directory| directory.join(".git").symlink_metadata().is_ok());
        let repository = repository.filter(may_hold_all);
        let is_repository = repository.is_some();
        let within = repository.or(root.parent()).filter(may_hold_all).unwrap_or(&root).to_owned();
        let mut sources =
            Self { root: root.clone(), outside: Vec::new(), manifests, within, is_repository, homes: homes.clone() };
        let mut seen = vec![root.clone()];
        let mut next = VecDeque::from([root]);
        if !seen.contains(&start) {
            seen.push(start.clone());
            next.push_back(start);
        }
        while let Some(directory) = next.pop_front() {
            for named in named(&directory) {
                if seen.contains(&named) || !named.join("Cargo.toml").is_file() || seen.len() > MOST_PACKAGES {
                    continue;
                }
                // Links may lead out of it.
                let real = trace(&named).real;
                let is_in = |directory: &PathBuf| real.starts_with(trace(directory).real);
                if !is_in(&sources.root) && !sources.outside.iter().any(is_in) {
                    // Where no repository says what belongs together, a package around the workspace does.
                    if !is_repository && sources.root.starts_with(&named) && may_hold_all(&named.as_path()) {
                        sources.within.clone_from(&named);
                    }
                    if !sources.may_hold(&named) {
                        return Err(HermeticError::Foreign { what: "the package", path: named, within: sources.within });
                    }
                    sources.outside.push(named.clone());
                }
                seen.push(named.clone());
                next.push_back(named);
            }
        }
        Ok(sources)
    }

    /// Whether a directory came with the sources.
    pub fn holds(&self, directory: &Path) -> bool {
        let all = if self.is_repository { &self.within } else { &self.root };
        trace(directory).real.starts_with(trace(all).real)
    }

    /// The working tree that they lie in.
    pub fn repository(&self) -> Option<&Path> {
        Some(self.within.as_path()).filter(|_| self.is_repository)
    }

    /// Whether a path, not followed, is one of the sources'.
    pub fn names(&self, path: &Path) -> bool {
        let all = if self.is_repository { &self.within } else { &self.root };
        path.starts_with(all) || path.starts_with(trace(all).real)
    }

    /// Whether a directory, followed through links, is one of these sources' and not hidden.
    pub fn may_hold(&self, directory: &Path) -> bool {
        let real = trace(directory).real;
        let visible = |part: Component<'_>| !part.as_os_str().to_string_lossy().starts_with('.');
        let within = trace(&self.within).real;
        let is_in_home = self.homes.iter().any(|home| real.starts_with(home) && !within.starts_with(home));
        !is_in_home && real.strip_prefix(within).is_ok_and(|path| path.components().all(visible))
    }

    /// Whether a directory that the configuration calls vendored may be shown.
    pub fn may_show_vendored(&self, directory: &Path) -> bool {
        let is_package = |name: &Path| directory.join(name).join(".cargo-checksum.json").is_file();
        let names = sorted_listing(directory).unwrap_or_default();
        let mut names = names.iter().map(Path::new);
        if self.may_hold(directory) { names.any(is_package) } else { names.len() > 0 && names.all(is_package) }
    }

    /// Whether a directory that the configuration calls a local registry may be shown.
    pub fn may_show_registry(&self, directory: &Path) -> bool {
        let is_of_registry = |name: &Path| name == Path::new("index") || name.extension().is_some_and(|end| end == "crate");
        let names = sorted_listing(directory).unwrap_or_default();
        directory.join("index").is_dir() && (self.may_hold(directory) || names.iter().map(Path::new).all(is_of_registry))
    }
}

/// The workspace's root as cargo finds it, and the manifests that it reads on the way.
fn root(start: &Path) -> (PathBuf, Vec<PathBuf>) {
    let own = manifest(start);
    if let Some(named) = own.get("package").and_then(|package| package.get("workspace")).and_then(Value::as_str) {
        return (plain(&start.join(named)), vec![start.join("Cargo.toml")]);
    }
    if own.contains_key("workspace") {
        return (start.to_owned(), Vec::new());
    }
    let mut passed = Vec::new();
    for above in start.ancestors().skip(1).filter(|above| above.join("Cargo.toml").is_file()) {
        passed.push(above.join("Cargo.toml"));
        let table = manifest(above);
        let Some(workspace) = table.get("workspace") else { continue };
        let list = |key: &str| {
            let items = workspace.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            items.map(|item| plain(&above.join(item))).collect::<Vec<_>>()
        };
        // A member may lie below what is excluded.
        let is_member = list("members").iter().any(|member| start.starts_with(member));
        let is_excluded = list("exclude").iter().any(|excluded| start.starts_with(excluded)) && !is_member;
        return if is_excluded { (start.to_owned(), passed) } else { (above.to_owned(), passed) };
    }
    (start.to_owned(), passed)
}

/// The directories of packages that a manifest names.
fn named(directory: &Path) -> Vec<PathBuf> {
    let table = manifest(directory);
    let workspace = table.get("workspace");
    let mut found = Vec::new();
    let mut dependencies = |holder: Option<&Value>, keys: &[&str]| {
        for dependencies in keys.iter().filter_map(|key| holder?.get(*key)?.as_table()) {
            let paths = dependencies.iter().filter_map(|(_, dependency)| dependency.get("path")?.as_str());
            found.extend(paths.map(|path| plain(&directory.join(path))));
        }
    };
    let kinds = ["dependencies", "dev-dependencies", "dev_dependencies", "build-dependencies", "build_dependencies", "replace"];
    let whole = Value::Table(table.clone());
    dependencies(Some(&whole), &kinds);
    dependencies(workspace, &["dependencies"]);
    for holder in ["target", "patch"].iter().filter_map(|key| table.get(*key)?.as_table()) {
        for (name, value) in holder {
            dependencies(Some(value), &kinds);
            dependencies(Some(&Value::Table(holder.clone())), &[name]);
        }
    }
    let members = workspace.and_then(|workspace| workspace.get("members")).and_then(Value::as_array).into_iter().flatten();
    for pattern in members.filter_map(Value::as_str) {
        found.extend(expand(directory, pattern));
    }
    let above = table.get("package").and_then(|package| package.get("workspace")).and_then(Value::as_str);
    found.extend(above.map(|above| plain(&directory.join(above))));
    found
}

/// The directories that a pattern of members means.
fn expand(directory: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![directory.to_owned()];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        found = match globset::Glob::new(part) {
            Ok(glob) if part.contains(['*', '?', '[']) => {
                let matcher = glob.compile_matcher();
                let below = |directory: &PathBuf| {
                    let names = sorted_listing(directory).unwrap_or_default();
                    let directory = directory.clone();
                    names.into_iter().filter(|name| matcher.is_match(name)).map(|name| directory.join(name)).collect::<Vec<_>>()
                };
                found.iter().flat_map(below).collect()
            }
            _ => found.iter().map(|directory| plain(&directory.join(part))).collect(),
        };
        found.truncate(MOST_PACKAGES);
    }
    found
}

/// A manifest as far as it can be read; cargo tells what is wrong with it.
fn manifest(directory: &Path) -> Table {
    let file = directory.join("Cargo.toml");
    let text = if file.is_file() { std::fs::read_to_string(file).unwrap_or_default() } else { String::new() };
    text.parse().unwrap_or_default()
}

/// A path without `.` and `..`, as cargo writes it.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (path, text) in files {
            std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            std::fs::write(root.join(path), text).unwrap();
        }
    }

    #[test]
    fn the_manifests_tell_what_belongs_together() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let all = "[workspace]\nmembers = ['crates/*', '../aside']\nexclude = ['old']\n[workspace.dependencies]\nx = { path = '../x' }\n";
        write(
            &root,
            &[
                (".git/HEAD", ""),
                ("ws/Cargo.toml", all),
                ("ws/crates/a/Cargo.toml", "[dependencies]\ny = { path = '../../../y' }\n"),
                ("ws/crates/a/src/lib.rs", ""),
                ("ws/old/Cargo.toml", "[target.'cfg(unix)'.dependencies]\nx = { path = '../../x' }\n"),
                ("aside/Cargo.toml", ""),
                ("x/Cargo.toml", "[patch.crates-io]\nz = { path = '../z' }\n"),
                ("y/Cargo.toml", ""),
                ("z/Cargo.toml", ""),
            ],
        );
        let survey = |cwd: &str| Sources::survey(None, &Environment::new([], root.join(cwd))).unwrap();
        let sources = survey("ws/crates/a/src");
        assert_eq!(sources.root, root.join("ws"));
        assert_eq!(sources.outside, ["x", "aside", "y", "z"].map(|name| root.join(name)));
        let excluded = survey("ws/old");
        assert_eq!((excluded.root, excluded.outside), (root.join("ws/old"), vec![root.join("x"), root.join("z")]));
        assert_eq!(excluded.manifests, [root.join("ws/Cargo.toml")]);
    }

    #[test]
    fn nothing_of_others_belongs_to_them() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        for theirs in ["../../other", "../.hidden/p", "../home/p"] {
            let own = format!("[dependencies]\nx = {{ path = '{theirs}' }}\n");
            write(
                &root,
                &[
                    ("mine/.git/HEAD", ""),
                    ("mine/ws/Cargo.toml", &own),
                    ("other/Cargo.toml", ""),
                    ("mine/.hidden/p/Cargo.toml", ""),
                    ("mine/home/p/Cargo.toml", ""),
                ],
            );
            let env = Environment::new([("HOME".into(), root.join("mine/home").into())], root.join("mine/ws"));
            let refused = Sources::survey(None, &env).unwrap_err();
            assert!(matches!(refused, HermeticError::Foreign { .. }), "{theirs}: {refused}");
        }
    }
}
