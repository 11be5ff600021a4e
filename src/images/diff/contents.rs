//! Two files with other contents: what they are decides how the difference is told.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use serde_json::Value;
use tempfile::SpooledTempFile;

use super::json::{self, parted};
use super::{Difference, PROGRAM, below, paths, sections};

/// JSON up to this size is compared key by key.
const JSON_LIMIT: u64 = 4 << 20;
/// The most keys that are told.
const MOST_KEYS: usize = 20;
/// The most bytes of a line that are looked at.
const LINE_LIMIT: u64 = 64 << 10;

/// Tells how two contents differ, the file itself first.
pub(super) fn compare(files: [&mut SpooledTempFile; 2], chain: &str) -> io::Result<Vec<Difference>> {
    let [first, second] = files;
    let sizes = [size(first)?, size(second)?];
    let mut told = Vec::new();
    if let Some(parts) = sections::compare([first, second], chain)? {
        let leaked = paths::compare([first, second], chain)?;
        told.push(Difference { rule: PROGRAM, ..contents(chain, sizes, &format!("{} differ", parts.what)) });
        // A path that is there or not is the cause; which sections it is in follows from it.
        told.extend(leaked);
        told.extend(parts.differences);
        return Ok(told);
    }
    if let Some(keys) = json_keys([first, second], sizes)? {
        for part in keys {
            let object = if part.key.is_empty() { chain.to_owned() } else { below(chain, &part.key) };
            told.push(match part.values {
                [Some(a), Some(b)] => Difference::changed(object, "json", "", [json::text(&a), json::text(&b)]),
                [Some(a), None] => Difference::only(object, "json", 0, json::text(&a)),
                [None, b] => Difference::only(object, "json", 1, b.as_ref().map(json::text).unwrap_or_default()),
            });
        }
        if told.is_empty() {
            told.push(contents(chain, sizes, "the same JSON, written otherwise"));
        }
        return Ok(told);
    }
    if is_text(first)? && is_text(second)? {
        told.push(first_line([first, second], chain)?);
        return Ok(told);
    }
    let offset = first_byte([first, second])?;
    told.push(contents(chain, sizes, &format!("they part at byte {offset}")));
    told.extend(paths::compare([first, second], chain)?);
    Ok(told)
}

fn contents(chain: &str, sizes: [u64; 2], what: &str) -> Difference {
    let [first, second] = sizes.map(|size| format!("{size} bytes"));
    let mut told = Difference::changed(chain, "content", "", [first, second]);
    told.message = if sizes[0] == sizes[1] {
        format!("other content of the same size ({} bytes): {what}", sizes[0])
    } else {
        format!("{}: {what}", told.message)
    };
    told
}

fn size(file: &mut SpooledTempFile) -> io::Result<u64> {
    file.seek(SeekFrom::End(0))
}

fn json_keys(files: [&mut SpooledTempFile; 2], sizes: [u64; 2]) -> io::Result<Option<Vec<json::Parted>>> {
    if sizes.iter().any(|size| *size > JSON_LIMIT) {
        return Ok(None);
    }
    let mut values: Vec<Value> = Vec::new();
    for file in files {
        file.rewind()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        match plugin_oci::documents::json::parse(&bytes) {
            Ok(value) if value.is_object() || value.is_array() => values.push(value),
            _ => return Ok(None),
        }
    }
    Ok(Some(parted(&values[0], &values[1], MOST_KEYS)))
}

/// Whether the start of a file is text.
fn is_text(file: &mut SpooledTempFile) -> io::Result<bool> {
    file.rewind()?;
    let mut start = Vec::new();
    file.by_ref().take(LINE_LIMIT).read_to_end(&mut start)?;
    let text = match std::str::from_utf8(&start) {
        Ok(_) => true,
        // A character that was cut at the end does no harm.
        Err(error) => error.error_len().is_none() && error.valid_up_to() + 4 > start.len(),
    };
    Ok(text && !start.contains(&0))
}

