//! What is shown of an image, read from any store.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::documents::Descriptor;
use crate::listing::attachments;
use crate::stores::{Source, StoreError, platform_images, platform_of, read_document};
use crate::values::digest::Digest;

/// An image under one tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// What the tag names.
    pub digest: Digest,
    /// One for each manifest, in index order.
    pub platforms: Vec<OnPlatform>,
    /// What the root says of itself.
    pub annotations: BTreeMap<String, String>,
    /// The artifact types of what refers to it, sorted.
    pub attached: BTreeSet<String>,
}

/// An image on one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnPlatform {
    /// `os/architecture[/variant]`; absent for what states none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Bytes of what is to be fetched for it: manifest, configuration and layers.
    pub size: u64,
}

/// A repository: its images by tag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// By tag.
    pub images: BTreeMap<String, Image>,
}

/// What the list of repositories says of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// How many tags it has.
    pub tags: u64,
    /// The highest of them.
    pub highest: String,
    /// What the image under the highest says that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl Image {
    /// Reads what a tag names.
    pub fn read(source: &dyn Source, root: &Descriptor) -> Result<Self, StoreError> {
        let mut platforms = Vec::new();
        for image in platform_images(source, root)? {
            let blobs = std::iter::once(&image.manifest.config).chain(&image.manifest.layers);
            let size = image.descriptor.size + blobs.map(|blob: &Descriptor| blob.size).sum::<u64>();
            let platform = platform_of(source, &image)?.map(|platform| platform.to_string());
            platforms.push(OnPlatform { platform, size });
        }
        let annotations = read_document(source, root)?.0.annotations().clone();
        let attached = attachments(source, &root.digest)?.into_iter().map(|attached| attached.artifact_type).collect();
        Ok(Self { digest: root.digest.clone(), platforms, annotations, attached })
    }

    /// The text of an annotation that the OCI specification names (`org.opencontainers.image.*`).
    pub fn said(&self, key: &str) -> Option<&str> {
        self.annotations.get(&format!("org.opencontainers.image.{key}")).map(String::as_str).filter(|text| !text.is_empty())
    }
}

impl Repository {
    /// Its tags, the highest version first.
    pub fn tags(&self) -> Vec<&str> {
        sorted(self.images.keys().map(String::as_str))
    }

    /// What the list of repositories says of it; `None` for one without tags.
    pub fn summary(&self) -> Option<Summary> {
        let highest = (*self.tags().first()?).to_owned();
        let description = self.images.get(&highest).and_then(|image| image.said("description")).map(str::to_owned);
        Some(Summary { tags: self.images.len() as u64, highest, description })
    }
}

/// Tags, the highest version first.
pub fn sorted<'t>(tags: impl IntoIterator<Item = &'t str>) -> Vec<&'t str> {
    let mut tags: Vec<&str> = tags.into_iter().collect();
    tags.sort_by_key(|tag| std::cmp::Reverse(order(tag)));
    tags
}

/// Orders tags as people count: versions first, by their numbers, a release after what led to it; then names.
fn order(tag: &str) -> (bool, Vec<u64>, bool, &str) {
    let version = tag.strip_prefix('v').unwrap_or(tag);
    let (numbers, rest) = version.split_at(version.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(version.len()));
    let numbers: Option<Vec<u64>> = numbers.split('.').map(|number| number.parse().ok()).collect();
    // What follows `-` leads to a release (semver.org, item 9).
    (numbers.is_some(), numbers.unwrap_or_default(), !rest.starts_with('-'), tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn higher_versions_come_first_and_names_last() {
        let image =
            Image { digest: Digest::of(b""), platforms: Vec::new(), annotations: BTreeMap::new(), attached: BTreeSet::new() };
        let tags = ["1.9.0", "latest", "1.10.0", "v2.0.0-rc.1", "2.0.0", "99999999999999999999", "1.10.0-alpha", "edge"];
        let images = tags.map(|tag| (tag.to_owned(), image.clone())).into();
        let sorted = ["2.0.0", "v2.0.0-rc.1", "1.10.0", "1.10.0-alpha", "1.9.0", "latest", "edge", "99999999999999999999"];
        assert_eq!(Repository { images }.tags(), sorted);
    }
}
