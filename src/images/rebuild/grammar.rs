//! What an image may ask of the machine that checks it.
//!
//! Threat: whoever made the image wrote its request, and whoever checks it runs cargo with that. The sources are the
//! checker's own; the flags are not. So a request is data: what this program itself writes when nothing but the code is
//! to change, and nothing else. Every word and every value has a shape here; what has none is not repeated.
//!
//! | part | may be asked |
//! |---|---|
//! | package, product, features, profile, target | names: letters, digits and a few signs, no separator of paths, no hyphen in front |
//! | profile keys | those of [`PROFILE`], with values of their type |
//! | rustflags | `-C` with an option of [`CODEGEN`] and a value of its type; lints; `--cfg`, `--check-cfg`; `-O`, `-g` |
//! | cargo's arguments | `--config` of a profile's key or of rustflags as above; `-Z` of [`UNSTABLE`]; [`PLAIN`] |
//!
//! No word names a file, a directory, a program or an address, and none begins with `@`, which rustc expands anywhere. Words
//! are judged as those who get them will read them.
//!
//! What the sources plan by themselves, or who checks gives on the command line or in the environment, the image does not
//! ask for, and it is not looked at here.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::build::toolchain::config::flatten;

/// The longest word, in bytes.
const LONGEST: usize = 512;

/// The shape of a value.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// A whole number.
    Number,
    /// A switch as rustc reads it, or a TOML boolean.
    Switch,
    /// A switch, or one of these words.
    SwitchOr(&'static [&'static str]),
    /// A number or one of these words.
    NumberOr(&'static [&'static str]),
    /// A number, a switch, or one of these words.
    Any(&'static [&'static str]),
    /// One of these words.
    Word(&'static [&'static str]),
    /// Names, with signs in front and commas between: `+avx2,-sse3`, `x86-64-v3`.
    Names,
}

/// Options of `-C`.
const CODEGEN: [(&str, Shape); 28] = [
    ("code-model", Shape::Word(&["tiny", "small", "kernel", "medium", "large"])),
    ("codegen-units", Shape::Number),
    ("control-flow-guard", Shape::SwitchOr(&["checks", "nochecks"])),
    ("debug-assertions", Shape::Switch),
    ("debuginfo", Shape::NumberOr(DEBUG)),
    ("embed-bitcode", Shape::Switch),
    ("force-frame-pointers", Shape::SwitchOr(&["always", "non-leaf"])),
    ("force-unwind-tables", Shape::Switch),
    ("instrument-coverage", Shape::Switch),
    ("jump-tables", Shape::Switch),
    ("link-dead-code", Shape::Switch),
    ("lto", Shape::SwitchOr(LTO)),
    ("no-prepopulate-passes", Shape::Switch),
    ("no-redzone", Shape::Switch),
    ("no-vectorize-loops", Shape::Switch),
    ("no-vectorize-slp", Shape::Switch),
    ("opt-level", Shape::NumberOr(&["s", "z"])),
    ("overflow-checks", Shape::Switch),
    ("panic", Shape::Word(PANIC)),
    ("prefer-dynamic", Shape::Switch),
    ("relocation-model", Shape::Word(&["static", "pic", "pie", "dynamic-no-pic", "ropi", "rwpi", "ropi-rwpi", "default"])),
    ("relro-level", Shape::Word(&["full", "partial", "off"])),
    ("soft-float", Shape::Switch),
    ("split-debuginfo", Shape::Word(SPLIT)),
    ("strip", Shape::Word(&["none", "debuginfo", "symbols"])),
    ("symbol-mangling-version", Shape::Word(&["legacy", "v0", "hashed"])),
    ("target-cpu", Shape::Names),
    ("target-feature", Shape::Names),
];

/// Keys of a profile, in whichever of its tables.
const PROFILE: [(&str, Shape); 13] = [
    ("codegen-units", Shape::Number),
    ("debug", Shape::Any(DEBUG)),
    ("debug-assertions", Shape::Switch),
    ("incremental", Shape::Switch),
    ("inherits", Shape::Names),
    ("lto", Shape::SwitchOr(LTO)),
    ("opt-level", Shape::NumberOr(&["s", "z"])),
    ("overflow-checks", Shape::Switch),
    ("panic", Shape::Word(PANIC)),
    ("rpath", Shape::Switch),
    ("split-debuginfo", Shape::Word(SPLIT)),
    ("strip", Shape::SwitchOr(&["none", "debuginfo", "symbols"])),
    ("trim-paths", Shape::SwitchOr(&["none", "macro", "diagnostics", "object", "all"])),
];

