//! A store with the S3 API: AWS's own, R2, MinIO, Ceph, SeaweedFS, and whatever else takes conditions on writes.
//!
//! Every request is signed anew for each try. What is sent says its SHA-256, which the store checks. No redirect is followed:
//! a bucket of another region is an error that names the region.

use std::io::Read;

use ureq::http::Method;

use super::objects::{Entry, Kind, Object, Objects};
use super::profile::Profile;
use super::sign::UNSIGNED;
use super::{BucketError, StoreError};
use crate::documents::{Descriptor, MANIFEST_LIMIT};
use crate::environment::Environment;
use crate::stores::Reopen;
use crate::stores::registry::{Call, Client, Condition, Content, Payload, Reply, Url, clean, is_passing_status};
use crate::values::digest::Digest;
use crate::values::percent::encoded;

/// Bodies of errors and pages of listings are read so far: a thousand keys of a kilobyte, the most that one has.
const ANSWER_LIMIT: u64 = 8 << 20;
/// Blobs that are sent at once.
const PARALLEL: usize = 4;

/// A bucket, below a prefix.
pub(super) struct S3<'a> {
    client: &'a Client<'a>,
    profile: Profile,
    /// The URL of the bucket, without a slash at its end.
    base: String,
    name: String,
    /// Empty, or with a slash at its end.
    prefix: String,
}

impl<'a> S3<'a> {
    pub(super) fn open(
        bucket: &str,
        prefix: &str,
        environment: &Environment,
        client: &'a Client<'a>,
    ) -> Result<Self, StoreError> {
        let profile = Profile::of(environment)?;
        let base = match &profile.endpoint {
            Some(endpoint) => format!("{}/{bucket}", endpoint.trim_end_matches('/')),
            // A certificate is for one name below the domain.
            None if bucket.contains('.') => format!("https://s3.{}.amazonaws.com/{bucket}", profile.signer.region),
            None => format!("https://{bucket}.s3.{}.amazonaws.com", profile.signer.region),
        };
        if Url::parse(&base).is_none() {
            return Err(BucketError::Endpoint(base).into());
        }
        let (name, prefix) = match prefix {
            "" => (format!("s3://{bucket}"), String::new()),
            prefix => (format!("s3://{bucket}/{prefix}"), format!("{prefix}/")),
        };
        Ok(Self { client, profile, base, name, prefix })
    }

    fn url(&self, key: &str) -> Result<Url, StoreError> {
        self.parse(&format!("{}/{}", self.base, encoded(&format!("{}{key}", self.prefix), "/")))
    }

    fn parse(&self, text: &str) -> Result<Url, StoreError> {
        Url::parse(text).ok_or_else(|| BucketError::Endpoint(self.base.clone()).into())
    }

    fn call<'c>(
        &self,
        method: &Method,
        url: &Url,
        headers: &[(&'static str, String)],
        payload: Payload<'c>,
        hash: &str,
    ) -> Call<'c> {
        #[expect(clippy::disallowed_methods, reason = "when a request was made reaches no output")]
        let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
        let time: String = now.chars().filter(char::is_ascii_alphanumeric).collect();
        let added = self.profile.signer.sign(method.as_str(), url, headers, hash, &time);
        let mut call = Call::new(method.clone(), url.clone());
        call.headers.extend(headers.iter().cloned().chain(added));
        call.payload = payload;
        call
    }

    fn send(&self, method: &Method, url: &Url, headers: &[(&'static str, String)], bytes: &[u8]) -> Result<Reply, StoreError> {
        let hash = Digest::of(bytes);
        let payload = || if bytes.is_empty() { Payload::Empty } else { Payload::Bytes(bytes) };
        Ok(self.client.send_signed(|| self.call(method, url, headers, payload(), hash.hex()))?)
    }

    /// The answer to a request for an object that may not be there.
    fn ask(&self, method: &Method, key: &str) -> Result<Option<Reply>, StoreError> {
        let reply = self.send(method, &self.url(key)?, &[], b"")?;
        match reply.status {
            200 => Ok(Some(reply)),
            404 => {
                reply.drain();
                Ok(None)
            }
            _ => Err(refused(reply)),
        }
    }
}

fn headers(kind: &Kind) -> Vec<(&'static str, String)> {
    vec![("Content-Type", kind.content_type.clone()), ("Cache-Control", kind.cache_control.to_owned())]
}

/// What an answer that is no success says.
fn refused(reply: Reply) -> StoreError {
    let (status, url) = (reply.status, reply.url.to_string());
    let body = String::from_utf8_lossy(&reply.read(ANSWER_LIMIT).unwrap_or_default()).into_owned();
    let said: Vec<&str> = ["Code", "Message"].iter().filter_map(|name| elements(&body, name).next()).collect();
    BucketError::Refused { url, status, said: clean(&said.join(": ")) }.into()
}

/// The contents of every element of a name, in an answer that has no attributes there and no comments.
fn elements<'x>(xml: &'x str, name: &str) -> impl Iterator<Item = &'x str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&open)?;
        let (content, after) = after.split_once(&close)?;
        rest = after;
        Some(content)
    })
}

