//! Credential helpers (docker's `docker-credential-helpers`): programs that keep what auth files would.
//!
//! Threats and defences: a helper name that is a path (letters, digits, `-`, `_`, `.` only); secrets in output (an answer is
//! never shown; of what a helper says that fails, one line of 300 characters is, without JSON and without the password that it
//! was given).

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};

use super::error::{CredentialError, clean};
use crate::environment::Environment;

/// A helper of the user.
pub(super) struct Helper<'a> {
    name: &'a str,
    environment: &'a Environment,
}

impl<'a> Helper<'a> {
    pub(super) const fn new(name: &'a str, environment: &'a Environment) -> Self {
        Self { name, environment }
    }

    /// User and secret for a server; `None` where it has none. Some say so by an answer that is empty.
    pub(super) fn get(&self, server: &str) -> Result<Option<(String, String)>, CredentialError> {
        let Some(answer) = self.run("get", server, None)? else { return Ok(None) };
        if answer.trim_ascii().is_empty() {
            return Ok(None);
        }
        let malformed = || self.failed("get", "its answer is not the JSON that a helper gives".to_owned(), String::new());
        let tree: Map<String, Value> = serde_json::from_slice(&answer).map_err(|_| malformed())?;
        let text = |key: &str| tree.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        match (text("Username"), text("Secret")) {
            (None, None) => Ok(None),
            (Some(user), Some(secret)) => Ok(Some((user, secret))),
            _ => Err(malformed()),
        }
    }

    /// Gives it a password to keep.
    pub(super) fn store(&self, server: &str, user: &str, password: &str) -> Result<(), CredentialError> {
        let input = json!({ "ServerURL": server, "Username": user, "Secret": password });
        self.run("store", &input.to_string(), Some(password)).map(drop)
    }

    /// Makes it forget a server.
    pub(super) fn erase(&self, server: &str) -> Result<(), CredentialError> {
        self.run("erase", server, None).map(drop)
    }

    /// Runs it; `None` where it says that it has nothing.
    fn run(&self, verb: &'static str, input: &str, secret: Option<&str>) -> Result<Option<Vec<u8>>, CredentialError> {
        if self.name.is_empty() || !self.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
            return Err(self.failed(verb, "its name is not a helper's".to_owned(), String::new()));
        }
        let broken = |error: std::io::Error| self.failed(verb, error.to_string(), String::new());
        let mut child = Command::new(format!("docker-credential-{}", self.name))
            .arg(verb)
            .env_clear()
            .envs(self.environment.vars())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(broken)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A helper that does not read its input says so by its exit status.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output().map_err(broken)?;
        if output.status.success() {
            return Ok(Some(output.stdout));
        }
        let said = [output.stderr, output.stdout].map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
        // The protocol's only way to say "nothing here" is this sentence.
        if said.iter().any(|text| text.contains("credentials not found")) {
            return Ok(None);
        }
        Err(self.failed(verb, output.status.to_string(), shown(&said, secret)))
    }

    fn failed(&self, verb: &'static str, reason: String, said: String) -> CredentialError {
        CredentialError::Helper { helper: self.name.to_owned(), verb, reason, said }
    }
}

/// What a helper said, as far as it may be shown.
fn shown(said: &[String], secret: Option<&str>) -> String {
    let harmless = |text: &&str| !text.is_empty() && !text.contains('{');
    let text = said.iter().map(String::as_str).filter(harmless).collect::<Vec<_>>().join("; ");
    clean(&secret.map_or_else(|| text.clone(), |secret| text.replace(secret, "***")))
}
