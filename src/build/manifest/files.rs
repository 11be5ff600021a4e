//! Finds the files that a package wants packed.
//!
//! - `from` is relative to the package and stays in it. A glob (`*`, `?`, `[..]`, `{a,b}`, `**` over directories) matches
//!   files and symlinks; a directory means all below it; a file means itself.
//! - What matches lands under `to` by its path below the glob's literal prefix: `assets/**` to `share/` puts
//!   assets/x/a.txt at share/x/a.txt. A single file goes to `to` + its name, or is named `to` when that is not empty and
//!   does not end in `/`. Dockerfile's COPY does the same.
//! - Files that the workspace's own `.gitignore` files exclude are left out of globs and directories. Rules from outside
//!   the workspace (a user's global ignore file, `.git/info/exclude`) do not count: they are not part of the sources. A
//!   file named literally is taken even when ignored.
//! - Symlinks are packed as symlinks, never followed. Hidden files are packed, `.git` and the target directory are not.
//! - Two rules may match one file: once is enough when they agree on mode and place. Two files in one place are an error.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use serde::Serialize;

use super::config::FileRule;
use super::location::Location;
use plugin_oci::failure::{Class, Failure};

/// A file to pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PackedFile {
    /// The file on disk.
    pub source: PathBuf,
    /// Its path from the image root, `/` between components, none in front.
    pub path: String,
    /// Permission bits.
    #[serde(serialize_with = "octal")]
    pub mode: u32,
    /// The target, when the source is a symlink.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// Permission bits as people know them: four octal digits.
pub fn octal<S: serde::Serializer>(mode: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{mode:04o}"))
}

/// Where to look.
#[derive(Clone, Copy, Debug)]
pub struct Roots<'a> {
    /// The workspace: `.gitignore` files count from here.
    pub workspace: &'a Path,
    pub package: &'a Path,
    /// Never packed.
    pub target_directory: &'a Path,
}

/// Resolves rules, each with its place for complaints, to files sorted by their path in the image.
pub fn resolve(rules: &[(FileRule, Location)], roots: Roots<'_>) -> Result<Vec<PackedFile>, FilesError> {
    let mut files: BTreeMap<String, PackedFile> = BTreeMap::new();
    for (rule, place) in rules {
        for file in resolve_one(rule, place, roots)? {
            match files.get(&file.path) {
                Some(known) if *known == file => {}
                Some(known) => {
                    return Err(FilesError::Twice {
                        place: place.clone(),
                        path: file.path,
                        first: known.source.clone(),
                        second: file.source,
                    });
                }
                None => {
                    files.insert(file.path.clone(), file);
                }
            }
        }
    }
    Ok(files.into_values().collect())
}

/// Whether a path, by whatever links it is reached, ends in one of these directories.
pub(super) fn lies_within(path: &Path, roots: [&Path; 2]) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let path = real(path);
    roots.into_iter().any(|root| path.starts_with(real(root)))
}

/// What a rule says, parsed.
struct Parsed<'a> {
    rule: &'a FileRule,
    place: &'a Location,
    /// The literal directory that matched paths are relative to.
    prefix: PathBuf,
    /// Matches paths relative to the package; `None` for a literal file.
    matcher: Option<GlobMatcher>,
    mode: u32,
}

fn resolve_one(rule: &FileRule, place: &Location, roots: Roots<'_>) -> Result<Vec<PackedFile>, FilesError> {
    let parsed = parse(rule, place, roots.package)?;
    let Some(matcher) = &parsed.matcher else {
        let source = roots.package.join(&rule.from);
        // Globs follow no link; a literal path follows those on its way.
        if !lies_within(source.parent().unwrap_or(roots.package), [roots.package, roots.workspace]) {
            return Err(FilesError::Outside { place: place.clone(), path: rule.from.clone() });
        }
        return Ok(vec![packed(&parsed, &source, Path::new(&rule.from), source.is_symlink())?]);
    };
    let base = roots.package.join(&parsed.prefix);
    let matching = |respect: bool| {
        let mut files = Vec::new();
        for source in walk(&base, roots, respect) {
            let (source, is_link) = source.map_err(|source| FilesError::Walk { place: place.clone(), source })?;
            let Ok(relative) = source.strip_prefix(roots.package) else { continue };
            if matcher.is_match(relative) {
                files.push(packed(&parsed, &source, relative, is_link)?);
            }
        }
        Ok::<_, FilesError>(files)
    };
    let files = matching(true)?;
    if files.is_empty() {
        let ignored = matching(false)?.len();
        return Err(FilesError::Nothing { place: place.clone(), from: rule.from.clone(), ignored });
    }
    Ok(files)
}

fn parse<'a>(rule: &'a FileRule, place: &'a Location, package: &Path) -> Result<Parsed<'a>, FilesError> {
    let leaves = |text: &str| Path::new(text).components().any(|c| !matches!(c, Component::Normal(_) | Component::CurDir));
    if rule.from.is_empty() || leaves(&rule.from) {
        return Err(FilesError::Outside { place: place.clone(), path: rule.from.clone() });
    }
    if leaves(rule.to.trim_start_matches('/')) {
        return Err(FilesError::BadDestination { place: place.clone(), to: rule.to.clone() });
    }
    let mode = match &rule.mode {
        None => 0o644,
        Some(text) => mode(text).ok_or_else(|| FilesError::Mode { place: place.clone(), mode: text.clone() })?,
    };
    let from = rule.from.trim_end_matches('/').trim_start_matches("./");
    let is_glob = from.contains(['*', '?', '[', '{']);
    let metadata = package.join(from).symlink_metadata();
    let (prefix, pattern) = match metadata {
        _ if is_glob => (literal_prefix(from), from.to_owned()),
        Ok(metadata) if metadata.is_dir() => (PathBuf::from(from), format!("{}/**", globset::escape(from))),
        Ok(_) => return Ok(Parsed { rule, place, prefix: PathBuf::new(), matcher: None, mode }),
        Err(_) => return Err(FilesError::Missing { place: place.clone(), path: package.join(from) }),
    };
    let glob = GlobBuilder::new(&pattern).literal_separator(true).build();
    let glob = glob.map_err(|source| FilesError::Glob { place: place.clone(), source })?;
    Ok(Parsed { rule, place, prefix, matcher: Some(glob.compile_matcher()), mode })
}

