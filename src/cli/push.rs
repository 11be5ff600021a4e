//! `push`: an image to registries, `copy` in its short spelling.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::build_flags::BuildArgs;
use super::context::Context;
use super::copy::{CarryArgs, tell};
use super::hints::Advise as _;
use super::image::{ImageArgs, Meant};
use super::output::found_line;
use crate::images::copy::{self, Breaking, Target, Transfer};
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::progress::Event;
use plugin_oci::stores::named;
use plugin_oci::values::reference::{Reference, ReferenceError, RegistryReference, has_transport};
use plugin_oci::values::tag::Tag;

/// Flags of `push`.
#[derive(Debug, Args)]
#[command(override_usage = "cargo plugin-build push [OPTIONS] [IMAGE] <REPO[:TAG]>...")]
pub struct PushArgs {
    /// The image (`oci:DIR[:TAG]` or `oci-archive:FILE[:TAG]`), which is built where none is named, and the repositories;
    /// without TAG, those of `--tag`, or else the tags that it is built under or has
    #[arg(required = true, num_args = 1.., value_name = "[IMAGE] REPO")]
    words: Vec<String>,
    /// Push nothing where a tag would move to a router's plugin whose contract breaks that of the one it names
    #[arg(long)]
    deny_breaking: bool,
    /// Take what the last build left instead of building
    #[arg(long, help_heading = "Packages")]
    no_build: bool,
    /// Write the references of what was pushed to a file, by digest, one a line
    #[arg(long, value_name = "FILE")]
    image_refs: Option<PathBuf>,
    #[command(flatten)]
    carry: CarryArgs,
    #[command(flatten)]
    build: BuildArgs,
}

/// Pushes an image.
pub fn push(args: PushArgs, context: &Context) -> Result<ExitCode, Error> {
    let (image, repositories) = match args.words.split_first() {
        Some((first, rest)) if is_source(first, !rest.is_empty(), context) => (Some(first.clone()), rest),
        _ => (None, args.words.as_slice()),
    };
    let targets = repositories.iter().map(|text| target(text, context)).collect::<Result<Vec<_>, _>>()?;
    if targets.is_empty() {
        return Err(Complaint::usage("no repository to push to")
            .with_hint("name the repository after the image: `HOST/REPO`")
            .into());
    }
    let mut build = args.build;
    build.publishes = true;
    let tags = build.flags(&context.global)?.tags;
    if image.is_some() {
        build.take_tags();
    }
    let mut image = ImageArgs::of(image, args.no_build, build).meant(context, |_| Ok(()))?;
    if image.tags.is_empty() && !tags.is_empty() {
        image = under(image, tags, context)?;
    }
    push_all(&[image], &targets, &args.carry, args.deny_breaking, context)?;
    context.keep_image_refs(args.image_refs.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

/// A named image under the tags given. Of a layout or archive that was named without one, it is the image with the first of
/// them, where there is one.
fn under(mut image: Meant, tags: Vec<Tag>, context: &Context) -> Result<Meant, Error> {
    if let Reference::Layout(local) | Reference::Archive(local) = &image.reference
        && local.name.is_none()
        && local.digest.is_none()
    {
        let tagged = context.stores().source(&image.reference)?.tags()?;
        let name = tags.first().filter(|tag| tagged.iter().any(|tagged| tagged.tag == ***tag)).cloned();
        if let Reference::Layout(local) | Reference::Archive(local) = &mut image.reference {
            local.name = name.map(Into::into);
        }
    }
    image.tags = tags;
    Ok(image)
}

/// Whether the first word is the image rather than a place to push to: it lies here, or is pinned as no place can be.
fn is_source(text: &str, more_follow: bool, context: &Context) -> bool {
    match named::image(text, &context.env.cwd) {
        Ok(Reference::Registry(registry)) => more_follow && registry.digest.is_some(),
        Ok(_) | Err(ReferenceError::TwoReadings(_)) => true,
        Err(_) => has_transport(text) && !text.starts_with("docker://"),
    }
}

/// Pushes each image to each place, after telling what that breaks. Where one fails, it is told what was done before.
pub fn push_all(images: &[Meant], targets: &[Target], carry: &CarryArgs, deny: bool, context: &Context) -> Result<(), Error> {
    let pushes: Vec<(&Meant, &Target)> = images.iter().flat_map(|image| targets.iter().map(move |to| (image, to))).collect();
    for (image, target) in &pushes {
        warn_of_breaks(image, target, deny, context)?;
    }
    let mut earlier = None;
    for (position, (image, target)) in pushes.iter().enumerate() {
        if let Err(source) = push_to(image, target, carry, &mut earlier, context) {
            let places =
                |pushes: &[(&Meant, &Target)]| pushes.iter().map(|(_, to)| to.to_string()).collect::<Vec<_>>().join(", ");
            let (done, open) = (places(&pushes[..position]), places(&pushes[position..]));
            return Err(if pushes.len() == 1 { source } else { partly(source, &done, &open) });
        }
    }
    Ok(())
}

/// One of several pushes failed: what is done, and what is open.
fn partly(cause: Error, done: &str, open: &str) -> Error {
    let done = if done.is_empty() { "nothing was pushed".to_owned() } else { format!("pushed to {done}") };
    Complaint::because(cause, format!("{done}; not pushed to {open}")).into()
}
/// Tells what a push would break for those who follow the tags that it moves.
fn warn_of_breaks(image: &Meant, target: &Target, deny: bool, context: &Context) -> Result<(), Error> {
    let options = Transfer { tags: image.tags.clone(), ..Transfer::new(vec![image.reference.clone()], target.clone()) };
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
fn push_to(
    image: &Meant,
    target: &Target,
    carry: &CarryArgs,
    earlier: &mut Option<String>,
    context: &Context,
) -> Result<(), Error> {
    let options = Transfer {
        tags: image.tags.clone(),
        referrers: !carry.no_referrers,
        no_clobber: carry.no_clobber,
        earlier: earlier.take(),
        verb: "Pushing",
        ..Transfer::new(vec![image.reference.clone()], target.clone())
    };
    tell(&copy::copy(&options, context.stores(), context.progress())?, "pushed", context);
    *earlier = target.repository();
    Ok(())
}

/// A repository to push to, `docker://` before it or not.
pub fn target(text: &str, context: &Context) -> Result<Target, Error> {
    let bare = text.strip_prefix("docker://").unwrap_or(text);
    if is_source(text, false, context) {
        return Err(Complaint::usage(format!("`{text}` is no repository"))
            .with_hint("`push` takes the image first, then repositories; `copy` takes any store for each")
            .into());
    }
    if !bare.contains('/') {
        RegistryReference::parse(bare)?;
        return Err(Complaint::usage(format!("`{text}` names no repository to push to"))
            .with_hint("write `HOST/REPO`, and a tag behind it: `HOST/REPO:TAG`; no image of that name lies here")
            .into());
    }
    let target = Target::named(&format!("docker://{bare}"), &context.env.cwd)?;
    if let Some(host) = target.host() {
        context.tell_short(text, &host, &target);
    }
    Ok(target)
}
