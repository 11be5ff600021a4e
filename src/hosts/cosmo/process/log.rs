//! A plugin's stderr, as its host takes it: one hclog JSON object a line, or text.
//!
//! An object's `@level` and `@message` decide; its other keys are fields. Without a level that hclog knows, the whole line
//! is a debug message. Text gets the level of its prefix, `[INFO]` and the like, and is a debug message without one. Two
//! things deserve a word: where `@level` or `@message` is no string, go-plugin stops the whole host, and a line over
//! 64 KiB is cut into pieces that no longer are JSON.

use std::fmt::Write as _;
use std::io::{self, BufRead};

use serde_json::{Map, Value};

use plugin_oci::progress::LogLevel;

/// The longest line in one piece, as go-plugin's.
pub(super) const LINE_LIMIT: u64 = 64 << 10;

/// One line, re-levelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How the host would log it.
    pub level: LogLevel,
    /// The message and, after it, ` key=value` for each field; without control characters.
    pub text: String,
    /// Whether the host would stop at this line.
    pub fatal: bool,
}

impl LogLine {
    /// Reads a line without its end.
    pub fn parse(line: &str) -> Self {
        match serde_json::from_str::<Map<String, Value>>(line) {
            Ok(object) => Self::of_object(object, line),
            Err(_) => Self { level: level_of_prefix(line), text: printable(line, usize::MAX), fatal: false },
        }
    }

    fn of_object(mut object: Map<String, Value>, line: &str) -> Self {
        let verbatim = |level, fatal| Self { level, text: printable(line, usize::MAX), fatal };
        let known = ["@message", "@level", "@timestamp"].map(|key| object.remove(key));
        if known.iter().flatten().any(|value| !value.is_string()) {
            return verbatim(LogLevel::Error, true);
        }
        let [message, level, _] = known.map(|value| value.and_then(|value| value.as_str().map(str::to_owned)));
        let Some(level) = level.as_deref().and_then(level_of_word) else { return verbatim(LogLevel::Debug, false) };
        let mut text = message.unwrap_or_default();
        let fields: std::collections::BTreeMap<String, Value> = object.into_iter().collect();
        for (key, value) in fields {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let _ = write!(text, " {key}={value}");
        }
        Self { level, text: printable(&text, usize::MAX), fatal: false }
    }
}

fn level_of_word(word: &str) -> Option<LogLevel> {
    let word = word.trim().to_ascii_lowercase();
    LEVELS.into_iter().find(|level| level.as_str() == word)
}

fn level_of_prefix(line: &str) -> LogLevel {
    let prefixed = |level: &LogLevel| line.starts_with(&format!("[{}]", level.as_str().to_ascii_uppercase()));
    LEVELS.into_iter().find(prefixed).unwrap_or(LogLevel::Debug)
}

const LEVELS: [LogLevel; 5] = [LogLevel::Trace, LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];

/// Text that a terminal cannot take for commands, cut to `limit` characters.
pub(super) fn printable(text: &str, limit: usize) -> String {
    let mut out = String::new();
    for letter in text.chars().take(limit) {
        if letter.is_control() && letter != '\t' {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}

/// Reads a line, or a piece of one that is too long; `None` at the end.
pub(super) fn read_line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let count = io::Read::take(&mut *from, LINE_LIMIT).read_until(b'\n', &mut line)?;
    if count == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> (LogLevel, String) {
        let line = LogLine::parse(line);
        (line.level, line.text)
    }

    #[test]
    fn hclog_objects_give_level_message_and_fields() {
        let line = r#"{"@level":"warn","@message":"slow","@timestamp":"2024-02-29T12:00:00.000000Z","ms":12,"a":"b"}"#;
        assert_eq!(parsed(line), (LogLevel::Warn, "slow a=b ms=12".to_owned()));
        assert_eq!(parsed(r#"{"@level":" INFO ","@message":"x"}"#), (LogLevel::Info, "x".to_owned()));
    }

    #[test]
    fn other_json_and_text_are_debug_messages_unless_a_prefix_says_more() {
        for line in [r#"{"level":"error","msg":"x"}"#, "plain", "[1,2]", r#"{"@level":"loud","@message":"x"}"#] {
            assert_eq!(parsed(line), (LogLevel::Debug, line.to_owned()));
        }
        assert_eq!(parsed("[ERROR] x"), (LogLevel::Error, "[ERROR] x".to_owned()));
        assert_eq!(parsed("[TRACE] x").0, LogLevel::Trace);
        assert_eq!(parsed("[error] x").0, LogLevel::Debug);
    }

    #[test]
    fn a_line_that_stops_go_plugin_is_marked() {
        assert!(LogLine::parse(r#"{"@level":3,"@message":"x"}"#).fatal);
        assert!(LogLine::parse(r#"{"@level":"info","@message":{}}"#).fatal);
        assert!(!LogLine::parse(r#"{"@level":"info"}"#).fatal);
    }

    #[test]
    fn no_line_can_command_a_terminal() {
        assert_eq!(LogLine::parse("a\u{1b}[31mb\u{7}").text, "a\\u{1b}[31mb\\u{7}");
        assert_eq!(printable("a\tb\nc", 4), "a\tb\\n");
    }

    #[test]
    fn lines_are_read_in_bounded_pieces() {
        let limit = usize::try_from(LINE_LIMIT).unwrap();
        let long = "x".repeat(limit + 1);
        let text = format!("{long}\r\nlast");
        let mut from = text.as_bytes();
        let mut lengths = Vec::new();
        while let Some(line) = read_line(&mut from).unwrap() {
            lengths.push(line.len());
        }
        assert_eq!(lengths, [limit, 1, 4]);
    }
}
