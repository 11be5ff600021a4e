//! Image manifests: one image or artifact (image-spec, `manifest.md`).

use std::collections::BTreeMap;

use oci_spec::image as spec;
use serde_json::Value;

use super::{Descriptor, DocumentError, check_names, json, media_type, typed};
use crate::values::digest::Digest;

/// A manifest as it was read or will be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its media type, OCI's or Docker's.
    pub media_type: String,
    /// What kind of artifact it is, when it is no container image.
    pub artifact_type: Option<String>,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, the base first.
    pub layers: Vec<Descriptor>,
    /// The manifest that this one refers to.
    pub subject: Option<Descriptor>,
    /// Sorted annotations.
    pub annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// Parses checked bytes. `outside` is the media type that the descriptor gave.
    pub fn parse(bytes: &[u8], outside: Option<&str>) -> Result<Self, DocumentError> {
        let value = json::parse(bytes)?;
        let media_type = checked_media_type(&value, outside, &KIND)?;
        let found: spec::ImageManifest = typed("image manifest", value)?;
        Ok(Self {
            media_type,
            artifact_type: found.artifact_type().as_ref().map(ToString::to_string),
            config: Descriptor::from_spec(found.config())?,
            layers: found.layers().iter().map(Descriptor::from_spec).collect::<Result<_, _>>()?,
            subject: found.subject().as_ref().map(Descriptor::from_spec).transpose()?,
            annotations: found.annotations().clone().unwrap_or_default().into_iter().collect(),
        })
    }

    /// The canonical bytes of an OCI image manifest.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut document = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "config": self.config,
            "layers": self.layers,
        });
        let optional = Optional { artifact_type: &self.artifact_type, subject: &self.subject, annotations: &self.annotations };
        optional.add_to(&mut document);
        json::to_canonical(&document)
    }

    /// The type of artifact: `artifactType`, or the configuration's media type where that is no image configuration.
    pub fn effective_artifact_type(&self) -> Option<&str> {
        self.artifact_type.as_deref().or_else(|| {
            let config = self.config.media_type.as_str();
            (!media_type::is_config(config) && config != media_type::EMPTY).then_some(config)
        })
    }
}

/// What manifests and indexes both may have, and leave out where there is none.
pub(super) struct Optional<'a> {
    pub(super) artifact_type: &'a Option<String>,
    pub(super) subject: &'a Option<Descriptor>,
    pub(super) annotations: &'a BTreeMap<String, String>,
}

impl Optional<'_> {
    pub(super) fn add_to(&self, document: &mut Value) {
        if let Some(artifact_type) = self.artifact_type {
            document["artifactType"] = artifact_type.clone().into();
        }
        if let Some(subject) = self.subject {
            document["subject"] = serde_json::json!(subject);
        }
        if !self.annotations.is_empty() {
            document["annotations"] = serde_json::json!(self.annotations);
        }
    }
}

/// What tells one kind of document from another.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) media_type: &'static str,
    /// Members that other kinds have; Docker's schema 1 is one of those.
    pub(super) foreign: &'static [&'static str],
}

const KIND: Kind = Kind { name: "image manifest", media_type: media_type::MANIFEST, foreign: &["manifests", "fsLayers"] };

/// The members of manifests, indexes and schema 1, of descriptors, and of platforms.
const MEMBERS: [&str; 9] =
    ["schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "fsLayers", "subject", "annotations"];
const DESCRIPTOR: [&str; 8] = ["mediaType", "digest", "size", "urls", "annotations", "data", "artifactType", "platform"];
const PLATFORM: [&str; 6] = ["architecture", "os", "os.version", "os.features", "variant", "features"];

/// Checks what every manifest and index has in common, and returns the document's media type.
pub(super) fn checked_media_type(value: &Value, outside: Option<&str>, kind: &Kind) -> Result<String, DocumentError> {
    check_names(value, &MEMBERS)?;
    for descriptor in descriptors(value) {
        check_names(descriptor, &DESCRIPTOR)?;
        descriptor.get("platform").map_or(Ok(()), |platform| check_names(platform, &PLATFORM))?;
    }
    let inside = value.get("mediaType").and_then(Value::as_str);
    if let (Some(inside), Some(outside)) = (inside, outside)
        && inside != outside
    {
        return Err(DocumentError::MediaTypeMismatch { inside: inside.to_owned(), outside: outside.to_owned() });
    }
    if let Some(key) = kind.foreign.iter().find(|key| value.get(key).is_some()) {
        return Err(DocumentError::Ambiguous { kind: kind.name, key });
    }
    let version = value.get("schemaVersion").and_then(Value::as_u64).unwrap_or(0);
    if version != 2 {
        return Err(DocumentError::SchemaVersion(version));
    }
    check_digests(value)?;
    Ok(outside.or(inside).unwrap_or(kind.media_type).to_owned())
}

/// Checks every digest before the typed parser sees it, which would not say what is wrong.
fn check_digests(value: &Value) -> Result<(), DocumentError> {
    for text in descriptors(value).filter_map(|descriptor| descriptor.get("digest")?.as_str()) {
        text.parse::<Digest>()?;
    }
    Ok(())
}

fn descriptors(value: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["layers", "manifests"].iter().filter_map(|key| value.get(key)?.as_array()).flatten();
    let single = ["config", "subject"].iter().filter_map(|key| value.get(key));
    single.chain(lists)
}
