//! `build`, the main job: cargo's flags under cargo's names, and our own.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::build_flags::BuildArgs;
use super::context::Context;
use super::copy::CarryArgs;
use super::generate;
use super::hints::Advise as _;
use super::image::Meant;
use super::keys::SignerArgs;
use super::push;
use super::sign::sign_with;
use crate::build::manifest::BuildFlags;
use crate::build::manifest::partition::Partition;
use crate::build::{self, Built};
use crate::images::copy::Target;
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::interrupt::within;

/// Flags that only `build` itself has.
#[derive(Debug, Clone, Default, Args)]
pub struct BuildVerbArgs {
    #[command(flatten)]
    build: BuildArgs,
    /// The plugin's name [default: the package's]
    #[arg(long, value_name = "NAME", help_heading = "Packages")]
    name: Option<String>,
    /// Only a part of the packages, of N that together are all: `slice:I/N` in turns, `hash:I/N` by name
    #[arg(long, value_name = "KIND:I/N", help_heading = "Packages")]
    partition: Option<Partition>,
    /// Longest that planning, compiling and packing may take together: `10m`
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, help_heading = "Cargo")]
    timeout: Option<Duration>,
    /// Make stale proto and mapping of router plugins anew from their schema first, as the verb `generate` does
    #[arg(long, conflicts_with_all = ["dry_run", "hermetic"], help_heading = "Image")]
    generate: bool,
    /// Print everything that is decided, and do nothing
    #[arg(long, help_heading = "Image")]
    dry_run: bool,
    /// Push the image to a repository too, under its own tags or the one given (repeatable)
    #[arg(long, value_name = "REPO[:TAG]", conflicts_with = "dry_run", help_heading = "Image")]
    push: Vec<String>,
    /// Sign the image by this private key, as `sign` does
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run", help_heading = "Image")]
    sign_key: Option<PathBuf>,
    /// Write the references of what was pushed to a file, by digest, one a line
    #[arg(long, value_name = "FILE", requires = "push", help_heading = "Output")]
    image_refs: Option<PathBuf>,
}

/// Builds and prints one line or object per plugin.
pub fn build(args: &BuildVerbArgs, context: &Context) -> Result<ExitCode, Error> {
    let flags = args.build.flags(&context.global)?;
    let publishes = flags.publishes || !args.push.is_empty();
    let flags = BuildFlags { partition: args.partition, name: args.name.clone(), publishes, ..flags };
    let mut targets = Vec::new();
    // Before anything is compiled: its password may be asked for.
    let signer = args.sign_key.as_ref().map(|key| SignerArgs::of(key.clone()).signer(context)).transpose()?;
    let built = within("`--timeout`", args.timeout, || {
        if args.generate {
            generate::renew(&flags, context)?;
        }
        let plan = build::plan(&flags, &context.env, context.progress())?;
        if args.dry_run {
            // JSON for people is JSON all the same, and the user's own.
            if context.json() {
                context.result("plan", &plan, String::new);
            } else {
                let text = serde_json::to_string_pretty(&plan);
                let text = text.map_err(|error| Complaint::failed(format!("cannot write the plan as JSON: {error}")))?;
                context.print_bytes(format!("{text}\n").as_bytes());
            }
            return Ok(Vec::new());
        }
        targets = push_targets(&args.push, plan.images.len(), flags.partition.is_some(), context)?;
        build::build(&plan, &context.global.registries.settings(), &context.env, context.progress())
    })?;
    if args.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    let meant: Vec<Meant> = built.iter().map(Meant::of_build).collect();
    if let Some(signer) = &signer {
        for image in &meant {
            let signed = sign_with(&image.reference, signer.as_ref(), context)?;
            // What is printed for people is one line for each image.
            context.result("signed", &signed, String::new);
        }
    }
    for image in &built {
        context.result("plugin-image", image, || line(image, context));
    }
    push::push_all(&meant, &targets, &CarryArgs::default(), false, context)?;
    context.keep_image_refs(args.image_refs.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

/// Where to push; several images need a place each, which only a prefix gives them.
fn push_targets(repositories: &[String], images: usize, is_part: bool, context: &Context) -> Result<Vec<Target>, Error> {
    if (images > 1 || is_part)
        && let Some(repository) = repositories.iter().find(|repository| !repository.ends_with('/'))
    {
        let several = if is_part { "several".to_owned() } else { images.to_string() };
        let message = format!("{several} plugins cannot all be pushed to `{repository}`");
        return Err(Complaint::usage(message).with_hint("end it with a slash: each goes to PREFIX/NAME").into());
    }
    repositories.iter().map(|repository| push::target(repository, context)).collect()
}

/// `oci:<dir>:<first tag>`, the directory as seen from here where it lies below.
fn line(image: &Built, context: &Context) -> String {
    format!("oci:{}:{}", context.shown(&image.layout).display(), image.tags.first().map_or("", |tag| tag))
}
