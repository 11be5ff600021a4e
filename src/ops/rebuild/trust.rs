//! What an image may ask of the machine that checks it.
//!
//! Threat: whoever made the image wrote its request, and whoever checks it runs cargo with that. The sources are the
//! checker's own; the flags are not. `-C link-arg=-wrapper` starts any program, a registry's `credential-provider` too, and
//! another source of crates is code from anywhere.
//!
//! | flag | may be asked |
//! |---|---|
//! | a rustflag that only changes code ([`CODEGEN`], lints, `--cfg`) | always |
//! | any other rustflag: arguments of linkers, plugins, files | under `--hermetic`, where rustc runs in the sandbox |
//! | a linker, code generator, sysroot or file of flags: asked or loaded before the sandbox is there | never |
//! | a key of a profile that only changes code ([`PROFILE`]), also by `--config` | always |
//! | any other key of a profile: rustflags, code generators | under `--hermetic` |
//! | `--config` of `build.*` and `target.*` that names no program | under `--hermetic` |
//! | `--config FILE`, a file of the sources | always |
//! | any other `--config KEY=VALUE`: cargo's own, which work before the sandbox is there | never |
//! | `-Z`, and the flags of [`CARGO`] | always |
//! | any other argument of cargo | never |
//!
//! What the sources say of themselves, in `.cargo/config.toml`, is not asked by the image and is not looked at.
//!
//! Words are judged as those who get them will read them: `CARGO_ENCODED_RUSTFLAGS` parts a flag at every unit separator,
//! `-vC DIR` is two options, and what follows `-Z` or `--config` and begins with a hyphen is an option of its own.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde_json::Value;

use crate::hermetic;

/// Options of `-C` that name no file and start nothing.
const CODEGEN: [&str; 29] = [
    "codegen-units",
    "code-model",
    "control-flow-guard",
    "debug-assertions",
    "debuginfo",
    "embed-bitcode",
    "force-frame-pointers",
    "force-unwind-tables",
    "instrument-coverage",
    "jump-tables",
    "link-dead-code",
    "lto",
    "metadata",
    "no-prepopulate-passes",
    "no-redzone",
    "no-vectorize-loops",
    "no-vectorize-slp",
    "opt-level",
    "overflow-checks",
    "panic",
    "prefer-dynamic",
    "relocation-model",
    "relro-level",
    "soft-float",
    "split-debuginfo",
    "strip",
    "symbol-mangling-version",
    "target-cpu",
    "target-feature",
];

/// Keys of a profile that only change code, in whichever of its tables.
const PROFILE: [&str; 13] = [
    "codegen-units",
    "debug",
    "debug-assertions",
    "incremental",
    "inherits",
    "lto",
    "opt-level",
    "overflow-checks",
    "panic",
    "rpath",
    "split-debuginfo",
    "strip",
    "trim-paths",
];

/// Flags of rustc that take a value and start nothing.
const PLAIN: [&str; 11] =
    ["--cfg", "--check-cfg", "--cap-lints", "--allow", "--warn", "--deny", "--forbid", "-A", "-W", "-D", "-F"];

/// Arguments of `cargo build` that change nothing but what it tells and when it gives up.
const CARGO: [&str; 5] = ["--keep-going", "--ignore-rust-version", "--future-incompat-report", "--timings", "--verbose"];

/// The rustflags that not even a sandbox keeps in: what they name is asked or loaded before it is there.
pub fn early_rustflags(flags: &[String]) -> Vec<String> {
    let flags: Vec<String> = flags.iter().flat_map(|flag| flag.split('\u{1f}')).map(str::to_owned).collect();
    hermetic::loaded(&flags).into_iter().map(|named| named.text).collect()
}

/// The rustflags that only a sandbox may run.
pub fn bold_rustflags(flags: &[String]) -> Vec<String> {
    let mut bold = Vec::new();
    let mut flags = flags.iter().flat_map(|flag| flag.split('\u{1f}'));
    while let Some(flag) = flags.next() {
        let mut value = || flags.next().unwrap_or_default();
        let (shown, harmless) = if matches!(flag, "-C" | "--codegen") {
            let option = value();
            (format!("{flag} {option}"), is_harmless(option))
        } else if let Some(option) = flag.strip_prefix("--codegen=").or_else(|| flag.strip_prefix("-C")) {
            (flag.to_owned(), is_harmless(option))
        } else if PLAIN.contains(&flag) {
            let value = value();
            (format!("{flag} {value}"), !value.starts_with('-'))
        } else {
            // `-Dwarnings`, `--cfg=name`.
            let joined = |name: &str| flag.strip_prefix(name).is_some_and(|rest| name.len() == 2 || rest.starts_with('='));
            (flag.to_owned(), matches!(flag, "-O" | "-g" | "-v") || PLAIN.iter().any(|name| joined(name)))
        };
        if !harmless {
            bold.push(shown);
        }
    }
    bold
}

fn is_harmless(option: &str) -> bool {
    let name = option.split('=').next().unwrap_or_default().trim().replace('_', "-");
    CODEGEN.contains(&name.as_str())
}

/// The keys of the profile that do more than change code, as far as the sources do not say the same.
pub fn bold_profile_keys(recorded: &BTreeMap<String, Value>, planned: &BTreeMap<String, Value>) -> Vec<String> {
    let bold = recorded.iter().filter(|(key, value)| !is_harmless_key(key) && planned.get(*key) != Some(*value));
    bold.map(|(key, value)| format!("{key}={value}")).collect()
}

