//! How an image was built, as an in-toto statement with a SLSA v1 provenance predicate.
//!
//! Statement: <https://in-toto.io/Statement/v1>; predicate: <https://slsa.dev/provenance/v1>. Only values that the caller
//! gives go in, none of them a time, a host or a user: the same build gives the same statement.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::build::sbom::sorted::sorted;
use plugin_oci::attachments::Attachment;
use plugin_oci::documents::Descriptor;
use plugin_oci::documents::json::to_canonical;
use plugin_oci::signatures::statement::{MEDIA_TYPE, PROVENANCE, TYPE};
use plugin_oci::values::digest::Digest;

/// Annotation by which readers pick a statement without fetching it.
pub const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";

/// What is known of a build.
#[derive(Clone, Debug, Default)]
pub struct Provenance {
    /// What a person calls the image: the plugin's name.
    pub name: String,
    /// A URI that says how to read the parameters.
    pub build_type: String,
    /// What the user chose, and what a rebuild needs.
    pub external: Value,
    /// What was found on the machine: toolchain, linker, mode.
    pub internal: Value,
    /// What went in.
    pub dependencies: Vec<Dependency>,
    /// A URI for whoever built.
    pub builder: String,
    /// Versions of the builder's parts.
    pub versions: BTreeMap<String, String>,
}

/// Something that went into a build.
/// (in-toto/attestation, `spec/v1/resource_descriptor.md`)
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Dependency {
    /// What it is to the build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'static str>,
    /// Where it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Its digests, by algorithm, in hexadecimal.
    pub digest: BTreeMap<String, String>,
    /// What else is to be known of it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<&'static str, bool>,
}

impl Dependency {
    /// Something with one digest.
    pub fn new(uri: Option<String>, digest: &Digest) -> Self {
        let digest = BTreeMap::from([(digest.algorithm().as_str().to_owned(), digest.hex().to_owned())]);
        Self { uri, digest, ..Self::default() }
    }
}

impl Provenance {
    /// The artifact type of the attachment.
    pub const ARTIFACT_TYPE: &'static str = MEDIA_TYPE;

    /// The statement about an image and its platforms' manifests, canonical.
    pub fn statement(&self, subject: &Descriptor, manifests: &[&Descriptor]) -> Vec<u8> {
        let of = |name: String, about: &Descriptor| json!({ "name": name, "digest": { about.digest.algorithm().as_str(): about.digest.hex() } });
        let mut subjects = vec![of(self.name.clone(), subject)];
        for manifest in manifests.iter().filter(|manifest| manifest.digest != subject.digest) {
            let platform = manifest.platform.as_ref().map(ToString::to_string).unwrap_or_default();
            subjects.push(of(format!("{} {platform}", self.name).trim().to_owned(), manifest));
        }
        let predicate = self.predicate();
        to_canonical(&json!({ "_type": TYPE, "subject": subjects, "predicateType": PROVENANCE, "predicate": predicate }))
    }

    /// What the statement says, whatever image it is about.
    pub fn predicate(&self) -> Value {
        let mut builder = json!({ "id": self.builder });
        if !self.versions.is_empty() {
            builder["version"] = json!(self.versions);
        }
        sorted(json!({
            "buildDefinition": {
                "buildType": self.build_type,
                "externalParameters": object(&self.external),
                "internalParameters": object(&self.internal),
                "resolvedDependencies": self.dependencies,
            },
            "runDetails": { "builder": builder },
        }))
    }

    /// The statement as an attachment to the image whose root is `subject` and whose platforms have these manifests. It names
    /// both: what was built from what holds for a platform in another index, too.
    pub fn attach(&self, subject: &Descriptor, manifests: &[&Descriptor]) -> Attachment {
        let annotations = [(plugin_oci::attachments::TITLE, "provenance.json"), (PREDICATE_TYPE, PROVENANCE)];
        Attachment::builder(MEDIA_TYPE, subject)
            .layer(MEDIA_TYPE, self.statement(subject, manifests), annotations)
            .annotation(PREDICATE_TYPE, PROVENANCE)
            .finish()
    }
}

/// The specification wants objects here, empty ones where there is nothing to say.
fn object(value: &Value) -> Value {
    if value.is_object() { value.clone() } else { json!({}) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_names_its_subject_and_is_the_same_whatever_the_order() {
        let subject = Descriptor::of("application/vnd.oci.image.index.v1+json", b"an index");
        let dependency = |uri: &str| Dependency::new(Some(uri.to_owned()), &Digest::of(b""));
        let one = Provenance { dependencies: vec![dependency("b"), dependency("a")], ..Provenance::default() };
        let two = Provenance { dependencies: vec![dependency("a"), dependency("b"), dependency("a")], ..Provenance::default() };
        assert_eq!(one.statement(&subject, &[]), two.statement(&subject, &[]));
        let statement = plugin_oci::documents::json::parse(&one.statement(&subject, &[])).unwrap();
        assert_eq!(statement["subject"][0]["digest"]["sha256"], subject.digest.hex());
        assert_eq!(statement["predicate"]["buildDefinition"]["externalParameters"], json!({}));
        let platform = Descriptor::of("application/vnd.oci.image.manifest.v1+json", b"a manifest");
        let statement = plugin_oci::documents::json::parse(&one.statement(&subject, &[&platform])).unwrap();
        assert_eq!(statement["subject"][1]["digest"]["sha256"], platform.digest.hex());
        let attachment = one.attach(&subject, &[]);
        assert_eq!(attachment.descriptor.annotations[PREDICATE_TYPE], PROVENANCE);
    }
}
