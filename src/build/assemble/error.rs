//! Why no image is made of what was compiled.

use std::path::PathBuf;

use crate::build::inspect::Format;
use crate::build::kinds::Kind;
use plugin_oci::failure::{Class, Failure};
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;
use plugin_oci::values::platform::Platform;
use plugin_oci::values::reference::RegistryReference;

/// Why no image is made of what was compiled, or would be.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// An image of one module, and several targets.
    #[error("a {kind} image is one module, and `{name}` has {targets} targets")]
    Targets { kind: Kind, name: String, targets: usize },
    /// A compression that no reader of the kind knows.
    #[error("a {kind} image must be compressed with gzip, and `{name}` wants {compression}")]
    Compression { kind: Kind, name: String, compression: Compression },
    /// A base below something that no base goes with.
    #[error("a {kind} image cannot build on another image, and `{name}` has a base")]
    Base { kind: Kind, name: String },
    /// The base is elsewhere, and nothing may be fetched.
    #[error("base `{reference}` is not below the target directory, and `--offline` forbids to fetch it")]
    Offline { reference: RegistryReference },
    /// Two paths that are one on some of the platforms.
    #[error("{collision}, and platform {platform} cannot hold both")]
    Collision { collision: String, platform: Platform },
    /// A package of data is written in a way that nobody here knows.
    #[error("{package} {version} does not hold {what} in a form that is known")]
    Unreadable { package: String, version: String, what: &'static str },
    /// More than any honest file of data has.
    #[error("{} has more than {most}", path.display())]
    TooMuch { path: PathBuf, most: &'static str },
    /// A program that has no place for the list of its crates.
    #[error("`{}` is {}, and `auditable` knows how to put a list of crates into ELF and WebAssembly", path.display(), format.as_str())]
    Embed { path: PathBuf, format: Format },
    /// Files were not the same the second time that they were read.
    #[error("the files of layer `{layer}` changed while packing (diff id {expected}, then {found})")]
    Changed { layer: String, expected: Digest, found: Digest },
}

impl Failure for AssembleError {
    fn class(&self) -> Class {
        match self {
            Self::Offline { .. } | Self::Changed { .. } | Self::Unreadable { .. } | Self::TooMuch { .. } => Class::Failed,
            _ => Class::Usage,
        }
    }
}
