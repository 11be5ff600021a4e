//! Keys as the command line gets them: files, passwords, and what signs elsewhere.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use zeroize::Zeroizing;

use super::context::{Context, PASSWORD};
use super::hints::Advise as _;
use crate::images::signer::CommandSigner;
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::signatures::keys::{KeyFile, Signer};

/// What signs.
#[derive(Debug, Clone, Args)]
pub struct SignerArgs {
    /// The private key: PKCS#8 in PEM, encrypted or not, or a key file of cosign; its password is that of `COSIGN_PASSWORD`, or
    /// asked for
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// A command that signs by a key elsewhere: gets what is to be signed on stdin, gives the signature on stdout; `--key` then names
    /// the public key
    #[arg(long, value_name = "COMMAND")]
    signer: Option<String>,
    /// Longest that the command may take
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = humantime::parse_duration, requires = "signer")]
    timeout: Duration,
}

impl SignerArgs {
    /// With this key.
    pub fn of(key: PathBuf) -> Self {
        Self { key, signer: None, timeout: Duration::ZERO }
    }

    /// Reads the key.
    pub fn signer(&self, context: &Context) -> Result<Box<dyn Signer>, Error> {
        let path = context.path(&self.key);
        let file = KeyFile::read(&path)?;
        if let Some(command) = self.signer.clone() {
            let (public, env) = (file.public(now())?, context.env.clone());
            return Ok(Box::new(CommandSigner { command, public, env, limit: self.timeout, limit_name: "`--timeout`" }));
        }
        let password = if file.is_encrypted() { password(&path, context)? } else { Zeroizing::default() };
        Ok(Box::new(file.private(password.as_bytes())?))
    }
}

/// The password of a key that exists.
fn password(path: &Path, context: &Context) -> Result<Zeroizing<String>, Error> {
    match &context.password {
        Some(password) => Ok(password.clone()),
        None => ask(&format!("Password of {}: ", path.display())),
    }
}

/// The password of a new key; an empty one is none.
pub fn new_password(context: &Context) -> Result<Zeroizing<String>, Error> {
    if let Some(password) = &context.password {
        return Ok(password.clone());
    }
    let password = ask("Password for the private key (empty for none): ")?;
    if *password != *ask("The same again: ")? {
        return Err(Complaint::usage("the two passwords differ, and no key was made").into());
    }
    Ok(password)
}

fn ask(prompt: &str) -> Result<Zeroizing<String>, Error> {
    if !std::io::stdin().is_terminal() {
        let message = "the key has a password, and there is no terminal to ask for it";
        return Err(Complaint::usage(message).with_hint(format!("set `{PASSWORD}`, empty for none")).into());
    }
    let answer = rpassword::prompt_password(prompt);
    Ok(Zeroizing::new(answer.map_err(|error| Complaint::failed(format!("cannot ask for a password: {error}")))?))
}

/// Now, in seconds since the epoch: whether a certificate still is valid is a question of today.
#[expect(clippy::disallowed_methods, reason = "nothing that is written depends on it")]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
