//! In-toto statements (<https://in-toto.io/Statement/v1>): what is said of an image, and what kind of saying it is.

use serde_json::{Value, json};

use super::Fault;
use crate::documents::json as strict;
use crate::values::digest::Digest;

/// Media type of a statement.
pub const MEDIA_TYPE: &str = "application/vnd.in-toto+json";
/// What a statement says that it is.
pub const TYPE: &str = "https://in-toto.io/Statement/v1";

/// Predicate type of a signature: it says no more than that the key signed the image.
pub const SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";

/// Predicate type of provenance.
pub const PROVENANCE: &str = "https://slsa.dev/provenance/v1";

/// Media types of SBOMs, and what a statement calls them.
pub const SBOMS: [(&str, &str); 2] =
    [("application/vnd.cyclonedx+json", "https://cyclonedx.org/bom"), ("application/spdx+json", "https://spdx.dev/Document")];

/// A statement that was signed.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// What kind of thing the predicate is.
    pub predicate_type: String,
    /// What is said.
    pub predicate: Value,
}

/// The statement that an image is signed.
pub fn signature(subject: &Digest) -> Vec<u8> {
    about(subject, SIGNATURE, &json!({}))
}

/// A statement about an image, canonical.
pub fn about(subject: &Digest, predicate_type: &str, predicate: &Value) -> Vec<u8> {
    strict::to_canonical(&json!({
        "_type": TYPE,
        "subject": [{ "digest": { subject.algorithm().as_str(): subject.hex() } }],
        "predicateType": predicate_type,
        "predicate": predicate,
    }))
}

impl Statement {
    /// Parses a statement about `subject`. One about something else is a fault.
    pub fn parse(bytes: &[u8], subject: &Digest) -> Result<Self, Fault> {
        let statement = strict::parse(bytes).map_err(|error| Fault::malformed(format!("its statement is {error}")))?;
        let predicate_type = statement["predicateType"].as_str().unwrap_or_default().to_owned();
        let subjects = statement["subject"].as_array().map(Vec::as_slice).unwrap_or_default();
        if statement["_type"] != TYPE || predicate_type.is_empty() || subjects.is_empty() {
            return Err(Fault::malformed("it holds no in-toto statement of version 1"));
        }
        let algorithm = subject.algorithm().as_str();
        if !subjects.iter().any(|named| named["digest"][algorithm] == subject.hex()) {
            let other = subjects[0]["digest"][algorithm].as_str().unwrap_or("something else");
            return Err(Fault::replayed(format!("the key signed {}, not this image", crate::values::text::name(other))));
        }
        Ok(Self { predicate_type, predicate: statement["predicate"].clone() })
    }
}
