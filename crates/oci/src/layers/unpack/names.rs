//! Which names an archive may use, and what they mean.
//!
//! A checked path is relative, without a trailing slash, UTF-8, made of components that are neither empty nor `.` nor
//! `..`; the empty path is the root of the layer. Nothing is repaired in silence except the leading `/` or `./` that
//! other tools write, and these only under [`Rules::Foreign`].

use super::error::ExtractError;
use super::limits::{Bound, Exceeded, ExtractOptions, Rules};

/// What a name in a layer stands for (image-spec, `layer.md`, "Whiteouts").
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A thing of this layer.
    Plain(String),
    /// The absence of what lower layers hold at this path.
    Whiteout(String),
    /// The absence of what lower layers hold below this path.
    Opaque(String),
}

/// Bytes that the target of a symbolic link may have on Linux.
const LINK: usize = 4095;

const PREFIX: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// Checks an entry's name; `directory` allows one trailing slash, and the root.
pub(super) fn entry(name: &[u8], directory: bool, options: &ExtractOptions) -> Result<Meaning, ExtractError> {
    let path = path(name, directory, options)?;
    let (parent, last) = path.rsplit_once('/').unwrap_or(("", &path));
    let Some(hidden) = last.strip_prefix(PREFIX) else { return Ok(Meaning::Plain(path)) };
    if last == OPAQUE {
        return Ok(Meaning::Opaque(parent.to_owned()));
    }
    if matches!(hidden, "" | "." | "..") || hidden.starts_with(PREFIX) {
        return Err(ExtractError::name(name, "it is no whiteout that the image specification knows"));
    }
    Ok(Meaning::Whiteout(if parent.is_empty() { hidden.to_owned() } else { format!("{parent}/{hidden}") }))
}

/// Checks the target of a hard link, which is the path of another entry.
pub(super) fn hard_link(target: &[u8], options: &ExtractOptions) -> Result<String, ExtractError> {
    match entry(target, false, options)? {
        Meaning::Plain(path) => Ok(path),
        Meaning::Whiteout(_) | Meaning::Opaque(_) => Err(ExtractError::name(target, "a whiteout cannot be linked to")),
    }
}

/// Checks the target of the symbolic link at `path`.
pub(super) fn symlink(path: &str, target: &[u8], options: &ExtractOptions) -> Result<String, &'static str> {
    if target.is_empty() {
        return Err("the target is empty");
    }
    if target.len() > options.limits.path_bytes.min(LINK) {
        return Err("the target is too long");
    }
    if target.contains(&0) {
        return Err("the target holds a NUL");
    }
    let text = std::str::from_utf8(target).map_err(|_| "the target is not UTF-8")?;
    if options.rules == Rules::Strict {
        stays_inside(path, text)?;
    }
    Ok(text.to_owned())
}

/// First up, at most to the root, then down. A name in the target may be another link, now or later: what `..` after it
/// means cannot be counted.
fn stays_inside(path: &str, target: &str) -> Result<(), &'static str> {
    if target.starts_with('/') {
        return Err("the target is absolute");
    }
    let mut depth = Some(path.matches('/').count());
    for component in target.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                let above = depth.ok_or("the target has `..` after a name")?.checked_sub(1);
                depth = Some(above.ok_or("the target lies outside")?);
            }
            _ => depth = None,
        }
    }
    Ok(())
}

fn path(name: &[u8], directory: bool, options: &ExtractOptions) -> Result<String, ExtractError> {
    let bad = |why| ExtractError::name(name, why);
    if name.is_empty() {
        return Err(bad("it is empty"));
    }
    if name.len() > options.limits.path_bytes {
        return Err(ExtractError::Limit(Exceeded { what: Bound::PathBytes, allowed: options.limits.path_bytes as u64 }));
    }
    let text = std::str::from_utf8(name).map_err(|_| bad("it is not UTF-8"))?;
    if text.contains('\0') {
        return Err(bad("it holds a NUL"));
    }
    let mut path = text;
    if options.rules == Rules::Foreign {
        while let Some(rest) = path.strip_prefix("./").or_else(|| path.strip_prefix('/')) {
            path = rest;
        }
        if path == "." {
            path = "";
        }
    }
    if path.is_empty() {
        return if directory { Ok(String::new()) } else { Err(bad("only a directory can be the root")) };
    }
    if directory {
        path = path.strip_suffix('/').unwrap_or(path);
    }
    if path.starts_with('/') {
        return Err(bad("it is absolute"));
    }
    let mut depth = 0;
    let mut components = path.split('/').peekable();
    while let Some(component) = components.next() {
        depth += 1;
        match component {
            "" => return Err(bad("it has an empty component")),
            "." | ".." => return Err(bad("it has a `.` or `..` component")),
            _ if component.len() > 255 => return Err(bad("it has a component of more than 255 bytes")),
            _ if component.starts_with(PREFIX) && (directory || components.peek().is_some()) => {
                return Err(bad("a directory cannot be a whiteout"));
            }
            _ => foreign_to_windows(component).map_err(bad)?,
        }
    }
    if depth > options.limits.depth {
        return Err(ExtractError::Limit(Exceeded { what: Bound::Depth, allowed: options.limits.depth as u64 }));
    }
    Ok(path.to_owned())
}

