//! Mirrors: what another registry has is fetched once, and served as long as it is wanted.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plugin_oci::documents::{Descriptor, media_type};
use plugin_oci::signatures::keys::{Algorithm, Signer as _, generate};
use plugin_oci::signatures::{bundle, simple, statement};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::tag::Tag;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::program::wait_until;
use crate::support::server::{Place, Server};
use crate::support::tools::{require, stdout};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

fn client(server: &Server) -> Client {
    Client::new(vec![server.host.clone()])
}

/// Pushes an image of one layer; its bytes and digests of it and the layer.
fn push(client: &Client, name: &str, tag: &str, layer: &[u8]) -> (Vec<u8>, String, String) {
    for blob in [b"{}", layer] {
        client.push_blob(name, &Digest::of(blob).to_string(), blob);
    }
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::MANIFEST,
        "config": Descriptor::of(media_type::CONFIG, b"{}"), "layers": [Descriptor::of(LAYER, layer)],
    });
    let bytes = manifest.to_string().into_bytes();
    client.push_manifest(name, tag, media_type::MANIFEST, &bytes).is(201);
    let digest = Digest::of(&bytes).to_string();
    (bytes, digest, Digest::of(layer).to_string())
}

/// How many requests a server has answered.
fn asked(server: &Server) -> u64 {
    let text = String::from_utf8(client(server).get("/metrics").is(200).body).unwrap();
    let counts = text.lines().filter(|line| line.starts_with("plugin_registry_requests_total{"));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn what_is_fetched_once_is_served_for_ever() {
    is_served_for_ever(Some(Place::directory()));
}

#[test]
#[ignore = "needs SeaweedFS"]
fn what_is_fetched_once_is_served_for_ever_by_a_bucket() {
    is_served_for_ever(Place::seaweed());
}

fn is_served_for_ever(here: Option<Place>) {
    let (there, Some(here)) = (Place::directory(), here) else { return };
    let mut upstream = there.serve(&["--auth"]);
    let token = stdout(there.alone("token").args(["--repo", "*", "--pull", "--push"])).trim().to_owned();
    let mut owner = client(&upstream);
    owner.headers.push(("Authorization".to_owned(), format!("Bearer {token}")));
    let (image, digest, layer) = push(&owner, "team/a", "1.0", &vec![7; 80 << 20]);
    // Its credentials are where those of every client are.
    let login = json!({"auths": {&upstream.host: {"auth": STANDARD.encode(format!("x:{token}"))}}});
    fs::write(here.dir.path().join("config.json"), login.to_string()).unwrap();
    let mirror_of = format!("hub/*={}/team", upstream.host);
    let own = stdout(here.alone("token").args(["--repo", "hub/*", "--pull", "--push", "--delete"])).trim().to_owned();
    let flags = ["--mirror", &mirror_of, "--mirror-for", "0s", "--auth"];
    let mirror = Server::start(here.command("serve").args(flags).env("DOCKER_CONFIG", here.dir.path()));
    let mut puller = client(&mirror);

    // A stranger asks nobody.
    let before = asked(&upstream);
    for path in
        ["manifests/1.0", &format!("manifests/{digest}"), &format!("blobs/{layer}"), "tags/list", &format!("referrers/{digest}")]
    {
        puller.get(&format!("/v2/hub/a/{path}")).is(401);
    }
    assert_eq!(asked(&upstream), before);
    puller.headers.push(("Authorization".to_owned(), format!("Bearer {own}")));
    let path = |rest: &str| format!("/v2/hub/a/{rest}");
    puller.head(&path("manifests/1.0")).is(200);
    assert_eq!(puller.get(&path("manifests/1.0")).is(200).body, image);
    assert_eq!(puller.get(&path(&format!("manifests/{digest}"))).is(200).body, image);
    // All at once, of whom only one asks there.
    let before = asked(&upstream);
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                let part = [("Range", "bytes=0-99")];
                assert_eq!(puller.send("GET", &path(&format!("blobs/{layer}")), &part, b"").is(206).body, [7; 100]);
            });
        }
    });
    assert_eq!(asked(&upstream), before + 1);
    assert!(mirror.peak() < 64 << 10, "{} KiB", mirror.peak());
    puller.get(&path(&format!("blobs/{}", Digest::of(b"none")))).is(404);
    puller.get(&path("manifests/none")).is(404);
    puller.get("/v2/other/manifests/1.0").is(403);
    // What is another's is pushed there, and may be removed here.
    for (method, rest) in
        [("PUT", "manifests/1.0"), ("POST", "blobs/uploads/"), ("POST", &format!("blobs/uploads/?digest={digest}"))]
    {
        assert_eq!(puller.send(method, &path(rest), &[("Content-Type", media_type::MANIFEST)], &image).is(403).code(), "DENIED");
    }
    puller.delete(&path(&format!("blobs/{layer}"))).is(202);
    puller.head(&path(&format!("blobs/{layer}"))).is(200);
    // A tag is asked for again.
    let (moved, ..) = push(&owner, "team/a", "1.0", b"another");
    assert_eq!(puller.get(&path("manifests/1.0")).is(200).body, moved);
    // What no tag reaches is condemned, and fetched again.
    stdout(here.command("gc").args(["--wait", "0s"]));
    assert!(stdout(here.command("gc").args(["--wait", "0s"])).contains(&format!("removed v2/hub/a/blobs/{layer}")));
    puller.get(&path(&format!("manifests/{digest}"))).is(200);
    puller.get(&path(&format!("blobs/{layer}"))).is(200);
    // What is wrong there is never seen here.
    let other = push(&owner, "team/a", "2.0", b"right bytes").2;
    fs::write(there.objects().join(format!("v2/team/a/blobs/{other}")), "wrong bytes").unwrap();
    puller.get(&path("manifests/2.0")).is(200);
    puller.get(&path(&format!("blobs/{other}"))).is(503);
    let is_listed = || stdout(here.command("gc").args(["--wait", "0s", "--dry-run"])).contains(&other);
    assert!(!is_listed());
    // Without the other registry.
    upstream.terminate();
    assert!(upstream.wait());
    assert_eq!(puller.get(&path("manifests/1.0")).is(200).body, moved);
    puller.get(&path(&format!("blobs/{layer}"))).is(200);
    puller.get(&path("manifests/3.0")).is(503);
    puller.get(&path("tags/list")).is(200);
}

