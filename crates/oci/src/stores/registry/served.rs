//! Whether clients can pull what was published from where it is served: the ways in which web servers and content delivery
//! networks are known to fail them.

use std::io;

use ureq::http::Method;

use super::auth::Access;
use super::client::Client;
use super::error::RegistryError;
use super::reading::ACCEPT;
use super::repository::{Repository, hash};
use super::transport::{Call, Reply};
use crate::documents::{Descriptor, MANIFEST_LIMIT, media_type};
use crate::finding::Finding;
use crate::stores::{Source as _, StoreError, Verified, platform_images};
use crate::values::reference::RegistryReference;
use crate::values::tag::Tag;

/// A tag that nobody sets.
const ABSENT: &str = "_no-such-tag";

/// Asks for an image as clients do, and reads all of it; what is wrong. A server that cannot be reached is an error.
pub fn check(client: &Client<'_>, at: &RegistryReference, tag: &Tag, root: &Descriptor) -> Result<Vec<Finding>, StoreError> {
    let repository = Repository::new(client, at);
    let mut found = Vec::new();
    let ask = |url: super::Url| -> Result<Reply, RegistryError> {
        let access: Access = repository.access();
        client.send(&Call::new(Method::GET, url).header("Accept", ACCEPT.join(", ")), &access)
    };
    let base = ask(client.url(&at.host, "/v2/")?)?;
    if base.status != 200 {
        let message = format!("it answers {}, and clients ask it first: serve the object `v2/` there", base.status);
        found.push(Finding::new(base.url.to_string(), "served-base", message));
    }
    base.drain();
    let wanted = |reply: &Reply, what: &str, media_type: &str, found: &mut Vec<Finding>| {
        let stated = reply.header("Content-Type").unwrap_or_default();
        let (url, rule) = (reply.url.to_string(), "served-type");
        if reply.status != 200 {
            found.push(Finding::new(url, "served-status", format!("it answers {} for {what}", reply.status)));
        } else if stated.split(';').next().unwrap_or_default().trim() != media_type {
            let message = format!("its Content-Type is `{}`, not `{media_type}`", super::error::clean(&stated));
            found.push(Finding::new(url, rule, message));
        }
    };
    let reply = ask(repository.url(&format!("manifests/{tag}"))?)?;
    wanted(&reply, "a tag", &root.media_type, &mut found);
    let (status, url) = (reply.status, reply.url.to_string());
    let bytes = reply.read(MANIFEST_LIMIT)?;
    if status == 200 && hash(&root.digest, &bytes) != root.digest {
        let message = "it is not what was published: a cache may keep what `no-cache` says it must ask for again";
        found.push(Finding::new(url, "served-stale", message));
    }
    let reply = ask(repository.url(&format!("referrers/{}", root.digest))?)?;
    wanted(&reply, "a list of referrers", media_type::INDEX, &mut found);
    reply.drain();
    let reply = ask(repository.url(&format!("manifests/{ABSENT}"))?)?;
    if reply.status != 404 {
        let message = format!("it answers {} for what is not there, where clients want 404: let readers list", reply.status);
        found.push(Finding::new(reply.url.to_string(), "served-absent", message));
    }
    reply.drain();
    if let Err(error) = read_all(&repository, root) {
        found.push(Finding::new(format!("{}@{}", at.name(), root.digest), "served-content", error.to_string()));
    }
    Ok(found)
}

fn read_all(repository: &Repository<'_>, root: &Descriptor) -> Result<(), StoreError> {
    for image in platform_images(repository, root)? {
        for blob in std::iter::once(&image.manifest.config).chain(&image.manifest.layers) {
            let mut content = Verified::new(repository.open(blob)?, blob);
            let read = io::copy(&mut content, &mut io::sink());
            read.map_err(|error| StoreError::reading(&repository.name(), blob, error))?;
        }
    }
    Ok(())
}
