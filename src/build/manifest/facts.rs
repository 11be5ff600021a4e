//! What cargo tells about a package.

use std::collections::BTreeSet;
use std::path::PathBuf;

use cargo_metadata::Package;

use super::flags::BuildFlags;
use crate::build::toolchain::metadata;

/// What cargo tells about a package.
#[derive(Clone, Debug)]
pub struct PackageFacts {
    /// Cargo's identifier: the key of its messages.
    pub id: String,
    pub name: String,
    pub version: semver::Version,
    pub directory: PathBuf,
    /// The names of its features, optional dependencies among them.
    pub features: BTreeSet<String>,
    /// `package.description`.
    pub description: Option<String>,
    /// `package.authors`.
    pub authors: Vec<String>,
    /// `package.license`.
    pub license: Option<String>,
    /// `package.homepage`.
    pub homepage: Option<String>,
    /// `package.repository`.
    pub repository: Option<String>,
    /// `package.documentation`.
    pub documentation: Option<String>,
}

impl PackageFacts {
    /// Whether `--all-features` was given, and makes a difference.
    pub fn all_features(&self, flags: &BuildFlags) -> bool {
        flags.all_features && !self.features.is_empty()
    }

    /// Whether `--no-default-features` was given, and makes a difference.
    pub fn no_default_features(&self, flags: &BuildFlags) -> bool {
        flags.no_default_features && self.features.contains("default")
    }

    pub(super) fn of(package: &Package) -> Self {
        Self {
            id: package.id.repr.clone(),
            name: package.name.to_string(),
            version: package.version.clone(),
            directory: metadata::directory(package).to_owned(),
            features: package.features.keys().cloned().collect(),
            description: package.description.clone(),
            authors: package.authors.clone(),
            license: package.license.clone(),
            homepage: package.homepage.clone(),
            repository: package.repository.clone(),
            documentation: package.documentation.clone(),
        }
    }
}
