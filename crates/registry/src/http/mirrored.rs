//! Repositories of other registries: what is not here, or no longer believed, is fetched from there, stored, and served as
//! everything else is.
//!
//! Nothing is visible before its digest was checked. What has a digest stays; a tag is asked for again when it is older than is believed,
//! and stands for what it last stood for while the other registry is away.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, Method, header};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use plugin_oci::documents::{Descriptor, MANIFEST_LIMIT, REF_NAME, media_type};
use plugin_oci::stores::bucket::lists::{parse_referrers, referrers_document};
use plugin_oci::stores::bucket::objects::Kind;
use plugin_oci::stores::registry::Repository;
use plugin_oci::stores::{Source as _, StoreError, Verified, listed, text_of};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::tag::Tag;
use serde_json::json;
use tokio::sync::mpsc;

use super::{Registry, manifests};
use crate::audit::at;
use crate::fault::Fault;
use crate::mirror::{Flight, Fresh, Mirrors, Outcome, Remote};
use crate::names::{Name, Route, Wanted};
use crate::store::{Condition, Marked, StoreFault, TURN};

/// How much of a blob comes at once.
const PIECE: usize = 256 << 10;
/// How long whoever may have the last known waits for news, from when they were first asked for.
const NEWS: Duration = Duration::from_secs(5);
/// Of what was here and is gone, or never was, only that it cannot be had is believed for a while.
const MISSING: Fresh = Fresh { here: Duration::ZERO, other: Duration::MAX };

tokio::task_local! {
    /// Through whom the request came that is being answered.
    pub(super) static VIA: String;
}

/// Why something was not fetched.
enum Failed {
    Upstream(String),
    Here(String),
}

impl From<StoreFault> for Failed {
    fn from(fault: StoreFault) -> Self {
        Self::Here(fault.to_string())
    }
}

/// The `Via` of what is asked elsewhere for the request that is being answered.
fn hops(mirrors: &Mirrors) -> Result<String, Fault> {
    let before = VIA.try_with(Clone::clone).unwrap_or_default();
    mirrors.hops(&before).ok_or_else(|| Fault::circle("the mirrors ask each other"))
}

/// Asks another registry.
async fn ask<T: Send + 'static>(
    mirrors: &Mirrors,
    remote: Remote,
    via: String,
    work: impl FnOnce(&Repository<'_>) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Failed> {
    let _turn = mirrors.asking.acquire().await;
    let asking =
        tokio::task::spawn_blocking(move || work(&remote.repository(via)).map_err(|error| Failed::Upstream(text_of(&error))));
    asking.await.map_err(|error| Failed::Here(error.to_string()))?
}

impl Registry {
    /// The mirrors, where a repository is of one.
    fn mirrors(&self, name: &Name) -> Option<&Mirrors> {
        self.settings.mirrors.as_ref().filter(|mirrors| mirrors.has(name))
    }

    /// Refuses to change what is another registry's; what is kept of it may be removed.
    pub(super) fn check_own(&self, route: &Route, method: &Method) -> Result<(), Fault> {
        match route {
            Route::Blob(..) | Route::Manifest(..) if *method == Method::DELETE => Ok(()),
            _ if route.name().is_some_and(|name| self.mirrors(name).is_some()) => {
                Err(Fault::denied("this repository mirrors another registry: push there"))
            }
            _ => Ok(()),
        }
    }

    /// Asks anew for what may have changed at the other registry, before it is served.
    pub(super) async fn renew(self: &Arc<Self>, route: &Route) -> Result<(), Fault> {
        let Some(name) = route.name().filter(|name| self.mirrors(name).is_some()) else { return Ok(()) };
        match route {
            Route::Manifest(_, Wanted::Tag(tag)) => self.renew_tag(name, tag).await,
            Route::Referrers(_, subject) => self.renew_referrers(name, subject).await,
            _ => Ok(()),
        }
    }

    /// Fetches what is not here; whether it is now.
    pub(super) async fn fetch(self: &Arc<Self>, route: &Route) -> Result<bool, Fault> {
        let Some(name) = route.name().filter(|name| self.mirrors(name).is_some()) else { return Ok(false) };
        let flight = match route {
            Route::Blob(_, digest) => self.fly(name, Wanting::Blob(digest.clone())).await?,
            Route::Manifest(_, Wanted::Digest(digest)) => self.fly(name, Wanting::Manifest(digest.clone())).await?,
            // It was here a moment ago, and somebody has removed it.
            Route::Manifest(_, Wanted::Tag(tag)) => self.fly(name, Wanting::Lost(tag.clone())).await?,
            _ => return Ok(false),
        };
        match flight.landed().await {
            Outcome::Here => Ok(true),
            Outcome::Absent => Ok(false),
            Outcome::Away => Err(away()),
            Outcome::Refused(why) => Err(Fault::manifest_unknown(why)),
        }
    }

