//! Marks of what is to be removed.
//!
//! A mark lies below `_r/condemned/` and changes by compare-and-swap: who removes makes it *condemned*, and *deleting* at the last
//! moment; who wants to rely on the object makes it *pardoned* first. Of the two, one wins.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use plugin_oci::stores::bucket::objects::JSON;
use plugin_oci::values::digest::Digest;
use serde::{Deserialize, Serialize};

use super::{Condition, Kind, Store, StoreFault};
use crate::clock;
use crate::fault::Fault;
use crate::names::Name;

/// Where marks lie.
pub(crate) const MARKS: &str = "_r/condemned/";
/// No request to remove something is under way for longer: who marked it so has died.
const DYING: u64 = 5 * 60;
/// How long to wait for a removal to end.
const ROUNDS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);

/// What is to become of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// It goes, unless somebody needs it.
    Condemned,
    /// It is going.
    Deleting,
    /// Somebody needs it.
    Pardoned,
}

#[derive(Serialize, Deserialize)]
struct Written {
    verdict: Verdict,
    /// Seconds since 1970.
    at: u64,
}

/// A mark that was read.
pub(crate) struct Mark {
    pub(crate) verdict: Verdict,
    pub(crate) at: u64,
    version: String,
}

/// What can be marked in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sort {
    Blob,
    Manifest,
    /// A tag under which what is attached to the digest is looked for, by its suffix.
    Attached(&'static str),
}

/// What cosign gives the tags of signatures, attestations and SBOMs: `sha256-HEX.sig` (cosign, "Signature Specification").
const SUFFIXES: [&str; 3] = [".sig", ".att", ".sbom"];

impl Sort {
    fn word(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Manifest => "manifest",
            Self::Attached(suffix) => &suffix[1..],
        }
    }
}

/// What a mark is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Marked {
    pub(crate) sort: Sort,
    pub(crate) digest: Digest,
}

impl Marked {
    pub(crate) const fn blob(digest: Digest) -> Self {
        Self { sort: Sort::Blob, digest }
    }

    pub(crate) const fn manifest(digest: Digest) -> Self {
        Self { sort: Sort::Manifest, digest }
    }

    /// What a tag stands for, where it is one of something that is attached to a digest.
    pub(crate) fn of_tag(tag: &str) -> Option<Self> {
        SUFFIXES.into_iter().find_map(|suffix| {
            let hex = tag.strip_suffix(suffix)?.strip_prefix("sha256-")?;
            Some(Self { sort: Sort::Attached(suffix), digest: format!("sha256:{hex}").parse().ok()? })
        })
    }

    /// That tag.
    pub(crate) fn tag(&self) -> Option<String> {
        match self.sort {
            Sort::Attached(suffix) => Some(format!("sha256-{}{suffix}", self.digest.hex())),
            Sort::Blob | Sort::Manifest => None,
        }
    }

    /// The key of the object.
    pub(crate) fn object(&self, name: &Name) -> String {
        match self.sort {
            Sort::Blob => name.blob(&self.digest),
            Sort::Manifest => name.manifest(&self.digest),
            Sort::Attached(_) => name.tag(&self.tag().unwrap_or_default()),
        }
    }

    fn key(&self, name: &Name) -> String {
        format!("{}{}-{}", folder(name), self.sort.word(), self.digest)
    }

    fn of(key: &str) -> Option<Self> {
        let (sort, digest) = key.rsplit('/').next()?.split_once('-')?;
        let sorts = [Sort::Blob, Sort::Manifest].into_iter().chain(SUFFIXES.map(Sort::Attached));
        let sort = sorts.into_iter().find(|known| known.word() == sort)?;
        Some(Self { sort, digest: digest.parse().ok()? })
    }

    /// Its mark.
    pub(crate) async fn read(&self, store: &Store, name: &Name) -> Result<Option<Mark>, StoreFault> {
        let key = self.key(name);
        let Some(found) = store.get(&key).await? else { return Ok(None) };
        let mark: Written = serde_json::from_slice(&found.bytes).map_err(|error| StoreFault::new(&key, error))?;
        Ok(Some(Mark { verdict: mark.verdict, at: mark.at, version: found.version }))
    }

    /// Changes the mark that was read; whether nobody else has.
    pub(crate) async fn write(
        &self,
        store: &Store,
        name: &Name,
        before: Option<&Mark>,
        verdict: Verdict,
    ) -> Result<bool, StoreFault> {
        let condition = before.map_or(Condition::Absent, |before| Condition::Unchanged(before.version.clone()));
        let bytes = serde_json::json!(Written { verdict, at: clock::seconds() }).to_string().into_bytes();
        store.put(&self.key(name), &Kind::changing(JSON), bytes, condition).await
    }

    /// Removes the mark.
    pub(crate) async fn clear(&self, store: &Store, name: &Name) -> Result<(), StoreFault> {
        store.delete(&self.key(name)).await
    }

    /// Whether nobody may rely on the object.
    pub(crate) async fn is_condemned(&self, store: &Store, name: &Name) -> Result<bool, StoreFault> {
        Ok(self.read(store, name).await?.is_some_and(|mark| mark.verdict != Verdict::Pardoned))
    }

    /// Sees to it that the object, should it be there, stays. Waits where it is going at this moment.
    pub(crate) async fn pardon(&self, store: &Store, name: &Name) -> Result<(), Fault> {
        for _ in 0..ROUNDS {
            match self.read(store, name).await? {
                None => return Ok(()),
                Some(mark) if mark.verdict == Verdict::Pardoned => return Ok(()),
                Some(mark) if mark.verdict == Verdict::Deleting && mark.at.saturating_add(DYING) > clock::seconds() => {
                    tokio::time::sleep(PAUSE).await;
                }
                Some(mark) => {
                    if self.write(store, name, Some(&mark), Verdict::Pardoned).await? {
                        return Ok(());
                    }
                }
            }
        }
        Err(Fault::unavailable("the content is being removed").with(axum::http::header::RETRY_AFTER, "1"))
    }
}

fn folder(name: &Name) -> String {
    format!("{MARKS}{}/", name.as_str().replace('/', "+"))
}

/// Everything of a repository that has a mark, and since when.
pub(crate) async fn marked(store: &Store, name: &Name) -> Result<BTreeMap<Marked, SystemTime>, StoreFault> {
    let entries = store.list(&folder(name)).await?;
    Ok(entries.into_iter().filter_map(|entry| Some((Marked::of(&entry.key)?, entry.modified))).collect())
}
