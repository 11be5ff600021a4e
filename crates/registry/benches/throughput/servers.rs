//! The servers, each over a folder of its own on one disk.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::iter;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::client::REPOSITORY;
use crate::registry::Registry;

/// Those that run, ours first.
pub struct Servers {
    ours: Child,
    _peer: Option<Registry>,
    names: Vec<&'static str>,
    hosts: Vec<String>,
    written: Vec<PathBuf>,
}

impl Servers {
    /// Starts them, empty.
    pub fn start(folder: &Path, program: &Path, with_peer: bool) -> Self {
        let (store, kept) = (folder.join("plugin-registry"), folder.join("docker-registry"));
        let _ = fs::remove_dir_all(&store);
        let mut command = Command::new(program);
        command.arg("serve").arg(&store).args(["--listen", "127.0.0.1:0"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut ours = command.spawn().expect("plugin-registry");
        let mut line = String::new();
        BufReader::new(ours.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        let host = line.trim().rsplit_once("://").expect("it serves").1.to_owned();
        let peer = with_peer.then(|| Registry::start(&kept));
        let hosts = iter::once(host).chain(peer.iter().map(|peer| peer.host.clone())).collect();
        let mut names = vec!["plugin-registry", "docker-registry"];
        names.truncate(1 + usize::from(with_peer));
        let written = vec![store.join("v2").join(REPOSITORY), kept.join("docker/registry/v2")];
        Self { ours, _peer: peer, names, hosts, written }
    }

    /// Their names.
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// Where they listen.
    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// Removes what was pushed.
    pub fn forget(&self) {
        for folder in &self.written {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        let _ = self.ours.kill();
        let _ = self.ours.wait();
        self.forget();
    }
}

/// Waits until the disk has nothing left to do.
pub fn settle() {
    assert!(Command::new("sync").status().is_ok_and(|status| status.success()), "sync");
}