#[test]
fn a_tag_is_believed_for_a_while_and_one_that_never_moves_for_ever() {
    let there = Place::directory();
    let upstream = there.serve(&[]);
    let pusher = client(&upstream);
    let (first, ..) = push(&pusher, "a", "v1", b"one");
    let serve = |flags: &[&str]| {
        let place = Place::directory();
        let server = place.serve(&[&["--mirror", &upstream.host], flags].concat());
        (place, server)
    };
    let (_one, patient) = serve(&["--mirror-for", "1h"]);
    let (_two, rigid) = serve(&["--mirror-for", "0s", "--immutable", "v*"]);
    for server in [&patient, &rigid] {
        assert_eq!(client(server).get("/v2/a/manifests/v1").is(200).body, first);
    }
    push(&pusher, "a", "v1", b"two");
    for server in [&patient, &rigid] {
        assert_eq!(client(server).get("/v2/a/manifests/v1").is(200).body, first);
    }
    // One that was removed here is fetched all the same.
    client(&patient).delete("/v2/a/manifests/v1").is(202);
    assert_ne!(client(&patient).get("/v2/a/manifests/v1").is(200).body, first);
    push(&pusher, "a", "latest", b"two");
    assert_eq!(client(&patient).get("/v2/a/tags/list").is(200).json()["tags"], json!(["latest", "v1"]));
}

#[test]
fn a_registry_that_says_nothing_keeps_nobody_waiting_twice() {
    let (there, here) = (Place::directory(), Place::directory());
    let mut upstream = there.serve(&[]);
    push(&client(&upstream), "a", "1.0", b"layer");
    let mirror = here.serve(&["--mirror", &upstream.host, "--mirror-for", "0s"]);
    let puller = client(&mirror);
    puller.get("/v2/a/manifests/1.0").is(200);
    upstream.terminate();
    assert!(upstream.wait());
    let _silent = TcpListener::bind(&upstream.host).unwrap();
    let waited = || {
        let begun = std::time::Instant::now();
        puller.get("/v2/a/manifests/1.0").is(200);
        begun.elapsed().as_secs()
    };
    assert!(waited() < 15);
    assert!(waited() < 3);
}

