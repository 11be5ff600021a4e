//! `diff`: every difference of two images.

use std::process::ExitCode;

use clap::Args;

use super::context::Context;
use crate::images::diff::{self, DiffReport, Difference, PROGRAM, Side, Tools, Verdict};
use plugin_oci::failure::{Class, Error};
use plugin_oci::progress::Event;
use plugin_oci::stores::Selector;
use plugin_oci::values::platform::{Platform, PlatformError};
use plugin_oci::values::reference::Reference;

/// Flags of `diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The first image
    first: String,
    /// The second image
    second: String,
    /// Only this platform (repeatable)
    #[arg(long, value_name = "PLATFORM", value_parser = |text: &str| text.parse::<Platform>().map_err(|e: PlatformError| e.to_string()))]
    platform: Vec<Platform>,
}

/// Compares two images; exit code 3 when they differ.
pub fn diff(args: &DiffArgs, context: &Context) -> Result<ExitCode, Error> {
    let first: Reference = context.image(&args.first)?;
    let second: Reference = context.image(&args.second)?;
    let sources = [context.stores().source(&first)?, context.stores().source(&second)?];
    let selectors = [&first, &second].map(|reference| Selector::of(reference.tag(), reference.digest()));
    let side = |side: usize| Side { source: sources[side].as_ref(), selector: &selectors[side] };
    let report = diff::diff(side(0), side(1), &args.platform, context.progress())?;
    print(&report.differences, context);
    if report.tools == Some(Tools::Unknown) && report.differences.iter().any(|difference| difference.rule == PROGRAM) {
        let text = "toolchain unknown: compiler, linker and libc can be compared where both images have provenance, which `--no-provenance` leaves out";
        context.progress().event(Event::Note { text: text.to_owned() });
    }
    let same = report.differences.is_empty() && report.verdict == Verdict::Same;
    context.progress().status("Compared", format!("{first} and {second}: {}", verdict_line(&report)));
    context.result("compared", &report, String::new);
    Ok(if same { ExitCode::SUCCESS } else { ExitCode::from(Class::Found.exit_code()) })
}

/// Prints differences, a line each.
pub fn print(differences: &[Difference], context: &Context) {
    for difference in differences {
        context.found("difference", difference, (&difference.object, &difference.message, difference.rule));
    }
}

fn verdict_line(report: &DiffReport) -> String {
    let other = if report.tools == Some(Tools::Other) { "other toolchain, " } else { "" };
    match report.verdict {
        Verdict::Same if report.first != report.second => "the same in what was compared".to_owned(),
        Verdict::Same => format!("the same digest {}", report.first),
        verdict => format!("{other}{}", verdict.as_str()),
    }
}
