//! Looks for paths of this machine inside an artifact.
//!
//! Such a path makes the bytes depend on where they were built, and tells strangers about the machine. The remaps should
//! leave none; what is left came from something that they cannot reach, most of which is known and has a cure.
//!
//! A path of one component is not looked for: a clean program holds dozens of `/src`. What only looks like the path because
//! it is part of another one (`/mnt` + the path, or inside a name that stands for a hidden path) does not count.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path};

use serde::Serialize;

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The target or build directory.
    Target,
    Workspace,
    CargoHome,
    /// A package outside the workspace, or a vendor directory.
    Dependency,
    /// The standard library's sources, where they are installed.
    Toolchain,
    /// The home directory.
    Home,
}

/// A path to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// What it is.
    pub origin: Origin,
    pub path: String,
}

impl Pattern {
    /// A pattern for a path, unless it has fewer than two components or is not UTF-8.
    pub fn of(origin: Origin, path: &Path) -> Option<Self> {
        let deep = path.components().filter(|component| matches!(component, Component::Normal(_))).count() >= 2;
        let path = path.to_str()?.trim_end_matches('/').to_owned();
        deep.then_some(Self { origin, path })
    }
}

/// A path of this machine inside an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Leak {
    /// What it is.
    pub origin: Origin,
    /// Where its first occurrence stands in the file.
    pub offset: u64,
    /// The whole path, as far as it can be told.
    pub path: String,
    /// How many paths of this origin there are.
    pub count: usize,
}

impl Leak {
    /// Whether a hermetic build must fail for it. A home directory also appears in what other people compiled.
    pub fn is_grave(&self) -> bool {
        self.origin != Origin::Home
    }

    /// What such a path usually comes from, and the cure.
    pub fn cause(&self) -> &'static str {
        let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| self.path.ends_with(suffix));
        if self.origin == Origin::Toolchain || self.path.contains("/lib/rustlib/src/rust") {
            "the installed rust-src component, under a path that the compiler was not told to hide: `rustup component remove rust-src`"
        } else if ends(&[".c", ".cc", ".cpp", ".cxx", ".h", ".hpp", ".S", ".s"]) {
            "C code that was compiled without CFLAGS: let its build script honour them"
        } else if self.path.contains("/build/") && self.path.contains("/out") {
            "`env!(\"OUT_DIR\")` kept as text: use it in include!, include_str! or include_bytes! only"
        } else if ends(&[".rs"]) {
            "a source path that the compiler was not told to hide: a RUSTC_WRAPPER or RUSTC_WORKSPACE_WRAPPER that drops flags, \
             or a procedural macro that writes it"
        } else if matches!(self.origin, Origin::Workspace | Origin::CargoHome | Origin::Dependency) {
            "`env!(\"CARGO_MANIFEST_DIR\")` kept as text: find files from `std::env::current_exe()`, or embed them with include_bytes!"
        } else {
            "a build script or a procedural macro that writes it"
        }
    }
}

/// How much before an occurrence is looked at, to tell what it is part of.
const BEFORE: usize = 256;
/// How much after an occurrence is looked at.
const AFTER: usize = 512;
const CHUNK: usize = 1 << 20;

/// Reads a file and reports, for each origin, its first path and how many there are. `hidden` are the names that stand for
/// hidden paths.
pub fn scan(file: &Path, patterns: &[Pattern], hidden: &[String]) -> io::Result<Vec<Leak>> {
    let mut reader = File::open(file)?;
    let mut leaks: Vec<Leak> = Vec::new();
    let mut window: Vec<u8> = Vec::new();
    let mut start = 0_u64; // of the window in the file
    let mut fresh = 0; // in the window: everything before was looked at
    loop {
        let length = (&mut reader).take(CHUNK as u64).read_to_end(&mut window)?;
        let end = if length == 0 { window.len() } else { window.len().saturating_sub(AFTER).max(fresh) };
        for pattern in patterns {
            let found = memchr::memmem::find_iter(&window[fresh..], pattern.path.as_bytes()).map(|at| at + fresh);
            for at in found.take_while(|at| *at < end) {
                if let Some(path) = path_at(&window, at, pattern, patterns, hidden) {
                    record(&mut leaks, pattern.origin, start + at as u64, path);
                }
            }
        }
        if length == 0 {
            leaks.sort_by_key(|leak| leak.origin);
            return Ok(leaks);
        }
        let cut = end.saturating_sub(BEFORE);
        window.drain(..cut);
        start += cut as u64;
        fresh = end - cut;
    }
}

fn record(leaks: &mut Vec<Leak>, origin: Origin, offset: u64, path: String) {
    match leaks.iter_mut().find(|leak| leak.origin == origin) {
        Some(leak) => {
            leak.count += 1;
            if offset < leak.offset {
                (leak.offset, leak.path) = (offset, path);
            }
        }
        None => leaks.push(Leak { origin, offset, path, count: 1 }),
    }
}

