//! Foreign programs that tests compare with.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// The program called `name` on `PATH`. When there is none: on a developer's machine, says so, and the test is to
/// return; with `CI=true`, fails.
#[expect(clippy::disallowed_methods, reason = "tests run in the developer's environment")]
pub fn require(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file());
    if found.is_none() {
        assert_ne!(env::var("CI").as_deref(), Ok("true"), "`{name}` must be on PATH when CI=true");
        eprintln!("skipped: `{name}` is not on PATH");
    }
    found
}

/// Runs a command that must succeed; its stdout.
pub fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a file of another package is there; with `CI=true` it must be.
#[expect(clippy::disallowed_methods, reason = "tests run in the developer's environment")]
pub fn require_file(path: &str) -> bool {
    let found = std::path::Path::new(path).exists();
    if !found {
        assert_ne!(env::var("CI").as_deref(), Ok("true"), "`{path}` must be there when CI=true");
        eprintln!("skipped: `{path}` is not there");
    }
    found
}
