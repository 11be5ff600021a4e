//! The cargo commands.
//!
//! One command for all packages and targets that share one set of flags, so that cargo can overlap their work: normally
//! one, two where programs and libraries are mixed (programs get `+crt-static`, libraries must not). What is built is
//! named (`-p X --bin Y`, `-p X --lib`): under `--workspace` a `cdylib` with `+crt-static` fails, or vanishes with a
//! warning and exit code 0.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::identity::{self, Identity};
use super::remap::{self, Remap};
use super::rustflags::TargetFlags;
use crate::build::kinds::Product;
use crate::build::manifest::{BuildFlags, Builder, Plugin, Workspace};
use crate::build::toolchain::cargo;
use crate::build::toolchain::config::{RustflagsOrigin, config_arguments};
use plugin_oci::environment::Environment;
use plugin_oci::values::epoch::Epoch;
use plugin_oci::values::platform::split_glibc;

/// One cargo command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Invocation {
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables that are set beside the caller's.
    pub env: BTreeMap<String, String>,
    /// The working directory: cargo finds its configuration from here.
    pub cwd: PathBuf,
}

/// What must agree for packages to share a command: the flags of each target.
type Key = (bool, Vec<Own>);

/// A target, and our flags for it.
type Own = (String, Vec<String>);

/// The commands, programs before libraries.
pub fn invocations(
    workspace: &Workspace,
    flags: &BuildFlags,
    targets: &BTreeMap<String, TargetFlags>,
    remaps: &[Remap],
    epoch: Epoch,
    env: &Environment,
) -> Vec<Invocation> {
    let mut groups: BTreeMap<Key, Vec<&Plugin>> = BTreeMap::new();
    for plugin in &workspace.plugins {
        let own = plugin.targets.iter().filter_map(|target| Some((target, targets.get(target)?)));
        let mut alike: BTreeMap<Option<Vec<String>>, Vec<Own>> = BTreeMap::new();
        for (target, set) in own {
            let ours = set.ours(target, plugin);
            // A variable holds for all targets of a command.
            let common = (set.users.origin == RustflagsOrigin::Environment).then(|| ours.clone());
            alike.entry(common).or_default().push((target.clone(), ours));
        }
        for own in alike.into_values() {
            groups.entry((!plugin.product.is_bin(), own)).or_default().push(plugin);
        }
    }
    let mut variables = variables(remaps, epoch, env);
    variables.extend(stand_in(workspace, flags, remaps, env));
    groups.iter().map(|((_, own), plugins)| one(plugins, own, flags, targets, &variables, env)).collect()
}

/// What fetches all sources before a hermetic build; for the host too, where build scripts run.
pub fn fetch(workspace: &Workspace, flags: &BuildFlags, env: &Environment) -> Invocation {
    let mut args = vec!["fetch".to_owned()];
    args.extend(flags.lock_args());
    if let Some(path) = &flags.manifest_path {
        args.extend(["--manifest-path".to_owned(), path.display().to_string()]);
    }
    let mut targets: Vec<&String> = workspace.plugins.iter().flat_map(|plugin| &plugin.targets).collect();
    targets.push(&workspace.rustc.host);
    targets.sort();
    targets.dedup();
    args.extend(targets.into_iter().flat_map(|target| ["--target".to_owned(), split_glibc(target).0.to_owned()]));
    args.extend(config_arguments(&flags.cargo_args).flat_map(|value| ["--config".to_owned(), value.to_owned()]));
    args.extend(flags.cargo_args.iter().filter(|argument| argument.starts_with("-Z")).cloned());
    args.extend(said(flags));
    Invocation { program: cargo(env), args, env: BTreeMap::new(), cwd: env.cwd.clone() }
}

/// How cargo talks.
fn said(flags: &BuildFlags) -> Vec<String> {
    let mut args: Vec<String> = flags.color.iter().flat_map(|value| ["--color".to_owned(), value.clone()]).collect();
    args.extend((0..flags.verbose).map(|_| "--verbose".to_owned()));
    args.extend(flags.quiet.then(|| "--quiet".to_owned()));
    args
}

