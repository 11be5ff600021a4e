//! A forward proxy on loopback: opens tunnels, all of them to one port of this machine, whatever name is asked for.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A running proxy; it takes no more connections when dropped.
pub struct Proxy {
    /// Its own port.
    pub port: u16,
    heads: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
}

impl Proxy {
    /// One that leads to `target`, and asks for `credentials` (the value of `Proxy-Authorization`) where there are any.
    pub fn start(target: u16, credentials: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (heads, stopped) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(AtomicBool::new(false)));
        let (log, flag) = (heads.clone(), stopped.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if flag.load(Ordering::Relaxed) {
                    return;
                }
                let log = log.clone();
                let Ok(stream) = stream else { continue };
                std::thread::spawn(move || drop(serve(stream, target, credentials, &log)));
            }
        });
        Self { port, heads, stopped }
    }

    /// The heads of all requests so far, and none from now on.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.heads.lock().unwrap())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(mut client: TcpStream, target: u16, credentials: Option<&str>, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let line = |name: &str, value: &str| head.lines().any(|line| line.eq_ignore_ascii_case(&format!("{name}: {value}")));
    let welcome = credentials.is_none_or(|credentials| line("Proxy-Authorization", credentials));
    let is_tunnel = head.starts_with("CONNECT ");
    log.lock().unwrap().push(head);
    if !is_tunnel || !welcome {
        let status = if is_tunnel { "407 Who are you" } else { "405 Tunnels only" };
        return client.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes());
    }
    let mut server = TcpStream::connect(("127.0.0.1", target))?;
    client.write_all(b"HTTP/1.1 200 Go on\r\n\r\n")?;
    let (mut back, mut answers) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    std::io::copy(&mut reader, &mut server)?;
    server.shutdown(Shutdown::Write)
}
