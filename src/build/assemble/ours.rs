//! Documents of ours that are attached to an image already: a build puts its own in their place.

use std::collections::BTreeSet;

use serde_json::Value;

use super::provenance::BUILD_TYPE;
use crate::build::sbom::format::{Format, TOOL};
use plugin_oci::documents::json::parse;
use plugin_oci::documents::{Descriptor, Document};
use plugin_oci::signatures::statement::MEDIA_TYPE;
use plugin_oci::stores::{Source, StoreError, read_blob, read_document};
use plugin_oci::values::digest::Digest;

/// The most bytes of an attached document that are read.
pub const LIMIT: u64 = 64 << 20;

/// Whether this program wrote a document.
pub fn is_ours(document: &Value) -> bool {
    let any = |list: &Value, is: &dyn Fn(&Value) -> bool| list.as_array().is_some_and(|list| list.iter().any(is));
    any(&document["metadata"]["tools"]["components"], &|tool| tool["name"] == TOOL)
        || any(&document["creationInfo"]["creators"], &|creator| creator == &Value::from(format!("Tool: {TOOL}")))
        || document["predicate"]["buildDefinition"]["buildType"] == BUILD_TYPE
}

/// Those attached to an image but for `new`. What cannot be read is nobody's.
pub fn replaced(source: &dyn Source, image: &Digest, new: &[Descriptor]) -> BTreeSet<Digest> {
    let referrers = source.referrers(image).unwrap_or_default().into_iter();
    let others =
        referrers.filter(|referrer| referrer.ref_name().is_none() && !new.iter().any(|new| new.digest == referrer.digest));
    let types: Vec<&str> = Format::ALL.into_iter().map(Format::media_type).chain([MEDIA_TYPE]).collect();
    let may_be = others.filter(|referrer| referrer.artifact_type.as_deref().is_some_and(|kind| types.contains(&kind)));
    may_be.filter(|referrer| read(source, referrer).is_ok_and(|all| all.iter().any(is_ours))).map(|one| one.digest).collect()
}

fn read(source: &dyn Source, referrer: &Descriptor) -> Result<Vec<Value>, StoreError> {
    let (Document::Manifest(manifest), _) = read_document(source, referrer)? else { return Ok(Vec::new()) };
    manifest.layers.iter().map(|layer| Ok(parse(&read_blob(source, layer, LIMIT)?).unwrap_or_default())).collect()
}
