//! `attach` and `detach`: what refers to an image.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::build_flags::{parse_pair, parse_platform};
use super::context::Context;
use super::hints::Advise as _;
use crate::images::attach::{self, Chosen, Files, Subject};
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::platform::Platform;

/// Flags of `attach`.
#[derive(Debug, Args)]
pub struct AttachArgs {
    /// The image: `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or `docker://HOST/REPO[:TAG][@DIGEST]`
    image: String,
    /// Files, which the attachment holds under their names
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The attachment's type, a media type: `application/vnd.cyclonedx+json`
    #[arg(long = "type", value_name = "TYPE")]
    artifact_type: String,
    /// The media type of each file [default: TYPE]
    #[arg(long, value_name = "TYPE")]
    media_type: Option<String>,
    /// Annotation of the attachment (repeatable)
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_pair)]
    annotation: Vec<(String, String)>,
    /// Attach to the manifest for this platform instead of the index above it
    #[arg(long, value_name = "PLATFORM", value_parser = parse_platform)]
    platform: Option<Platform>,
}

/// Flags of `detach`.
#[derive(Debug, Args)]
pub struct DetachArgs {
    /// The image: `oci:DIR[:TAG]` or `docker://HOST/REPO[:TAG][@DIGEST]`
    image: String,
    /// Attachments to remove, by digest
    #[arg(value_name = "DIGEST")]
    digests: Vec<String>,
    /// Remove all attachments of this type (repeatable)
    #[arg(long = "type", value_name = "TYPE")]
    artifact_types: Vec<String>,
    /// Look at what is attached to the manifest for this platform instead of the index above it
    #[arg(long, value_name = "PLATFORM", value_parser = parse_platform)]
    platform: Option<Platform>,
}

/// Attaches files to an image.
pub fn attach(args: AttachArgs, context: &Context) -> Result<ExitCode, Error> {
    let subject = Subject { image: context.image(&args.image)?, platform: args.platform };
    let files = Files {
        artifact_type: args.artifact_type,
        media_type: args.media_type,
        annotations: args.annotation.into_iter().collect(),
        files: args.files.iter().map(|file| context.path(file)).collect(),
    };
    let attached = attach::attach(&subject, &files, context.stores())?;
    context.result("attached", &attached, || attached.image.clone());
    Ok(ExitCode::SUCCESS)
}

/// Removes attachments of an image.
pub fn detach(args: DetachArgs, context: &Context) -> Result<ExitCode, Error> {
    let subject = Subject { image: context.image(&args.image)?, platform: args.platform };
    let digests = args.digests.iter().map(|text| text.parse::<Digest>());
    let digests = digests.collect::<Result<Vec<_>, _>>().map_err(|error| Complaint::usage(error.to_string()))?;
    if digests.is_empty() && args.artifact_types.is_empty() {
        let complaint = Complaint::usage("nothing says which attachments are to be removed");
        return Err(complaint.with_hint("name them by `--type` or by digest; `inspect` lists them").into());
    }
    let chosen = Chosen { artifact_types: args.artifact_types, digests };
    for gone in attach::detach(&subject, &chosen, context.stores(), context.progress())? {
        context.result("detached", &gone, || gone.digest.to_string());
    }
    Ok(ExitCode::SUCCESS)
}
