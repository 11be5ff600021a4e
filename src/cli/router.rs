//! `router`: what a Cosmo Router is told about plugins.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::context::Context;
use crate::hosts::cosmo::execution::{self, ExecutionReport, Mode, Wanted};
use plugin_oci::failure::{Class, Error};
use plugin_oci::progress::Event;
use plugin_oci::values::text;

/// Flags of `router`.
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub struct RouterArgs {
    #[command(subcommand)]
    verb: RouterVerb,
}

#[derive(Debug, Subcommand)]
enum RouterVerb {
    /// Write the images of plugins into an execution configuration, pinned by digest
    Set(SetArgs),
}

/// Flags of `router set`.
#[derive(Debug, Args)]
struct SetArgs {
    /// The execution configuration that `wgc router compose` wrote
    config: PathBuf,
    /// Images in a registry, `HOST/REPO[:TAG][@DIGEST]`, each for the plugin NAME of the configuration [default: the image's
    /// own name]
    #[arg(value_name = "[NAME=]IMAGE", required_unless_present = "rollback")]
    images: Vec<String>,
    /// Write nothing: tell whether the configuration names these images and was composed for them
    #[arg(long, conflicts_with = "rollback")]
    check: bool,
    /// Bring back what was there before the last change
    #[arg(long, conflicts_with = "images")]
    rollback: bool,
}

/// Does what is asked with a configuration.
pub fn router(args: RouterArgs, context: &Context) -> Result<ExitCode, Error> {
    let RouterVerb::Set(args) = args.verb;
    let config = context.directory(&args.config)?;
    if args.rollback {
        let config = execution::rollback(&config)?;
        context.progress().status("Restored", config.display().to_string());
        context.result("router-restored", &json!({"path": config}), || config.display().to_string());
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = args.images.iter().map(|text| text.parse::<Wanted>()).collect::<Result<Vec<_>, _>>()?;
    let mode = if args.check { Mode::Check } else { Mode::Set };
    let report = execution::set(&config, &wanted, mode, context.stores())?;
    for finding in &report.findings {
        context.found("finding", finding, (&finding.object, &finding.message, finding.rule));
    }
    for name in &report.others {
        let name = text::name(name);
        let text = format!("plugin `{name}` of {} was not named and stays as it is", report.config.display());
        context.progress().event(Event::Note { text });
    }
    if report.findings.is_empty() {
        tell(&report, mode, context);
        return Ok(ExitCode::SUCCESS);
    }
    if report.findings.iter().any(|finding| COMPOSED.contains(&finding.rule)) {
        context.progress().warn(
            format!("{} was composed with other contracts than these images have", report.config.display()),
            Some("`cargo plugin-build contract IMAGE DIR` for each of them, then `wgc router compose` again".to_owned()),
        );
    }
    let what = if mode == Mode::Set { "nothing was written" } else { "they do not agree" };
    context.progress().status("Checked", format!("{}: {what}", report.config.display()));
    Ok(ExitCode::from(Class::Found.exit_code()))
}

/// The rules of what only composing mends.
const COMPOSED: [&str; 3] = ["config-schema", "config-proto", "config-mapping"];

fn tell(report: &ExecutionReport, mode: Mode, context: &Context) {
    let config = report.config.display();
    let (verb, text) = match (mode, report.changed) {
        (Mode::Check, _) => ("Checked", format!("{config}: the images are these, and it was composed for them")),
        (Mode::Set, true) if report.plugins.len() == 1 => ("Set", format!("1 image in {config}")),
        (Mode::Set, true) => ("Set", format!("{} images in {config}", report.plugins.len())),
        (Mode::Set, false) => ("Unchanged", format!("{config} names these images already")),
    };
    context.progress().status(verb, text);
    for plugin in &report.plugins {
        let object = json!({
            "path": report.config, "changed": report.changed, "name": plugin.name, "image": plugin.image,
            "digest": plugin.digest, "version": plugin.version, "places": plugin.places,
        });
        context.result("router-plugin", &object, || format!("{} {}", plugin.name, plugin.image));
    }
}
