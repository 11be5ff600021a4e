//! The text of a schema: places in it, and what its strings mean.

use super::error::{Position, Problem};

/// Turns offsets into places.
pub struct Source<'a> {
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
    /// UTF-16 units before each block of [`BLOCK`] bytes, or before the letter that reaches into it.
    units: Vec<usize>,
}

/// A line may be as long as the text, and many places are asked for: only so many bytes are counted for one.
const BLOCK: usize = 512;

impl<'a> Source<'a> {
    /// A line ends with a line feed, a carriage return, or both.
    pub fn new(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let ends = |at: usize| match bytes[at] {
            b'\n' => true,
            b'\r' => bytes.get(at + 1) != Some(&b'\n'),
            _ => false,
        };
        let lines = std::iter::once(0).chain((0..bytes.len()).filter(|at| ends(*at)).map(|at| at + 1)).collect();
        let mut units = vec![0];
        let mut counted = 0;
        for (at, letter) in text.char_indices() {
            if at + letter.len_utf8() > units.len() * BLOCK {
                units.push(counted);
            }
            counted += letter.len_utf16();
        }
        units.push(counted);
        Self { text, lines, units }
    }

    /// The place of a byte.
    pub fn position(&self, offset: usize) -> Position {
        let offset = offset.min(self.text.len());
        let line = self.lines.partition_point(|start| *start <= offset);
        let column = self.units_before(offset) - self.units_before(self.lines[line - 1]) + 1;
        Position { line: u32::try_from(line).unwrap_or(u32::MAX), column: u32::try_from(column).unwrap_or(u32::MAX) }
    }

    fn units_before(&self, offset: usize) -> usize {
        let block = offset / BLOCK;
        let start = self.text.floor_char_boundary(block * BLOCK);
        self.units[block] + self.text.get(start..offset).map_or(0, |text| text.encode_utf16().count())
    }
}

/// The value of a string literal, with its quotes as they stand in the source.
///
/// The rules are those of the GraphQL specification (October 2021, 2.9.4).
pub fn string_value(literal: &str, at: Position) -> Result<String, Problem> {
    if let Some(block) = literal.strip_prefix("\"\"\"").and_then(|rest| rest.strip_suffix("\"\"\"")) {
        return Ok(block_value(&block.replace("\\\"\"\"", "\"\"\"")));
    }
    let text = literal.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(literal);
    let mut value = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        value.push_str(before);
        let (letter, length) = escaped(after).ok_or_else(|| {
            let shown: String = after.chars().take(4).collect();
            Problem::new(at, format!("a string has the escape `\\{shown}`, which means nothing"), "write `\\\\` for a backslash")
        })?;
        value.push(letter);
        rest = &after[length..];
    }
    value.push_str(rest);
    Ok(value)
}

/// What an escape stands for, and how many bytes follow its backslash.
fn escaped(text: &str) -> Option<(char, usize)> {
    let simple = match text.as_bytes().first()? {
        letter @ (b'"' | b'\\' | b'/') => char::from(*letter),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return escaped_unicode(&text[1..]).map(|(letter, length)| (letter, length + 1)),
        _ => return None,
    };
    Some((simple, 1))
}

fn escaped_unicode(text: &str) -> Option<(char, usize)> {
    let hex = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        plain.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
    };
    if let Some(rest) = text.strip_prefix('{') {
        let (digits, _) = rest.split_once('}')?;
        return Some((char::from_u32(hex(digits)?)?, digits.len() + 2));
    }
    let first = hex(text.get(..4)?)?;
    if let Some(letter) = char::from_u32(first) {
        return Some((letter, 4));
    }
    // Two escapes that are one letter beyond the first plane.
    let second = hex(text.get(4..)?.strip_prefix("\\u")?.get(..4)?)?;
    let pair = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
    let letter = char::decode_utf16(pair).next()?.ok()?;
    Some((letter, 10))
}

/// A block string loses the indentation that its lines share, and blank lines around it.
fn block_value(raw: &str) -> String {
    let raw = raw.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<&str> = raw.split('\n').collect();
    let indentation = |line: &str| line.bytes().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let is_blank = |line: &str| indentation(line) == line.len();
    let shared = lines.iter().skip(1).filter(|line| !is_blank(line)).map(|line| indentation(line)).min().unwrap_or(0);
    let first = lines.iter().position(|line| !is_blank(line)).unwrap_or(lines.len());
    let last = lines.iter().rposition(|line| !is_blank(line)).map_or(first, |at| at + 1);
    let cut = |(at, line): (usize, &&str)| {
        let from = if at == 0 { 0 } else { shared.min(line.len()) };
        line[from..].to_owned()
    };
    let kept: Vec<String> = lines.iter().enumerate().take(last).skip(first).map(cut).collect();
    kept.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(literal: &str) -> Option<String> {
        string_value(literal, Position::default()).ok()
    }

    #[test]
    fn places_count_lines_of_all_systems_and_units_of_utf_16() {
        let source = Source::new("a\nb\r\ncd\re𝄞f");
        let places: Vec<String> = [0, 2, 5, 6, 8, 13].map(|at| source.position(at).to_string()).into();
        assert_eq!(places, ["1:1", "2:1", "3:1", "3:2", "4:1", "4:4"]);
    }

    #[test]
    fn places_in_a_long_line_are_counted_in_blocks() {
        let text = "é𝄞ab".repeat(1000);
        let source = Source::new(&text);
        for (offset, _) in text.char_indices().step_by(7) {
            let column = text[..offset].encode_utf16().count() + 1;
            assert_eq!(source.position(offset).column as usize, column, "{offset}");
        }
        assert_eq!(source.position(text.len()).column, 5001);
    }

    #[test]
    fn strings_mean_what_the_specification_says() {
        assert_eq!(value(r#""a\tb\u0041\u{1F600}\uD83D\uDE00\"""#).unwrap(), "a\tbA😀😀\"");
        for broken in [r#""\q""#, r#""\uD83D""#, r#""\u{110000}""#, r#""\u00g0""#, r#""\u{}""#] {
            assert_eq!(value(broken), None, "{broken}");
        }
        assert_eq!(value("\"\"\"\n    a\n      b\r\n\n    c \\\"\"\" \\n\n  \"\"\"").unwrap(), "a\n  b\n\nc \"\"\" \\n");
        assert_eq!(value("\"\"\" one\"\"\"").unwrap(), " one");
        assert_eq!(value("\"\"\"\n\n\"\"\"").unwrap(), "");
    }
}
