//! `rm`: remove a tag, or an image by its digest.

use std::process::ExitCode;

use clap::Args;

use super::context::Context;
use crate::images;
use plugin_oci::failure::Error;

/// Flags of `rm`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// The image: `oci:DIR[:TAG]` or `docker://HOST/REPO:TAG`; with `@DIGEST`, under all its tags and with its attachments
    image: String,
}

/// Removes a tag or an image, and what only it reached.
pub fn remove(args: &RemoveArgs, context: &Context) -> Result<ExitCode, Error> {
    let reference = context.image(&args.image)?;
    let removed = images::remove::remove(&reference, context.stores(), context.progress())?;
    context.result("removed", &removed, || match &removed.tag {
        Some(tag) => format!("{tag}@{}", removed.digest),
        None => removed.digest.to_string(),
    });
    Ok(ExitCode::SUCCESS)
}
