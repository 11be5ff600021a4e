//! `verify`: check everything, report everything; with `--rebuild`, build it again and compare.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::args::ColorChoice;
use super::context::Context;
use super::default_layout::DefaultLayoutArgs;
use super::terminal::human_size;
use crate::failure::{Class, Complaint, Error};
use crate::ops::diff::Tools;
use crate::ops::rebuild;
use crate::ops::verify::{self, Report};
use crate::progress::Event;
use crate::reference::Reference;
use crate::store::Selector;

/// Flags of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The image, or a whole layout (`oci:DIR`) [default: the layout that build writes]
    image: Option<String>,
    /// The package whose default layout is meant, when no image is named
    #[arg(short, long, value_name = "SPEC", conflicts_with = "image")]
    package: Option<String>,
    /// Path of a Cargo.toml: of the sources to rebuild, or of the package whose default layout is meant
    #[arg(long, value_name = "PATH")]
    manifest_path: Option<PathBuf>,
    /// Build the image again from its sources, elsewhere and under other circumstances, and compare
    #[arg(long)]
    rebuild: bool,
    /// The base to rebuild on, where the sources do not name it
    #[arg(long, value_name = "IMAGE", requires = "rebuild")]
    base: Option<String>,
    /// Do not use the network to rebuild
    #[arg(long, requires = "rebuild")]
    offline: bool,
    /// Rebuild without a network and out of reach of secrets, as `build --hermetic` does
    #[arg(long, requires = "rebuild")]
    hermetic: bool,
}

/// Checks an image or a layout; exit code 3 when something is wrong.
pub fn verify(args: &VerifyArgs, context: &Context) -> Result<ExitCode, Error> {
    if args.image.is_some() && args.manifest_path.is_some() && !args.rebuild {
        return Err(Complaint::usage("`--manifest-path` names sources to rebuild, and `--rebuild` is not given").into());
    }
    let default = DefaultLayoutArgs::new(args.package.clone(), args.manifest_path.clone());
    let reference = default.image_or_default(args.image.as_deref(), context)?;
    let report = match &reference {
        Reference::Layout(local) if local.name.is_none() && local.digest.is_none() && !args.rebuild => {
            verify::layout(&local.path, context.progress())?
        }
        reference => {
            let source = context.stores().source(reference)?;
            verify::image(source.as_ref(), &Selector::of(reference.tag(), reference.digest()), context.progress())?
        }
    };
    print(&reference, &report, context);
    let mut same = report.findings.is_empty();
    // What another tool wrote anew breaks rules of ours; what the rebuild says of it explains more than they do.
    if args.rebuild && report.sound {
        same &= rebuild(args, &reference, context)?;
    }
    Ok(if same { ExitCode::SUCCESS } else { ExitCode::from(Class::Found.exit_code()) })
}

/// Builds what was found sound again; whether it becomes the same.
fn rebuild(args: &VerifyArgs, reference: &Reference, context: &Context) -> Result<bool, Error> {
    let global = &context.global;
    let options = rebuild::Options {
        manifest_path: args.manifest_path.clone(),
        offline: args.offline,
        hermetic: args.hermetic,
        base: args.base.clone(),
        verbose: global.verbose,
        quiet: global.quiet,
        color: (global.color != ColorChoice::Auto).then(|| global.color.as_str().to_owned()),
        registries: global.registries.settings(),
    };
    let source = context.stores().source(reference)?;
    let selector = Selector::of(reference.tag(), reference.digest());
    let report = rebuild::rebuild(source.as_ref(), &selector, &options, &context.env, context.progress())?;
    super::diff::print(&report.differences, context);
    if !report.taken.is_empty() {
        let text = format!("taken from the image, not from the sources: {}", report.taken.join(", "));
        context.progress().event(Event::Note { text });
    }
    let told = match report.tools {
        Tools::Other if report.image != report.rebuilt => "other toolchain, ",
        _ => "",
    };
    context.progress().status("Rebuilt", format!("{reference}: {told}{}", report.verdict.as_str()));
    context.result("rebuilt", &report, String::new);
    Ok(report.image == report.rebuilt)
}

fn print(reference: &Reference, report: &Report, context: &Context) {
    for finding in &report.findings {
        context.result("finding", finding, || format!("{}: {} [{}]", finding.object, finding.message, finding.rule));
    }
    let checked = format!("{} blobs, {}", report.blobs, human_size(report.bytes));
    if report.findings.is_empty() {
        context.progress().status("Verified", format!("{reference}: {checked}, nothing wrong"));
    } else {
        context.progress().status("Verified", format!("{reference}: {checked}, {} findings", report.findings.len()));
    }
    context.result("verified", &report, String::new);
}
