//! Crates outside the workspace under names that do not tell where they lie.
//!
//! Cargo tells crates apart by a hash, `-C metadata`, which rustc mixes into every symbol. For a package outside the
//! workspace's directory cargo hashes the absolute path, and for whatever depends on it that hash again, so that the bytes
//! differ from checkout to checkout; no remap helps. Where there is such a package, this program stands between cargo and
//! rustc (`RUSTC_WRAPPER`) and puts another hash in the place of cargo's: over the same call with every path remapped, and
//! with the new hashes of its dependencies. Two crates have one hash only where nothing but the place tells them apart.
//! Directories of build scripts, which cargo names by its hash, get names of their own ([`out_dirs`]).
//!
//! A crate's new hash lies beside what rustc makes of it, for the calls of those that depend on it. Workspaces without such
//! a package see none of this.
//!
//! Cargo's hash stays in file names (`-C extra-filename`), by which cargo finds what rustc made: they enter the bytes only
//! where debug information is split off, whose names a program keeps (`hazards`).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde::{Deserialize, Serialize};

use super::out_dirs::{self, KEPT, replaced};
use super::remap::Remap;
use plugin_oci::values::digest::Digest;

/// The variable that tells this program how to stand in, as JSON.
pub const VARIABLE: &str = "CARGO_PLUGIN_BUILD_IDENTITY";

/// What the stand-in must know.
#[derive(Debug, Serialize, Deserialize)]
pub struct Identity {
    /// Paths and their names, the most special last.
    remaps: Vec<(PathBuf, String)>,
    /// The wrapper that cargo would have called.
    #[serde(skip_serializing_if = "Option::is_none")]
    wrapper: Option<PathBuf>,
}

impl Identity {
    /// With the plan's remaps and the user's own wrapper.
    pub fn new(remaps: &[Remap], wrapper: Option<PathBuf>) -> Self {
        Self { remaps: remaps.iter().map(|remap| (remap.from.clone(), remap.to.clone())).collect(), wrapper }
    }

    /// The value of [`VARIABLE`].
    pub fn text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Whether this process was called by cargo in the place of a wrapper: then `words` are a program and its arguments.
    pub fn of_call(variable: Option<&OsStr>, words: &[OsString]) -> Option<Self> {
        let program = Path::new(words.first()?);
        let is_program = program.components().count() > 1 || program.file_stem() == Some(OsStr::new("rustc"));
        serde_json::from_str(variable?.to_str()?).ok().filter(|_| is_program)
    }

    /// Calls the compiler, with the variables that it gets, and is then no more.
    pub fn call(&self, words: &[OsString], env: &BTreeMap<String, String>) -> ExitCode {
        let (program, rest) = match (&self.wrapper, words.split_first()) {
            (Some(wrapper), _) => (wrapper.as_os_str(), words),
            (None, Some((program, rest))) => (program.as_os_str(), rest),
            (None, None) => return ExitCode::FAILURE,
        };
        let texts: Option<Vec<&str>> = rest.iter().map(|word| word.to_str()).collect();
        let renamed = texts.and_then(|texts| self.renamed(&texts, env));
        let mut command = Command::new(program);
        match renamed {
            Some(words) => command.args(words),
            None => command.args(rest),
        };
        become_program(&mut command)
    }

    /// The arguments with the new hash; `None` where cargo gave none, as in its questions.
    fn renamed(&self, words: &[&str], env: &BTreeMap<String, String>) -> Option<Vec<String>> {
        let at = words.iter().position(|word| word.starts_with("metadata="))?;
        let value = |name: &str| words.iter().skip_while(|word| **word != name).nth(1).copied();
        let texts = words.iter().copied().chain(env.values().map(String::as_str));
        let out_dirs = out_dirs::named(&self.remaps, texts, env);
        let named = |text: &str| replaced(&self.remaps, &replaced(&out_dirs, text));
        let mut told: Vec<String> = ["CARGO_PKG_NAME", "CARGO_PKG_VERSION", "CARGO_MANIFEST_DIR"]
            .iter()
            .map(|name| named(env.get(*name).map_or("", String::as_str)))
            .collect();
        let mut skip = false;
        for (index, word) in words.iter().enumerate() {
            let before = index.checked_sub(1).map_or("", |before| words[before]);
            if skip || index == at || is_of_place(word) {
                skip = ["--out-dir", "-L", "--error-format", "--json", "--diagnostic-width"].contains(word);
                continue;
            }
            told.push(if before == "--extern" { dependency(word) } else { named(word) });
        }
        let hash = Digest::of(told.join("\0").as_bytes()).hex()[..16].to_owned();
        if let (Some(directory), Some(file)) = (value("--out-dir"), file_stem(words)) {
            // Where this cannot be kept, those that depend on it use cargo's hash.
            let _ = fs::write(Path::new(directory).join(file).with_extension(KEPT), &hash);
        }
        let mut renamed: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        renamed[at] = format!("metadata={hash}");
        // Behind cargo's, of which rustc takes the last that fits.
        renamed.extend(out_dirs.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())));
        Some(renamed)
    }
}

