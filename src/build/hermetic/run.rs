//! Putting a decided sandbox to work.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Child;

use super::protocol::{Failure, Program, Step};
use super::refusal::Facts;
use super::view::{Content, Role, View, ViewEntry};
use super::{Allowed, Enforced, HermeticError, Inside, Phase, Sandbox, stages};
use plugin_oci::fs::{FileError, create_dirs};

impl Sandbox {
    /// Puts up a sandbox with the system's directories only, and takes it down again: whether this system allows it, and
    /// what it enforces. Makes nothing.
    pub fn check(&self) -> Result<Enforced, HermeticError> {
        let mut view = View::default();
        for place in self.view.places() {
            if matches!(place.role, Role::System | Role::Temporary) {
                view.add(&place.path, place.role, place.content.clone());
            }
        }
        let (mut child, landlock_abi) = stages::start(&view, false, None).map_err(|failure| refused(&failure))?;
        child.wait().map_err(|error| HermeticError::Broken(error.to_string()))?;
        Ok(self.report(landlock_abi))
    }

    /// Starts a program in the sandbox; its stdout and stderr are pipes. A signal for the child reaches it.
    pub fn spawn(&self, command: &Inside<'_>) -> Result<Child, HermeticError> {
        let broken = |error: FileError| HermeticError::Broken(format!("{error}: {}", error.source));
        for directory in self.directories.iter().chain(&self.view.stand) {
            create_dirs(directory).map_err(broken)?;
        }
        for file in self.view.paths(&Content::WritableFile) {
            let made = OpenOptions::new().append(true).create(true).open(file);
            made.map_err(FileError::at("create", file)).map_err(broken)?;
        }
        let mut env = self.env.clone();
        env.extend(command.env.clone());
        let file = self.find(command.program.unwrap_or(&self.cargo));
        let program = Program { file, args: command.args.to_vec(), env, cwd: command.cwd.to_owned() };
        let (child, _) = stages::start(&self.view, self.network, Some(program)).map_err(|failure| refused(&failure))?;
        Ok(child)
    }

    /// A name as the sandbox's `PATH` has it.
    fn find(&self, program: &Path) -> PathBuf {
        let path = self.env.get("PATH").map(String::as_str).unwrap_or_default();
        let mut directories = std::env::split_paths(path).map(|directory| directory.join(program));
        let found = directories.find(|file| program.components().count() == 1 && file.is_file());
        found.unwrap_or_else(|| program.to_owned())
    }

    fn report(&self, landlock_abi: u32) -> Enforced {
        let phase = |name, network| Phase { name, network };
        let fetch = self.fetches.then(|| phase("fetch", true));
        let allowed = |contents: &[Content]| -> Vec<Allowed> {
            let places = self.view.places();
            let shows = |place: &ViewEntry| match &place.content {
                Content::Stand(items) => !items.is_empty() && contents.contains(&Content::ReadOnly),
                content => contents.contains(content),
            };
            let places = places.iter().filter(|place| shows(place));
            places.map(|place| Allowed { role: place.role, path: place.path.clone() }).collect()
        };
        Enforced {
            phases: fetch.into_iter().chain([phase("build", false)]).collect(),
            namespaces: vec!["ipc", "mount", "network", "pid", "user", "uts"],
            landlock_abi,
            seccomp: true,
            environment: self.env.keys().cloned().collect(),
            read_only: allowed(&[Content::ReadOnly]),
            writable: allowed(&[Content::Writable, Content::Scratch]),
        }
    }
}

fn refused(failure: &Failure) -> HermeticError {
    let at = |path: &Option<PathBuf>| path.as_ref().map(|path| format!(" {}", path.display())).unwrap_or_default();
    match failure.step {
        Step::Process | Step::Start => {
            HermeticError::Broken(format!("{}{}: {}", failure.step, at(&failure.path), failure.detail))
        }
        _ => {
            let reason = Facts::read().explain(failure);
            HermeticError::Refused { cause: reason.cause, cure: reason.cure }
        }
    }
}
