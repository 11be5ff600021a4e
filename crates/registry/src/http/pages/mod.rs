//! Pages for people: the repositories that whoever asks may pull from, their tags, and what an image is. They are made when
//! they are asked for, of as many objects as one page shows.

mod shown;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use axum::response::Response;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use plugin_oci::catalogue::{Image, Summary, image_page, repositories_page, repository_page, sorted};
use plugin_oci::stores::bucket::lists::parse_tags;
use plugin_oci::values::reference::RegistryReference;
use plugin_oci::values::tag::Tag;

use super::heads::{self, Query};
use super::{Registry, document, set};
use crate::auth::{Access, Action};
use crate::fault::Fault;
use crate::names::Name;
use crate::store::{Store, StoreFault};

/// How many rows a page has.
const ROWS: usize = 50;
/// How many rows are read at once.
const PARALLEL: usize = 8;
/// How long the names of repositories are kept: they are known by a listing of everything.
const FRESH: Duration = Duration::from_secs(10);

/// What the page of an image offers to be copied.
const COMMANDS: [&str; 4] = [
    "cargo plugin-build verify IMAGE",
    "cargo plugin-build install IMAGE plugins",
    "cargo plugin-build pull IMAGE",
    "podman pull IMAGE",
];

/// The names of repositories, and since when.
#[derive(Default)]
pub(super) struct Known(Mutex<Option<(Instant, Vec<Name>)>>);

impl Known {
    async fn names(&self, store: &Store) -> Result<Vec<Name>, Fault> {
        let now = Instant::now();
        if let Ok(known) = self.0.lock()
            && let Some((since, names)) = &*known
            && now.duration_since(*since) < FRESH
        {
            return Ok(names.clone());
        }
        let keys = store.list("v2/").await?;
        let found = keys.iter().filter_map(|entry| entry.key.strip_prefix("v2/")?.strip_suffix("/tags/list"));
        let names: Vec<Name> = found.filter_map(|name| Name::parse(name).ok()).collect();
        if let Ok(mut known) = self.0.lock() {
            *known = Some((now, names.clone()));
        }
        Ok(names)
    }
}

impl Registry {
    pub(super) async fn list_page(&self, access: &Access, headers: &HeaderMap, query: &Query) -> Result<Response, Fault> {
        let after = query.get("after").map(String::as_str).unwrap_or_default();
        let names = self.known.names(&self.store).await?;
        let seen = |name: &Name| name.as_str() > after && self.gate.allows(access, name, Action::Pull);
        let mut names: Vec<Name> = names.into_iter().filter(seen).take(ROWS + 1).collect();
        let goes_on = names.len() > ROWS;
        names.truncate(ROWS);
        let more = names.last().filter(|_| goes_on).map(|last| format!("?after={}", last.as_str()));
        let rows: Vec<_> = names.into_iter().map(|name| self.summary(name)).collect();
        let rows: Vec<Option<(String, Summary)>> = stream::iter(rows).buffered(PARALLEL).try_collect().await?;
        let rows: BTreeMap<String, Summary> = rows.into_iter().flatten().collect();
        Ok(page(repositories_page(&host(headers), &rows, more.as_deref())))
    }

    pub(super) async fn repository_page(&self, name: &Name, headers: &HeaderMap, query: &Query) -> Result<Response, Fault> {
        let tags = self.tag_names(name).await?;
        let tags = sorted(tags.iter().map(String::as_str));
        let after = query.get("after").and_then(|after| tags.iter().position(|tag| tag == after)).map_or(0, |at| at + 1);
        let rows = &tags[after..tags.len().min(after + ROWS)];
        let more = (after + rows.len() < tags.len()).then(|| rows.last()).flatten().map(|last| format!("?after={last}"));
        let rows: Vec<_> = rows.iter().map(|tag| self.row(name, (*tag).to_owned())).collect();
        let images: Vec<Option<(String, Image)>> = stream::iter(rows).buffered(PARALLEL).try_collect().await?;
        let images: Vec<_> = images.iter().flatten().map(|(tag, image)| (tag.as_str(), image)).collect();
        if images.is_empty() {
            return Err(Fault::name_unknown("there is no such repository"));
        }
        Ok(page(repository_page(&host(headers), name.as_str(), &images, more.as_deref())))
    }

    pub(super) async fn image_page(&self, name: &Name, tag: &Tag, headers: &HeaderMap) -> Result<Response, Fault> {
        let tag = tag.to_string();
        let image = self.shown(name, &tag).await?.ok_or_else(|| Fault::manifest_unknown("there is no such image"))?;
        Ok(page(image_page(&host(headers), name.as_str(), &tag, &image, &COMMANDS)))
    }

    /// What the list says of a repository, where it has a tag.
    async fn summary(&self, name: Name) -> Result<Option<(String, Summary)>, Fault> {
        let tags = self.tag_names(&name).await?;
        let Some(highest) = sorted(tags.iter().map(String::as_str)).first().map(|&tag| tag.to_owned()) else { return Ok(None) };
        let description = self.shown(&name, &highest).await?.and_then(|image| image.said("description").map(str::to_owned));
        Ok(Some((name.as_str().to_owned(), Summary { tags: tags.len() as u64, highest, description })))
    }

    async fn row(&self, name: &Name, tag: String) -> Result<Option<(String, Image)>, Fault> {
        Ok(self.shown(name, &tag).await?.map(|image| (tag, image)))
    }

    async fn tag_names(&self, name: &Name) -> Result<Vec<String>, Fault> {
        let key = name.tags();
        let Some(found) = self.store.get(&key).await? else { return Ok(Vec::new()) };
        let tags = parse_tags(&found.bytes).map_err(|error| StoreFault::new(&key, error))?;
        Ok(tags.into_iter().collect())
    }
}

fn page(html: String) -> Response {
    let mut response = document(html.into_bytes(), "text/html; charset=utf-8");
    // It is another for whoever has another token, or asks under another name.
    set(&mut response, header::CACHE_CONTROL, "private, no-store");
    response
}

/// The name that the registry was asked under.
fn host(headers: &HeaderMap) -> String {
    let said = heads::text(headers, header::HOST).unwrap_or_default();
    let is_host = RegistryReference::parse(&format!("{said}/x")).is_ok_and(|found| found.host == said);
    if is_host { said.to_owned() } else { "localhost".to_owned() }
}
