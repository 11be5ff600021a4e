//! Removing from a registry (distribution-spec, "Content Management").
//!
//! A tag is removed by a `DELETE` of the tag. Registries that know no such thing remove by digest only, and with it every tag
//! of the image: that is done where the tag is the only one, and refused where there are others. With an image goes what refers
//! to it; its blobs are the registry's to collect.

use std::collections::BTreeSet;

use ureq::http::Method;

use super::error::RegistryError;
use super::repository::Repository;
use super::transport::Call;
use crate::documents::{Descriptor, Document};
use crate::stores::{Selector, Source as _, StoreError};
use crate::values::digest::Digest;
use crate::values::tag::Tag;

impl Repository<'_> {
    /// Removes a tag; what it named.
    pub fn remove_tag(&self, tag: &Tag) -> Result<Digest, StoreError> {
        let digest = self.resolve(&Selector::Tag(tag.to_string()))?.digest;
        let Some(refusal) = self.delete(tag)? else { return Ok(digest) };
        let mut others = Vec::new();
        for other in self.tag_names()?.into_iter().filter(|other| other != tag) {
            if self.look_up(&other, true)?.is_some_and(|found| found.digest == digest) {
                others.push(other.to_string());
            }
        }
        if !others.is_empty() {
            let (what, image) = (format!("{}/{}:{tag}", self.host, self.name), format!("{}@{digest}", self.name()));
            return Err(RegistryError::SharedTag { what, others, image }.into());
        }
        // Of the two refusals, the one of the tag is what was asked for.
        match self.remove_digest(&digest) {
            Err(StoreError::Remote(_)) => Err(refusal.into()),
            outcome => outcome.map(|()| digest),
        }
    }

    /// Removes an image or attachment under all its tags, and what refers to it.
    pub fn remove_digest(&self, digest: &Digest) -> Result<(), StoreError> {
        let root = self.resolve(&Selector::Digest(digest.clone()))?;
        let referrers = self.all_referrers(digest)?;
        self.delete(&digest.to_string())?.map_or(Ok(()), Err)?;
        if let Some(subject) = self.subject_of(&root)?
            && self.listed_referrers(&subject)?.is_none()
        {
            self.untag_referrer(&subject, digest)?;
        }
        // They say something of what is there no more: what is left of them does no harm.
        for gone in &referrers {
            if let Ok(Some(refusal)) | Err(refusal) = self.delete(&gone.to_string()) {
                self.client.warn(format!("{gone}, which refers to {digest}, stays: {refusal}"));
            }
        }
        for subject in std::iter::once(digest).chain(&referrers) {
            self.remove_list(subject)?;
        }
        Ok(())
    }

    /// Removes the list of referrers that stands in for the API.
    fn remove_list(&self, subject: &Digest) -> Result<(), StoreError> {
        let tag = Tag::of_referrers(subject);
        if let Some(list) = self.look_up(&tag, true)?
            && self.delete(&tag)?.is_some()
        {
            self.delete(&list.digest.to_string())?.map_or(Ok(()), Err)?;
        }
        Ok(())
    }

    /// What refers to an image, and what refers to that.
    fn all_referrers(&self, subject: &Digest) -> Result<BTreeSet<Digest>, StoreError> {
        let (mut found, mut next) = (BTreeSet::new(), vec![subject.clone()]);
        while let Some(at) = next.pop() {
            let new = self.referrers(&at)?.into_iter().map(|referrer| referrer.digest);
            next.extend(new.filter(|digest| found.insert(digest.clone())));
        }
        Ok(found)
    }

    fn subject_of(&self, root: &Descriptor) -> Result<Option<Digest>, StoreError> {
        // It was fetched a moment ago and is still at hand.
        let subject = match crate::stores::read_document(self, root)?.0 {
            Document::Manifest(manifest) => manifest.subject,
            Document::Index(index) => index.subject,
        };
        Ok(subject.map(|subject| subject.digest))
    }

    /// Sends a `DELETE`. A registry that does not do that says so; the answer comes back.
    fn delete(&self, reference: &str) -> Result<Option<RegistryError>, RegistryError> {
        let access = self.access();
        let reply = self.client.send(&Call::new(Method::DELETE, self.url(&format!("manifests/{reference}"))?), &access)?;
        if reply.is_success() {
            reply.drain();
            return Ok(None);
        }
        let separator = if reference.contains(':') { '@' } else { ':' };
        match self.client.refused(reply, &access) {
            RegistryError::Status { status: status @ (400 | 404 | 405 | 415 | 501), message, .. } => {
                let what = format!("{}/{}{separator}{reference}", self.host, self.name);
                Ok(Some(RegistryError::NoDeletion { what, status, message }))
            }
            other => Err(other),
        }
    }
}
