//! `generate`: the contract of a Cosmo Router plugin from its schema, or with `--check` whether it is current.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::context::Context;
use crate::build::manifest::BuildFlags;
use crate::hosts::cosmo::generated::{self, Generated};
use plugin_oci::failure::{Class, Error};

/// Flags of `generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// Package to generate for (repeatable)
    #[arg(short, long = "package", value_name = "SPEC", help_heading = "Packages")]
    package: Vec<String>,
    /// Generate for all plugins of the workspace
    #[arg(long, help_heading = "Packages")]
    workspace: bool,
    /// Leave a package out, with --workspace (repeatable)
    #[arg(long, value_name = "SPEC", requires = "workspace", help_heading = "Packages")]
    exclude: Vec<String>,
    /// Path of a Cargo.toml
    #[arg(long, value_name = "PATH", help_heading = "Packages")]
    manifest_path: Option<PathBuf>,
    /// Write nothing: tell whether the files are what the schema gives
    #[arg(long)]
    check: bool,
    /// Require that Cargo.lock is up to date
    #[arg(long, help_heading = "Cargo")]
    locked: bool,
    /// Do not use the network
    #[arg(long, help_heading = "Cargo")]
    offline: bool,
    /// --locked and --offline
    #[arg(long, help_heading = "Cargo")]
    frozen: bool,
}

/// Generates what is stale before something else is done.
pub fn renew(flags: &BuildFlags, context: &Context) -> Result<(), Error> {
    for generated in generated::generate(flags, false, &context.env, context.progress())? {
        if generated.files.iter().any(|file| file.changed) {
            tell("Generated", &generated, context);
        }
    }
    Ok(())
}

fn tell(verb: &'static str, generated: &Generated, context: &Context) {
    let changed = generated.files.iter().filter(|file| file.changed).count();
    context.progress().status(verb, format!("the contract of {} ({changed} of 3 files changed)", generated.package));
}

/// Generates, or tells what is stale.
pub fn generate(args: GenerateArgs, context: &Context) -> Result<ExitCode, Error> {
    let check = args.check;
    let flags = BuildFlags {
        packages: args.package,
        workspace: args.workspace,
        exclude: args.exclude,
        manifest_path: args.manifest_path,
        locked: args.locked,
        offline: args.offline,
        frozen: args.frozen,
        verbose: context.global.verbose,
        quiet: context.global.quiet,
        ..BuildFlags::default()
    };
    let mut wrong = false;
    for generated in generated::generate(&flags, check, &context.env, context.progress())? {
        wrong |= !generated.findings.is_empty();
        for finding in &generated.findings {
            context.found("finding", finding, (&finding.object, &finding.message, finding.rule));
        }
        let changed = generated.files.iter().filter(|file| file.changed).count();
        if check {
            let state = if changed == 0 { "is current" } else { "is stale" };
            context.progress().status("Checked", format!("the contract of {} {state}", generated.package));
            continue;
        }
        let verb = if changed == 0 { "Fresh" } else { "Generated" };
        tell(verb, &generated, context);
        context.result("contract-generated", &generated, || {
            let paths = generated.files.iter().map(|file| file.path.display().to_string());
            paths.collect::<Vec<_>>().join("\n")
        });
    }
    Ok(if wrong { ExitCode::from(Class::Found.exit_code()) } else { ExitCode::SUCCESS })
}