impl Objects for S3<'_> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        let Some(reply) = self.ask(&Method::GET, key)? else { return Ok(None) };
        let (version, content_type) = (reply.header("ETag").unwrap_or_default(), reply.header("Content-Type"));
        Ok(Some(Object { bytes: reply.read(MANIFEST_LIMIT)?, version, content_type }))
    }

    fn open(&self, key: &str) -> Result<Option<Box<dyn Read + Send + '_>>, StoreError> {
        Ok(self.ask(&Method::GET, key)?.map(|reply| Box::new(reply.stream()) as Box<dyn Read + Send>))
    }

    fn size(&self, key: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.ask(&Method::HEAD, key)?.and_then(|reply| reply.number("Content-Length")))
    }

    fn put(&self, key: &str, kind: &Kind, bytes: &[u8], condition: &Condition) -> Result<bool, StoreError> {
        let mut headers = headers(kind);
        headers.extend(condition.header());
        let reply = self.send(&Method::PUT, &self.url(key)?, &headers, bytes)?;
        match reply.status {
            200..=299 => {
                reply.drain();
                Ok(true)
            }
            // 409: somebody else writes it at this moment.
            409 | 412 if !matches!(condition, Condition::None) => {
                reply.drain();
                Ok(false)
            }
            _ => Err(refused(reply)),
        }
    }

    fn put_blob(&self, key: &str, blob: &Descriptor, open: &Reopen<'_>) -> Result<(), StoreError> {
        let (url, headers, mut content) = (self.url(key)?, headers(&Kind::blob()), Content::new(open, blob));
        let digest = blob.digest.to_string();
        let hash = digest.strip_prefix("sha256:").unwrap_or(UNSIGNED);
        for tried in 1.. {
            content.seek(0)?;
            let call = self.call(&Method::PUT, &url, &headers, Payload::Stream(&mut content, blob.size), hash);
            let outcome = self.client.send_once(call);
            if let Some(failure) = content.failure.take() {
                return Err(failure);
            }
            let (error, pause) = match outcome {
                Ok(reply) if reply.is_success() => {
                    reply.drain();
                    return Ok(());
                }
                Ok(reply) if is_passing_status(reply.status) => {
                    let pause = reply.retry_after();
                    (refused(reply), pause)
                }
                Ok(reply) => return Err(refused(reply)),
                Err(error) if error.is_passing() => (error.into(), None),
                Err(error) => return Err(error.into()),
            };
            if !self.client.pause(tried, pause) {
                return Err(error);
            }
        }
        Ok(())
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        let reply = self.send(&Method::DELETE, &self.url(key)?, &[], b"")?;
        if reply.is_success() || reply.status == 404 {
            reply.drain();
            return Ok(());
        }
        Err(refused(reply))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let prefix = encoded(&format!("{}{prefix}", self.prefix), "");
            let from = if token.is_empty() { String::new() } else { format!("continuation-token={}&", encoded(&token, "")) };
            let url = self.parse(&format!("{}/?{from}list-type=2&prefix={prefix}", self.base))?;
            let reply = self.send(&Method::GET, &url, &[], b"")?;
            if reply.status != 200 {
                return Err(refused(reply));
            }
            let xml = String::from_utf8_lossy(&reply.read(ANSWER_LIMIT)?).into_owned();
            for entry in elements(&xml, "Contents") {
                let field = |name| elements(entry, name).next().unwrap_or_default();
                let malformed = || BucketError::Listing { store: self.name.clone() };
                let Some(key) = field("Key").strip_prefix(&self.prefix) else { continue };
                let size = field("Size").parse().map_err(|_| malformed())?;
                let modified = humantime::parse_rfc3339(field("LastModified")).map_err(|_| malformed())?;
                found.push(Entry { key: key.to_owned(), size, modified });
            }
            let next = elements(&xml, "NextContinuationToken").next().unwrap_or_default();
            if next.is_empty() || next == token {
                found.sort_by(|a, b| a.key.cmp(&b.key));
                return Ok(found);
            }
            next.clone_into(&mut token);
        }
    }

    fn parallelism(&self) -> usize {
        PARALLEL
    }
}
