//! `gc`: remove what no tag reaches.

use std::process::ExitCode;

use clap::Args;

use super::context::Context;
use super::terminal::human_size;
use crate::images;
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::values::reference::Reference;

/// Flags of `gc`.
#[derive(Debug, Args)]
pub struct GcArgs {
    /// The layout: `oci:DIR`
    store: String,
}

/// Removes unreachable blobs.
pub fn collect(args: &GcArgs, context: &Context) -> Result<ExitCode, Error> {
    let reference = context.image(&args.store)?;
    let Reference::Layout(local) = &reference else {
        return Err(Complaint::usage(format!("`{reference}` is no layout directory (`oci:DIR`)")).into());
    };
    let collected = images::remove::collect_garbage(&local.path, context.progress())?;
    context.progress().status("Removed", format!("{} blobs, {}", collected.removed.len(), human_size(collected.bytes)));
    context.result("collected", &collected, || collected.removed.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    Ok(ExitCode::SUCCESS)
}
