//! Content descriptors: media type, digest and size of some bytes (image-spec, `descriptor.md`).

use std::collections::BTreeMap;

use base64::Engine as _;
use oci_spec::image as spec;
use serde::Serialize;

use super::DocumentError;
use crate::values::digest::Digest;
use crate::values::platform::Platform;

/// Points at content. Annotations are sorted, unlike `oci-spec`'s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type of the content.
    pub media_type: String,
    /// Digest of the content.
    pub digest: Digest,
    /// Size of the content in bytes.
    pub size: u64,
    /// What the content runs on; in an index, always there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Type of an artifact behind a manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Sorted annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The content itself, where it is embedded and was checked against the digest.
    #[serde(skip)]
    pub data: Option<Vec<u8>>,
}

impl Descriptor {
    /// A descriptor without optional fields.
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        let annotations = BTreeMap::new();
        Self { media_type: media_type.into(), digest, size, platform: None, artifact_type: None, annotations, data: None }
    }

    /// Describes `bytes`.
    pub fn of(media_type: impl Into<String>, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// The same with a platform.
    #[must_use]
    pub fn with_platform(mut self, platform: Platform) -> Self {
        self.platform = Some(platform);
        self
    }

    /// Whether the content is a manifest or an index: what registries keep apart from blobs.
    pub fn is_manifest_or_index(&self) -> bool {
        super::media_type::is_index(&self.media_type) || super::media_type::is_manifest(&self.media_type)
    }

    /// The tag, where this is an entry of `index.json`.
    pub fn ref_name(&self) -> Option<&str> {
        self.annotations.get(super::REF_NAME).map(String::as_str)
    }

    pub(super) fn from_spec(found: &spec::Descriptor) -> Result<Self, DocumentError> {
        let digest: Digest = found.digest().to_string().parse()?;
        let platform = found.platform().as_ref().map(|platform| Platform {
            os: platform.os().to_string(),
            architecture: platform.architecture().to_string(),
            variant: platform.variant().clone().filter(|variant| !variant.is_empty()),
            os_version: None,
        });
        let data = match found.data() {
            Some(text) => Some(checked_data(text, &digest, found.size())?),
            None => None,
        };
        Ok(Self {
            media_type: found.media_type().to_string(),
            digest,
            size: found.size(),
            platform,
            artifact_type: found.artifact_type().as_ref().map(ToString::to_string),
            annotations: found.annotations().clone().unwrap_or_default().into_iter().collect(),
            data,
        })
    }
}

fn checked_data(text: &str, digest: &Digest, size: u64) -> Result<Vec<u8>, DocumentError> {
    let wrong = || DocumentError::WrongData(digest.to_string());
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| wrong())?;
    let mut hasher = crate::values::digest::Hasher::with(digest.algorithm());
    hasher.update(&bytes);
    if bytes.len() as u64 == size && hasher.finish() == *digest { Ok(bytes) } else { Err(wrong()) }
}
