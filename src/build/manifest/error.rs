//! Why a plugin's description cannot be used.

use std::io;
use std::path::PathBuf;

use super::location::Location;
use plugin_oci::failure::{Class, Failure};
use plugin_oci::values::reference::ReferenceError;

/// Why a plugin's description cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// A manifest cannot be read.
    #[error("failed to read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// A manifest is no TOML.
    #[error("{place}: {detail}")]
    Syntax { place: Location, detail: String },
    /// An argument for cargo that says what is decided here.
    #[error("`{flag}` is not for cargo to decide")]
    Contradiction { flag: String },
    /// A table that nothing would read, and that looks as if it were meant.
    #[error("{place}: nothing reads [{table}]")]
    UnknownTable {
        place: Location,
        table: String,
        /// The name of the one that was probably meant.
        meant: String,
    },
    /// A key that nothing knows.
    #[error("{place}: unknown key `{key}` in plugin-build")]
    UnknownKey {
        place: Location,
        key: String,
        known: Vec<String>,
        /// The one that was probably meant.
        nearest: Option<String>,
    },
    /// A value of the wrong type or out of range.
    #[error("{place}: bad value of `{key}`: {detail}")]
    Value { place: Location, key: String, detail: String },
    /// A flag's value is wrong.
    #[error("bad value of `{flag}`: {detail}")]
    Flag { flag: &'static str, detail: String },
    /// No package is selected.
    #[error("nothing to build: no selected package of {} has a [package.metadata.plugin-build] table", root.display())]
    NothingSelected { root: PathBuf, members: Vec<String> },
    /// A package that is not a member.
    #[error("package `{spec}` is not a member of the workspace {}", root.display())]
    UnknownPackage { spec: String, root: PathBuf, members: Vec<String> },
    /// Two plugins of one build with one name.
    #[error("packages `{first}` and `{second}` both make a plugin named `{name}`")]
    SameName { name: String, first: String, second: String },
    /// The base is no reference.
    #[error("{place}: bad value of `base`")]
    Base {
        /// File and line, or the flag.
        place: String,
        source: ReferenceError,
    },
}

impl Failure for PluginError {
    fn class(&self) -> Class {
        match self {
            Self::Read { .. } => Class::Failed,
            _ => Class::Usage,
        }
    }
}
