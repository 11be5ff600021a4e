//! `dev`: at each change of the sources, a router has the new plugin; or, without a router, the plugin runs anew.
//!
//! Errors go to the terminal, and what ran or was installed before stays. It ends by Ctrl-C alone.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::build_flags::BuildArgs;
use super::context::Context;
use super::default_layout::not_one;
use super::failure;
use super::image::{Chosen, ImageArgs};
use super::run::scratch;
use crate::build::kinds::Kind;
use crate::build::manifest;
use crate::hosts::cosmo::dev::sources::Sources;
use crate::hosts::cosmo::dev::touch;
use crate::hosts::cosmo::generated;
use crate::hosts::cosmo::run::{Running, Steps};
use crate::images::install::{self, InstallOptions, Installed};
use crate::images::run::workdir::remove_tree;
use crate::images::run::{self, Ready, RunOptions};
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::interrupt;
use plugin_oci::values::platform::Platform;

/// Flags of `dev`.
#[derive(Debug, Args)]
pub struct DevArgs {
    /// The router's execution configuration, which `wgc router compose` writes and the router watches: its version changes
    /// with each new plugin
    #[arg(long, value_name = "FILE", requires = "plugins", help_heading = "Router")]
    router_config: Option<PathBuf>,
    /// The directory that the router reads plugins from
    #[arg(long, value_name = "DIR", requires = "router_config", help_heading = "Router")]
    plugins: Option<PathBuf>,
    /// Without a router: its settings for the plugin, as JSON
    #[arg(long, value_name = "JSON", conflicts_with = "router_config", help_heading = "Router")]
    startup_config: Option<String>,
    #[command(flatten)]
    build: BuildArgs,
}

/// What came of a change, for a router.
#[derive(Debug, Serialize)]
struct Renewed<'a> {
    #[serde(flatten)]
    installed: &'a Installed,
    /// The version that the configuration has now.
    #[serde(skip_serializing_if = "Option::is_none")]
    router_config_version: Option<String>,
}

/// Where a new plugin goes.
enum Goal {
    Router { config: PathBuf, plugins: PathBuf },
    Process { steps: Steps, cache: PathBuf },
}

/// Builds, waits for a change, and builds again.
pub fn dev(mut args: DevArgs, context: &Context) -> Result<ExitCode, Error> {
    args.build.for_development();
    let flags = args.build.flags(&context.global)?;
    // No plan yet: it wants files that are generated first.
    let workspace = manifest::load(&flags, &context.env, context.progress())?;
    let packages = workspace.plugins.iter().map(|plugin| plugin.package.name.as_str());
    let [plugin] = workspace.plugins.as_slice() else { return Err(not_one(packages).into()) };
    if plugin.kind != Kind::CosmoRouter {
        let message = format!("`dev` is for plugins of a router, and `{}` is of kind {}", plugin.name, plugin.kind.as_str());
        return Err(Complaint::usage(message).into());
    }
    // Outlives what runs in it, and goes with this process.
    let (cache, _cleanup) = interrupt::making(
        || tempfile::Builder::new().prefix("plugin-build-dev-").tempdir_in(scratch(&context.env)),
        |cache| {
            let doomed = cache.path().to_owned();
            move || drop(remove_tree(&doomed))
        },
    )
    .map_err(|error| Complaint::failed(format!("cannot make a directory for what runs: {error}")))?;
    let goal = goal(&args, cache.path(), context)?;
    // A layout that no flag names lies in the target directory.
    let mut excluded = vec![workspace.target_directory.clone(), workspace.build_directory.clone()];
    excluded.extend(flags.output.map(|output| context.path(&output)));
    if let Goal::Router { config, plugins } = &goal {
        excluded.extend([config.clone(), plugins.clone()]);
    }
    let mut sources = Sources::open(&workspace.root, excluded)?;
    let lock = workspace.root.join("Cargo.lock");
    let mut running = None;
    loop {
        if let Err(error) = renew(&args, &goal, &lock, &mut sources, &mut running, context) {
            failure::report(&error, context);
            context.progress().status("Kept", "what was there before".to_owned());
        }
        context.progress().status("Watching", workspace.root.display().to_string());
        let changed = wait(&mut sources, &mut running, context)?;
        context.progress().status("Changed", summary(&changed));
    }
}

