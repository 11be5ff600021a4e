//! `verify`: check everything, report everything; with `--rebuild`, build it again and compare.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::context::Context;
use super::default_layout::DefaultLayoutArgs;
use super::global::{ColorChoice, GlobalArgs};
use super::trust::{self, TrustArgs};
use crate::build::kinds::Kind;
use crate::build::manifest::config::Base;
use crate::build::manifest::{BuildFlags, Builder};
use crate::images::diff::{Tools, Verdict};
use crate::images::rebuild;
use crate::images::verify::{self, VerifyReport};
use plugin_oci::failure::{Class, Complaint, Error};
use plugin_oci::interrupt::within;
use plugin_oci::progress::Event;
use plugin_oci::stores::Selector;
use plugin_oci::values::platform::Platform;
use plugin_oci::values::reference::Reference;
use plugin_oci::values::text::human_size;

/// Flags of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The image, or a whole layout (`oci:DIR`) [default: the layout that build writes]
    image: Option<String>,
    /// The package to rebuild, or whose default layout is meant
    #[arg(short, long, value_name = "SPEC")]
    package: Option<String>,
    /// Path of a Cargo.toml: of the sources to rebuild, or of the package whose default layout is meant
    #[arg(long, value_name = "PATH")]
    manifest_path: Option<PathBuf>,
    /// Build the image again from its sources, elsewhere and under other circumstances, and compare
    #[arg(long)]
    rebuild: bool,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    again: RebuildArgs,
}

/// How to rebuild: what `build` was given beside what the sources say.
#[derive(Debug, Args)]
#[command(next_help_heading = "Rebuild")]
struct RebuildArgs {
    /// Take what the sources do not say (features, rustflags, profile keys, target ..) from the image, and do not hold it
    /// against it
    #[arg(long, requires = "rebuild")]
    accept_request: bool,
    /// The base to rebuild on, where the sources do not name it
    #[arg(long, value_name = "IMAGE", requires = "rebuild")]
    base: Option<String>,
    /// File with the keys of the table, as given to build
    #[arg(long, value_name = "FILE", requires = "rebuild")]
    settings: Option<PathBuf>,
    /// Do not use the network to rebuild
    #[arg(long, requires = "rebuild")]
    offline: bool,
    /// Rebuild without a network and out of reach of secrets, as `build --hermetic` does
    #[arg(long, requires = "rebuild")]
    hermetic: bool,
    /// Longest that the rebuild may take: `10m`
    #[arg(long, value_name = "DURATION", requires = "rebuild", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    /// The binary, as given to build
    #[arg(long, value_name = "NAME", requires = "rebuild")]
    bin: Option<String>,
    /// The kind, as given to build
    #[arg(long, value_name = "KIND", requires = "rebuild", value_parser = super::build_flags::kind())]
    kind: Option<Kind>,
    /// The name, as given to build
    #[arg(long, value_name = "NAME", requires = "rebuild")]
    name: Option<String>,
    /// Features, as given to build
    #[arg(short = 'F', long, value_name = "FEATURES", requires = "rebuild")]
    features: Vec<String>,
    /// As given to build
    #[arg(long, requires = "rebuild")]
    all_features: bool,
    /// As given to build
    #[arg(long, requires = "rebuild")]
    no_default_features: bool,
    /// The profile, as given to build
    #[arg(long, value_name = "NAME", requires = "rebuild")]
    profile: Option<String>,
    /// Target triple, as given to build (repeatable)
    #[arg(long, value_name = "TRIPLE", requires = "rebuild")]
    target: Vec<String>,
    /// Platform, as given to build (repeatable)
    #[arg(long, value_name = "PLATFORM", requires = "rebuild", value_parser = super::build_flags::parse_platform)]
    platform: Vec<Platform>,
    /// What drives the compiler, as given to build
    #[arg(long, value_name = "BUILDER", requires = "rebuild", value_parser = super::build_flags::builder())]
    builder: Option<Builder>,
    /// Arguments for cargo itself, as given to build
    #[arg(last = true, value_name = "CARGO ARGS", requires = "rebuild")]
    cargo_args: Vec<String>,
}

