//! `login` and `logout`.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::process::ExitCode;

use clap::Args;
#[cfg(unix)]
use {
    nix::sys::termios::{self, LocalFlags, SetArg, Termios},
    plugin_oci::interrupt::{Registration, on_interrupt},
    std::sync::{Mutex, PoisonError},
};

use super::context::Context;
use super::hints::Advise as _;
use crate::images::login::{self, Login};
use plugin_oci::failure::{Complaint, Error};

/// More than any password or token.
const PASSWORD_LIMIT: u64 = 64 << 10;

/// Flags of `login`.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// The registry: `HOST[:PORT]`
    host: String,
    /// The user; asked for without it
    #[arg(short, long, value_name = "USER")]
    username: Option<String>,
    /// Read the password from stdin, which is no terminal then; without it the terminal asks, and shows nothing that is typed
    #[arg(long, requires = "username")]
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
    let (user, password) = match (&args.username, args.password_stdin) {
        (Some(user), true) => (user.clone(), piped()?),
        (user, _) => asked(user.clone(), &args.host)?,
    };
    let request = Login { host: args.host.clone(), user, password };
    let changed = login::login(&request, context.global.registries.settings(), &context.env, context.progress())?;
    context.result("logged-in", &changed, String::new);
    Ok(ExitCode::SUCCESS)
}

/// The password that another program hands over.
fn piped() -> Result<String, Error> {
    if io::stdin().is_terminal() {
        let hint = "leave it out: the password is asked for then, and not shown";
        return Err(Complaint::usage("`--password-stdin` takes a password from another program, and stdin is a terminal")
            .with_hint(hint)
            .into());
    }
    let mut password = String::new();
    io::stdin().take(PASSWORD_LIMIT).read_to_string(&mut password).map_err(|error| unread(&error))?;
    Ok(password.trim_end_matches(['\n', '\r']).to_owned())
}

/// User and password as the terminal gives them.
fn asked(user: Option<String>, host: &str) -> Result<(String, String), Error> {
    if !io::stdin().is_terminal() {
        let hint = "hand the password over with `-u USER --password-stdin`";
        return Err(Complaint::usage("there is no terminal to ask for the password").with_hint(hint).into());
    }
    let user = match user {
        Some(user) => user,
        None => answer(&format!("User at {host}: "))?,
    };
    let silent = Silence::of_stdin().map_err(|error| unread(&error))?;
    let password = answer("Password: ");
    drop(silent);
    // The line break that was typed was not shown either.
    drop(io::stderr().write_all(b"\n"));
    Ok((user, password?))
}

fn answer(question: &str) -> Result<String, Error> {
    let mut text = String::new();
    io::stderr().write_all(question.as_bytes()).map_err(|error| unread(&error))?;
    io::stdin().lock().take(PASSWORD_LIMIT).read_line(&mut text).map_err(|error| unread(&error))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

fn unread(error: &io::Error) -> Complaint {
    Complaint::usage(format!("cannot read user and password from stdin: {error}"))
}

/// A terminal that does not show what is typed, until this is dropped or the program interrupted.
#[cfg(unix)]
struct Silence {
    before: Termios,
    _undo: Registration,
}

#[cfg(unix)]
impl Silence {
    fn of_stdin() -> io::Result<Self> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        let kept = Mutex::new(before.clone());
        let undo = on_interrupt(move || {
            let before = kept.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = termios::tcsetattr(io::stdin(), SetArg::TCSANOW, &before);
        });
        termios::tcsetattr(io::stdin(), SetArg::TCSANOW, &silent)?;
        Ok(Self { before, _undo: undo })
    }
}

#[cfg(unix)]
impl Drop for Silence {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(io::stdin(), SetArg::TCSANOW, &self.before);
    }
}

#[cfg(not(unix))]
struct Silence;

#[cfg(not(unix))]
impl Silence {
    fn of_stdin() -> io::Result<Self> {
        Err(io::Error::other("here it can only be read by `--password-stdin`"))
    }
}

/// Removes stored credentials.
pub fn logout(args: &LogoutArgs, context: &Context) -> Result<ExitCode, Error> {
    let changed = login::logout(&args.host, &context.global.registries.settings(), &context.env, context.progress())?;
    context.result("logged-out", &changed, String::new);
    Ok(ExitCode::SUCCESS)
}
