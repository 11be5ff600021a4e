//! Which layout a verb means when none is named: the one that `build` writes by default.

use std::path::PathBuf;

use clap::Args;

use super::context::Context;
use super::hints::{Advise as _, Advised};
use crate::build;
use crate::build::manifest::BuildFlags;
use crate::build::plan::destination::Destination;
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::progress::Silent;
use plugin_oci::stores::layout::Layout;
use plugin_oci::values::reference::Reference;

/// Which package's layout, where no image is named.
#[derive(Debug, Clone, Default, Args)]
pub struct DefaultLayoutArgs {
    /// The package whose default layout is meant, when no image is named
    #[arg(short, long, value_name = "SPEC", conflicts_with = "image")]
    package: Option<String>,
    /// Path of a Cargo.toml, when no image is named
    #[arg(long, value_name = "PATH", conflicts_with = "image")]
    manifest_path: Option<PathBuf>,
}

impl DefaultLayoutArgs {
    /// For a verb that has these flags itself.
    pub fn new(package: Option<String>, manifest_path: Option<PathBuf>) -> Self {
        Self { package, manifest_path }
    }

    /// Parses the image, or finds the layout that `build` writes for the selected package.
    pub fn image_or_default(&self, image: Option<&str>, context: &Context) -> Result<Reference, Error> {
        if let Some(image) = image {
            return context.image(image);
        }
        let Destination { output, tags, .. } = self.last_built(context)?;
        Ok(Reference::layout(context.shown(&output), tags.first().cloned()))
    }

    /// The layout that `build` writes for the selected package, with all that it holds.
    pub fn layout(&self, context: &Context) -> Result<Reference, Error> {
        Ok(Reference::layout(context.shown(&self.last_built(context)?.output), None))
    }

    fn last_built(&self, context: &Context) -> Result<Destination, Error> {
        let flags = BuildFlags {
            packages: self.package.iter().cloned().collect(),
            manifest_path: self.manifest_path.clone(),
            ..BuildFlags::default()
        };
        last_built(&flags, context)
    }
}

/// What the last build left of the one selected package: under the tags that flags name, else under those that it was given,
/// else under those that a build would give. Asks cargo for packages and directories alone.
pub fn last_built(flags: &BuildFlags, context: &Context) -> Result<Destination, Error> {
    let mut destinations = build::destinations(flags, &context.env, &Silent)?;
    if destinations.len() != 1 {
        return Err(not_one(destinations.iter().map(|destination| destination.package.as_str())).into());
    }
    let mut only = destinations.remove(0);
    if only.output.is_dir() {
        let last = Layout::open(&only.output)?.builds().pop().filter(|_| flags.tags.is_empty());
        if let Some(last) = last {
            only.tags = last.tags.iter().map(|tag| tag.parse()).collect::<Result<_, _>>()?;
        }
        return Ok(only);
    }
    let message = format!("there is no layout at `{}` yet", only.output.display());
    Err(Complaint::failed(message).with_hint("build first, or name an image").into())
}

/// Says that a verb takes one plugin.
pub fn not_one<'n>(packages: impl Iterator<Item = &'n str>) -> Advised {
    let names: Vec<&str> = packages.collect();
    let message = format!("this verb takes one plugin, and {} are selected: {}", names.len(), names.join(", "));
    Complaint::usage(message).with_hint("choose one with `-p`, or name an image")
}
