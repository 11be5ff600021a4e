//! `Cargo.lock`: what was resolved, with the checksums of registries.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use plugin_oci::fs::FileError;
use plugin_oci::values::digest::Digest;

/// A lock file.
#[derive(Clone, Debug, Default)]
pub struct Lock {
    /// SHA-256 of the file; `None` where there is none.
    pub digest: Option<Digest>,
    /// SHA-256 of `.crate` files by name, version and source.
    checksums: BTreeMap<(String, String, String), String>,
}

impl Lock {
    /// Reads that of a workspace. One that cannot be parsed holds nothing: cargo complains of it.
    pub fn read(workspace: &Path) -> Result<Self, FileError> {
        let path = workspace.join("Cargo.lock");
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Self { digest: Some(Digest::of(text.as_bytes())), checksums: checksums(&text) }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(FileError::at("read", &path)(error)),
        }
    }

    /// The checksum of a package.
    pub fn checksum(&self, name: &str, version: &str, source: &str) -> Option<&str> {
        let key = (name.to_owned(), version.to_owned(), source.to_owned());
        self.checksums.get(&key).map(String::as_str)
    }
}

fn checksums(text: &str) -> BTreeMap<(String, String, String), String> {
    let lock: toml::Table = text.parse().unwrap_or_default();
    let packages = lock.get("package").and_then(toml::Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let known = packages.iter().filter_map(|package| {
        let field = |name: &str| package.get(name).and_then(toml::Value::as_str).map(str::to_owned);
        Some(((field("name")?, field("version")?, field("source")?), field("checksum")?))
    });
    known.collect()
}
