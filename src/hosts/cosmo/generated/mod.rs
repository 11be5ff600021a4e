//! `generate`: the contract of a Cosmo Router plugin, from its schema.
//!
//! The three files are written together, after all that can fail: a broken schema leaves them as they are. A file whose bytes
//! are right, but for a line end at its end, is not touched. With `check` nothing is written, and what is stale is found.

mod difference;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::build::manifest::{self, BuildFlags, ContractFiles, Plugin, Workspace};
use crate::hosts::cosmo::contract::directory;
use crate::hosts::cosmo::generate as engine;
use plugin_oci::environment::Environment;
use plugin_oci::failure::{Class, Error, Failure};
use plugin_oci::finding::Finding;
use plugin_oci::fs::{FileError, create_dirs, persist_all, staged};
use plugin_oci::progress::Progress;

/// How many warnings about one schema are told; all at `-v`.
const TOLD: usize = 10;

/// What came of one plugin.
#[derive(Clone, Debug, Serialize)]
pub struct Generated {
    pub package: String,
    /// The files, written or not.
    pub files: Vec<GeneratedFile>,
    /// What is stale; only with `check`.
    pub findings: Vec<Finding>,
}

/// One file of a contract.
#[derive(Clone, Debug, Serialize)]
pub struct GeneratedFile {
    /// The file, absolute.
    pub path: PathBuf,
    /// Whether its bytes were others.
    pub changed: bool,
}

/// Generates the contracts of the selected plugins, or with `check` tells what is stale.
pub fn generate(flags: &BuildFlags, check: bool, env: &Environment, progress: &dyn Progress) -> Result<Vec<Generated>, Error> {
    let workspace = manifest::load(flags, env, progress)?;
    let mut generated = Vec::new();
    for plugin in &workspace.plugins {
        match contract_of(plugin) {
            Some(files) => generated.push(one(plugin, &files, check, &workspace, progress)?),
            None => progress.detail(format!("passing over {}: it has no schema of its own", plugin.package.name)),
        }
    }
    if generated.is_empty() {
        let selected = workspace.plugins.iter().map(|plugin| plugin.package.name.as_str().to_owned()).collect();
        return Err(GenerateError::NoPlugin { selected }.into());
    }
    Ok(generated)
}

/// The files of a plugin's contract. Before the first generation a plugin may not be known for one of the router's yet.
fn contract_of(plugin: &Plugin) -> Option<ContractFiles> {
    let default = ContractFiles::below(&plugin.package.directory);
    plugin.contract.clone().or_else(|| default.schema.is_file().then_some(default))
}

fn one(
    plugin: &Plugin,
    files: &ContractFiles,
    check: bool,
    workspace: &Workspace,
    progress: &dyn Progress,
) -> Result<Generated, Error> {
    let lock_path = files.lock.clone().unwrap_or_else(|| plugin.package.directory.join(directory::LOCK));
    let schema = fs::read_to_string(&files.schema).map_err(FileError::at("read", &files.schema))?;
    let lock = read(&lock_path)?;
    let mut options = engine::Options::of_plugin(&plugin.name);
    if let Some(service) = read(&files.mapping)?.as_deref().and_then(service_of) {
        options.service = service;
    }
    options.go_package = read(&files.proto)?.as_deref().and_then(go_package_of);
    let made = engine::generate(&schema, &options, lock.as_deref()).map_err(|source| GenerateError::Engine {
        path: if matches!(source, engine::Error::Lock { .. }) { lock_path.clone() } else { files.schema.clone() },
        source,
    })?;
    warn(&made.warnings, &files.schema, workspace, progress);
    let texts = [(&files.proto, made.proto), (&files.mapping, made.mapping), (&lock_path, made.lock)];
    let mut report = Generated { package: plugin.package.name.clone(), files: Vec::new(), findings: Vec::new() };
    let mut changed = Vec::new();
    for (path, text) in texts {
        let found = read(path)?;
        let differs = found.as_deref().is_none_or(|found| !is_current(found, &text));
        report.files.push(GeneratedFile { path: path.clone(), changed: differs });
        if differs && check {
            report.findings.push(stale(path, found.as_deref(), &text, &workspace.root));
        } else if differs {
            changed.push((path, text));
        }
    }
    let mut temporary = Vec::new();
    for (path, text) in changed {
        make_parent(path, plugin, workspace)?;
        temporary.push(staged(path.clone(), text.as_bytes())?);
    }
    persist_all([temporary])?;
    Ok(report)
}

