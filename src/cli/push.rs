//! `push`: an image to registries, `copy` in its short spelling.

use std::process::ExitCode;

use clap::Args;

use super::build_flags::BuildArgs;
use super::context::Context;
use super::copy::{CarryArgs, tell};
use super::image::ImageArgs;
use super::output::found_line;
use crate::images::copy::{self, Breaking, Target, Transfer};
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::progress::Event;
use plugin_oci::values::reference::{Reference, has_transport};

/// Flags of `push`.
#[derive(Debug, Args)]
#[command(override_usage = "cargo plugin-build push [OPTIONS] [IMAGE] <REPO[:TAG]>...")]
pub struct PushArgs {
    /// The image (`oci:DIR[:TAG]` or `oci-archive:FILE[:TAG]`), which is built where none is named, and the repositories;
    /// without TAG, the image's own tags
    #[arg(required = true, num_args = 1.., value_name = "[IMAGE] REPO")]
    words: Vec<String>,
    /// Push nothing where a tag would move to a router's plugin whose contract breaks that of the one it names
    #[arg(long)]
    deny_breaking: bool,
    /// Take what the last build left instead of building
    #[arg(long, help_heading = "Packages")]
    no_build: bool,
    #[command(flatten)]
    carry: CarryArgs,
    #[command(flatten)]
    build: BuildArgs,
}

/// Pushes an image.
pub fn push(args: PushArgs, context: &Context) -> Result<ExitCode, Error> {
    let (image, repositories) = match args.words.split_first() {
        Some((first, rest)) if is_local(first) => (Some(first.parse::<Reference>()?), rest),
        _ => (None, args.words.as_slice()),
    };
    let targets = repositories.iter().map(|text| target(text)).collect::<Result<Vec<_>, _>>()?;
    if targets.is_empty() {
        return Err(Complaint::usage("no repository to push to").into());
    }
    let image = match image {
        Some(image) => image,
        None => ImageArgs::of(None, args.no_build, args.build).reference(context)?,
    };
    for target in &targets {
        warn_of_breaks(&image, target, args.deny_breaking, context)?;
    }
    let mut earlier = None;
    for target in targets {
        push_to(&image, target, &args.carry, &mut earlier, context)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells what a push would break for those who follow the tags that it moves.
pub fn warn_of_breaks(image: &Reference, target: &Target, deny: bool, context: &Context) -> Result<(), Error> {
    let options = Transfer::new(vec![image.clone()], target.clone());
    let breaking = match copy::breaking(&options, context.stores(), context.progress()) {
        Ok(breaking) => breaking,
        // Whoever wants to be sure must know; a push that cannot be done at all says so itself.
        Err(error) if deny => return Err(error),
        Err(error) => {
            let text = format!("what this push breaks cannot be told: {error}");
            context.progress().event(Event::Note { text });
            return Ok(());
        }
    };
    for Breaking { tag, findings } in breaking.iter().filter(|breaking| !breaking.findings.is_empty()) {
        for found in findings {
            context.progress().warn(format!("{tag} breaks: {}", found_line((&found.object, &found.message, found.rule))), None);
        }
        if deny {
            let message = format!("moving {tag} breaks its contract in {} places, and nothing was pushed", findings.len());
            let hint = "keep what was there, push another tag, or push without `--deny-breaking`";
            return Err(Complaint::found(message).with_hint(hint).into());
        }
    }
    Ok(())
}

/// Pushes one image to one place. `earlier` is the repository that was pushed to before: what it has, its registry need not be
/// sent again.
pub fn push_to(
    image: &Reference,
    target: Target,
    carry: &CarryArgs,
    earlier: &mut Option<String>,
    context: &Context,
) -> Result<(), Error> {
    let repository = target.repository();
    let options = Transfer {
        referrers: !carry.no_referrers,
        no_clobber: carry.no_clobber,
        earlier: earlier.take(),
        verb: "Pushing",
        ..Transfer::new(vec![image.clone()], target)
    };
    tell(&copy::copy(&options, context.stores(), context.progress())?, "pushed", context);
    *earlier = repository;
    Ok(())
}

/// A repository, `docker://` before it or not.
pub fn target(text: &str) -> Result<Target, Error> {
    Ok(format!("docker://{}", bare(text)?).parse()?)
}

/// A repository without `docker://` before it.
pub fn bare(text: &str) -> Result<&str, Error> {
    if is_local(text) {
        return Err(Complaint::usage(format!("`{text}` is no repository"))
            .with_hint("`push` takes the image first, then repositories; `copy` takes any store for each")
            .into());
    }
    Ok(text.strip_prefix("docker://").unwrap_or(text))
}

fn is_local(text: &str) -> bool {
    has_transport(text) && !text.starts_with("docker://")
}
