//! A project with a home of its own, and who builds it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::namespaces;
use crate::support::program::Ran;
use crate::support::project::Project;
use crate::support::tools::{require, stdout};

const NOBODY: u32 = 65534;

/// Who builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    Root,
    Ordinary,
}

pub const CALLERS: [Caller; 2] = [Caller::Root, Caller::Ordinary];

/// A project with a home of its own, in a directory that its caller owns.
pub struct Scene {
    pub project: Project,
    pub caller: Caller,
    /// Whoever runs the tests is root.
    am_root: bool,
}

impl Scene {
    /// `None` where the system has no user namespaces.
    pub fn new(caller: Caller, files: &[(&str, &str)]) -> Option<Self> {
        if require("setpriv").is_none() || !namespaces::are_there() {
            return None;
        }
        let project = Project::new(&[("Cargo.toml", MANIFEST), ("Cargo.lock", LOCK), ("src/main.rs", "fn main() {}\n")]);
        for (path, text) in files {
            project.write(path, text);
        }
        let am_root = stdout(Command::new("id").arg("-u")).trim() == "0";
        let scene = Self { project, caller, am_root };
        fs::create_dir_all(scene.home().join(".cargo")).unwrap();
        Some(scene)
    }

    /// The directory that holds everything.
    pub fn stage(&self) -> &Path {
        self.project.root.parent().unwrap()
    }

    pub fn home(&self) -> PathBuf {
        self.stage().join("home")
    }

    /// A command line in the project, as the caller.
    pub fn run(&self, words: &[&str]) -> Command {
        let mut toolchain = toolchain();
        let mut front: Vec<String> = Vec::new();
        match (self.caller, self.am_root) {
            (Caller::Root, false) => front.extend(["unshare", "--user", "--map-root-user"].map(str::to_owned)),
            (Caller::Ordinary, true) => {
                // The toolchain may lie in root's own directories: show it elsewhere.
                let shown = self.stage().join("toolchain");
                fs::create_dir_all(&shown).unwrap();
                let script =
                    "mount --bind \"$0\" \"$1\" && shift && exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"";
                front.extend(["unshare", "--mount", "sh", "-c", script].map(str::to_owned));
                front.extend([&toolchain, &shown].map(|path| path.display().to_string()));
                toolchain = shown;
                for entry in walkdir::WalkDir::new(self.stage()) {
                    chown(entry.unwrap().path(), Some(NOBODY), Some(NOBODY)).unwrap();
                }
                fs::set_permissions(self.stage(), fs::Permissions::from_mode(0o755)).unwrap();
            }
            _ => {}
        }
        front.extend(words.iter().map(|word| (*word).to_owned()));
        let mut command = Command::new(&front[0]);
        command.args(&front[1..]).current_dir(&self.project.root).env_clear();
        command.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", toolchain.join("bin").display()));
        command.env("CARGO", toolchain.join("bin/cargo")).env("HOME", self.home());
        command
    }

    /// Our program, where the caller can read it.
    pub fn program(&self) -> String {
        let copy = self.stage().join("cargo-plugin-build");
        if !copy.exists() {
            // By another process: while this one writes a program, no thread of it may start that.
            stdout(Command::new("cp").arg(env!("CARGO_BIN_EXE_cargo-plugin-build")).arg(&copy));
        }
        copy.display().to_string()
    }

    pub fn build(&self, args: &[&str]) -> Command {
        let program = self.program();
        let words: Vec<&str> = [program.as_str(), "build"].into_iter().chain(args.iter().copied()).collect();
        self.run(&words)
    }
}

pub const MANIFEST: &str = "[package]\nname = \"p\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n";
pub const LOCK: &str = "version = 4\n\n[[package]]\nname = \"p\"\nversion = \"0.1.0\"\n";
pub const SPY: &str = include_str!("../../../fixtures/hostile/spy/build.rs");

/// The toolchain that runs these tests.
#[expect(clippy::disallowed_methods, reason = "cargo tells its tests where it is")]
fn toolchain() -> PathBuf {
    let cargo = PathBuf::from(std::env::var_os("CARGO").unwrap());
    cargo.parent().unwrap().parent().unwrap().to_owned()
}

/// What the build script wrote down, wherever the build put it.
pub fn report(scene: &Scene, below: &str) -> String {
    let files = walkdir::WalkDir::new(scene.project.root.join("target").join(below)).into_iter().flatten();
    let reports = files.filter(|entry| entry.file_name() == "report.txt");
    reports.map(|entry| fs::read_to_string(entry.path()).unwrap()).collect::<Vec<_>>().concat()
}

/// The result, after all progress.
pub fn result(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap()
}

pub fn digest(ran: &Ran) -> String {
    result(ran)["digest"].as_str().unwrap().to_owned()
}
