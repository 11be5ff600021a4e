//! What cargo says that it compiled.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A library or program that cargo compiled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unit {
    /// Cargo's identifier of the package.
    pub package: String,
    /// The target that it was compiled for; `None` for what runs while building: procedural macros, and what they and build
    /// scripts use.
    pub target: Option<String>,
    /// Its features.
    pub features: BTreeSet<String>,
    /// The package's manifest.
    pub manifest: PathBuf,
}
