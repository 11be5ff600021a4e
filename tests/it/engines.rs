//! Container engines that read our archives: podman, and containerd, which is what Docker loads OCI archives into (Docker 20.10,
//! Debian 12's, reads none).
//!
//! Each runs with all of its state in a temporary directory, without a service and without a network. What they need beyond
//! the rights of an ordinary container is left out (containerd does not unpack: that takes a mount).

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use plugin_oci::stores::archive::Archive;
use plugin_oci::stores::{Selector, Source as _, platform_images, read_config};
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;
use serde_json::{Value, json};

use crate::support::hostile::archive::Archive as TarFile;
use crate::support::layouts::HandLayout;
use crate::support::program::{plugin_build, ran};
use crate::support::project::Project;
use crate::support::tools::{require, stdout};

/// A program that wants to be root, as root: a user of no rights becomes it in a namespace.
fn as_root(program: &Path) -> Command {
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        return Command::new(program);
    }
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount"]).arg(program);
    command
}

fn done(dir: &Path, arguments: &[&str]) {
    let run = ran(plugin_build(dir).arg("-q").args(arguments));
    assert_eq!(run.code, 0, "{}", run.stderr);
}

#[test]
#[ignore = "needs podman"]
fn podman_loads_an_archive_and_keeps_its_name_and_digests() {
    let Some(podman) = require("podman") else { return };
    let project = Project::fixture("greeter");
    done(&project.root, &["-o", "out", "--no-sbom"]);
    done(&project.root, &["copy", "oci:out", "oci-archive:all.tar:greeter:0.3.1"]);
    done(&project.root, &["copy", "--no-referrers", "oci:out", "oci-archive:plain.tar:greeter:0.3.1"]);
    let archive = Archive::open(&project.root.join("all.tar")).unwrap();
    let root = archive.resolve(&Selector::Only).unwrap();
    assert_eq!(archive.referrers(&root.digest).unwrap().len(), 1);
    let image = platform_images(&archive, &root).unwrap().remove(0);
    let config = read_config(&archive, &image.manifest.config).unwrap();
    assert!(image.manifest.layers.iter().all(|layer| layer.media_type.ends_with("+gzip")));

    let state = tempfile::tempdir().unwrap();
    let settings = state.path().join("containers.conf");
    let own = format!("[engine]\nlock_type = \"file\"\nevents_logger = \"none\"\ntmp_dir = '{}/tmp'\n", state.path().display());
    fs::write(&settings, own).unwrap();
    fs::write(state.path().join("policy.json"), r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = as_root(&podman);
        command.current_dir(state.path()).env("CONTAINERS_CONF", &settings);
        command.env("HOME", state.path()).env("XDG_RUNTIME_DIR", state.path());
        command.args(["--root", "root", "--runroot", "run", "--storage-driver", "vfs"]);
        stdout(command.args(arguments))
    };
    let path = |name: &str| project.root.join(name).display().to_string();
    // `load` takes an archive of one entry, and a referrer is one.
    let loaded = run(&["load", "--quiet", "--signature-policy", "policy.json", "--input", &path("plain.tar")]);
    assert_eq!(loaded.trim(), "Loaded image: localhost/greeter:0.3.1");
    let inspected: Value = serde_json::from_str(&run(&["image", "inspect", "localhost/greeter:0.3.1"])).unwrap();
    let inspected = &inspected[0];
    assert_eq!(inspected["Digest"], json!(root.digest), "the index's own");
    assert_eq!(inspected["Id"], image.manifest.config.digest.hex());
    assert_eq!(inspected["RootFS"]["Layers"], json!(config.tree()["rootfs"]["diff_ids"]));
    assert_eq!(inspected["Config"], config.tree()["config"]);
    assert_eq!(inspected["Annotations"]["org.opencontainers.image.title"], "greeter");
    let named = format!("oci-archive:{}:greeter:0.3.1", path("all.tar"));
    let pulled = run(&["pull", "--quiet", "--signature-policy", "policy.json", &named]);
    assert_eq!(pulled.trim(), image.manifest.config.digest.hex());

    // What docker loads is the same image to podman, by the same id.
    done(&project.root, &["copy", "oci:out", "docker-archive:docker.tar:plugins/greeter:0.3.1"]);
    let loaded = run(&["load", "--quiet", "--signature-policy", "policy.json", "--input", &path("docker.tar")]);
    assert_eq!(loaded.trim(), "Loaded image: localhost/plugins/greeter:0.3.1");
    let inspected: Value = serde_json::from_str(&run(&["image", "inspect", "localhost/plugins/greeter:0.3.1"])).unwrap();
    assert_eq!(inspected[0]["Id"], image.manifest.config.digest.hex());
    assert_eq!(inspected[0]["RootFS"]["Layers"], json!(config.tree()["rootfs"]["diff_ids"]));
}

