//! Moving images: push, pull and unpack of the same images, with a registry on loopback.
//!
//! The images are umoci's, so that nobody reads its own. Every tool checks digests as it does by default. What was
//! unpacked is deleted at the end: ext4 passes over inodes for a minute after their deletion, and takes longer to find
//! others than any tool to fill them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::input::Input;
use crate::registry::Registry;
use crate::rows::{Row, is_on_path, shell};

/// The programs without which nothing can be moved.
pub const NEEDED: [&str; 4] = ["umoci", "skopeo", "docker-registry", "curl"];

/// Where images are pushed to and pulled from. Two registries: skopeo would mount in one what it has pushed to the other's
/// repository before.
pub struct Moves {
    target: Registry,
    /// Where the target keeps it.
    kept: PathBuf,
    source: Registry,
    unpacked: PathBuf,
}

impl Moves {
    /// Starts the registries; `None` where a program is missing.
    pub fn start(folder: &Path) -> Option<Self> {
        if !NEEDED.into_iter().all(is_on_path) {
            return None;
        }
        let kept = folder.join("registry-target");
        let (target, source) = (Registry::start(&kept), Registry::start(&folder.join("registry-source")));
        let moves = Self { target, kept, source, unpacked: folder.join("unpacked") };
        moves.forget();
        fs::create_dir_all(&moves.unpacked).expect("a folder");
        Some(moves)
    }

    /// Deletes what was unpacked.
    fn forget(&self) {
        let _ = fs::remove_dir_all(&self.unpacked);
    }

    /// Everything that is done with the image of one input.
    pub fn rows(&self, input: &Input, scratch: &Path) -> Vec<Row> {
        let (reads, name, out) = (image(input), input.name, self.unpacked.display());
        let layout = reads.display();
        let (host, from) = (&self.target.host, &self.source.host);
        let (image, ours) = (format!("oci:{layout}:1"), env!("CARGO_BIN_EXE_cargo-plugin-build"));
        sh(&format!("skopeo copy -q --dest-tls-verify=false {image} docker://{from}/pull:{name}"));
        let row = |verb: &str, contestant: &str, prepare: &str, script: String| Row {
            work: format!("{verb} {name}"),
            name: contestant.to_owned(),
            scratch: scratch.to_owned(),
            prepare: prepare.to_owned(),
            reads: reads.clone(),
            command: shell(&script),
        };
        let forget = format!("rm -rf {}/docker/registry/v2/repositories/push", self.kept.display());
        let upload = format!(
            "for blob in {layout}/blobs/sha256/*; do \
             to=$(curl -sS -D - -o answer -X POST http://{host}/v2/push/blobs/uploads/ | tr -d '\\r' | sed -n 's/^[Ll]ocation: //p'); \
             curl -sSf -o answer -H 'Content-Type: application/octet-stream' -T $blob \"$to&digest=sha256:$(basename $blob)\"; done"
        );
        vec![
            row("push", "plugin-build push", &forget, format!("{ours} push -q --plain-http {host} {image} {host}/push:1")),
            row("push", "curl -T of each blob", &forget, upload),
            row("push", "skopeo copy", &forget, format!("skopeo copy -q --dest-tls-verify=false {image} docker://{host}/push:1")),
            row("pull", "plugin-build pull", "true", format!("{ours} pull -q --plain-http {from} {from}/pull:{name} out")),
            row(
                "pull",
                "skopeo copy",
                "true",
                format!("skopeo copy -q --src-tls-verify=false docker://{from}/pull:{name} oci:out:1"),
            ),
            row("unpack", "plugin-build unpack", "true", format!("{ours} unpack -q {image} {out}/$$")),
            row("unpack", "umoci unpack", "true", format!("umoci unpack --image {layout}:1 {out}/$$")),
        ]
    }
}

impl Drop for Moves {
    fn drop(&mut self) {
        self.forget();
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
