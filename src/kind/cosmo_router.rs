//! `cosmo-router`: a gRPC subgraph that the Cosmo Router starts as a child process.
//!
//! The image root *is* the plugin's installed directory, so that one digest serves three doors: the router pulls it, it
//! is mounted as a volume, or it is unpacked. Hence `bin/<os>_<arch>` in Go's words, which is what the router looks for
//! on disk, and the relative entrypoint `./bin/<os>_<arch>`, which the router joins with its extraction directory.

use super::{KindError, Place, Subject};
use crate::failure::{Class, Explain};
use crate::platform::Platform;

/// Operating systems and architectures for which the router exists.
const SYSTEMS: [&str; 3] = ["linux", "darwin", "windows"];
const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];

/// The program lies at `bin/<os>_<arch>`.
pub(super) fn place(subject: &Subject<'_>) -> Result<Place, KindError> {
    check_platform(subject.platform)?;
    let path = format!("bin/{}_{}", subject.platform.os, subject.platform.architecture);
    Ok(Place { entrypoint: vec![format!("./{path}")], path, mode: 0o755 })
}

/// The router runs on few platforms; a plugin for another is never asked for.
fn check_platform(platform: &Platform) -> Result<(), CosmoError> {
    let known = SYSTEMS.contains(&platform.os.as_str()) && ARCHITECTURES.contains(&platform.architecture.as_str());
    if known { Ok(()) } else { Err(CosmoError::Platform(platform.clone())) }
}

/// A rule of the router that the plugin breaks.
#[derive(Debug, thiserror::Error)]
pub enum CosmoError {
    /// No router runs there.
    #[error("the Cosmo Router does not run on `{0}`, so no router would ever ask for that platform")]
    Platform(Platform),
}

impl Explain for CosmoError {
    fn class(&self) -> Class {
        Class::Usage
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Platform(_) => Some("choose among linux, darwin and windows on amd64 and arm64".to_owned()),
        }
    }
}
