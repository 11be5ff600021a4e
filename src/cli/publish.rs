//! `publish` and `unpublish`: a bucket or a directory that is a registry.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::copy::{CarryArgs, tell};
use super::hints::Advise as _;
use crate::images::copy::{self, Target, Transfer, Transferred};
use plugin_oci::catalogue::Catalogue;
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::stores::bucket::Location;
use plugin_oci::stores::registry::served;
use plugin_oci::stores::{Selector, Source as _};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::reference::RegistryReference;

/// What the page of an image offers to be copied.
const COMMANDS: [&str; 4] = [
    "cargo plugin-build verify IMAGE",
    "cargo plugin-build install IMAGE plugins",
    "cargo plugin-build pull IMAGE",
    "podman pull IMAGE",
];

/// Flags of `publish`.
#[derive(Debug, Args)]
#[command(override_usage = "cargo plugin-build publish [OPTIONS] <IMAGE>... <STORE>")]
pub struct PublishArgs {
    /// Images as `copy` takes them, then where they go: `s3://BUCKET/PREFIX`, or a directory
    #[arg(required = true, num_args = 1.., value_name = "IMAGE... STORE")]
    words: Vec<String>,
    /// Repository in the store, in place of the name that the image has; with a slash at its end, what stands before that name
    #[arg(long, value_name = "REPO")]
    name: Option<String>,
    /// Pull it back from where it is served, as clients do, and tell what keeps them from it: `https://HOST`
    #[arg(long, value_name = "URL")]
    check_url: Option<String>,
    /// Write pages for people, too, of a registry that is served at `https://HOST`: a list of repositories, their tags, what is
    /// attached. Once they are there, every `publish` and `unpublish` keeps them up to date
    #[arg(long, value_name = "URL")]
    catalogue: Option<String>,
    /// Every tag of each image's store
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    carry: CarryArgs,
}

/// Publishes images.
pub fn publish(args: PublishArgs, context: &Context) -> Result<ExitCode, Error> {
    let Some((store, images)) = args.words.split_last().filter(|(_, images)| !images.is_empty()) else {
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
    let host = args.check_url.as_deref().map(host_of).transpose()?;
    let Target::Bucket(location, _) = &options.target else { return Ok(ExitCode::SUCCESS) };
    let bucket = context.stores().bucket(location)?;
    // Told before anything is sent, if there can be none.
    let catalogue = Catalogue::of(&bucket, args.catalogue.as_deref().map(host_of).transpose()?.as_deref(), &COMMANDS)?;
    let report = copy::copy(&options, context.stores(), context.progress())?;
    if let Some(catalogue) = catalogue {
        list(&catalogue, &report, context)?;
    }
    tell(&report, "published", context);
    match host {
        Some(host) => check(&host, &options.target, &report, context),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Brings the pages for people up to date.
fn list(catalogue: &Catalogue<'_>, report: &Transferred, context: &Context) -> Result<(), Error> {
    let mut changed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for image in &report.images {
        let (repository, _) = image.image.split_once('@').unwrap_or_default();
        changed.entry(repository.to_owned()).or_default().extend(image.tags.iter().cloned());
    }
    let repositories = catalogue.update(&changed)?;
    context.progress().status("Listed", format!("{repositories} repositories in the catalogue"));
    Ok(())
}

/// The host of a URL without a path: clients look nowhere else.
fn host_of(url: &str) -> Result<String, Error> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or(url).trim_end_matches('/');
    RegistryReference::parse(&format!("{rest}/x"))
        .ok()
        .filter(|found| found.host == rest)
        .map(|found| found.host)
        .ok_or_else(|| Complaint::usage(format!("`{url}` is no URL of a registry")).with_hint("write `https://HOST`").into())
}

/// Asks for every tag that was published.
fn check(host: &str, target: &Target, report: &Transferred, context: &Context) -> Result<ExitCode, Error> {
    let Target::Bucket(location, _) = target else { return Ok(ExitCode::SUCCESS) };
    let bucket = context.stores().bucket(location)?;
    let mut count = 0;
    for image in &report.images {
        let (repository, _) = image.image.split_once('@').unwrap_or_default();
        let at = RegistryReference::parse(&format!("{host}/{repository}"))?;
        let root = bucket.repository(repository).resolve(&Selector::Digest(image.digest.clone()))?;
        for tag in &image.tags {
            for found in served::check(context.stores().client(), &at, &tag.parse()?, &root)? {
                count += 1;
                context.found("finding", &found, (&found.object, &found.message, found.rule));
            }
        }
    }
    if count == 0 {
        context.progress().status("Checked", format!("what {host} serves"));
        return Ok(ExitCode::SUCCESS);
    }
    Err(Complaint::found(format!("clients cannot pull all of it from {host}: {count} faults")).into())
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
    let catalogue = Catalogue::of(&bucket, None, &COMMANDS)?;
    let unpublished = bucket.unpublish(&repository, &selector);
    if let Some(catalogue) = catalogue {
        // Also where it is gone already: an earlier run may have come no further.
        catalogue.update(&BTreeMap::from([(repository.clone(), BTreeSet::new())]))?;
    }
    let digest = unpublished?;
    let removed = Unpublished { repository, tag, digest };
    context.result("unpublished", &removed, || match &removed.tag {
        Some(tag) => format!("{}:{tag}@{}", removed.repository, removed.digest),
        None => format!("{}@{}", removed.repository, removed.digest),
    });
    Ok(ExitCode::SUCCESS)
}