/// The whole path at an occurrence; `None` when it is only part of another one, or belongs to a more special pattern.
fn path_at(window: &[u8], at: usize, pattern: &Pattern, patterns: &[Pattern], hidden: &[String]) -> Option<String> {
    let rest = &window[at..];
    let special = |other: &Pattern| other.path.len() > pattern.path.len() && is_below(rest, &other.path);
    if !is_below(rest, &pattern.path) || patterns.iter().any(special) {
        return None;
    }
    let before = &window[at.saturating_sub(BEFORE)..at];
    let run = before.iter().rev().take_while(|byte| is_name(**byte) || **byte == b'/').count();
    if hidden.iter().any(|name| is_below(rest, name) || is_inside(&before[before.len() - run..], name)) {
        return None;
    }
    let length = rest.iter().take(AFTER).take_while(|byte| is_name(**byte) || **byte == b'/').count();
    let shown = pattern.path.len() + end_of_path(&rest[pattern.path.len()..length]);
    Some(String::from_utf8_lossy(&rest[..shown]).into_owned())
}

/// Where a path ends that is followed by the next text without a gap: behind the name of a Rust source, or in front of a
/// name that stands for a hidden path.
fn end_of_path(rest: &[u8]) -> usize {
    const NEXT: [&str; 4] = ["/rustc/", "/cargo/registry/", "/cargo/git/", "/cargo/path/"];
    let next = NEXT.iter().filter_map(|name| memchr::memmem::find(rest, name.as_bytes()));
    next.chain(memchr::memmem::find(rest, b".rs").map(|at| at + 3)).min().unwrap_or(rest.len())
}

/// Whether text starts with a path or something below it.
fn is_below(text: &[u8], path: &str) -> bool {
    text.starts_with(path.as_bytes()) && !text.get(path.len()).copied().is_some_and(is_name)
}

/// Whether the text in front of an occurrence is a hidden path that goes on in it. Texts lie end to end in a program, so
/// that one which ends like a source file is complete.
fn is_inside(run: &[u8], name: &str) -> bool {
    let complete = [".rs", ".c", ".h"].iter().any(|suffix| run.ends_with(suffix.as_bytes()));
    !complete && memchr::memmem::rfind(run, name.as_bytes()).is_some_and(|start| is_below(&run[start..], name))
}

/// Bytes that file names are commonly made of.
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-+@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan_bytes(bytes: &[u8], patterns: &[(Origin, &str)], hidden: &[&str]) -> Vec<Leak> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let patterns: Vec<Pattern> = patterns.iter().filter_map(|(origin, path)| Pattern::of(*origin, Path::new(path))).collect();
        let hidden: Vec<String> = hidden.iter().map(|&name| name.to_owned()).collect();
        scan(file.path(), &patterns, &hidden).unwrap()
    }

    #[test]
    fn a_path_is_told_with_its_offset_and_the_most_special_origin() {
        let patterns = [(Origin::Home, "/home/me"), (Origin::Workspace, "/home/me/ws")];
        let leaks = scan_bytes(b"\0\0/home/me/ws/src/a.rs\0/home/me/.netrc\0/home/meow/x", &patterns, &[]);
        assert_eq!(leaks.len(), 2);
        assert_eq!((leaks[0].origin, leaks[0].offset, leaks[0].path.as_str()), (Origin::Workspace, 2, "/home/me/ws/src/a.rs"));
        assert_eq!((leaks[1].origin, leaks[1].path.as_str(), leaks[1].count), (Origin::Home, "/home/me/.netrc", 1));
        assert!(leaks[0].is_grave() && !leaks[1].is_grave());
    }

    #[test]
    fn short_paths_and_parts_of_hidden_ones_are_no_leaks() {
        assert!(scan_bytes(b"/src/a /root/b", &[(Origin::Workspace, "/src"), (Origin::Home, "/root")], &[]).is_empty());
        let inside = b"x/cargo/registry/src/a.rs /rustc/abc/library/std/src/io.rs";
        let patterns = [(Origin::Home, "/cargo/registry"), (Origin::Workspace, "/library/std")];
        assert!(scan_bytes(inside, &patterns, &["/cargo", "/rustc/abc"]).is_empty());
    }

    #[test]
    fn a_path_ends_where_the_next_text_begins() {
        for (text, path) in [
            (&b"/a/q/rustc/59807/library/core.rs"[..], "/a/q"),
            (b"/a/q/src/lib.rs/a/q/src/main.rs", "/a/q/src/lib.rs"),
            (b"/a/q/cargo/registry/src/x-1/lib.rs", "/a/q"),
            (b"/a/q/src/data.txt", "/a/q/src/data.txt"),
        ] {
            assert_eq!(scan_bytes(text, &[(Origin::Dependency, "/a/q")], &[])[0].path, path);
        }
    }

    #[test]
    fn paths_across_the_borders_of_chunks_are_found_once() {
        let path = b"/home/me/ws/src/main.rs";
        for shift in [0, 1, 10, path.len(), AFTER - 1, AFTER, AFTER + 1, BEFORE + AFTER] {
            let mut bytes = vec![0_u8; CHUNK - shift];
            bytes.extend_from_slice(path);
            bytes.extend(vec![0_u8; CHUNK]);
            bytes.extend_from_slice(path);
            let leaks = scan_bytes(&bytes, &[(Origin::Workspace, "/home/me/ws")], &[]);
            assert_eq!((leaks[0].offset, leaks[0].count), ((CHUNK - shift) as u64, 2), "shift {shift}");
        }
    }
}
