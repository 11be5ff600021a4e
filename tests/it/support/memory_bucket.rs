//! A store with the S3 API in memory, which fails where a test wants it to. What is below `v2/` in it is served as a registry.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use plugin_oci::documents::Document;
use plugin_oci::values::digest::Digest;

use super::http_server::{Answer, Handler, Reply, Request, Server};

/// The one bucket.
pub const BUCKET: &str = "plugins";

/// An object and what it was written with.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    pub bytes: Vec<u8>,
    pub content_type: String,
    pub cache_control: String,
}

/// What becomes of one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It is refused.
    Refused,
    /// It is done, and the answer never comes.
    Lost,
}

/// What is in it.
#[derive(Default)]
pub struct Bucket {
    objects: Mutex<BTreeMap<String, Stored>>,
    seen: Mutex<Vec<String>>,
    count: AtomicUsize,
    /// At which request, counted from 1.
    fault: Mutex<Option<(usize, Fault)>>,
    /// Conditions are passed over.
    careless: bool,
}

/// A running one.
pub struct MemoryBucket {
    pub bucket: Arc<Bucket>,
    pub server: Server,
}

impl MemoryBucket {
    pub fn start() -> Self {
        Self::of(Bucket::default())
    }

    pub fn of(bucket: Bucket) -> Self {
        let bucket = Arc::new(bucket);
        Self { server: Server::start(bucket.clone()), bucket }
    }

    /// The variables that lead to it.
    pub fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("AWS_ENDPOINT_URL", format!("http://{}", self.server.host())),
            ("AWS_ACCESS_KEY_ID", "key".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ]
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl Bucket {
    /// One that writes whatever the conditions are.
    pub fn careless() -> Self {
        Self { careless: true, ..Self::default() }
    }

    pub fn objects(&self) -> BTreeMap<String, Stored> {
        held(&self.objects).clone()
    }

    /// The requests so far, as `METHOD key`; they are forgotten.
    pub fn take_requests(&self) -> Vec<String> {
        self.count.store(0, Ordering::Relaxed);
        std::mem::take(&mut held(&self.seen))
    }

    /// Fails at one of the requests to come.
    pub fn fail_at(&self, number: usize, fault: Fault) {
        self.count.store(0, Ordering::Relaxed);
        *held(&self.fault) = Some((number, fault));
    }

    /// Puts something into it.
    pub fn put(&self, key: &str, bytes: &[u8]) {
        let stored = Stored { bytes: bytes.to_vec(), content_type: String::new(), cache_control: String::new() };
        held(&self.objects).insert(key.to_owned(), stored);
    }

    /// Whatever names something in it names what is there.
    pub fn check(&self) {
        let objects = self.objects();
        for (key, stored) in &objects {
            let Some((repository, rest)) = key.strip_prefix("v2/").and_then(|rest| rest.split_once('/')) else { continue };
            let has = |rest: String| {
                let wanted = format!("v2/{repository}/{rest}");
                assert!(objects.contains_key(&wanted), "{key} names {wanted}, which is not there");
            };
            if rest == "tags/list" {
                let list: serde_json::Value = serde_json::from_slice(&stored.bytes).unwrap();
                for tag in list["tags"].as_array().unwrap() {
                    has(format!("manifests/{}", tag.as_str().unwrap()));
                }
            } else if rest.starts_with("manifests/") {
                let (digest, document) =
                    (Digest::of(&stored.bytes), Document::parse(&stored.bytes, &stored.content_type).unwrap());
                has(format!("manifests/{digest}"));
                has(format!("referrers/{digest}"));
                let kind = if matches!(document, Document::Index(_)) { "manifests" } else { "blobs" };
                document.children().iter().for_each(|child| has(format!("{kind}/{}", child.digest)));
            } else if rest.starts_with("referrers/") {
                let Document::Index(index) = Document::parse(&stored.bytes, &stored.content_type).unwrap() else {
                    panic!("{key}")
                };
                index.manifests.iter().for_each(|referrer| has(format!("manifests/{}", referrer.digest)));
            }
        }
    }

    fn write(&self, request: &Request, key: &str) -> Reply {
        let mut objects = held(&self.objects);
        let now = objects.get(key).map(etag);
        let holds = request.header("if-none-match").is_none_or(|_| now.is_none())
            && request.header("if-match").is_none_or(|wanted| now.as_deref() == Some(wanted));
        if !holds && !self.careless {
            return Reply::new(412).body("<Error><Code>PreconditionFailed</Code></Error>");
        }
        let header = |name| request.header(name).unwrap_or_default().to_owned();
        let hash = header("x-amz-content-sha256");
        assert!(header("authorization").contains("SignedHeaders=") && hash == Digest::of(&request.body).hex(), "{key}");
        let stored =
            Stored { bytes: request.body.clone(), content_type: header("content-type"), cache_control: header("cache-control") };
        let tag = etag(&stored);
        objects.insert(key.to_owned(), stored);
        Reply::new(200).header("ETag", tag)
    }

    /// Two keys a page.
    fn list(&self, request: &Request) -> Reply {
        let prefix = request.query.get("prefix").map(|prefix| prefix.replace("%2F", "/")).unwrap_or_default();
        let from = request.query.get("continuation-token").map(|token| token.replace("%2F", "/").replace("%3A", ":"));
        let objects = held(&self.objects);
        let mut keys = objects.iter().filter(|(key, _)| key.starts_with(&prefix) && Some(*key) > from.as_ref());
        let mut xml = "<ListBucketResult>".to_owned();
        let mut last = "";
        for (key, stored) in keys.by_ref().take(2) {
            last = key;
            let size = stored.bytes.len();
            let _ = write!(
                xml,
                "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><Size>{size}</Size></Contents>"
            );
        }
        if keys.next().is_some() {
            let _ = write!(xml, "<NextContinuationToken>{last}</NextContinuationToken>");
        }
        Reply::new(200).body(xml + "</ListBucketResult>")
    }
}

fn etag(stored: &Stored) -> String {
    format!("\"{}\"", Digest::of(&stored.bytes).short())
}

impl Handler for Bucket {
    fn answer(&self, request: &Request) -> Answer {
        let path = request.path.replace("%3A", ":");
        let Some(key) = path.strip_prefix(&format!("/{BUCKET}/")).or(path.strip_prefix('/')) else {
            return Reply::new(400).into();
        };
        // Some ask for a listing without the slash.
        let key = if key == BUCKET { "" } else { key };
        held(&self.seen).push(format!("{} {key}", request.method));
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let fault = held(&self.fault).filter(|(at, _)| *at == number).map(|(_, fault)| fault);
        if fault == Some(Fault::Refused) {
            return Reply::new(403).body("<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>").into();
        }
        let reply = match request.method.as_str() {
            "PUT" => self.write(request, key),
            "DELETE" => {
                held(&self.objects).remove(key);
                Reply::new(204)
            }
            _ if key.is_empty() => self.list(request),
            _ => match held(&self.objects).get(key) {
                Some(stored) => Reply::new(200)
                    .header("ETag", etag(stored))
                    .header("Content-Type", &stored.content_type)
                    .header("Content-Length", stored.bytes.len().to_string())
                    .body(stored.bytes.clone()),
                None => Reply::new(404).body("<Error><Code>NoSuchKey</Code></Error>"),
            },
        };
        if fault == Some(Fault::Lost) { Answer::Raw(Vec::new()) } else { reply.into() }
    }
}
