//! Lists of tags and of referrers, in pages and filtered.

use axum::http::{HeaderName, header};
use axum::response::Response;
use plugin_oci::documents::media_type;
use plugin_oci::stores::bucket::lists::{parse_referrers, parse_tags, referrers_document, tags_document};
use plugin_oci::stores::bucket::objects::JSON;
use plugin_oci::values::digest::Digest;

use super::heads::Query;
use super::{Registry, document, set};
use crate::fault::Fault;
use crate::names::Name;
use crate::store::StoreFault;

const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");

impl Registry {
    pub(super) async fn tags(&self, name: &Name, query: &Query) -> Result<Response, Fault> {
        let all = if let Some(there) = self.tags_there(name).await? {
            there
        } else {
            let key = name.tags();
            let found = self.store.get(&key).await?.ok_or_else(|| Fault::name_unknown("there is no such repository"))?;
            parse_tags(&found.bytes).map_err(|error| StoreFault::new(&key, error))?
        };
        let wanted = query.get("n").map(|n| n.parse().map_err(|_| Fault::page_invalid("`n` is no number"))).transpose()?;
        let last = query.get("last").map(String::as_str).unwrap_or_default();
        let after: Vec<&String> = all.iter().filter(|tag| last.is_empty() || tag.as_str() > last).collect();
        let page = &after[..wanted.unwrap_or(after.len()).min(after.len())];
        let mut response = document(tags_document(name.as_str(), page.iter().copied()), JSON);
        set(&mut response, header::CACHE_CONTROL, "no-cache");
        if let (Some(end), true) = (page.last(), page.len() < after.len()) {
            let link = format!("</v2/{}/tags/list?n={}&last={end}>; rel=\"next\"", name.as_str(), page.len());
            set(&mut response, header::LINK, link);
        }
        Ok(response)
    }

    pub(super) async fn referrers(&self, name: &Name, subject: &Digest, query: &Query) -> Result<Response, Fault> {
        let key = name.referrers(subject);
        let found = self.store.get(&key).await?;
        let parsed = found.map(|found| parse_referrers(&found.bytes).map_err(|error| StoreFault::new(&key, error)));
        let mut entries = parsed.transpose()?.unwrap_or_default();
        let filter = query.get("artifactType");
        if let Some(wanted) = filter {
            entries.retain(|entry| entry.artifact_type.as_ref() == Some(wanted));
        }
        let mut response = document(referrers_document(entries), media_type::INDEX);
        set(&mut response, header::CACHE_CONTROL, "no-cache");
        if filter.is_some() {
            set(&mut response, FILTERS, "artifactType");
        }
        Ok(response)
    }
}
