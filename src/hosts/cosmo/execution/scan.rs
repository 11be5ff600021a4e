//! JSON read as it flows by: where values lie in a text of any size, and the few of them that are asked for.
//!
//! RFC 8259. Memory does not grow with the text: a value that nobody asks for is passed over, and one that is asked for may
//! have so many bytes and no more. What is wrong with the text is told with the byte at which it is.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::ops::Range;

/// The deepest nesting that is read.
const DEPTH_LIMIT: usize = 128;
/// The most bytes of a member's name.
const KEY_LIMIT: usize = 1 << 20;
const BUFFER: usize = 64 << 10;

/// Where a value lies, in bytes from the start of the text.
pub type Span = Range<u64>;

/// Reads a member or an item; white space before it is given.
type Item<'a, R> = dyn FnMut(&mut Scanner<R>, Vec<u8>) -> Result<(), ScanError> + 'a;

/// Reads a text once, from its start to its end.
pub struct Scanner<R> {
    input: R,
    buffer: Vec<u8>,
    at: usize,
    /// Where the buffer begins in the text.
    begins: u64,
    depth: usize,
    kept: Option<Kept>,
}

/// Bytes that are kept as they pass.
struct Kept {
    bytes: Vec<u8>,
    limit: usize,
}

impl<R: Read> Scanner<R> {
    /// At the start of a text.
    pub fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), at: 0, begins: 0, depth: 0, kept: None }
    }

    /// Sees that nothing comes after the value.
    pub fn end(&mut self) -> Result<(), ScanError> {
        match self.next_word()? {
            None => Ok(()),
            Some(_) => self.wrong("nothing may follow the document"),
        }
    }

    /// What kind of value comes next: its first byte.
    pub fn kind(&mut self) -> Result<Option<u8>, ScanError> {
        self.next_word()
    }

    /// How many bytes were read.
    pub fn position(&self) -> u64 {
        self.begins + self.at as u64
    }

    /// Reads an object, calling `member` before each value, which it must read; any other value is passed over. A name that
    /// stands twice is an error.
    pub fn object(&mut self, member: &mut dyn FnMut(&mut Self, &Member) -> Result<(), ScanError>) -> Result<Span, ScanError> {
        if self.next_word()? != Some(b'{') {
            return self.pass();
        }
        let mut seen = BTreeSet::new();
        self.sequence(b'}', &mut |scanner, gap| {
            let key = scanner.text(KEY_LIMIT)?;
            if !seen.insert(key.clone()) {
                return scanner.wrong("a member stands twice");
            }
            scanner.expect(b':')?;
            scanner.next_word()?;
            member(scanner, &Member { key, gap })
        })
    }

    /// Reads an array, calling `item` before each value, which it must read; any other value is passed over.
    pub fn array(&mut self, item: &mut dyn FnMut(&mut Self) -> Result<(), ScanError>) -> Result<Span, ScanError> {
        if self.next_word()? != Some(b'[') {
            return self.pass();
        }
        self.sequence(b']', &mut |scanner, _| item(scanner))
    }

    /// Passes over a value of any kind.
    pub fn skip(&mut self) -> Result<(), ScanError> {
        self.pass()?;
        Ok(())
    }

    fn pass(&mut self) -> Result<Span, ScanError> {
        match self.next_word()? {
            Some(b'{') => self.sequence(b'}', &mut |scanner, _| {
                scanner.string()?;
                scanner.expect(b':')?;
                scanner.skip()
            }),
            Some(b'[') => self.sequence(b']', &mut |scanner, _| scanner.skip()),
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => self.word(),
            _ => self.wrong("a value is missing"),
        }
    }

    /// Passes over a value and keeps its text.
    pub fn raw(&mut self, limit: usize) -> Result<(Span, Vec<u8>), ScanError> {
        self.next_word()?;
        self.kept = Some(Kept { bytes: Vec::new(), limit });
        let span = self.pass()?;
        let kept = self.kept.take().map(|kept| kept.bytes).unwrap_or_default();
        Ok((span, kept))
    }

    /// Reads a string.
    pub fn text(&mut self, limit: usize) -> Result<String, ScanError> {
        let at = self.position();
        if self.next_word()? != Some(b'"') {
            return self.wrong("a string is missing");
        }
        let (_, raw) = self.raw(limit)?;
        serde_json::from_slice(&raw).map_err(|_| ScanError::Wrong { what: "a string is malformed", at })
    }

    /// Reads a string where one stands; another value is passed over.
    pub fn text_or_skip(&mut self, limit: usize) -> Result<(Span, Option<String>), ScanError> {
        if self.next_word()? != Some(b'"') {
            return Ok((self.pass()?, None));
        }
        let start = self.position();
        let text = self.text(limit)?;
        Ok((start..self.position(), Some(text)))
    }

    fn sequence(&mut self, close: u8, item: &mut Item<'_, R>) -> Result<Span, ScanError> {
        let start = self.position();
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return self.wrong("it is nested too deep");
        }
        self.bump()?;
        let mut gap = self.space()?;
        let mut is_first = true;
        loop {
            match self.peek()? {
                Some(byte) if byte == close && is_first => break,
                Some(_) => item(self, gap)?,
                None => return self.wrong("it ends too early"),
            }
            is_first = false;
            match self.next_word()? {
                Some(b',') => self.bump()?,
                Some(byte) if byte == close => break,
                _ => return self.wrong("a comma or bracket is missing"),
            }
            gap = self.space()?;
        }
        self.bump()?;
        self.depth -= 1;
        Ok(start..self.position())
    }

    /// Passes over a string, escapes as they are.
    fn string(&mut self) -> Result<Span, ScanError> {
        let start = self.position();
        if self.peek()? != Some(b'"') {
            return self.wrong("a string is missing");
        }
        self.bump()?;
        loop {
            if self.peek()?.is_none() {
                return self.wrong("a string does not end");
            }
            let rest = &self.buffer[self.at..];
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)).unwrap_or(rest.len());
            self.advance(plain)?;
            match self.peek()? {
                Some(b'"') => {
                    self.bump()?;
                    return Ok(start..self.position());
                }
                Some(b'\\') => {
                    self.bump()?;
                    match self.peek()? {
                        Some(b'u') => self.code_unit()?,
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.bump()?,
                        _ => return self.wrong("an escape is malformed"),
                    }
                }
                Some(0..=0x1f) => return self.wrong("a control character stands in a string"),
                _ => {}
            }
        }
    }

    /// Passes over `u` and its four digits.
    fn code_unit(&mut self) -> Result<(), ScanError> {
        self.bump()?;
        for _ in 0..4 {
            if !self.peek()?.is_some_and(|byte| byte.is_ascii_hexdigit()) {
                return self.wrong("an escape is malformed");
            }
            self.bump()?;
        }
        Ok(())
    }

    /// Passes over a number, `true`, `false` or `null`.
    fn word(&mut self) -> Result<Span, ScanError> {
        let start = self.position();
        let mut word = Vec::new();
        while let Some(byte) = self.peek()?.filter(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')) {
            word.push(byte);
            self.bump()?;
            if word.len() > 1024 {
                return self.wrong("a number is too long");
            }
        }
        let is_word = serde_json::from_slice::<serde_json::Value>(&word).is_ok();
        if is_word { Ok(start..self.position()) } else { self.wrong("a value is malformed") }
    }

    fn expect(&mut self, byte: u8) -> Result<(), ScanError> {
        if self.next_word()? != Some(byte) {
            return self.wrong("a colon is missing");
        }
        self.bump()
    }

    /// The byte after white space.
    fn next_word(&mut self) -> Result<Option<u8>, ScanError> {
        while self.peek()?.is_some_and(is_space) {
            self.bump()?;
        }
        self.peek()
    }

    /// White space, as it is up to a length that people write.
    fn space(&mut self) -> Result<Vec<u8>, ScanError> {
        let mut space = Vec::new();
        while let Some(byte) = self.peek()?.filter(|byte| is_space(*byte)) {
            if space.len() < 256 {
                space.push(byte);
            }
            self.bump()?;
        }
        Ok(space)
    }

    fn peek(&mut self) -> Result<Option<u8>, ScanError> {
        if self.at == self.buffer.len() {
            self.begins += self.buffer.len() as u64;
            self.at = 0;
            self.buffer.resize(BUFFER, 0);
            let count = loop {
                match self.input.read(&mut self.buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => break read?,
                }
            };
            self.buffer.truncate(count);
        }
        Ok(self.buffer.get(self.at).copied())
    }

    fn bump(&mut self) -> Result<(), ScanError> {
        self.advance(1)
    }

    /// Goes on by bytes that are in the buffer.
    fn advance(&mut self, count: usize) -> Result<(), ScanError> {
        if let Some(kept) = &mut self.kept {
            if kept.bytes.len() + count > kept.limit {
                let limit = kept.limit;
                return Err(ScanError::TooLong { limit, at: self.position() });
            }
            kept.bytes.extend_from_slice(&self.buffer[self.at..self.at + count]);
        }
        self.at += count;
        Ok(())
    }

    fn wrong<T>(&self, what: &'static str) -> Result<T, ScanError> {
        Err(ScanError::Wrong { what, at: self.position() })
    }
}

