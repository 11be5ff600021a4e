//! Image indexes: several manifests by platform (image-spec, `image-index.md`).

use std::collections::BTreeMap;

use oci_spec::image as spec;

use super::manifest::{Kind, Optional, checked_media_type};
use super::{Descriptor, DocumentError, json, media_type, typed};
use crate::values::platform::Platform;

const KIND: Kind = Kind { name: "image index", media_type: media_type::INDEX, foreign: &["layers", "config", "fsLayers"] };

/// An index as it was read or will be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its media type, OCI's or Docker's.
    pub media_type: String,
    /// What kind of artifact it is, when its children are no container images.
    pub artifact_type: Option<String>,
    /// The children, in order.
    pub manifests: Vec<Descriptor>,
    /// The manifest or index that this one refers to.
    pub subject: Option<Descriptor>,
    /// Sorted annotations.
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// Parses checked bytes. `outside` is the media type that the descriptor gave.
    pub fn parse(bytes: &[u8], outside: Option<&str>) -> Result<Self, DocumentError> {
        let value = json::parse(bytes)?;
        let media_type = checked_media_type(&value, outside, &KIND)?;
        // `oci-spec` looks for it under another name.
        let version = |child: &serde_json::Value| child["platform"]["os.version"].as_str().map(str::to_owned);
        let versions: Vec<Option<String>> = value["manifests"].as_array().into_iter().flatten().map(version).collect();
        let found: spec::ImageIndex = typed("image index", value)?;
        let mut manifests = found.manifests().iter().map(Descriptor::from_spec).collect::<Result<Vec<_>, _>>()?;
        for (child, version) in manifests.iter_mut().zip(versions) {
            if let Some(platform) = &mut child.platform {
                platform.os_version = version.filter(|version| !version.is_empty());
            }
        }
        Ok(Self {
            media_type,
            artifact_type: found.artifact_type().as_ref().map(ToString::to_string),
            manifests,
            subject: found.subject().as_ref().map(Descriptor::from_spec).transpose()?,
            annotations: found.annotations().clone().unwrap_or_default().into_iter().collect(),
        })
    }

    /// The canonical bytes of an OCI image index.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut document = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "manifests": self.manifests,
        });
        let optional = Optional { artifact_type: &self.artifact_type, subject: &self.subject, annotations: &self.annotations };
        optional.add_to(&mut document);
        json::to_canonical(&document)
    }

    /// The platforms of the children, in order.
    pub fn platforms(&self) -> Vec<&Platform> {
        self.manifests.iter().filter_map(|child| child.platform.as_ref()).collect()
    }
}