    async fn renew_tag(self: &Arc<Self>, name: &Name, tag: &Tag) -> Result<(), Fault> {
        let is_here = async || Ok::<_, Fault>(self.store.head(&name.tag(tag)).await?.is_some());
        let flight = self.fly(name, Wanting::Tag(tag.clone())).await?;
        let wait = NEWS.saturating_sub(flight.begun().elapsed());
        let mut landing = std::pin::pin!(flight.landed());
        let outcome = match tokio::time::timeout(wait, &mut landing).await {
            Ok(outcome) => outcome,
            Err(_) if is_here().await? => return Ok(()),
            Err(_) => landing.await,
        };
        match outcome {
            Outcome::Here => Ok(()),
            Outcome::Absent => Err(Fault::manifest_unknown("the mirrored registry has no such tag")),
            Outcome::Refused(why) => Err(Fault::manifest_unknown(why)),
            // The last known, if any.
            Outcome::Away => {
                if is_here().await? {
                    Ok(())
                } else {
                    Err(away())
                }
            }
        }
    }

    async fn renew_referrers(self: &Arc<Self>, name: &Name, subject: &Digest) -> Result<(), Fault> {
        let flight = self.fly(name, Wanting::Referrers(subject.clone())).await?;
        // The last known will do.
        let wait = NEWS.saturating_sub(flight.begun().elapsed());
        drop(tokio::time::timeout(wait, flight.landed()).await);
        Ok(())
    }

    /// The tags of another registry's repository, as long as that answers.
    pub(super) async fn tags_there(&self, name: &Name) -> Result<Option<BTreeSet<String>>, Fault> {
        let Some((mirrors, remote)) = self.mirrors(name).and_then(|it| Some((it, it.remote(name)?))) else { return Ok(None) };
        let via = hops(mirrors)?;
        let asking = ask(mirrors, remote, via, |there| Ok(there.tag_names()?));
        let Ok(Ok(tags)) = tokio::time::timeout(NEWS, asking).await else { return Ok(None) };
        Ok(Some(tags.into_iter().map(|tag| tag.to_string()).collect()))
    }

    /// What a policy may want to see beside a manifest.
    pub(super) async fn renew_beside(self: &Arc<Self>, name: &Name, digest: &Digest) -> Result<(), Fault> {
        if self.mirrors(name).is_none() {
            return Ok(());
        }
        self.renew_referrers(name, digest).await?;
        // That there are none is no fault.
        drop(self.renew_tag(name, &Tag::of_signatures(digest)).await);
        Ok(())
    }

    /// Begins to fetch something, or joins those who wait for it.
    async fn fly(self: &Arc<Self>, name: &Name, wanting: Wanting) -> Result<Flight, Fault> {
        let no_way = || Fault::manifest_unknown("there is no such repository at the mirrored registry");
        let (mirrors, remote) = self.mirrors(name).and_then(|it| Some((it, it.remote(name)?))).ok_or_else(no_way)?;
        let (before, via) = (VIA.try_with(Clone::clone).unwrap_or_default(), hops(mirrors)?);
        self.serving().await?;
        let key = wanting.key(name);
        let fresh = if matches!(wanting, Wanting::Tag(_) | Wanting::Referrers(_)) { mirrors.changing() } else { MISSING };
        let (registry, name) = (self.clone(), name.clone());
        let begin = || VIA.scope(before, registry.flown(name, wanting, remote, via));
        Ok(mirrors.flights.join(&key, fresh, begin))
    }

