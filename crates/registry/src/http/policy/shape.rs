//! What a manifest is made of. What it says of itself beside that (artifact types, annotations, its subject) says nothing: whoever
//! pushes it says what he likes, and engines run it all the same.

use plugin_oci::documents::{Descriptor, Document, Manifest, json, media_type};
use plugin_oci::values::digest::Digest;

/// How many entries a list of evidence has at most.
pub(super) const MOST: usize = 256;

/// Media types of what is said of images.
const EVIDENCE: [&str; 9] = [
    "application/vnd.dev.cosign.simplesigning.v1+json",
    "application/vnd.dsse.envelope.v1+json",
    "application/vnd.in-toto+json",
    "application/jose+json",
    "application/cose",
    "application/vnd.cyclonedx+json",
    "application/spdx+json",
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

/// The configurations beside which engines run nothing: one of notation, and the empty one.
const NOTATION: &str = "application/vnd.cncf.notary.signature";

/// What a manifest is among evidence.
pub(super) enum Evidence<'a> {
    /// It is none.
    None,
    /// It is some, whatever is in it.
    Whole,
    /// It is some if these layers are: it has the configuration of an image, and engines unpack layers whatever they are called.
    Layers(&'a [Descriptor]),
}

/// Whether it holds evidence and nothing else.
pub(super) fn evidence(document: &Document) -> Evidence<'_> {
    let Document::Manifest(manifest) = document else { return Evidence::None };
    let is_evidence = |kind: &str| EVIDENCE.contains(&kind) || kind.starts_with(BUNDLE);
    if manifest.layers.is_empty() || !manifest.layers.iter().all(|layer| is_evidence(&layer.media_type)) {
        return Evidence::None;
    }
    let runs_nothing = has_no_configuration(manifest) || manifest.config.media_type == NOTATION;
    if runs_nothing { Evidence::Whole } else { Evidence::Layers(&manifest.layers) }
}

/// Whether it refers to something, and is no image: it has no configuration, and nothing that engines unpack or run.
pub(super) fn is_attachment(document: &Document) -> bool {
    let Document::Manifest(manifest) = document else { return false };
    let runs = |kind: &str| RUNS.iter().any(|prefix| kind.starts_with(prefix)) || kind.contains("tar");
    manifest.subject.is_some() && has_no_configuration(manifest) && !manifest.layers.iter().any(|layer| runs(&layer.media_type))
}

fn has_no_configuration(manifest: &Manifest) -> bool {
    manifest.config.media_type == media_type::EMPTY && manifest.config.digest == Digest::of(b"{}")
}

/// Whether bytes are a document, and nothing that could be unpacked as well: JSON is neither compressed nor ends early, and a tar begins
/// with a header that holds its own checksum (POSIX, "ustar Interchange Format").
pub(super) fn is_document(bytes: &[u8]) -> bool {
    json::parse(bytes).is_ok_and(|value| value.is_object()) && !is_tar(bytes)
}

fn is_tar(bytes: &[u8]) -> bool {
    let Some(header) = bytes.get(..512) else { return false };
    let field = String::from_utf8_lossy(&header[148..156]);
    let stated = u32::from_str_radix(field.trim_matches([' ', '\0']), 8);
    let sum: u32 = header.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) }).sum();
    stated == Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_no_archive() {
        assert!(is_document(b"{}") && is_document(format!("{{\"a\": \"{}\"}}", "0".repeat(1000)).as_bytes()));
        assert!(!is_document(b"") && !is_document(b"[]") && !is_document(b"{} "[..1].as_ref()));
        // One that is both: a header of text alone, whose checksum is right.
        let mut both = format!("{{\"{}\": \"{}\"}}", "x".repeat(140), "y".repeat(600)).into_bytes();
        both[148..156].fill(b' ');
        let sum: u32 = both[..512].iter().map(|byte| u32::from(*byte)).sum();
        both[148..156].copy_from_slice(format!("{sum:07o} ").as_bytes());
        assert!(json::parse(&both).is_ok() && !is_document(&both));
    }
}
