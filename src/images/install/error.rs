//! Why a plugin cannot be installed, checked or brought back.

use std::io;
use std::path::PathBuf;

use plugin_oci::documents::json::JsonError;
use plugin_oci::failure::{Class, Failure};

/// Why a plugin cannot be installed, checked or brought back.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The image does not say how its plugin is called.
    #[error("{image} does not name its plugin")]
    NoName { image: String },
    /// The name cannot be a directory's.
    #[error("`{}` cannot be a plugin's name", name.escape_debug())]
    BadName { name: String },
    /// Two platforms need different files at one path.
    #[error("platforms of the image disagree about `{path}`")]
    Disagree { path: String },
    /// Something is there that this tool did not install.
    #[error("`{}` was not installed by this tool", path.display())]
    InTheWay { path: PathBuf },
    /// Nothing is installed, so that nothing can be checked.
    #[error("nothing is installed in `{}`", plugins_dir.display())]
    Empty { plugins_dir: PathBuf },
    /// Nothing of that name was installed.
    #[error("`{name}` is not installed in `{}`", plugins_dir.display())]
    Absent { name: String, plugins_dir: PathBuf },
    /// Several plugins are installed, and one is to be chosen.
    #[error("several plugins are installed: {}", names.join(", "))]
    Several { names: Vec<String> },
    /// There is nothing to go back to.
    #[error("nothing was installed before the current `{name}`, or it was changed since")]
    NoPrevious { name: String },
    /// The record is no JSON of ours.
    #[error("the record `{}` cannot be read", path.display())]
    BadRecord { path: PathBuf, source: JsonError },
    /// The record was written by another version, or by hand.
    #[error("the record `{}` is not one of this version", path.display())]
    UnknownRecord { path: PathBuf },
    /// The file system knows no links.
    #[error("cannot link `{}`", path.display())]
    Link { path: PathBuf, source: io::Error },
}

impl Failure for InstallError {
    fn class(&self) -> Class {
        match self {
            Self::NoName { .. } | Self::BadName { .. } | Self::Several { .. } => Class::Usage,
            _ => Class::Failed,
        }
    }
}
