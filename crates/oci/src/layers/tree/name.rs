//! The rules that a single path or link target must keep.

use std::fmt;
use std::path::Path;

use super::TreeError;

/// What is wrong with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRule {
    /// It is empty, or all of it is slashes.
    Empty,
    /// It starts with a slash.
    Absolute,
    /// It has a component that is empty or `.`.
    Unclean,
    /// It has a component `..`.
    Parent,
    /// It has a NUL byte.
    Nul,
    /// It is not UTF-8.
    NotUtf8,
    /// It has a component that starts with `.wh.`.
    Whiteout,
}

impl fmt::Display for NameRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "it is empty",
            Self::Absolute => "it is absolute",
            Self::Unclean => "it has an empty or `.` component",
            Self::Parent => "it has a `..` component",
            Self::Nul => "it has a NUL byte",
            Self::NotUtf8 => "it is not UTF-8",
            Self::Whiteout => "names that start with `.wh.` delete files in a layer",
        })
    }
}

/// A path that keeps every rule; `slash` lets one trailing slash go.
pub(super) fn checked(path: &Path, slash: bool) -> Result<String, TreeError> {
    let refuse = |rule| TreeError::Name { path: path.to_string_lossy().into_owned(), rule };
    let text = path.to_str().ok_or_else(|| refuse(NameRule::NotUtf8))?;
    let text = if slash { text.strip_suffix('/').unwrap_or(text) } else { text };
    if text.is_empty() {
        return Err(refuse(NameRule::Empty));
    }
    if text.starts_with('/') {
        return Err(refuse(NameRule::Absolute));
    }
    if text.contains('\0') {
        return Err(refuse(NameRule::Nul));
    }
    for component in text.split('/') {
        match component {
            "" | "." => return Err(refuse(NameRule::Unclean)),
            ".." => return Err(refuse(NameRule::Parent)),
            name if name.starts_with(".wh.") => return Err(refuse(NameRule::Whiteout)),
            _ => {}
        }
    }
    Ok(text.to_owned())
}

/// A link target that can stand in a layer: relative UTF-8 without NUL. Where it leads is another question.
pub(super) fn checked_target(link: &str, target: &Path) -> Result<String, TreeError> {
    let refuse = |rule| TreeError::Name { path: target.to_string_lossy().into_owned(), rule };
    let text = target.to_str().ok_or_else(|| refuse(NameRule::NotUtf8))?;
    if text.is_empty() {
        return Err(refuse(NameRule::Empty));
    }
    if text.contains('\0') {
        return Err(refuse(NameRule::Nul));
    }
    if text.starts_with('/') {
        return Err(TreeError::LinkLeaves { path: link.to_owned(), target: text.to_owned() });
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_broken_rule_is_named_together_with_the_path() {
        for (path, rule) in [
            ("", NameRule::Empty),
            ("/", NameRule::Absolute),
            ("/etc/x", NameRule::Absolute),
            ("a//b", NameRule::Unclean),
            ("./a", NameRule::Unclean),
            ("a/.", NameRule::Unclean),
            ("a/", NameRule::Unclean),
            ("..", NameRule::Parent),
            ("a/../b", NameRule::Parent),
            ("a\0b", NameRule::Nul),
            (".wh.a", NameRule::Whiteout),
            ("a/.wh..wh..opq", NameRule::Whiteout),
            ("a/.wh.x/b", NameRule::Whiteout),
        ] {
            match checked(Path::new(path), false) {
                Err(TreeError::Name { path: named, rule: found }) => assert_eq!((named.as_str(), found), (path, rule)),
                other => panic!("{path:?}: {other:?}"),
            }
        }
        for good in ["a", "..a", "a/...", ".hidden", "wh.a", "a b/ç", "a\\b", "a\nb"] {
            assert_eq!(checked(Path::new(good), false).unwrap(), good);
        }
        assert_eq!(checked(Path::new("a/"), true).unwrap(), "a");
        assert!(checked(Path::new("a//"), true).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_not_utf8_is_refused() {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(b"caf\xe9"));
        assert_eq!(checked(path, false).unwrap_err().to_string(), "`caf\u{fffd}` cannot be in an image: it is not UTF-8");
    }
}
