//! A repository, read: manifests, tags, referrers.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use ureq::http::Method;

use super::blob::BlobReader;
use super::client::{Client, held};
use super::error::{RegistryError, clean, is_declined_status};
use super::link::next_link;
use super::repository::{Fetched, Repository, check_digest, hash, stated_digest};
use super::transport::Reply;
use super::url::Url;
use crate::documents::{self, Descriptor, Document, Index, REF_NAME, json, media_type};
use crate::stores::{Selector, Source, StoreError, Tagged};
use crate::values::digest::Digest;
use crate::values::tag::{Tag, referrers_suffix};

/// Every media type of a manifest or index.
pub(super) const ACCEPT: [&str; 4] =
    [media_type::INDEX, media_type::MANIFEST, media_type::DOCKER_LIST, media_type::DOCKER_MANIFEST];
/// Blobs that are fetched at once.
const PARALLEL: usize = 6;
/// How many pages of a listing are read.
pub(super) const PAGES: usize = 1000;
/// How many bytes the pages of a listing may have together.
pub(super) const LISTING_LIMIT: u64 = 16 << 20;

#[derive(Deserialize)]
struct TagList {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl Repository<'_> {
    /// The names of all tags, sorted (distribution-spec, "Listing Tags").
    pub fn tag_names(&self) -> Result<Vec<Tag>, RegistryError> {
        let mut names = BTreeSet::new();
        let mut next = Some(self.url("tags/list?n=1000")?);
        let mut left = LISTING_LIMIT;
        for _ in 0..PAGES {
            let Some(url) = next.take() else { break };
            let reply = self.get(&url, "application/json")?;
            next = next_page(self.client, &reply)?;
            let at = reply.url.clone();
            let found: TagList = serde_json::from_slice(&read_page(reply, &mut left)?)
                .map_err(|_| RegistryError::protocol(&at, "its list of tags is no JSON"))?;
            for tag in found.tags.unwrap_or_default() {
                let wrong = |_| RegistryError::protocol(&at, format!("it lists `{}` as a tag", clean(&tag)));
                names.insert(tag.parse::<Tag>().map_err(wrong)?);
            }
        }
        match next {
            None => Ok(names.into_iter().collect()),
            Some(url) => Err(RegistryError::protocol(&url, "its list of tags has no end")),
        }
    }

    /// What is meant where no tag is named: `latest`, or else the only tag that there is, which the descriptor names then.
    fn default(&self) -> Result<Option<Fetched>, StoreError> {
        if let Some(latest) = self.fetch_manifest("latest", None)? {
            return Ok(Some(latest));
        }
        let names = match self.tag_names() {
            Err(error) if error.is_absence() => return Err(StoreError::NoRepository { store: self.name() }),
            Err(error) if error.is_declined() => return Ok(None),
            names => names?,
        };
        let mut images = names.iter().filter(|tag| referrers_suffix(tag).is_none());
        let (Some(only), None) = (images.next(), images.next()) else { return Ok(None) };
        let mut found = self.fetch_manifest(only, None)?;
        if let Some(found) = &mut found {
            found.descriptor.annotations.insert(REF_NAME.to_owned(), only.to_string());
        }
        Ok(found)
    }

    /// A `GET` that must succeed.
    fn get(&self, url: &Url, accept: &str) -> Result<Reply, RegistryError> {
        let access = self.access();
        let reply = self.client.send(&self.call(Method::GET, url.clone()).header("Accept", accept), &access)?;
        if reply.status == 200 { Ok(reply) } else { Err(self.client.refused(reply, &access)) }
    }

    /// A manifest or index; `None` where it is not there.
    pub fn manifest(&self, digest: &Digest) -> Result<Option<Fetched>, RegistryError> {
        self.fetch_manifest(&digest.to_string(), Some(digest))
    }

    /// What a tag names, by the cheapest way there is; `None` where there is no such tag.
    pub fn tagged(&self, tag: &Tag) -> Result<Option<Descriptor>, RegistryError> {
        self.look_up(tag, true)
    }

