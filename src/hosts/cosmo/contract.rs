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

use plugin_oci::documents::{Descriptor, Manifest};
use plugin_oci::failure::{Class, Explain};
use plugin_oci::stores::{Source, StoreError, read_blob};
use plugin_oci::values::digest::Digest;

use plugin_oci::attachments::{Attachment, TITLE};

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
    /// The schema.
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

    /// The contract attached to the image whose root is `subject`; `None` where there is none. Of several, the one with
    /// the lowest digest: which one it is does not depend on the store.
    pub fn of_image(source: &dyn Source, subject: &Digest) -> Result<Option<Self>, ContractError> {
        let found = plugin_oci::attachments::find(source, subject, Self::ARTIFACT_TYPE)?;
        found.first().map(|manifest| Self::read(source, manifest)).transpose()
    }

    fn read(source: &dyn Source, manifest: &Manifest) -> Result<Self, ContractError> {
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

/// Why a contract could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file is missing.
    #[error("the contract attached to the image in {store} has no `{title}`")]
    Incomplete {
        /// The store.
        store: String,
        /// The file.
        title: &'static str,
    },
}

impl Explain for ContractError {
    fn class(&self) -> Class {
        match self {
            Self::Store(error) => error.class(),
            Self::Incomplete { .. } => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Incomplete { .. } => Some("build the image again".to_owned()),
        }
    }
}
