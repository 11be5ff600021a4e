//! `--delta`, and taking what came as one: see [`plugin_oci::deltas`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::select::Item;
use super::target::Place;
use plugin_oci::deltas::{Candidate, Offer, Stored, offered};
use plugin_oci::progress::Progress;
use plugin_oci::stores::staged::Bundle;
use plugin_oci::stores::{Source, StoreError, platform_images};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::reference::Reference;

/// The deltas of some images, and the layers that they make.
pub(super) struct Offered {
    pub(super) bundle: Option<Bundle<'static>>,
    pub(super) made: BTreeSet<Digest>,
}

/// Makes deltas for whoever has what is `there`, and tells what goes as one and what whole.
pub(super) fn offer<'i>(
    items: impl Iterator<Item = &'i Item>,
    source: &dyn Source,
    there: &dyn Source,
    have: &BTreeSet<Digest>,
    progress: &dyn Progress,
) -> Result<Offered, StoreError> {
    let there = Stored::new(there);
    let mut offered = Offered { bundle: None, made: BTreeSet::new() };
    for item in items {
        let offer = Offer::make(source, &item.root, &there, have)?;
        for (layer, (whole, patch)) in &offer.made {
            progress.status("Delta", format!("{patch} bytes for the {whole} of layer {layer}"));
        }
        for (layer, why) in &offer.whole {
            progress.status("Whole", format!("layer {layer}: {why}"));
        }
        offered.made.extend(offer.made.into_keys());
        if let Some(attachment) = offer.attachment {
            attachment.add_to(offered.bundle.get_or_insert_with(|| Bundle::of_referrers(item.root.clone())));
        }
    }
    Ok(offered)
}

/// The deltas of images that come from `source`: all of them where they are preferred, else those of layers that it lacks.
pub(super) fn usable(
    source: &dyn Source,
    items: &[Item],
    preferred: bool,
    progress: &dyn Progress,
) -> Result<BTreeMap<Digest, Vec<Candidate>>, StoreError> {
    let mut deltas: BTreeMap<Digest, Vec<Candidate>> = BTreeMap::new();
    for item in items.iter().filter(|item| item.root.is_manifest_or_index()) {
        deltas.extend(offered(source, &item.image, progress));
        if !preferred && !deltas.is_empty() {
            for layer in platform_images(source, &item.root)?.iter().flat_map(|image| &image.manifest.layers) {
                if !matches!(source.open(layer), Err(StoreError::MissingBlob { .. })) {
                    deltas.remove(&layer.digest);
                }
            }
        }
    }
    Ok(deltas)
}

/// Where temporary files on the way to a store go: beside what it holds.
pub(super) fn beside(place: &Place) -> PathBuf {
    let parent = |path: &Path| path.parent().filter(|parent| !parent.as_os_str().is_empty()).map(Path::to_owned);
    match place {
        Place::Store(Reference::Layout(local)) => local.path.clone(),
        Place::Store(Reference::Archive(local)) => parent(&local.path).unwrap_or_else(|| PathBuf::from(".")),
        Place::Store(Reference::Registry(_)) | Place::Published(_) => std::env::temp_dir(),
    }
}