/// Whether a file is what would be written. Many editors and hooks end a text with a line end, which is as good.
fn is_current(found: &str, text: &str) -> bool {
    found == text || found.strip_suffix('\n').is_some_and(|found| found.strip_suffix('\r').unwrap_or(found) == text)
}

/// The name that a mapping gives the service: code was written against it, so that it stays.
fn service_of(mapping: &str) -> Option<String> {
    let mapping: serde_json::Value = serde_json::from_str(mapping).ok()?;
    let name = mapping.get("service")?.as_str()?;
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (plain && name.starts_with(|first: char| first.is_ascii_alphabetic())).then(|| name.to_owned())
}

/// The Go package that a proto names: somebody generates Go from it too, so that it stays.
fn go_package_of(proto: &str) -> Option<String> {
    let given = proto.lines().find_map(|line| line.strip_prefix("option go_package = \"")?.strip_suffix("\";"));
    given.filter(|path| !path.contains(['"', '\\'])).map(str::to_owned)
}

/// A file's text; `None` where there is no file.
fn read(path: &Path) -> Result<Option<String>, FileError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        // What is no text is replaced like any other; what cannot be read is not.
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Ok(Some(String::new())),
        Err(error) => Err(FileError::at("read", path)(error)),
    }
}

/// Links among the sources must not lead what is written out of them.
fn make_parent(path: &Path, plugin: &Plugin, workspace: &Workspace) -> Result<(), Error> {
    let parent = path.parent().unwrap_or(Path::new("."));
    create_dirs(parent)?;
    let real = parent.canonicalize().map_err(FileError::at("find", parent))?;
    let roots = [&workspace.root, &plugin.package.directory];
    if roots.iter().any(|root| root.canonicalize().is_ok_and(|root| real.starts_with(root))) {
        return Ok(());
    }
    Err(GenerateError::Outside { directory: parent.to_owned(), real }.into())
}

fn stale(path: &Path, found: Option<&str>, text: &str, root: &Path) -> Finding {
    let object = path.strip_prefix(root).unwrap_or(path).display().to_string();
    match found {
        None => Finding::new(object, "missing", "there is no such file"),
        Some(found) => Finding::new(object, "stale", difference::first(found, text)),
    }
}

fn warn(warnings: &[engine::Warning], schema: &Path, workspace: &Workspace, progress: &dyn Progress) {
    let shown = schema.strip_prefix(&workspace.root).unwrap_or(schema).display();
    for (number, warning) in warnings.iter().enumerate() {
        let place = warning.at.map_or_else(String::new, |at| format!(":{at}"));
        let text = format!("{shown}{place}: {}", warning.message);
        if number < TOLD {
            progress.warn(text, None);
        } else {
            progress.detail(text);
        }
    }
    if warnings.len() > TOLD {
        progress.caution(&MoreWarnings { schema: shown.to_string(), count: warnings.len() - TOLD });
    }
}

/// Warnings that are shown as details only.
#[derive(Debug, thiserror::Error)]
#[error("{schema}: {count} more of the kind")]
pub struct MoreWarnings {
    pub schema: String,
    pub count: usize,
}

impl Failure for MoreWarnings {}

/// Why no contract is generated.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// None of the selected packages has a schema.
    #[error("no plugin of the Cosmo Router is selected, only {}", selected.join(", "))]
    NoPlugin { selected: Vec<String> },
    /// A link among the sources leads what is written out of them.
    #[error("`{}` leads out of the workspace, to `{}`", directory.display(), real.display())]
    Outside { directory: PathBuf, real: PathBuf },
    /// A schema gives no contract, or the lock beside it is wrong: the path is of one of them.
    #[error("failed to generate from {}", path.display())]
    Engine { path: PathBuf, source: engine::Error },
}

impl Failure for GenerateError {
    fn class(&self) -> Class {
        Class::Usage
    }
}
