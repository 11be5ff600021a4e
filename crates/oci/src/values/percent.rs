//! Percent-encoding (RFC 3986, section 2.1).

/// A text in which letters, digits, `-._~` and the ASCII characters of `keep` stand for themselves.
pub fn encoded(text: &str, keep: &str) -> String {
    let stays = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.as_bytes().contains(&byte);
    text.bytes().map(|byte| if stays(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
