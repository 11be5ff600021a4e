//! A new version for a router's execution configuration.
//!
//! The router (`execution_config.file` with `watch: true`) looks at the file's time of modification, each second unless
//! `watch_interval` says otherwise; once that is later, and then the same twice, it reads the file and builds its graph anew,
//! plugins included (`router/pkg/watcher` and `buildExecutionConfigWatcher` in wundergraph/cosmo). The `version` in it is
//! what its logs, traces and the pollers of other sources tell configurations apart by. Nothing else in the file is touched.

use std::fs;
use std::path::{Path, PathBuf};

use crate::hosts::cosmo::execution::file::{Edit, apply};
use crate::hosts::cosmo::execution::scan::{Scanner, Span};
use plugin_oci::failure::{Class, Error, Failure};
use plugin_oci::fs::{FileError, write_atomically};
use plugin_oci::values::digest::Digest;

/// What stands between the version as it was composed and the plugin's digest.
const MARK: &str = "-dev.";
/// How many digits of the digest.
const DIGITS: usize = 12;

/// The most bytes of a version that are read.
const LONGEST: usize = 64 << 10;

/// Gives a configuration a version that names a plugin's digest, in one rename. The new version; `None` if it is that
/// already.
pub fn touch(config: &Path, digest: &Digest) -> Result<Option<String>, Error> {
    // What the router was told may be a link: the file it leads to is replaced.
    let path = config.canonicalize().map_err(FileError::at("find", config))?;
    let text = fs::read_to_string(&path).map_err(FileError::at("read", &path))?;
    let Some((text, version)) = renewed(&text, digest).map_err(|reason| TouchError::NotAConfig { path: path.clone(), reason })?
    else {
        return Ok(None);
    };
    write_atomically(&path, text.as_bytes())?;
    Ok(Some(version))
}

/// Whether this can be touched at all.
pub fn check(config: &Path) -> Result<(), Error> {
    let text = fs::read_to_string(config).map_err(FileError::at("read", config))?;
    version_of(&text).map_err(|reason| TouchError::NotAConfig { path: config.to_owned(), reason })?;
    Ok(())
}

fn renewed(text: &str, digest: &Digest) -> Result<Option<(String, String)>, String> {
    let (span, version) = version_of(text)?;
    let base = version.rsplit_once(MARK).map_or(version.as_str(), |(base, _)| base);
    let digits = digest.hex().get(..DIGITS).unwrap_or_default();
    let wanted = format!("{base}{MARK}{digits}");
    if wanted == version {
        return Ok(None);
    }
    let mut edited = Vec::new();
    let edit = Edit { span, text: serde_json::Value::from(wanted.as_str()).to_string() };
    apply(&mut text.as_bytes(), &[edit], &mut edited).map_err(|error| error.to_string())?;
    let text = String::from_utf8(edited).map_err(|error| error.to_string())?;
    Ok(Some((text, wanted)))
}

/// Where the version stands and what it says.
fn version_of(text: &str) -> Result<(Span, String), String> {
    let mut scanner = Scanner::new(text.as_bytes());
    let mut found = None;
    let read = scanner.object(&mut |scanner, member| {
        if member.key == "version" {
            found = Some(scanner.text_or_skip(LONGEST)?);
            return Ok(());
        }
        scanner.skip()
    });
    read.and_then(|_| scanner.end()).map_err(|error| error.to_string())?;
    let (span, version) = found.ok_or("it has no `version`")?;
    Ok((span, version.ok_or("its `version` is no string")?))
}

/// Why a configuration has the version that it had.
#[derive(Debug, thiserror::Error)]
pub enum TouchError {
    /// It is not what `wgc router compose` writes.
    #[error("`{}` is no execution configuration of a router: {reason}", path.display())]
    NotAConfig { path: PathBuf, reason: String },
}

impl Failure for TouchError {
    fn class(&self) -> Class {
        Class::Usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    #[test]
    fn nothing_but_the_version_changes() {
        let (a, b) = (digest("a"), digest("b"));
        let text = "{ \"engineConfig\": {\"version\": \"x\", \"n\": 1.50},\n\t\"version\" : \"5\\u0061-1\",\"z\":[ ] }\n";
        let (once, version) = renewed(text, &a).unwrap().unwrap();
        assert_eq!(version, format!("5a-1-dev.{}", &a.hex()[..12]));
        assert_eq!(once, text.replace("\"5\\u0061-1\"", &format!("\"{version}\"")));
        assert!(renewed(&once, &a).unwrap().is_none());
        let (twice, version) = renewed(&once, &b).unwrap().unwrap();
        assert_eq!(version, format!("5a-1-dev.{}", &b.hex()[..12]));
        assert_eq!(renewed(&twice, &a).unwrap().unwrap().0, once);
    }

    #[test]
    fn other_documents_are_refused() {
        for text in ["", "[]", "{}", r#"{"version": 1}"#, r#"{"version": "a", "version": "b"}"#, r#"{"version": "a"} x"#] {
            assert!(renewed(text, &digest("a")).is_err(), "{text}");
        }
    }
}
