//! Where images go, and under which tags.

use plugin_oci::failure::Error;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use super::docker::DockerArchive;
use super::select::Item;
use super::{Copied, CopyError};
use plugin_oci::documents::Descriptor;
use plugin_oci::stores::bucket::Location;
use plugin_oci::stores::{Tagged, named};
use plugin_oci::values::reference::{Reference, ReferenceError, RegistryReference};
use plugin_oci::values::tag::{LocalName, Tag, TagError};

/// A destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Store(Reference),
    /// `docker://HOST/PREFIX/`: a repository below it for each name.
    Below(String),
    /// `docker-archive:FILE[:NAME:TAG]`: what `docker load` takes.
    Docker(DockerArchive),
    /// A bucket that is a registry. Each image goes to the repository of its own name; or to this one; or, where it ends in a
    /// slash, below it.
    Bucket(Location, Option<String>),
}

impl Target {
    /// Reads what names a destination. Relative paths are looked for in `dir`.
    pub fn named(text: &str, dir: &Path) -> Result<Self, Error> {
        if let Some(archive) = text.strip_prefix("docker-archive:") {
            return Ok(Self::Docker(archive.parse()?));
        }
        match named::image(text, dir) {
            Ok(reference) if reference.digest().is_some() => Err(CopyError::DigestAtDestination.into()),
            Ok(reference) => Ok(Self::Store(reference)),
            // With any name it must be a repository.
            Err(error) => match text.strip_suffix('/').map(|prefix| (prefix, format!("{prefix}/x").parse())) {
                Some((prefix, Ok(Reference::Registry(_)))) => {
                    Ok(Self::Below(prefix.strip_prefix("docker://").unwrap_or(prefix).to_owned()))
                }
                _ => Err(error.into()),
            },
        }
    }

    /// Whether it is a layout or an archive.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Store(Reference::Layout(_) | Reference::Archive(_)))
    }

    /// The registry, where it is one.
    pub fn host(&self) -> Option<String> {
        match self {
            Self::Store(Reference::Registry(registry)) => Some(registry.host.clone()),
            Self::Store(_) | Self::Docker(_) | Self::Bucket(..) => None,
            Self::Below(prefix) => RegistryReference::parse(&format!("{prefix}/x")).ok().map(|registry| registry.host),
        }
    }

    /// The repository (`host/name`), where it is one.
    pub fn repository(&self) -> Option<String> {
        match self {
            Self::Store(Reference::Registry(registry)) => Some(registry.name()),
            _ => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(Reference::Registry(registry)) => write!(f, "{registry}"),
            Self::Store(local) => write!(f, "{local}"),
            Self::Below(prefix) => write!(f, "{prefix}/"),
            Self::Docker(archive) => write!(f, "docker-archive:{}", archive.path.display()),
            Self::Bucket(location, _) => write!(f, "{location}"),
        }
    }
}

/// A store that is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Without a tag.
    Store(Reference),
    /// A repository of the bucket.
    Published(String),
}

/// What goes to one store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) place: Place,
    pub(super) items: Vec<Item>,
}

impl Delivery {
    /// The tags to set, and the roots that get none.
    pub(super) fn commit(&self) -> (Vec<Tagged>, Vec<Descriptor>) {
        let tagged = |item: &Item| {
            let root = item.root.clone();
            item.tags.iter().map(move |tag| Tagged { tag: tag.clone(), root: root.clone() }).collect::<Vec<_>>()
        };
        let untagged = self.items.iter().filter(|item| item.tags.is_empty()).map(|item| item.root.clone()).collect();
        (self.items.iter().flat_map(tagged).collect(), untagged)
    }

    /// How each image is called there.
    pub(super) fn copied(&self) -> Vec<Copied> {
        let copied = |item: &Item| {
            let digest = item.root.digest.clone();
            let image = match (&self.place, item.tags.first()) {
                (Place::Published(repository), _) => format!("{repository}@{digest}"),
                (Place::Store(Reference::Registry(registry)), _) => format!("{}@{digest}", registry.name()),
                (Place::Store(local), Some(tag)) => format!("{local}:{tag}"),
                (Place::Store(local), None) => format!("{local}@{digest}"),
            };
            Copied { image, digest, tags: item.tags.clone() }
        };
        self.items.iter().map(copied).collect()
    }
}

