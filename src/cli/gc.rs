//! `gc`: remove what no tag reaches.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::context::Context;
use super::hints::Advise as _;
use super::publish::published;
use super::run::cache as run_cache;
use crate::images;
use crate::images::remove::Collected;
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::values::reference::Reference;
use plugin_oci::values::text::human_size;

/// Flags of `gc`.
#[derive(Debug, Args)]
pub struct GcArgs {
    /// The layout: `oci:DIR`; or what was published: `s3://BUCKET/PREFIX`, a directory
    #[arg(required_unless_present = "cache")]
    store: Option<String>,
    /// Remove what `run` has unpacked, of which it keeps the last sixteen images; nothing of it may be running
    #[arg(long, conflicts_with = "store")]
    cache: bool,
    /// Where that is [default: the user's cache directory]
    #[arg(long, value_name = "DIR", requires = "cache")]
    cache_dir: Option<PathBuf>,
}

/// Removes unreachable blobs.
pub fn collect(args: &GcArgs, context: &Context) -> Result<ExitCode, Error> {
    let Some(store) = &args.store else {
        let dir = run_cache(args.cache_dir.as_deref(), &context.env);
        let images = images::run::workdir::clear(&dir)?;
        context.progress().status("Removed", format!("{images} images from {}", dir.display()));
        context.result("cache-cleared", &serde_json::json!({"path": dir, "cleared": images}), String::new);
        return Ok(ExitCode::SUCCESS);
    };
    if let Some(location) = published(store, context)? {
        let swept = context.stores().bucket(&location)?.collect_garbage()?;
        let collected = Collected {
            bytes: swept.iter().map(|swept| swept.bytes).sum(),
            removed: swept.into_iter().map(|swept| swept.digest).collect(),
        };
        return Ok(tell(&collected, context));
    }
    let reference = context.image(store)?;
    let Reference::Layout(local) = &reference else {
        return Err(Complaint::usage(format!("`{reference}` is no layout directory (`oci:DIR`)")).into());
    };
    if local.name.is_some() || local.digest.is_some() {
        return Err(Complaint::usage(format!("`{reference}` names one image, and what is removed is what none reaches"))
            .with_hint(format!("`cargo plugin-build rm` removes an image; name the layout alone: `oci:{}`", local.path.display()))
            .into());
    }
    let collected = images::remove::collect_garbage(&local.path, context.progress())?;
    Ok(tell(&collected, context))
}

fn tell(collected: &Collected, context: &Context) -> ExitCode {
    context.progress().status("Removed", format!("{} blobs, {}", collected.removed.len(), human_size(collected.bytes)));
    context.result("collected", collected, || collected.removed.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    ExitCode::SUCCESS
}
