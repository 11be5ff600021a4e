//! Why an image cannot be built again.

use std::path::PathBuf;

use plugin_oci::failure::Failure;

/// Why an image cannot be built again.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// Not made by this tool, or a base.
    #[error("{image} does not say how it was built: it has no annotation `dev.cargo-plugin-build.request`")]
    NoRequest { image: String },
    /// Made by a later version, or tampered with.
    #[error("the request of {image} is none that this program writes: {detail}")]
    BadRequest { image: String, detail: String },
    /// A byte format that is not known.
    #[error("the image is of byte format {format}, which this version cannot write")]
    Format { format: String },
    /// Flags with absolute paths.
    #[error("{image} cannot be rebuilt elsewhere: flags of its build hold absolute paths: {}", flags.join(" "))]
    NotRebuildable { image: String, flags: Vec<String> },
    /// The sources, or the working directory, lie in the image.
    #[error("{} lies in the image that is checked, {}", path.display(), image.display())]
    Within {
        /// The directory or manifest.
        path: PathBuf,
        image: PathBuf,
    },
    /// A flag of the checker names what is no source.
    #[error("a flag names `{}`, which is no file that the checkout tracks", file.display())]
    Foreign { file: PathBuf },
    /// A base that was given on the command line.
    #[error("the image builds on `{name}`, which the sources do not name")]
    UnknownBase { name: String },
    /// The sources could not be listed.
    #[error("cannot copy the sources in `{}`", root.display())]
    Sources { root: PathBuf, source: ignore::Error },
    /// The build gave no image.
    #[error("the rebuild gave no image")]
    Nothing,
}

impl Failure for RebuildError {}
