//! `pull`: an image from a registry into a layout, `copy` in its short spelling.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use super::build_flags::parse_platform;
use super::context::Context;
use super::copy::{CarryArgs, tell};
use super::trust::TrustArgs;
use crate::images::copy::{self, Target, Transfer};
use plugin_oci::failure::Error;
use plugin_oci::stores::{Selector, named};
use plugin_oci::values::platform::Platform;
use plugin_oci::values::reference::{Reference, ReferenceError, RegistryReference, check_output_path};

/// Flags of `pull`.
#[derive(Debug, Args)]
pub struct PullArgs {
    /// The image: `HOST/REPO[:TAG][@DIGEST]` [TAG default: latest]
    image: String,
    /// Layout directory to write: `DIR` or `oci:DIR[:TAG]`
    dir: String,
    /// Only the manifest for this platform, without the index above it
    #[arg(long, value_name = "PLATFORM", value_parser = parse_platform)]
    platform: Option<Platform>,
    /// Download layers whole, also where the registry has deltas of those that are there
    #[arg(long)]
    no_delta: bool,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    carry: CarryArgs,
}

/// Pulls an image.
pub fn pull(args: &PullArgs, context: &Context) -> Result<ExitCode, Error> {
    let mut from = source(&args.image, context)?;
    let is_latest = from.tag().is_none() && from.digest().is_none();
    let store = context.stores().source(&from)?;
    if let Selector::Digest(digest) = args.trust.check(store.as_ref(), &from, true, context)? {
        // What was judged is what comes, wherever its tag leads by then.
        match &mut from {
            Reference::Registry(registry) => {
                registry.tag = if is_latest { Some("latest".parse()?) } else { registry.tag.take() };
                registry.digest = Some(digest);
            }
            Reference::Layout(local) | Reference::Archive(local) => local.digest = Some(digest),
        }
    }
    let options = Transfer {
        platform: args.platform.clone(),
        referrers: !args.carry.no_referrers,
        no_clobber: args.carry.no_clobber,
        patched: !args.no_delta,
        verb: "Pulling",
        ..Transfer::new(vec![from], Target::Store(layout(&args.dir, context)?))
    };
    tell(&copy::copy(&options, context.stores(), context.progress())?, "pulled", context);
    Ok(ExitCode::SUCCESS)
}

/// Any image, and beside that a name short for one of Docker Hub: what is pulled is seldom here.
fn source(text: &str, context: &Context) -> Result<Reference, Error> {
    match named::image(text, &context.env.cwd) {
        Err(ReferenceError::NotThere(_)) => {
            let registry = RegistryReference::parse(text)?;
            context.tell_short(text, &registry.host, &registry);
            Ok(Reference::Registry(registry))
        }
        _ => context.image(text),
    }
}

/// A layout as references spell it, or a directory that becomes one.
fn layout(text: &str, context: &Context) -> Result<Reference, Error> {
    match named::image(text, &context.env.cwd) {
        Ok(Reference::Registry(_)) => Ok(Reference::layout(named::directory(Path::new(text), &context.env.cwd)?, None)),
        Err(ReferenceError::NotThere(_)) => {
            check_output_path(Path::new(text))?;
            Ok(Reference::layout(text, None))
        }
        local => Ok(local?),
    }
}
