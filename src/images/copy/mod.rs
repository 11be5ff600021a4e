//! `copy`: images from any store to any store, with what refers to them. `push` and `pull` are short spellings of it.
//!
//! | file | holds |
//! |---|---|
//! | `mod.rs` | options, report, the order of things |
//! | `select.rs` | which images: `--all`, `--platform`, tags and names |
//! | `target.rs` | where each goes, and under which tags |
//! | `union.rs` | several sources as one |
//! | `merge.rs`, `keep.rs` | `--into-index`, and what of the attachments still holds |
//! | `docker.rs` | `docker-archive:`, which is written and not read |
//! | `breaking.rs` | what moving a tag breaks |
//! | `have.rs`, `delta.rs` | `--have`: what the other side has; `--delta`: what is made of that |
//!
//! Everything is decided before the first byte moves: what to copy, where to, under which tags. Then, per destination, all
//! blobs and manifests are brought there and one commit sets the tags. A destination that fails leaves its tags as they were.

mod breaking;
mod delta;
mod docker;
mod have;
mod keep;
mod merge;
mod select;
mod target;
mod union;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

pub use breaking::Breaking;
pub use have::digests as have_digests;
pub use target::Target;

use self::select::Item;
use self::target::{Delivery, Place};
use self::union::Union;
use crate::hosts::cosmo::contract::{self, attached::Attached};
use plugin_oci::deltas::{self, Rebuilt, Stored};
use plugin_oci::documents::media_type;
use plugin_oci::failure::{Class, Error, Failure};
use plugin_oci::layers::unpack::Limits;
use plugin_oci::progress::{Outcome, Progress, Silent};
use plugin_oci::stores::bucket::{Bucket, Published};
use plugin_oci::stores::copy::{self as movement, Movement};
use plugin_oci::stores::open::Stores;
use plugin_oci::stores::staged::Bundle;
use plugin_oci::stores::{Selector, Sink, Source, StoreError, Tagged, read_document};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::platform::Platform;
use plugin_oci::values::reference::{Reference, ReferenceError};
use plugin_oci::values::tag::Tag;

/// What to copy, and how.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// Where from.
    pub sources: Vec<Reference>,
    /// Where to.
    pub target: Target,
    /// The tags of the source that are meant, where its reference does not say; empty for those that it has.
    pub tags: Vec<Tag>,
    /// Every tag of the sources.
    pub all: bool,
    /// Only the manifest for this platform, without the index above it.
    pub platform: Option<Platform>,
    /// Carry what refers to what is copied.
    pub referrers: bool,
    /// Refuse to move a tag.
    pub no_clobber: bool,
    /// What the other side has: a store, or a file that lists digests.
    pub have: Option<String>,
    /// Bring layers that the other side lacks as deltas of those that it has.
    pub delta: bool,
    /// Take deltas of layers that the destination has others of, where the source offers them; leave the deltas themselves.
    pub patched: bool,
    /// Merge the sources into one multi-platform index.
    pub into_index: bool,
    /// A repository (`host/name`) that may have the blobs: it was pushed to just now.
    pub earlier: Option<String>,
    /// `Copying`, `Pushing`, `Pulling`: for progress.
    pub verb: &'static str,
}

impl Transfer {
    /// One copy with nothing special.
    pub fn new(sources: Vec<Reference>, target: Target) -> Self {
        let (all, platform, no_clobber, have, into_index) = (false, None, false, None, false);
        let (delta, patched, earlier, verb) = (false, false, None, "Copying");
        let (tags, referrers) = (Vec::new(), true);
        Self { sources, target, tags, all, platform, referrers, no_clobber, have, delta, patched, into_index, earlier, verb }
    }
}

/// One image at its destination.
#[derive(Clone, Debug, Serialize)]
pub struct Copied {
    /// `HOST/REPO@DIGEST`, `oci:DIR:TAG` or `oci-archive:FILE:TAG`.
    pub image: String,
    /// The root's digest.
    pub digest: Digest,
    /// Every tag that names it there now.
    pub tags: Vec<String>,
}

/// What a copy did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Transferred {
    /// The images, in the order of their sources.
    pub images: Vec<Copied>,
    /// How many blobs and manifests took which way.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Bytes written or sent.
    pub bytes: u64,
}

