//! Debian's docker-registry (distribution 2.8) on a free loopback port, with its storage in a temporary directory.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::tools;

/// A running registry; stopped when dropped.
pub struct DockerRegistry {
    child: Child,
    dir: tempfile::TempDir,
    /// `127.0.0.1:PORT`.
    pub host: String,
}

/// User and password that a protected registry takes.
pub const USER: (&str, &str) = ("plugin", "correct-horse-battery");

impl DockerRegistry {
    /// Starts one that lets everybody in; `None` where the program is missing.
    pub fn start() -> Option<Self> {
        Self::launch("", "", "")
    }

    /// Starts one that wants [`USER`].
    pub fn protected() -> Option<Self> {
        // bcrypt of the password: docker-registry takes nothing else.
        Self::launch("auth:\n  htpasswd: {realm: test, path: HTPASSWD}\n", "", "")
    }

    /// Starts one that speaks TLS with this certificate and key.
    pub fn encrypted(certificate: &Path, key: &Path) -> Option<Self> {
        Self::launch("", &format!("  tls: {{certificate: '{}', key: '{}'}}\n", certificate.display(), key.display()), "")
    }

    /// Starts one that may be asked to remove something.
    pub fn removing() -> Option<Self> {
        Self::launch("", "", "  delete: {enabled: true}\n")
    }

    fn launch(auth: &str, tls: &str, storage: &str) -> Option<Self> {
        let program = tools::require("docker-registry")?;
        let dir = tempfile::tempdir().unwrap();
        let htpasswd = dir.path().join("htpasswd");
        fs::write(&htpasswd, HTPASSWD).unwrap();
        // The registry cannot say which port it took, so one is found first; another process may be quicker: try again.
        for _ in 0..20 {
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let config = format!(
                "version: 0.1\nlog: {{level: info, formatter: text}}\nstorage:\n  filesystem: {{rootdirectory: '{}'}}\n{storage}http:\n  addr: 127.0.0.1:{port}\n  relativeurls: false\n{tls}{}",
                dir.path().join("data").display(),
                auth.replace("HTPASSWD", &htpasswd.display().to_string()),
            );
            let path = dir.path().join("config.yml");
            fs::write(&path, config).unwrap();
            let log = fs::File::create(dir.path().join("log")).unwrap();
            let mut child = Command::new(&program)
                .arg("serve")
                .arg(&path)
                .env_clear()
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .stdin(Stdio::null())
                .spawn()
                .unwrap();
            for _ in 0..200 {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Some(Self { child, dir, host: format!("127.0.0.1:{port}") });
                }
                if child.try_wait().unwrap().is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("docker-registry does not start: {}", fs::read_to_string(dir.path().join("log")).unwrap_or_default());
    }

    /// The lines of the access log that hold all of these words.
    pub fn requests(&self, words: &[&str]) -> Vec<String> {
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap();
        let wanted =
            |line: &&str| line.contains("HTTP/1.1") && line.starts_with("127.0.0.1") && words.iter().all(|w| line.contains(w));
        log.lines().filter(wanted).map(str::to_owned).collect()
    }

    /// How many requests have carried content of blobs.
    pub fn uploads(&self) -> usize {
        self.requests(&["\"PUT ", "/blobs/uploads/"]).len() + self.requests(&["\"PATCH ", "/blobs/uploads/"]).len()
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `htpasswd -nbBC 5 plugin correct-horse-battery`.
const HTPASSWD: &str = "plugin:$2b$05$zjUGECV1bp426PXueSdlF.dv7i5bOpUoMdhQ1xXMUP9it9gPL8OBq\n";
