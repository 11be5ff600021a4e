//! `ls`: what a store holds.

use std::process::ExitCode;

use clap::Args;

use super::context::Context;
use super::terminal::human_size;
use crate::failure::Error;
use crate::ops::list::{self, Listed};
use crate::reference::Reference;

/// Flags of `ls`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The store: `oci:DIR`, `oci-archive:FILE` or `docker://HOST/REPO`
    store: String,
}

/// Lists the tags of a store.
pub fn list(args: &ListArgs, context: &Context) -> Result<ExitCode, Error> {
    let source = context.stores().source(&args.store.parse::<Reference>()?)?;
    let listed = list::list(source.as_ref())?;
    let width = listed.iter().map(|entry| entry.tag.chars().count()).max().unwrap_or(0);
    for entry in &listed {
        context.result("image", entry, || line(entry, width));
    }
    Ok(ExitCode::SUCCESS)
}

fn line(entry: &Listed, width: usize) -> String {
    let platforms = if entry.platforms.is_empty() { "-".to_owned() } else { entry.platforms.join(",") };
    let mut line = format!("{:width$}  {}  {:>10}  {platforms}", entry.tag, entry.digest, human_size(entry.size));
    for attachment in &entry.attachments {
        line.push_str("  +");
        line.push_str(attachment);
    }
    line
}
