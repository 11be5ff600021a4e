//! What a composer of the federated graph needs to know of a Cosmo Router plugin, attached to the plugin's image.
//!
//! | file | media type | what |
//! |---|---|---|
//! | `schema.graphql` | `application/graphql` | the subgraph's schema |
//! | `service.proto` | `text/x-protobuf` | the gRPC service that the plugin serves |
//! | `mapping.json` | `application/vnd.cargo-plugin-build.cosmo-mapping.v1+json` | which field of the schema is which rpc |
//! | `service.proto.lock.json` | `application/vnd.cargo-plugin-build.cosmo-lock.v1+json` | the field numbers to keep; may be absent |
//!
//! The names are fixed, wherever the package keeps these files, and the bytes are the files' own.
//!
//! # One digest, one contract
//!
//! A referrer names its image, and an image cannot name what names it. So the index names what is *in* the contract, in its
//! annotation [`KEY`]: the SHA-256 of the canonical JSON object of file names and their digests, such as
//! `{"mapping.json":"sha256:..","schema.graphql":"sha256:..","service.proto":"sha256:.."}`. Another schema is another image.
//! Of what is attached, only a manifest whose titled layers give that digest is the image's contract: whoever may write to a
//! registry may attach others, and they are neither read nor copied. An index without the annotation was made before there was
//! one: there, of several, the contract with the lowest digest counts.

pub mod attached;
pub mod diff;
pub mod directory;

use std::collections::BTreeMap;

use plugin_oci::documents::{Descriptor, Manifest, json};
use plugin_oci::failure::{Class, Failure};
use plugin_oci::stores::{Source, StoreError, read_blob};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::text;

use self::attached::Attached;
use plugin_oci::attachments::{Attachment, TITLE};

/// Annotation of the index: the digest of what is in the contract.
pub const KEY: &str = "dev.cargo-plugin-build.cosmo-contract";

/// File names and media types, in order.
const SCHEMA: (&str, &str) = ("schema.graphql", "application/graphql");
const PROTO: (&str, &str) = ("service.proto", "text/x-protobuf");
const MAPPING: (&str, &str) = ("mapping.json", "application/vnd.cargo-plugin-build.cosmo-mapping.v1+json");
const LOCK: (&str, &str) = ("service.proto.lock.json", "application/vnd.cargo-plugin-build.cosmo-lock.v1+json");

/// The most bytes of one file that are read back.
const FILE_LIMIT: u64 = 16 << 20;

/// The four files of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contract {
    pub schema: Vec<u8>,
    /// The service.
    pub proto: Vec<u8>,
    /// The mapping between the two.
    pub mapping: Vec<u8>,
    /// The field numbers to keep.
    pub lock: Option<Vec<u8>>,
}

impl Contract {
    /// The artifact type of the attachment.
    pub const ARTIFACT_TYPE: &'static str = "application/vnd.cargo-plugin-build.cosmo-contract.v1";

    /// The contract as an attachment to the image whose root is `subject`.
    pub fn attach(self, subject: &Descriptor) -> Attachment {
        let files = [(SCHEMA, Some(self.schema)), (PROTO, Some(self.proto)), (MAPPING, Some(self.mapping)), (LOCK, self.lock)];
        let builder = Attachment::builder(Self::ARTIFACT_TYPE, subject);
        let add = |builder: plugin_oci::attachments::Builder, ((title, media_type), bytes): ((&str, &str), Option<Vec<u8>>)| {
            match bytes {
                Some(bytes) => builder.file(title, media_type, bytes),
                None => builder,
            }
        };
        files.into_iter().fold(builder, add).finish()
    }

    /// The digest that the index of its image names.
    pub fn digest(&self) -> Digest {
        let files = [(SCHEMA.0, Some(&self.schema)), (PROTO.0, Some(&self.proto)), (MAPPING.0, Some(&self.mapping))];
        let files = files.into_iter().chain([(LOCK.0, self.lock.as_ref())]);
        digest_of(&files.filter_map(|(title, bytes)| Some((title, Digest::of(bytes?)))).collect())
    }

    /// The contract of the image with this root; `None` where nothing is attached and the image names none.
    pub fn of_image(source: &dyn Source, root: &Descriptor) -> Result<Option<Self>, ContractError> {
        let attached = Attached::of(source, root)?;
        match (&attached.own, attached.named) {
            (Some((_, manifest)), _) => Self::read(source, manifest).map(Some),
            (None, None) => Ok(None),
            (None, Some(named)) => {
                let (store, others) = (source.name(), attached.others.len());
                Err(ContractError::Absent { store, named: text::name(&named).into_owned(), others })
            }
        }
    }

    /// Reads the files of an attached contract.
    pub fn read(source: &dyn Source, manifest: &Manifest) -> Result<Self, ContractError> {
        let file = |(title, _): (&str, &str)| -> Result<Option<Vec<u8>>, ContractError> {
            let titled = |layer: &&Descriptor| layer.annotations.get(TITLE).is_some_and(|named| named == title);
            let layer = manifest.layers.iter().find(titled);
            Ok(layer.map(|layer| read_blob(source, layer, FILE_LIMIT)).transpose()?)
        };
        let needed = |(title, media_type): (&'static str, &str)| {
            file((title, media_type))?.ok_or_else(|| ContractError::Incomplete { store: source.name(), title })
        };
        Ok(Self { schema: needed(SCHEMA)?, proto: needed(PROTO)?, mapping: needed(MAPPING)?, lock: file(LOCK)? })
    }
}

/// The digest of what is in an attached contract; `None` where a layer has no name or two have the same.
pub fn content(manifest: &Manifest) -> Option<Digest> {
    let mut files = BTreeMap::new();
    for layer in &manifest.layers {
        if files.insert(layer.annotations.get(TITLE)?.as_str(), layer.digest.clone()).is_some() {
            return None;
        }
    }
    Some(digest_of(&files))
}

fn digest_of(files: &BTreeMap<&str, Digest>) -> Digest {
    Digest::of(&json::to_canonical(&serde_json::json!(files)))
}

/// Why a contract could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A file is missing.
    #[error("the contract attached to the image in {store} has no `{title}`")]
    Incomplete { store: String, title: &'static str },
    /// The image names a contract, and that one is not attached.
    #[error("the contract {named} of the image in {store} is not attached to it ({others} others are)")]
    Absent {
        store: String,
        named: String,
        /// How many that it does not name are attached.
        others: usize,
    },
}

impl Failure for ContractError {
    fn class(&self) -> Class {
        match self {
            Self::Store(error) => error.class(),
            Self::Incomplete { .. } | Self::Absent { .. } => Class::Failed,
        }
    }
}
