//! A store with the S3 API in memory, which fails where a test wants it to. What is below `v2/` in it is served as a registry.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

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
    /// It fails, and may be tried again.
    Broken,
    /// It is done, and the connection ends without an answer.
    Lost,
    /// It is done, and the connection ends within the answer.
    Cut,
    /// It is done, and the answer takes its time.
    Slow,
    /// Nothing is done, and no answer comes.
    Silent,
    /// What it depends on is not so.
    Condition,
    /// Another changes the same at this moment.
    Conflict,
}

/// What is in it.
#[derive(Default)]
pub struct Bucket {
    objects: Mutex<BTreeMap<String, Stored>>,
    /// What is being sent in parts, by upload.
    parts: Mutex<BTreeMap<String, BTreeMap<usize, Vec<u8>>>>,
    uploads: AtomicUsize,
    seen: Mutex<Vec<String>>,
    count: AtomicUsize,
    /// At which requests, counted from 1.
    fault: Mutex<Option<(Range<usize>, Fault)>>,
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
        self.fail(number..number.saturating_add(1), fault);
    }

    /// Fails at some of the requests to come.
    pub fn fail(&self, numbers: Range<usize>, fault: Fault) {
        self.count.store(0, Ordering::Relaxed);
        *held(&self.fault) = Some((numbers, fault));
    }

    /// Fails no more.
    pub fn work(&self) {
        *held(&self.fault) = None;
    }

    /// Has these objects and no others.
    pub fn restore(&self, objects: &BTreeMap<String, Stored>) {
        *held(&self.objects) = objects.clone();
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

    /// Part after part (Amazon S3 API Reference, `CreateMultipartUpload`): who comes late with one upload does nothing to the next.
    fn write_parts(&self, request: &Request, key: &str) -> Reply {
        let mut parts = held(&self.parts);
        let id = || request.query.get("uploadId").cloned().unwrap_or_default();
        match (request.method.as_str(), request.query.get("partNumber")) {
            ("POST", _) if request.query.contains_key("uploads") => {
                let id = self.uploads.fetch_add(1, Ordering::Relaxed);
                parts.insert(id.to_string(), BTreeMap::new());
                let name = "InitiateMultipartUploadResult";
                Reply::new(200)
                    .body(format!("<{name}><Bucket>{BUCKET}</Bucket><Key>{key}</Key><UploadId>{id}</UploadId></{name}>"))
            }
            ("DELETE", _) => {
                parts.remove(&id());
                Reply::new(204)
            }
            (_, number) => match (parts.get_mut(&id()), number) {
                (None, _) => Reply::new(404).body("<Error><Code>NoSuchUpload</Code></Error>"),
                (Some(upload), Some(number)) => {
                    upload.insert(number.parse().unwrap(), request.body.clone());
                    Reply::new(200).header("ETag", format!("\"{}\"", Digest::of(&request.body).short()))
                }
                (Some(upload), None) => {
                    let bytes = std::mem::take(upload).into_values().flatten().collect();
                    parts.remove(&id());
                    let stored = Stored { bytes, content_type: String::new(), cache_control: String::new() };
                    let (tag, name) = (etag(&stored), "CompleteMultipartUploadResult");
                    held(&self.objects).insert(key.to_owned(), stored);
                    Reply::new(200).body(format!("<{name}><ETag>{tag}</ETag></{name}>"))
                }
            },
        }
    }

    fn copy(&self, from: &str, key: &str) -> Reply {
        let from = from.replace("%3A", ":");
        let from = from.trim_start_matches('/').strip_prefix(BUCKET).unwrap().trim_start_matches('/');
        let mut objects = held(&self.objects);
        let Some(stored) = objects.get(from).cloned() else {
            return Reply::new(404).body("<Error><Code>NoSuchKey</Code></Error>");
        };
        objects.insert(key.to_owned(), stored);
        Reply::new(200).body("<CopyObjectResult><ETag>\"x\"</ETag></CopyObjectResult>")
    }

    fn read(&self, request: &Request, key: &str) -> Reply {
        let objects = held(&self.objects);
        let Some(stored) = objects.get(key) else { return Reply::new(404).body("<Error><Code>NoSuchKey</Code></Error>") };
        let reply = |status| {
            let reply = Reply::new(status).header("ETag", etag(stored)).header("Content-Type", &stored.content_type);
            reply.header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        };
        let size = stored.bytes.len();
        let range = request.header("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let Some((first, last)) = range else {
            return reply(200).header("Content-Length", size.to_string()).body(stored.bytes.clone());
        };
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().map_or(size, |last: usize| last + 1).min(size));
        reply(206).header("Content-Range", format!("bytes {first}-{}/{size}", last - 1)).body(&stored.bytes[first..last])
    }

    fn write(&self, request: &Request, key: &str) -> Reply {
        if let Some(from) = request.header("x-amz-copy-source") {
            return self.copy(from, key);
        }
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
        let fault = held(&self.fault).clone().filter(|(numbers, _)| numbers.contains(&number)).map(|(_, fault)| fault);
        let is_conditional = request.header("if-match").is_some() || request.header("if-none-match").is_some();
        match fault {
            Some(Fault::Refused) => {
                return Reply::new(403).body("<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>").into();
            }
            Some(Fault::Broken) => return Reply::new(500).body("<Error><Code>InternalError</Code></Error>").into(),
            Some(Fault::Silent) => return Answer::Stall(Vec::new()),
            Some(Fault::Condition) if is_conditional => {
                return Reply::new(412).body("<Error><Code>PreconditionFailed</Code></Error>").into();
            }
            Some(Fault::Conflict) if is_conditional => {
                return Reply::new(409).body("<Error><Code>ConditionalRequestConflict</Code></Error>").into();
            }
            Some(Fault::Slow) => std::thread::sleep(Duration::from_millis(200)),
            _ => {}
        }
        let is_of_parts = request.query.contains_key("uploads") || request.query.contains_key("uploadId");
        let reply = match request.method.as_str() {
            _ if is_of_parts => self.write_parts(request, key),
            "PUT" => self.write(request, key),
            "DELETE" => {
                held(&self.objects).remove(key);
                Reply::new(204)
            }
            _ if key.is_empty() => self.list(request),
            _ => self.read(request, key),
        };
        match fault {
            Some(Fault::Lost) => Answer::Raw(Vec::new()),
            Some(Fault::Cut) if request.method == "GET" && reply.status < 300 => {
                let head = reply.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<Vec<_>>().concat();
                let length = if head.contains("Content-Length") {
                    String::new()
                } else {
                    format!("Content-Length: {}\r\n", reply.body.len())
                };
                let head = format!("HTTP/1.1 {} Status\r\n{head}{length}\r\n", reply.status);
                Answer::Raw([head.as_bytes(), &reply.body[..reply.body.len() / 2]].concat())
            }
            Some(Fault::Cut) => Answer::Raw(format!("HTTP/1.1 {} Sta", reply.status).into_bytes()),
            _ => reply.into(),
        }
    }
}
