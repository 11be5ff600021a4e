//! The images that a configuration is to name.

use std::str::FromStr;

use super::error::ExecutionError;
use super::mapping;
use super::plugins::{Composed, ImageReference};
use crate::build::kinds::Kind;
use crate::build::plan::annotations::{KIND_KEY, NAME_KEY};
use crate::hosts::cosmo::contract::Contract;
use plugin_oci::failure::Error;
use plugin_oci::stores::open::Stores;
use plugin_oci::stores::{Selector, read_document};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::reference::{Reference, RegistryReference, has_transport};

/// An image and the plugin that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The plugin's name in the configuration; `None` takes the image's own.
    pub name: Option<String>,
    pub image: RegistryReference,
}

impl FromStr for Wanted {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // No reference has an equals sign.
        let (name, image) = text.split_once('=').map_or((None, text), |(name, image)| (Some(name.to_owned()), image));
        if has_transport(image) && !image.starts_with("docker://") {
            return Err(ExecutionError::NotInRegistry { image: image.to_owned() }.into());
        }
        Ok(Self { name, image: RegistryReference::parse(image.strip_prefix("docker://").unwrap_or(image))? })
    }
}

/// An image as it is in its registry now.
pub struct Image {
    /// The plugin's name in the configuration.
    pub name: String,
    /// How the router is to be told.
    pub reference: ImageReference,
    /// Its version, where it has one.
    pub version: Option<String>,
    pub digest: Digest,
    /// What a configuration must have been composed with.
    pub contract: Composed,
    repository: String,
}

impl Image {
    #[cfg(test)]
    pub fn of_test(name: &str, reference: ImageReference, version: Option<String>, contract: Composed) -> Self {
        let (digest, repository) = (Digest::of(b""), "host/a".to_owned());
        Self { name: name.to_owned(), reference, version, digest, contract, repository }
    }

    /// `HOST/REPO@DIGEST`.
    pub fn text(&self) -> String {
        format!("{}@{}", self.repository, self.digest)
    }
}

/// Asks the registry for each image.
pub fn resolve(wanted: &[Wanted], stores: &Stores<'_>) -> Result<Vec<Image>, Error> {
    if let [first, rest @ ..] = wanted
        && let Some(other) = rest.iter().find(|other| other.image.host != first.image.host)
    {
        let (first, second) = (first.image.host.clone(), other.image.host.clone());
        return Err(ExecutionError::Registries { first, second }.into());
    }
    let mut images: Vec<Image> = Vec::new();
    for wanted in wanted {
        let image = look(wanted, stores)?;
        match images.iter().find(|other| other.name == image.name) {
            None => images.push(image),
            // A push under two tags prints its image twice.
            Some(other) if other.text() == image.text() => {}
            Some(_) => return Err(ExecutionError::Twice(image.name).into()),
        }
    }
    Ok(images)
}

fn look(wanted: &Wanted, stores: &Stores<'_>) -> Result<Image, Error> {
    let reference = Reference::Registry(wanted.image.clone());
    let source = stores.source(&reference)?;
    let root = source.resolve(&Selector::of(reference.tag(), reference.digest()))?;
    let repository = wanted.image.name();
    let image = format!("{repository}@{}", root.digest);
    let annotations = read_document(source.as_ref(), &root)?.0.annotations().clone();
    if let Some(kind) = annotations.get(KIND_KEY).filter(|kind| *kind != Kind::CosmoRouter.as_str()) {
        return Err(ExecutionError::Kind { image, kind: kind.clone() }.into());
    }
    let Some(name) = wanted.name.clone().or_else(|| annotations.get(NAME_KEY).cloned()) else {
        return Err(ExecutionError::NoName { image }.into());
    };
    let Some(contract) = Contract::of_image(source.as_ref(), &root)? else {
        return Err(ExecutionError::NoContract { image }.into());
    };
    // As wgc reads them: what is no UTF-8 is replaced.
    let text = |bytes: &[u8]| Some(Digest::of(String::from_utf8_lossy(bytes).as_bytes()));
    Ok(Image {
        name,
        reference: ImageReference {
            repository: format!("{}@{}", wanted.image.repository, root.digest.algorithm().as_str()),
            reference: root.digest.hex().to_owned(),
        },
        version: annotations.get("org.opencontainers.image.version").cloned(),
        contract: Composed {
            schema: text(&contract.schema),
            proto: text(&contract.proto),
            mapping: mapping::normal(&contract.mapping),
        },
        digest: root.digest,
        repository,
    })
}
