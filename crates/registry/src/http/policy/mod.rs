//! The policy of a registry: which manifests may be pulled, and which a tag may be set to.
//!
//! Blobs cannot be judged: nothing says what they are for. Of manifests, those that hold what a policy asks for (signatures,
//! attestations, SBOMs) are let through by what they are made of ([`shape`]); so are what an accepted index lists, and what
//! is attached to an accepted image and is itself no image. Everything else is judged, whatever name it is asked for by.
//!
//! A verdict holds for a minute. One that refuses holds only as long as nothing is added beside the manifest: who signs need not wait.

mod beside;
mod families;
mod shape;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use plugin_oci::documents::{Descriptor, Document};
use plugin_oci::failure::Error;
use plugin_oci::stores::read_blob;
use plugin_oci::stores::registry::media_type_of;
use plugin_oci::trust::{judge, policy};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::reference::{Reference, RegistryReference};
use plugin_oci::values::tag::{Tag, referrers_suffix};
use tokio::sync::Semaphore;

use self::beside::Beside;
use self::families::Families;
use self::shape::Evidence;
use super::Registry;
use crate::auth::{Access, Action};
use crate::clock;
use crate::fault::Fault;
use crate::names::{Name, Wanted};

/// How long a verdict holds.
const HOLDS: Duration = Duration::from_mins(1);
/// How many verdicts are remembered.
const VERDICTS: usize = 4096;
/// How many images are judged at once: each takes memory, and waits in a thread.
const JUDGES: usize = 2;
/// How far an accepted index may be above a manifest.
const GENERATIONS: u32 = 2;
/// Layers of evidence have at most so many bytes: 4 MiB.
const EVIDENCE_LIMIT: u64 = 4 << 20;
/// So much of what is wrong is told.
const TOLD: usize = 4;

/// A policy, and what it is held against.
pub struct Policy {
    file: PathBuf,
    /// As what clients know the registry.
    host: String,
    pulls: bool,
    tags: bool,
    verdicts: Mutex<BTreeMap<Asked, Verdict>>,
    families: Families,
    judges: Semaphore,
}

/// A manifest, under the name that it is asked for by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    name: Name,
    tag: Option<Tag>,
    digest: Digest,
}

struct Verdict {
    at: Instant,
    /// What the image lacks; nothing where it is accepted.
    lacks: Option<String>,
    /// What stood beside it.
    beside: Versions,
}

/// Versions of the list of what refers to a manifest, and of the tag of its signatures.
type Versions = [Option<String>; 2];

impl Policy {
    /// The policy in a file, for a registry that its clients call `host`. It is read again for each verdict, and now to see whether it
    /// is one.
    pub fn new(file: PathBuf, host: Option<String>, pulls: bool, tags: bool) -> Result<Self, String> {
        let is_of_names = std::fs::read_to_string(&file).is_ok_and(|text| text.trim_start().starts_with('{'));
        let host = match host {
            Some(host) => host,
            None if is_of_names => {
                return Err("a policy of names needs `--policy-host`: what clients call this registry".to_owned());
            }
            None => "localhost".to_owned(),
        };
        let policy = Self {
            file,
            host,
            pulls,
            tags,
            verdicts: Mutex::default(),
            families: Families::default(),
            judges: Semaphore::new(JUDGES),
        };
        let any = policy.reference(&format!("{}/any:latest", policy.host)).map_err(|error| error.to_string())?;
        policy::demands(&policy.file, &any, clock::seconds()).map_err(|error| error.chain().join(": "))?;
        Ok(policy)
    }

    #[expect(clippy::unused_self, reason = "a reference is one of a policy")]
    fn reference(&self, text: &str) -> Result<Reference, Error> {
        Ok(Reference::Registry(RegistryReference::parse(text)?))
    }

    /// What a manifest lacks by itself, where that is known: of one that lacks something, only as long as the same stands beside it.
    fn remembered(&self, asked: &Asked, beside: Option<&Versions>) -> Option<Result<(), String>> {
        let verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        let verdict = verdicts.get(asked).filter(|verdict| verdict.at.elapsed() < HOLDS)?;
        let holds = verdict.lacks.is_none() || beside == Some(&verdict.beside);
        holds.then(|| verdict.lacks.clone().map_or(Ok(()), Err))
    }

