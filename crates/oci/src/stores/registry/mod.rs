//! Registries that speak the OCI distribution specification 1.1, or docker's registry API v2 before it.
//!
//! | file | holds |
//! |---|---|
//! | `repository.rs` | [`Repository`]: reading manifests, tags, referrers |
//! | `blob.rs` | reading a blob, resumed where the connection breaks |
//! | `sink.rs` | [`Repository`] as a sink: what is there, mounts, manifests, tags |
//! | `upload.rs` | sending a blob: monolithic, chunked, resumed |
//! | `removal.rs` | removing a tag or an image |
//! | `catalogue.rs` | which repositories there are |
//! | `served.rs` | whether what was published can be pulled from where it is served |
//! | `fallback.rs` | referrers by tag, where the registry lacks their API |
//! | `client.rs` | [`Client`]: scheme, redirects, second tries, warnings |
//! | `auth.rs`, `challenge.rs` | tokens |
//! | `credentials.rs`, `helper.rs` | auth files; credential helpers |
//! | `transport.rs`, `probe.rs` | one HTTP exchange; whether a local port speaks TLS |
//! | `url.rs`, `link.rs` | URLs and `Link`, from hostile text |
//!
//! # The protocol, as it is spoken here
//!
//! - *Pull* (distribution-spec, "Pulling manifests", "Pulling blobs"): `GET manifests/<tag or digest>` with all four media
//!   types accepted; `GET blobs/<digest>`, after a broken connection again with `Range`. `urls` of a descriptor are never used.
//! - *Push* ("Pushing blobs"): `HEAD` first; `POST blobs/uploads/`, with `mount` and `from` where the source is a repository
//!   of the same registry (201: done; 202: go on uploading there); then one `PUT` with everything, or `PATCH` by `PATCH` where
//!   the registry states `OCI-Chunk-Min-Length` or said 413: as large as it states at most, or 64 MiB. After a break the upload's state is asked for and the rest is
//!   sent; 416 is answered in the same way. `Location` is taken from each answer: absolute or relative, with its own query,
//!   changing.
//! - *Manifests* after their blobs, indexes after their manifests, tags last. Bytes are those that were read.
//! - *Referrers* ("Listing Referrers"): the API, or the index at the tag `<algorithm>-<hex>` where a `GET` of it is 404.
//! - *Errors*: 408, 429 and 500, 502 to 504 are tried again, five times at most, after `Retry-After` (seconds or a date) or a
//!   doubling pause; 413 makes parts half as large; other 4xx are final, but
//!   for what is asked only to save work or to know more: a refused `HEAD` is asked by `GET` or counts as "not known", and so do
//!   referrers that nobody may list, with a warning. Redirects: ten at most, without `Authorization` at another
//!   origin.
//!
//! # Threats, and what stands against them
//!
//! | threat | defence |
//! |---|---|
//! | wrong, short, long or endless content | every stream goes through [`Verified`](super::Verified); documents are capped before they are read |
//! | another digest than what was asked or sent | `Docker-Content-Digest` is compared wherever it appears, and content is hashed all the same |
//! | credentials to somebody else | `auth.rs`: own origin only; token servers within the site only |
//! | downgrade, or a way to services of this machine | http only where the registry itself is reached so, and the target is named by `--plain-http`, or both are loopback |
//! | redirect loops, flapping connections, 429 for ever | every loop has a bound; progress of at least 1 MiB resets it |
//! | a silent peer | 60 seconds without a byte, in either direction, end an exchange |
//! | control characters in errors and `Warning` | `clean` removes them |
//! | secrets in output | URLs are shown without their query; credentials have no `Debug` and no place in any error |

mod auth;
mod blob;
mod catalogue;
mod challenge;
mod client;
mod credentials;
mod error;
mod fallback;
mod helper;
mod link;
mod pace;
mod probe;
mod reading;
mod removal;
mod repository;
pub mod served;
mod session;
mod sink;
mod transport;
mod upload;
mod url;

pub use blob::BlobReader;
pub use client::{Client, Settings};
pub use credentials::{AuthFiles, Credential};
pub use error::{CredentialError, RegistryError, TransportError};
pub use pace::Floor;
pub use repository::{Fetched, Repository};
pub use transport::Timeouts;

pub(super) use error::{clean, is_passing_status};
pub use reading::media_type_of;
pub(super) use repository::hash;
pub use sink::Condition;
pub(super) use transport::{Call, Payload, Reply};
pub(super) use upload::Content;
pub(super) use url::Url;

/// Bodies for fuzzing: every reader of hostile text in this module. They must not panic, whatever comes.
#[doc(hidden)]
pub mod fuzzing {
    /// `WWW-Authenticate`.
    pub fn challenge(text: &str) {
        for found in super::challenge::parse(text) {
            let _ = found.parameter("realm").and_then(super::url::Url::parse);
        }
    }

    /// `Location` against a fixed base; what is accepted must be absolute, printable, and accepted again as it was.
    pub fn location(text: &str) {
        let Some(base) = super::url::Url::parse("https://registry.invalid:5000/v2/a/blobs/uploads/1?x=y") else { return };
        if let Some(found) = base.join(text) {
            let wire = found.wire();
            assert!(wire.bytes().all(|b| b.is_ascii_graphic()), "{wire}");
            assert_eq!(super::url::Url::parse(&wire), Some(found));
        }
    }

    /// `Retry-After`, and the `Date` beside it.
    pub fn pause(text: &str) {
        let (text, date) = text.split_once('\n').unwrap_or((text, ""));
        let _ = super::transport::pause_of(text, Some(date));
    }

    /// `Link`, and what a server says to the user.
    pub fn text(text: &str) {
        let _ = super::link::next_link(text);
        assert!(!super::error::clean(text).chars().any(char::is_control));
    }
}
