//! Putting questions to programs: here, or where nothing that answers can do harm.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::{Child, Output, Stdio};

use super::{ToolchainError, command};
use plugin_oci::environment::Environment;
use plugin_oci::interrupt;
use plugin_oci::progress::{Event, Progress};

/// A command line whose output is the answer.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The program: a path, or a name for the place's own `PATH`.
    pub program: &'a Path,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables over those of the place.
    pub env: BTreeMap<String, String>,
    /// Whether the user sees at once what it says on stderr, where that is possible.
    pub told: bool,
}

/// A place where programs run.
pub trait Ask {
    /// Starts a program. Its stdin is empty, its stdout and, unless the user sees it, its stderr are pipes.
    fn start(&self, question: &Question<'_>) -> Result<Child, ToolchainError>;
}

/// Here, with all that the caller may do.
impl Ask for Environment {
    fn start(&self, question: &Question<'_>) -> Result<Child, ToolchainError> {
        let mut command = command(question.program, self);
        command.args(&question.args).envs(&question.env).stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(if question.told { Stdio::inherit() } else { Stdio::piped() });
        interrupt::own_group(&mut command);
        command.spawn().map_err(|source| ToolchainError::Start { program: question.program.to_owned(), source })
    }
}

impl<'a> Question<'a> {
    /// A question without variables.
    pub fn new(program: &'a Path, args: &[&str]) -> Self {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Self { program, args, env: BTreeMap::new(), told: false }
    }

    /// Puts it, and tells so.
    pub fn put(&self, place: &dyn Ask, progress: &dyn Progress) -> Result<Answer, ToolchainError> {
        let words = std::iter::once(self.program.display().to_string()).chain(self.args.iter().cloned());
        progress.event(Event::Spawned { command: words.collect::<Vec<_>>().join(" ") });
        let child = place.start(self)?;
        Ok(Answer { _watched: interrupt::Child::watch(child.id()), child })
    }
}

/// An answer under way; what gives it does not outlive this program.
#[derive(Debug)]
pub struct Answer {
    child: Child,
    _watched: interrupt::Child,
}

impl Answer {
    /// Waits for it.
    pub fn output(self) -> io::Result<Output> {
        self.child.wait_with_output()
    }
}