impl RebuildArgs {
    fn flags(&self, sources: &VerifyArgs, global: &GlobalArgs) -> BuildFlags {
        BuildFlags {
            manifest_path: sources.manifest_path.clone(),
            packages: sources.package.iter().cloned().collect(),
            features: self.features.clone(),
            all_features: self.all_features,
            no_default_features: self.no_default_features,
            profile: self.profile.clone(),
            offline: self.offline,
            verbose: global.verbose,
            quiet: global.quiet,
            color: (global.color != ColorChoice::Auto).then(|| global.color.as_str().to_owned()),
            cargo_args: self.cargo_args.clone(),
            hermetic: self.hermetic,
            bin: self.bin.clone(),
            kind: self.kind,
            name: self.name.clone(),
            targets: self.target.clone(),
            platforms: self.platform.clone(),
            builder: self.builder.unwrap_or_default(),
            base: self.base.clone().map(Base::All),
            settings: self.settings.clone(),
            ..BuildFlags::default()
        }
    }
}

/// Checks an image or a layout; exit code 3 when something is wrong.
pub fn verify(args: &VerifyArgs, context: &Context) -> Result<ExitCode, Error> {
    if args.image.is_some() && !args.rebuild {
        let named = [("--manifest-path", args.manifest_path.is_some()), ("--package", args.package.is_some())];
        if let Some((flag, _)) = named.iter().find(|(_, given)| *given) {
            return Err(Complaint::usage(format!("`{flag}` names sources to rebuild, and `--rebuild` is not given")).into());
        }
    }
    let default = DefaultLayoutArgs::new(args.package.clone(), args.manifest_path.clone());
    let reference = default.image_or_default(args.image.as_deref(), context)?;
    let demands = args.trust.demands(&reference, args.image.is_some(), context)?;
    let mut report = match &reference {
        Reference::Layout(local) if local.name.is_none() && local.digest.is_none() && !args.rebuild => {
            verify::layout(&local.path, context.progress())?
        }
        reference => {
            let source = context.stores().source(reference)?;
            verify::image(source.as_ref(), &Selector::of(reference.tag(), reference.digest()), context.progress())?
        }
    };
    if !demands.is_empty() && !report.images.is_empty() {
        let source = context.stores().source(&reference)?;
        let root = source.resolve(&Selector::of(reference.tag(), reference.digest()))?;
        report.findings.extend(plugin_oci::trust::judge(source.as_ref(), &root, &demands, super::keys::now())?);
    }
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
    let options = rebuild::RebuildOptions {
        flags: args.again.flags(args, &context.global),
        accept_request: args.again.accept_request,
        image: match reference {
            Reference::Layout(local) | Reference::Archive(local) => Some(context.path(&local.path)),
            Reference::Registry(_) => None,
        },
        registries: context.global.registries.settings(),
    };
    let source = context.stores().source(reference)?;
    let selector = Selector::of(reference.tag(), reference.digest());
    let report = within("`--timeout`", args.again.timeout, || {
        rebuild::rebuild(source.as_ref(), &selector, &options, &context.env, context.progress())
    })?;
    super::diff::print(&report.differences, context);
    if !report.taken.is_empty() {
        let text = format!("taken from the image, not from the sources: {}", report.taken.join(", "));
        context.progress().event(Event::Note { text });
    }
    let told = match report.tools {
        Tools::Other if !report.is_same() => "other toolchain, ",
        _ => "",
    };
    let verdict = match report.verdict {
        None => format!("not built again: the image asks for what no image may ask for: {}", report.refused.join(" ")),
        Some(Verdict::Same) if report.request_accepted && report.request_differs() => {
            "the same digest, with a request that the sources do not have and `--accept-request` takes".to_owned()
        }
        Some(Verdict::Same) if report.request_differs() => {
            "the same digest, but by a request that the sources do not have".to_owned()
        }
        Some(verdict) => verdict.as_str().to_owned(),
    };
    context.progress().status("Rebuilt", format!("{reference}: {told}{verdict}"));
    if report.request_differs() && !report.request_accepted {
        let text = if report.refused.is_empty() {
            "give the same flags here as to `build`, or `--accept-request` if the request is to be trusted"
        } else {
            "if that is to be trusted, give the same flags here as to `build`"
        };
        context.progress().event(Event::Note { text: text.to_owned() });
    }
    context.result("rebuilt", &report, String::new);
    Ok(report.is_same())
}

fn print(reference: &Reference, report: &VerifyReport, context: &Context) {
    trust::print(&report.findings, context);
    let checked = format!("{} blobs, {}", report.blobs, human_size(report.bytes));
    if report.findings.is_empty() {
        context.progress().status("Verified", format!("{reference}: {checked}, nothing wrong"));
    } else {
        context.progress().status("Verified", format!("{reference}: {checked}, {} findings", report.findings.len()));
    }
    context.result("verified", &report, String::new);
}
