//! The program, started as its users would.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::azure;
use super::client::Client;
use super::web::{self, Web};

/// The program, with nothing of the developer's environment.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plugin-registry"));
    command.env_clear();
    command
}

/// A running server; stopped when dropped.
pub struct Server {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub host: String,
}

impl Server {
    /// Starts one.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.args(["--listen", "127.0.0.1:0"]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let host = line.trim().rsplit_once("://").unwrap_or_else(|| panic!("it does not serve: {line}")).1.to_owned();
        Self { child, host }
    }

    /// The most memory that it ever had, in KiB.
    pub fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse().unwrap()
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        let process = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGTERM).unwrap();
    }

    /// Waits for its end; whether that is a good one.
    pub fn wait(&mut self) -> bool {
        self.child.wait().unwrap().success()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A store, and what leads to it.
pub struct Place {
    /// What `serve` is told.
    pub location: String,
    /// Holds the keys, and the objects where it is the store.
    pub dir: tempfile::TempDir,
    web: Option<Web>,
    _turn: Option<MutexGuard<'static, ()>>,
}

/// One bucket after the other.
static TURN: Mutex<()> = Mutex::new(());

impl Place {
    /// A directory.
    pub fn directory() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { location: dir.path().join("store").display().to_string(), dir, web: None, _turn: None }
    }

    /// A bucket of SeaweedFS.
    pub fn seaweed() -> Option<Self> {
        Self::bucket(web::seaweed)
    }

    /// A bucket of moto.
    pub fn moto() -> Option<Self> {
        Self::bucket(web::moto)
    }

    /// A container of Azure's emulator.
    pub fn azurite() -> Option<Self> {
        let place = Self::bucket(azure::azurite)?;
        Some(Self { location: place.location.replace("s3://", "az://"), ..place })
    }

    fn bucket(start: impl FnOnce() -> Option<Web>) -> Option<Self> {
        // Two that start at once may choose the same ports.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let location = format!("s3://{}/below", web::BUCKET);
        Some(Self { location, dir: tempfile::tempdir().unwrap(), web: Some(start()?), _turn: Some(turn) })
    }

    /// The program with this store as its first argument after the verb.
    pub fn command(&self, verb: &str) -> Command {
        let mut command = program();
        command.arg(verb).arg(&self.location).env("PLUGIN_REGISTRY_KEYS", self.keys());
        command.envs(self.web.iter().flat_map(web::environment));
        command.envs(self.web.iter().flat_map(azure::environment));
        command
    }

    /// The program, told of the keys alone.
    pub fn alone(&self, verb: &str) -> Command {
        let mut command = program();
        command.arg(verb).env("PLUGIN_REGISTRY_KEYS", self.keys());
        command
    }

    /// Where the keys are.
    pub fn keys(&self) -> std::path::PathBuf {
        let path = self.dir.path().join("keys");
        if !path.exists() {
            assert!(program().arg("keygen").arg(&path).status().unwrap().success());
        }
        path
    }

    /// Starts a replica.
    pub fn serve(&self, flags: &[&str]) -> Server {
        Server::start(self.command("serve").args(flags))
    }

    /// The directory of objects.
    pub fn objects(&self) -> &Path {
        Path::new(&self.location)
    }
}

/// Two replicas, which are asked in turn.
pub struct Pair {
    /// Both.
    pub servers: [Server; 2],
    /// Asks them.
    pub client: Client,
}

impl Pair {
    /// Over a store.
    pub fn of(place: &Place, flags: &[&str]) -> Self {
        let servers = [place.serve(flags), place.serve(flags)];
        let client = Client::new(servers.iter().map(|server| server.host.clone()).collect());
        Self { servers, client }
    }
}