    fn flown(self: Arc<Self>, name: Name, wanting: Wanting, remote: Remote, via: String) -> BoxFuture<'static, Outcome> {
        let from = remote.name();
        Box::pin(async move {
            let outcome = match &wanting {
                Wanting::Blob(digest) => self.bring_blob(&name, digest, remote, via).await,
                Wanting::Manifest(digest) => self.bring_manifest(&name, digest, None, remote, via).await,
                Wanting::Tag(tag) | Wanting::Lost(tag) => self.bring_tag(&name, tag, remote, via).await,
                Wanting::Referrers(subject) => self.bring_referrers(&name, subject, remote, via).await,
            };
            let (Failed::Upstream(message) | Failed::Here(message)) = match outcome {
                Ok(outcome) => return outcome,
                Err(failed) => failed,
            };
            eprintln!("{}", json!({"level": "error", "message": format!("cannot mirror {from}: {message}")}));
            Outcome::Away
        })
    }

    async fn bring_tag(self: &Arc<Self>, name: &Name, tag: &Tag, remote: Remote, via: String) -> Result<Outcome, Failed> {
        let Some(mirrors) = self.mirrors(name) else { return Ok(Outcome::Absent) };
        let wanted = tag.clone();
        let look = ask(mirrors, remote.clone(), via.clone(), move |there| Ok(there.tagged(&wanted)?)).await?;
        let Some(found) = look else { return Ok(Outcome::Absent) };
        self.bring_manifest(name, &found.digest, Some(tag), remote, via).await
    }

    async fn bring_manifest(
        self: &Arc<Self>,
        name: &Name,
        digest: &Digest,
        tag: Option<&Tag>,
        remote: Remote,
        via: String,
    ) -> Result<Outcome, Failed> {
        let Some(mirrors) = self.mirrors(name) else { return Ok(Outcome::Absent) };
        let here = self.store.get(&name.manifest(digest)).await?.map(|found| (found.bytes, found.content_type));
        let (bytes, kind) = if let Some(here) = here {
            here
        } else {
            let (wanted, from) = (digest.clone(), remote.clone());
            match ask(mirrors, from, via, move |there| Ok(there.manifest(&wanted)?)).await? {
                Some(found) => (found.bytes.to_vec(), Some(found.descriptor.media_type)),
                None => return Ok(Outcome::Absent),
            }
        };
        let (root, document) = match manifests::parse(&bytes, kind.as_deref(), digest.clone()) {
            Ok(parsed) => parsed,
            Err(fault) => return Ok(Outcome::Refused(fault.message().to_owned())),
        };
        let stored = async {
            self.protect(name, &root.digest, &bytes).await?;
            let none = referrers_document(Vec::new());
            self.store.put(&name.referrers(digest), &Kind::changing(media_type::INDEX), none, Condition::Absent).await?;
            self.store.put(&name.manifest(digest), &Kind::fixed(&root.media_type), bytes.clone(), Condition::None).await?;
            if let Some(subject) = document.subject() {
                self.list_referrer(name, &subject.digest, &listed(&root, &document)).await?;
            }
            let Some(tag) = tag else { return Ok(()) };
            self.check_tag(name, &Wanted::Tag(tag.clone()), digest, &bytes).await?;
            // One that never moves stays where it is.
            if self.may_tag(name, tag, &HeaderMap::new(), digest).await.is_ok() {
                self.may_act().await?;
                let before = self.set_tag(name, tag, &HeaderMap::new(), &root, &bytes).await?;
                if before.as_ref() != Some(digest) {
                    self.tell_of_tag(name, tag, before.as_ref(), digest, &remote).await?;
                }
            }
            Ok::<_, Fault>(())
        };
        match stored.await {
            Ok(()) => Ok(Outcome::Here),
            Err(fault) if fault.is_denial() => Ok(Outcome::Refused(fault.message().to_owned())),
            Err(fault) => Err(Failed::Here(fault.message().to_owned())),
        }
    }

    async fn tell_of_tag(
        &self,
        name: &Name,
        tag: &Tag,
        before: Option<&Digest>,
        new: &Digest,
        from: &Remote,
    ) -> Result<(), Fault> {
        let Some(audit) = self.settings.audit.clone() else { return Ok(()) };
        let line = json!({
            "at": at(), "act": "mirror-tag", "repository": name.as_str(), "tag": tag.to_string(), "from": from.name(),
            "before": before.map(ToString::to_string), "digest": new.to_string(), "outcome": "done",
        });
        let told = tokio::task::spawn_blocking(move || audit.tell(&line)).await;
        if matches!(told, Ok(Ok(()))) { Ok(()) } else { Err(Fault::unavailable("the audit log cannot be written")) }
    }

    async fn bring_blob(&self, name: &Name, digest: &Digest, remote: Remote, via: String) -> Result<Outcome, Failed> {
        let Some(mirrors) = self.mirrors(name) else { return Ok(Outcome::Absent) };
        let key = name.blob(digest);
        let pardon = || async {
            let pardoned = Marked::blob(digest.clone()).pardon(&self.store, name).await;
            pardoned.map_err(|fault| Failed::Here(fault.message().to_owned()))
        };
        if self.store.head(&key).await?.is_some() {
            pardon().await?;
            if self.store.head(&key).await?.is_some() {
                return Ok(Outcome::Here);
            }
        }
        let _turn = mirrors.blobs.acquire().await;
        let (sender, mut pieces) = mpsc::channel::<Result<Bytes, Failed>>(4);
        let (wanted, limit) = (digest.clone(), self.settings.blob_limit);
        let reading = tokio::task::spawn_blocking(move || read_blob(&remote.repository(via), &wanted, limit, &sender));
        let mut writer = self.store.begin(&key, None).await?;
        // A reader that fails ends the pieces by its error.
        loop {
            match tokio::time::timeout(TURN, pieces.recv()).await {
                Ok(Some(piece)) => writer.write(piece?).await?,
                Ok(None) => break,
                Err(_) => writer.give_way().await?,
            }
        }
        match reading.await.map_err(|error| Failed::Here(error.to_string()))? {
            Outcome::Here => {
                pardon().await?;
                writer.finish().await?;
                Ok(Outcome::Here)
            }
            other => Ok(other),
        }
    }

    /// What refers to something there refers to it here; what did so once goes on.
    async fn bring_referrers(&self, name: &Name, subject: &Digest, remote: Remote, via: String) -> Result<Outcome, Failed> {
        let Some(mirrors) = self.mirrors(name) else { return Ok(Outcome::Absent) };
        let wanted = subject.clone();
        let there = ask(mirrors, remote, via, move |there| there.referrers(&wanted)).await?;
        let key = name.referrers(subject);
        for _ in 0..10 {
            let now = self.store.get(&key).await?;
            let parsed = now.as_ref().map(|now| parse_referrers(&now.bytes).map_err(|error| StoreFault::new(&key, error)));
            let before = parsed.transpose()?.unwrap_or_default();
            let mut after: Vec<Descriptor> = before.clone();
            for entry in &there {
                let mut entry = entry.clone();
                entry.annotations.remove(REF_NAME);
                if after.iter().all(|known| known.digest != entry.digest) {
                    after.push(entry);
                }
            }
            after.sort_by(|a, b| a.digest.cmp(&b.digest));
            if after == before {
                return Ok(Outcome::Here);
            }
            let bytes = referrers_document(after);
            if bytes.len() as u64 > MANIFEST_LIMIT {
                return Ok(Outcome::Refused("too much refers to it".to_owned()));
            }
            let condition = now.map_or(Condition::Absent, |now| Condition::Unchanged(now.version));
            if self.store.put(&key, &Kind::changing(media_type::INDEX), bytes, condition).await? {
                return Ok(Outcome::Here);
            }
        }
        Err(Failed::Here("the list of what refers to it changes faster than it can be written".to_owned()))
    }
}

