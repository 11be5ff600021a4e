//! The documents that are lists: the tags of a repository, and what refers to an image.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::documents::image::index_of;
use crate::documents::{Descriptor, Index, json, media_type};
use crate::stores::StoreError;

/// What stands in `v2/NAME/tags/list`.
pub fn parse_tags(bytes: &[u8]) -> Result<BTreeSet<String>, StoreError> {
    let failed = |source| StoreError::Document { object: "tags/list".to_owned(), source: Box::new(source) };
    let tree = json::parse(bytes).map_err(|error| failed(error.into()))?;
    let tags = tree.get("tags").and_then(Value::as_array).into_iter().flatten();
    Ok(tags.filter_map(Value::as_str).map(str::to_owned).collect())
}

/// The list of the tags of a repository.
pub fn tags_document<'t>(repository: &str, tags: impl IntoIterator<Item = &'t String>) -> Vec<u8> {
    let tags: Vec<&String> = tags.into_iter().collect();
    json::to_canonical(&json!({"name": repository, "tags": tags}))
}

/// What stands in `v2/NAME/referrers/DIGEST`.
pub fn parse_referrers(bytes: &[u8]) -> Result<Vec<Descriptor>, StoreError> {
    let failed = |source| StoreError::Document { object: "referrers".to_owned(), source: Box::new(source) };
    Ok(Index::parse(bytes, Some(media_type::INDEX)).map_err(failed)?.manifests)
}

/// The list of what refers to an image.
pub fn referrers_document(entries: Vec<Descriptor>) -> Vec<u8> {
    index_of(entries, None, BTreeMap::new()).to_bytes()
}
