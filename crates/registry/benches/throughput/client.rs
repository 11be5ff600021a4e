//! A client that costs little: sockets, whole bodies from memory, answers read into one buffer.

use std::io::{ErrorKind, IoSlice, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use plugin_oci::values::digest::{Digest, Hasher};

/// The repository that everything is pushed to.
pub const REPOSITORY: &str = "bench/noise";
/// What docker sends as one of HTTP's chunks: what Go copies at once.
const CHUNK: usize = 32 << 10;
/// What is read at once.
const PIECE: usize = 1 << 20;
/// What makes a blob another than the others: its last bytes.
const STAMP: usize = 8;

/// Which blobs are moved, and by how many.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Bytes of each.
    pub size: usize,
    /// How many.
    pub count: usize,
    /// How many clients there are.
    pub clients: usize,
}

/// What is done with a blob.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// `POST`, `PUT`.
    Push,
    /// `POST`, `PATCH`, `PUT`.
    Stream,
    /// `GET`.
    Pull,
}

impl Way {
    /// All, in the order of the table.
    pub const ALL: [Self; 3] = [Self::Push, Self::Stream, Self::Pull];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Stream => "push as docker",
            Self::Pull => "pull",
        }
    }
}

/// A blob: the noise that all have, and its stamp.
pub struct Blob<'a> {
    noise: &'a [u8],
    stamp: [u8; STAMP],
    digest: Digest,
}

/// Makes blobs.
pub struct Blobs {
    noise: Vec<u8>,
    made: u64,
}

impl Blobs {
    /// Noise for the largest.
    pub fn new() -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64; // xorshift64*
        let mut noise = Vec::with_capacity(256 << 20);
        while noise.len() < noise.capacity() {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            noise.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes());
        }
        Self { noise, made: 0 }
    }

    /// The next ones of a load, which no server has seen.
    pub fn next(&mut self, load: Load) -> Vec<Blob<'_>> {
        let noise = &self.noise[..load.size - STAMP];
        let mut hasher = Hasher::new();
        hasher.update(noise);
        let first = self.made;
        self.made += load.count as u64;
        let stamps = (first..self.made).map(u64::to_be_bytes);
        let blobs = stamps.map(|stamp| {
            let mut hasher = hasher.clone();
            hasher.update(&stamp);
            Blob { noise, stamp, digest: hasher.finish() }
        });
        blobs.collect()
    }
}

/// Does something with all of these blobs; how long that took.
pub fn run(host: &str, load: Load, way: Way, blobs: &[Blob<'_>]) -> Duration {
    let (next, begin) = (AtomicUsize::new(0), Barrier::new(load.clients + 1));
    let start = std::thread::scope(|scope| {
        for _ in 0..load.clients {
            scope.spawn(|| {
                let mut client = Client::connect(host);
                begin.wait();
                while let Some(blob) = blobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match way {
                        Way::Push => client.push(blob),
                        Way::Stream => client.stream(blob),
                        Way::Pull => client.pull(blob),
                    }
                }
            });
        }
        begin.wait();
        Instant::now()
    });
    start.elapsed()
}

/// A connection.
struct Client<'a> {
    host: &'a str,
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl<'a> Client<'a> {
    fn connect(host: &'a str) -> Self {
        let stream = TcpStream::connect(host).expect("a server");
        stream.set_nodelay(true).expect("a socket");
        Self { host, stream, buffer: vec![0; PIECE] }
    }

    fn head(&self, method: &str, path: &str, more: &str) -> String {
        format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{more}\r\n", self.host)
    }

    /// Begins an upload; where it goes on.
    fn begin(&mut self) -> String {
        let head = self.head("POST", &format!("/v2/{REPOSITORY}/blobs/uploads/"), "Content-Length: 0\r\n");
        self.stream.write_all(head.as_bytes()).expect("a request");
        self.location(202)
    }

    fn push(&mut self, blob: &Blob<'_>) {
        let to = with_digest(&self.begin(), &blob.digest);
        let length = blob.noise.len() + STAMP;
        let more = format!("Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n");
        let head = self.head("PUT", &to, &more);
        write_all(&mut self.stream, &mut [head.as_bytes(), blob.noise, &blob.stamp].map(IoSlice::new));
        self.answer(201);
    }

    fn stream(&mut self, blob: &Blob<'_>) {
        let to = self.begin();
        let more = "Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n";
        let head = self.head("PATCH", &to, more);
        self.stream.write_all(head.as_bytes()).expect("a request");
        for chunk in blob.noise.chunks(CHUNK).chain([&blob.stamp[..]]) {
            let length = format!("{:x}\r\n", chunk.len());
            write_all(&mut self.stream, &mut [length.as_bytes(), chunk, b"\r\n"].map(IoSlice::new));
        }
        self.stream.write_all(b"0\r\n\r\n").expect("a request");
        let to = with_digest(&self.location(202), &blob.digest);
        let head = self.head("PUT", &to, "Content-Length: 0\r\n");
        self.stream.write_all(head.as_bytes()).expect("a request");
        self.answer(201);
    }

    fn pull(&mut self, blob: &Blob<'_>) {
        let head = self.head("GET", &format!("/v2/{REPOSITORY}/blobs/{}", blob.digest), "");
        self.stream.write_all(head.as_bytes()).expect("a request");
        let stamp = self.answer(200).1;
        assert_eq!(stamp, blob.stamp, "another blob");
    }

    fn location(&mut self, status: u16) -> String {
        let (head, _) = self.answer(status);
        let location = header(&head, "location").expect("a location");
        location.strip_prefix("http://").map_or(location, |rest| &rest[rest.find('/').unwrap_or(0)..]).to_owned()
    }

    /// Reads an answer, which must have this status; its head, and the last bytes of its body.
    fn answer(&mut self, status: u16) -> (String, [u8; STAMP]) {
        let mut filled = 0;
        let end = loop {
            filled += self.read(filled);
            if let Some(end) = self.buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let head = String::from_utf8(self.buffer[..end].to_vec()).expect("a head");
        assert_eq!(head.split(' ').nth(1), Some(&*status.to_string()), "{head}");
        let length: usize = header(&head, "content-length").map_or(0, |length| length.parse().expect("a length"));
        let mut left = length - (filled - end);
        let mut last = [0; STAMP];
        let mut keep = |piece: &[u8]| {
            let new = piece.len().min(STAMP);
            last.rotate_left(new);
            last[STAMP - new..].copy_from_slice(&piece[piece.len() - new..]);
        };
        keep(&self.buffer[end..filled]);
        while left > 0 {
            let count = self.read(0);
            keep(&self.buffer[..count]);
            left -= count;
        }
        (head, last)
    }

    fn read(&mut self, from: usize) -> usize {
        let count = self.stream.read(&mut self.buffer[from..]).expect("an answer");
        assert!(count > 0, "the connection ended");
        count
    }
}

fn with_digest(location: &str, digest: &Digest) -> String {
    format!("{location}{}digest={digest}", if location.contains('?') { '&' } else { '?' })
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// Writes pieces with as few calls as there can be.
fn write_all(stream: &mut TcpStream, mut pieces: &mut [IoSlice<'_>]) {
    IoSlice::advance_slices(&mut pieces, 0);
    while !pieces.is_empty() {
        match stream.write_vectored(pieces) {
            Ok(count) => IoSlice::advance_slices(&mut pieces, count),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("a request: {error}"),
        }
    }
}
