//! Directories of build scripts under names that do not tell where a package lies.
//!
//! Cargo calls a build script's directory `build/<package>-<hash>`, and the hash is another one for each place of a package
//! outside the workspace, and for whatever depends on it. What is included from there brings the directory's name along: in
//! panics, `file!()` and debug information. So the directory gets a name in which the hash stands for the package's name,
//! version and directory, that as the plan calls it. The rest of the name tells apart the builds of one package for host and
//! target.
//!
//! The name lies beside `OUT_DIR`, for the calls of other packages: they may include from there too, when a build script
//! hands the directory on (`links`, `cargo::rustc-env`). What is kept as text, as by `env!("OUT_DIR")`, no name can hide; it
//! is found in the artifact ([`leak`](crate::build::inspect::leak)).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use plugin_oci::values::digest::Digest;

/// The extension of the files that keep new hashes.
pub(super) const KEPT: &str = "identity";

/// What cargo calls a build script's directory, below the one that has the hash.
const OUT: &str = "/out";
/// Bytes of a name.
const NAME: usize = 4096;

/// The directories that a call of rustc may include from, each with its name: the package's own, which is kept, and those
/// that the call's arguments or variables tell of.
pub fn named<'a>(
    remaps: &[(PathBuf, String)],
    texts: impl Iterator<Item = &'a str>,
    env: &BTreeMap<String, String>,
) -> Vec<(PathBuf, String)> {
    let mut found: Vec<(PathBuf, String)> = own(remaps, env).into_iter().collect();
    for text in texts {
        for directory in mentioned(remaps, text) {
            if found.iter().any(|(known, _)| known == directory) {
                continue;
            }
            let name = fs::read_to_string(kept(directory)).unwrap_or_default();
            // One name for two would make one file of two to rustc.
            if !name.is_empty() && name.len() <= NAME && found.iter().all(|(_, taken)| *taken != name) {
                found.push((directory.to_owned(), name));
            }
        }
    }
    found
}

/// The directory of the package that is compiled, and its name.
fn own(remaps: &[(PathBuf, String)], env: &BTreeMap<String, String>) -> Option<(PathBuf, String)> {
    let value = |name: &str| env.get(name).map(String::as_str);
    let directory = Path::new(value("OUT_DIR")?.strip_suffix(OUT)?);
    if !remaps.iter().any(|(from, _)| directory.starts_with(from)) {
        return None;
    }
    let [package, version, manifest] = ["CARGO_PKG_NAME", "CARGO_PKG_VERSION", "CARGO_MANIFEST_DIR"].map(value);
    let told = [package?, version?, &replaced(remaps, manifest?)].join("\0");
    let parent = replaced(remaps, directory.parent()?.to_str()?);
    let name = format!("{parent}/{}-{}", package?, &Digest::of(told.as_bytes()).hex()[..16]);
    let kept = kept(directory);
    // The package's programs are compiled while others read it.
    if fs::read_to_string(&kept).ok().as_deref() != Some(&name) {
        // Where this cannot be kept, other packages see cargo's hash.
        let _ = fs::write(kept, &name);
    }
    Some((directory.to_owned(), name))
}

fn kept(directory: &Path) -> PathBuf {
    directory.join("out").with_extension(KEPT)
}

/// Directories in a text that may be those of build scripts.
fn mentioned<'a>(remaps: &'a [(PathBuf, String)], text: &'a str) -> impl Iterator<Item = &'a Path> {
    let ends = text.match_indices(OUT).map(|(at, _)| at);
    let ends = ends.filter(|at| !text[at + OUT.len()..].starts_with(|next: char| next.is_alphanumeric() || "-_.".contains(next)));
    ends.flat_map(move |end| {
        let starts = remaps.iter().filter_map(move |(from, _)| text[..end].rfind(from.to_str()?));
        starts.map(move |start| Path::new(&text[start..end]))
    })
}

/// A text with the paths in it under their names, the most special of which come last.
pub(super) fn replaced(remaps: &[(PathBuf, String)], text: &str) -> String {
    remaps.iter().rev().fold(text.to_owned(), |text, (from, to)| text.replace(&*from.to_string_lossy(), to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_name_wherever_it_lies_and_whoever_tells_of_it() {
        let name = |hash: &str, package: &str, version: &str| {
            let target = tempfile::tempdir().unwrap();
            let root = target.path().display().to_string();
            let remaps =
                [(PathBuf::from("/far"), "/cargo/path/q".to_owned()), (target.path().to_owned(), "/ws/target".to_owned())];
            let directory = target.path().join(format!("release/build/{package}-{hash}"));
            fs::create_dir_all(directory.join("out")).unwrap();
            let out = directory.join("out").display().to_string();
            let pairs = [("OUT_DIR", out.as_str()), ("CARGO_PKG_NAME", package), ("CARGO_PKG_VERSION", version)];
            let pairs = pairs.into_iter().chain([("CARGO_MANIFEST_DIR", "/far")]);
            let env = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let own = named(&remaps, [].into_iter(), &env);
            assert_eq!((own.len(), &own[0].0), (1, &directory));
            let texts = [format!("native={out}"), format!("/x:{out}/lib:{root}/outer"), format!("{root}/release/out")];
            assert_eq!(named(&remaps, texts.iter().map(String::as_str), &BTreeMap::new()), own);
            own[0].1.clone()
        };
        let here = name("0123456789abcdef", "q", "0.2.0");
        assert!(here.starts_with("/ws/target/release/build/q-") && !here.contains("0123456789abcdef"), "{here}");
        assert_eq!(name("fedcba9876543210", "q", "0.2.0"), here);
        assert_ne!(name("0123456789abcdef", "q", "0.3.0"), here);
        // What is no directory of products has no name.
        let env = BTreeMap::from([("OUT_DIR".to_owned(), "/elsewhere/build/q-1/out".to_owned())]);
        assert_eq!(named(&[(PathBuf::from("/far"), String::new())], ["/far/out"].into_iter(), &env), []);
    }
}
