//! `pull`: an image from a registry into a layout, `copy` in its short spelling.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::build_flags::parse_platform;
use super::context::Context;
use super::copy::{CarryArgs, tell};
use super::push::bare;
use crate::images::copy::{self, Target, Transfer};
use plugin_oci::failure::Error;
use plugin_oci::values::platform::Platform;
use plugin_oci::values::reference::{Reference, RegistryReference, check_output_path};

/// Flags of `pull`.
#[derive(Debug, Args)]
pub struct PullArgs {
    /// The image: `HOST/REPO[:TAG][@DIGEST]` [TAG default: latest]
    #[arg(value_name = "REPO")]
    repository: String,
    /// Layout directory to write
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Only the manifest for this platform, without the index above it
    #[arg(long, value_name = "PLATFORM", value_parser = parse_platform)]
    platform: Option<Platform>,
    #[command(flatten)]
    carry: CarryArgs,
}

/// Pulls an image.
pub fn pull(args: &PullArgs, context: &Context) -> Result<ExitCode, Error> {
    check_output_path(&args.dir)?;
    let source = Reference::Registry(RegistryReference::parse(bare(&args.repository)?)?);
    let options = Transfer {
        platform: args.platform.clone(),
        referrers: !args.carry.no_referrers,
        no_clobber: args.carry.no_clobber,
        verb: "Pulling",
        ..Transfer::new(vec![source], Target::Store(Reference::layout(&args.dir, None)))
    };
    tell(&copy::copy(&options, context.stores(), context.progress())?, "pulled", context);
    Ok(ExitCode::SUCCESS)
}
