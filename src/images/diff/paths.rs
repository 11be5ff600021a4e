//! Absolute paths inside programs that only one of two files holds: what a compiler or a build script left behind.

use std::collections::BTreeSet;
use std::io::{self, Read, Seek as _};

use tempfile::SpooledTempFile;

use super::{Difference, below};

/// The most paths of one file that are remembered.
const MOST: usize = 20_000;
/// The most paths that are told.
const MOST_TOLD: usize = 5;
/// The longest text that counts as a path.
const LONGEST: usize = 400;

/// Tells the paths that differ.
pub(super) fn compare(files: [&mut SpooledTempFile; 2], chain: &str) -> io::Result<Vec<Difference>> {
    let [first, second] = files;
    let paths = [in_file(first)?, in_file(second)?];
    let only = |side: usize| paths[side].difference(&paths[1 - side]).cloned().collect::<Vec<_>>();
    let only = [only(0), only(1)];
    let object = below(chain, "paths");
    let mut told = Vec::new();
    // As many here as there, in sorted order: the same places under other directories.
    if only[0].len() == only[1].len() {
        let pairs = only[0].iter().zip(&only[1]).take(MOST_TOLD);
        told.extend(pairs.map(|(a, b)| Difference::changed(object.as_str(), "leaked-path", "", [a.clone(), b.clone()])));
    } else {
        for (side, paths) in only.iter().enumerate() {
            let few = paths.iter().take(MOST_TOLD);
            told.extend(few.map(|path| Difference::only(object.as_str(), "leaked-path", side, path.as_str())));
        }
    }
    Ok(told)
}

fn in_file(file: &mut SpooledTempFile) -> io::Result<BTreeSet<String>> {
    file.rewind()?;
    let mut found = BTreeSet::new();
    let mut scanner = Scanner::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            scanner.end(&mut found);
            return Ok(found);
        }
        for &byte in &buffer[..count] {
            scanner.take(byte, &mut found);
        }
        if found.len() > MOST {
            return Ok(found);
        }
    }
}

/// Collects runs of characters that paths are made of.
#[derive(Default)]
struct Scanner {
    run: Vec<u8>,
}

impl Scanner {
    fn take(&mut self, byte: u8, found: &mut BTreeSet<String>) {
        if byte.is_ascii_alphanumeric() || b"/\\:._+@~%-".contains(&byte) {
            if self.run.len() <= LONGEST {
                self.run.push(byte);
            }
        } else {
            self.end(found);
        }
    }

    fn end(&mut self, found: &mut BTreeSet<String>) {
        let run = std::mem::take(&mut self.run);
        if let Ok(run) = std::str::from_utf8(&run)
            && run.len() <= LONGEST
        {
            found.extend(paths_in(run));
        }
    }
}

/// The absolute paths in a run: strings of a program lie end to end, so that a path ends where the name of a source file
/// does, and may begin anywhere.
fn paths_in(run: &str) -> Vec<String> {
    let mut rest = run;
    let mut found = Vec::new();
    while let Some(start) = start_of_path(rest) {
        let path = &rest[start..];
        let end = end_of_path(path);
        let (path, after) = path.split_at(end);
        let components = path.split(['/', '\\']).filter(|component| component.len() > 1 && !component.contains(':')).count();
        if components >= 2 && !is_hidden(path) && is_root(path) {
            found.push(path.to_owned());
        }
        rest = after;
    }
    found
}

/// Whether it is a name that stands for a path: everywhere the same, it is in a program because the code behind it is.
fn is_hidden(path: &str) -> bool {
    ["/rustc/", "/cargo/registry/", "/cargo/git/", "/cargo/path/", "/ws/"].iter().any(|name| path.starts_with(name))
}

/// Whether a path starts like one: directories at the root have short names; longer ones are texts behind a lone slash.
fn is_root(path: &str) -> bool {
    const LONGEST_AT_ROOT: usize = 20;
    path.split(['/', '\\']).find(|component| !component.is_empty()).is_some_and(|first| first.len() <= LONGEST_AT_ROOT)
}

/// Roots under which people and machines keep sources and products. Elsewhere a slash inside a run is more likely to be
/// inside a relative path.
const ROOTS: [&str; 24] = [
    "/home/",
    "/root/",
    "/Users/",
    "/tmp/",
    "/var/",
    "/private/",
    "/usr/",
    "/opt/",
    "/build/",
    "/builds/",
    "/builddir/",
    "/work/",
    "/workspace/",
    "/workspaces/",
    "/github/",
    "/mnt/",
    "/srv/",
    "/data/",
    "/nix/",
    "/gnu/",
    "/src/",
    "/ws/",
    "/cargo/",
    "/rustc/",
];

fn start_of_path(text: &str) -> Option<usize> {
    let mut skipped = 0;
    loop {
        let start = skipped + start_of_any(&text[skipped..])?;
        let inside = start > 0 && text.as_bytes()[start] == b'/' && text.as_bytes()[start - 1] != b':';
        if !inside || ROOTS.iter().any(|root| text[start..].starts_with(root)) {
            return Some(start);
        }
        skipped = start + 1;
    }
}

fn start_of_any(text: &str) -> Option<usize> {
    let drive = |at: usize| at > 0 && text.as_bytes()[at - 1].is_ascii_alphabetic();
    text.find(['/', ':']).and_then(|at| match &text[at..] {
        // `C:\` or `C:/`; `https://` has no single letter before it, and is no path either way.
        colon if colon.starts_with(":\\") && drive(at) => Some(at - 1),
        colon if colon.starts_with(':') => {
            let skip = at + 1 + colon[1..].bytes().take_while(|byte| *byte == b'/').count();
            start_of_any(&text[skip..]).map(|start| skip + start)
        }
        _ => Some(at),
    })
}

fn end_of_path(path: &str) -> usize {
    let sources = [".rs", ".c", ".cc", ".cpp", ".h", ".S"];
    let ends = sources.iter().filter_map(|extension| {
        path.match_indices(extension).map(|(at, found)| at + found.len()).find(|end| {
            let next = path.as_bytes().get(*end);
            // Of `.rs` nothing is longer; the others may be the start of another word.
            *extension == ".rs" || next.is_none_or(|byte| *byte == b':')
        })
    });
    let colon = path.char_indices().skip(2).find(|(_, c)| *c == ':').map(|(at, _)| at);
    ends.chain(colon).min().unwrap_or(path.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_between_other_strings() {
        assert_eq!(paths_in("oops/home/me/ws/src/main.rsnext"), ["/home/me/ws/src/main.rs"]);
        assert_eq!(paths_in("/src/a.rs/src/b.rs:12"), ["/src/a.rs", "/src/b.rs"]);
        assert_eq!(paths_in("https://example.org"), Vec::<String>::new());
        assert_eq!(paths_in("a/b"), Vec::<String>::new());
        assert_eq!(paths_in("share/greeting.txt/home/me/x"), ["/home/me/x"]);
        assert_eq!(paths_in(r"C:\src\main.rs"), [r"C:\src\main.rs"]);
    }

    #[test]
    fn names_of_hidden_paths_and_texts_behind_a_slash_are_no_leaks() {
        assert_eq!(paths_in("/ws/src/main.rs/home/me/x.rs/rustc/abc/library/std/src/env.rs"), ["/home/me/x.rs"]);
        assert_eq!(paths_in("/cargo/registry/src/index/fnv-1.0.7/lib.rs"), Vec::<String>::new());
        assert_eq!(paths_in("/GREETER_MOODGREETER_STYLEshare/greeting.txt"), Vec::<String>::new());
    }
}
