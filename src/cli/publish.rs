//! `publish` and `unpublish`: a bucket or a directory that is a registry.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::copy::{CarryArgs, tell};
use crate::images::copy::{self, Target, Transfer};
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::stores::Selector;
use plugin_oci::stores::bucket::Location;
use plugin_oci::values::digest::Digest;
use plugin_oci::values::reference::RegistryReference;

/// Flags of `publish`.
#[derive(Debug, Args)]
#[command(override_usage = "cargo plugin-build publish [OPTIONS] <IMAGE>... <STORE>")]
pub struct PublishArgs {
    /// Images as `copy` takes them, then where they go: `s3://BUCKET/PREFIX`, or a directory
    #[arg(required = true, num_args = 2.., value_name = "IMAGE... STORE")]
    words: Vec<String>,
    /// Repository in the store, in place of the name that the image has; with a slash at its end, what stands before that name
    #[arg(long, value_name = "REPO")]
    name: Option<String>,
    /// Every tag of each image's store
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    carry: CarryArgs,
}

/// Publishes images.
pub fn publish(args: PublishArgs, context: &Context) -> Result<ExitCode, Error> {
    let Some((store, images)) = args.words.split_last() else {
        return Err(Complaint::usage("want an image and a store").into());
    };
    let images = images.iter().map(|text| context.image(text)).collect::<Result<Vec<_>, _>>()?;
    let options = Transfer {
        all: args.all,
        referrers: !args.carry.no_referrers,
        no_clobber: args.carry.no_clobber,
        verb: "Publishing",
        ..Transfer::new(images, Target::Bucket(location(store, context)?, args.name))
    };
    let report = copy::copy(&options, context.stores(), context.progress())?;
    tell(&report, "published", context);
    Ok(ExitCode::SUCCESS)
}

/// Where a store is that may not be there yet.
fn location(text: &str, context: &Context) -> Result<Location, Error> {
    if let Some(found) = Location::s3(text) {
        return Ok(found?);
    }
    Ok(Location::Directory(context.directory(Path::new(text))?))
}

/// Where a store is, if this names one that is published.
pub fn published(text: &str, context: &Context) -> Result<Option<Location>, Error> {
    if let Some(found) = Location::s3(text) {
        return Ok(Some(found?));
    }
    Ok(Location::existing(&context.path(Path::new(text))))
}

/// Flags of `unpublish`.
#[derive(Debug, Args)]
pub struct UnpublishArgs {
    /// Tag of a repository in the store, `REPO:TAG`; with `REPO@DIGEST`, the image under all its tags
    image: String,
    /// The store
    store: String,
}

/// What is no longer published.
#[derive(Serialize)]
struct Unpublished {
    repository: String,
    tag: Option<String>,
    digest: Digest,
}

/// Removes a tag or an image from a store.
pub fn unpublish(args: &UnpublishArgs, context: &Context) -> Result<ExitCode, Error> {
    let RegistryReference { repository, tag, digest, .. } = RegistryReference::parse(&format!("localhost/{}", args.image))?;
    let selector = Selector::of(tag.as_deref(), digest.as_ref());
    if selector == Selector::Only {
        return Err(Complaint::usage(format!("`{}` names no tag to remove", args.image)).into());
    }
    let bucket = context.stores().bucket(&location(&args.store, context)?)?;
    let tag = tag.filter(|_| digest.is_none()).map(|tag| tag.to_string());
    let digest = bucket.unpublish(&repository, &selector)?;
    let removed = Unpublished { repository, tag, digest };
    context.result("unpublished", &removed, || match &removed.tag {
        Some(tag) => format!("{}:{tag}@{}", removed.repository, removed.digest),
        None => format!("{}@{}", removed.repository, removed.digest),
    });
    Ok(ExitCode::SUCCESS)
}
