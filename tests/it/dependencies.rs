//! The audit of dependencies that needs no network: licences, sources, and crates that must not come in.

use cargo_metadata::MetadataCommand;

/// What may be linked into the tool.
const LICENSES: [&str; 15] = [
    "MIT-0",
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MPL-2.0",
    "LGPL-3.0-or-later",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "CDLA-Permissive-2.0",
];

/// Each would need OpenSSL, or a build tool beyond a C compiler.
const UNWANTED: [&str; 4] = ["openssl-sys", "native-tls", "cmake", "aws-lc-sys"];

fn metadata() -> cargo_metadata::Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .other_options(vec!["--locked".to_owned()])
        .exec()
        .unwrap()
}

#[test]
fn every_dependency_has_a_licence_that_lets_us_ship_it() {
    let mut broken = Vec::new();
    for package in metadata().packages {
        let text = package.license.clone().unwrap_or_default();
        let text = text.replace(['(', ')'], "").replace('/', " OR ");
        let fits = text.split(" OR ").any(|choice| choice.split(" AND ").all(|one| LICENSES.contains(&one.trim())));
        if !fits {
            broken.push(format!("{} {}: `{text}`", package.name, package.version));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_dependency_comes_from_the_registry() {
    for package in metadata().packages {
        let from_registry = package.source.as_ref().is_none_or(|source| source.repr.starts_with("registry+"));
        assert!(from_registry, "{} comes from {:?}", package.name, package.source);
    }
}

#[test]
fn nothing_needs_openssl_or_another_build_system() {
    let target = "x86_64-unknown-linux-gnu";
    let output = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges", "normal,build", "--prefix", "none", "--format", "{p}", "--target", target])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success());
    let tree = String::from_utf8(output.stdout).unwrap();
    for unwanted in UNWANTED {
        let found = tree.lines().find(|line| line.split_whitespace().next() == Some(unwanted));
        assert_eq!(found, None, "{unwanted} came in");
    }
}