    /// What is behind a tag or digest: fetched, hashed, compared with what the registry says; `None` where it is not there.
    pub(super) fn fetch_manifest(&self, wanted: &str, digest: Option<&Digest>) -> Result<Option<Fetched>, RegistryError> {
        let url = self.url(&format!("manifests/{wanted}"))?;
        let access = self.access();
        let call = self.call(Method::GET, url).header("Accept", ACCEPT.join(", "));
        let reply = self.client.send(&call, &access)?;
        if reply.status == 404 {
            reply.drain();
            return Ok(None);
        }
        if reply.status != 200 {
            return Err(self.client.refused(reply, &access));
        }
        let at = reply.url.clone();
        let said = stated_digest(&reply)?;
        let content_type = reply.header("Content-Type").unwrap_or_default();
        // A weak validator is no condition for a write (RFC 9110, section 13.1.1).
        let etag = reply.header("ETag").filter(|etag| etag.starts_with('"'));
        let encoding = reply.encoding();
        let bytes = reply.read(documents::MANIFEST_LIMIT)?;
        if let Some(encoding) = encoding.filter(|_| json::parse(&bytes).is_err()) {
            return Err(RegistryError::Encoded { url: at.to_string(), encoding });
        }
        let digest = match digest.or(said.as_ref()) {
            Some(expected) => {
                let found = hash(expected, &bytes);
                check_digest(&at, expected, Some(&found))?;
                check_digest(&at, expected, said.as_ref().filter(|said| said.algorithm() == expected.algorithm()))?;
                found
            }
            None => Digest::of(&bytes),
        };
        let media_type = media_type_of(&content_type, &bytes);
        let descriptor = Descriptor::new(media_type, digest.clone(), bytes.len() as u64);
        let bytes = Arc::new(bytes);
        held(&self.manifests).insert(digest, bytes.clone());
        Ok(Some(Fetched { descriptor, bytes, etag }))
    }

    /// What a tag names, by `HEAD` where that is answered and says enough. Some registries refuse it; others know no tag by it,
    /// which matters only to whoever must be sure.
    pub(super) fn look_up(&self, tag: &Tag, sure: bool) -> Result<Option<Descriptor>, RegistryError> {
        let url = self.url(&format!("manifests/{tag}"))?;
        let access = self.access();
        let reply = self.client.send(&self.call(Method::HEAD, url).header("Accept", ACCEPT.join(", ")), &access)?;
        if reply.status == 404 && !sure {
            return Ok(None);
        }
        if is_declined_status(reply.status) {
            return Ok(self.fetch_manifest(tag, None)?.map(|found| found.descriptor));
        }
        if reply.status != 200 {
            return Err(self.client.refused(reply, &access));
        }
        let media_type = reply.header("Content-Type").map(|text| bare_type(&text).to_owned());
        let known = |media_type: &String| media_type::is_index(media_type) || media_type::is_manifest(media_type);
        match (stated_digest(&reply)?, reply.number("Content-Length"), media_type.filter(known)) {
            (Some(digest), Some(size), Some(media_type)) => Ok(Some(Descriptor::new(media_type, digest, size))),
            _ => Ok(self.fetch_manifest(tag, None)?.map(|found| found.descriptor)),
        }
    }

    /// The referrers API's answer; `None` where the registry lacks it, or gives nobody an answer.
    pub(super) fn listed_referrers(&self, subject: &Digest) -> Result<Option<Vec<Descriptor>>, RegistryError> {
        let access = self.access();
        let mut found = Vec::new();
        let mut next = Some(self.url(&format!("referrers/{subject}"))?);
        let mut left = LISTING_LIMIT;
        for page in 0..PAGES {
            let Some(url) = next.take() else { break };
            let call = self.call(Method::GET, url).header("Accept", media_type::INDEX);
            let reply = self.client.send(&call, &access)?;
            if page == 0 && (reply.status == 401 || is_declined_status(reply.status)) {
                if reply.status == 500 {
                    let text = "answers 500 when asked what refers to its images: only what it lists by tag is known";
                    self.client.warn_once(format!("{} {text}", Source::name(self)));
                }
                reply.drain();
                return Ok(None);
            }
            if reply.status != 200 {
                return Err(self.client.refused(reply, &access));
            }
            next = next_page(self.client, &reply)?;
            let (at, stated) = (reply.url.clone(), reply.header("Content-Type"));
            match Index::parse(&read_page(reply, &mut left)?, None) {
                Ok(index) => found.extend(index.manifests),
                // Whatever answers to every path, a proxy's page above all.
                Err(_) if page == 0 && stated.is_none_or(|stated| bare_type(&stated) != media_type::INDEX) => {
                    let text = "says what refers to its images in no form that can be read: that counts as nothing";
                    self.client.warn_once(format!("{} {text}", Source::name(self)));
                    return Ok(None);
                }
                Err(error) => {
                    let reason = format!("its list of referrers is malformed: {error}");
                    return Err(RegistryError::protocol(&at, reason));
                }
            }
        }
        match next {
            None => Ok(Some(found)),
            Some(url) => Err(RegistryError::protocol(&url, "its list of referrers has no end")),
        }
    }