/// Words that say where something goes and how it is told, and make no difference to the crate.
fn is_of_place(word: &str) -> bool {
    let joined = ["extra-filename=", "incremental=", "--out-dir", "--error-format", "--json", "--diagnostic-width", "-L"];
    joined.iter().any(|start| word.starts_with(start)) || word.starts_with("--remap-path-prefix=")
}

/// What rustc calls its output, without extension: the crate's name and cargo's suffix.
fn file_stem(words: &[&str]) -> Option<String> {
    let name = words.iter().skip_while(|word| **word != "--crate-name").nth(1)?;
    let extra = words.iter().find_map(|word| word.strip_prefix("extra-filename=")).unwrap_or_default();
    Some(format!("{name}{extra}"))
}

/// `name=path` of a dependency with its new hash for the path, or cargo's where none was kept.
fn dependency(word: &str) -> String {
    let Some((name, path)) = word.split_once('=') else { return word.to_owned() };
    let path = Path::new(path);
    let stem = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
    let kept = [stem.strip_prefix("lib").unwrap_or(stem), stem].iter().find_map(|stem| {
        // A stem holds no dot that begins an extension: crate names have none.
        fs::read_to_string(path.with_file_name(stem).with_extension(KEPT)).ok()
    });
    format!("{name}={}", kept.unwrap_or_else(|| stem.to_owned()))
}

#[cfg(unix)]
fn become_program(command: &mut Command) -> ExitCode {
    use std::os::unix::process::CommandExt as _;
    let error = command.exec();
    eprintln!("error: failed to start `{}`: {error}", command.get_program().display());
    ExitCode::FAILURE
}

#[cfg(not(unix))]
fn become_program(command: &mut Command) -> ExitCode {
    match command.status() {
        Ok(status) => ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)),
        Err(error) => {
            eprintln!("error: failed to start `{}`: {error}", command.get_program().display());
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_one_hash_wherever_it_is_made() {
        let hash = |root: &str, name: &str, dependency: &str| {
            let remap = Remap { from: root.into(), to: "/cargo/path/sdk-0.2.0".to_owned() };
            let out = tempfile::tempdir().unwrap();
            let (source, out) = (format!("{root}/src/lib.rs"), out.path().display().to_string());
            let words = ["--crate-name", name, &source, "-C", "metadata=0123", "-C", "extra-filename=-4567", "--out-dir", &out];
            let more = ["-L", &out, "--extern", dependency];
            let env = BTreeMap::from([("CARGO_MANIFEST_DIR".to_owned(), root.to_owned())]);
            let renamed = Identity::new(&[remap], None).renamed(&[&words[..], &more].concat(), &env).unwrap();
            let kept = fs::read_to_string(Path::new(&out).join(format!("{name}-4567.identity"))).unwrap();
            assert_eq!(renamed[4], format!("metadata={kept}"));
            kept
        };
        let here = hash("/a", "sdk", "x=/t/libx-1.rlib");
        assert_eq!(here, hash("/longer/b", "sdk", "x=/other/libx-1.rlib"));
        assert_ne!(here, hash("/a", "kit", "x=/t/libx-1.rlib"));
        assert_ne!(here, hash("/a", "sdk", "x=/t/libx-2.rlib"));
        let question = ["-", "--crate-name", "___", "--print=cfg"];
        assert_eq!(Identity::new(&[], None).renamed(&question, &BTreeMap::new()), None);
    }
}
