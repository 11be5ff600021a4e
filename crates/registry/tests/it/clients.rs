//! Clients that others have written: they push, pull, list and delete.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::support::program::wait_until;
use crate::support::server::{Pair, Place};
use crate::support::tools::{optional, require, stdout};

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

/// A token for everything.
fn token(place: &Place) -> String {
    stdout(place.alone("token").args(["--repo", "*", "--pull", "--push", "--delete"])).trim().to_owned()
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
    let pair = Pair::of(&place, &["--auth"]);
    let user = format!("router:{}", token(&place));
    let at = |number: usize, tag: &str| format!("{}/greeter:{tag}", pair.servers[number].host);
    let to = format!("docker://{}", at(0, "1.0"));
    stdout(Command::new(skopeo).args(["copy", "--all", "--dest-tls-verify=false", "--dest-creds", &user, &image(), &to]));
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
    run(&["content", "fetch", "--plain-http", "--user", &user, "--all-platforms", &at(1, "1.0")]);
    run(&["images", "push", "--plain-http", "--user", &user, &at(0, "2.0"), &at(1, "1.0")]);
    let digest = |tag: &str| {
        let credentials = format!("Bearer {}", user.trim_start_matches("router:"));
        let path = format!("/v2/greeter/manifests/{tag}");
        let answer = pair.client.send("HEAD", &path, &[("Authorization", &credentials)], b"");
        answer.is(200).header("ETag").map(str::to_owned)
    };
    assert_eq!(digest("1.0"), digest("2.0"));
}

/// A Docker configuration with a token for all of a server, as the router's host has it.
fn config(place: &Place, hosts: &[&str]) -> std::path::PathBuf {
    let pair = STANDARD.encode(format!("router:{}", token(place)));
    let auths: serde_json::Map<_, _> = hosts.iter().map(|host| ((*host).to_owned(), serde_json::json!({"auth": pair}))).collect();
    let folder = place.dir.path().join("docker");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("config.json"), serde_json::json!({"auths": auths}).to_string()).unwrap();
    folder
}

#[test]
#[ignore = "needs crane"]
fn crane_does_all_with_a_token() {
    let Some(crane) = optional("crane") else { return };
    let place = Place::directory();
    let pair = Pair::of(&place, &["--auth"]);
    let hosts = pair.servers.each_ref().map(|server| server.host.as_str());
    let config = config(&place, &hosts);
    let command = |words: &[&str]| {
        let mut command = Command::new(&crane);
        command.arg("--insecure").args(words).env("DOCKER_CONFIG", &config).current_dir(place.dir.path());
        command
    };
    let run = |words: &[&str]| stdout(&mut command(words)).trim().to_owned();
    let layout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/layouts/v1").display().to_string();
    let at = |number: usize, rest: &str| format!("{}/team/greeter{rest}", hosts[number]);
    run(&["push", "--index", &layout, &at(0, ":1.0")]);
    let digest = run(&["digest", &at(1, ":1.0")]);
    run(&["tag", &at(1, ":1.0"), "latest"]);
    assert_eq!(run(&["ls", &at(0, "")]), "1.0\nlatest");
    run(&["copy", &at(0, ":1.0"), &at(1, "-2:1.0")]);
    assert_eq!(run(&["digest", &at(0, "-2:1.0")]), digest);
    run(&["pull", "--format", "oci", &at(1, ":1.0"), "pulled"]);
    run(&["delete", &at(0, &format!("@{digest}"))]);
    assert!(!command(&["digest", &at(1, ":1.0")]).output().unwrap().status.success());
    let stranger = command(&["digest", &at(1, "-2:1.0")]).env("DOCKER_CONFIG", place.dir.path()).output().unwrap();
    assert!(String::from_utf8_lossy(&stranger.stderr).contains("UNAUTHORIZED"), "{stranger:?}");
}

#[test]
#[ignore = "needs oras"]
fn oras_does_all_with_a_token() {
    let Some(oras) = optional("oras") else { return };
    let place = Place::directory();
    let pair = Pair::of(&place, &["--auth"]);
    let hosts = pair.servers.each_ref().map(|server| server.host.as_str());
    let config = config(&place, &hosts).join("config.json").display().to_string();
    let at = |number: usize, rest: &str| format!("{}/team/notes{rest}", hosts[number]);
    let run = |words: &[&str]| {
        let mut command = Command::new(&oras);
        command.args(words).args(["--plain-http", "--registry-config", &config]).env("HOME", place.dir.path());
        stdout(command.current_dir(place.dir.path())).trim().to_owned()
    };
    for (name, text) in [("note", "a note"), ("more", "more")] {
        fs::write(place.dir.path().join(name), text).unwrap();
    }
    run(&["push", "--artifact-type", "text/x-note", &at(0, ":1.0"), "note:text/plain"]);
    run(&["attach", "--artifact-type", "text/x-more", &at(1, ":1.0"), "more:text/plain"]);
    let discovered = json(&run(&["discover", "--format", "json", &at(0, ":1.0")]));
    assert_eq!(discovered["referrers"][0]["artifactType"], "text/x-more", "{discovered}");
    run(&["tag", &at(1, ":1.0"), "latest"]);
    assert_eq!(run(&["repo", "tags", &at(0, "")]), "1.0\nlatest");
    run(&["pull", "--output", "pulled", &at(1, ":latest")]);
    assert_eq!(fs::read_to_string(place.dir.path().join("pulled/note")).unwrap(), "a note");
    run(&["manifest", "delete", "--force", &at(0, ":1.0")]);
    assert_eq!(pair.client.get("/v2/team/notes/tags/list").status, 401);
}
