//! Foreign programs that tests compare with, and what a machine must be able to do for them.
//!
//! Tests have two tiers. `cargo test` runs those that need what every Rust machine has. A test of the second, which needs
//! another program, rights of the system or much time, says so: `#[ignore = "needs skopeo"]`. What it needs it asks here,
//! and is told to return where that lacks; each such test is counted as skipped (`.ci/test` names the file where they are
//! kept), and with `CI=true` a missing program fails.

use std::env;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

/// The program called `name` on `PATH`; where there is none, the test is to return.
pub fn require(name: &str) -> Option<PathBuf> {
    let found = on_path(name);
    if found.is_none() {
        missing(&format!("`{name}` is not on PATH"));
    }
    found
}

/// The same of a program that not every system can have, CI's neither.
pub fn optional(name: &str) -> Option<PathBuf> {
    let found = on_path(name);
    if found.is_none() {
        skip(&format!("`{name}` is not on PATH"));
    }
    found
}

#[expect(clippy::disallowed_methods, reason = "tests run in the developer's environment")]
fn on_path(name: &str) -> Option<PathBuf> {
    of_second_tier(name);
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Whether a file of another package is there; where it is not, the test is to return.
pub fn require_file(path: &str) -> bool {
    of_second_tier(path);
    let found = std::path::Path::new(path).exists();
    if !found {
        missing(&format!("`{path}` is not there"));
    }
    found
}

/// A test that asks for more than every Rust machine has, and is not ignored, would be skipped on most of them.
fn of_second_tier(what: &str) {
    let all = env::args().any(|argument| argument == "--include-ignored" || argument == "--ignored");
    assert!(all, "a test that needs `{what}` is of the second tier: mark it `#[ignore = \"needs ..\"]`");
}

/// Without the installed packages a run of CI is worth nothing.
#[expect(clippy::disallowed_methods, reason = "tests run in the developer's environment")]
pub fn missing(reason: &str) {
    assert_ne!(env::var("CI").as_deref(), Ok("true"), "{reason}, and must be when CI=true");
    skip(reason);
}

/// Counts the test at hand as skipped: the machine cannot do what all or a part of it needs.
#[expect(clippy::disallowed_methods, reason = "tests run in the developer's environment")]
pub fn skip(reason: &str) {
    of_second_tier(reason);
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("{test}: {}\n", reason.trim().replace('\n', " "));
    eprint!("skipped: {line}");
    if let Some(file) = env::var_os("PLUGIN_BUILD_SKIPPED") {
        OpenOptions::new().append(true).create(true).open(file).unwrap().write_all(line.as_bytes()).unwrap();
    }
}

/// Runs a command that must succeed; its stdout.
pub fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
