//! What every verb gets: the environment, the terminal, and the way to print a result.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::global::{GlobalArgs, MessageFormat};
use super::output::{SCHEMA, found_line, json_value};
use super::terminal::Terminal;
use plugin_oci::documents::json::to_canonical_text;
use plugin_oci::environment::Environment;
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::fs;
use plugin_oci::progress::{Event, Progress};
use plugin_oci::stores::named;
use plugin_oci::stores::open::Stores;
use plugin_oci::values::reference::{DOCKER_HUB, Reference};

/// The variable with the password of a private key, as cosign has it.
pub const PASSWORD: &str = "COSIGN_PASSWORD";

/// The environment, the terminal and the output format.
pub struct Context<'t> {
    /// Variables and working directory.
    pub env: Environment,
    /// Flags that every verb takes.
    pub global: GlobalArgs,
    /// The password of a private key, where one is given.
    pub password: Option<Zeroizing<String>>,
    terminal: &'t Terminal,
    stores: OnceLock<Stores<'t>>,
    /// Results, where they go into a file.
    results: Mutex<Vec<Value>>,
    /// What was pushed.
    pushed: Mutex<Vec<String>>,
}

impl<'t> Context<'t> {
    /// Puts together what the flags say.
    pub fn new(mut env: Environment, global: &GlobalArgs, terminal: &'t Terminal) -> Self {
        let password = env.text(PASSWORD).map(|password| Zeroizing::new(password.to_owned()));
        // Nothing that is compiled here is to see it.
        env.remove(PASSWORD);
        Self {
            env,
            global: global.clone(),
            password,
            terminal,
            stores: OnceLock::new(),
            results: Mutex::default(),
            pushed: Mutex::default(),
        }
    }

    /// Opens stores, registries among them; all verbs share one set of connections.
    pub fn stores(&self) -> &Stores<'t> {
        self.stores.get_or_init(|| Stores::new(self.global.registries.settings(), &self.env, self.terminal))
    }

    /// Where events go.
    pub fn progress(&self) -> &dyn Progress {
        self.terminal
    }

    /// Whether results are JSON.
    pub fn json(&self) -> bool {
        self.global.message_format != MessageFormat::Human
    }

    /// A path as the user meant it: relative ones start at the working directory, and where that is left by `..` so is its path.
    /// A `..` behind a name stays: the name may be a link.
    pub fn path(&self, path: &Path) -> PathBuf {
        let (mut above, mut rest) = (self.env.cwd.as_path(), path.strip_prefix(".").unwrap_or(path));
        if path.is_relative() {
            while let (Ok(next), Some(parent)) = (rest.strip_prefix(".."), above.parent()) {
                (above, rest) = (parent, next);
            }
        }
        if rest.as_os_str().is_empty() { above.to_owned() } else { above.join(rest) }
    }

    /// Reads what names an image, and tells where a short name leads.
    pub fn image(&self, text: &str) -> Result<Reference, Error> {
        let reference = named::image(text, &self.env.cwd)?;
        if let Reference::Registry(registry) = &reference {
            self.tell_short(text, &registry.host, registry);
        }
        Ok(reference)
    }

    /// Tells what a name without a host is short for.
    pub fn tell_short(&self, text: &str, host: &str, full: impl std::fmt::Display) {
        if host == DOCKER_HUB && !text.strip_prefix("docker://").unwrap_or(text).starts_with(DOCKER_HUB) {
            self.progress().event(Event::Note { text: format!("`{text}` is short for `{full}`, of Docker Hub") });
        }
    }

    /// A path as people write it: from here, where it lies below.
    pub fn shown<'p>(&self, path: &'p Path) -> &'p Path {
        path.strip_prefix(&self.env.cwd).ok().filter(|path| !path.as_os_str().is_empty()).unwrap_or(path)
    }

    /// A directory as the user meant it; an image in its place is refused.
    pub fn directory(&self, path: &Path) -> Result<PathBuf, Error> {
        Ok(self.path(named::directory(path, &self.env.cwd)?))
    }

    /// Prints a result: the line for people, or the object with its `reason`.
    pub fn result(&self, reason: &str, object: &impl Serialize, line: impl FnOnce() -> String) {
        self.keep(reason, object);
        if self.json() {
            self.terminal.print_object(reason, object);
        } else {
            let line = line();
            if !line.is_empty() {
                self.terminal.print(&line);
            }
        }
    }

    /// Prints something that was found: one line, whatever the object's names hold.
    pub fn found(&self, reason: &str, object: &impl Serialize, found: (&str, &str, &str)) {
        self.result(reason, object, || found_line(found));
    }

    /// Prints an error as an object, where results are JSON, and keeps it with the results.
    pub fn error_object(&self, object: &impl Serialize) {
        if self.json() {
            self.terminal.print_object("error", object);
        }
        self.keep("error", object);
    }

    fn keep(&self, reason: &str, object: &impl Serialize) {
        if self.global.metadata_file.is_some()
            && let Ok(value) = json_value(reason, object)
        {
            self.results.lock().unwrap_or_else(PoisonError::into_inner).push(value);
        }
    }

    /// Writes the results of the command into the file that was asked for: one document with all of them, errors included.
    pub fn keep_results(&self) -> Result<(), Error> {
        let Some(file) = &self.global.metadata_file else { return Ok(()) };
        let results = std::mem::take(&mut *self.results.lock().unwrap_or_else(PoisonError::into_inner));
        let text = to_canonical_text(&json!({ "schema": SCHEMA, "results": results })) + "\n";
        self.write(file, &text)
    }

    /// Remembers the reference of an image that was pushed, by digest.
    pub fn pushed(&self, image: &str) {
        self.pushed.lock().unwrap_or_else(PoisonError::into_inner).push(image.to_owned());
    }

    /// Writes the references of what was pushed into the file that was asked for, each once.
    pub fn keep_image_refs(&self, file: Option<&Path>) -> Result<(), Error> {
        let Some(file) = file else { return Ok(()) };
        let mut lines = self.pushed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        lines.dedup();
        lines.push(String::new());
        self.write(file, &lines.join("\n"))
    }

    fn write(&self, file: &Path, text: &str) -> Result<(), Error> {
        let file = self.path(file);
        file.parent().map_or(Ok(()), fs::create_dirs)?;
        Ok(fs::write_atomically(&file, text.as_bytes())?)
    }

    /// Reports an error.
    pub fn error(&self, text: &str) {
        self.terminal.error(text);
    }

    /// Prints bytes as they are.
    pub fn print_bytes(&self, bytes: &[u8]) {
        self.terminal.print_bytes(bytes);
    }

    /// An error when a result did not get to stdout: whoever asked for it must not take what is there for all of it.
    pub fn written(&self) -> Result<(), Error> {
        let complain = |error| Err(Complaint::failed(format!("cannot write to stdout: {error}")).into());
        self.terminal.unwritten().map_or(Ok(()), complain)
    }

    /// Takes down progress bars.
    pub fn finish(&self) {
        self.terminal.finish();
    }
}
