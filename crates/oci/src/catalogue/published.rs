//! The pages of a bucket, beside the registry that it is.
//!
//! | key | holds |
//! |---|---|
//! | `_r/catalogue.json` | the host, and a summary of each repository: once it is there, pages are kept up to date |
//! | `index.html` | the list of repositories |
//! | `catalogue/NAME/_.json` | what is shown of the images of a repository, by tag |
//! | `catalogue/NAME/_.html`, `catalogue/NAME/_/TAG.html` | its page, and one for each tag |
//!
//! A page is made of the document of its kind, which was changed before; and made anew where others wrote it meanwhile. So of
//! any number of publishers the last to write a page has seen what all have said.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::image::{Image, Repository, Summary};
use super::pages::{image_page, repositories_page, repository_page};
use super::{LIST_PATH, image_path, repository_path};
use crate::documents::json;
use crate::stores::bucket::{Bucket, BucketError};
use crate::stores::{Selector, Source as _, StoreError};

const STATE: &str = "_r/catalogue.json";
const JSON: &str = "application/json";

/// What the pages of a bucket are made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    /// Where the registry is served.
    host: String,
    repositories: BTreeMap<String, Summary>,
}

/// The pages of a bucket.
pub struct Catalogue<'b> {
    bucket: &'b Bucket<'b>,
    host: String,
    /// What is offered to be copied from the page of an image.
    commands: &'b [&'b str],
    /// Every page is to be written.
    is_new: bool,
}

impl<'b> Catalogue<'b> {
    /// The catalogue of a bucket: the one that is there; or, of a registry that is served at `host`, one to make. The pages of
    /// images offer these commands, with `IMAGE` for what they are of.
    ///
    /// # Errors
    ///
    /// [`BucketError::Page`] where something else is at the key of the list.
    pub fn of(bucket: &'b Bucket<'b>, host: Option<&str>, commands: &'b [&'b str]) -> Result<Option<Self>, StoreError> {
        // Others may make one now, and the state is there before the list: who looks for them the other way round is not misled.
        let is_taken = host.is_some() && bucket.read(LIST_PATH)?.is_some();
        if let Some(bytes) = bucket.read(STATE)? {
            let state: State = parse(STATE, &bytes)?;
            let host = host.unwrap_or(&state.host).to_owned();
            return Ok(Some(Self { bucket, commands, is_new: host != state.host, host }));
        }
        let Some(host) = host else { return Ok(None) };
        if is_taken {
            return Err(BucketError::Page { store: bucket.name(), key: LIST_PATH.to_owned() }.into());
        }
        Ok(Some(Self { bucket, host: host.to_owned(), commands, is_new: true }))
    }

    /// Writes the pages of these repositories and tags, which were changed; all, of a catalogue that is new. How many
    /// repositories were looked at.
    pub fn update(&self, changed: &BTreeMap<String, BTreeSet<String>>) -> Result<u64, StoreError> {
        let mut repositories: BTreeMap<&str, Option<&BTreeSet<String>>> =
            changed.iter().map(|(name, tags)| (name.as_str(), Some(tags))).collect();
        let all = if self.is_new { self.bucket.repositories()? } else { Vec::new() };
        repositories.extend(all.iter().map(|name| (name.as_str(), None)));
        let mut summaries = BTreeMap::new();
        for (&name, tags) in &repositories {
            summaries.insert(name, self.repository(name, *tags)?.summary());
        }
        self.bucket.change(STATE, JSON, |now| {
            let mut state: State = now.map(|now| parse(STATE, now)).transpose()?.unwrap_or_default();
            state.host.clone_from(&self.host);
            for (&name, summary) in &summaries {
                match summary {
                    Some(summary) => drop(state.repositories.insert(name.to_owned(), summary.clone())),
                    None => drop(state.repositories.remove(name)),
                }
            }
            Ok(Some(document(STATE, &state)?))
        })?;
        self.page(LIST_PATH, |catalogue| {
            let state: State = catalogue.document(STATE)?;
            Ok(Some(repositories_page(&state.host, &state.repositories, None)))
        })?;
        Ok(repositories.len() as u64)
    }

    /// Writes the pages of a repository and of those tags of it that are named, or all.
    fn repository(&self, name: &str, tags: Option<&BTreeSet<String>>) -> Result<Repository, StoreError> {
        let key = format!("catalogue/{name}/_.json");
        let source = self.bucket.repository(name);
        let gone = std::cell::RefCell::new(BTreeSet::new());
        self.bucket.change(&key, JSON, |now| {
            let mut repository: Repository = now.map(|now| parse(&key, now)).transpose()?.unwrap_or_default();
            let listed = source.tag_names()?.unwrap_or_default();
            let absent = |tag: &String| !listed.contains(tag);
            gone.borrow_mut().extend(repository.images.keys().filter(|tag| absent(tag)).cloned());
            repository.images.retain(|tag, _| listed.contains(tag));
            for tag in listed {
                if tags.is_none_or(|tags| tags.contains(&tag)) || !repository.images.contains_key(&tag) {
                    let root = match source.resolve(&Selector::Tag(tag.clone())) {
                        // It was removed since.
                        Err(StoreError::NotFound { .. }) => continue,
                        found => found?,
                    };
                    repository.images.insert(tag, Image::read(&source, &root)?);
                }
            }
            Ok(Some(document(&key, &repository)?))
        })?;
        let repository: Repository = self.document(&key)?;
        let shown = repository.images.iter().filter(|(tag, _)| tags.is_none_or(|tags| tags.contains(*tag)));
        for (tag, _) in shown {
            self.page(&image_path(name, tag), |catalogue| {
                let now: Repository = catalogue.document(&key)?;
                Ok(now.images.get(tag).map(|image| image_page(&self.host, name, tag, image, self.commands)))
            })?;
        }
        for tag in gone.into_inner().iter().filter(|tag| !repository.images.contains_key(*tag)) {
            self.bucket.remove(&image_path(name, tag))?;
        }
        if repository.images.is_empty() {
            self.bucket.remove(&repository_path(name))?;
            self.bucket.remove(&key)?;
        } else {
            self.page(&repository_path(name), |catalogue| {
                let now: Repository = catalogue.document(&key)?;
                let images: Vec<(&str, &Image)> = now.tags().into_iter().map(|tag| (tag, &now.images[tag])).collect();
                Ok(Some(repository_page(&self.host, name, &images, None)))
            })?;
        }
        Ok(repository)
    }

    /// Writes a page, again where others have written it meanwhile.
    fn page(&self, key: &str, make: impl Fn(&Self) -> Result<Option<String>, StoreError>) -> Result<(), StoreError> {
        self.bucket.change(key, "text/html; charset=utf-8", |now| {
            let page = make(self)?.map(String::into_bytes);
            Ok(page.filter(|page| now != Some(page.as_slice())))
        })
    }

    /// A document of the catalogue; the empty one, where somebody has removed it.
    fn document<T: Default + for<'de> Deserialize<'de>>(&self, key: &str) -> Result<T, StoreError> {
        self.bucket.read(key)?.map_or_else(|| Ok(T::default()), |bytes| parse(key, &bytes))
    }
}

fn parse<T: for<'de> Deserialize<'de>>(key: &str, bytes: &[u8]) -> Result<T, StoreError> {
    json::parse_as(bytes).map_err(|source| StoreError::Document { object: key.to_owned(), source: Box::new(source.into()) })
}

fn document<T: Serialize>(key: &str, value: &T) -> Result<Vec<u8>, StoreError> {
    json::serialize(value).map_err(|source| StoreError::Document { object: key.to_owned(), source: Box::new(source.into()) })
}
