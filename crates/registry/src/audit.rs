//! The audit log: a line of JSON for each act that changed what is kept here, or was refused.
//!
//! The file is opened anew for each line, to append: programs that rotate logs move it away as they like, and several processes of
//! one machine may share it. A line that could not be written is kept, and is written before any other; until then nothing more may be
//! done. No line holds a token, a password or what they are made of.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::clock;

/// So many refusals of strangers are told within a second; of the others, how many they were.
const REFUSALS: u64 = 20;

/// Nothing is told of refusals where so many bytes are still to be written.
const WAITING: usize = 1 << 20;

/// An audit log.
pub struct Audit {
    /// `None` for standard output.
    path: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Lines that are still to be written.
    waiting: Vec<u8>,
    /// The second in which refusals are counted, and how many there were.
    refusals: (u64, u64),
    /// How many refusals no line tells of.
    untold: u64,
}

impl Audit {
    /// The log in a file, which is made where it is not there; `-` is standard output.
    pub fn new(path: PathBuf) -> Self {
        let path = Some(path).filter(|path| path.as_os_str() != "-");
        Self { path, state: Mutex::default() }
    }

    /// Whether lines can be written. Asked before anything is done.
    pub fn ready(&self) -> io::Result<()> {
        self.add(None)
    }

    /// Writes a line, durably: once it is there, what it tells may be answered.
    pub fn tell(&self, line: &Value) -> io::Result<()> {
        self.add(Some(line))
    }

    /// Tells of a refusal, of which a stranger can cause as many as he likes.
    pub(crate) fn refused(&self, mut line: Value) -> io::Result<()> {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let now = clock::seconds();
            let count = if state.refusals.0 == now { state.refusals.1 + 1 } else { 1 };
            state.refusals = (now, count);
            if count > REFUSALS || state.waiting.len() > WAITING {
                state.untold += 1;
                return Ok(());
            }
            if state.untold > 0 {
                line["untold"] = std::mem::take(&mut state.untold).into();
            }
        }
        self.add(Some(&line))
    }

    fn add(&self, line: Option<&Value>) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = line {
            state.waiting.extend_from_slice(format!("{line}\n").as_bytes());
        }
        match self.write(&state.waiting) {
            Ok(()) => {
                state.waiting.clear();
                Ok(())
            }
            Err(error) => {
                if let Some(line) = line {
                    eprintln!(
                        "{}",
                        serde_json::json!({"level": "error", "message": format!("no audit log: {error}"), "act": line})
                    );
                }
                // What was written of a line ends there.
                if state.waiting.first().is_some_and(|first| *first != b'\n') {
                    state.waiting.insert(0, b'\n');
                }
                Err(error)
            }
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let Some(path) = &self.path else {
            let mut out = io::stdout().lock();
            out.write_all(bytes)?;
            return out.flush();
        };
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        if bytes.is_empty() {
            return Ok(());
        }
        file.write_all(bytes)?;
        match file.sync_data() {
            // A pipe or a terminal keeps nothing.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            outcome => outcome,
        }
    }
}

/// When something happens, as logs say it.
pub(crate) fn at() -> String {
    humantime::format_rfc3339_millis(clock::now()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_could_not_be_written_is_written_later_and_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("below/audit");
        let audit = Audit::new(path.clone());
        assert!(audit.ready().is_err() && audit.tell(&1.into()).is_err() && audit.tell(&2.into()).is_err());
        std::fs::create_dir(dir.path().join("below")).unwrap();
        audit.ready().unwrap();
        audit.tell(&3.into()).unwrap();
        let lines = |path: &PathBuf| std::fs::read_to_string(path).unwrap();
        assert_eq!(lines(&path), "\n1\n2\n3\n");
        // Moved away, as programs that rotate logs do.
        std::fs::rename(&path, dir.path().join("old")).unwrap();
        audit.tell(&4.into()).unwrap();
        assert_eq!(lines(&path), "4\n");
    }

    #[test]
    fn strangers_do_not_fill_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit");
        let audit = Audit::new(path.clone());
        for _ in 0..10_000 {
            audit.refused(serde_json::json!({})).unwrap();
        }
        assert!(std::fs::read_to_string(&path).unwrap().lines().count() < 2_000);
    }
}
