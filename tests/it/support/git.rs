//! Packages in git repositories, made where a test wants them.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::tools::stdout;

/// A package in a git repository of its own; its URL.
pub fn git_dependency(dir: &Path) -> String {
    fs::create_dir_all(dir.join("src")).unwrap();
    fs::write(dir.join("Cargo.toml"), "[package]\nname = 'orbit'\nversion = '0.2.0'\nedition = '2024'\n").unwrap();
    let code = "#[inline(never)]\npub fn place(at: usize) -> &'static str {\n    [file!(), concat!(file!(), \"!\")][at]\n}\n";
    fs::write(dir.join("src/lib.rs"), code).unwrap();
    commit(dir, "Orbit");
    format!("file://{}", dir.display())
}

/// Makes a repository of a directory, where there is none, and commits everything in it.
pub fn commit(dir: &Path, message: &str) {
    git(dir, &["init", "--quiet", "--initial-branch=main"]);
    git(dir, &["add", "."]);
    git(dir, &["commit", "--quiet", "--allow-empty", "--message", message]);
}

/// Runs git with nothing of the developer's configuration.
pub fn git(dir: &Path, args: &[&str]) -> String {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=Ana Example", "-c", "user.email=ana@plugins.example", "-c", "protocol.file.allow=always"]);
    git.args(args).current_dir(dir).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    stdout(&mut git)
}
