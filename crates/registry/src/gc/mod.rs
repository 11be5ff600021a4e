//! Removing what no tag reaches, beside those who push.
//!
//! Each run condemns what nothing reaches, and removes what an earlier run condemned long enough ago, if nothing reaches it still. In
//! between, whoever asks for what is condemned is told that it is not there, and sends it again; and whoever pushes a manifest
//! pardons all that it reaches before anybody sees it. So a manifest that is there has everything, whatever removes at the same time.

mod reach;
mod rebuild;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use plugin_oci::documents::{Descriptor, Document};
use plugin_oci::stores::bucket::lease::Purpose;
use plugin_oci::stores::bucket::lists::parse_referrers;
use plugin_oci::stores::listed;
use plugin_oci::stores::registry::media_type_of;
use plugin_oci::values::digest::Digest;

use self::reach::reach_tag;
pub(crate) use self::reach::{Reached, reach, reach_attached};
pub use self::rebuild::rebuild;
use crate::audit::{Audit, at};
use crate::clock;
use crate::names::Name;
use crate::store::{Lease, Listed, Mark, Marked, Refers, Sort, Store, StoreFault, UPLOADS, Verdict, marked, reconcile, withdraw};
use crate::uploads::LIFETIME;

/// What a run does.
pub struct Options {
    /// How long something is condemned before it is removed, and how old it is at least when it is condemned.
    pub wait: Duration,
    /// Whether it only tells.
    pub dry_run: bool,
    /// Where it tells of what it has done, one by one.
    pub audit: Option<Audit>,
}

/// Something that a run has looked at and not let be.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// `condemned`, `removed` or `expired`.
    pub what: &'static str,
    /// The key of the object.
    pub key: String,
    /// How many bytes it has.
    pub bytes: u64,
}

impl Options {
    /// Whether something is there for longer than any push takes.
    fn is_old(&self, held: &Held) -> bool {
        clock::now().duration_since(held.modified).unwrap_or_default() >= self.wait
    }

    /// Tells of something that was done.
    fn tell(&self, all: &mut Vec<Told>, told: Told) -> Result<(), StoreFault> {
        if let (Some(audit), false) = (&self.audit, self.dry_run) {
            let line = serde_json::json!({
                "at": at(), "act": format!("gc-{}", told.what), "key": told.key, "bytes": told.bytes, "outcome": "done",
            });
            audit.tell(&line).map_err(|error| StoreFault::new("the audit log", error))?;
        }
        all.push(told);
        Ok(())
    }
}

/// Why a run did nothing, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum GcFault {
    /// Somebody publishes or removes by other means.
    #[error("the store is in use: `{0}`")]
    InUse(String),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

/// An object in the listing.
struct Held {
    size: u64,
    modified: SystemTime,
}

/// What lies in a repository.
#[derive(Default)]
struct Contents {
    tags: Vec<String>,
    objects: BTreeMap<Marked, Held>,
}

/// Runs once.
pub async fn collect(store: &Store, options: &Options) -> Result<Vec<Told>, GcFault> {
    if let Some(audit) = &options.audit {
        audit.ready().map_err(|error| StoreFault::new("the audit log", error))?;
    }
    let lease = Lease::new(Purpose::Collect);
    if let Err(other) = lease.hold(store).await? {
        return Err(GcFault::InUse(other));
    }
    let outcome = run(store, options).await;
    lease.release(store).await;
    Ok(outcome?)
}

async fn run(store: &Store, options: &Options) -> Result<Vec<Told>, StoreFault> {
    let mut told = Vec::new();
    for (name, contents) in survey(store).await? {
        sweep(store, options, &name, &contents, &mut told).await?;
    }
    expire(store, options, &mut told).await?;
    Ok(told)
}

