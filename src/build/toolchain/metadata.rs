//! `cargo metadata`: packages, targets, directories.
//!
//! Without dependencies it costs little and needs no network, and is enough when every dependency comes from crates.io:
//! those all lie in two places. A dependency from git, from another registry or from a path outside the workspace has a
//! place of its own, which only the full answer tells. `Cargo.lock` says which case it is.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata};

use super::ToolchainError;
use super::ask::{Answer, Ask, Question};
use plugin_oci::progress::Progress;

/// How lock files call crates.io, the source that needs no special care.
pub const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// How to ask.
#[derive(Clone, Debug, Default)]
pub struct MetadataOptions {
    pub manifest_path: Option<PathBuf>,
    /// The cargo to ask.
    pub cargo: PathBuf,
    /// `--target-dir`, absolute.
    pub target_dir: Option<PathBuf>,
    /// `--locked`, `--offline`, `--frozen`, `--config X`: what decides about the answer.
    pub args: Vec<String>,
    /// Features, for the full answer only.
    pub feature_args: Vec<String>,
    /// The targets whose graph is wanted, for the full answer only; all where there are none.
    pub platforms: Vec<String>,
    /// Variables that decide about the answer.
    pub env: BTreeMap<String, String>,
    /// Whether cargo keeps quiet.
    pub quiet: bool,
}

/// A question under way.
#[derive(Debug)]
pub struct Asked {
    child: Answer,
    told: bool,
}

/// Asks without dependencies, and does not wait.
pub fn ask(options: &MetadataOptions, place: &dyn Ask, progress: &dyn Progress) -> Result<Asked, ToolchainError> {
    spawn(options, place, &["--no-deps"], false, progress)
}

/// The full answer: every package of the dependency graph. May resolve, lock and download, which cargo shows.
pub fn full(options: &MetadataOptions, place: &dyn Ask, progress: &dyn Progress) -> Result<Metadata, ToolchainError> {
    spawn(options, place, &graph_args(options), true, progress)?.answer()
}

/// The same, where nothing is to be downloaded and the caller tells what cargo says against it.
pub fn quietly(options: &MetadataOptions, place: &dyn Ask, progress: &dyn Progress) -> Result<Metadata, ToolchainError> {
    spawn(options, place, &graph_args(options), false, progress)?.answer()
}

fn graph_args(options: &MetadataOptions) -> Vec<&str> {
    let mut args: Vec<&str> = options.feature_args.iter().map(String::as_str).collect();
    args.extend(options.platforms.iter().flat_map(|target| ["--filter-platform", target]));
    if options.quiet {
        args.push("--quiet");
    }
    args
}

fn spawn(
    options: &MetadataOptions,
    place: &dyn Ask,
    more: &[&str],
    told: bool,
    progress: &dyn Progress,
) -> Result<Asked, ToolchainError> {
    let words = [&["metadata", "--format-version", "1"], more].concat();
    let mut question = Question { told, env: options.env.clone(), ..Question::new(&options.cargo, &words) };
    question.args.extend(options.args.iter().cloned());
    if let Some(path) = &options.manifest_path {
        question.args.extend(["--manifest-path".to_owned(), path.display().to_string()]);
    }
    // `cargo metadata` has no `--target-dir`; the variable ranks just below that flag.
    if let Some(target_dir) = &options.target_dir {
        question.env.insert("CARGO_TARGET_DIR".to_owned(), target_dir.display().to_string());
    }
    Ok(Asked { child: question.put(place, progress)?, told })
}

impl Asked {
    /// Waits for the answer.
    pub fn answer(self) -> Result<Metadata, ToolchainError> {
        let command = "cargo metadata";
        let bad = |detail: String| ToolchainError::Answer { command: command.to_owned(), detail };
        let output = self.child.output().map_err(|error| bad(error.to_string()))?;
        if self.told {
            // Nothing where the user has seen it already.
            drop(std::io::stderr().write_all(&output.stderr));
        }
        if !output.status.success() {
            if self.told {
                return Err(ToolchainError::MetadataTold(output.status));
            }
            let text = String::from_utf8_lossy(&output.stderr);
            let text = text.trim();
            return Err(ToolchainError::Metadata(text.strip_prefix("error: ").unwrap_or(text).to_owned()));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| bad(error.to_string()))
    }
}

/// Whether the answer without dependencies is enough: every package of the lock file is a member or from crates.io; or
/// there is no lock file yet, and nothing to lock.
pub fn lock_is_plain(metadata: &Metadata) -> bool {
    let is_member = |name: &str| metadata.packages.iter().any(|member| member.name == name);
    let Ok(text) = std::fs::read_to_string(metadata.workspace_root.join("Cargo.lock")) else {
        let mut dependencies = metadata.packages.iter().flat_map(|member| &member.dependencies);
        return dependencies.all(|dependency| dependency.path.is_some() && is_member(&dependency.name));
    };
    let Ok(lock) = text.parse::<toml::Table>() else { return false };
    let packages = lock.get("package").and_then(toml::Value::as_array).map(Vec::as_slice).unwrap_or_default();
    packages.iter().all(|package| {
        let source = package.get("source").and_then(toml::Value::as_str);
        let name = package.get("name").and_then(toml::Value::as_str).unwrap_or_default();
        match source {
            Some(source) => source == CRATES_IO,
            None => is_member(name),
        }
    })
}

/// Whether the lock file of a workspace holds a package.
pub fn locks(root: &Path, name: &str) -> bool {
    let text = std::fs::read_to_string(root.join("Cargo.lock")).unwrap_or_default();
    text.lines().any(|line| line.strip_prefix("name = ").is_some_and(|quoted| quoted.trim_matches('"') == name))
}

/// Whether a package depends on one of a name, by whatever way but through tests.
pub fn reaches(full: &Metadata, package: &str, name: &str) -> bool {
    let nodes = full.resolve.iter().flat_map(|resolve| &resolve.nodes);
    let edges: BTreeMap<&str, Vec<&str>> = nodes
        .map(|node| {
            let built = node.deps.iter().filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development));
            (node.id.repr.as_str(), built.map(|dep| dep.pkg.repr.as_str()).collect())
        })
        .collect();
    let mut seen = BTreeSet::from([package]);
    let mut next = vec![package];
    while let Some(at) = next.pop() {
        next.extend(edges.get(at).into_iter().flatten().copied().filter(|below| seen.insert(below)));
    }
    full.packages.iter().any(|package| package.name == name && seen.contains(package.id.repr.as_str()))
}

/// Whether a package comes from crates.io.
pub fn is_crates_io(package: &cargo_metadata::Package) -> bool {
    package.source.as_ref().is_some_and(|source| source.repr == CRATES_IO)
}

pub fn directory(package: &cargo_metadata::Package) -> &Path {
    package.manifest_path.parent().map_or(Path::new(""), |path| path.as_std_path())
}
