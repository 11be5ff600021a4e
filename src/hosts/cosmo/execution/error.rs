//! Why an execution configuration is not read or changed.

use std::path::PathBuf;

use super::scan::ScanError;
use plugin_oci::failure::{Class, Failure};
use plugin_oci::values::text;

/// Why an execution configuration is not read or changed. Nothing was, whatever it is.
#[derive(Debug, thiserror::Error)]
pub enum ExecutionError {
    /// The path ends in no name.
    #[error("`{}` names no file", path.display())]
    NoFile { path: PathBuf },
    /// The name is a link, which a rename would replace.
    #[error("`{}` is a link", path.display())]
    Link { path: PathBuf },
    /// It is no JSON, or none of a router.
    #[error("`{}` is no execution configuration", path.display())]
    Malformed { path: PathBuf, source: ScanError },
    /// Another program wrote to it in the meantime.
    #[error("`{}` was changed by another program meanwhile", path.display())]
    Changed { path: PathBuf },
    /// No data source has this plugin.
    #[error("`{}` has no plugin `{}`; it has {}", path.display(), text::name(name), shown(known))]
    Unknown { path: PathBuf, name: String, known: Vec<String> },
    /// Two images for one plugin.
    #[error("two images are named for the plugin `{}`", text::name(.0))]
    Twice(String),
    /// The router reads from one registry.
    #[error("a router has one registry, and the images are at {first} and {second}")]
    Registries { first: String, second: String },
    /// The image is a local one.
    #[error("`{image}` is in no registry, and a router pulls from one")]
    NotInRegistry { image: String },
    /// The image is of another kind.
    #[error("{image} is a plugin of kind `{}`, not `cosmo-router`", text::name(kind))]
    Kind { image: String, kind: String },
    /// The image does not say how its plugin is called.
    #[error("{image} does not name its plugin")]
    NoName { image: String },
    /// Nothing tells what the image was built for.
    #[error("no contract is attached to {image}, so that nothing tells what it was built for")]
    NoContract { image: String },
    /// There is nothing to go back to.
    #[error("there is nothing to bring back: `{}` does not exist", path.display())]
    NoPrevious {
        /// The file with what was there before.
        path: PathBuf,
    },
    /// The file is not what the last change made of the one before.
    #[error("`{}` was composed anew since it was set", path.display())]
    Composed { path: PathBuf },
}

fn shown(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{}`", text::name(name))).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

impl Failure for ExecutionError {
    fn class(&self) -> Class {
        match self {
            Self::NoFile { .. }
            | Self::Twice(_)
            | Self::Registries { .. }
            | Self::NotInRegistry { .. }
            | Self::Kind { .. }
            | Self::NoName { .. } => Class::Usage,
            _ => Class::Failed,
        }
    }
}
