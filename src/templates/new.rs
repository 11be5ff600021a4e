//! `new` and `init`: a package from a template.
//!
//! Nothing that exists is ever overwritten. A new directory appears by one rename, whole or not at all; in a directory
//! that exists, a failure takes back what was written.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::templates::{Name, TEMPLATES, Template, TemplateError};
use plugin_oci::failure::{Class, Error, Failure};
use plugin_oci::fs::{FileError, TempDir, sorted_listing};
use plugin_oci::progress::{Event, Progress};

/// What to make, and where.
#[derive(Clone, Debug)]
pub struct NewOptions {
    /// The package's directory, absolute.
    pub path: PathBuf,
    /// The template's name.
    pub template: String,
    /// The package's name; the directory's where absent.
    pub name: Option<String>,
    /// Whether the directory may hold other files already (`init`).
    pub into_existing: bool,
}

/// What was made.
#[derive(Clone, Debug, Serialize)]
pub struct NewPackage {
    /// The package's directory.
    pub path: PathBuf,
    /// The package's name.
    pub name: String,
    /// The template's name.
    pub template: &'static str,
    /// The files, relative to the directory.
    pub files: Vec<NewFile>,
}

/// A file of a new package.
#[derive(Clone, Debug, Serialize)]
pub struct NewFile {
    /// Relative to the directory.
    pub path: String,
}

/// A line of `--list`.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// The template's name.
    pub name: &'static str,
    /// What it makes.
    pub summary: &'static str,
}

/// Every template there is.
pub fn list() -> Vec<Listed> {
    TEMPLATES.iter().map(|template| Listed { name: template.name, summary: template.summary }).collect()
}

/// Makes the package.
pub fn new(options: &NewOptions, progress: &dyn Progress) -> Result<NewPackage, Error> {
    let template = Template::named(&options.template)?;
    let name = package_name(options)?;
    let files = template.files(&name)?;
    if exists(&options.path) {
        if !options.into_existing {
            check_empty(&options.path)?;
        }
        write_into(&options.path, &files)?;
    } else {
        write_beside(&options.path, &files)?;
    }
    progress.status("Created", format!("`{name}` from template `{}` in {}", template.name, options.path.display()));
    if let Some(workspace) = enclosing_workspace(&options.path) {
        let text = format!("add it to the members of the workspace {}", workspace.display());
        progress.event(Event::Note { text });
    }
    let files = files.into_iter().map(|(path, _)| NewFile { path }).collect();
    Ok(NewPackage { path: options.path.clone(), name: name.to_string(), template: template.name, files })
}

fn package_name(options: &NewOptions) -> Result<Name, TemplateError> {
    if let Some(name) = &options.name {
        return name.parse();
    }
    let last = options.path.file_name().unwrap_or_default();
    last.to_string_lossy().parse()
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn check_empty(dir: &Path) -> Result<(), Error> {
    if !dir.is_dir() {
        return Err(NewError::NotADirectory { path: dir.to_owned() }.into());
    }
    if sorted_listing(dir)?.is_empty() { Ok(()) } else { Err(NewError::NotEmpty { path: dir.to_owned() }.into()) }
}

/// Writes into a fresh directory beside the wanted one and renames it.
fn write_beside(dir: &Path, files: &[(String, String)]) -> Result<(), Error> {
    let parent = dir.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(FileError::at("create", parent))?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".plugin-build-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777)); // the umask's business, as for any source
    let temp = TempDir::new_in(&builder, parent)?;
    for (path, content) in files {
        write_new(&temp.path().join(path), content)?;
    }
    // Renaming onto a directory that somebody filled meanwhile fails; onto a file too.
    Ok(temp.persist(dir)?)
}

/// Writes into a directory that exists, after a look for everything in the way.
fn write_into(dir: &Path, files: &[(String, String)]) -> Result<(), Error> {
    if !dir.is_dir() {
        return Err(NewError::NotADirectory { path: dir.to_owned() }.into());
    }
    let conflicts = conflicts(dir, files);
    if !conflicts.is_empty() {
        return Err(NewError::Conflicts { dir: dir.to_owned(), names: conflicts }.into());
    }
    let missing_dirs = missing_dirs(dir, files);
    let mut written = Vec::new();
    let result = files.iter().try_for_each(|(path, content)| {
        let path = dir.join(path);
        write_new(&path, content)?;
        written.push(path);
        Ok(())
    });
    if result.is_err() {
        for path in &written {
            drop(fs::remove_file(path));
        }
        for path in missing_dirs.iter().rev() {
            drop(fs::remove_dir(path));
        }
    }
    result
}

/// Files that exist, and files where a directory is needed.
fn conflicts(dir: &Path, files: &[(String, String)]) -> Vec<String> {
    let mut found = std::collections::BTreeSet::new();
    for (path, _) in files {
        if exists(&dir.join(path)) {
            found.insert(path.clone());
        }
        for (end, _) in path.match_indices('/') {
            let parent = dir.join(&path[..end]);
            if exists(&parent) && !parent.is_dir() {
                found.insert(path[..end].to_owned());
            }
        }
    }
    found.into_iter().collect()
}

fn missing_dirs(dir: &Path, files: &[(String, String)]) -> Vec<PathBuf> {
    let all = files.iter().flat_map(|(path, _)| path.match_indices('/').map(|(end, _)| dir.join(&path[..end])));
    let missing: std::collections::BTreeSet<PathBuf> = all.filter(|path| !exists(path)).collect();
    missing.into_iter().collect()
}

fn write_new(path: &Path, content: &str) -> Result<(), FileError> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(FileError::at("create", parent))?;
    let written = fs::File::create_new(path).and_then(|mut file| file.write_all(content.as_bytes()));
    written.map_err(FileError::at("write", path))
}

/// The nearest manifest above `dir` that has a `[workspace]`: cargo would count the new package to it.
fn enclosing_workspace(dir: &Path) -> Option<PathBuf> {
    let is_workspace = |manifest: &PathBuf| {
        let table = fs::read_to_string(manifest).ok().and_then(|text| text.parse::<toml::Table>().ok());
        table.is_some_and(|table| table.contains_key("workspace"))
    };
    dir.ancestors().skip(1).map(|parent| parent.join("Cargo.toml")).find(is_workspace)
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// The path is there and is no directory.
    #[error("`{}` is not a directory", path.display())]
    NotADirectory { path: PathBuf },
    /// `new`, and something is there.
    #[error("`{}` is not empty", path.display())]
    NotEmpty { path: PathBuf },
    /// Files of the template are there already.
    #[error("`{}` has {} already, and nothing that exists is overwritten", dir.display(), quoted(names))]
    Conflicts {
        dir: PathBuf,
        /// The files, relative to it.
        names: Vec<String>,
    },
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl Failure for NewError {
    fn class(&self) -> Class {
        Class::Usage
    }
}