/// A variable's underscores part tables as well as words, so that of `build-override-opt-level` only the end counts: no key
/// that does more ends like one of these.
fn is_harmless_key(key: &str) -> bool {
    let last = key.rsplit('.').next().unwrap_or_default().trim();
    PROFILE.iter().filter_map(|known| last.strip_suffix(known)).any(|before| before.is_empty() || before.ends_with('-'))
}

/// The arguments of cargo that an image must not ask for; with `hermetic`, those that it must not ask for even there.
pub fn bold_cargo_args(arguments: &[String], hermetic: bool) -> Vec<String> {
    let mut bold = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().map(String::as_str).unwrap_or_default();
        let (shown, harmless) = if argument == "--config" {
            let value = value();
            (format!("{argument} {value}"), !value.starts_with('-') && is_harmless_config(value, hermetic))
        } else if let Some(value) = argument.strip_prefix("--config=") {
            (argument.clone(), is_harmless_config(value, hermetic))
        } else if argument == "-Z" {
            let value = value();
            (format!("{argument} {value}"), !value.starts_with('-'))
        } else {
            let name = argument.split('=').next().unwrap_or_default();
            let talks = argument.strip_prefix("-v").is_some_and(|more| more.bytes().all(|byte| byte == b'v'));
            (argument.clone(), argument.starts_with("-Z") || talks || CARGO.contains(&name))
        };
        if !harmless {
            bold.push(shown);
        }
    }
    bold
}

/// A key decides by its first word, below `profile` by its last.
fn is_harmless_config(argument: &str, hermetic: bool) -> bool {
    let Some((key, _)) = argument.split_once('=') else {
        return Path::new(argument).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    };
    match key.trim().split('.').next().unwrap_or_default() {
        "profile" => hermetic || is_harmless_key(key),
        "build" | "target" => hermetic && argument.parse().is_ok_and(|table| hermetic::programs(&table).is_empty()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn flags_that_only_change_code_may_be_asked_for() {
        for flags in [
            "-Copt-level=1 -C target-cpu=native --codegen=panic=abort -Ctarget-feature=+crt-static -C target_cpu=x",
            "--cfg other --cfg=other -Dwarnings -A unused --cap-lints=allow -O -g",
        ] {
            assert_eq!(bold_rustflags(&words(flags)), [] as [String; 0], "{flags}");
        }
        assert!(
            bold_cargo_args(&words("-Zbuild-std=std -Z unstable-options --config profile.dev.lto=true -vv"), false).is_empty()
        );
        assert!(bold_cargo_args(&words("--config extra.toml --config=extra.toml --timings=json"), false).is_empty());
    }

    #[test]
    fn whatever_could_start_a_program_is_told() {
        for flag in [
            "-Clinker=sh",
            "-C link-arg=-wrapper",
            "--codegen=link-args=-fplugin=x",
            "-Cllvm-args=-load=x",
            "-Zcodegen-backend=x",
            "-L native=x",
            "--extern",
            "@file",
            "-Cprofile-use=x",
            "-C link_arg=x",
            "--codegen linker=sh",
            "--cfgs",
            "--cfg=x\u{1f}-Clinker=sh",
            "-C panic=abort\u{1f}-Clinker=sh",
            "--cfg -Clinker=x",
        ] {
            assert!(!bold_rustflags(&words(flag)).is_empty(), "{flag}");
        }
        // The value of a harmless flag hides no other.
        assert_eq!(bold_rustflags(&words("--cfg x -Clinker=sh")), ["-Clinker=sh"]);
    }

    #[test]
    fn keys_of_a_profile_that_do_more_are_told_unless_the_sources_have_them() {
        let keys = |text: &str| serde_json::from_str::<BTreeMap<String, Value>>(text).unwrap();
        let asked = keys(r#"{"build-override.opt-level": 1, "codegen-backend": "x.so", "rustflags": ["-Clinker=sh"]}"#);
        let told = [r#"codegen-backend="x.so""#, r#"rustflags=["-Clinker=sh"]"#];
        assert_eq!(bold_profile_keys(&asked, &keys("{}")), told);
        assert!(bold_profile_keys(&asked, &asked).is_empty());
    }

    #[test]
    fn cargos_own_settings_are_never_asked_for() {
        for argument in [
            "--config=registries.own.credential-provider=['sh']",
            "--config source.crates-io.replace-with='own'",
            "--config patch.crates-io.itoa.git='https://plugins.example'",
            "--config env.PATH='.'",
            "--config 'build'.rustc='sh'",
            "--config net.git-fetch-with-cli=true",
            "--manifest-path=elsewhere/Cargo.toml",
            "-Celsewhere",
            "-vCelsewhere",
            "-Z --config=registries.own.credential-provider=['sh']",
            "--config --config=registries.own.credential-provider=['sh']",
            "--config=/somewhere/config.toml",
            "--config ../config.toml",
            "--config=build.rustc='sh'",
            "--config=build.rustc-wrapper='sh'",
            "--config target.x.linker='sh'",
            "--config target.x={linker='sh'}",
            r#"--config=target.x."link\u0065r"='sh'"#,
            "--config build.rustflags=['-Clinker=sh']",
        ] {
            assert!(!bold_cargo_args(&words(argument), true).is_empty(), "{argument}");
        }
        for argument in [
            "--config=build.jobs=1",
            "--config target.x.rustflags=['-Clink-arg=-wrapper']",
            "--config profile.dev={rustflags=[]}",
            r#"--config=profile.release."rustfla\u0067s"=['-Clinker=sh']"#,
            "--config=profile.release.codegen-backend='x.so'",
        ] {
            assert!(!bold_cargo_args(&words(argument), false).is_empty(), "{argument}");
            assert!(bold_cargo_args(&words(argument), true).is_empty(), "{argument}");
        }
    }
}
