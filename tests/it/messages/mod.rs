//! What a user reads of every error: message, causes and the way out, rendered as the program does.
//!
//! Each file makes every variant of the errors of one room. A variant that none of them makes, or a text that changes, is told.

mod build;
mod hosts;
mod images;
mod oci;

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use crate::rendered::rendered;
use plugin_oci::failure::Error;

/// Variants that only the program itself makes, and where they are met.
const ELSEWHERE: [(&str, &str); 10] = [
    ("TransportError::TooSlow", "registry/evil.rs, a registry that trickles"),
    ("TarError::Malformed", "becomes an ExtractError"),
    ("TarError::Truncated", "becomes an ExtractError"),
    ("TarError::Kind", "becomes an ExtractError"),
    ("TarError::Limit", "becomes an ExtractError"),
    ("RemoteError", "has no text of its own"),
    ("ExecutionError::Malformed", "router.rs, a configuration that is none"),
    ("ScanError::Wrong", "the cause of ExecutionError::Malformed"),
    ("ScanError::TooLong", "the cause of ExecutionError::Malformed"),
    ("ScanError::Read", "the cause of ExecutionError::Malformed"),
];

/// Holds the texts of some errors, each with its exit code, against a snapshot.
fn hold(name: &str, errors: Vec<(&str, Error)>) {
    let show = |(variant, error): (&str, Error)| {
        let text =
            rendered(&error).map_or_else(|| "(nothing)".to_owned(), |text| anstream::adapter::strip_str(&text).to_string());
        format!("## {variant}, exit code {}\n{text}\n", error.class().exit_code())
    };
    let texts: Vec<String> = errors.into_iter().map(show).collect();
    crate::snapshots::hold(name, &texts.join("\n"));
}

/// Pairs of an error's variant as it is written and the error.
macro_rules! errors {
    ($($kind:ident :: $variant:ident $({ $($fields:tt)* })? $(( $($values:tt)* ))?),* $(,)?) => {
        vec![$((
            concat!(stringify!($kind), "::", stringify!($variant)),
            plugin_oci::failure::Error::from($kind::$variant $({ $($fields)* })? $(( $($values)* ))?),
        )),*]
    };
}
use errors;

fn s(text: &str) -> String {
    text.to_owned()
}

fn list(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| s(text)).collect()
}

fn path(text: &str) -> PathBuf {
    PathBuf::from(text)
}

fn refused() -> io::Error {
    io::Error::from(io::ErrorKind::PermissionDenied)
}

fn status() -> ExitStatus {
    ExitStatus::from_raw(101 << 8)
}

#[test]
fn every_variant_of_every_error_is_here() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let texts = |below: &str| -> Vec<String> {
        let files =
            walkdir::WalkDir::new(root.join(below)).sort_by_file_name().into_iter().map(|entry| entry.unwrap().into_path());
        files
            .filter(|path| path.extension().is_some_and(|end| end == "rs"))
            .map(|path| fs::read_to_string(path).unwrap())
            .collect()
    };
    let here = texts("tests/it/messages").concat();
    let mut absent = Vec::new();
    for text in [texts("src"), texts("crates/oci/src")].concat() {
        for item in syn::parse_file(&text).unwrap().items {
            let syn::Item::Enum(item) = item else { continue };
            let derives = |attribute: &syn::Attribute| match &attribute.meta {
                syn::Meta::List(list) => list.path.is_ident("derive") && list.tokens.to_string().contains("Error"),
                _ => false,
            };
            if item.attrs.iter().any(derives) {
                let names = item.variants.iter().map(|variant| format!("{}::{}", item.ident, variant.ident));
                absent.extend(names.filter(|name| {
                    let made = here.split(name.as_str()).skip(1).any(|rest| !rest.starts_with(char::is_alphanumeric));
                    !made && !ELSEWHERE.iter().any(|(elsewhere, _)| elsewhere == name)
                }));
            }
        }
    }
    assert!(absent.is_empty(), "no test says what a user reads of {}", absent.join(", "));
}