fn first_line(files: [&mut SpooledTempFile; 2], chain: &str) -> io::Result<Difference> {
    let [first, second] = files;
    first.rewind()?;
    second.rewind()?;
    let (mut first, mut second) = (BufReader::new(first), BufReader::new(second));
    let mut number = 0_u64;
    loop {
        let lines = [line(&mut first)?, line(&mut second)?];
        number += u64::from(lines.iter().any(|line| line.as_ref().is_none_or(|line| !line.is_empty())));
        if lines[0] == lines[1] && lines[0].is_some() {
            continue;
        }
        let object = below(chain, &format!("line {number}"));
        return Ok(match lines.map(|line| line.map(|line| String::from_utf8_lossy(&line).into_owned())) {
            [Some(a), Some(b)] if a.trim_end_matches('\n') == b.trim_end_matches('\n') => {
                let side = usize::from(b.ends_with('\n'));
                Difference::only(object, "text", side, "a newline at the end")
            }
            [Some(a), Some(b)] => {
                let texts = [a, b].map(|line| line.trim_end_matches('\n').to_owned());
                Difference::changed(object, "text", "", texts)
            }
            [Some(a), None] => Difference::only(object, "text", 0, a.trim_end_matches('\n')),
            [None, Some(b)] => Difference::only(object, "text", 1, b.trim_end_matches('\n')),
            [None, None] => Difference::note(chain, "content", "other content"),
        });
    }
}

/// The next line with its end; a very long one in pieces.
fn line(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let count = reader.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line)?;
    Ok((count > 0).then_some(line))
}

/// The offset of the first byte that differs.
fn first_byte(files: [&mut SpooledTempFile; 2]) -> io::Result<u64> {
    let [first, second] = files;
    first.rewind()?;
    second.rewind()?;
    let (mut first, mut second) = (BufReader::new(first), BufReader::new(second));
    let mut offset = 0;
    loop {
        let (a, b) = (first.fill_buf()?, second.fill_buf()?);
        let common = a.len().min(b.len());
        if let Some(at) = a.iter().zip(b).position(|(a, b)| a != b) {
            return Ok(offset + at as u64);
        }
        if common == 0 {
            return Ok(offset);
        }
        offset += common as u64;
        first.consume(common);
        second.consume(common);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn messages(first: &[u8], second: &[u8]) -> Vec<String> {
        let mut files = [first, second].map(|bytes| {
            let mut file = SpooledTempFile::new(1 << 20);
            file.write_all(bytes).unwrap();
            file
        });
        let [a, b] = &mut files;
        let found = compare([a, b], "x").unwrap();
        found.into_iter().map(|found| format!("{}: {}", found.object, found.message)).collect()
    }

    #[test]
    fn json_parts_at_a_key_and_text_at_a_line() {
        assert_eq!(messages(br#"{"a":{"b":1}}"#, br#"{"a":{"b":2}}"#), ["x > a.b: 1 -> 2"]);
        assert_eq!(messages(br#"{"a":1}"#, br#"{ "a": 1 }"#), ["x: 7 bytes -> 10 bytes: the same JSON, written otherwise"]);
        assert_eq!(messages(b"one\ntwo\nthree\n", b"one\n2\nthree\n"), ["x > line 2: two -> 2"]);
        assert_eq!(messages(b"one\n", b"one\ntwo\n"), ["x > line 2: only in the second: two"]);
        assert_eq!(messages(b"one", b"one\n"), ["x > line 1: only in the second: a newline at the end"]);
    }

    #[test]
    fn other_bytes_part_at_an_offset() {
        assert_eq!(messages(b"ab\0c", b"ab\0d"), ["x: other content of the same size (4 bytes): they part at byte 3"]);
        assert_eq!(messages(b"ab\0", b"ab\0d"), ["x: 3 bytes -> 4 bytes: they part at byte 3"]);
    }
}
