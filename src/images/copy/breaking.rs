//! What moving a tag breaks: the contract of the plugin that it names now, against that of the one it will name.

use super::target::{Delivery, Place};
use crate::hosts::cosmo::contract::{self, Contract, diff};
use plugin_oci::failure::Error;
use plugin_oci::finding::Finding;
use plugin_oci::progress::{Event, Progress};
use plugin_oci::stores::open::Stores;
use plugin_oci::stores::{Selector, Source, StoreError, Tagged, read_document};
use plugin_oci::values::reference::Reference;

/// A tag that would move.
#[derive(Clone, Debug)]
pub struct Breaking {
    /// `HOST/REPO:TAG`.
    pub tag: String,
    /// What breaks; empty where nothing does.
    pub findings: Vec<Finding>,
}

/// Looks at every tag of a registry that is about to move from one router's plugin to another.
pub(super) fn breaking(
    deliveries: &[Delivery],
    source: &dyn Source,
    stores: &Stores<'_>,
    progress: &dyn Progress,
) -> Result<Vec<Breaking>, Error> {
    let mut found = Vec::new();
    for delivery in deliveries {
        let Place::Store(reference @ Reference::Registry(repository)) = &delivery.place else { continue };
        for Tagged { tag, root } in delivery.commit().0 {
            if !root.is_manifest_or_index() || !read_document(source, &root)?.0.annotations().contains_key(contract::KEY) {
                continue;
            }
            let Some(new) = Contract::of_image(source, &root)? else { continue };
            let target = stores.source(reference)?;
            let old = match target.resolve(&Selector::Tag(tag.clone())) {
                Err(StoreError::NotFound { .. } | StoreError::NoRepository { .. }) => continue,
                old => old?,
            };
            if old.digest == root.digest {
                continue;
            }
            let Some(old) = Contract::of_image(target.as_ref(), &old)? else {
                let text =
                    format!("{}:{tag} names an image without a contract: what moving it breaks is not known", repository.name());
                progress.event(Event::Note { text });
                continue;
            };
            found.push(Breaking { tag: format!("{}:{tag}", repository.name()), findings: diff::breaks(&old, &new)? });
        }
    }
    Ok(found)
}
