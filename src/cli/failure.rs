//! Errors become a message, its causes, a hint, and an exit code.

use std::process::ExitCode;

use super::context::Context;
use super::hints::hint;
use super::output::json_line;
use super::rendered::rendered;
use serde::Serialize;

use plugin_oci::failure::Error;

/// Prints an error and gives its exit code. An error without a message (cargo printed it already) prints nothing.
pub(super) fn report(error: &Error, context: &Context) -> ExitCode {
    if let Some(text) = rendered(error) {
        context.error(&text);
        context.error_object(&Told::of(error));
    }
    ExitCode::from(error.class().exit_code())
}

/// An error as programs read it.
#[derive(Serialize)]
struct Told {
    /// The exit code.
    code: u8,
    /// What is wrong.
    message: String,
    /// What it is about: the first thing that the message names.
    object: Option<String>,
    /// Why, from the outside in.
    cause: Vec<String>,
    /// What to do about it.
    hint: Option<String>,
}

impl Told {
    fn of(error: &Error) -> Self {
        let mut lines = error.chain().into_iter().filter(|line| !line.is_empty());
        let message = lines.next().unwrap_or_default();
        let object = message.split('`').nth(1).map(str::to_owned);
        Self { code: error.class().exit_code(), object, message, cause: lines.collect(), hint: hint(error.inner()) }
    }
}

/// Prints a command line that was refused as an object.
pub(super) fn print_refused(text: &str, code: u8) {
    let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let object = message.split('\'').nth(1).map(str::to_owned);
    let hint = text.lines().find_map(|line| line.trim().strip_prefix("tip: ")).map(str::to_owned);
    if let Ok(line) = json_line("error", &Told { code, message, object, cause: Vec::new(), hint }) {
        use std::io::Write as _;
        drop(writeln!(std::io::stdout(), "{line}"));
    }
}
