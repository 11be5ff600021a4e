//! Which repositories a registry has: docker's `_catalog`, which the distribution specification does not have and many registries
//! refuse, or keep to their administrators.

use std::collections::BTreeSet;

use serde::Deserialize;
use ureq::http::Method;

use super::auth::Access;
use super::client::Client;
use super::error::{RegistryError, clean};
use super::reading::{LISTING_LIMIT, PAGES, next_page, read_page};
use super::transport::Call;
use crate::values::reference::RegistryReference;

#[derive(Deserialize)]
struct Catalogue {
    #[serde(default)]
    repositories: Option<Vec<String>>,
}

impl Client<'_> {
    /// The repositories of a registry, sorted.
    pub fn catalogue(&self, host: &str) -> Result<Vec<String>, RegistryError> {
        let scopes = BTreeSet::from(["registry:catalog:*".to_owned()]);
        let access = Access { host: host.to_owned(), repository: String::new(), scopes };
        let mut found = BTreeSet::new();
        let mut next = Some(self.url(host, "/v2/_catalog?n=1000")?);
        let mut left = LISTING_LIMIT;
        for _ in 0..PAGES {
            let Some(url) = next.take() else { break };
            let reply = self.send(&Call::new(Method::GET, url).header("Accept", "application/json"), &access)?;
            if reply.status != 200 {
                return Err(match self.refused(reply, &access) {
                    RegistryError::Status { status: 400..=499, message, .. } => {
                        RegistryError::NoCatalogue { host: host.to_owned(), message }
                    }
                    other => other,
                });
            }
            next = next_page(self, &reply)?;
            let at = reply.url.clone();
            let page: Catalogue = serde_json::from_slice(&read_page(reply, &mut left)?)
                .map_err(|_| RegistryError::protocol(&at, "its list of repositories is no JSON"))?;
            for name in page.repositories.unwrap_or_default() {
                let is_one = RegistryReference::parse(&format!("{host}/{name}"))
                    .is_ok_and(|found| found.tag.is_none() && found.digest.is_none());
                if !is_one {
                    return Err(RegistryError::protocol(&at, format!("it lists `{}` as a repository", clean(&name))));
                }
                found.insert(name);
            }
        }
        match next {
            None => Ok(found.into_iter().collect()),
            Some(url) => Err(RegistryError::protocol(&url, "its list of repositories has no end")),
        }
    }
}
