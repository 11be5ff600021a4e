//! An error as people read it.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use plugin_oci::failure::Error;
use plugin_oci::values::text::message;

use super::hints::hint;

pub const RED: Style = AnsiColor::BrightRed.on_default().bold();
pub const CYAN: Style = AnsiColor::BrightCyan.on_default().bold();

/// Styled, without a line break at its end: the message, its causes, the way out.
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
