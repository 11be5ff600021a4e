//! The router's part, for tests: it starts the program, and reads what comes out of it.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use tonic::transport::{Channel, Endpoint};

/// The plugin.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_{{name}}");
const PATIENCE: Duration = Duration::from_secs(30);

/// The program, in the environment that the router gives it.
pub fn router_command() -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .env("GRPC_DATASOURCE_PLUGIN", "GRPC_DATASOURCE_PLUGIN")
        .env("PLUGIN_PROTOCOL_VERSIONS", "1")
        .env("PLUGIN_MIN_PORT", "10000")
        .env("PLUGIN_MAX_PORT", "25000")
        .env(
            "startup_config",
            r#"{"ip_anonymization":{"enabled":true,"method":"redact"}}"#,
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A running plugin, killed when a test fails.
pub struct Plugin {
    child: Child,
    /// Its first line, split.
    pub handshake: Vec<String>,
    stdout: mpsc::Receiver<String>,
    stderr: Option<thread::JoinHandle<Vec<u8>>>,
}

impl Plugin {
    /// Starts it.
    pub fn start(sockets: &Path) -> Self {
        Self::spawn(router_command().env("PLUGIN_UNIX_SOCKET_DIR", sockets))
    }

    /// Starts it by this command.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let stderr = thread::spawn(move || {
            let mut bytes = Vec::new();
            stderr.read_to_end(&mut bytes).unwrap();
            bytes
        });
        let (lines, stdout) = mpsc::channel();
        let reader = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            reader
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| lines.send(line))
        });
        let first = stdout.recv_timeout(PATIENCE).expect("no handshake");
        let handshake = first.split('|').map(str::to_owned).collect();
        Self {
            child,
            handshake,
            stdout,
            stderr: Some(stderr),
        }
    }

    /// A channel to it.
    pub async fn connect(&self) -> Channel {
        let uri = match self.handshake[2].as_str() {
            "unix" => format!("unix://{}", self.handshake[3]),
            _ => format!("http://{}", self.handshake[3]),
        };
        Endpoint::from_shared(uri).unwrap().connect().await.unwrap()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Output {
        let start = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if start.elapsed() > PATIENCE => panic!("the plugin does not stop"),
                None => thread::sleep(Duration::from_millis(10)),
            }
        };
        let stdout = self.stdout.iter().collect::<String>().into_bytes();
        let stderr = self.stderr.take().unwrap().join().unwrap();
        Output {
            status,
            stdout,
            stderr,
        }
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A short directory of its own, removed when dropped.
pub struct TempDir(pub PathBuf);

impl TempDir {
    /// Makes it.
    pub fn new(purpose: &str) -> Self {
        let path = std::env::temp_dir().join(format!("{{name}}-{}-{purpose}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
