//! Errors become a message, its causes, a hint, and an exit code.

use std::process::ExitCode;

use super::context::Context;
use plugin_oci::failure::Error;

/// Prints an error and gives its exit code. An error without a message (cargo printed it already) prints nothing.
pub fn report(error: &Error, context: &Context) -> ExitCode {
    let lines: Vec<String> = error.chain().into_iter().filter(|line| !line.is_empty()).collect();
    context.error(&lines, error.hint().as_deref());
    ExitCode::from(error.class().exit_code())
}
