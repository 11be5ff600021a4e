//! What a manifest is made of. What it says of itself beside that (artifact types, annotations, its subject) says nothing: whoever
//! pushes it says what he likes, and engines run it all the same.

use plugin_oci::documents::{Document, Manifest, media_type};

/// How many entries a list of evidence has at most.
pub(super) const MOST: usize = 256;

/// Media types of what is said of images: none of it can be run, whatever the configuration beside it.
const EVIDENCE: [&str; 11] = [
    "application/vnd.dev.cosign.simplesigning.v1+json",
    "application/vnd.dsse.envelope.v1+json",
    "application/vnd.in-toto+json",
    "application/jose+json",
    "application/cose",
    "application/vnd.cyclonedx+json",
    "application/vnd.cyclonedx+xml",
    "application/spdx+json",
    "text/spdx",
    "text/spdx+json",
    "application/vnd.syft+json",
];
/// Bundles of sigstore, of any version.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
/// What engines unpack or run.
const RUNS: [&str; 5] = [
    "application/vnd.oci.image.",
    "application/vnd.docker.",
    "application/vnd.wasm.",
    "application/wasm",
    "application/vnd.cncf.helm.",
];

/// Whether it holds evidence and nothing else.
pub(super) fn is_evidence(document: &Document) -> bool {
    let Document::Manifest(Manifest { layers, .. }) = document else { return false };
    let is_evidence = |kind: &str| EVIDENCE.contains(&kind) || kind.starts_with(BUNDLE);
    !layers.is_empty() && layers.iter().all(|layer| is_evidence(&layer.media_type))
}

/// Whether it refers to something, and is no image: it has no configuration, and nothing that engines unpack or run.
pub(super) fn is_attachment(document: &Document) -> bool {
    let Document::Manifest(manifest) = document else { return false };
    let runs = |kind: &str| RUNS.iter().any(|prefix| kind.starts_with(prefix)) || kind.contains("tar");
    manifest.subject.is_some()
        && manifest.config.media_type == media_type::EMPTY
        && !manifest.layers.iter().any(|layer| runs(&layer.media_type))
}