const DEBUG: &[&str] = &["none", "line-directives-only", "line-tables-only", "limited", "full"];
const LTO: &[&str] = &["off", "thin", "fat"];
const PANIC: &[&str] = &["unwind", "abort", "immediate-abort"];
const SPLIT: &[&str] = &["off", "packed", "unpacked"];

/// Options of cargo's `-Z`, and the shape of a value if they take one.
const UNSTABLE: [(&str, Option<Shape>); 4] = [
    ("build-std", Some(Shape::Names)),
    ("build-std-features", Some(Shape::Names)),
    ("trim-paths", None),
    ("unstable-options", None),
];

/// Arguments of `cargo build` that change nothing but what it tells and when it gives up.
const PLAIN: [&str; 5] = ["--keep-going", "--ignore-rust-version", "--future-incompat-report", "--timings", "--verbose"];

/// Lints, by both their spellings.
const LINTS: [(&str, &str); 4] = [("--allow", "-A"), ("--warn", "-W"), ("--deny", "-D"), ("--forbid", "-F")];

impl Shape {
    fn fits(self, text: &str) -> bool {
        let number = || !text.is_empty() && text.len() < 10 && text.bytes().all(|byte| byte.is_ascii_digit());
        let switch = || ["y", "yes", "on", "true", "n", "no", "off", "false"].contains(&text);
        match self {
            Self::Number => number(),
            Self::Switch => switch(),
            Self::SwitchOr(words) => switch() || words.contains(&text),
            Self::NumberOr(words) => number() || words.contains(&text),
            Self::Any(words) => number() || switch() || words.contains(&text),
            Self::Word(words) => words.contains(&text),
            Self::Names => {
                let plain = |name: &str| is_name(name.strip_prefix(['+', '-']).unwrap_or(name), "");
                text.len() <= LONGEST && text.split(',').all(plain)
            }
        }
    }

    /// The same of a value that has a type already.
    fn fits_value(self, value: &Value) -> bool {
        match value {
            Value::Bool(switch) => self.fits(if *switch { "true" } else { "false" }),
            Value::Number(number) => self.fits(&number.to_string()),
            Value::String(text) => self.fits(text),
            _ => false,
        }
    }
}

/// Whether a text is a name: a letter, digit or underscore in front, then also `-`, `.` and `more`; no `..`.
pub fn is_name(text: &str, more: &str) -> bool {
    let starts = text.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let plain = |c: char| c.is_alphanumeric() || "_-.".contains(c) || more.contains(c);
    starts && text.len() <= LONGEST && text.chars().all(plain) && !text.contains("..")
}

/// The rustflags that are not repeated, as they stand.
pub fn refused_rustflags(flags: &[String]) -> Vec<String> {
    let mut refused = Vec::new();
    let mut flags = flags.iter().map(String::as_str);
    while let Some(flag) = flags.next() {
        // Rustc's options take their value from the next word where it is not joined.
        let apart = ["-C", "--codegen", "--cfg", "--check-cfg", "--cap-lints"].contains(&flag)
            || LINTS.iter().any(|(long, short)| [*long, *short].contains(&flag));
        let value = if apart { flags.next() } else { None };
        let (name, value) = match value {
            Some(value) => (flag, value),
            None => joined(flag),
        };
        if !is_rustflag(name, value) {
            refused.push(if apart { format!("{flag} {value}") } else { flag.to_owned() });
        }
    }
    refused
}

/// Parts `-Copt-level=3`, `--codegen=opt-level=3`, `-Dwarnings`.
fn joined(flag: &str) -> (&str, &str) {
    if flag.starts_with("--") {
        flag.split_once('=').unwrap_or((flag, ""))
    } else {
        flag.split_at_checked(2).unwrap_or((flag, ""))
    }
}

fn is_rustflag(name: &str, value: &str) -> bool {
    match name {
        "-O" | "-g" => value.is_empty(),
        "-C" | "--codegen" => {
            let (option, value) = value.split_once('=').map_or((value, None), |(option, value)| (option, Some(value)));
            let known = CODEGEN.iter().find(|(known, _)| *known == option.replace('_', "-"));
            known.is_some_and(|(_, shape)| match value {
                Some(value) => shape.fits(value),
                None => matches!(shape, Shape::Switch | Shape::SwitchOr(_)),
            })
        }
        "--cfg" => {
            let (name, value) = value.split_once('=').unwrap_or((value, "\"\""));
            let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            is_name(name, "") && quoted.is_some_and(|text| text.is_empty() || is_name(text, " +"))
        }
        "--check-cfg" => {
            let inner = value.strip_prefix("cfg(").and_then(|value| value.strip_suffix(')'));
            inner
                .is_some_and(|text| text.len() <= LONGEST && text.chars().all(|c| c.is_alphanumeric() || "_-.,()\" ".contains(c)))
        }
        "--cap-lints" => ["allow", "warn", "deny", "forbid"].contains(&value),
        _ => LINTS.iter().any(|(long, short)| [*long, *short].contains(&name)) && is_name(value, ":"),
    }
}

