//! `rm`: remove a tag.

use std::process::ExitCode;

use clap::Args;

use super::context::Context;
use crate::images;
use plugin_oci::failure::Error;
use plugin_oci::values::reference::Reference;

/// Flags of `rm`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// The image: `oci:DIR[:TAG]`
    image: String,
}

/// Removes a tag and what only it reached.
pub fn remove(args: &RemoveArgs, context: &Context) -> Result<ExitCode, Error> {
    let reference: Reference = args.image.parse()?;
    let removed = images::remove::remove(&reference, context.progress())?;
    context.result("removed", &removed, || format!("{}@{}", removed.tag, removed.digest));
    Ok(ExitCode::SUCCESS)
}