/// What is there.
async fn survey(store: &Store) -> Result<BTreeMap<Name, Contents>, StoreFault> {
    let mut all: BTreeMap<Name, Contents> = BTreeMap::new();
    for entry in store.list("v2/").await? {
        let mut parts = entry.key.rsplitn(3, '/');
        let (Some(last), Some(kind), Some(rest)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let Some(Ok(name)) = rest.strip_prefix("v2/").map(Name::parse) else { continue };
        let contents = all.entry(name).or_default();
        let held = Held { size: entry.size, modified: entry.modified };
        match (kind, last.parse::<Digest>()) {
            ("blobs", Ok(digest)) => drop(contents.objects.insert(Marked::blob(digest), held)),
            ("manifests", Ok(digest)) => drop(contents.objects.insert(Marked::manifest(digest), held)),
            ("manifests", Err(_)) => {
                contents.objects.extend(Marked::of_tag(last).map(|it| (it, held)));
                contents.tags.push(last.to_owned());
            }
            _ => {}
        }
    }
    Ok(all)
}

async fn sweep(
    store: &Store,
    options: &Options,
    name: &Name,
    contents: &Contents,
    told: &mut Vec<Told>,
) -> Result<(), StoreFault> {
    let marks = marked(store, name).await?;
    let reached = everything(store, options, name, contents).await?;
    let mut going = Vec::new();
    // From the top, so that nothing is due before what names it: tags, manifests, blobs.
    for (it, held) in contents.objects.iter().rev() {
        let mark = if marks.contains_key(it) { it.read(store, name).await? } else { None };
        if reached.contains(it) {
            if mark.is_some() && !options.dry_run {
                it.clear(store, name).await?;
            }
            continue;
        }
        let wait = options.wait.as_secs();
        let is_old = options.is_old(held);
        let is_due = |mark: &Mark| mark.at.saturating_add(wait) <= clock::seconds();
        match mark {
            Some(mark) if mark.verdict == Verdict::Deleting || mark.verdict == Verdict::Condemned && is_due(&mark) => {
                going.push((it, held, mark));
            }
            Some(mark) if mark.verdict == Verdict::Condemned => {}
            mark if is_old && mark.as_ref().is_none_or(is_due) => {
                let key = it.object(name);
                if options.dry_run || it.write(store, name, mark.as_ref(), Verdict::Condemned).await? {
                    options.tell(told, Told { what: "condemned", key, bytes: held.size })?;
                }
            }
            _ => {}
        }
    }
    for (it, held, mark) in going {
        let key = it.object(name);
        let is_gone = options.dry_run || {
            // Whoever pardons it from here on waits until it is gone.
            it.write(store, name, Some(&mark), Verdict::Deleting).await? && remove(store, name, it, held).await?
        };
        if is_gone {
            options.tell(told, Told { what: "removed", key, bytes: held.size })?;
        }
    }
    // Marks of what others have removed, or a run that could not end.
    for it in marks.keys().filter(|it| !contents.objects.contains_key(it) && !options.dry_run) {
        if it.sort == Sort::Manifest && it.read(store, name).await?.is_some_and(|mark| mark.verdict == Verdict::Deleting) {
            forget(store, name, &it.digest).await?;
        }
        it.clear(store, name).await?;
    }
    Ok(())
}

/// Removes an object, unless it was written again; whether it did. A manifest leaves the list of its subject before it goes.
async fn remove(store: &Store, name: &Name, it: &Marked, held: &Held) -> Result<bool, StoreFault> {
    let key = it.object(name);
    let is_same = store.head(&key).await?.is_some_and(|now| now.modified == held.modified && now.size == held.size);
    if is_same {
        let manifest = if it.sort == Sort::Manifest { store.get(&key).await? } else { None };
        let listed = manifest.as_ref().and_then(|manifest| referrer(&it.digest, &manifest.bytes));
        if let Some((subject, entry)) = &listed {
            withdraw(store, &Refers { name, subject, entry }).await?;
        }
        let tag = it.tag();
        if let Some(tag) = &tag {
            withdraw(store, &Listed { name, tag }).await?;
        }
        store.delete(&key).await?;
        if let Some(tag) = &tag {
            reconcile(store, &Listed { name, tag }).await?;
        }
        if manifest.is_some() {
            forget(store, name, &it.digest).await?;
        }
        if let Some((subject, entry)) = &listed {
            reconcile(store, &Refers { name, subject, entry }).await?;
            if store.head(&name.manifest(subject)).await?.is_none() {
                forget(store, name, subject).await?;
            }
        }
    }
    it.clear(store, name).await?;
    Ok(is_same)
}

/// Removes the list of a manifest that is gone, unless something refers to it still.
async fn forget(store: &Store, name: &Name, digest: &Digest) -> Result<(), StoreFault> {
    let key = name.referrers(digest);
    let list = store.get(&key).await?.map(|list| parse_referrers(&list.bytes));
    if list.is_some_and(|list| list.is_ok_and(|entries| entries.is_empty())) {
        store.delete(&key).await?;
    }
    Ok(())
}

/// What a manifest refers to, and as what it is listed there.
fn referrer(digest: &Digest, bytes: &[u8]) -> Option<(Digest, Descriptor)> {
    let media_type = media_type_of("", bytes);
    let document = Document::parse(bytes, &media_type).ok()?;
    let entry = listed(&Descriptor::new(media_type, digest.clone(), bytes.len() as u64), &document);
    Some((document.subject()?.digest.clone(), entry))
}

/// Everything that tags reach. Those of what is attached to a digest count where that is reached, or while they are young.
async fn everything(store: &Store, options: &Options, name: &Name, contents: &Contents) -> Result<BTreeSet<Marked>, StoreFault> {
    let mut reached = Reached::new();
    for tag in contents.tags.iter().filter(|tag| Marked::of_tag(tag).is_none()) {
        if let Some(found) = store.get(&name.tag(tag)).await? {
            let digest = Digest::of(&found.bytes);
            reach(store, name, &digest, Some(&found.bytes), &mut reached).await?;
        }
    }
    for (it, _) in contents.objects.iter().filter(|(it, held)| it.tag().is_some() && !options.is_old(held)) {
        reach_tag(store, name, it, &mut reached).await?;
    }
    reach_attached(store, name, contents.objects.keys(), &mut reached).await?;
    Ok(reached)
}

/// Removes uploads that nobody can go on with.
async fn expire(store: &Store, options: &Options, told: &mut Vec<Told>) -> Result<(), StoreFault> {
    let mut uploads: BTreeMap<String, Vec<plugin_oci::stores::bucket::objects::Entry>> = BTreeMap::new();
    for entry in store.list(UPLOADS).await? {
        let id = entry.key[UPLOADS.len()..].split('/').next().unwrap_or_default().to_owned();
        uploads.entry(id).or_default().push(entry);
    }
    let age = |modified: SystemTime| clock::now().duration_since(modified).unwrap_or_default();
    for entries in uploads.into_values().filter(|all| all.iter().all(|it| age(it.modified).as_secs() > LIFETIME)) {
        for entry in entries {
            if !options.dry_run {
                store.delete(&entry.key).await?;
            }
            options.tell(told, Told { what: "expired", key: entry.key, bytes: entry.size })?;
        }
    }
    Ok(())
}