/// The keys of a profile that are not repeated. A variable's underscores part tables as well as words, so that of
/// `build-override-opt-level` only the end counts; a dotted key no variable can set.
pub fn refused_profile_keys<'a>(keys: impl IntoIterator<Item = (&'a String, &'a Value)>) -> Vec<String> {
    let fits = |key: &str, value: &Value| !key.contains('.') && is_name(key, "") && is_profile_key(key, value);
    let refused = keys.into_iter().filter(|(key, value)| !fits(key, value));
    refused.map(|(key, value)| format!("{key}={value}")).collect()
}

fn is_profile_key(key: &str, value: &Value) -> bool {
    let ends = |known: &str| key.strip_suffix(known).is_some_and(|before| before.is_empty() || before.ends_with('-'));
    // `debug-assertions` ends no other way than `assertions`; of two that end alike the longer is meant.
    let known = PROFILE.iter().filter(|(known, _)| ends(known)).max_by_key(|(known, _)| known.len());
    known.is_some_and(|(_, shape)| shape.fits_value(value))
}

/// The arguments of cargo that are not repeated, as they stand.
pub fn refused_cargo_args(arguments: &[String]) -> Vec<String> {
    let mut refused = Vec::new();
    let mut arguments = arguments.iter().map(String::as_str);
    while let Some(argument) = arguments.next() {
        let value = if ["--config", "-Z"].contains(&argument) { arguments.next() } else { None };
        let (name, text) = match value {
            Some(value) => (argument, value),
            None => joined(argument),
        };
        let fits = match name {
            "--config" => is_config(text),
            "-Z" => {
                let (option, value) = text.split_once('=').map_or((text, None), |(option, value)| (option, Some(value)));
                UNSTABLE.iter().any(|(known, shape)| {
                    *known == option && value.is_none_or(|value| shape.is_some_and(|shape| shape.fits(value)))
                })
            }
            "--timings" => text.is_empty() || Shape::Names.fits(text),
            "-v" => text.bytes().all(|byte| byte == b'v'),
            _ => PLAIN.contains(&argument),
        };
        if !fits {
            refused.push(value.map_or_else(|| argument.to_owned(), |value| format!("{argument} {value}")));
        }
    }
    refused
}

