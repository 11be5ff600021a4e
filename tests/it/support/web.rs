//! Foreign servers on loopback: stores with the S3 API, and web servers.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::program::wait_until;
use super::tools;

/// A running server; stopped when dropped.
pub struct Web {
    child: Child,
    _dir: tempfile::TempDir,
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

/// Ports that nobody listens at.
pub fn ports<const COUNT: usize>() -> [u16; COUNT] {
    let all = [(); COUNT].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    all.map(|listener| listener.local_addr().unwrap().port())
}

/// Starts a program, and waits for one of its ports.
pub fn start(command: &mut Command, dir: tempfile::TempDir, port: u16) -> Web {
    let log = fs::File::create(dir.path().join("log")).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let web = Web { child: command.spawn().unwrap(), _dir: dir, host: format!("127.0.0.1:{port}") };
    wait_until("a server listens", || TcpStream::connect(&web.host).is_ok());
    web
}

/// Sends a request without a body; the whole answer.
pub fn ask(host: &str, method: &str, path: &str) -> String {
    send(host, method, path, "")
}

fn send(host: &str, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(host).unwrap();
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// SeaweedFS, which lets everybody read and checks every other signature.
pub fn seaweed() -> Option<Web> {
    let weed = tools::require("weed")?;
    let dir = tempfile::tempdir().unwrap();
    let users = r#"{"identities": [{"name": "anonymous", "actions": ["Read", "List"]},
        {"name": "us", "credentials": [{"accessKey": "some", "secretKey": "secret"}], "actions": ["Admin"]}]}"#;
    fs::write(dir.path().join("users.json"), users).unwrap();
    let [master, volume, filer, s3, more @ ..] = ports::<8>();
    let mut command = Command::new(weed);
    command.current_dir(dir.path()).arg("-logdir=.").args([
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
    for (name, (port, grpc)) in ["master", "volume", "filer", "s3"].iter().zip([master, volume, filer, s3].into_iter().zip(more))
    {
        command.args([format!("-{name}.port={port}"), format!("-{name}.port.grpc={grpc}")]);
    }
    let web = start(&mut command, dir, s3);
    wait_until("there is a bucket", || {
        TcpStream::connect(("127.0.0.1", filer)).is_ok()
            && ask(&format!("127.0.0.1:{filer}"), "POST", "/buckets/plugins/").contains(" 201 ")
    });
    wait_until("it is served", || ask(&web.host, "GET", "/plugins/?list-type=2").starts_with("HTTP/1.1 200"));
    Some(web)
}

/// moto, which lets everybody read and checks no signature.
pub fn moto() -> Option<Web> {
    let server = tools::require("moto_server")?;
    let (dir, [port]) = (tempfile::tempdir().unwrap(), ports());
    let web = start(Command::new(server).args(["-H", "127.0.0.1", "-p", &port.to_string()]), dir, port);
    assert!(ask(&web.host, "PUT", "/plugins").contains(" 200 "));
    let all = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": ["arn:aws:s3:::plugins", "arn:aws:s3:::plugins/*"]}]}"#;
    send(&web.host, "PUT", "/plugins?policy", all);
    Some(web)
}

/// nginx with a `server { .. }` that listens at `LISTEN`.
pub fn nginx(server: &str) -> Option<Web> {
    let program = ["/usr/sbin/nginx"].map(Path::new).into_iter().find(|path| tools::require_file(path.to_str().unwrap()))?;
    let (dir, [port]) = (tempfile::tempdir().unwrap(), ports());
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path {name};")).concat();
    let server = server.replace("LISTEN", &format!("127.0.0.1:{port}"));
    let user = if nix::unistd::getuid().is_root() { "user root;" } else { "" };
    let text = format!(
        "{user}daemon off; master_process off; pid pid; error_log stderr; events {{}} http {{ access_log off; {temporary} {server} }}"
    );
    fs::write(dir.path().join("nginx.conf"), text).unwrap();
    let mut command = Command::new(program);
    command.arg("-p").arg(dir.path()).args(["-e", "stderr", "-c", "nginx.conf"]);
    Some(start(&mut command, dir, port))
}

/// A script of Python that serves at `PORT`.
pub fn python(script: &str, current: &Path) -> Option<Web> {
    let python = tools::require("python3")?;
    let (dir, [port]) = (tempfile::tempdir().unwrap(), ports::<1>());
    let script = script.replace("PORT", &port.to_string());
    Some(start(Command::new(python).arg("-c").arg(script).current_dir(current), dir, port))
}
