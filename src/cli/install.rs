//! `install` and `uninstall`: a plugin where a host loads it from the file system, and what is known of it there.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::build_flags::BuildArgs;
use super::context::Context;
use super::image::ImageArgs;
use super::limits::LimitArgs;
use super::output::found_line;
use super::trust::TrustArgs;
use crate::images::install::{self, CheckOptions, InstallOptions, Installed};
use plugin_oci::failure::{Class, Complaint, Error};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::text::field;

/// Flags of `install`.
#[derive(Debug, Args)]
#[command(override_usage = "cargo plugin-build install [OPTIONS] [IMAGE] <PLUGINS_DIR>")]
pub struct InstallArgs {
    /// The image, which is built where none is named, and the directory that the host reads
    #[arg(required = true, num_args = 1..=2, value_name = "[IMAGE] PLUGINS_DIR")]
    words: Vec<String>,
    /// The plugin's name [default: the image's own]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Place the directory itself instead of a link to it, where links cannot exist
    #[arg(long)]
    copy: bool,
    /// Install nothing: tell whether what lies there is what was installed
    #[arg(long, conflicts_with_all = ["rollback", "copy", "list", "history"])]
    check: bool,
    /// With --check: the digest that must be installed, the image's or that of its one platform's manifest
    #[arg(long, value_name = "DIGEST", requires = "check")]
    digest: Option<String>,
    /// Install nothing: bring back what was installed before; without --name of the only plugin
    #[arg(long, conflicts_with_all = ["copy", "list", "history"])]
    rollback: bool,
    /// Install nothing: list what is installed, with version, digest, platforms, source, licence and the keys that signed it
    #[arg(long, conflicts_with_all = ["copy", "history"])]
    list: bool,
    /// Install nothing: list what is installed and what was before, the last one first: --rollback brings back that
    #[arg(long, conflicts_with = "copy")]
    history: bool,
    /// Take what the last build left instead of building
    #[arg(long, help_heading = "Packages")]
    no_build: bool,
    /// Download layers whole, also where the registry has deltas of those that are installed
    #[arg(long)]
    no_delta: bool,
    #[command(flatten)]
    build: BuildArgs,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

/// Installs, checks or brings back a plugin.
pub fn install(args: InstallArgs, context: &Context) -> Result<ExitCode, Error> {
    let (image, dir) = match args.words.as_slice() {
        [image, dir] => (Some(image.clone()), context.directory(Path::new(dir))?),
        [dir] => (None, context.directory(Path::new(dir))?),
        _ => return Err(Complaint::usage("want an image and a directory").into()),
    };
    if (args.check || args.rollback || args.list || args.history) && image.is_some() {
        let message = "`--check`, `--rollback`, `--list` and `--history` take the directory alone";
        return Err(Complaint::usage(message).into());
    }
    if args.list || args.history {
        return list(&args, &dir, context);
    }
    if args.check {
        return check(&args, dir, context);
    }
    if args.rollback {
        let name = args.name.map_or_else(|| install::only_name(&dir), Ok)?;
        return Ok(tell(&install::rollback(&dir, &name, context.progress())?, "Restored", context));
    }
    let platforms = args.build.platforms().to_vec();
    let chosen = ImageArgs::of(image, args.no_build, args.build).open(context, |_| Ok(()))?;
    let (selector, signed_by) = args.trust.check_signers(chosen.source.as_ref(), &chosen.reference, chosen.is_named, context)?;
    let options = InstallOptions {
        selector,
        signed_by,
        plugins_dir: dir,
        name: args.name,
        platforms,
        copy: args.copy,
        limits: args.limits.limits(),
        patched: !args.no_delta,
    };
    let installed = install::install(chosen.source.as_ref(), &options, context.progress())?;
    let verb = if installed.changed { "Installed" } else { "Fresh" };
    Ok(tell(&installed, verb, context))
}

fn tell(installed: &Installed, verb: &'static str, context: &Context) -> ExitCode {
    let now = installed.image.called();
    let moved = match &installed.previous_called {
        Some(before) if installed.changed => format!("from {before} to {now}"),
        _ => now,
    };
    context.progress().status(verb, format!("{} {moved}, {}", installed.name, platforms(installed, ", ")));
    context.result("installed", installed, || installed.path.display().to_string());
    ExitCode::SUCCESS
}

fn platforms(installed: &Installed, between: &str) -> String {
    installed.platforms.iter().map(|on| on.platform.as_str()).collect::<Vec<_>>().join(between)
}

fn list(args: &InstallArgs, dir: &Path, context: &Context) -> Result<ExitCode, Error> {
    let listed = install::list(dir, args.history)?;
    for entry in listed.iter().filter(|entry| args.name.as_ref().is_none_or(|name| *name == entry.name)) {
        context.result("installed", entry, || {
            let image = &entry.image;
            let version = image.version.as_deref().or(image.tag.as_deref()).unwrap_or("-");
            let (digest, platforms) = (image.digest.to_string(), platforms(entry, ","));
            let licence = image.licenses.as_deref().unwrap_or("-");
            let signers: Vec<String> = entry.signed_by.iter().map(|key| format!("sha256:{}", key.short())).collect();
            let signers = if signers.is_empty() { "-".to_owned() } else { signers.join(",") };
            [&entry.name, version, &digest, &platforms, &entry.source, licence, &signers].map(|word| field(word)).join("  ")
        });
    }
    Ok(ExitCode::SUCCESS)
}

/// Flags of `uninstall`.
#[derive(Debug, Args)]
pub struct UninstallArgs {
    /// The plugin's name
    name: String,
    /// The directory that the host reads
    #[arg(value_name = "PLUGINS_DIR")]
    dir: PathBuf,
}

/// Removes a plugin from where a host loads it.
pub fn uninstall(args: &UninstallArgs, context: &Context) -> Result<ExitCode, Error> {
    let removed = install::uninstall(&context.directory(&args.dir)?, &args.name, context.progress())?;
    context.progress().status("Removed", format!("{} {}", removed.name, removed.image.called()));
    context.result("uninstalled", &removed, || removed.path.display().to_string());
    Ok(ExitCode::SUCCESS)
}

fn check(args: &InstallArgs, plugins_dir: PathBuf, context: &Context) -> Result<ExitCode, Error> {
    let expected = args.digest.as_deref().map(str::parse::<Digest>).transpose()?;
    let mut wrong = false;
    for mut checked in install::check(&CheckOptions { plugins_dir, name: args.name.clone(), expected })? {
        checked.findings.extend(args.trust.again(&checked, context)?);
        wrong |= !checked.findings.is_empty();
        context.result("checked", &checked, || {
            let lines = checked.findings.iter().map(|found| found_line((&found.object, &found.message, found.rule)));
            lines.collect::<Vec<_>>().join("\n")
        });
        let state = if checked.findings.is_empty() { "as installed" } else { "not as installed" };
        context.progress().status("Checked", format!("{} {state}: {}", checked.name, checked.digest));
    }
    Ok(if wrong { ExitCode::from(Class::Found.exit_code()) } else { ExitCode::SUCCESS })
}
