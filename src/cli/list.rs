//! `ls`: what a store holds.

use std::process::ExitCode;

use clap::Args;

use super::context::Context;
use super::terminal::human_size;
use crate::images::list::{self, Listed};
use plugin_oci::failure::Error;
use plugin_oci::values::reference::Reference;
use plugin_oci::values::text::field;

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
    let width = listed.iter().map(|entry| field(&entry.tag).chars().count()).max().unwrap_or(0).min(WIDEST);
    for entry in &listed {
        context.result("image", entry, || line(entry, width));
    }
    Ok(ExitCode::SUCCESS)
}

/// As many characters as a tag may have (distribution-spec); a layout may name an image by more.
const WIDEST: usize = 128;

fn line(entry: &Listed, width: usize) -> String {
    let platforms = if entry.platforms.is_empty() { "-".to_owned() } else { entry.platforms.join(",") };
    let (tag, platforms) = (field(&entry.tag), field(&platforms));
    let mut line = format!("{tag:width$}  {}  {:>10}  {platforms}", entry.digest, human_size(entry.size));
    for attachment in &entry.attachments {
        line.push_str("  +");
        line.push_str(&field(attachment));
    }
    line
}