/// Copies.
pub fn copy(options: &Transfer, stores: &Stores<'_>, progress: &dyn Progress) -> Result<Transferred, Error> {
    let bucket = match &options.target {
        Target::Bucket(location, _) => Some(stores.bucket(location)?),
        _ => None,
    };
    let operation = Operation { options, stores, bucket: bucket.as_ref(), progress };
    operation.check()?;
    let sources = options.sources.iter().map(|reference| stores.source(reference)).collect::<Result<Vec<_>, _>>()?;
    if let Target::Docker(archive) = &options.target {
        let (items, made) = operation.items(&sources)?;
        return docker::write(archive, items, &options.sources, &Union::new(&sources, made.as_ref()), progress);
    }
    let mut have = options.have.as_deref().map(|text| have::digests(text, stores)).transpose()?.unwrap_or_default();
    let mut decided = operation.decide(&sources)?;
    if options.delta {
        operation.offer(&mut decided, &sources, &mut have)?;
    }
    let _publishing = bucket.as_ref().map(Bucket::publishing).transpose()?;
    match operation.deliver(&decided, &sources, &have) {
        // A writer may have replaced a tag, and what only it reached, after our look at it: look again, once.
        Err(missing @ StoreError::MissingBlob { .. }) => {
            let again = operation.decide(&sources)?;
            if again.deliveries == decided.deliveries {
                return Err(Error::from(missing));
            }
            Ok(operation.deliver(&again, &sources, &have)?)
        }
        outcome => Ok(outcome?),
    }
}

/// What a copy to registries would break, by the tags that it would move. Nothing moves.
pub fn breaking(options: &Transfer, stores: &Stores<'_>, progress: &dyn Progress) -> Result<Vec<Breaking>, Error> {
    let operation = Operation { options, stores, bucket: None, progress: &Silent };
    operation.check()?;
    let sources = options.sources.iter().map(|reference| stores.source(reference)).collect::<Result<Vec<_>, _>>()?;
    let decided = operation.decide(&sources)?;
    breaking::breaking(&decided.deliveries, &Union::new(&sources, decided.made.as_ref()), stores, progress)
}

struct Operation<'a> {
    options: &'a Transfer,
    stores: &'a Stores<'a>,
    /// Where the target is one.
    bucket: Option<&'a Bucket<'a>>,
    progress: &'a dyn Progress,
}

/// What goes where, an image that was made for it, and what of the attachments does not come along.
struct Decided {
    deliveries: Vec<Delivery>,
    made: Option<Bundle<'static>>,
    strangers: BTreeSet<Digest>,
}

