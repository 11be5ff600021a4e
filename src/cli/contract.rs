//! `contract`: that of a Cosmo Router plugin as files, and what of its change breaks others.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::context::Context;
use super::hints::Advise as _;
use crate::build::plan::annotations::NAME_KEY;
use crate::hosts::cosmo::contract::{Contract, diff, directory};
use plugin_oci::failure::{Class, Complaint, Error};
use plugin_oci::stores::{Selector, named, read_document};
use plugin_oci::values::text;

/// Flags of `contract`.
#[derive(Debug, Args)]
#[command(
    subcommand_negates_reqs = true,
    disable_help_subcommand = true,
    override_usage = "cargo plugin-build contract [OPTIONS] <IMAGE> <DIR>\n       cargo plugin-build contract diff [OPTIONS] <A> <B>"
)]
pub struct ContractArgs {
    #[command(subcommand)]
    verb: Option<ContractVerb>,
    /// The image: `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or `docker://HOST/REPO[:TAG][@DIGEST]`
    #[arg(required = true)]
    image: Option<String>,
    /// The directory that `wgc router compose` is given as `plugin.path`; it calls the plugin by this directory's name
    #[arg(required = true)]
    dir: Option<PathBuf>,
    /// Overwrite files with other content
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Subcommand)]
enum ContractVerb {
    /// Tell what of a contract's change breaks clients and routers; exit code 3 when something does
    Diff(ContractDiffArgs),
}

/// Flags of `contract diff`.
#[derive(Debug, Args)]
struct ContractDiffArgs {
    /// The old contract: an image, or a plugin's directory
    #[arg(value_name = "A")]
    first: String,
    /// The new one
    #[arg(value_name = "B")]
    second: String,
}

/// Writes a contract, or compares two.
pub fn contract(args: &ContractArgs, context: &Context) -> Result<ExitCode, Error> {
    match (&args.verb, &args.image, &args.dir) {
        (Some(ContractVerb::Diff(args)), ..) => compare(args, context),
        (None, Some(image), Some(dir)) => write(image, &context.directory(dir)?, args.force, context),
        _ => Err(Complaint::usage("want an image and a directory").into()),
    }
}

fn write(image: &str, dir: &Path, force: bool, context: &Context) -> Result<ExitCode, Error> {
    let (contract, name) = of_image(image, context)?;
    let files = directory::write(&contract, dir, force)?;
    let called = dir.file_name().map(|name| name.to_string_lossy().into_owned());
    if let (Some(name), Some(called)) = (&name, &called)
        && name != called
    {
        let text = format!(
            "wgc calls a plugin by its directory's name: this one will be `{}`, not `{}`",
            text::name(called),
            text::name(name)
        );
        context.progress().warn(text, Some("name the directory as the plugin is named".to_owned()));
    }
    context.progress().status("Wrote", format!("the contract of {image}"));
    let digest = contract.digest();
    for file in &files {
        context.result("contract-file", &json!({"path": file, "contract": digest}), || file.display().to_string());
    }
    Ok(ExitCode::SUCCESS)
}

fn compare(args: &ContractDiffArgs, context: &Context) -> Result<ExitCode, Error> {
    let breaks = diff::breaks(&of(&args.first, context)?, &of(&args.second, context)?)?;
    for found in &breaks {
        context.found("contract-break", found, (&found.object, &found.message, found.rule));
    }
    let told = match breaks.len() {
        0 => "nothing breaks".to_owned(),
        1 => "1 break".to_owned(),
        count => format!("{count} breaks"),
    };
    context.progress().status("Compared", format!("the contracts of {} and {}: {told}", args.first, args.second));
    let object = json!({"first": args.first, "second": args.second, "breaks": breaks});
    context.result("contract-compared", &object, String::new);
    Ok(if breaks.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(Class::Found.exit_code()) })
}

/// The contract of an image or a directory.
fn of(text: &str, context: &Context) -> Result<Contract, Error> {
    match named::directory(Path::new(text), &context.env.cwd) {
        Ok(dir) => Ok(directory::read(&context.path(dir))?),
        Err(_) => Ok(of_image(text, context)?.0),
    }
}

/// The contract of an image, and its plugin's name.
fn of_image(image: &str, context: &Context) -> Result<(Contract, Option<String>), Error> {
    let reference = context.image(image)?;
    let source = context.stores().source(&reference)?;
    let root = source.resolve(&Selector::of(reference.tag(), reference.digest()))?;
    let name = read_document(source.as_ref(), &root)?.0.annotations().get(NAME_KEY).cloned();
    match Contract::of_image(source.as_ref(), &root)? {
        Some(contract) => Ok((contract, name)),
        None => Err(Complaint::failed(format!("no contract is attached to {image}"))
            .with_hint("images of kind `cosmo-router` have one, where it was copied with them")
            .into()),
    }
}
