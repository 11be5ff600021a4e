//! A client that sends what it is told, byte for byte.

use std::io::{BufRead as _, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use plugin_oci::values::digest::{Algorithm, Digest, Hasher};
use serde_json::Value;

/// No answer takes longer, whatever else the machine does.
const PATIENCE: Duration = Duration::from_mins(5);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads one; `None` where the connection ended without.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self { status, head, body: bytes[end + 4..].to_vec() })
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The body, as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of an error, in the form that all errors have.
    pub fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap().to_owned()
    }

    /// Asserts the status.
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{} {}", self.head, String::from_utf8_lossy(&self.body));
        self
    }
}

/// Asks one replica after the other.
pub struct Client {
    hosts: Vec<String>,
    next: AtomicUsize,
    /// Sent with each request.
    pub headers: Vec<(String, String)>,
}

impl Client {
    /// Of these replicas.
    pub fn new(hosts: Vec<String>) -> Self {
        Self { hosts, next: AtomicUsize::new(0), headers: Vec::new() }
    }

    /// Sends a request with a body.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let host = &self.hosts[self.next.fetch_add(1, Ordering::Relaxed) % self.hosts.len()];
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let lines =
            own.chain(headers.iter().copied()).map(|(name, value)| format!("{name}: {value}\r\n")).collect::<Vec<_>>().concat();
        let is_chunked = headers.iter().any(|(name, _)| *name == "Transfer-Encoding");
        let length = if is_chunked || body.is_empty() && matches!(method, "GET" | "HEAD") {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{length}{lines}Connection: close\r\n\r\n");
        let answer = raw(host, &[head.as_bytes(), body].concat());
        Answer::parse(&answer).unwrap_or_else(|| panic!("{method} {path}: no answer: {}", String::from_utf8_lossy(&answer)))
    }

    /// Asks for something.
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    /// The digest of what comes back, which nobody holds.
    pub fn digest(&self, path: &str) -> Digest {
        let host = &self.hosts[self.next.fetch_add(1, Ordering::Relaxed) % self.hosts.len()];
        let mut stream = connect(host);
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut stream = std::io::BufReader::with_capacity(1 << 20, stream);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            assert!(stream.read_until(b'\n', &mut head).unwrap() > 0, "{path}: no answer");
        }
        Answer::parse(&head).unwrap().is(200);
        let mut hasher = Hasher::with(Algorithm::Sha256);
        loop {
            let bytes = stream.fill_buf().unwrap();
            let length = bytes.len();
            if length == 0 {
                return hasher.finish();
            }
            hasher.update(bytes);
            stream.consume(length);
        }
    }

    /// Asks whether something is there.
    pub fn head(&self, path: &str) -> Answer {
        let answer = self.send("HEAD", path, &[], b"");
        assert!(answer.body.is_empty(), "{answer:?}");
        answer
    }

    /// Removes something.
    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], b"")
    }

    /// Begins an upload; its URL.
    pub fn begin(&self, name: &str) -> String {
        let answer = self.send("POST", &format!("/v2/{name}/blobs/uploads/"), &[], b"").is(202);
        location(&answer)
    }

    /// Pushes a blob, in one request after the first.
    pub fn push_blob(&self, name: &str, digest: &str, bytes: &[u8]) {
        let url = self.begin(name);
        self.send("PUT", &with(&url, &format!("digest={digest}")), &[("Content-Type", "application/octet-stream")], bytes)
            .is(201);
    }

    /// Pushes a manifest.
    pub fn push_manifest(&self, name: &str, reference: &str, media_type: &str, bytes: &[u8]) -> Answer {
        self.send("PUT", &format!("/v2/{name}/manifests/{reference}"), &[("Content-Type", media_type)], bytes)
    }
}

/// Where an answer leads.
pub fn location(answer: &Answer) -> String {
    let location = answer.header("Location").unwrap_or_else(|| panic!("no location: {answer:?}"));
    assert!(location.starts_with('/'), "{location}");
    location.to_owned()
}

/// A URL with another query parameter.
pub fn with(url: &str, parameter: &str) -> String {
    format!("{url}{}{parameter}", if url.contains('?') { '&' } else { '?' })
}

fn connect(host: &str) -> TcpStream {
    let stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends bytes, and reads all that comes back.
pub fn raw(host: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(host);
    // Who is refused early need not send all.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}
