//! White space as the router's own generator sees it, which is JavaScript's.

/// Whether a letter is white space: Unicode's, without `NEL` and with the byte order mark.
pub fn is_space(letter: char) -> bool {
    (letter.is_whitespace() && letter != '\u{85}') || letter == '\u{feff}'
}

/// A text without white space around it.
pub fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}