/// Decides where each image goes and under which tags. `sources` is how many sources were named.
pub(super) fn deliveries(target: &Target, items: Vec<Item>, sources: usize) -> Result<Vec<Delivery>, Error> {
    let deliveries = match target {
        Target::Below(prefix) => {
            by_name(items, |name| Ok(Place::Store(Reference::Registry(repository(&format!("{prefix}/{name}"))?))))?
        }
        Target::Bucket(_, name) => by_name(items, |own| {
            let name = match name.as_deref() {
                None => own.to_owned(),
                Some(prefix) if prefix.ends_with('/') => format!("{prefix}{own}"),
                Some(name) => name.to_owned(),
            };
            repository(&format!("localhost/{name}"))?;
            Ok(Place::Published(name))
        })?,
        Target::Docker(_) => Vec::new(),
        Target::Store(reference) => vec![into(reference, items, sources)?],
    };
    deliveries.iter().try_for_each(check_tags)?;
    Ok(deliveries)
}

/// Sends each image to the place that its name leads to.
fn by_name(items: Vec<Item>, place: impl Fn(&str) -> Result<Place, ReferenceError>) -> Result<Vec<Delivery>, Error> {
    let mut deliveries: Vec<Delivery> = Vec::new();
    for item in items {
        let name = item.name.as_deref().ok_or_else(|| CopyError::NoName(item.root.digest.to_string()))?;
        let place = place(name).map_err(|source| CopyError::Unspeakable { digest: item.root.digest.to_string(), source })?;
        match deliveries.iter_mut().find(|delivery| delivery.place == place) {
            Some(delivery) => delivery.items.push(item),
            None => deliveries.push(Delivery { place, items: vec![item] }),
        }
    }
    Ok(deliveries)
}

/// A repository, named by nothing else.
fn repository(text: &str) -> Result<RegistryReference, ReferenceError> {
    let found = RegistryReference::parse(text)?;
    // A name that brings a tag or digest of its own is none.
    if found.tag.is_none() && found.digest.is_none() { Ok(found) } else { Err(ReferenceError::BadRepository(text.to_owned())) }
}

fn into(reference: &Reference, mut items: Vec<Item>, sources: usize) -> Result<Delivery, Error> {
    if reference.digest().is_some() {
        return Err(CopyError::DigestAtDestination.into());
    }
    let mut store = reference.clone();
    match &mut store {
        Reference::Layout(local) | Reference::Archive(local) => local.name = None,
        Reference::Registry(registry) => registry.tag = None,
    }
    if let Some(tag) = reference.tag() {
        let count = items.len();
        let [item] = items.as_mut_slice() else { return Err(CopyError::OneTag(count).into()) };
        item.tags = vec![tag.to_owned()];
        return Ok(Delivery { place: Place::Store(store), items });
    }
    if matches!(store, Reference::Registry(_)) {
        let names: BTreeSet<&String> = items.iter().filter_map(|item| item.name.as_ref()).collect();
        if names.len() > 1 {
            return Err(CopyError::SeveralNames(names.into_iter().cloned().collect()).into());
        }
        return Ok(Delivery { place: Place::Store(store), items });
    }
    let several: BTreeSet<&Option<String>> = items.iter().map(|item| &item.name).collect();
    if sources > 1 && items.len() > 1 || several.len() > 1 {
        for item in &mut items {
            let name = item.name.clone().ok_or_else(|| CopyError::NoName(item.root.digest.to_string()))?;
            if item.tags.is_empty() {
                item.tags.push(name);
            } else {
                item.tags.iter_mut().for_each(|tag| *tag = format!("{name}:{tag}"));
            }
        }
    }
    Ok(Delivery { place: Place::Store(store), items })
}

/// Every tag can be spelled there, and none is wanted by two images.
fn check_tags(delivery: &Delivery) -> Result<(), Error> {
    let mut taken: BTreeMap<&str, &Item> = BTreeMap::new();
    for item in &delivery.items {
        if item.tags.is_empty() && matches!(delivery.place, Place::Published(_)) {
            return Err(CopyError::Untagged(item.root.digest.to_string()).into());
        }
        for tag in &item.tags {
            let checked = match delivery.place {
                Place::Store(Reference::Registry(_)) | Place::Published(_) => tag.parse::<Tag>().map(drop),
                Place::Store(Reference::Layout(_) | Reference::Archive(_)) => tag.parse::<LocalName>().map(drop),
            };
            let unspeakable =
                |wrong: TagError| CopyError::Unspeakable { digest: item.root.digest.to_string(), source: wrong.into() };
            checked.map_err(unspeakable)?;
            match taken.insert(tag, item) {
                Some(other) if other.root.digest != item.root.digest => {
                    let (first, second) = (other.root.digest.to_string(), item.root.digest.to_string());
                    return Err(CopyError::SameTag { tag: tag.clone(), first, second }.into());
                }
                _ => {}
            }
        }
    }
    Ok(())
}
