//! Manifests that come, and what goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::Response;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use plugin_oci::documents::{Descriptor, Document, MANIFEST_LIMIT, media_type};
use plugin_oci::stores::bucket::lists::referrers_document;
use plugin_oci::stores::bucket::objects::Kind;
use plugin_oci::stores::listed;
use plugin_oci::stores::registry::media_type_of;
use plugin_oci::values::digest::{Digest, Hasher};
use plugin_oci::values::tag::Tag;

use super::acts::Changed;
use super::{CONTENT_DIGEST, Registry, heads, set, status};
use crate::fault::Fault;
use crate::gc::{Reached, reach, reach_attached};
use crate::names::{Name, Wanted};
use crate::store::{Condition, Marked, marked};
use crate::uploads::Incoming;

const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// How many objects are looked at, at once.
const PARALLEL: usize = 8;
/// Layers that their owners do not let others spread (image-spec, `layer.md`, "Non-Distributable Layers"): they lie elsewhere.
const ELSEWHERE: [&str; 2] =
    ["application/vnd.oci.image.layer.nondistributable.", "application/vnd.docker.image.rootfs.foreign."];

impl Registry {
    pub(super) async fn put_manifest(
        self: &Arc<Self>,
        name: &Name,
        wanted: &Wanted,
        headers: &HeaderMap,
        incoming: Incoming,
    ) -> Result<Response, Fault> {
        let bytes = incoming.read(MANIFEST_LIMIT).await?;
        let digest = match wanted {
            Wanted::Tag(_) => Digest::of(&bytes),
            Wanted::Digest(digest) => {
                let mut hasher = Hasher::with(digest.algorithm());
                hasher.update(&bytes);
                let found = hasher.finish();
                if found == *digest { found } else { return Err(Fault::digest_invalid(format!("the content is {found}"))) }
            }
        };
        let (root, document) = parse(&bytes, heads::text(headers, header::CONTENT_TYPE), digest)?;
        if let Wanted::Tag(tag) = wanted {
            self.may_tag(name, tag, headers, &root.digest).await?;
            self.check_tag(name, wanted, &root.digest, &bytes).await?;
        }
        // Before anything is looked for: what is found from here on stays.
        if let Wanted::Tag(tag) = wanted
            && let Some(it) = Marked::of_tag(tag)
        {
            it.pardon(&self.store, name).await?;
        }
        self.protect(name, &root.digest, &bytes).await?;
        self.check_children(name, &document).await?;
        // Whoever finds the manifest finds what refers to it, and what it refers to finds it.
        let none = referrers_document(Vec::new());
        self.store.put(&name.referrers(&root.digest), &Kind::changing(media_type::INDEX), none, Condition::Absent).await?;
        self.store.put(&name.manifest(&root.digest), &Kind::fixed(&root.media_type), bytes.clone(), Condition::None).await?;
        if let Some(subject) = document.subject() {
            self.list_referrer(name, &subject.digest, &listed(&root, &document)).await?;
        }
        let (mut last, mut before) = (root.digest.to_string(), None);
        if let Wanted::Tag(tag) = wanted {
            before = self.set_tag(name, tag, headers, &root, &bytes).await?;
            last = tag.to_string();
        }
        let mut response = status(StatusCode::CREATED);
        response.extensions_mut().insert(Changed { before, tags: Vec::new() });
        set(&mut response, header::LOCATION, format!("/v2/{}/manifests/{last}", name.as_str()));
        set(&mut response, header::ETAG, heads::etag(&root.digest));
        set(&mut response, CONTENT_DIGEST, root.digest.to_string());
        if let Some(subject) = document.subject() {
            set(&mut response, SUBJECT, subject.digest.to_string());
        }
        Ok(response)
    }

    /// Pardons everything that a manifest will reach.
    pub(super) async fn protect(&self, name: &Name, digest: &Digest, bytes: &[u8]) -> Result<(), Fault> {
        let marks = marked(&self.store, name).await?;
        if marks.is_empty() {
            return Ok(());
        }
        let mut reached = Reached::new();
        reach(&self.store, name, digest, Some(bytes), &mut reached).await?;
        reach_attached(&self.store, name, marks.keys(), &mut reached).await?;
        for it in marks.keys().filter(|it| reached.contains(it)) {
            it.pardon(&self.store, name).await?;
        }
        Ok(())
    }

