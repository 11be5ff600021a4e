//! `unpack`: one platform of an image as a directory.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::build_flags::parse_platform;
use super::context::Context;
use super::limits::LimitArgs;
use super::trust::TrustArgs;
use crate::images::unpack::{self, UnpackOptions};
use plugin_oci::failure::Error;
use plugin_oci::layers::unpack::{ExtractOptions, Rules};
use plugin_oci::values::platform::Platform;

/// Flags of `unpack`.
#[derive(Debug, Args)]
pub struct UnpackArgs {
    /// The image: `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or `docker://HOST/REPO[:TAG][@DIGEST]`
    image: String,
    /// The directory to make; it must be missing or empty
    dir: PathBuf,
    /// The platform [default: this machine's]
    #[arg(long, value_name = "PLATFORM", value_parser = parse_platform)]
    platform: Option<Platform>,
    /// Accept only what this tool writes: no absolute names, no repeated directories, no link that leaves
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

/// Unpacks an image.
pub fn unpack(args: &UnpackArgs, context: &Context) -> Result<ExitCode, Error> {
    let reference = context.image(&args.image)?;
    let target = context.directory(&args.dir)?;
    let source = context.stores().source(&reference)?;
    let options = UnpackOptions {
        selector: args.trust.check(source.as_ref(), &reference, true, context)?,
        platform: args.platform.clone().unwrap_or_else(Platform::host),
        target,
        extract: ExtractOptions { limits: args.limits.limits(), rules: if args.strict { Rules::Strict } else { Rules::Foreign } },
    };
    let unpacked = unpack::unpack(source.as_ref(), &options, context.progress())?;
    context.progress().status("Unpacked", format!("{reference} ({})", unpacked.platform));
    context.result("unpacked", &unpacked, || args.dir.display().to_string());
    Ok(ExitCode::SUCCESS)
}
