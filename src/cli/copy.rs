//! `copy`: images from any store to any store.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::build_flags::parse_platform;
use super::context::Context;
use crate::images::copy::{self, Target, Transfer, Transferred};
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::progress::Outcome;
use plugin_oci::values::platform::Platform;
use plugin_oci::values::text::human_size;

/// Flags of `copy`.
#[derive(Debug, Args)]
#[command(override_usage = "cargo plugin-build copy [OPTIONS] <SRC>... <DST>")]
pub struct CopyArgs {
    /// Images or stores, the destination last: `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker://HOST/REPO[:TAG][@DIGEST]`;
    /// a destination `docker://HOST/PREFIX/` takes each image to `PREFIX/NAME`, `docker-archive:FILE[:NAME:TAG]` is for
    /// `docker load`
    #[arg(required = true, num_args = 1.., value_name = "SRC... DST")]
    references: Vec<String>,
    /// Every tag of each source
    #[arg(short, long)]
    all: bool,
    /// Only the manifest for this platform, without the index above it
    #[arg(long, value_name = "PLATFORM", value_parser = parse_platform)]
    platform: Option<Platform>,
    /// Merge images of single platforms into one image
    #[arg(long)]
    into_index: bool,
    /// Leave out blobs that the other side has: a store of any kind, or a file with one digest a line
    #[arg(long, value_name = "STORE|FILE")]
    have: Option<String>,
    /// With --have: bring layers as deltas of those that the other side has, which makes the same layers of them
    #[arg(long, requires = "have")]
    delta: bool,
    /// Write the references of what was pushed to a file, by digest, one a line
    #[arg(long, value_name = "FILE")]
    image_refs: Option<PathBuf>,
    #[command(flatten)]
    carry: CarryArgs,
}

/// What goes along, and what must not happen.
#[derive(Debug, Clone, Default, Args)]
pub struct CarryArgs {
    /// Leave SBOMs, provenance, signatures and other referrers behind
    #[arg(long)]
    pub no_referrers: bool,
    /// Refuse to move a tag that names something else
    #[arg(long)]
    pub no_clobber: bool,
}

/// Copies images.
pub fn copy(args: CopyArgs, context: &Context) -> Result<ExitCode, Error> {
    let Some((target, sources)) = args.references.split_last().filter(|(_, sources)| !sources.is_empty()) else {
        return Err(Complaint::usage("want a source and a destination").into());
    };
    let sources = sources.iter().map(|text| context.image(text)).collect::<Result<Vec<_>, _>>()?;
    let options = Transfer {
        all: args.all,
        platform: args.platform,
        into_index: args.into_index,
        have: args.have,
        delta: args.delta,
        referrers: !args.carry.no_referrers,
        no_clobber: args.carry.no_clobber,
        ..Transfer::new(sources, Target::named(target, &context.env.cwd)?)
    };
    let report = copy::copy(&options, context.stores(), context.progress())?;
    tell(&report, "copied", context);
    context.keep_image_refs(args.image_refs.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

/// Prints one result an image, and what it took.
pub fn tell(report: &Transferred, reason: &str, context: &Context) {
    for image in &report.images {
        context.result(reason, image, || image.image.clone());
        if image.image.ends_with(&format!("@{}", image.digest)) && !image.image.starts_with("oci") {
            context.pushed(&image.image);
        }
    }
    let count = |outcome| report.outcomes.get(&outcome).copied().unwrap_or(0);
    let mut parts = vec![format!("{} new ({})", count(Outcome::Copied), human_size(report.bytes))];
    let others = [(Outcome::Present, "there already"), (Outcome::Mounted, "mounted"), (Outcome::LeftOut, "left out")];
    parts.extend(
        others.iter().filter(|(outcome, _)| count(*outcome) > 0).map(|(outcome, word)| format!("{} {word}", count(*outcome))),
    );
    context.progress().status("Finished", parts.join(", "));
}
