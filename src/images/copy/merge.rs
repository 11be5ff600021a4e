//! `--into-index`: images of single platforms become one image of many.
//!
//! The index is the one that a single build of all platforms would have written, byte for byte, as long as the platform
//! manifests are the same: annotations must agree, children stand in the order of their platforms, and what a child is stays as
//! its own index described it. What refers to the manifests comes along; what refers to the old indexes is attached again where it
//! still holds (`keep.rs`).

use plugin_oci::failure::Error;
use std::collections::BTreeMap;

use super::CopyError;
use super::keep;
use super::select::Item;
use super::union::Union;
use plugin_oci::documents::image::index_of;
use plugin_oci::documents::{Descriptor, Document, media_type};
use plugin_oci::progress::Progress;
use plugin_oci::stores::staged::Bundle;
use plugin_oci::stores::{Source, StoreError, read_config, read_document};
use plugin_oci::values::platform::Platform;

/// The merged image.
pub(super) struct Merged {
    pub(super) item: Item,
    /// The new index, with what is attached to it.
    pub(super) bundle: Bundle<'static>,
}

/// What one source says about the whole.
struct Part {
    annotations: BTreeMap<String, String>,
    artifact_type: Option<String>,
}

pub(super) fn merge(items: &[Item], sources: &[Box<dyn Source + '_>], progress: &dyn Progress) -> Result<Merged, Error> {
    let mut children: BTreeMap<Platform, Descriptor> = BTreeMap::new();
    let mut parts: Vec<Part> = Vec::new();
    let union = Union::new(sources, None);
    let source = &union as &dyn Source;
    for item in items {
        match read_document(source, &item.root)?.0 {
            Document::Index(index) => {
                for child in index.manifests {
                    let platform = child.platform.clone().ok_or_else(|| CopyError::NoPlatform(child.digest.to_string()))?;
                    add(&mut children, platform, child)?;
                }
                parts.push(Part { annotations: index.annotations, artifact_type: index.artifact_type });
            }
            Document::Manifest(manifest) => {
                let stated = media_type::is_config(&manifest.config.media_type);
                let platform = if stated { Some(read_config(source, &manifest.config)?.platform()) } else { None };
                let platform = platform.ok_or_else(|| CopyError::NoPlatform(item.root.digest.to_string()))?;
                let child = Descriptor::new(&item.root.media_type, item.root.digest.clone(), item.root.size);
                add(&mut children, platform.clone(), child.with_platform(platform))?;
            }
        }
    }
    let (annotations, artifact_type) = agree(&parts)?;
    let index = index_of(children.into_values().collect(), artifact_type, annotations);
    let mut bundle = Bundle::of_index(&index, &[]);
    let root = bundle.root().clone();
    if items.len() > 1 {
        keep::keep(&union, items, &index, progress, &mut bundle)?;
    }
    let first = items.first().ok_or_else(|| StoreError::Ambiguous { store: "the sources".to_owned(), available: Vec::new() })?;
    // Tags that all sources have are tags of the whole.
    let tags = first.tags.iter().filter(|tag| items.iter().all(|item| item.tags.contains(tag))).cloned().collect();
    Ok(Merged { item: Item { image: root.digest.clone(), root, tags, name: first.name.clone() }, bundle })
}

fn add(children: &mut BTreeMap<Platform, Descriptor>, platform: Platform, child: Descriptor) -> Result<(), Error> {
    match children.get(&platform) {
        Some(other) if other.digest != child.digest => Err(CopyError::SamePlatform {
            platform: platform.to_string(),
            first: other.digest.to_string(),
            second: child.digest.to_string(),
        }
        .into()),
        _ => {
            children.insert(platform, child);
            Ok(())
        }
    }
}

/// What all parts say. A key that one of them lacks is a disagreement, too.
fn agree(parts: &[Part]) -> Result<(BTreeMap<String, String>, Option<String>), Error> {
    let Some((first, rest)) = parts.split_first() else { return Ok((BTreeMap::new(), None)) };
    for other in rest {
        for key in first.annotations.keys().chain(other.annotations.keys()) {
            let (a, b) = (first.annotations.get(key), other.annotations.get(key));
            if a != b {
                let shown =
                    |value: Option<&String>| value.map_or("nothing".to_owned(), |value| format!("`{}`", value.escape_debug()));
                return Err(CopyError::Annotation { key: key.clone(), values: vec![shown(a), shown(b)] }.into());
            }
        }
        if first.artifact_type != other.artifact_type {
            return Err(CopyError::ArtifactTypes.into());
        }
    }
    Ok((first.annotations.clone(), first.artifact_type.clone()))
}
