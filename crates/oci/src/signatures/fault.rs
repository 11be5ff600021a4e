//! What is wrong with a signature.

use super::keys::PublicKey;
use crate::finding::Finding;

/// One broken rule of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    rule: &'static str,
    message: String,
}

impl Fault {
    /// The rule that certificates keep by being valid.
    pub const EXPIRED: &'static str = "signature-expired";

    /// The rule, as a finding has it.
    pub fn rule(&self) -> &'static str {
        self.rule
    }

    /// What is wrong, for a person.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The fault as a finding about `object`.
    pub fn finding(&self, object: &str) -> Finding {
        Finding::new(object, self.rule, self.message.clone())
    }

    fn new(rule: &'static str, message: impl Into<String>) -> Self {
        Self { rule, message: message.into() }
    }

    /// There is none.
    pub fn missing(message: impl Into<String>) -> Self {
        Self::new("signature-missing", message)
    }

    /// It is not of the shape that it claims.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new("signature-malformed", message)
    }

    /// It ends too early.
    pub fn truncated(message: impl Into<String>) -> Self {
        Self::new("signature-truncated", message)
    }

    /// One of its media types is another.
    pub fn media_type(found: &str) -> Self {
        Self::new("signature-media-type", format!("`{found}` is not the media type of what it holds"))
    }

    /// An annotation says something else than what it holds.
    pub fn annotation(key: &str) -> Self {
        Self::new("signature-annotation", format!("its annotation `{key}` is not about what it holds"))
    }

    /// Its manifest refers to something else.
    pub fn subject(message: impl Into<String>) -> Self {
        Self::new("signature-subject", message)
    }

    /// The key signed another image.
    pub fn replayed(message: impl Into<String>) -> Self {
        Self::new("signature-replayed", message)
    }

    /// The key signed something that is no signature of the image.
    pub fn purpose(message: impl Into<String>) -> Self {
        Self::new("signature-purpose", message)
    }

    /// It is by another key.
    pub fn key() -> Self {
        Self::new("signature-key", "it is by another key")
    }

    /// It names another key than the one that signed.
    pub fn key_id() -> Self {
        Self::new("signature-key-id", "the key signed it, and it names another")
    }

    /// The key did not sign these bytes.
    pub fn invalid() -> Self {
        Self::new("signature-invalid", "the key did not sign what it holds")
    }

    /// Its certificate is not valid, or no longer.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(Self::EXPIRED, message)
    }

    /// It is none of the key's algorithm.
    pub fn algorithm(key: &PublicKey) -> Self {
        Self::new("signature-algorithm", format!("it is no signature by {}", key.algorithm().as_str()))
    }

    /// The same is said twice.
    pub fn duplicated(message: impl Into<String>) -> Self {
        Self::new("signature-duplicated", message)
    }

    /// It is for another name.
    pub fn identity(message: impl Into<String>) -> Self {
        Self::new("signature-identity", message)
    }
}
