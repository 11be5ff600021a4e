//! Errors become a message, its causes, a hint, and an exit code.

use std::fmt::Write as _;
use std::process::ExitCode;

use super::context::Context;
use super::hints::hint;
use super::terminal::{CYAN, RED};
use plugin_oci::failure::Error;
use plugin_oci::values::text::message;

/// Prints an error and gives its exit code. An error without a message (cargo printed it already) prints nothing.
pub(super) fn report(error: &Error, context: &Context) -> ExitCode {
    if let Some(text) = rendered(error) {
        context.error(&text);
    }
    ExitCode::from(error.class().exit_code())
}

/// An error as people read it, styled, without a line break at its end: the message, its causes, the way out.
pub fn rendered(error: &Error) -> Option<String> {
    let lines: Vec<String> = error.chain().into_iter().filter(|line| !line.is_empty()).collect();
    let (first, causes) = lines.split_first()?;
    let mut text = format!("{RED}error{RED:#}: {}", message(first));
    if !causes.is_empty() {
        text.push_str("\n\nCaused by:");
        for (position, cause) in causes.iter().enumerate() {
            let number = if causes.len() > 1 { format!("{position}: ") } else { String::new() };
            let _ = write!(text, "\n  {number}{}", message(cause));
        }
    }
    if let Some(hint) = hint(error.inner()) {
        let _ = write!(text, "\n\n{CYAN}help{CYAN:#}: {}", message(&hint));
    }
    Some(text)
}
