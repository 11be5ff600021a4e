//! `run`: start a plugin as its host would.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::context::Context;
use super::hints::{Advise as _, Advised};
use super::image::ImageArgs;
use super::trust::TrustArgs;
use crate::build::kinds::Kind;
use crate::hosts::cosmo::run::{Call, Router};
use crate::hosts::cosmo::run::{RouterReport, Steps};
use crate::images::run::{self, Program, Ready, RunOptions};
use plugin_oci::environment::Environment;
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::fs;
use plugin_oci::stores::Source;

/// Flags of `run`.
#[derive(Debug, Args)]
#[command(mut_arg("cargo_args", |arg| arg.value_name("ARGS").help("Arguments for the program")))]
pub struct RunArgs {
    #[command(flatten)]
    image: ImageArgs,
    #[command(flatten)]
    trust: TrustArgs,
    /// How long each step may take: the handshake, health, a call [default: 1m]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, help_heading = "Host")]
    timeout: Option<Duration>,
    /// Call a unary method of the plugin and print the answer
    #[arg(long, num_args = 2, value_names = ["METHOD", "JSON"], help_heading = "Host")]
    call: Option<Vec<String>>,
    /// The proto that has the method [default: the one attached to the image]
    #[arg(long, value_name = "FILE", requires = "call", help_heading = "Host")]
    proto: Option<PathBuf>,
    /// Print the endpoint and leave the plugin running until Ctrl-C
    #[arg(long, help_heading = "Host")]
    keep: bool,
    /// The router's settings for the plugin, as JSON
    #[arg(long, value_name = "JSON", help_heading = "Host")]
    startup_config: Option<String>,
    /// Where unpacked images stay [default: the user's cache directory]
    #[arg(long, value_name = "DIR", help_heading = "Host")]
    cache_dir: Option<PathBuf>,
}

/// Runs an image.
pub fn run(mut args: RunArgs, context: &Context) -> Result<ExitCode, Error> {
    let arguments = args.image.take_arguments();
    let platform = args.image.platform()?;
    let cache = cache(args.cache_dir.as_deref(), &context.env);
    let for_hosts = [
        ("--call", args.call.is_some()),
        ("--keep", args.keep),
        ("--timeout", args.timeout.is_some()),
        ("--startup-config", args.startup_config.is_some()),
    ];
    let unfit = for_hosts.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag);
    let chosen = args.image.open(context, |kind| match unfit {
        Some(flag) if kind == Kind::Executable => Err(takes_over(flag).into()),
        _ => Ok(()),
    })?;
    let selector = args.trust.check(chosen.source.as_ref(), &chosen.reference, chosen.is_named, context)?;
    let options = RunOptions { selector, platform, args: arguments, cache };
    match run::prepare(chosen.source.as_ref(), &options, context.progress())? {
        Ready::Router(router) => host(router, chosen.source.as_ref(), &args, context),
        Ready::Program(program) => match unfit {
            Some(flag) => Err(takes_over(flag).into()),
            None => start(program, context),
        },
    }
}

fn takes_over(flag: &str) -> Advised {
    let message = format!("this plugin is a program that takes over, and `{flag}` is for those that a host calls");
    Complaint::usage(message).with_hint(format!("leave out `{flag}`"))
}

fn host(router: Router, source: &dyn Source, args: &RunArgs, context: &Context) -> Result<ExitCode, Error> {
    let defaults = Steps::new(scratch(&context.env));
    let call = args.call.as_deref().and_then(|words| match words {
        [method, request] => {
            let proto = args.proto.as_deref().map(|path| context.path(path));
            Some(Call { method: method.clone(), request: request.clone(), proto })
        }
        _ => None,
    });
    let steps = Steps {
        timeout: args.timeout.unwrap_or(defaults.timeout),
        startup_config: args.startup_config.clone().unwrap_or(defaults.startup_config),
        call,
        scratch: defaults.scratch,
    };
    let running = router.start(source, &steps, context.progress())?;
    if args.keep {
        let report = running.report();
        context.result("plugin-running", report, || [answer(report), report.endpoint.clone()].concat());
        running.keep()?;
        return Ok(ExitCode::SUCCESS);
    }
    let report = running.stop();
    context.result("plugin-run", &report, || answer(&report).trim_end().to_owned());
    Ok(ExitCode::SUCCESS)
}

/// The answer on a line of its own, where there is one.
fn answer(report: &RouterReport) -> String {
    report.answer.as_ref().map(|answer| format!("{answer}\n")).unwrap_or_default()
}

fn start(program: Program, context: &Context) -> Result<ExitCode, Error> {
    context.progress().status("Running", program.describe());
    context.finish();
    #[cfg(unix)]
    return Err(program.exec().into());
    #[cfg(not(unix))]
    return Ok(ExitCode::from(u8::try_from(program.wait()?).unwrap_or(1)));
}

/// Where unpacked images stay: the flag, the user's cache, or, for users without one, a directory for temporary files.
pub fn cache(flag: Option<&Path>, env: &Environment) -> PathBuf {
    if let Some(dir) = flag {
        return env.resolve(dir);
    }
    let user = env.path("XDG_CACHE_HOME").or_else(|| env.path("HOME").map(|home| home.join(".cache")));
    if let Some(dir) = user.filter(|dir| dir.is_absolute()).map(|dir| dir.join("cargo-plugin-build/run"))
        && fs::create_dirs(&dir).is_ok()
        && tempfile::tempfile_in(&dir).is_ok()
    {
        return dir;
    }
    #[cfg(unix)]
    let user = nix::unistd::geteuid().to_string();
    #[cfg(not(unix))]
    let user = "user";
    temp(env).join(format!("cargo-plugin-build-run-{user}"))
}

/// Where directories for sockets are made. A socket's path has about a hundred bytes, so a deep one will not do.
pub fn scratch(env: &Environment) -> PathBuf {
    let temp = temp(env);
    if temp.as_os_str().len() > 60 { PathBuf::from("/tmp") } else { temp }
}

fn temp(env: &Environment) -> PathBuf {
    env.path("TMPDIR").filter(|path| path.is_absolute()).unwrap_or_else(std::env::temp_dir)
}
