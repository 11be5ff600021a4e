//! Why a plugin's description cannot be used.

use std::io;
use std::path::PathBuf;

use super::files::FilesError;
use super::place::Place;
use crate::build::hermetic::HermeticError;
use crate::build::kinds::KindError;
use crate::build::nearest::nearest;
use crate::build::toolchain::ToolchainError;
use plugin_oci::failure::{Class, Explain};
use plugin_oci::values::platform::PlatformError;
use plugin_oci::values::reference::ReferenceError;

/// Why a plugin's description cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// A manifest cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A manifest is no TOML.
    #[error("{place}: {detail}")]
    Syntax {
        /// File and line.
        place: Place,
        /// What is wrong.
        detail: String,
    },
    /// An argument for cargo that says what is decided here.
    #[error("`{flag}` is not for cargo to decide")]
    Contradiction {
        /// The argument's name.
        flag: String,
        /// What to do instead.
        way_out: &'static str,
    },
    /// A key that nothing knows.
    #[error("{place}: unknown key `{key}` in plugin-build")]
    UnknownKey {
        /// File and line.
        place: Place,
        /// The key.
        key: String,
        /// The keys there are.
        known: Vec<String>,
        /// The one that was probably meant.
        nearest: Option<String>,
    },
    /// A value of the wrong type or out of range.
    #[error("{place}: bad value of `{key}`: {detail}")]
    Value {
        /// File and line.
        place: Place,
        /// The key.
        key: String,
        /// What is wrong.
        detail: String,
    },
    /// A flag's value is wrong.
    #[error("bad value of `{flag}`: {detail}")]
    Flag {
        /// The flag.
        flag: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// No package is selected.
    #[error("nothing to build: no selected package of {} has a [package.metadata.plugin-build] table", root.display())]
    NothingSelected {
        /// The workspace.
        root: PathBuf,
        /// The members there are.
        members: Vec<String>,
    },
    /// A package that is not a member.
    #[error("package `{spec}` is not a member of the workspace {}", root.display())]
    UnknownPackage {
        /// What was asked for.
        spec: String,
        /// The workspace.
        root: PathBuf,
        /// The members there are.
        members: Vec<String>,
    },
    /// Two plugins of one build with one name.
    #[error("packages `{first}` and `{second}` both make a plugin named `{name}`")]
    SameName {
        /// The name.
        name: String,
        /// One package.
        first: String,
        /// The other.
        second: String,
    },
    /// The kind does not fit.
    #[error(transparent)]
    Kind(#[from] KindError),
    /// A `files` rule does not work.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// A target or platform is not usable.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// The toolchain could not be asked.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// There is no sandbox to ask in.
    #[error(transparent)]
    Hermetic(#[from] HermeticError),
    /// The base is no reference.
    #[error("{place}: bad value of `base`")]
    Base {
        /// File and line, or the flag.
        place: String,
        /// Why.
        source: ReferenceError,
    },
}

impl From<crate::build::kinds::infer::InferError> for PluginError {
    fn from(error: crate::build::kinds::infer::InferError) -> Self {
        Self::Kind(error.into())
    }
}

impl Explain for PluginError {
    fn class(&self) -> Class {
        match self {
            Self::Read { .. } => Class::Failed,
            Self::Kind(error) => error.class(),
            Self::Files(error) => error.class(),
            Self::Toolchain(error) => error.class(),
            Self::Hermetic(error) => error.class(),
            _ => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Contradiction { way_out, .. } => Some((*way_out).to_owned()),
            Self::UnknownKey { nearest: Some(nearest), .. } => Some(format!("did you mean `{nearest}`?")),
            Self::UnknownKey { known, .. } => Some(format!("the keys are {}", known.join(", "))),
            Self::NothingSelected { members, .. } => {
                Some(format!("add the table (it may be empty), or name a package with -p: {}", members.join(", ")))
            }
            Self::UnknownPackage { spec, members, .. } => match nearest(spec, members.iter().map(String::as_str), 0.7) {
                Some(name) => Some(format!("did you mean `{name}`?")),
                None => Some(format!("the members are {}", members.join(", "))),
            },
            Self::SameName { .. } => Some("set `name` in one of them".to_owned()),
            Self::Kind(error) => error.hint(),
            Self::Files(error) => error.hint(),
            Self::Platform(error) => error.hint(),
            Self::Toolchain(error) => error.hint(),
            Self::Hermetic(error) => error.hint(),
            Self::Base { source, .. } => source.hint(),
            _ => None,
        }
    }
}
