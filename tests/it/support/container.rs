//! Running images as containers, by umoci and an OCI runtime.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::tools::{require, skip, stdout};

/// An image that umoci has unpacked: a root file system and what a runtime is to do with it.
pub struct Container {
    dir: PathBuf,
    runtimes: [PathBuf; 2],
}

impl Container {
    /// Unpacks `layout:tag` to `dir`; `None` where a tool is missing.
    pub fn unpack(layout: &Path, tag: &str, dir: &Path) -> Option<Self> {
        let (Some(umoci), Some(runc), Some(crun)) = (require("umoci"), require("runc"), require("crun")) else { return None };
        if stdout(Command::new("id").arg("-u")).trim() != "0" {
            skip("only root makes containers here");
            return None;
        }
        stdout(Command::new(umoci).args(["unpack", "--image", &format!("{}:{tag}", layout.display())]).arg(dir));
        // Whatever mask the caller has: another user is to get in.
        fs::set_permissions(dir.join("rootfs"), fs::Permissions::from_mode(0o755)).unwrap();
        let container = Self { dir: dir.to_owned(), runtimes: [runc, crun] };
        container.configure(|config| config["process"]["terminal"] = false.into());
        Some(container)
    }

    /// Changes what the runtime is to do.
    pub fn configure(&self, change: impl FnOnce(&mut Value)) {
        let path = self.dir.join("config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut config);
        fs::write(path, config.to_string()).unwrap();
    }

    /// Runs it until it ends, or has said enough; the lines it said. Which runtime can make a container is up to the
    /// machine's cgroups.
    pub fn run(&self, enough: impl Fn(&str) -> bool) -> String {
        let [runc, crun] = &self.runtimes;
        let id = format!("{}-{}", self.dir.file_name().unwrap().display(), std::process::id());
        let tries = [(runc, vec!["run"]), (crun, vec!["run"]), (crun, vec!["--cgroup-manager=disabled", "run"])];
        let mut failed = Vec::new();
        for (runtime, args) in tries {
            let errors = self.dir.join("stderr");
            let mut command = Command::new(runtime);
            command.args(args).arg(&id).current_dir(&self.dir).stdin(Stdio::null()).stdout(Stdio::piped());
            let mut child = command.stderr(File::create(&errors).unwrap()).spawn().unwrap();
            let mut said = String::new();
            for line in BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap) {
                said = format!("{said}{line}\n");
                if enough(&line) {
                    stdout(Command::new(runtime).args(["delete", "--force", &id]));
                    break;
                }
            }
            if child.wait().unwrap().success() || !said.is_empty() {
                return said;
            }
            failed.push(format!("{}: {}", runtime.display(), fs::read_to_string(errors).unwrap()));
        }
        panic!("no runtime started {}: {failed:?}", self.dir.display());
    }
}
