//! What is built: generated sources in the target folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// What grows.
#[derive(Clone, Copy)]
pub enum Series {
    Plugins,
    Files,
    Platforms,
}

/// The architectures of the last series, with the machine of their ELF headers.
const TARGETS: [(&str, u16); 5] = [
    ("aarch64-unknown-linux-gnu", 183),
    ("loongarch64-unknown-linux-gnu", 258),
    ("powerpc64le-unknown-linux-gnu", 21),
    ("riscv64gc-unknown-linux-gnu", 243),
    ("x86_64-unknown-linux-gnu", 62),
];

/// What keeps a package out of the workspace around it.
const ALONE: &str = "\n[workspace]\n";

/// Sources, and how to build them.
pub struct Scene {
    folder: PathBuf,
    changing: PathBuf,
    toolchain: Option<PathBuf>,
}

impl Series {
    pub const ALL: [Self; 3] = [Self::Plugins, Self::Files, Self::Platforms];

    pub fn name(self) -> &'static str {
        match self {
            Self::Plugins => "plugins",
            Self::Files => "files",
            Self::Platforms => "platforms",
        }
    }

    pub fn counts(self) -> [usize; 3] {
        match self {
            Self::Plugins => [1, 10, 50],
            Self::Files => [1_000, 10_000, 100_000],
            Self::Platforms => [1, 3, 5],
        }
    }

    /// Writes the sources anew.
    pub fn scene(self, root: &Path, count: usize) -> Scene {
        let folder = root.join(format!("{}-{count}", self.name()));
        let _ = fs::remove_dir_all(&folder);
        match self {
            Self::Plugins => {
                write(&folder.join("Cargo.toml"), "[workspace]\nresolver = \"3\"\nmembers = [\"p*\"]\n");
                (0..count).for_each(|number| plugin(&folder.join(format!("p{number}")), &format!("p{number}"), 10, ""));
                Scene { changing: folder.join("p0/assets/0/0"), folder, toolchain: None }
            }
            Self::Files => {
                plugin(&folder, "files", count, ALONE);
                Scene { changing: folder.join("assets/0/0"), folder, toolchain: None }
            }
            Self::Platforms => {
                let targets: Vec<&str> = TARGETS[..count].iter().map(|(target, _)| *target).collect();
                plugin(&folder, "platforms", 100, &format!("targets = {targets:?}\n{ALONE}"));
                let toolchain = Some(pretend_toolchain(&folder));
                Scene { changing: folder.join("assets/0/0"), folder, toolchain }
            }
        }
    }
}

impl Scene {
    /// Builds, and must succeed.
    #[expect(clippy::disallowed_methods, reason = "a benchmark runs in the developer's environment")]
    pub fn build(&self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-plugin-build"));
        command.args(["build", "--workspace", "--quiet"]).current_dir(&self.folder).env_remove("CARGO_TARGET_DIR");
        command.env("CARGO", std::env::var_os("CARGO").expect("cargo started us"));
        if let Some(toolchain) = &self.toolchain {
            command.env("CARGO", toolchain.join("cargo")).env("RUSTC", toolchain.join("rustc"));
            for (target, _) in TARGETS {
                let target = target.to_uppercase().replace('-', "_");
                command.env(format!("CARGO_TARGET_{target}_LINKER"), "cc");
            }
        }
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().expect("our program");
        assert!(status.success(), "{} builds", self.folder.display());
    }

    /// Removes images and hints.
    pub fn forget(&self) {
        fs::remove_dir_all(self.folder.join("target/plugin-build")).expect("an image to remove");
    }

    /// Waits until no file is fresh, and builds once more so that the facts about them are kept.
    pub fn settle(&self) {
        sleep(Duration::from_millis(3100));
        self.build();
    }

    /// Changes one file.
    pub fn change(&self, round: usize) {
        write(&self.changing, &format!("changed {round}\n"));
    }
}

/// A package with this many assets, and more of its manifest from inside its table on.
fn plugin(folder: &Path, name: &str, files: usize, more: &str) {
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
         [package.metadata.plugin-build]\nfiles = [{{ from = \"assets\" }}]\n{more}"
    );
    write(&folder.join("Cargo.toml"), &manifest);
    write(&folder.join("src/main.rs"), &format!("fn main() {{ println!(\"{name}\"); }}\n"));
    for number in 0..files {
        let text = format!("asset {number} of {name}\n").repeat(1 + number % 40);
        write(&folder.join(format!("assets/{}/{number}", number / 1000)), &text);
    }
}

/// Programs in place of cargo and rustc that know all [`TARGETS`] and compile nothing: what they hand over is the host's program
/// with another machine in its ELF header. What packing costs does not depend on what would run.
fn pretend_toolchain(folder: &Path) -> PathBuf {
    let toolchain = folder.join("toolchain");
    let cargo = PathBuf::from(env!("CARGO"));
    let mut real = Command::new(&cargo);
    real.args(["build", "--release", "--message-format", "json", "--quiet"]).current_dir(folder).env_remove("CARGO_TARGET_DIR");
    real.env("RUSTFLAGS", "-Ctarget-feature=+crt-static"); // nothing in the image could load it otherwise
    let output = real.stdin(Stdio::null()).output().expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).expect("messages");
    let program = fs::read(folder.join("target/release/platforms")).expect("a program");
    let mut all = String::new();
    for (target, machine) in TARGETS {
        let mut program = program.clone();
        program[18..20].copy_from_slice(&machine.to_le_bytes());
        let release = folder.join("target").join(target).join("release");
        fs::create_dir_all(&release).expect("a folder");
        fs::write(release.join("platforms"), program).expect("a program");
        fs::create_dir_all(toolchain.join("sysroot/lib/rustlib").join(target).join("lib")).expect("a folder");
        all.push_str(&messages.replace("/target/release/", &format!("/target/{target}/release/")));
    }
    write(&toolchain.join("messages"), &all);
    let rustc = cargo.with_file_name("rustc");
    script(
        &toolchain.join("cargo"),
        &format!(
            "case $1 in build) exec cat '{0}/messages' ;; *) exec '{1}' \"$@\" ;; esac",
            toolchain.display(),
            cargo.display()
        ),
    );
    script(
        &toolchain.join("rustc"),
        &format!(
            "case $* in '--print sysroot') echo '{0}/sysroot' ;; *) exec '{1}' \"$@\" ;; esac",
            toolchain.display(),
            rustc.display()
        ),
    );
    toolchain
}

fn script(at: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    write(at, &format!("#!/bin/sh\n{text}\n"));
    fs::set_permissions(at, fs::Permissions::from_mode(0o755)).expect("an executable");
}

fn write(at: &Path, text: &str) {
    fs::create_dir_all(at.parent().expect("a folder")).expect("a folder");
    fs::write(at, text).expect("a file");
}
