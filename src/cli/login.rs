//! `login` and `logout`.

use std::io::Read as _;
use std::process::ExitCode;

use clap::Args;

use super::context::Context;
use crate::images::login::{self, Login};
use plugin_oci::failure::{Complaint, Error};

/// More than any password or token.
const PASSWORD_LIMIT: u64 = 64 << 10;

/// Flags of `login`.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// The registry: `HOST[:PORT]`
    host: String,
    /// The user
    #[arg(short, long, value_name = "USER")]
    username: String,
    /// Read the password from stdin: on the command line everybody on this machine could read it
    #[arg(long, required = true)]
    password_stdin: bool,
}

/// Flags of `logout`.
#[derive(Debug, Args)]
pub struct LogoutArgs {
    /// The registry: `HOST[:PORT]`
    host: String,
}

/// Tries credentials and stores them.
pub fn login(args: &LoginArgs, context: &Context) -> Result<ExitCode, Error> {
    let mut password = String::new();
    std::io::stdin()
        .take(PASSWORD_LIMIT)
        .read_to_string(&mut password)
        .map_err(|error| Complaint::usage(format!("cannot read the password from stdin: {error}")))?;
    let password = password.trim_end_matches(['\n', '\r']).to_owned();
    let request = Login { host: args.host.clone(), user: args.username.clone(), password };
    let changed = login::login(&request, context.global.registries.settings(), &context.env, context.progress())?;
    context.result("logged-in", &changed, String::new);
    Ok(ExitCode::SUCCESS)
}

/// Removes stored credentials.
pub fn logout(args: &LogoutArgs, context: &Context) -> Result<ExitCode, Error> {
    let changed = login::logout(&args.host, &context.global.registries.settings(), &context.env, context.progress())?;
    context.result("logged-out", &changed, String::new);
    Ok(ExitCode::SUCCESS)
}
