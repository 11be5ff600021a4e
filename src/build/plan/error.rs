//! Why no plan could be made.

use plugin_oci::failure::{Class, Failure};
use plugin_oci::values::platform::Platform;

/// Why no plan could be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Two targets of one image for one platform: consumers would never see the second.
    #[error("targets `{first}` and `{second}` are both for platform {platform}")]
    SamePlatform { platform: Box<Platform>, first: String, second: String },
    /// A version of glibc that nobody but zig can link for.
    #[error("target `{target}` names the oldest glibc to run on, which cargo's own linkers cannot choose")]
    Glibc {
        target: String,
        /// The same without glibc's version.
        triple: String,
    },
    /// A static program that zig cannot link.
    #[error("zig links glibc dynamically only, and `{name}` for `{target}` goes into an image that has nothing to load it")]
    ZigStatic {
        name: String,
        target: String,
        /// A target of the same platform that it can link statically.
        musl: Option<&'static str>,
    },
    /// Data that neither the lock file nor this machine has.
    #[error("there is nothing for `{key}`: no {package} in Cargo.lock, and none where this system would have it")]
    NoData { key: &'static str, package: &'static str },
    /// A base by tag under `--locked`.
    #[error("base `{0}` is named by tag, which `--locked` forbids")]
    UnpinnedBase(String),
}

/// A file of a contract lies where the router's composition does not look for it: a warning.
#[derive(Debug, thiserror::Error)]
#[error("`wgc router compose` reads `{place}` whatever `contract` says, and it is not the file that is packed")]
pub struct Misplaced {
    pub place: &'static str,
}

impl Failure for Misplaced {}

impl Failure for PlanError {
    fn class(&self) -> Class {
        Class::Usage
    }
}
