//! A key that is elsewhere, in a security module or a service: a command signs by it.
//!
//! The command gets what is to be signed on stdin and gives the signature on stdout: DER, the 64 bytes of JOSE, or either in base64.
//! What it gives is held against the public key before anything is written.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use plugin_oci::environment::Environment;
use plugin_oci::failure::{Error, Failure};
use plugin_oci::interrupt::{Child, own_group, within};
use plugin_oci::signatures::keys::{PublicKey, Signer, der_of};

/// More bytes than a signature has.
const LIMIT: u64 = 64 << 10;

/// A command that signs.
#[derive(Debug)]
pub struct CommandSigner {
    /// What the shell is given.
    pub command: String,
    /// The other half of the key.
    pub public: PublicKey,
    /// Variables and working directory of the command.
    pub env: Environment,
    /// Longest that it may take.
    pub limit: Duration,
    /// What set that.
    pub limit_name: &'static str,
}

/// Why a command has not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// It cannot be started, or what it gives cannot be read.
    #[error("cannot run the command that signs")]
    Run(#[from] std::io::Error),
    /// It says that it failed.
    #[error("the command that signs failed: {0}")]
    Status(std::process::ExitStatus),
    /// It gave something else.
    #[error("the command that signs gave no signature by the key: {0} bytes")]
    Wrong(usize),
}

impl Failure for SignerError {}

impl Signer for CommandSigner {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let given = within(self.limit_name, Some(self.limit), || Ok(self.run(message)?))?;
        let text: Vec<u8> = given.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let forms = [Some(given.clone()), der_of(&given), STANDARD.decode(text).ok()];
        let decoded = forms[2].as_deref().and_then(der_of);
        let signature = forms.into_iter().chain([decoded]).flatten().find(|form| self.public.verify(message, form).is_ok());
        signature.ok_or_else(|| SignerError::Wrong(given.len()).into())
    }
}

impl CommandSigner {
    fn run(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
        let mut command = Command::new(shell);
        command.args([flag, &self.command]).env_clear().envs(self.env.vars()).current_dir(&self.env.cwd);
        own_group(&mut command);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let _watch = Child::watch(child.id());
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not read all of it says by its exit status whether that is well.
            drop(stdin.write_all(message));
        }
        let mut given = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            stdout.take(LIMIT).read_to_end(&mut given)?;
        }
        let status = child.wait()?;
        if status.success() { Ok(given) } else { Err(SignerError::Status(status)) }
    }
}
