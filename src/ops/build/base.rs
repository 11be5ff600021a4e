//! Base images: resolved before anything is compiled, so that a missing platform costs no compile time.

use crate::digest::Digest;
use crate::failure::Error;
use crate::image::Base;
use crate::plan::ImagePlan;
use crate::reference::Reference;
use crate::store::{self, Selector, Source};

/// A base with every platform that the image needs.
pub struct ResolvedBase {
    /// Where its layers are read from.
    pub source: Box<dyn Source>,
    /// How the image is called, without anything that depends on where it lies.
    pub name: String,
    /// Digest of its root: the index where it has one.
    pub root: Digest,
    /// In the order of the plan's targets.
    pub platforms: Vec<Base>,
}

/// Finds the base of an image, if it has one.
pub fn resolve(image: &ImagePlan) -> Result<Option<ResolvedBase>, Error> {
    let Some(reference) = &image.base else { return Ok(None) };
    let source = store::open::source(reference)?;
    let root = source.resolve(&Selector::of(reference.tag(), reference.digest()))?;
    let name = name_of(reference);
    let mut platforms = Vec::new();
    for target in &image.targets {
        let found = store::select_platform(source.as_ref(), &root, &target.platform)?;
        let config = store::read_config(source.as_ref(), &found.manifest.config)?;
        platforms.push(Base {
            name: name.clone(),
            digest: found.descriptor.digest.clone(),
            layers: found.manifest.layers,
            config,
        });
    }
    Ok(Some(ResolvedBase { source, name, root: root.digest, platforms }))
}

/// A local path says nothing on another machine, so only its last component is kept.
fn name_of(reference: &Reference) -> String {
    match reference {
        Reference::Layout(local) | Reference::Archive(local) => {
            let file = local.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            local.name.as_ref().map_or_else(|| file.clone(), |tag| format!("{file}:{tag}"))
        }
        Reference::Registry(registry) => {
            let mut name = registry.name();
            if let Some(tag) = &registry.tag {
                name = format!("{name}:{tag}");
            }
            name
        }
    }
}