/// Octal permission bits, without set-id and sticky bits.
fn mode(text: &str) -> Option<u32> {
    let digits = text.strip_prefix('0').filter(|rest| rest.len() == 3).unwrap_or(text);
    let octal = digits.len() == 3 && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
    octal.then(|| u32::from_str_radix(digits, 8).ok()).flatten()
}

/// The leading components without glob characters; the last component never counts, it is what is matched.
fn literal_prefix(from: &str) -> PathBuf {
    let mut components: Vec<&str> = from.split('/').collect();
    components.pop();
    components.into_iter().take_while(|component| !component.contains(['*', '?', '[', '{', '\\'])).collect()
}

/// Everything below `base` that is no directory, and whether it is a symbolic link.
fn walk(base: &Path, roots: Roots<'_>, respect: bool) -> impl Iterator<Item = Result<(PathBuf, bool), ignore::Error>> {
    let (base, target) = (base.to_owned(), roots.target_directory.to_owned());
    let start = if base.starts_with(roots.workspace) { roots.workspace } else { roots.package };
    let mut builder = ignore::WalkBuilder::new(start);
    builder.standard_filters(false).git_ignore(respect).require_git(false).follow_links(false);
    builder.sort_by_file_name(Ord::cmp);
    builder.filter_entry(move |entry| {
        let path = entry.path();
        let on_the_way = base.starts_with(path) || path.starts_with(&base);
        on_the_way && path != target && entry.file_name() != ".git"
    });
    builder.build().filter_map(|entry| match entry {
        Ok(entry) if entry.file_type().is_some_and(|kind| kind.is_dir()) => None,
        Ok(entry) => {
            let is_link = entry.path_is_symlink();
            Some(Ok((entry.into_path(), is_link)))
        }
        Err(error) => Some(Err(error)),
    })
}

/// The entry that a matched file becomes.
fn packed(parsed: &Parsed<'_>, source: &Path, relative: &Path, is_link: bool) -> Result<PackedFile, FilesError> {
    let place = || parsed.place.clone();
    let not_utf8 = || FilesError::NotUtf8 { place: place(), path: source.to_owned() };
    let link = if is_link {
        let target = std::fs::read_link(source).map_err(|_| FilesError::Missing { place: place(), path: source.to_owned() })?;
        Some(target.to_str().ok_or_else(not_utf8)?.to_owned())
    } else {
        None
    };
    let to = parsed.rule.to.trim_start_matches('/');
    let below = match &parsed.matcher {
        Some(_) => relative.strip_prefix(&parsed.prefix).unwrap_or(relative),
        None if to.is_empty() || to.ends_with('/') => Path::new(relative.file_name().unwrap_or_default()),
        None => Path::new(""),
    };
    let mut words = Vec::new();
    for component in Path::new(to).join(below).components() {
        if let Component::Normal(word) = component {
            words.push(word.to_str().ok_or_else(not_utf8)?.to_owned());
        }
    }
    let mode = if link.is_some() { 0o777 } else { parsed.mode };
    Ok(PackedFile { source: source.to_owned(), path: words.join("/"), mode, link })
}

/// Why a `files` rule does not work.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A path that leaves the package.
    #[error("{place}: `files` entry `{path}` leaves the package")]
    Outside { place: Location, path: String },
    /// A destination that leaves the image.
    #[error("{place}: `to = \"{to}\"` leaves the image")]
    BadDestination { place: Location, to: String },
    /// No such file.
    #[error("{place}: `files` entry names {}, which does not exist", path.display())]
    Missing { place: Location, path: PathBuf },
    /// A glob that matches nothing.
    #[error("{place}: `files` entry `{from}` matches nothing")]
    Nothing {
        place: Location,
        from: String,
        /// Files that match but are ignored.
        ignored: usize,
    },
    /// A glob that is none.
    #[error("{place}: bad glob")]
    Glob { place: Location, source: globset::Error },
    /// A mode that is none.
    #[error("{place}: `mode = \"{mode}\"` is not octal permission bits such as \"0644\"")]
    Mode { place: Location, mode: String },
    /// A name that is not UTF-8.
    #[error("{place}: the name {} is not UTF-8", path.display())]
    NotUtf8 { place: Location, path: PathBuf },
    /// Two files for one place.
    #[error("{place}: `{path}` is wanted twice: as {} and as {}", first.display(), second.display())]
    Twice {
        /// File and line of the second.
        place: Location,
        path: String,
        first: PathBuf,
        second: PathBuf,
    },
    /// The disk refused.
    #[error("{place}: failed to list files")]
    Walk { place: Location, source: ignore::Error },
}

impl Failure for FilesError {
    fn class(&self) -> Class {
        match self {
            Self::Walk { .. } => Class::Failed,
            _ => Class::Usage,
        }
    }
}
