//! Moving images: push, pull and unpack of the same images, with a registry on loopback.
//!
//! The images are umoci's, so that nobody reads its own. Every tool checks digests as it does by default.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::input::Input;
use crate::rows::{Row, is_on_path, shell};

/// The programs without which nothing can be moved.
pub const NEEDED: [&str; 4] = ["umoci", "skopeo", "docker-registry", "curl"];

/// A registry that ends with this value.
pub struct Registry {
    child: Child,
    folder: PathBuf,
    host: String,
}

impl Registry {
    /// Starts one, empty; `None` where a program is missing.
    pub fn start(folder: &Path) -> Option<Self> {
        if !NEEDED.into_iter().all(is_on_path) {
            return None;
        }
        let folder = folder.join("registry");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
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
        let registry = Self { child, folder, host: format!("127.0.0.1:{port}") };
        for _ in 0..100 {
            if TcpStream::connect(&registry.host).is_ok() {
                return Some(registry);
            }
            sleep(Duration::from_millis(50));
        }
        panic!("docker-registry does not start");
    }

    /// Everything that is done with the image of one input.
    pub fn rows(&self, input: &Input, scratch: &Path) -> Vec<Row> {
        let layout = image(input);
        let (host, layout, name) = (&self.host, layout.display(), input.name);
        let (image, ours) = (format!("oci:{layout}:1"), env!("CARGO_BIN_EXE_cargo-plugin-build"));
        sh(&format!("skopeo copy -q --dest-tls-verify=false {image} docker://{host}/pull:{name}"));
        let row = |verb: &str, contestant: &str, prepare: &str, script: String| Row {
            work: format!("{verb} {name}"),
            name: contestant.to_owned(),
            scratch: scratch.to_owned(),
            prepare: Some(prepare.to_owned()),
            command: shell(&script),
        };
        let forget = format!("rm -rf {}/docker/registry/v2/repositories/push", self.folder.display());
        let upload = format!(
            "for blob in {layout}/blobs/sha256/*; do \
             to=$(curl -sS -D - -o answer -X POST http://{host}/v2/push/blobs/uploads/ | tr -d '\\r' | sed -n 's/^[Ll]ocation: //p'); \
             curl -sSf -o answer -H 'Content-Type: application/octet-stream' -T $blob \"$to&digest=sha256:$(basename $blob)\"; done"
        );
        vec![
            row("push", "plugin-build push", &forget, format!("{ours} push -q --plain-http {host} {image} {host}/push:1")),
            row("push", "curl -T of each blob", &forget, upload),
            row("push", "skopeo copy", &forget, format!("skopeo copy -q --dest-tls-verify=false {image} docker://{host}/push:1")),
            row("pull", "plugin-build pull", "true", format!("{ours} pull -q --plain-http {host} {host}/pull:{name} out")),
            row(
                "pull",
                "skopeo copy",
                "true",
                format!("skopeo copy -q --src-tls-verify=false docker://{host}/pull:{name} oci:out:1"),
            ),
            row("unpack", "plugin-build unpack", "true", format!("{ours} unpack -q {image} out")),
            row("unpack", "umoci unpack", "true", format!("umoci unpack --image {layout}:1 out")),
        ]
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The input as an image of umoci's; made once.
fn image(input: &Input) -> PathBuf {
    let layout = input.folder.with_extension("layout");
    if !layout.join("done").exists() {
        let (at, folder) = (layout.display(), input.folder.display());
        sh(&format!(
            "rm -rf {at}; umoci init --layout {at}; umoci new --image {at}:1; umoci insert --image {at}:1 {folder} /plugin"
        ));
        sh(&format!("umoci gc --layout {at}; touch {at}/done"));
    }
    layout
}

fn sh(script: &str) {
    let status = Command::new("sh").args(["-ec", script]).stdout(Stdio::null()).status().expect("sh");
    assert!(status.success(), "{script}");
}