/// A member of an object, before its value is read.
pub struct Member {
    /// Its name.
    pub key: String,
    /// White space before it.
    pub gap: Vec<u8>,
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Why a text is not read.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// It is no JSON.
    #[error("{what}, at byte {at}")]
    Wrong { what: &'static str, at: u64 },
    /// A value that is asked for is longer than any honest one.
    #[error("a value has more than {limit} bytes, at byte {at}")]
    TooLong { limit: usize, at: u64 },
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a byte at a time.
    struct Dripping<'a>(&'a [u8]);

    impl Read for Dripping<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            buffer[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    fn passes(text: &str) -> Result<Span, ScanError> {
        let mut scanner = Scanner::new(Dripping(text.as_bytes()));
        let span = scanner.pass()?;
        scanner.end().map(|()| span)
    }

    #[test]
    fn it_takes_what_is_json_and_nothing_else() {
        for text in ["{}", "[]", " [1, -2.5e3,true,null]\n", r#"{"a":{"b":[{"c":"\u00e9\\\""}]}}"#, r#""x""#, "0"] {
            assert!(passes(text).is_ok(), "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(text).is_ok());
        }
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\" 1}",
            "{\"a\":}",
            "{a:1}",
            "[1 2]",
            "01",
            "tru",
            "\"\\x\"",
            "\"\\u00g0\"",
            "\"\\u00",
            "\"a\nb\"",
            "{} {}",
            "[}",
            "\"a",
        ] {
            assert!(passes(text).is_err(), "{text}");
        }
        assert!(passes(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn it_finds_what_is_asked_for_where_it_lies() {
        let text = r#"{ "skipped": [{"wanted": 1}],
  "wanted": "a\"b" }"#;
        let mut found = Vec::new();
        let mut scanner = Scanner::new(Dripping(text.as_bytes()));
        let whole = scanner.object(&mut |scanner, member| {
            let (span, text) = scanner.text_or_skip(100)?;
            found.push((member.key.clone(), member.gap.clone(), span, text));
            Ok(())
        });
        assert_eq!(whole.unwrap(), 0..text.len() as u64);
        let (key, gap, span, value) = found.pop().unwrap();
        assert_eq!((key.as_str(), gap.as_slice(), value.as_deref()), ("wanted", b"\n  ".as_slice(), Some("a\"b")));
        assert_eq!(&text[usize::try_from(span.start).unwrap()..usize::try_from(span.end).unwrap()], r#""a\"b""#);
    }

    #[test]
    fn a_name_that_stands_twice_or_a_value_without_end_is_refused() {
        let skip = &mut |scanner: &mut Scanner<_>, _: &Member| scanner.skip();
        let twice = Scanner::new(Dripping(br#"{"a":1,"\u0061":2}"#)).object(skip);
        assert!(matches!(twice, Err(ScanError::Wrong { .. })));
        let long = Scanner::new(Dripping(br#""0123456789""#)).text(8);
        assert!(matches!(long, Err(ScanError::TooLong { limit: 8, .. })));
    }
}