/// A running containerd; stopped when dropped.
struct Containerd {
    child: Child,
    dir: tempfile::TempDir,
}

impl Containerd {
    fn start(program: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display();
        let settings = format!(
            "version = 2\nroot = '{at}/root'\nstate = '{at}/state'\ndisabled_plugins = ['io.containerd.grpc.v1.cri']\n[grpc]\naddress = '{at}/socket'\n"
        );
        fs::write(dir.path().join("config.toml"), settings).unwrap();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let mut command = as_root(program);
        command.arg("--config").arg(dir.path().join("config.toml"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut own = Self { child, dir };
        let start = Instant::now();
        while !own.log().contains("successfully booted") {
            assert_eq!(own.child.try_wait().unwrap(), None, "{}", own.log());
            assert!(start.elapsed() < Duration::from_mins(1), "containerd does not start: {}", own.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        own
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    fn ask(&self, ctr: &Path, arguments: &[&str]) -> String {
        let mut command = as_root(ctr);
        command.arg("--address").arg(self.dir.path().join("socket"));
        stdout(command.args(arguments))
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "needs containerd"]
fn containerd_imports_every_platform_of_an_archive_byte_for_byte() {
    let (Some(containerd), Some(ctr)) = (require("containerd"), require("ctr")) else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut layout = HandLayout::new(&dir.path().join("layout"));
    let images: Vec<Value> = ["linux/amd64", "linux/arm64"]
        .iter()
        .map(|platform| {
            let tars = ["shared", *platform].map(|text| TarFile::new().file("file", text.as_bytes()).end());
            layout.image(platform, &tars, Compression::Gzip)
        })
        .collect();
    let index = layout.index(&images, &json!({}));
    layout.tag("1.0", index);
    done(dir.path(), &["copy", "oci:layout", "oci-archive:image.tar:example.test/greeter:1.0"]);
    let path = dir.path().join("image.tar");
    let archive = Archive::open(&path).unwrap();
    let root = archive.resolve(&Selector::Only).unwrap();

    let engine = Containerd::start(&containerd);
    let import = ["images", "import", "--all-platforms", "--no-unpack", path.to_str().unwrap()];
    engine.ask(&ctr, &import);
    let listed = engine.ask(&ctr, &["images", "list"]);
    let line = listed.lines().find(|line| line.contains("example.test/greeter:1.0")).unwrap_or_else(|| panic!("{listed}"));
    assert!(line.contains(&root.digest.to_string()) && line.contains("linux/amd64,linux/arm64"), "{line}");
    let kept = engine.ask(&ctr, &["content", "list", "--quiet"]);
    let kept: Vec<Digest> = kept.lines().map(|line| line.trim().parse().unwrap()).collect();
    let blobs: Vec<&Digest> = archive.blobs().collect();
    assert_eq!(blobs.len(), 8, "an index, two manifests, two configurations, three layers");
    assert!(blobs.iter().all(|blob| kept.contains(blob)), "{kept:?}");

    // A file for docker is one for containerd too, as kind and k3s import it.
    done(dir.path(), &["copy", "--platform", "linux/amd64", "oci:layout", "docker-archive:docker.tar:plugins/greeter:1.0"]);
    let path = dir.path().join("docker.tar");
    engine.ask(&ctr, &["images", "import", "--no-unpack", path.to_str().unwrap()]);
    let listed = engine.ask(&ctr, &["images", "list"]);
    let line = listed.lines().find(|line| line.contains("docker.io/plugins/greeter:1.0")).unwrap_or_else(|| panic!("{listed}"));
    assert!(line.contains("linux/amd64"), "{line}");
}