    fn remember(&self, asked: Asked, lacks: Option<String>, beside: Versions) {
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        if verdicts.len() >= VERDICTS {
            verdicts.retain(|_, verdict| verdict.at.elapsed() < HOLDS);
        }
        if verdicts.len() >= VERDICTS {
            verdicts.clear();
        }
        verdicts.insert(asked, Verdict { at: Instant::now(), lacks, beside });
    }
}

fn refusal(digest: &Digest, lacks: &str) -> Fault {
    Fault::denied(format!("the policy of this registry does not accept {digest}: {lacks}"))
}

impl Registry {
    /// Whether a manifest may be pulled. Whoever may push gets by its digest what is still to be signed.
    pub(super) async fn check_pull(
        self: &Arc<Self>,
        name: &Name,
        wanted: &Wanted,
        access: &Access,
        digest: &Digest,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let Some(policy) = self.settings.policy.as_ref().filter(|policy| policy.pulls) else { return Ok(()) };
        let signs = matches!(access, Access::Owner(_)) && self.gate.allows(access, name, Action::Push);
        if signs && matches!(wanted, Wanted::Digest(_)) {
            return Ok(());
        }
        self.check(policy, name, wanted, digest, bytes).await
    }

    /// Whether a tag may come to stand for a manifest.
    pub(super) async fn check_tag(
        self: &Arc<Self>,
        name: &Name,
        wanted: &Wanted,
        digest: &Digest,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let Some(policy) = self.settings.policy.as_ref().filter(|policy| policy.tags) else { return Ok(()) };
        self.check(policy, name, wanted, digest, bytes).await
    }

    async fn check(
        self: &Arc<Self>,
        policy: &Policy,
        name: &Name,
        wanted: &Wanted,
        digest: &Digest,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let tag = if let Wanted::Tag(tag) = wanted { Some(tag.clone()) } else { None };
        let asked = Asked { name: name.clone(), tag, digest: digest.clone() };
        if policy.remembered(&asked, None).is_some() {
            return Ok(());
        }
        let document = Document::parse(bytes, &media_type_of("", bytes)).map_err(|error| refusal(digest, &error.to_string()))?;
        if self.is_evidence(policy, name, &document).await? || self.is_list_of_evidence(&asked, &document).await? {
            policy.remember(asked, None, Versions::default());
            return Ok(());
        }
        let beside = self.beside(name, digest).await?;
        let mut lacks = match policy.remembered(&asked, Some(&beside)) {
            Some(known) => known.err(),
            None => self.judged(policy, &asked, bytes).await?,
        };
        if lacks.is_some() && self.is_of_accepted(policy, &asked, &document).await? {
            lacks = None;
        }
        if let (None, Document::Index(index)) = (&lacks, &document) {
            policy.families.add(name, digest, index).await;
        }
        let outcome = lacks.as_ref().map_or(Ok(()), |lacks| Err(refusal(digest, lacks)));
        policy.remember(asked, lacks, beside);
        outcome
    }

    /// What stands beside a manifest, by its versions.
    async fn beside(self: &Arc<Self>, name: &Name, digest: &Digest) -> Result<Versions, Fault> {
        self.renew_beside(name, digest).await?;
        let (list, tag) = (name.referrers(digest), name.tag(&Tag::of_signatures(digest)));
        let (list, tag) = tokio::try_join!(self.store.get(&list), self.store.get(&tag))?;
        Ok([list, tag].map(|found| found.map(|found| found.version)))
    }

    /// What a manifest lacks by itself.
    async fn judged(self: &Arc<Self>, policy: &Policy, asked: &Asked, bytes: &[u8]) -> Result<Option<String>, Fault> {
        let _turn = policy.judges.acquire().await;
        let version = asked.tag.as_ref().map_or_else(|| format!("@{}", asked.digest), |tag| format!(":{tag}"));
        let reference = policy.reference(&format!("{}/{}{version}", policy.host, asked.name.as_str()));
        let root = Descriptor::new(media_type_of("", bytes), asked.digest.clone(), bytes.len() as u64);
        let source = Beside::new(self.clone(), asked.name.clone(), asked.digest.clone(), bytes.to_vec());
        let file = policy.file.clone();
        let judging = tokio::task::spawn_blocking(move || {
            let now = clock::seconds();
            let demands = policy::demands(&file, &reference?, now)?;
            judge(&source, &root, &demands, now)
        });
        match judging.await {
            Ok(Ok(findings)) if findings.is_empty() => Ok(None),
            Ok(Ok(findings)) => {
                let told: Vec<String> = findings.into_iter().take(TOLD).map(|finding| finding.message).collect();
                Ok(Some(told.join("; ")))
            }
            // What cannot be judged is not accepted.
            failed => {
                let message = match failed {
                    Ok(Err(error)) => error.chain().join(": "),
                    _ => "a judge broke off".to_owned(),
                };
                eprintln!("{}", serde_json::json!({"level": "error", "message": message}));
                Err(Fault::unavailable("the policy cannot be applied").with(axum::http::header::RETRY_AFTER, "10"))
            }
        }
    }