impl Operation<'_> {
    /// Complains about flags that contradict each other.
    fn check(&self) -> Result<(), Error> {
        let Transfer { sources, all, platform, have, delta, into_index, target, .. } = self.options;
        if *all && sources.iter().any(|source| source.tag().is_some() || source.digest().is_some()) {
            return Err(CopyError::AllOfOne.into());
        }
        if *all && (platform.is_some() || *into_index) {
            return Err(CopyError::Conflict("--all", if *into_index { "--into-index" } else { "--platform" }).into());
        }
        if *into_index && platform.is_some() {
            return Err(CopyError::Conflict("--into-index", "--platform").into());
        }
        if *delta && (*into_index || !self.options.referrers) {
            return Err(CopyError::Conflict("--delta", if *into_index { "--into-index" } else { "--no-referrers" }).into());
        }
        if have.is_some() && !target.is_local() && !(*delta && target.repository().is_some()) {
            return Err(CopyError::DeltaToRegistry.into());
        }
        Ok(())
    }

    /// What is copied, and an image that was made of it.
    fn items(&self, sources: &[Box<dyn Source + '_>]) -> Result<(Vec<Item>, Option<Bundle<'static>>), Error> {
        let mut items: Vec<Item> = Vec::new();
        for (source, reference) in sources.iter().zip(&self.options.sources) {
            let mut found = select::items(source.as_ref(), reference, self.options)?;
            if self.options.into_index {
                found.truncate(1);
            }
            select::join(&mut items, found);
        }
        let mut made = None;
        if self.options.into_index {
            let merged = merge::merge(&items, sources, self.progress)?;
            made = Some(merged.bundle);
            items = vec![merged.item];
        }
        Ok((items, made))
    }

    /// Makes deltas of what the other side has. A registry gets everything beside them, for whoever has nothing.
    fn offer(&self, decided: &mut Decided, sources: &[Box<dyn Source + '_>], have: &mut BTreeSet<Digest>) -> Result<(), Error> {
        let there = have::store(self.options.have.as_deref().unwrap_or_default(), self.stores)?;
        let items = decided.deliveries.iter().flat_map(|delivery| &delivery.items);
        let offered = delta::offer(items, &Union::new(sources, None), there.as_ref(), have, self.progress)?;
        if self.options.target.is_local() {
            have.extend(offered.made);
        } else {
            have.clear();
        }
        decided.made = offered.bundle;
        Ok(())
    }

    fn decide(&self, sources: &[Box<dyn Source + '_>]) -> Result<Decided, Error> {
        let (items, made) = self.items(sources)?;
        let deliveries = target::deliveries(&self.options.target, items, self.options.sources.len())?;
        let strangers =
            if self.options.referrers { self.strangers(sources, &deliveries, made.as_ref())? } else { BTreeSet::new() };
        Ok(Decided { deliveries, made, strangers })
    }

    /// The contracts that are attached to the images and that these do not name.
    fn strangers(
        &self,
        sources: &[Box<dyn Source + '_>],
        deliveries: &[Delivery],
        made: Option<&Bundle<'_>>,
    ) -> Result<BTreeSet<Digest>, StoreError> {
        let union = Union::new(sources, made);
        let mut strangers = BTreeSet::new();
        let roots = deliveries.iter().flat_map(|delivery| &delivery.items).map(|item| &item.root);
        for root in roots.filter(|root| root.is_manifest_or_index()) {
            let named = read_document(&union, root)?.0.annotations().get(contract::KEY).cloned();
            if let Some(named) = named.filter(|_| media_type::is_index(&root.media_type)) {
                let attached = Attached::to(&union, &root.digest, Some(named))?;
                strangers.extend(attached.strangers());
                if let Some((lack, named)) = attached.lack() {
                    let hint = Some("copy from where it was built, or attach it again by building".to_owned());
                    self.progress.warn(format!("{} goes without its contract: {}", root.digest, lack.message(named)), hint);
                }
            }
        }
        Ok(strangers)
    }

    fn deliver(
        &self,
        decided: &Decided,
        sources: &[Box<dyn Source + '_>],
        have: &BTreeSet<Digest>,
    ) -> Result<Transferred, StoreError> {
        let union = Union::new(sources, decided.made.as_ref());
        let mut report = Transferred::default();
        let mut earlier = self.options.earlier.clone();
        for delivery in &decided.deliveries {
            if self.options.no_clobber {
                self.refuse_to_move(delivery)?;
            }
            let sink = self.sink(&delivery.place)?;
            let there = self.there(&delivery.place).ok();
            let deltas = if self.is_patched(there.is_some()) {
                delta::usable(&union, &delivery.items, self.options.patched, self.progress)?
            } else {
                BTreeMap::new()
            };
            let options = movement::CopyOptions {
                referrers: self.options.referrers,
                strangers: decided.strangers.clone(),
                without: (self.options.patched || !deltas.is_empty()).then_some(deltas::ARTIFACT_TYPE),
                no_clobber: self.options.no_clobber,
                have: have.clone(),
                verb: self.options.verb,
                ..movement::CopyOptions::default()
            };
            let source = union.mounting_from(earlier.as_deref());
            let bases = there.as_deref().map(Stored::new);
            let rebuilt = Rebuilt {
                source: &source,
                bases: &bases,
                deltas,
                dir: delta::beside(&delivery.place),
                limits: Limits::default(),
                progress: self.progress,
            };
            let mut movement = Movement::new(&rebuilt, sink.as_ref(), &options, self.progress);
            for item in &delivery.items {
                movement.stage(&item.root)?;
            }
            let (tagged, untagged) = delivery.commit();
            let done = movement.commit_tags(tagged, untagged)?;
            for outcome in done.outcomes.values() {
                *report.outcomes.entry(*outcome).or_default() += 1;
            }
            report.bytes += done.bytes;
            report.images.extend(delivery.copied());
            if let Place::Store(Reference::Registry(registry)) = &delivery.place {
                earlier = Some(registry.name());
            }
        }
        Ok(report)
    }

    /// Whether layers may have to be made of deltas, or should be: a registry has them whole.
    fn is_patched(&self, has_something: bool) -> bool {
        self.options.patched && has_something
            || self.options.sources.iter().any(|source| !matches!(source, Reference::Registry(_)))
    }

    fn sink(&self, place: &Place) -> Result<Box<dyn Sink + '_>, StoreError> {
        match place {
            Place::Store(reference) => self.stores.sink(reference),
            Place::Published(repository) => Ok(Box::new(self.published(repository)?)),
        }
    }

    /// The same place, to read from.
    fn there(&self, place: &Place) -> Result<Box<dyn Source + '_>, StoreError> {
        match place {
            Place::Store(reference) => self.stores.source(reference),
            Place::Published(repository) => Ok(Box::new(self.published(repository)?)),
        }
    }

    fn published(&self, repository: &str) -> Result<Published<'_>, StoreError> {
        let bucket = self.bucket.ok_or_else(|| StoreError::NoRepository { store: repository.to_owned() })?;
        Ok(bucket.repository(repository))
    }

    /// Looks at the tags before anything moves; the commit looks again.
    fn refuse_to_move(&self, delivery: &Delivery) -> Result<(), StoreError> {
        let Ok(target) = self.there(&delivery.place) else { return Ok(()) };
        for Tagged { tag, root } in delivery.commit().0 {
            match target.resolve(&Selector::Tag(tag.clone())) {
                Ok(old) if old.digest != root.digest => {
                    return Err(StoreError::Clobber { store: target.name(), tag, old: old.digest.to_string() });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// What cannot be copied as asked.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Two flags that contradict each other.
    #[error("`{0}` and `{1}` cannot be given together")]
    Conflict(&'static str, &'static str),
    /// `--all` with a tag.
    #[error("`--all` takes every tag, and a source names one")]
    AllOfOne,
    /// `--have` towards a registry.
    #[error("a delta (`--have`) goes into an archive or a layout, not into a registry")]
    DeltaToRegistry,
    /// A delta of a list.
    #[error("`{0}` lists digests, and a delta is made of what they name")]
    DeltaOfList(String),
    /// `DST:TAG` for several images.
    #[error("the destination names one tag, and {0} images are copied")]
    OneTag(usize),
    /// `DST@DIGEST`.
    #[error("a destination is named by tag, not by digest")]
    DigestAtDestination,
    /// Several names for one repository.
    #[error("the images have several names: {}", .0.join(", "))]
    SeveralNames(Vec<String>),
    /// Two images want one tag.
    #[error("both {first} and {second} would be tagged `{tag}`")]
    SameTag { tag: String, first: String, second: String },
    /// Nothing says how the image is called.
    #[error("image {0} has no name: neither `dev.cargo-plugin-build.name` nor `org.opencontainers.image.title` is set")]
    NoName(String),
    /// The name or tag cannot be spelled at the destination.
    #[error("image {digest} cannot be named there")]
    Unspeakable { digest: String, source: ReferenceError },
    /// Only what has a tag is kept in a bucket.
    #[error("image {0} has no tag to publish it under")]
    Untagged(String),
    /// `--all` of a store without tags.
    #[error("{0} has no tags")]
    Nothing(String),
    /// The sources disagree about what the index says.
    #[error("the sources disagree about the index annotation `{key}`: {}", values.join(" and "))]
    Annotation { key: String, values: Vec<String> },
    /// The sources disagree about the type of artifact.
    #[error("the sources are of different artifact types")]
    ArtifactTypes,
    /// One platform twice.
    #[error("two sources have an image for {platform}: {first} and {second}")]
    SamePlatform { platform: String, first: String, second: String },
    /// A manifest that says nothing about its platform.
    #[error("manifest {0} states no platform: it cannot go into an index")]
    NoPlatform(String),
    /// Docker's archives hold images that docker runs.
    #[error("manifest {digest} cannot go into a docker archive: its configuration is `{media_type}`, no image's")]
    NotForDocker { digest: String, media_type: String },
    /// Something else has the archive's name.
    #[error("`{}` is there already, and is no docker archive that could be replaced", .0.display())]
    InTheWay(std::path::PathBuf),
    /// A bomb.
    #[error("layer {0} inflates beyond all reason, and is not written")]
    Inflates(String),
    /// A line that is no digest.
    #[error("line {line} of `{path}` starts with no digest")]
    DigestList { path: String, line: usize },
}

impl Failure for CopyError {
    fn class(&self) -> Class {
        match self {
            Self::Nothing(_) | Self::Inflates(_) => Class::Failed,
            _ => Class::Usage,
        }
    }
}
