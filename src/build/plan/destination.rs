//! Where an image goes, and under which tags: what can be said without a compiler and without a network.

use std::path::{Path, PathBuf};

use crate::build::manifest::{BuildFlags, PackageFacts};
use plugin_oci::environment::Environment;
use plugin_oci::failure::Error;
use plugin_oci::values::reference::{ReferenceError, check_output_path};
use plugin_oci::values::tag::Tag;

/// A layout, and the tags in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The package's name.
    pub package: String,
    /// The layout directory, absolute.
    pub output: PathBuf,
    /// Whether it lies at its default place, which is disposable.
    pub is_default: bool,
    /// Never empty.
    pub tags: Vec<Tag>,
}

impl Destination {
    /// `-o DIR`, with several packages `DIR/<package>`; else `<target>/plugin-build/<package>`. The tags of the flags, or the
    /// package's version.
    pub fn of(
        package: &PackageFacts,
        several: bool,
        target_directory: &Path,
        flags: &BuildFlags,
        env: &Environment,
    ) -> Result<Self, Error> {
        let output = match &flags.output {
            Some(output) if several => env.resolve(output).join(&package.name),
            Some(output) => env.resolve(output),
            None => target_directory.join("plugin-build").join(&package.name),
        };
        check_output_path(&output)?;
        let mut tags: Vec<Tag> = Vec::new();
        for tag in &flags.tags {
            if !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        if tags.is_empty() {
            tags.push(Tag::of_version(&package.version.to_string()).map_err(ReferenceError::from)?);
        }
        Ok(Self { package: package.name.clone(), output, is_default: flags.output.is_none(), tags })
    }
}