/// `KEY=VALUE` in TOML, of one key.
fn is_config(text: &str) -> bool {
    if text.len() > LONGEST || text.contains(['\n', '\r', '#', '/', '\\']) {
        return false;
    }
    let Ok(table) = text.parse::<toml::Table>() else { return false };
    let mut leaves = BTreeMap::new();
    flatten("", &table, &mut leaves);
    let mut leaves = leaves.iter();
    let (Some((key, value)), None) = (leaves.next(), leaves.next()) else { return false };
    let words: Vec<&str> = key.split('.').collect();
    match words.as_slice() {
        ["profile", name, tables @ .., last] => {
            let in_table = match tables {
                [] | ["build-override"] => true,
                ["package", package] => *package == "*" || is_name(package, ""),
                _ => false,
            };
            is_name(name, "") && in_table && PROFILE.iter().any(|(known, shape)| known == last && shape.fits_value(value))
        }
        ["build", "rustflags"] | ["target", _, "rustflags"] => {
            let flags: Option<Vec<String>> = match value {
                Value::String(flags) => Some(flags.split_ascii_whitespace().map(str::to_owned).collect()),
                Value::Array(flags) => flags.iter().map(|flag| flag.as_str().map(str::to_owned)).collect(),
                _ => None,
            };
            flags.is_some_and(|flags| refused_rustflags(&flags).is_empty())
        }
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
    fn flags_that_only_change_code_are_repeated() {
        for flags in [
            "-Copt-level=1 -C target-cpu=native --codegen=panic=abort -Ctarget-feature=+crt-static,-sse3 -C target_cpu=x86-64-v3",
            "--cfg other --cfg=other --cfg=kind=\"x\" -Dwarnings -A unused --cap-lints=allow -O -g -Cdebuginfo=line-tables-only",
            "--check-cfg cfg(tokio_unstable) --deny=clippy::all -Cforce-frame-pointers -Clto=thin",
        ] {
            assert_eq!(refused_rustflags(&words(flags)), [] as [String; 0], "{flags}");
        }
        for arguments in [
            "-Zbuild-std=std,panic_abort -Z unstable-options --config profile.dev.lto=true -vv -v --timings=json",
            "--config=profile.release.package.\"*\".opt-level=\"s\" --config build.rustflags=['-Copt-level=1']",
            "--config target.x86_64-unknown-linux-gnu.rustflags='-Ctarget-cpu=native' --keep-going",
        ] {
            assert_eq!(refused_cargo_args(&words(arguments)), [] as [String; 0], "{arguments}");
        }
    }

    #[test]
    fn whatever_names_a_file_or_is_not_known_is_not_repeated() {
        for flag in [
            "-Clinker=sh",
            "-C link-arg=-wrapper",
            "--codegen=link-args=-fplugin=x",
            "-Cllvm-args=-load=x",
            "-Zcodegen-backend=x",
            "-L native=x",
            "-lx",
            "--extern",
            "@file",
            "-Cprofile-use=x",
            "--codegen linker=sh",
            "--cfgs",
            "--cfg=x\u{1f}-Clinker=sh",
            "-C panic=abort\u{1f}-Clinker=sh",
            "--cfg -Clinker=x",
            "--cfg @file",
            "-D @file",
            "--print=cfg=/x",
            "--print cfg",
            "--emit=link=x",
            "-Cincremental=x",
            "-Csave-temps",
            "-Ctarget-cpu=/x",
            "-Ctarget-cpu=@x",
            "-Cmetadata=x",
            "--cfg=",
            "--cfg x=\"../x\"",
            "-C",
            "-",
            "",
            "é",
            "src/main.rs",
        ] {
            assert!(!refused_rustflags(&words(flag)).is_empty(), "{flag}");
        }
        // The value of a flag that is repeated hides no other.
        assert_eq!(refused_rustflags(&words("--cfg x -Clinker=sh")), ["-Clinker=sh"]);
        for argument in [
            "--config=registries.own.credential-provider=['sh']",
            "--config source.crates-io.replace-with='own'",
            "--config env.PATH='.'",
            "--config 'build'.rustc='sh'",
            "--config net.git-fetch-with-cli=true",
            "--manifest-path=elsewhere/Cargo.toml",
            "-vCelsewhere",
            "-Z --config=registries.own.credential-provider=['sh']",
            "--config --config=registries.own.credential-provider=['sh']",
            "--config=/somewhere/config.toml",
            "--config config.toml",
            "--config",
            "--config=build.rustc-wrapper='sh'",
            "--config target.x={linker='sh'}",
            r#"--config=target.x."link\u0065r"='sh'"#,
            "--config build.rustflags=['-Clinker=sh']",
            "--config build.rustflags='@file'",
            "--config profile.dev={rustflags=[]}",
            "--config=profile.release.codegen-backend='x.so'",
            "--config=profile.release.opt-level=1\nbuild.rustc='sh'",
            "--config=include='x'",
            "-Zunstable-options=x",
            "-Zscript",
            "-",
            "--",
            "",
        ] {
            let argument: Vec<String> = argument.split(' ').map(str::to_owned).collect();
            assert!(!refused_cargo_args(&argument).is_empty(), "{argument:?}");
        }
    }

    #[test]
    fn keys_of_a_profile_have_types() {
        let refused = |text: &str| refused_profile_keys(&serde_json::from_str::<BTreeMap<String, Value>>(text).unwrap());
        let known = r#"{"build-override-opt-level":1,"debug":"line-tables-only","lto":"fat","panic":"abort","strip":true,"small-opt-level":3}"#;
        assert_eq!(refused(known), [] as [String; 0]);
        for unknown in [
            r#"{"codegen-backend":"x.so"}"#,
            r#"{"rustflags":["-Clinker=sh"]}"#,
            r#"{"opt-level=1\nX":1}"#,
            r#"{"opt-level":"1\n"}"#,
            r#"{"lto":"x.so"}"#,
            r#"{"debug":{"x":1}}"#,
            r#"{"package.x.opt-level":1}"#,
            r#"{"\u0000opt-level":1}"#,
            r#"{"x=y-opt-level":1}"#,
        ] {
            assert_eq!(refused(unknown).len(), 1, "{unknown}");
        }
    }
}
