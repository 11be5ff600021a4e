//! `deny.toml`: what may become part of the tool, and that it refuses what may not.

use std::path::Path;
use std::process::Command;

use crate::support::program::{Ran, ran};
use crate::support::project::Project;
use crate::support::tools::{require, skip, stdout};

const DATABASE: &str = "https://github.com/RustSec/advisory-db";

/// cargo-deny on the package in a directory, by our rules; `None` where there is none.
#[expect(clippy::disallowed_methods, reason = "tests run in the developer's environment")]
fn deny(package: &Path, arguments: &[&str]) -> Option<Ran> {
    let mut command = Command::new(require("cargo-deny")?);
    command.current_dir(package).env("CARGO", std::env::var_os("CARGO").unwrap());
    command.args(["--config", concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml"), "--color", "never"]);
    Some(ran(command.args(arguments)))
}

/// A package with another of this name, licence and place among its dependencies.
fn depending_on(name: &str, licence: &str, place: &str) -> Project {
    let manifest = |name: &str, licence: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\nlicense = \"{licence}\"\n")
    };
    let project = Project::new(&[("src/main.rs", "fn main() {}\n"), ("other/src/lib.rs", "")]);
    project.write("other/Cargo.toml", &manifest(name, licence));
    let depends = format!("[workspace]\n[dependencies.{name}]\nversion = \"0.1\"\n{place}\n");
    project.write("Cargo.toml", &(manifest("p", "MIT") + &depends));
    project
}

#[test]
#[expect(clippy::disallowed_methods, reason = "tests run in the developer's environment")]
fn the_library_of_images_needs_no_command_line_no_host_and_no_build_tool() {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap());
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["tree", "-p", "plugin-oci", "--edges", "normal", "--prefix", "none"]);
    let tree = stdout(command.args(["--locked", "--offline", "--format", "{lib}"]));
    for unwanted in ["clap", "tonic", "tokio", "landlock", "wasmparser", "cargo_metadata", "indicatif"] {
        assert!(tree.lines().all(|name| name.trim() != unwanted), "{unwanted}: {tree}");
    }
    assert!(tree.lines().any(|name| name.trim() == "oci_spec"), "{tree}");
}

/// What the server is made of costs those nothing who only build and push.
#[test]
#[expect(clippy::disallowed_methods, reason = "tests run in the developer's environment")]
fn the_tool_is_built_without_the_server() {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap());
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["tree", "-p", "cargo-plugin-build", "--edges", "normal,build"]);
    let tree = stdout(command.args(["--prefix", "none", "--locked", "--offline", "--format", "{lib}"]));
    for unwanted in ["axum", "object_store", "hyper_rustls", "plugin_registry"] {
        assert!(tree.lines().all(|name| name.trim() != unwanted), "{unwanted}: {tree}");
    }
}

#[test]
#[ignore = "needs cargo-deny"]
fn every_dependency_has_a_licence_and_a_source_that_let_us_ship_it() {
    let arguments = ["--locked", "check", "licenses", "bans", "sources"];
    let Some(told) = deny(Path::new(env!("CARGO_MANIFEST_DIR")), &arguments) else { return };
    assert_eq!(told.code, 0, "{}{}", told.stdout, told.stderr);
}

#[test]
#[ignore = "needs cargo-deny"]
fn what_needs_openssl_or_another_build_system_is_refused() {
    for name in ["openssl-sys", "native-tls", "aws-lc-sys", "cmake", "pkg-config"] {
        let Some(told) = deny(&depending_on(name, "MIT", "path = \"other\"").root, &["check", "bans"]) else { return };
        assert!(told.code != 0 && told.stderr.contains("error[banned]"), "{name}: {}", told.stderr);
    }
}

#[test]
#[ignore = "needs cargo-deny"]
fn a_licence_that_nobody_looked_at_is_refused() {
    let Some(told) = deny(&depending_on("other", "GPL-3.0-only", "path = \"other\"").root, &["check", "licenses"]) else {
        return;
    };
    assert!(told.code != 0 && told.stderr.contains("error[rejected]"), "{}", told.stderr);
}

#[test]
#[ignore = "needs cargo-deny"]
fn a_dependency_from_a_repository_is_refused() {
    let project = depending_on("other", "MIT", "");
    let other = project.root.join("other");
    for words in [
        &["init", "--quiet"][..],
        &["add", "."],
        &["-c", "user.name=n", "-c", "user.email=n@example.org", "commit", "--quiet", "--message", "all"],
    ] {
        stdout(Command::new("git").args(words).current_dir(&other));
    }
    let manifest = std::fs::read_to_string(project.root.join("Cargo.toml")).unwrap();
    project.write("Cargo.toml", &format!("{manifest}git = \"file://{}\"\n", other.display()));
    let Some(told) = deny(&project.root, &["check", "sources"]) else { return };
    assert!(told.code != 0 && told.stderr.contains("error[source-not-allowed]"), "{}", told.stderr);
}

/// The database is a repository, which not every machine reaches.
#[test]
#[ignore = "needs cargo-deny"]
fn no_dependency_has_a_known_fault() {
    let mut reached = Command::new("timeout");
    reached.args(["20", "git", "ls-remote", "--quiet", DATABASE, "HEAD"]).env("GIT_TERMINAL_PROMPT", "0");
    if !reached.output().is_ok_and(|output| output.status.success()) {
        return skip("the database of advisories is out of reach");
    }
    let Some(told) = deny(Path::new(env!("CARGO_MANIFEST_DIR")), &["--locked", "check", "advisories"]) else { return };
    assert_eq!(told.code, 0, "{}{}", told.stdout, told.stderr);
}
