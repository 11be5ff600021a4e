//! What of the attachments of joined indexes still holds, and of what.
//!
//! - The contract that all of them name is the new index's.
//! - A provenance statement (in-toto) that names the manifest of a platform among its subjects goes to that manifest.
//! - An SBOM (`CycloneDX`, SPDX) of an index with one platform says nothing of the index but what it says of that platform, whose
//!   manifest it goes to; not where it names the index.
//!
//! Everything else says something of an index that is no more, as signatures do, or may: it is left behind, and told.

use super::select::Item;
use crate::hosts::cosmo::contract::{self, Contract, attached::Attached};
use plugin_oci::attachments::Attachment;
use plugin_oci::documents::{Descriptor, Document, Index, Manifest, json, media_type};
use plugin_oci::failure::Error;
use plugin_oci::progress::Progress;
use plugin_oci::signatures::statement;
use plugin_oci::stores::staged::Bundle;
use plugin_oci::stores::{Source, StoreError, read_blob, read_document};

/// Statements and lists are smaller.
const LIMIT: u64 = 64 << 20;

/// Attaches to the new index, and to manifests in it, what still holds of what refers to the items' indexes.
pub(super) fn keep(
    source: &dyn Source,
    items: &[Item],
    index: &Index,
    progress: &dyn Progress,
    bundle: &mut Bundle<'_>,
) -> Result<(), Error> {
    let mut contract = None;
    for item in items.iter().filter(|item| media_type::is_index(&item.root.media_type)) {
        let has_contract = index.annotations.contains_key(contract::KEY);
        let own = if has_contract { Attached::of(source, &item.root)?.own } else { None };
        if let (Some((_, manifest)), None) = (&own, &contract) {
            contract = Some(Contract::read(source, manifest)?);
        }
        let own = own.map(|(descriptor, _)| descriptor.digest);
        for referrer in source.referrers(&item.root.digest)? {
            if Some(&referrer.digest) == own.as_ref() {
                continue;
            }
            let Document::Manifest(manifest) = read_document(source, &referrer)?.0 else { continue };
            let kind = manifest.effective_artifact_type().unwrap_or(&manifest.media_type).to_owned();
            if let Some((platform, attachment)) = again(source, &item.root, &manifest, &kind)? {
                progress.status("Kept", format!("{kind} of {platform}"));
                attachment.add_to(bundle);
            } else {
                let text = format!("{kind} {} holds for {} alone: it is left behind", referrer.digest, item.root.digest);
                progress.warn(text, None);
            }
        }
    }
    if let Some(contract) = contract {
        contract.attach(&bundle.root().clone()).add_to(bundle);
    }
    Ok(())
}

/// The same attachment to the one platform that it holds for, and that platform's name.
fn again(
    source: &dyn Source,
    root: &Descriptor,
    manifest: &Manifest,
    kind: &str,
) -> Result<Option<(String, Attachment)>, StoreError> {
    let is_statement = kind == statement::MEDIA_TYPE;
    if !is_statement && !statement::SBOMS.iter().any(|(sbom, _)| *sbom == kind) {
        return Ok(None);
    }
    let Document::Index(index) = read_document(source, root)?.0 else { return Ok(None) };
    let [child] = index.manifests.as_slice() else { return Ok(None) };
    let mut builder = Attachment::builder(kind, child);
    for layer in &manifest.layers {
        let bytes = read_blob(source, layer, LIMIT)?;
        let holds =
            if is_statement { is_about(&bytes, child) } else { !String::from_utf8_lossy(&bytes).contains(root.digest.hex()) };
        if !holds {
            return Ok(None);
        }
        let annotations = layer.annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        builder = builder.layer(&layer.media_type, bytes, annotations);
    }
    for (key, value) in &manifest.annotations {
        builder = builder.annotation(key, value);
    }
    let platform = child.platform.as_ref().map(ToString::to_string).unwrap_or_default();
    Ok(Some((platform, builder.finish())))
}

/// Whether a statement names a manifest as one of its subjects.
fn is_about(statement: &[u8], manifest: &Descriptor) -> bool {
    let tree = json::parse(statement).unwrap_or_default();
    let (algorithm, hex) = (manifest.digest.algorithm().as_str(), manifest.digest.hex());
    tree["subject"].as_array().is_some_and(|subjects| subjects.iter().any(|subject| subject["digest"][algorithm] == hex))
}