/// Sends the pieces of a blob, of which the last comes when the digest is right.
fn read_blob(there: &Repository<'_>, digest: &Digest, limit: u64, sender: &mpsc::Sender<Result<Bytes, Failed>>) -> Outcome {
    let fail = |failed: Failed| {
        drop(sender.blocking_send(Err(failed)));
        Outcome::Away
    };
    let reader = match there.blob(digest) {
        Ok(Some(found)) => found,
        Ok(None) => return Outcome::Absent,
        Err(error) => return fail(Failed::Upstream(text_of(&error))),
    };
    let size = reader.size();
    if size > limit {
        return Outcome::Refused("it has more bytes than a blob may have here".to_owned());
    }
    let mut reader = Verified::new(reader, &Descriptor::new("application/octet-stream", digest.clone(), size));
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        match reader.by_ref().take(PIECE as u64).read_to_end(&mut piece) {
            Ok(0) => return Outcome::Here,
            Ok(_) if sender.blocking_send(Ok(Bytes::from(piece))).is_err() => return Outcome::Away,
            Ok(_) => {}
            Err(error) => return fail(Failed::Upstream(error.to_string())),
        }
    }
}

fn away() -> Fault {
    let fault = Fault::unavailable("the mirrored registry does not answer");
    // Another mirror does not wait: whoever asked it does.
    let is_mirror = VIA.try_with(|via| !via.is_empty()).unwrap_or_default();
    if is_mirror { fault } else { fault.with(header::RETRY_AFTER, "10") }
}

/// What is fetched.
enum Wanting {
    Blob(Digest),
    Manifest(Digest),
    Tag(Tag),
    /// A tag that is not here, whatever is believed of it.
    Lost(Tag),
    Referrers(Digest),
}

impl Wanting {
    fn key(&self, name: &Name) -> String {
        match self {
            Self::Blob(digest) => name.blob(digest),
            Self::Manifest(digest) => name.manifest(digest),
            Self::Tag(tag) => name.tag(tag),
            Self::Lost(tag) => format!("lost {}", name.tag(tag)),
            Self::Referrers(digest) => name.referrers(digest),
        }
    }
}
