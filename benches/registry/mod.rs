//! A registry on loopback: Debian's `docker-registry`.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// A registry that ends with this value.
pub struct Registry {
    child: Child,
    /// Where it listens.
    pub host: String,
}

impl Registry {
    /// Starts one, empty; what it keeps lies below `folder`.
    pub fn start(folder: &Path) -> Self {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder).expect("a folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: '{}'}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n",
            folder.display()
        );
        fs::write(folder.join("config.yml"), config).expect("a file");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(folder.join("config.yml")).env("OTEL_TRACES_EXPORTER", "none");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("docker-registry");
        let registry = Self { child, host: format!("127.0.0.1:{port}") };
        for _ in 0..100 {
            if TcpStream::connect(&registry.host).is_ok() {
                return registry;
            }
            sleep(Duration::from_millis(50));
        }
        panic!("docker-registry does not start");
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
