//! The OCI documents: canonical JSON out, strict JSON in, typed by the `oci-spec` crate between.
//!
//! Rules for every document that is read, in this order: its size against a cap, its digest, its media type; only then
//! is it parsed. Parsing refuses duplicate keys at every depth and nesting beyond 128, because two parsers that disagree
//! about a document disagree about what is signed (CVE-2021-41190 is one such case). For the same reason no member may differ
//! from one that the specification names in case alone.
//!
//! Rules for every document that is written: UTF-8, keys sorted, no white space, no time but the epoch's.
//!
//! Shapes: image-spec `manifest.md`, `image-index.md`, `config.md`, `descriptor.md`.
//!
//! ```
//! use plugin_oci::documents::{Document, media_type};
//!
//! let bytes = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
//! let Document::Index(index) = Document::parse(bytes, media_type::INDEX)? else { panic!("an index") };
//! assert!(index.manifests.is_empty());
//! // Two members of one name: which one would be signed?
//! let twice = br#"{"schemaVersion":2,"schemaVersion":2,"manifests":[]}"#;
//! assert!(Document::parse(twice, media_type::INDEX).is_err());
//! # Ok::<(), plugin_oci::documents::DocumentError>(())
//! ```

mod config;
mod descriptor;
pub mod image;
mod index;
pub mod json;
mod manifest;
pub mod media_type;

pub use config::Config;
pub use descriptor::Descriptor;
pub use index::Index;
pub use manifest::Manifest;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::values::digest::DigestError;

/// The most bytes of a manifest or index that are read.
pub const MANIFEST_LIMIT: u64 = 4 << 20;
/// The most bytes of an image configuration that are read.
pub const CONFIG_LIMIT: u64 = 8 << 20;
/// How deep indexes may nest in indexes.
pub const NESTING_LIMIT: usize = 8;

/// Annotation that names an entry of `index.json`: its tag.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// A parsed manifest or index.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "few of them exist at a time")]
pub enum Document {
    /// One image or artifact.
    Manifest(Manifest),
    /// Several, by platform.
    Index(Index),
}

impl Document {
    /// Parses bytes whose size and digest were checked, as what their descriptor says they are.
    pub fn parse(bytes: &[u8], media_type: &str) -> Result<Self, DocumentError> {
        if media_type::is_index(media_type) {
            Ok(Self::Index(Index::parse(bytes, Some(media_type))?))
        } else if media_type::is_manifest(media_type) {
            Ok(Self::Manifest(Manifest::parse(bytes, Some(media_type))?))
        } else {
            Err(DocumentError::NotAManifest(media_type.to_owned()))
        }
    }

    /// Every descriptor that the document points at, in order.
    pub fn children(&self) -> Vec<&Descriptor> {
        match self {
            Self::Manifest(manifest) => std::iter::once(&manifest.config).chain(&manifest.layers).collect(),
            Self::Index(index) => index.manifests.iter().collect(),
        }
    }

    /// The manifest that this one refers to.
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Manifest(manifest) => manifest.subject.as_ref(),
            Self::Index(index) => index.subject.as_ref(),
        }
    }

    /// What it is a document of: the artifact type of the manifest or index, where it has one.
    pub fn artifact_type(&self) -> Option<&str> {
        match self {
            Self::Manifest(manifest) => manifest.effective_artifact_type(),
            Self::Index(index) => index.artifact_type.as_deref(),
        }
    }

    /// The document's own annotations.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Manifest(manifest) => &manifest.annotations,
            Self::Index(index) => &index.annotations,
        }
    }
}

/// Why bytes are not the document they should be.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Not JSON, or a duplicate key, or too deep.
    #[error("{0}")]
    Json(#[from] json::JsonError),
    /// JSON of another shape.
    #[error("the {what} has the wrong shape{}", if key == "." { String::new() } else { format!(" at `{key}`") })]
    Shape {
        /// `image manifest`, `image index`, `image configuration`.
        what: &'static str,
        /// The member: `layers`, `manifests[0].digest`; a dot for the document itself.
        key: String,
        /// What the typed parser said.
        source: serde_json::Error,
    },
    /// A digest in it is none.
    #[error("the document holds a bad digest")]
    Digest(#[from] DigestError),
    /// The document says it is something else than its descriptor says.
    #[error("the document says mediaType `{inside}`, its descriptor says `{outside}`")]
    MediaTypeMismatch {
        /// The document's own `mediaType`.
        inside: String,
        /// The descriptor's.
        outside: String,
    },
    /// A member of another kind of document: parsers would disagree about what it is.
    #[error("the document is called an {kind}, and has `{key}` as none has")]
    Ambiguous {
        /// `image manifest` or `image index`.
        kind: &'static str,
        /// The member.
        key: &'static str,
    },
    /// A member whose name differs from one of the specification's in case only.
    #[error("it has `{key}`, which is `{name}` to some readers and nothing to others")]
    Lookalike {
        /// The member.
        key: String,
        /// What Go's parser takes it for.
        name: &'static str,
    },
    /// `schemaVersion` is not 2.
    #[error("schemaVersion is {0}, not 2")]
    SchemaVersion(u64),
    /// `rootfs.type` is not `layers`.
    #[error("rootfs.type is `{0}`, not `layers`")]
    RootfsType(String),
    /// A media type that is neither manifest nor index.
    #[error("`{0}` is neither an image manifest nor an image index")]
    NotAManifest(String),
    /// The embedded `data` is not the content that the descriptor names.
    #[error("the embedded `data` of {0} is not the content that its digest names")]
    WrongData(String),
}

impl Failure for DocumentError {}

/// A document as its type, or which member does not fit.
fn typed<T: DeserializeOwned>(what: &'static str, value: serde_json::Value) -> Result<T, DocumentError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let key = error.path().to_string().escape_debug().take(200).collect();
        DocumentError::Shape { what, key, source: error.into_inner() }
    })
}

/// Refuses what is another document to other parsers: see [`json::lookalike`].
fn check_names(object: &serde_json::Value, names: &[&'static str]) -> Result<(), DocumentError> {
    match json::lookalike(object, names) {
        Some((key, name)) => Err(DocumentError::Lookalike { key: key.to_owned(), name }),
        None => Ok(()),
    }
}