    fn fetch_blob(&self, descriptor: &Descriptor) -> Result<Option<BlobReader<'_>>, StoreError> {
        BlobReader::open(self, &descriptor.digest, Some(descriptor.size), 0)
    }

    fn missing(&self, digest: &Digest) -> StoreError {
        StoreError::MissingBlob { store: self.name(), digest: digest.to_string() }
    }
}

impl Source for Repository<'_> {
    fn name(&self) -> String {
        format!("docker://{}/{}", self.host, self.name)
    }

    fn tags(&self) -> Result<Vec<Tagged>, StoreError> {
        let mut tags = Vec::new();
        let names = match self.tag_names() {
            Err(error) if error.is_absence() => return Err(StoreError::NoRepository { store: self.name() }),
            names => names?,
        };
        for tag in names {
            // One that vanished between the list and the look is none.
            if let Some(root) = self.look_up(&tag, true)? {
                tags.push(Tagged { tag: tag.to_string(), root });
            }
        }
        Ok(tags)
    }

    fn resolve(&self, selector: &Selector) -> Result<Descriptor, StoreError> {
        let found = match selector {
            Selector::Only => self.default()?,
            // What is no tag is under none.
            Selector::Tag(tag) => match tag.parse::<Tag>() {
                Ok(tag) => self.fetch_manifest(&tag, None)?,
                Err(_) => None,
            },
            Selector::Digest(digest) => self.fetch_manifest(&digest.to_string(), Some(digest))?,
        };
        if let Some(found) = found {
            return Ok(found.descriptor);
        }
        // Only to help: where the list cannot be had, the message is enough.
        let available = match self.tag_names() {
            Err(error) if error.is_absence() => return Err(StoreError::NoRepository { store: self.name() }),
            tags => {
                let tags = tags.unwrap_or_default();
                tags.iter().filter(|tag| referrers_suffix(tag).is_none()).take(20).map(Tag::to_string).collect()
            }
        };
        let wanted = match selector {
            Selector::Only => "latest".to_owned(),
            Selector::Tag(tag) => tag.clone(),
            Selector::Digest(digest) => digest.to_string(),
        };
        Err(StoreError::NotFound { store: self.name(), wanted, available })
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, StoreError> {
        let documents_first = descriptor.is_manifest_or_index();
        if !documents_first && let Some(blob) = self.fetch_blob(descriptor)? {
            return Ok(Box::new(blob));
        }
        let known = held(&self.manifests).get(&descriptor.digest).cloned();
        let document = match known {
            Some(bytes) => Some(bytes),
            None => self.fetch_manifest(&descriptor.digest.to_string(), Some(&descriptor.digest))?.map(|found| found.bytes),
        };
        if let Some(bytes) = document {
            return Ok(Box::new(std::io::Cursor::new(Shared(bytes))));
        }
        // A manifest's layer may claim any media type, and still is a blob.
        match documents_first.then(|| self.fetch_blob(descriptor)).transpose()?.flatten() {
            Some(blob) => Ok(Box::new(blob)),
            None => Err(self.missing(&descriptor.digest)),
        }
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        let mut found = match self.listed_referrers(subject)? {
            Some(found) => found,
            None => match self.tagged_referrers(subject) {
                Ok(index) => index.map(|index| index.manifests).unwrap_or_default(),
                // A bucket behind plain HTTP says so of all that it does not have.
                Err(error) if error.is_declined() => {
                    let text = "does not say what refers to its images: that counts as nothing";
                    self.client.warn_once(format!("{} {text}", Source::name(self)));
                    Vec::new()
                }
                Err(error) => return Err(error.into()),
            },
        };
        found.retain(Descriptor::is_manifest_or_index);
        found.sort_by(|a, b| a.digest.cmp(&b.digest));
        found.dedup_by(|a, b| a.digest == b.digest);
        for referrer in &mut found {
            referrer.annotations.remove(documents::REF_NAME);
        }
        // Lists do not tell tags. Signatures have the shape of an image and are found by this tag alone.
        if found.iter().any(has_shape_of_image) {
            let tag = Tag::of_signatures(subject);
            if let Some(named) = self.look_up(&tag, false)?
                && let Some(referrer) = found.iter_mut().find(|referrer| referrer.digest == named.digest)
            {
                referrer.annotations.insert(documents::REF_NAME.to_owned(), tag.to_string());
            }
        }
        Ok(found)
    }

    fn resumes(&self) -> bool {
        true
    }

    fn open_from(&self, descriptor: &Descriptor, offset: u64) -> Result<Option<Box<dyn Read + Send + '_>>, StoreError> {
        if offset == 0 {
            return self.open(descriptor).map(Some);
        }
        Ok(BlobReader::open(self, &descriptor.digest, Some(descriptor.size), offset)?
            .map(|blob| Box::new(blob) as Box<dyn Read + Send + '_>))
    }

    fn parallelism(&self) -> usize {
        PARALLEL
    }

    fn repository(&self) -> Option<String> {
        Some(format!("{}/{}", self.host, self.name))
    }
}

/// Whether a referrer is listed as an image, and not as an artifact of another type.
fn has_shape_of_image(referrer: &Descriptor) -> bool {
    referrer.artifact_type.as_deref().is_none_or(media_type::is_config)
}

struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Where the next page of a listing is.
pub(super) fn next_page(client: &Client<'_>, reply: &Reply) -> Result<Option<Url>, RegistryError> {
    let mut link = None;
    for header in reply.headers("Link") {
        let Ok(found) = next_link(&header) else {
            return Err(RegistryError::protocol(&reply.url, "its `Link` cannot be read, and its list may go on there"));
        };
        link = link.or(found.map(str::to_owned));
    }
    let Some(link) = link else { return Ok(None) };
    let url = client.admit(&reply.url, &link)?;
    if url == reply.url {
        return Err(RegistryError::protocol(&reply.url, "its next page is itself"));
    }
    // A page may not lead to another host: nothing honest does.
    if url.origin() == reply.url.origin() {
        Ok(Some(url))
    } else {
        Err(RegistryError::protocol(&reply.url, "its next page is elsewhere"))
    }
}

/// One page of a listing, where all of them may have `left` more bytes.
pub(super) fn read_page(reply: Reply, left: &mut u64) -> Result<Vec<u8>, RegistryError> {
    let url = reply.url.to_string();
    let bytes = reply.read(documents::MANIFEST_LIMIT)?;
    *left = left.checked_sub(bytes.len() as u64).ok_or(RegistryError::TooLong { url, limit: LISTING_LIMIT })?;
    Ok(bytes)
}

fn bare_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// The media type: the header's, or the document's own where the header says nothing that is known.
pub fn media_type_of(content_type: &str, bytes: &[u8]) -> String {
    let stated = bare_type(content_type);
    if media_type::is_index(stated) || media_type::is_manifest(stated) {
        return stated.to_owned();
    }
    let tree = json::parse(bytes).unwrap_or_default();
    match tree.get("mediaType").and_then(Value::as_str) {
        Some(own) => clean(own),
        None if tree.get("manifests").is_some() => media_type::INDEX.to_owned(),
        None => media_type::MANIFEST.to_owned(),
    }
}

/// Parses a document that a registry serves as an index.
pub(super) fn parse_index(bytes: &[u8]) -> Option<Index> {
    match Document::parse(bytes, media_type::INDEX) {
        Ok(Document::Index(index)) => Some(index),
        _ => None,
    }
}
