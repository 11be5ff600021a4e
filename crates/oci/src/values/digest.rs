//! Content digests: `algorithm:hex`, checked before anything is built from them.
//!
//! A [`Digest`] can only hold what the OCI image specification's digest grammar allows for the two algorithms it
//! registers, so that a digest read from hostile bytes can be turned into a path without another check.
//! Every blob that this tool writes is named by SHA-256; SHA-512 is only read and verified.
//!
//! ```
//! use plugin_oci::values::digest::Digest;
//!
//! let digest = Digest::of(b"hello");
//! assert_eq!(digest, digest.to_string().parse()?);
//! assert!("sha256:../../etc/passwd".parse::<Digest>().is_err());
//! # Ok::<(), plugin_oci::values::digest::DigestError>(())
//! ```

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};

use crate::failure::{Class, Failure};

/// A registered digest algorithm (image-spec, `descriptor.md`, "Registered algorithms").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256, 64 hexadecimal characters.
    Sha256,
    /// SHA-512, 128 hexadecimal characters.
    Sha512,
}

impl Algorithm {
    /// The algorithm's name as it stands before the colon.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    const fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// The digest of some bytes. A *digest* names bytes as stored (compressed); a *diff id* is the same type over the
/// uncompressed tar.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

impl Digest {
    /// Hashes `bytes` with SHA-256.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// The algorithm before the colon.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The lowercase hexadecimal characters after the colon.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// The first twelve hexadecimal characters, for messages.
    pub fn short(&self) -> &str {
        &self.hex[..12]
    }
}

/// Whether all characters are lowercase hexadecimal digits.
pub(super) fn is_lowercase_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.as_str(), self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let bad = || DigestError::Malformed(text.chars().take(200).collect());
        let (name, hex) = text.split_once(':').ok_or_else(bad)?;
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ if is_algorithm_name(name) => return Err(DigestError::UnknownAlgorithm(name.to_owned())),
            _ => return Err(bad()),
        };
        if hex.len() != algorithm.hex_len() || !is_lowercase_hex(hex) {
            return Err(bad());
        }
        Ok(Self { algorithm, hex: hex.to_owned() })
    }
}

fn is_algorithm_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+._-".contains(&b))
}

/// Why a text is not a digest that can be checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The text does not follow the grammar.
    #[error("`{0}` is not a digest (want `sha256:` and 64 lowercase hexadecimal characters)")]
    Malformed(String),
    /// The grammar holds, but the algorithm is not one that can be verified here.
    #[error("cannot verify digests of algorithm `{0}` (only sha256 and sha512)")]
    UnknownAlgorithm(String),
}

impl Failure for DigestError {
    fn class(&self) -> Class {
        Class::Usage
    }
}

/// A running hash; also a [`Write`] end, so that it can stand beside a real one.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(sha2::Sha256),
    Sha512(Box<sha2::Sha512>),
}

impl Hasher {
    /// Starts a SHA-256.
    pub fn new() -> Self {
        Self::with(Algorithm::Sha256)
    }

    /// Starts a hash of the given algorithm.
    pub fn with(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Box::new(sha2::Sha512::new())),
        })
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// Adds everything that a reader has, through a fixed buffer.
    pub fn update_from(&mut self, from: &mut impl Read) -> io::Result<()> {
        let mut buffer = vec![0; 256 << 10];
        loop {
            match from.read(&mut buffer)? {
                0 => return Ok(()),
                count => self.update(&buffer[..count]),
            }
        }
    }

    /// What is needed to go on elsewhere: the intermediate hash value, the count, and the bytes of the last block. It is as
    /// secret as the bytes added.
    pub fn state(&self) -> Vec<u8> {
        match &self.0 {
            State::Sha256(state) => state.serialize().to_vec(),
            State::Sha512(state) => state.serialize().to_vec(),
        }
    }

    /// Goes on from a [`state`](Self::state) of the same algorithm; `None` for what is none.
    pub fn resumed(algorithm: Algorithm, state: &[u8]) -> Option<Self> {
        Some(Self(match algorithm {
            Algorithm::Sha256 => {
                let state = SerializedState::<sha2::Sha256>::try_from(state).ok()?;
                State::Sha256(sha2::Sha256::deserialize(&state).ok()?)
            }
            Algorithm::Sha512 => {
                let state = SerializedState::<sha2::Sha512>::try_from(state).ok()?;
                State::Sha512(Box::new(sha2::Sha512::deserialize(&state).ok()?))
            }
        }))
    }

    /// The digest of all bytes added.
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(state) => Digest { algorithm: Algorithm::Sha256, hex: to_hex(&state.finalize()) },
            State::Sha512(state) => Digest { algorithm: Algorithm::Sha512, hex: to_hex(&state.finalize()) },
        }
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes as lowercase hexadecimal digits.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        hex.push(char::from(DIGITS[usize::from(byte >> 4)]));
        hex.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_digest_is_the_well_known_one() {
        assert_eq!(Digest::of(b"").to_string(), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn a_hash_goes_on_from_its_state() {
        let bytes = [7; 300];
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let mut whole = Hasher::with(algorithm);
            whole.update(&bytes);
            for at in [0, 1, 63, 64, 127, 128, 129, 300] {
                let mut first = Hasher::with(algorithm);
                first.update(&bytes[..at]);
                let mut second = Hasher::resumed(algorithm, &first.state()).unwrap();
                second.update(&bytes[at..]);
                assert_eq!(second.finish(), whole.clone().finish(), "{at}");
            }
            assert!(Hasher::resumed(algorithm, &[0; 3]).is_none());
        }
    }

    #[test]
    fn only_the_grammar_of_known_algorithms_parses() {
        let good = Digest::of(b"x").to_string();
        assert_eq!(good.parse::<Digest>().unwrap().to_string(), good);
        for bad in ["", "sha256", "sha256:", "sha256:ABC", "../x:00", &good[..70], &format!("{good}0"), &good.to_uppercase()] {
            assert!(matches!(bad.parse::<Digest>(), Err(DigestError::Malformed(_))), "{bad}");
        }
        assert!(matches!("blake3:00".parse::<Digest>(), Err(DigestError::UnknownAlgorithm(_))));
    }
}
