//! Which images are copied, and what they are called.

use super::{CopyError, Transfer};
use plugin_oci::documents::Descriptor;
use plugin_oci::failure::Error;
use plugin_oci::stores::{Selector, Source, StoreError, Tagged, images, meant_tags, read_document, resolve_for, select_platform};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::reference::Reference;

/// Annotations that name an image, the first that is set.
const NAMES: [&str; 2] = ["dev.cargo-plugin-build.name", "org.opencontainers.image.title"];

/// One image to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) root: Descriptor,
    /// What the source has by its name: `root`, or the index that this was taken from.
    pub(super) image: Digest,
    /// The tags that it has, without names before them; empty where it was named by digest and has none.
    pub(super) tags: Vec<String>,
    /// What it is called.
    pub(super) name: Option<String>,
}

/// The images that one source contributes.
pub(super) fn items(source: &dyn Source, reference: &Reference, options: &Transfer) -> Result<Vec<Item>, Error> {
    if options.all {
        let mut tags = images(source)?;
        if tags.is_empty() {
            tags.extend(source.untagged()?.into_iter().map(|root| Tagged { tag: String::new(), root }));
        }
        if tags.is_empty() {
            return Err(CopyError::Nothing(source.name()).into());
        }
        return group(source, tags);
    }
    let found = one(source, reference, options)?;
    let mut items = group(source, found)?;
    if let Some(platform) = &options.platform {
        for item in &mut items {
            item.root = select_platform(source, &item.root, platform)?.descriptor;
            item.root.platform = None;
        }
    }
    Ok(items)
}

/// The one image that a reference names, under each tag that is meant: the one given, or all that a local store has for it.
fn one(source: &dyn Source, reference: &Reference, options: &Transfer) -> Result<Vec<Tagged>, StoreError> {
    let selector = Selector::of(reference.tag(), reference.digest());
    if !options.tags.is_empty() {
        let root = source.resolve(&selector)?;
        return Ok(options.tags.iter().map(|tag| Tagged { tag: tag.to_string(), root: root.clone() }).collect());
    }
    let root = resolve_for(source, &selector, options.platform.as_ref())?;
    let tags = match (reference, reference.tag()) {
        (_, Some(tag)) => vec![tag.to_owned()],
        // A registry would have to be asked for each of its tags.
        (Reference::Registry(registry), None) if registry.digest.is_some() => Vec::new(),
        (_, None) => meant_tags(source, &root)?,
    };
    let tags = if tags.is_empty() { vec![String::new()] } else { tags };
    Ok(tags.into_iter().map(|tag| Tagged { tag, root: root.clone() }).collect())
}

/// Puts tags of one image and name together. A local name `greeter:1.0` is a name and a tag.
fn group(source: &dyn Source, tags: Vec<Tagged>) -> Result<Vec<Item>, Error> {
    let mut items: Vec<Item> = Vec::new();
    for Tagged { tag, mut root } in tags {
        root.annotations.remove(plugin_oci::documents::REF_NAME);
        let (stated, tag) = match tag.rsplit_once(':') {
            Some((name, tag)) => (Some(name.to_owned()), tag.to_owned()),
            None => (None, tag),
        };
        let name = match stated {
            Some(name) => Some(name),
            None => annotated_name(source, &root)?,
        };
        let tag = Some(tag).filter(|tag| !tag.is_empty());
        match items.iter_mut().find(|item| item.root.digest == root.digest && item.name == name) {
            Some(item) => item.tags.extend(tag),
            None => items.push(Item { image: root.digest.clone(), root, tags: tag.into_iter().collect(), name }),
        }
    }
    Ok(items)
}

/// Adds the images of another source. What both have is one image, with the tags of both.
pub(super) fn join(items: &mut Vec<Item>, more: Vec<Item>) {
    for item in more {
        match items.iter_mut().find(|known| known.root.digest == item.root.digest && known.name == item.name) {
            Some(known) => {
                let new: Vec<String> = item.tags.into_iter().filter(|tag| !known.tags.contains(tag)).collect();
                known.tags.extend(new);
            }
            None => items.push(item),
        }
    }
}

fn annotated_name(source: &dyn Source, root: &Descriptor) -> Result<Option<String>, StoreError> {
    if !root.is_manifest_or_index() {
        return Ok(None);
    }
    let annotations = read_document(source, root)?.0.annotations().clone();
    Ok(NAMES.iter().find_map(|key| annotations.get(*key)).filter(|name| !name.is_empty()).cloned())
}