#[test]
fn signatures_come_through_it() {
    let (there, here) = (Place::directory(), Place::directory());
    let upstream = there.serve(&[]);
    let key = generate(Algorithm::P256, b"").unwrap().key;
    let policy = here.dir.path().join("policy.toml");
    fs::write(here.dir.path().join("key.pub"), key.public().to_pem()).unwrap();
    fs::write(&policy, "[images]\nkeys = [\"key.pub\"]\n").unwrap();
    let flags = ["--mirror", &upstream.host, "--mirror-for", "0s", "--policy", policy.to_str().unwrap()];
    let other = Place::directory();
    let careful = other.serve(&[&flags[..], &["--policy-at", "push"]].concat());
    let mirror = here.serve(&flags);
    let (pusher, puller) = (client(&upstream), client(&mirror));
    for (name, in_bundle) in [("one", true), ("two", false)] {
        let (image, digest, layer) = push(&pusher, name, "1.0", b"layer");
        puller.get(&format!("/v2/{name}/manifests/1.0")).is(403);
        client(&careful).get(&format!("/v2/{name}/manifests/1.0")).is(404);
        let root = Descriptor::of(media_type::MANIFEST, &image);
        let signature = if in_bundle {
            bundle::sign(&statement::signature(&root.digest), statement::SIGNATURE, &root, &key).unwrap()
        } else {
            simple::sign(&root, "any/name", &key, &[]).unwrap()
        };
        for (descriptor, bytes) in &signature.blobs {
            pusher.push_blob(name, &descriptor.digest.to_string(), bytes);
        }
        let tag = if in_bundle { signature.descriptor.digest.to_string() } else { Tag::of_signatures(&root.digest).to_string() };
        pusher.push_manifest(name, &tag, media_type::MANIFEST, &signature.manifest).is(201);
        for reference in ["1.0", &digest, &tag] {
            puller.get(&format!("/v2/{name}/manifests/{reference}")).is(200);
        }
        puller.get(&format!("/v2/{name}/blobs/{layer}")).is(200);
        client(&careful).get(&format!("/v2/{name}/manifests/1.0")).is(200);
        let listed = puller.get(&format!("/v2/{name}/referrers/{digest}")).is(200).json();
        assert_eq!(listed["manifests"][0]["digest"], signature.descriptor.digest.to_string());
    }
}

/// A process that is stopped when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn wait_for(host: &str) {
    wait_until("it listens", || std::net::TcpStream::connect(host).is_ok());
}

#[test]
fn mirrors_that_ask_each_other_end_with_an_error() {
    let place = Place::directory();
    let hosts = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
    let digest = Digest::of(b"none");
    for ring in [&hosts[..1], &hosts[..]] {
        let start = |number: usize| {
            let next = &ring[(number + 1) % ring.len()];
            let mut command = place.command("serve");
            command.args(["--listen", &ring[number], "--mirror", next]).stdin(Stdio::null()).stdout(Stdio::null());
            let child = Running(command.spawn().unwrap());
            wait_for(&ring[number]);
            child
        };
        let _all: Vec<Running> = (0..ring.len()).map(start).collect();
        let client = Client::new(vec![ring[0].clone()]);
        let begun = std::time::Instant::now();
        for path in ["manifests/1.0".to_owned(), format!("manifests/{digest}"), format!("blobs/{digest}")] {
            client.get(&format!("/v2/a/b/{path}")).is(503);
        }
        client.get(&format!("/v2/a/b/referrers/{digest}")).is(200);
        assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
    }
}

#[test]
#[ignore = "needs skopeo, crane and docker-registry"]
fn others_pull_through_it_from_others() {
    let (Some(skopeo), Some(crane), Some(registry)) = (require("skopeo"), require("crane"), require("docker-registry")) else {
        return;
    };
    let place = Place::directory();
    let dir = place.dir.path();
    let host = format!("127.0.0.1:{}", free_port());
    let settings =
        json!({"version": "0.1", "storage": {"filesystem": {"rootdirectory": dir.join("theirs")}}, "http": {"addr": host}});
    fs::write(dir.join("config.yml"), settings.to_string()).unwrap();
    let mut command = Command::new(registry);
    command.arg("serve").arg(dir.join("config.yml")).stdout(Stdio::null()).stderr(Stdio::null());
    let upstream = Running(command.spawn().unwrap());
    wait_for(&host);
    let layout = format!("oci:{}/../../fixtures/layouts/v1:gzip", env!("CARGO_MANIFEST_DIR"));
    let run = |words: &[&str]| stdout(Command::new(&skopeo).args(words));
    run(&[
        "copy",
        "--all",
        "--preserve-digests",
        "--dest-tls-verify=false",
        &layout,
        &format!("docker://{host}/team/greeter:1.0"),
    ]);
    let mirror = place.serve(&["--mirror", &host]);
    let at = format!("docker://{}/team/greeter:1.0", mirror.host);
    let to = |name: &str| format!("oci:{}", dir.join(name).display());
    let raw = |words: &[&str]| run(&[&["inspect", "--raw"], words].concat());
    run(&["copy", "--all", "--preserve-digests", "--src-tls-verify=false", &at, &to("one")]);
    assert_eq!(raw(&["--tls-verify=false", &at]), raw(&[&layout]));
    let tags: Value = serde_json::from_str(&run(&["list-tags", "--tls-verify=false", at.trim_end_matches(":1.0")])).unwrap();
    assert_eq!(tags["Tags"], json!(["1.0"]));
    drop(upstream);
    let image = at.trim_start_matches("docker://");
    stdout(Command::new(&crane).args(["pull", "--insecure", "--platform", "linux/amd64", image]).arg(dir.join("x.tar")));
    run(&["copy", "--all", "--src-tls-verify=false", &at, &to("two")]);
}
