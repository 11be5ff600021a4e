//! Text of strangers on its way to a terminal: what an image, an archive or a server says is escaped and bounded here, and
//! nowhere else. JSON for programs does not come this way: it is data, and whole.
//!
//! What passes as it is: printable characters, as Rust's own `Debug` knows them. All others (control characters, those that
//! change the direction of writing, that have no width, or that no standard assigns) become escapes.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Characters that are shown of one value.
const FIELD: usize = 1000;
/// Characters that are shown of one line, and lines of one message.
const LINE: usize = 4096;
const LINES: usize = 200;

/// One value in a line of several: on one line itself, and cut where it is longer than anybody reads.
pub fn field(text: &str) -> Cow<'_, str> {
    shown(text, FIELD)
}

/// A result of any number of lines, whose values are [`field`]s: each line is cut.
pub fn lines(text: &str) -> String {
    text.split('\n').map(|line| shown(line, LINE)).collect::<Vec<_>>().join("\n")
}

/// A text below a heading: no line of it can be taken for one of ours, and after the first hundreds they are only counted.
pub fn message(text: &str) -> String {
    let mut all = text.split('\n');
    let mut kept: Vec<_> = all.by_ref().take(LINES).map(|line| shown(line, LINE)).collect();
    let left = all.count();
    if left > 0 {
        kept.push(format!("... ({left} more lines)").into());
    }
    kept.join("\n    ")
}

fn shown(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Cow::Borrowed(text);
    }
    let (mut shown, mut length) = (String::new(), 0);
    for (position, character) in text.char_indices() {
        if length >= limit {
            let _ = write!(shown, "... ({} more bytes)", text.len() - position);
            break;
        }
        let before = shown.len();
        match character {
            '\t' => shown.push_str("    "),
            ' '..='~' => shown.push(character),
            other => shown.extend(other.escape_debug()),
        }
        length += shown[before..].chars().count();
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_one_line_and_commands_nothing() {
        assert_eq!(field("a \"b\" \\ c'd é 日本"), "a \"b\" \\ c'd é 日本");
        assert_eq!(field("\u{1b}[2J\r\n\u{9b}1m"), "\\u{1b}[2J\\r\\n\\u{9b}1m");
        for hidden in ['\u{202e}', '\u{2066}', '\u{200b}', '\u{61c}', '\u{feff}', '\u{e0041}', '\u{2028}'] {
            assert_eq!(field(&hidden.to_string()), hidden.escape_unicode().to_string());
        }
    }

    #[test]
    fn what_is_too_long_is_cut_and_counted() {
        assert_eq!(field(&"a".repeat(FIELD)), "a".repeat(FIELD));
        assert_eq!(field(&"é".repeat(FIELD + 1)), format!("{}... (2 more bytes)", "é".repeat(FIELD)));
        assert!(field(&"\u{1b}".repeat(3 << 20)).len() < FIELD + 50);
        let many = message(&format!("{}\n", "b".repeat(LINE + 1)).repeat(LINES + 5));
        assert!(many.starts_with(&format!("{}... (1 more bytes)\n    b", "b".repeat(LINE))));
        assert!(many.ends_with("... (6 more lines)"), "the last is empty");
        assert_eq!(message("one\nerror: two"), "one\n    error: two");
    }
}
