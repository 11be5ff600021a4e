//! Putting a decided sandbox to work.

use std::path::PathBuf;
use std::process::Child;

use super::protocol::{Failure, Program, Step};
use super::refusal::Facts;
use super::view::{Content, Role, View};
use super::{Allowed, HermeticError, Inside, Phase, Report, Sandbox, stages};
use crate::fs::create_dirs;

impl Sandbox {
    /// Puts up a sandbox with the system's directories only, and takes it down again: whether this system allows it, and
    /// what it enforces. Makes nothing.
    pub fn check(&self) -> Result<Report, HermeticError> {
        let mut view = View::default();
        for place in self.view.places() {
            if matches!(place.role, Role::System | Role::Temporary) {
                view.add(&place.path, place.role, place.content.clone());
            }
        }
        let (mut child, landlock_abi) = stages::start(&view, None).map_err(|failure| refused(&failure))?;
        child.wait().map_err(|error| HermeticError::Broken(error.to_string()))?;
        Ok(self.report(landlock_abi))
    }

    /// Starts cargo in the sandbox; its stdout is a pipe. A signal for the child reaches cargo.
    pub fn spawn(&self, command: &Inside<'_>) -> Result<Child, HermeticError> {
        for directory in &self.directories {
            create_dirs(directory).map_err(|error| HermeticError::Broken(format!("{error}: {}", error.source)))?;
        }
        let mut env = self.env.clone();
        env.extend(command.env.clone());
        let program = Program { file: self.cargo.clone(), args: command.args.to_vec(), env, cwd: command.cwd.to_owned() };
        let (child, _) = stages::start(&self.view, Some(program)).map_err(|failure| refused(&failure))?;
        Ok(child)
    }

    fn report(&self, landlock_abi: u32) -> Report {
        let phase = |name, network| Phase { name, network };
        let fetch = self.fetches.then(|| phase("fetch", true));
        let allowed = |contents: &[Content]| -> Vec<Allowed> {
            let places = self.view.places();
            let places = places.iter().filter(|place| contents.contains(&place.content));
            places.map(|place| Allowed { role: place.role, path: place.path.clone() }).collect()
        };
        Report {
            phases: fetch.into_iter().chain([phase("build", false)]).collect(),
            namespaces: vec!["ipc", "mount", "network", "pid", "user", "uts"],
            landlock_abi,
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