fn one(
    plugins: &[&Plugin],
    own: &[Own],
    flags: &BuildFlags,
    targets: &BTreeMap<String, TargetFlags>,
    variables: &BTreeMap<String, String>,
    env: &Environment,
) -> Invocation {
    let mut args: Vec<String> = Vec::new();
    args.push(if flags.builder == Builder::Zigbuild { "zigbuild" } else { "build" }.to_owned());
    args.push("--message-format=json-render-diagnostics".to_owned());
    if let Some(path) = &flags.manifest_path {
        args.extend(["--manifest-path".to_owned(), path.display().to_string()]);
    }
    for plugin in plugins {
        args.extend(["--package".to_owned(), plugin.package.name.clone()]);
    }
    for plugin in plugins {
        if let Product::Bin(bin) = &plugin.product {
            args.extend(["--bin".to_owned(), bin.clone()]);
        }
    }
    if plugins.iter().any(|plugin| !plugin.product.is_bin()) {
        args.push("--lib".to_owned());
    }
    args.extend(["--profile".to_owned(), flags.profile().to_owned()]);
    args.extend(flags.feature_args());
    let mut env_flags = None;
    for (target, ours) in own {
        let Some(set) = targets.get(target) else { continue };
        args.extend(["--target".to_owned(), target.clone()]);
        if set.users.origin == RustflagsOrigin::Environment {
            let all = [set.users.flags.as_slice(), ours].concat();
            env_flags = Some(all.join("\u{1f}"));
        } else {
            let list = set.for_config(ours).iter().map(|flag| toml_text(flag)).collect::<Vec<_>>().join(", ");
            args.extend(["--config".to_owned(), format!("target.{}.rustflags=[{list}]", toml_key(split_glibc(target).0))]);
        }
    }
    if let Some(target_dir) = &flags.target_dir {
        args.extend(["--target-dir".to_owned(), target_dir.display().to_string()]);
    }
    args.extend(flags.lock_args());
    args.extend(flags.jobs.iter().flat_map(|value| ["--jobs".to_owned(), value.clone()]));
    args.extend(said(flags));
    args.extend(flags.cargo_args.iter().cloned());
    let mut env_additions = variables.clone();
    if let Some(flags) = env_flags {
        env_additions.insert("CARGO_ENCODED_RUSTFLAGS".to_owned(), flags);
    }
    Invocation { program: cargo(env), args, env: env_additions, cwd: env.cwd.clone() }
}

/// Variables that every command gets.
///
/// The C compiler's flags come from the most special of `CFLAGS_<target>`, `TARGET_CFLAGS` and `CFLAGS` that is set, so
/// ours are added to each that the user has set, and to the plain one.
fn variables(remaps: &[Remap], epoch: Epoch, env: &Environment) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::from([
        ("CARGO_INCREMENTAL".to_owned(), "0".to_owned()),
        ("SOURCE_DATE_EPOCH".to_owned(), epoch.seconds().to_string()),
    ]);
    let ours = remap::cflags(remaps);
    for plain in ["CFLAGS", "CXXFLAGS"] {
        variables.insert(plain.to_owned(), ours.clone());
        for (name, value) in env.vars() {
            let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else { continue };
            if name == plain || name.strip_suffix(plain) == Some("TARGET_") || name.starts_with(&format!("{plain}_")) {
                variables.insert(name.to_owned(), format!("{value} {ours}").trim().to_owned());
            }
        }
    }
    variables
}

/// What puts this program between cargo and rustc, where a package lies outside the workspace.
fn stand_in(workspace: &Workspace, flags: &BuildFlags, remaps: &[Remap], env: &Environment) -> Vec<(String, String)> {
    let program = env.program.as_ref().and_then(|program| program.to_str());
    let Some(program) = program.filter(|_| workspace.foreign.iter().any(|package| package.is_path)) else { return Vec::new() };
    // What a sandbox has none of.
    let wrapper = if flags.hermetic { None } else { workspace.cargo_config.wrapper() };
    let Ok(identity) = Identity::new(remaps, wrapper).text() else { return Vec::new() };
    vec![("RUSTC_WRAPPER".to_owned(), program.to_owned()), (identity::VARIABLE.to_owned(), identity)]
}

/// A TOML basic string; JSON's escapes are among TOML's.
fn toml_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A TOML key: bare where possible.
fn toml_key(key: &str) -> String {
    let bare = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if bare { key.to_owned() } else { toml_text(key) }
}
