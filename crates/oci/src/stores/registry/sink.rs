//! A repository as the place that is written to.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use ureq::http::Method;

use super::client::held;
use super::error::{RegistryError, is_declined_status};
use super::reading::ACCEPT;
use super::repository::{Repository, check_digest, hash, stated_digest};
use super::session::Session;
use super::transport::{Call, Payload, Reply};
use crate::documents::{Descriptor, Document};
use crate::fs::TempFile;
use crate::progress::Outcome;
use crate::stores::referrers::listed;
use crate::stores::{Commit, Reopen, Sink, StoreError, TagChange, Tagged};
use crate::values::digest::Digest;

/// Blobs that are sent at once. The registry's disk, not the connection, is what more of them wait for.
const PARALLEL: usize = 4;

impl Repository<'_> {
    /// Writes a manifest or index under a tag or digest.
    pub(super) fn send_manifest(&self, reference: &str, media_type: &str, bytes: &[u8]) -> Result<(), RegistryError> {
        let reply = self.put_manifest_if(reference, media_type, bytes, &Condition::None)?;
        if reply.is_success() { confirm(reply, bytes) } else { Err(self.client.refused(reply, &self.access())) }
    }

    /// Writes a manifest or index under a tag that is as the condition says; whether it was. A registry that knows no
    /// conditions writes in any case.
    pub(super) fn replace_manifest(
        &self,
        tag: &str,
        media_type: &str,
        bytes: &[u8],
        condition: &Condition,
    ) -> Result<bool, RegistryError> {
        let reply = self.put_manifest_if(tag, media_type, bytes, condition)?;
        match reply.status {
            status if (200..300).contains(&status) => confirm(reply, bytes).map(|()| true),
            // 304 and 409 are what some say for 412.
            304 | 409 | 412 => {
                reply.drain();
                Ok(false)
            }
            // Where conditions are refused as such, nothing is to be had from them.
            400 | 501 => self.send_manifest(tag, media_type, bytes).map(|()| true),
            _ => Err(self.client.refused(reply, &self.access())),
        }
    }

    fn put_manifest_if(
        &self,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
        condition: &Condition,
    ) -> Result<Reply, RegistryError> {
        let mut call = Call::new(Method::PUT, self.url(&format!("manifests/{reference}"))?).header("Content-Type", media_type);
        call.headers.extend(condition.header());
        call.payload = Payload::Bytes(bytes);
        self.client.send(&call, &self.access())
    }

    /// What a tag names before it is set, where it may be.
    fn before(&self, tagged: &Tagged, no_clobber: bool) -> Result<Option<Digest>, StoreError> {
        let old = match self.look_up(&tagged.tag.parse()?, no_clobber) {
            // Only to tell what it was.
            Err(error) if !no_clobber && error.is_declined() => None,
            outcome => outcome?.map(|found| found.digest),
        };
        if no_clobber {
            self.refuse_another(tagged, old.as_ref())?;
        }
        Ok(old)
    }

    fn refuse_another(&self, tagged: &Tagged, found: Option<&Digest>) -> Result<(), StoreError> {
        match found {
            Some(old) if *old != tagged.root.digest => {
                Err(StoreError::Clobber { store: Sink::name(self), tag: tagged.tag.clone(), old: old.to_string() })
            }
            _ => Ok(()),
        }
    }

    /// Sets a tag that nobody has set: on that condition, and with a look at it afterwards. Where the registry knows no
    /// conditions, of two at once the later one stays, and the earlier one learns of it if that had come before its look.
    fn claim(&self, tagged: &Tagged, bytes: &[u8]) -> Result<(), StoreError> {
        let is_set = self.replace_manifest(&tagged.tag, &tagged.root.media_type, bytes, &Condition::Absent)?;
        let now = self.look_up(&tagged.tag.parse()?, true)?.map(|found| found.digest);
        self.refuse_another(tagged, now.as_ref())?;
        if is_set || now.is_some() {
            return Ok(());
        }
        let url = self.url(&format!("manifests/{}", tagged.tag))?;
        Err(RegistryError::protocol(&url, "it says that the tag is there, and has none").into())
    }

    fn bytes_of(&self, root: &Descriptor) -> Result<Arc<Vec<u8>>, StoreError> {
        if let Some(found) = held(&self.manifests).get(&root.digest) {
            return Ok(found.clone());
        }
        Ok(Arc::new(crate::stores::read_blob(self, root, crate::documents::MANIFEST_LIMIT)?))
    }

    /// A referrer as a list must show it, where the descriptor that is at hand does not say.
    fn listed(&self, at: &Descriptor) -> Result<Descriptor, StoreError> {
        if at.artifact_type.is_some() {
            return Ok(at.clone());
        }
        let bytes = self.bytes_of(at)?;
        let document = Document::parse(&bytes, &at.media_type);
        let document =
            document.map_err(|source| StoreError::Document { object: at.digest.to_string(), source: Box::new(source) })?;
        Ok(listed(at, &document))
    }

    fn commit_referrers(&self, commit: &Commit) -> Result<(), StoreError> {
        let mut by_subject: BTreeMap<&Digest, Vec<&Descriptor>> = BTreeMap::new();
        for referrer in &commit.referrers {
            by_subject.entry(&referrer.subject).or_default().push(&referrer.descriptor);
        }
        for (subject, entries) in by_subject {
            if self.listed_referrers(subject)?.is_some() {
                // The registry has read the `subject` of each manifest by itself.
                return Ok(());
            }
            let entries: Result<Vec<_>, StoreError> = entries.into_iter().map(|entry| self.listed(entry)).collect();
            self.tag_referrers(subject, &entries?)?;
        }
        Ok(())
    }
}

