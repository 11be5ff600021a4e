//! A small HTTP/1.1 server for tests: enough of the protocol to be a registry, and every way to break it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A request, whole or (where its body was cut) its beginning.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The method is one of these words and the path holds this text.
    pub fn is(&self, methods: &str, part: &str) -> bool {
        methods.split(' ').any(|method| method == self.method) && self.path.contains(part)
    }
}

/// What comes back.
#[derive(Clone, Debug)]
pub enum Answer {
    Reply(Reply),
    /// These bytes, then the connection is closed.
    Raw(Vec<u8>),
    /// These bytes, a piece at a time and at about 1.5 MB a second, then the connection is closed.
    Slow(Vec<u8>),
    /// These bytes, then a byte now and then, for ever.
    Trickle(Vec<u8>),
    /// These bytes, then now and then many chunks of one byte, for ever.
    Padded(Vec<u8>),
    /// These bytes, then nothing more, for ever.
    Stall(Vec<u8>),
    /// These bytes, then more and more.
    Endless(Vec<u8>),
}

/// A well-formed answer.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

/// What a server does.
pub trait Handler: Send + Sync + 'static {
    /// Answers a request.
    fn answer(&self, request: &Request) -> Answer;

    /// How many bytes of the body to read before the connection is broken; `None` for all of them and no break.
    fn cut(&self, request: &Request) -> Option<usize> {
        let _ = request;
        None
    }

    /// Whether the body is read a little at a time.
    fn sips(&self, request: &Request) -> bool {
        let _ = request;
        false
    }

    /// What is answered to a request with `Expect: 100-continue` instead of reading its body.
    fn early(&self, request: &Request) -> Option<Reply> {
        let _ = request;
        None
    }
}

/// A running server; stopped when dropped.
pub struct Server {
    /// The port on loopback.
    pub port: u16,
    stopped: Arc<AtomicBool>,
}

impl Server {
    /// Serves on a free port of every loopback address.
    pub fn start(handler: Arc<dyn Handler>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stopped = Arc::new(AtomicBool::new(false));
        let flag = stopped.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if flag.load(Ordering::Relaxed) {
                    return;
                }
                let (handler, flag) = (handler.clone(), flag.clone());
                let Ok(stream) = stream else { continue };
                std::thread::spawn(move || drop(serve(stream, handler.as_ref(), &flag)));
            }
        });
        Self { port, stopped }
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The same server under another name: another origin for whoever compares names.
    pub fn alias(&self) -> String {
        format!("localhost:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(stream: TcpStream, handler: &dyn Handler, stopped: &AtomicBool) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while let Some(mut request) = read_head(&mut reader)? {
        let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        if let Some(cut) = handler.cut(&request) {
            request.body = vec![0; cut.min(length)];
            reader.read_exact(&mut request.body)?;
            handler.answer(&request);
            return Ok(());
        }
        if request.header("expect").is_some() {
            if let Some(reply) = handler.early(&request) {
                write_reply(&mut writer, &request, &reply)?;
                continue;
            }
            writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let sips = handler.sips(&request);
        let mut body = vec![0; length];
        for sip in body.chunks_mut(if sips { 8 << 10 } else { usize::MAX }) {
            reader.read_exact(sip)?;
            if sips && !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        request.body = body;
        match handler.answer(&request) {
            Answer::Reply(reply) => write_reply(&mut writer, &request, &reply)?,
            Answer::Raw(bytes) => return writer.write_all(&bytes),
            Answer::Slow(bytes) => {
                for piece in bytes.chunks(32 << 10) {
                    writer.write_all(piece)?;
                    std::thread::sleep(Duration::from_millis(20));
                }
                return Ok(());
            }
            Answer::Trickle(bytes) => {
                writer.write_all(&bytes)?;
                while !stopped.load(Ordering::Relaxed) {
                    writer.write_all(b" ")?;
                    std::thread::sleep(Duration::from_millis(5));
                }
                return Ok(());
            }
            Answer::Padded(bytes) => {
                writer.write_all(&bytes)?;
                let chunk = "1\r\n \r\n".repeat(2 << 10);
                while !stopped.load(Ordering::Relaxed) {
                    writer.write_all(chunk.as_bytes())?;
                    std::thread::sleep(Duration::from_millis(5));
                }
                return Ok(());
            }
            Answer::Stall(bytes) => {
                writer.write_all(&bytes)?;
                while !stopped.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(20));
                }
                return Ok(());
            }
            Answer::Endless(bytes) => {
                writer.write_all(&bytes)?;
                let more = vec![b' '; 1 << 16];
                while !stopped.load(Ordering::Relaxed) {
                    writer.write_all(&more)?;
                }
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Reads a request line and headers; `None` at the end of the connection, or where something else than HTTP comes (the client
/// asks whether a loopback port speaks TLS).
fn read_head(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    let line = String::from_utf8_lossy(&line).into_owned();
    let mut words = line.split_ascii_whitespace();
    let (Some(method), Some(target), Some("HTTP/1.1")) = (words.next(), words.next(), words.next()) else { return Ok(None) };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.trim().to_owned()),
            None => break,
        };
    }
    Ok(Some(Request { method: method.to_owned(), path: path.to_owned(), query, headers, body: Vec::new() }))
}

fn write_reply(writer: &mut TcpStream, request: &Request, reply: &Reply) -> std::io::Result<()> {
    let mut bytes = format!("HTTP/1.1 {} Status\r\n", reply.status).into_bytes();
    for (name, value) in &reply.headers {
        write!(bytes, "{name}: {value}\r\n")?;
    }
    if !reply.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) && reply.status != 204 {
        write!(bytes, "Content-Length: {}\r\n", reply.body.len())?;
    }
    bytes.extend_from_slice(b"\r\n");
    if request.method != "HEAD" {
        bytes.extend_from_slice(&reply.body);
    }
    writer.write_all(&bytes)
}
