//! What lies in a directory, as a value that can be recorded and compared: every path with its kind, mode and content.
//! Times and owners are left out; copying an installation elsewhere changes both and means nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use plugin_oci::finding::Finding;
use plugin_oci::fs::anchor::Anchor;
use plugin_oci::fs::{FileError, sorted_listing};
use plugin_oci::values::digest::{Digest, Hasher};

/// One thing in a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Item {
    Directory {
        mode: u32,
    },
    /// A regular file.
    File {
        mode: u32,
        size: u64,
        digest: Digest,
    },
    /// A symbolic link.
    Symlink {
        target: String,
    },
    /// Something that no image can hold.
    Other,
}

/// Every path below a directory, sorted, and the directory itself under the empty path.
pub type Survey = BTreeMap<String, Item>;

/// Looks at everything below a directory, following no link. Names that are not UTF-8 are shown as they can be.
pub fn survey(root: &Anchor) -> Result<Survey, FileError> {
    let mut found = Survey::new();
    let metadata = root.metadata().map_err(FileError::at("read", &root.base()))?;
    found.insert(String::new(), Item::Directory { mode: mode(&metadata) });
    below(root, "", &mut found)?;
    Ok(found)
}

/// The same at a path that is known to be nobody else's.
pub fn survey_at(root: &Path) -> Result<Survey, FileError> {
    survey(&Anchor::open(root).map_err(FileError::at("open", root))?)
}

fn below(directory: &Anchor, path: &str, found: &mut Survey) -> Result<(), FileError> {
    for child in sorted_listing(&directory.base())? {
        let text = child.to_string_lossy();
        let name = if path.is_empty() { text.into_owned() } else { format!("{path}/{text}") };
        let at = directory.at(&child);
        let metadata = fs::symlink_metadata(&at).map_err(FileError::at("read", &at))?;
        let item = if metadata.is_symlink() {
            let target = fs::read_link(&at).map_err(FileError::at("read", &at))?;
            Item::Symlink { target: target.to_string_lossy().into_owned() }
        } else if metadata.is_dir() {
            let inner = directory.below(&child).map_err(FileError::at("open", &at))?;
            below(&inner, &name, found)?;
            Item::Directory { mode: mode(&metadata) }
        } else if metadata.is_file() {
            let mut hasher = Hasher::new();
            let read = directory.file(&child).and_then(|mut file| io::copy(&mut file, &mut hasher));
            let size = read.map_err(FileError::at("read", &at))?;
            Item::File { mode: mode(&metadata), size, digest: hasher.finish() }
        } else {
            Item::Other
        };
        found.insert(name, item);
    }
    Ok(())
}

#[cfg(unix)]
fn mode(metadata: &fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o7777
}

#[cfg(not(unix))]
fn mode(_: &fs::Metadata) -> u32 {
    0
}

/// Every difference between what was recorded and what was found, named below `place`.
pub fn compare(place: &str, recorded: &Survey, found: &Survey) -> Vec<Finding> {
    let mut findings = Vec::new();
    let object = |path: &str| if path.is_empty() { place.to_owned() } else { format!("{place}/{path}") };
    for (path, then) in recorded {
        match found.get(path) {
            None => findings.push(Finding::new(object(path), "missing-file", "it was installed and is gone")),
            Some(now) if now != then => {
                let (rule, message) = difference(then, now);
                findings.push(Finding::new(object(path), rule, message));
            }
            Some(_) => {}
        }
    }
    for path in found.keys().filter(|path| !recorded.contains_key(*path)) {
        findings.push(Finding::new(object(path), "unexpected-file", "it was not installed"));
    }
    findings.sort();
    findings
}

fn difference(then: &Item, now: &Item) -> (&'static str, String) {
    match (then, now) {
        (Item::File { digest: then, .. }, Item::File { digest: now, .. }) if then != now => {
            ("changed-content", format!("its content was {then} and is {now}"))
        }
        (Item::File { mode: then, .. }, Item::File { mode: now, .. })
        | (Item::Directory { mode: then }, Item::Directory { mode: now }) => {
            ("changed-mode", format!("its mode was {then:04o} and is {now:04o}"))
        }
        (Item::Symlink { target: then }, Item::Symlink { target: now }) => {
            ("changed-link", format!("it pointed to `{then}` and points to `{now}`"))
        }
        _ => ("changed-kind", "it is another kind of thing than was installed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_change_is_told_apart() {
        let file = |text: &str, mode| Item::File { mode, size: text.len() as u64, digest: Digest::of(text.as_bytes()) };
        let recorded = Survey::from([
            (String::new(), Item::Directory { mode: 0o755 }),
            ("a".to_owned(), file("a", 0o755)),
            ("b".to_owned(), file("b", 0o755)),
            ("c".to_owned(), file("c", 0o644)),
            ("d".to_owned(), Item::Symlink { target: "a".to_owned() }),
        ]);
        let found = Survey::from([
            (String::new(), Item::Directory { mode: 0o700 }),
            ("a".to_owned(), file("x", 0o755)),
            ("b".to_owned(), file("b", 0o644)),
            ("d".to_owned(), file("a", 0o755)),
            ("e".to_owned(), Item::Other),
        ]);
        let told = compare("p", &recorded, &found).into_iter().map(|finding| (finding.object, finding.rule));
        let expected = [
            ("p", "changed-mode"),
            ("p/a", "changed-content"),
            ("p/b", "changed-mode"),
            ("p/c", "missing-file"),
            ("p/d", "changed-kind"),
            ("p/e", "unexpected-file"),
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected.map(|(object, rule)| (object.to_owned(), rule)));
        assert!(compare("p", &recorded, &recorded).is_empty());
    }
}
