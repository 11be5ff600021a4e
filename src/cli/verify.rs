//! `verify`: check everything, report everything.

use std::process::ExitCode;

use clap::Args;

use super::context::Context;
use super::terminal::human_size;
use crate::failure::{Class, Error};
use crate::ops::verify::{self, Report};
use crate::reference::Reference;
use crate::store::{self, Selector};

/// Flags of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The image, or a whole layout (`oci:DIR`) [default: the layout that build writes]
    image: Option<String>,
    #[command(flatten)]
    default: super::default_layout::DefaultLayoutArgs,
}

/// Checks an image or a layout; exit code 3 when something is wrong.
pub fn verify(args: &VerifyArgs, context: &Context) -> Result<ExitCode, Error> {
    let reference = args.default.image_or_default(args.image.as_deref(), context)?;
    let report = match &reference {
        Reference::Layout(local) if local.name.is_none() && local.digest.is_none() => {
            verify::layout(&local.path, context.progress())?
        }
        reference => {
            let source = store::open::source(reference)?;
            verify::image(source.as_ref(), &Selector::of(reference.tag(), reference.digest()), context.progress())?
        }
    };
    print(&reference, &report, context);
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(Class::Found.exit_code()) })
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
