//! Foreign servers on loopback: stores with the S3 API, and web servers.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::tools;

/// A running server; stopped when dropped.
pub struct Web {
    child: Child,
    dir: tempfile::TempDir,
    /// `127.0.0.1:PORT`.
    pub host: String,
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The bucket that each store has.
pub const BUCKET: &str = "plugins";

/// What leads to a store.
pub fn environment(web: &Web) -> [(&'static str, String); 3] {
    [
        ("AWS_ENDPOINT_URL", format!("http://{}", web.host)),
        ("AWS_ACCESS_KEY_ID", "some".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
    ]
}

/// Ports that nobody listens at now.
fn ports<const COUNT: usize>() -> [u16; COUNT] {
    let all = [(); COUNT].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    all.map(|listener| listener.local_addr().unwrap().port())
}

/// Starts a program in a folder of its own, and waits until it is ready. Where somebody else has taken one of its ports in the
/// meantime it ends, or is never ready: then it gets others.
fn start_when<const COUNT: usize>(
    make: impl Fn(&Path, [u16; COUNT]) -> Command,
    is_ready: impl Fn([u16; COUNT]) -> std::io::Result<bool>,
) -> Web {
    for _ in 0..5 {
        let (dir, ports) = (tempfile::tempdir().unwrap(), ports());
        let mut command = make(dir.path(), ports);
        let log = fs::File::create(dir.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut web = Web { child: command.spawn().unwrap(), dir, host: format!("127.0.0.1:{}", ports[0]) };
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_mins(1) && web.child.try_wait().unwrap().is_none() {
            if is_ready(ports).unwrap_or(false) {
                return web;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        eprintln!("{command:?} is not ready: {}", fs::read_to_string(web.dir.path().join("log")).unwrap_or_default());
    }
    panic!("a server does not start");
}

/// Starts a program that listens at one port.
pub fn start(make: impl Fn(&Path, u16) -> Command) -> Web {
    start_when(|dir, [port]| make(dir, port), |[port]| TcpStream::connect(("127.0.0.1", port)).map(|_| true))
}

/// Sends a request without a body; the whole answer.
pub fn ask(host: &str, method: &str, path: &str) -> String {
    send(host, method, path, "").unwrap()
}

fn send(host: &str, method: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(host)?;
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// SeaweedFS, which lets everybody read and checks every other signature.
pub fn seaweed() -> Option<Web> {
    let weed = tools::require("weed")?;
    let users = r#"{"identities": [{"name": "anonymous", "actions": ["Read", "List"]},
        {"name": "us", "credentials": [{"accessKey": "some", "secretKey": "secret"}], "actions": ["Admin"]}]}"#;
    let make = |dir: &Path, [s3, master, volume, filer, more @ ..]: [u16; 8]| {
        fs::write(dir.join("users.json"), users).unwrap();
        let mut command = Command::new(&weed);
        command.current_dir(dir).arg("-logdir=.").args([
            "server",
            "-dir=.",
            "-ip=127.0.0.1",
            "-s3",
            "-filer",
            "-s3.config=users.json",
            // Ports that cannot be chosen freely: another SeaweedFS has them.
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ]);
        for (name, (port, grpc)) in
            ["s3", "master", "volume", "filer"].iter().zip([s3, master, volume, filer].into_iter().zip(more))
        {
            command.args([format!("-{name}.port={port}"), format!("-{name}.port.grpc={grpc}")]);
        }
        command
    };
    Some(start_when(make, |[s3, _, _, filer, ..]| {
        let [s3, filer] = [s3, filer].map(|port| format!("127.0.0.1:{port}"));
        let is_there = send(&s3, "GET", "/plugins/?list-type=2", "")?.starts_with("HTTP/1.1 200");
        if !is_there {
            send(&filer, "POST", "/buckets/plugins/", "")?;
        }
        Ok(is_there)
    }))
}

/// moto, which lets everybody read and checks no signature.
pub fn moto() -> Option<Web> {
    let server = tools::require("moto_server")?;
    let web = start(|_, port| {
        let mut command = Command::new(&server);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        command
    });
    assert!(ask(&web.host, "PUT", "/plugins").contains(" 200 "));
    let all = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": ["arn:aws:s3:::plugins", "arn:aws:s3:::plugins/*"]}]}"#;
    send(&web.host, "PUT", "/plugins?policy", all).unwrap();
    Some(web)
}

/// nginx with a `server { .. }` that listens at `LISTEN`.
pub fn nginx(server: &str) -> Option<Web> {
    let program = ["/usr/sbin/nginx"].map(Path::new).into_iter().find(|path| tools::require_file(path.to_str().unwrap()))?;
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path {name};")).concat();
    let user = if nix::unistd::getuid().is_root() { "user root;" } else { "" };
    Some(start(|dir, port| {
        let server = server.replace("LISTEN", &format!("127.0.0.1:{port}"));
        let text = format!(
            "{user}daemon off; master_process off; pid pid; error_log stderr; events {{}} http {{ access_log off; {temporary} {server} }}"
        );
        fs::write(dir.join("nginx.conf"), text).unwrap();
        let mut command = Command::new(program);
        command.arg("-p").arg(dir).args(["-e", "stderr", "-c", "nginx.conf"]);
        command
    }))
}

/// A script of Python that serves at `PORT`.
pub fn python(script: &str, current: &Path) -> Option<Web> {
    let python = tools::require("python3")?;
    Some(start(|_, port| {
        let mut command = Command::new(&python);
        command.arg("-c").arg(script.replace("PORT", &port.to_string())).current_dir(current);
        command
    }))
}