fn goal(args: &DevArgs, cache: &Path, context: &Context) -> Result<Goal, Error> {
    if let (Some(config), Some(plugins)) = (&args.router_config, &args.plugins) {
        let (config, plugins) = (context.path(config), context.path(plugins));
        touch::check(&config)?;
        return Ok(Goal::Router { config, plugins });
    }
    let mut steps = Steps::new(scratch(&context.env));
    if let Some(startup) = &args.startup_config {
        steps.startup_config.clone_from(startup);
    }
    Ok(Goal::Process { steps, cache: cache.to_owned() })
}

/// Brings the plugin of the sources as they are to where it goes.
fn renew<'c>(
    args: &DevArgs,
    goal: &Goal,
    lock: &Path,
    sources: &mut Sources,
    running: &mut Option<Running<'c>>,
    context: &'c Context,
) -> Result<(), Error> {
    let written = generate(args, context)?;
    sources.accept(&written);
    let chosen = ImageArgs::of(None, false, args.build.clone()).open(context, |_| Ok(()));
    sources.accept(&[lock.to_owned()]);
    let chosen = chosen?;
    match goal {
        Goal::Router { config, plugins } => install_for_router(&chosen, config, plugins, context),
        Goal::Process { steps, cache } => restart(&chosen, steps, cache, running, context),
    }
}

/// Makes `generated/` anew from the schema, where there is one. Gives the files of the contract, whose change is no reason to
/// build again.
fn generate(args: &DevArgs, context: &Context) -> Result<Vec<PathBuf>, Error> {
    let generated = generated::generate(&args.build.flags(&context.global)?, false, &context.env, context.progress())?;
    let files = generated.into_iter().flat_map(|contract| contract.files);
    Ok(files.map(|file| file.path).collect())
}

fn install_for_router(chosen: &Chosen, config: &Path, plugins: &Path, context: &Context) -> Result<(), Error> {
    let options = InstallOptions::new(chosen.selector.clone(), plugins.to_owned());
    let installed = install::install(chosen.source.as_ref(), &options, context.progress())?;
    let verb = if installed.changed { "Installed" } else { "Fresh" };
    context.progress().status(verb, format!("{} ({})", installed.name, installed.image.digest.short()));
    let version = touch::touch(config, &installed.image.digest)?;
    if let Some(version) = &version {
        context.progress().status("Updated", format!("{} to version {version}", config.display()));
    }
    let renewed = Renewed { installed: &installed, router_config_version: version };
    context.result("plugin-renewed", &renewed, || installed.path.display().to_string());
    Ok(())
}

fn restart<'c>(
    chosen: &Chosen,
    steps: &Steps,
    cache: &Path,
    running: &mut Option<Running<'c>>,
    context: &'c Context,
) -> Result<(), Error> {
    let options =
        RunOptions { selector: chosen.selector.clone(), platform: Platform::host(), args: Vec::new(), cache: cache.to_owned() };
    let Ready::Router(router) = run::prepare(chosen.source.as_ref(), &options, context.progress())? else {
        return Err(Complaint::usage("this image is no plugin of a router").into());
    };
    if let Some(old) = running.take() {
        old.stop();
    }
    let new = router.start(chosen.source.as_ref(), steps, context.progress())?;
    context.result("plugin-running", new.report(), || new.report().endpoint.clone());
    *running = Some(new);
    Ok(())
}

/// Waits for a change, while what runs is read and its death is told.
fn wait(sources: &mut Sources, running: &mut Option<Running>, context: &Context) -> Result<Vec<PathBuf>, Error> {
    if let Some(plugin) = running
        && let Err(error) = plugin.keep_until(|| sources.stirred())
    {
        failure::report(&error.into(), context);
        *running = None;
    }
    Ok(sources.wait()?)
}

fn summary(changed: &[PathBuf]) -> String {
    let named: Vec<String> = changed.iter().take(3).map(|path| path.display().to_string()).collect();
    let more = changed.len().saturating_sub(named.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", named.join(", "))
}
