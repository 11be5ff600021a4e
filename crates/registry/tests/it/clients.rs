//! Clients that others have written: they push, pull, list and delete.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::program::wait_until;
use crate::support::server::{Pair, Place};
use crate::support::tools::{require, stdout};

/// An image of several platforms.
fn image() -> String {
    format!("oci:{}:gzip", Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/layouts/v1").display())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
#[ignore = "needs skopeo"]
fn skopeo_pushes_pulls_lists_and_deletes() {
    let Some(skopeo) = require("skopeo") else { return };
    let place = Place::directory();
    let pair = Pair::of(&place, &[]);
    let at = |number: usize| format!("docker://{}/team/greeter", pair.servers[number].host);
    let run = |words: &[&str]| stdout(Command::new(&skopeo).args(words));
    run(&["copy", "--all", "--preserve-digests", "--dest-tls-verify=false", &image(), &format!("{}:1.0", at(0))]);
    let (to, from) = (format!("oci:{}:1", place.dir.path().join("pulled").display()), format!("{}:1.0", at(1)));
    run(&["copy", "--all", "--preserve-digests", "--src-tls-verify=false", &from, &to]);
    let raw = |source: &str| run(&["inspect", "--raw", "--tls-verify=false", source]);
    assert_eq!(raw(&from), stdout(Command::new(&skopeo).args(["inspect", "--raw", &image()])));
    // Between repositories it mounts.
    run(&["copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false", &from, &format!("{}-2:1.0", at(0))]);
    let tags = || json(&run(&["list-tags", "--tls-verify=false", &at(1)]))["Tags"].clone();
    assert_eq!(tags(), serde_json::json!(["1.0"]));
    run(&["delete", "--tls-verify=false", &from]);
    assert_eq!(tags(), serde_json::json!([]));
}

#[test]
#[ignore = "needs skopeo and podman"]
fn podman_pulls_and_pushes() {
    let (Some(skopeo), Some(podman)) = (require("skopeo"), require("podman")) else { return };
    let place = Place::directory();
    let pair = Pair::of(&place, &[]);
    let image_at = |number: usize, tag: &str| format!("{}/greeter:{tag}", pair.servers[number].host);
    let to = format!("docker://{}", image_at(0, "1.0"));
    stdout(Command::new(skopeo).args(["copy", "--all", "--dest-tls-verify=false", &image(), &to]));
    let dir = place.dir.path();
    let run = |words: &[&str]| {
        let mut command = Command::new(&podman);
        command.arg("--root").arg(dir.join("root")).arg("--runroot").arg(dir.join("run")).args(["--storage-driver", "vfs"]);
        stdout(command.args(words).env("HOME", dir))
    };
    run(&["pull", "--quiet", "--tls-verify=false", "--arch", "amd64", &image_at(1, "1.0")]);
    run(&["push", "--quiet", "--tls-verify=false", &image_at(1, "1.0"), &image_at(0, "2.0")]);
    assert_eq!(pair.client.get("/v2/greeter/tags/list").json()["tags"], serde_json::json!(["1.0", "2.0"]));
    run(&["pull", "--quiet", "--tls-verify=false", &image_at(1, "2.0")]);
}

/// A running containerd; stopped when dropped.
struct Containerd(Child);

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs skopeo and containerd"]
fn containerd_pulls_and_pushes() {
    let (Some(skopeo), Some(containerd), Some(ctr)) = (require("skopeo"), require("containerd"), require("ctr")) else { return };
    let place = Place::directory();
    let pair = Pair::of(&place, &[]);
    let at = |number: usize, tag: &str| format!("{}/greeter:{tag}", pair.servers[number].host);
    let to = format!("docker://{}", at(0, "1.0"));
    stdout(Command::new(skopeo).args(["copy", "--all", "--dest-tls-verify=false", &image(), &to]));
    let dir = place.dir.path().display().to_string();
    let settings = format!(
        "version = 2\nroot = '{dir}/root'\nstate = '{dir}/state'\ndisabled_plugins = ['io.containerd.grpc.v1.cri']\n[grpc]\naddress = '{dir}/socket'\n"
    );
    fs::write(format!("{dir}/config.toml"), settings).unwrap();
    let log = fs::File::create(format!("{dir}/log")).unwrap();
    let mut command = Command::new(containerd);
    command.arg("--config").arg(format!("{dir}/config.toml")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let _engine = Containerd(command.spawn().unwrap());
    wait_until("containerd starts", || fs::read_to_string(format!("{dir}/log")).unwrap().contains("successfully booted"));
    let run = |words: &[&str]| stdout(Command::new(&ctr).arg("--address").arg(format!("{dir}/socket")).args(words));
    run(&["content", "fetch", "--plain-http", "--all-platforms", &at(1, "1.0")]);
    run(&["images", "push", "--plain-http", &at(0, "2.0"), &at(1, "1.0")]);
    let digest = |tag: &str| pair.client.head(&format!("/v2/greeter/manifests/{tag}")).is(200).header("ETag").map(str::to_owned);
    assert_eq!(digest("1.0"), digest("2.0"));
}