    /// Everything that a manifest names is in its repository.
    async fn check_children(&self, name: &Name, document: &Document) -> Result<(), Fault> {
        let is_elsewhere = |child: &&Descriptor| ELSEWHERE.iter().any(|kind| child.media_type.starts_with(kind));
        let is_index = matches!(document, Document::Index(_));
        let children: BTreeMap<Digest, u64> =
            document.children().into_iter().filter(|it| !is_elsewhere(it)).map(|it| (it.digest.clone(), it.size)).collect();
        let checks = children.into_iter().map(|(digest, size)| async move {
            let key = if is_index { name.manifest(&digest) } else { name.blob(&digest) };
            match self.store.head(&key).await? {
                Some(meta) if meta.size == size => Ok(()),
                Some(meta) => Err(Fault::manifest_invalid(format!("{digest} has {} bytes, and not {size}", meta.size))),
                None => Err(Fault::manifest_blob_unknown(format!("{digest} is not in this repository"))),
            }
        });
        stream::iter(checks).buffer_unordered(PARALLEL).try_collect().await
    }

    pub(super) async fn delete_manifest(&self, name: &Name, wanted: &Wanted) -> Result<Response, Fault> {
        let unknown = || Fault::manifest_unknown("there is no such manifest");
        let mut changed = Changed { before: None, tags: Vec::new() };
        match wanted {
            Wanted::Tag(tag) => {
                let found = self.store.get(&name.tag(tag)).await?.ok_or_else(unknown)?;
                changed.before = Some(Digest::of(&found.bytes));
                self.remove_tag(name, tag).await?;
            }
            Wanted::Digest(digest) => {
                let found = self.store.get(&name.manifest(digest)).await?.ok_or_else(unknown)?;
                for tag in self.tags_of(name, &found.bytes).await? {
                    self.remove_tag(name, &tag).await?;
                    changed.tags.push(tag.to_string());
                }
                let (root, document) = parse(&found.bytes, found.content_type.as_deref(), digest.clone())?;
                if let Some(subject) = document.subject() {
                    self.unlist_referrer(name, &subject.digest, &listed(&root, &document)).await?;
                }
                self.store.delete(&name.manifest(digest)).await?;
                if let Some(subject) = document.subject() {
                    self.list_referrer(name, &subject.digest, &listed(&root, &document)).await?;
                }
            }
        }
        let mut response = status(StatusCode::ACCEPTED);
        response.extensions_mut().insert(changed);
        Ok(response)
    }

    /// The tags that stand for these bytes.
    async fn tags_of(&self, name: &Name, bytes: &[u8]) -> Result<Vec<Tag>, Fault> {
        let mut tags = Vec::new();
        for entry in self.store.list(&name.key("manifests/")).await?.iter().filter(|entry| entry.size == bytes.len() as u64) {
            let Some(Ok(tag)) = entry.key.rsplit('/').next().map(str::parse::<Tag>) else { continue };
            if self.store.get(&entry.key).await?.is_some_and(|found| found.bytes == bytes) {
                tags.push(tag);
            }
        }
        Ok(tags)
    }

    pub(super) async fn delete_blob(&self, name: &Name, digest: &Digest) -> Result<Response, Fault> {
        let key = name.blob(digest);
        self.store.head(&key).await?.ok_or_else(|| Fault::blob_unknown("there is no such blob"))?;
        self.store.delete(&key).await?;
        Ok(status(StatusCode::ACCEPTED))
    }
}

/// A manifest, as what it is said to be and says itself.
pub(super) fn parse(bytes: &[u8], content_type: Option<&str>, digest: Digest) -> Result<(Descriptor, Document), Fault> {
    let stated = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let media_type = if stated.is_empty() { media_type_of("", bytes) } else { stated.to_owned() };
    let document = Document::parse(bytes, &media_type).map_err(|error| Fault::manifest_invalid(error.to_string()))?;
    // Whoever has the bytes alone must come to the same.
    if media_type_of("", bytes) != media_type {
        return Err(Fault::manifest_invalid("the manifest does not say what it is: `mediaType` is missing"));
    }
    Ok((Descriptor::new(media_type, digest, bytes.len() as u64), document))
}