/// What was written is what the registry says it has.
fn confirm(reply: Reply, bytes: &[u8]) -> Result<(), RegistryError> {
    if let Some(said) = stated_digest(&reply)? {
        check_digest(&reply.url, &hash(&said, bytes), Some(&said))?;
    }
    reply.drain();
    Ok(())
}

/// What must hold for a write (RFC 9110, section 13.1).
pub enum Condition {
    /// Nothing.
    None,
    /// Nothing has the tag.
    Absent,
    /// It names what had this `ETag`.
    Unchanged(String),
}

impl Condition {
    /// How a request says it.
    pub(in crate::stores) fn header(&self) -> Option<(&'static str, String)> {
        match self {
            Self::None => None,
            Self::Absent => Some(("If-None-Match", "*".to_owned())),
            Self::Unchanged(etag) => Some(("If-Match", etag.clone())),
        }
    }
}

impl Sink for Repository<'_> {
    fn name(&self) -> String {
        format!("docker://{}/{}", self.host, self.name)
    }

    fn contains(&self, descriptor: &Descriptor) -> Result<bool, StoreError> {
        let access = self.access();
        let kind = if descriptor.is_manifest_or_index() { "manifests" } else { "blobs" };
        let mut call = Call::new(Method::HEAD, self.url(&format!("{kind}/{}", descriptor.digest))?);
        if descriptor.is_manifest_or_index() {
            call = call.header("Accept", ACCEPT.join(", "));
        }
        let reply = self.client.send(&call, &access)?;
        match reply.status {
            200 => {
                check_digest(&reply.url, &descriptor.digest, stated_digest(&reply)?.as_ref())?;
                Ok(reply.number("Content-Length").is_none_or(|length| length == descriptor.size))
            }
            // That it is there only saves work.
            status if is_declined_status(status) => Ok(false),
            _ => Err(self.client.refused(reply, &access).into()),
        }
    }

    fn put_blob(&self, descriptor: &Descriptor, content: &mut (dyn Read + Send)) -> Result<Outcome, StoreError> {
        crate::stores::put_once(self, descriptor, content)
    }

    fn put_again(&self, descriptor: &Descriptor, open: &Reopen<'_>) -> Result<Outcome, StoreError> {
        self.upload(descriptor, open)?;
        Ok(Outcome::Copied)
    }

    fn put_manifest(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<Outcome, StoreError> {
        let present = self.contains(descriptor)?;
        if !present {
            self.send_manifest(&descriptor.digest.to_string(), &descriptor.media_type, bytes)?;
        }
        held(&self.manifests).insert(descriptor.digest.clone(), Arc::new(bytes.to_vec()));
        Ok(if present { Outcome::Present } else { Outcome::Copied })
    }

    fn adopt(&self, descriptor: &Descriptor, staged: TempFile) -> Result<Outcome, StoreError> {
        crate::stores::put_staged(self, descriptor, &staged)
    }

    fn mount(&self, descriptor: &Descriptor, from: &str) -> Result<bool, StoreError> {
        let Some(from) = from.strip_prefix(&format!("{}/", self.host)).filter(|from| *from != self.name) else {
            return Ok(false);
        };
        let url = self.url("blobs/uploads/")?.with_query("mount", &descriptor.digest.to_string()).with_query("from", from);
        let mut access = self.access();
        access.scopes.insert(format!("repository:{from}:pull"));
        let reply = match self.client.send(&Call::new(Method::POST, url), &access) {
            // Some token servers give all that is asked for or nothing: uploading needs less.
            Err(RegistryError::Denied { .. }) => return Ok(false),
            outcome => outcome?,
        };
        match reply.status {
            201 => {
                check_digest(&reply.url, &descriptor.digest, stated_digest(&reply)?.as_ref())?;
                reply.drain();
                Ok(true)
            }
            202 => {
                let session = Session::of(self.client, &reply)?;
                reply.drain();
                held(&self.sessions).insert(descriptor.digest.clone(), session);
                Ok(false)
            }
            // A registry without mounts, or no leave to read there: uploading is still possible.
            400..=499 => {
                reply.drain();
                Ok(false)
            }
            _ => Err(self.client.refused(reply, &access).into()),
        }
    }

    fn parallelism(&self) -> usize {
        PARALLEL
    }

    fn commit(&self, commit: &Commit) -> Result<Vec<TagChange>, StoreError> {
        let mut moves = Vec::new();
        for tagged in &commit.tags {
            let old = self.before(tagged, commit.no_clobber)?;
            if old.as_ref() != Some(&tagged.root.digest) {
                moves.push((tagged, old));
            }
        }
        self.commit_referrers(commit)?;
        let mut changes = Vec::new();
        for (tagged, old) in moves {
            let bytes = self.bytes_of(&tagged.root)?;
            if commit.no_clobber {
                self.claim(tagged, &bytes)?;
            } else {
                self.send_manifest(&tagged.tag, &tagged.root.media_type, &bytes)?;
            }
            changes.push(TagChange { tag: tagged.tag.clone(), old, new: tagged.root.digest.clone() });
        }
        Ok(changes)
    }
}
