//! Text of strangers on its way to a terminal: what an image, an archive or a server says is escaped and bounded here, and
//! nowhere else. JSON for programs is data, and whole; what the terminal would obey in it is written as JSON's own escapes,
//! which every reader takes for the same text.
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

/// Characters of one name that is repeated in many places.
const NAME: usize = 200;

/// A name that many findings are to begin with: cut, so that what a stranger makes long is not long a thousand times.
pub fn name(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(NAME) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}... ({} more bytes)", &text[..end], text.len() - end)),
    }
}

/// JSON whose strings hold no character that a terminal obeys or hides.
pub fn json(document: String) -> String {
    if document.bytes().all(|byte| byte.is_ascii() && byte != 0x7f) {
        return document;
    }
    let mut shown = String::with_capacity(document.len());
    for character in document.chars() {
        // Between strings everything is plain ASCII.
        if character == '\u{7f}' || !character.is_ascii() && character.escape_debug().len() > 1 {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(character);
        }
    }
    shown
}

/// A size as people read it, in powers of 1024.
pub fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = u128::from(bytes) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

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
    fn json_says_the_same_and_commands_nothing() {
        for text in ["é 日本 \u{1f600}", "\u{7f}\u{9b}2J\u{202e}\u{2028}\u{200b}\u{e0041}\u{1b}"] {
            let told = json(serde_json::to_string(text).unwrap());
            assert_eq!(serde_json::from_str::<String>(&told).unwrap(), text);
            assert!(
                told.chars().all(|character| character.is_ascii_graphic() || "é 日本\u{1f600}".contains(character)),
                "{told}"
            );
        }
    }

    #[test]
    fn a_name_is_cut_between_characters() {
        assert_eq!(name(&"é".repeat(NAME)), "é".repeat(NAME));
        assert_eq!(name(&"é".repeat(NAME + 2)), format!("{}... (4 more bytes)", "é".repeat(NAME)));
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
