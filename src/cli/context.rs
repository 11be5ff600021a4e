//! What every verb gets: the environment, the terminal, and the way to print a result.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::Serialize;
use zeroize::Zeroizing;

use super::global::{GlobalArgs, MessageFormat};
use super::output::found_line;
use super::terminal::Terminal;
use plugin_oci::environment::Environment;
use plugin_oci::failure::{Complaint, Error};
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
}

impl<'t> Context<'t> {
    /// Puts together what the flags say.
    pub fn new(mut env: Environment, global: &GlobalArgs, terminal: &'t Terminal) -> Self {
        let password = env.text(PASSWORD).map(|password| Zeroizing::new(password.to_owned()));
        // Nothing that is compiled here is to see it.
        env.remove(PASSWORD);
        Self { env, global: global.clone(), password, terminal, stores: OnceLock::new() }
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
        self.global.message_format == MessageFormat::Json
    }

    /// A path as the user meant it.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.env.resolve(path)
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