/// On Windows a component must not be able to name a drive, a stream, a device or another directory.
fn foreign_to_windows(component: &str) -> Result<(), &'static str> {
    const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];
    if !cfg!(windows) {
        return Ok(());
    }
    let stem = component.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let port = stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt")).is_some_and(|rest| rest.chars().count() == 1);
    if component.contains(['\\', ':', '*', '?', '"', '<', '>', '|']) || component.ends_with(['.', ' ']) {
        return Err("it has a character that Windows reserves");
    }
    if port || DEVICES.contains(&stem.as_str()) {
        return Err("it is a device on Windows");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(name: &str, directory: bool) -> Option<Meaning> {
        entry(name.as_bytes(), directory, &ExtractOptions::default()).ok()
    }

    fn strict() -> ExtractOptions {
        ExtractOptions { rules: Rules::Strict, ..ExtractOptions::default() }
    }

    #[test]
    fn names_of_other_tools_lose_their_leading_dot_or_slash() {
        for name in ["a/b", "./a/b", "/a/b", "././/a/b"] {
            assert_eq!(foreign(name, false), Some(Meaning::Plain("a/b".to_owned())), "{name}");
            assert_eq!(entry(name.as_bytes(), false, &strict()).is_ok(), name == "a/b", "{name}");
        }
        for root in ["./", ".", "/"] {
            assert_eq!(foreign(root, true), Some(Meaning::Plain(String::new())));
            assert_eq!(foreign(root, false), None, "a root that is no directory");
        }
    }

    #[test]
    fn a_bad_name_is_refused_not_repaired() {
        for name in ["", "..", "../a", "a/../b", "a/./b", "a//b", "a/", "a/.", "/..", "./../a", "a\0b", ".wh.a/b"] {
            assert_eq!(foreign(name, false), None, "{name:?}");
        }
        for name in ["a//", ".wh.a", ".wh..wh..opq", "a/.wh.b/"] {
            assert_eq!(foreign(name, true), None, "{name:?} as a directory");
        }
        assert!(entry(b"\xff", false, &ExtractOptions::default()).is_err());
        assert!(entry(&[b'a'; 256], false, &ExtractOptions::default()).is_err());
        assert!(entry(&b"a/".repeat(257), true, &ExtractOptions::default()).is_err());
    }

    #[test]
    fn only_the_whiteouts_of_the_specification_are_whiteouts() {
        assert_eq!(foreign(".wh.a", false), Some(Meaning::Whiteout("a".to_owned())));
        assert_eq!(foreign("x/.wh.a", false), Some(Meaning::Whiteout("x/a".to_owned())));
        assert_eq!(foreign("x/.wh....", false), Some(Meaning::Whiteout("x/...".to_owned())));
        assert_eq!(foreign("x/.wh..wh..opq", false), Some(Meaning::Opaque("x".to_owned())));
        assert_eq!(foreign(".wh..wh..opq", false), Some(Meaning::Opaque(String::new())));
        assert_eq!(foreign("x.wh.a", false), Some(Meaning::Plain("x.wh.a".to_owned())));
        for odd in [".wh.", ".wh..", ".wh...", "x/.wh..wh.", ".wh..wh.plnk", ".wh..wh..opq2", ".wh..wh.a"] {
            assert_eq!(foreign(odd, false), None, "{odd}");
        }
    }

    #[test]
    fn a_strict_link_stays_inside() {
        for (target, inside) in [
            ("b", true),
            (".././b", true),
            ("..//", true),
            ("../../b", false),
            ("/b", false),
            ("x/../../..", false),
            ("x/../y", false),
        ] {
            assert_eq!(symlink("a/link", target.as_bytes(), &strict()).is_ok(), inside, "{target}");
            assert!(symlink("a/link", target.as_bytes(), &ExtractOptions::default()).is_ok());
        }
    }
}
