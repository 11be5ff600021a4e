//! What is said of an image by the documents that are attached to it: bills of materials and provenance.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::build::sbom::format::Format;
use crate::build::{ATTACHED_LIMIT as LIMIT, is_ours};
use plugin_oci::documents::json::{parse, to_canonical};
use plugin_oci::documents::{Descriptor, Document};
use plugin_oci::failure::Failure;
use plugin_oci::signatures::statement::{MEDIA_TYPE, PROVENANCE};
use plugin_oci::stores::{Source, StoreError, read_blob, read_document};
use plugin_oci::values::digest::Digest;

/// A JSON document that is attached to an image.
#[derive(Clone, Debug)]
pub struct Attached {
    /// The attachment's digest.
    pub digest: Digest,
    /// Media type of the document.
    pub media_type: String,
    /// Its bytes, as they are.
    pub bytes: Vec<u8>,
    pub document: Value,
}

/// What an in-toto statement about an image may carry.
#[derive(Clone, Debug)]
pub struct Predicate {
    /// Its type, a URI.
    pub predicate_type: &'static str,
    /// Canonical JSON.
    pub bytes: Vec<u8>,
}

/// Why a document cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum AbsentError {
    /// There is none.
    #[error("no {what} is attached to {image}")]
    Attached { what: &'static str, image: Digest },
}

impl Failure for AbsentError {}

/// The bills of materials of an image, ours first.
pub fn bills(source: &dyn Source, image: &Digest) -> Result<Vec<Attached>, StoreError> {
    let mut found = documents(source, image, &Format::ALL.map(Format::media_type))?;
    found.sort_by_key(|bill| !is_ours(&bill.document));
    Ok(found)
}

/// The provenance statements about an image, ours first.
pub fn provenances(source: &dyn Source, image: &Digest) -> Result<Vec<Attached>, StoreError> {
    let mut found = documents(source, image, &[MEDIA_TYPE])?;
    found.retain(|statement| statement.document["predicateType"] == PROVENANCE);
    found.sort_by_key(|statement| !is_ours(&statement.document));
    Ok(found)
}

/// What is attached of ours, as predicates of statements about the image.
pub fn predicates(source: &dyn Source, image: &Digest) -> Result<Vec<Predicate>, StoreError> {
    let mut predicates = Vec::new();
    for bill in bills(source, image)?.into_iter().filter(|bill| is_ours(&bill.document)) {
        let format = Format::ALL.into_iter().find(|format| format.media_type() == bill.media_type).unwrap_or_default();
        predicates.push(Predicate { predicate_type: format.predicate_type(), bytes: to_canonical(&bill.document) });
    }
    for statement in provenances(source, image)?.into_iter().filter(|statement| is_ours(&statement.document)) {
        predicates.push(Predicate { predicate_type: PROVENANCE, bytes: to_canonical(&statement.document["predicate"]) });
    }
    Ok(predicates)
}

/// The documents of these types among what refers to an image. What is no strict JSON is none.
fn documents(source: &dyn Source, image: &Digest, types: &[&str]) -> Result<Vec<Attached>, StoreError> {
    let mut found = Vec::new();
    for referrer in source.referrers(image)? {
        if referrer.artifact_type.as_deref().is_some_and(|named| !types.contains(&named)) {
            continue;
        }
        let (Document::Manifest(manifest), _) = read_document(source, &referrer)? else { continue };
        if manifest.subject.as_ref().is_none_or(|subject| subject.digest != *image) {
            continue;
        }
        for layer in manifest.layers.iter().filter(|layer| types.contains(&layer.media_type.as_str())) {
            found.extend(attached(source, &referrer, layer)?);
        }
    }
    Ok(found)
}

fn attached(source: &dyn Source, referrer: &Descriptor, layer: &Descriptor) -> Result<Option<Attached>, StoreError> {
    let bytes = read_blob(source, layer, LIMIT)?;
    let Ok(document) = parse(&bytes) else { return Ok(None) };
    Ok(Some(Attached { digest: referrer.digest.clone(), media_type: layer.media_type.clone(), bytes, document }))
}

/// One line of a bill.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Part {
    pub name: String,
    pub version: String,
    /// `required`, `optional` or `excluded`; what the bill does not say is required.
    pub scope: String,
    /// As the bill states it; empty where it states none.
    pub license: String,
    pub purl: String,
}

/// A bill as a table.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// The attachment's digest.
    pub digest: Digest,
    /// Sorted; files are not among them.
    pub parts: Vec<Part>,
    /// How many parts in the image have each licence; excluded parts do not count.
    #[serde(rename = "license_counts")]
    pub licenses: BTreeMap<String, usize>,
}

impl Table {
    /// Reads a bill of either format, whoever made it.
    pub fn of(bill: &Attached) -> Self {
        let document = &bill.document;
        let mut parts = if document["spdxVersion"].is_string() { spdx(document) } else { cyclonedx(document) };
        parts.sort();
        parts.dedup();
        let mut licenses = BTreeMap::new();
        for part in parts.iter().filter(|part| part.scope != "excluded") {
            *licenses.entry(part.license.clone()).or_default() += 1;
        }
        Self { digest: bill.digest.clone(), parts, licenses }
    }
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value[key].as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn cyclonedx(document: &Value) -> Vec<Part> {
    let license = |component: &Value| {
        let stated = list(component, "licenses").filter_map(|stated| {
            let license = &stated["license"];
            [&stated["expression"], &license["id"], &license["name"]].into_iter().find_map(Value::as_str)
        });
        stated.collect::<Vec<_>>().join(" AND ")
    };
    let components = list(document, "components").chain([&document["metadata"]["component"]]);
    let parts = components.filter(|component| component.is_object() && component["type"] != "file").map(|component| Part {
        name: text(&component["name"]),
        version: text(&component["version"]),
        scope: component["scope"].as_str().unwrap_or("required").to_owned(),
        license: license(component),
        purl: text(&component["purl"]),
    });
    parts.collect()
}

fn spdx(document: &Value) -> Vec<Part> {
    let is_excluded = |package: &Value| {
        list(document, "relationships").any(|relationship| {
            let how = relationship["relationshipType"].as_str();
            relationship["spdxElementId"] == package["SPDXID"] && matches!(how, Some("BUILD_DEPENDENCY_OF" | "BUILD_TOOL_OF"))
        })
    };
    let packages = list(document, "packages").filter(|package| package["primaryPackagePurpose"] != "FILE");
    let parts = packages.map(|package| Part {
        name: text(&package["name"]),
        version: text(&package["versionInfo"]),
        scope: if is_excluded(package) { "excluded" } else { "required" }.to_owned(),
        license: text(&package["licenseDeclared"]).replace("NOASSERTION", ""),
        purl: list(package, "externalRefs")
            .find(|r| r["referenceType"] == "purl")
            .map(|r| text(&r["referenceLocator"]))
            .unwrap_or_default(),
    });
    parts.collect()
}