    /// Whether an accepted index lists it, or it is attached to an accepted image.
    async fn is_of_accepted(self: &Arc<Self>, policy: &Policy, asked: &Asked, document: &Document) -> Result<bool, Fault> {
        let mut waiting = Vec::new();
        if shape::is_attachment(document) {
            waiting.extend(document.subject().map(|subject| (subject.digest.clone(), 1)));
        }
        for is_fresh in [false, true] {
            let parents = policy.families.parents(&self.store, &asked.name, &asked.digest, is_fresh).await?;
            waiting.extend(parents.into_iter().map(|parent| (parent, 0)));
            while let Some((digest, generation)) = waiting.pop() {
                if self.is_accepted(policy, &asked.name, &digest).await? {
                    return Ok(true);
                }
                if generation + 1 < GENERATIONS {
                    let above = policy.families.parents(&self.store, &asked.name, &digest, false).await?;
                    waiting.extend(above.into_iter().map(|parent| (parent, generation + 1)));
                }
            }
        }
        Ok(false)
    }

    /// Whether a manifest is accepted by itself, under its digest.
    async fn is_accepted(self: &Arc<Self>, policy: &Policy, name: &Name, digest: &Digest) -> Result<bool, Fault> {
        let asked = Asked { name: name.clone(), tag: None, digest: digest.clone() };
        if policy.remembered(&asked, None).is_some() {
            return Ok(true);
        }
        let beside = self.beside(name, digest).await?;
        if let Some(known) = policy.remembered(&asked, Some(&beside)) {
            return Ok(known.is_ok());
        }
        let Some(found) = self.store.get(&name.manifest(digest)).await? else { return Ok(false) };
        let lacks = self.judged(policy, &asked, &found.bytes).await?;
        let is_accepted = lacks.is_none();
        policy.remember(asked, lacks, beside);
        Ok(is_accepted)
    }

    /// Whether a manifest holds what is said of images, and nothing that an engine could unpack.
    async fn is_evidence(self: &Arc<Self>, policy: &Policy, name: &Name, document: &Document) -> Result<bool, Fault> {
        let layers = match shape::evidence(document) {
            Evidence::None => return Ok(false),
            Evidence::Whole => return Ok(true),
            Evidence::Layers(layers) => layers.to_vec(),
        };
        let _turn = policy.judges.acquire().await;
        let source = Beside::new(self.clone(), name.clone(), Digest::of(b""), Vec::new());
        let reading = tokio::task::spawn_blocking(move || {
            layers.iter().all(|layer| read_blob(&source, layer, EVIDENCE_LIMIT).is_ok_and(|bytes| shape::is_document(&bytes)))
        });
        Ok(reading.await.unwrap_or_default())
    }

    /// Whether it is what registries without an API for referrers have in its place, and lists nothing but evidence.
    async fn is_list_of_evidence(&self, asked: &Asked, document: &Document) -> Result<bool, Fault> {
        let (Some(tag), Document::Index(index)) = (&asked.tag, document) else { return Ok(false) };
        if referrers_suffix(tag) != Some("") || index.manifests.len() > shape::MOST {
            return Ok(false);
        }
        for child in &index.manifests {
            let found = self.store.get(&asked.name.manifest(&child.digest)).await?;
            // Each is judged by itself when it is pulled.
            let is_evidence = found.is_none_or(|found| {
                let parsed = Document::parse(&found.bytes, &media_type_of("", &found.bytes));
                parsed.is_ok_and(|document| !matches!(shape::evidence(&document), Evidence::None))
            });
            if !is_evidence {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
