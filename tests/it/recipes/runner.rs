//! A machine that runs jobs: the sources, checked out anew for each, and the programs that such machines have.
//!
//! `cargo install` brings our program, `rustup target add` finds the target installed, and `sudo sysctl` has nothing to
//! allow here; with any other arguments they fail. Everything else is the real thing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::layouts::system_base;
use crate::support::program::{Ran, plugin_build, ran};
use crate::support::project::{Project, copy};
use crate::support::registry_cache::{MAIN_WITH_ITOA, copy_itoa, lock_with_itoa};

const MANIFEST: &str = "[package]\nname = \"p\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\nitoa = \"1\"\n\n\
                        [workspace]\n\n[package.metadata.plugin-build]\n";

pub struct Runner {
    sources: Project,
}

impl Runner {
    /// Of sources with a dependency from the registry.
    pub fn new() -> Self {
        let sources =
            Project::new(&[("Cargo.toml", MANIFEST), ("Cargo.lock", &lock_with_itoa()), ("src/main.rs", MAIN_WITH_ITOA)]);
        Self { sources }
    }

    /// Of these sources.
    pub fn of(sources: Project) -> Self {
        Self { sources }
    }

    /// With a base among the sources: `--platform` then means the gnu target, whose standard library every toolchain has.
    pub fn with_base() -> Self {
        let runner = Self::new();
        runner.sources.write("Cargo.toml", &format!("{MANIFEST}base = \"oci:base:1\"\n"));
        system_base(&runner.sources.root.join("base"));
        runner
    }

    /// Commits something else.
    pub fn change(&self, path: &str, text: &str) {
        self.sources.write(path, text);
    }

    /// The sources that jobs check out.
    pub fn sources(&self) -> &Path {
        &self.sources.root
    }

    /// The directory of everything.
    pub fn stage(&self) -> &Path {
        self.sources.root.parent().unwrap()
    }

    /// A job on a new machine.
    pub fn job(&self, name: &str) -> Job {
        let home = self.stage().join(name);
        let job = Job { dir: home.join("work"), home };
        copy(&self.sources.root, &job.dir);
        copy_itoa(&job.home.join(".cargo"));
        let program = env!("CARGO_BIN_EXE_cargo-plugin-build");
        let install = format!("ln -s {program} {}", job.tools().join("cargo-plugin-build").display());
        let cargo = toolchain().join("bin/cargo");
        let installs =
            ["install --locked cargo-plugin-build", "install --path . --locked"].map(|words| (words, install.as_str()));
        job.tool("cargo", &installs, &format!("exec {} \"$@\"", cargo.display()));
        job.tool("rustup", &[("target add x86_64-unknown-linux-musl", ":")], "exit 9");
        job.tool("sudo", &[("sysctl -w kernel.apparmor_restrict_unprivileged_userns=0", ":")], "exit 9");
        job
    }
}

/// A job and its machine.
pub struct Job {
    home: PathBuf,
    /// The checkout.
    pub dir: PathBuf,
}

impl Job {
    fn tools(&self) -> PathBuf {
        self.home.join("bin")
    }

    /// Writes a program that knows these words, and does something else for all others.
    pub fn tool(&self, name: &str, known: &[(&str, &str)], otherwise: &str) {
        let cases = known.iter().map(|(words, script)| format!("'{words}') {script};;")).collect::<Vec<_>>().join("\n");
        let path = self.tools().join(name);
        fs::create_dir_all(self.tools()).unwrap();
        fs::write(&path, format!("#!/bin/sh\ncase \"$*\" in\n{cases}\n*) {otherwise};;\nesac\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Has the tool without a step that brings it.
    pub fn installed(self) -> Self {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_cargo-plugin-build"), self.tools().join("cargo-plugin-build")).unwrap();
        self
    }

    /// Runs a script as jobs are run: it ends with the first command that fails.
    pub fn run(&self, script: &str) -> Ran {
        ran(&mut self.shell(script))
    }

    /// What runs a script.
    pub fn shell(&self, script: &str) -> Command {
        let mut shell = Command::new("bash");
        shell.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script]).current_dir(&self.dir).env_clear();
        let path = format!("{}:{}:/usr/sbin:/usr/bin:/sbin:/bin", self.tools().display(), toolchain().join("bin").display());
        shell.env("PATH", path).env("HOME", &self.home).env("CARGO_NET_OFFLINE", "true");
        shell
    }

    /// Runs a script that must succeed.
    pub fn succeed(&self, script: &str) -> Ran {
        let ran = self.run(script);
        assert_eq!(ran.code, 0, "{script}\n{}{}", ran.stdout, ran.stderr);
        ran
    }

    /// The digest of the image in a layout here.
    pub fn digest(&self, image: &str) -> String {
        let inspected = ran(plugin_build(&self.dir).args(["inspect", "--message-format", "json", image]));
        let object: serde_json::Value = serde_json::from_str(inspected.stdout.lines().last().unwrap()).unwrap();
        object["digest"].as_str().unwrap().to_owned()
    }
}

/// The toolchain that runs these tests.
#[expect(clippy::disallowed_methods, reason = "cargo tells its tests where it is")]
fn toolchain() -> PathBuf {
    let cargo = PathBuf::from(std::env::var_os("CARGO").unwrap());
    cargo.parent().unwrap().parent().unwrap().to_owned()
}
