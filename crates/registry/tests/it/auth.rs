//! Tokens: who may do what, and until when.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plugin_oci::values::digest::Digest;

use crate::support::client::{Answer, Client};
use crate::support::program::wait_until;
use crate::support::server::{Pair, Place};
use crate::support::tools::{require, stdout};

fn token(place: &Place, words: &[&str]) -> String {
    stdout(place.alone("token").args(words)).trim().to_owned()
}

fn basic(user: &str, token: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{token}")))
}

/// Asks with credentials.
fn ask(client: &Client, method: &str, path: &str, credentials: &str) -> Answer {
    client.send(method, path, &[("Authorization", credentials)], b"")
}

#[test]
fn a_token_is_good_for_what_it_says_and_until_it_is_revoked() {
    let place = Place::directory();
    let pair = Pair::of(&place, &["--auth", "--anonymous", "public/*"]);
    let client = &pair.client;
    let all = token(&place, &["--repo", "*", "--pull", "--push", "--delete"]);
    let reader = token(&place, &["--repo", "plugins/*", "--repo", "one", "--pull"]);
    let pusher = token(&place, &["--repo", "plugins/*", "--push"]);
    let digest = Digest::of(b"bytes");
    let push = |name: &str, credentials: &str| {
        let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        client.send("POST", &path, &[("Authorization", credentials)], b"bytes")
    };
    for name in ["plugins/a", "public/a", "other/a"] {
        push(name, &basic("router", &all)).is(201);
    }
    let blob = |name: &str| format!("/v2/{name}/blobs/{digest}");

    let refused = client.get("/v2/").is(401);
    assert_eq!(refused.header("WWW-Authenticate"), Some("Basic realm=\"registry\""));
    assert_eq!(refused.code(), "UNAUTHORIZED");
    ask(client, "GET", "/v2/", &basic("x", &reader)).is(200);
    ask(client, "GET", "/v2/", &basic("x", "wrong")).is(401);
    // Whoever the user is, and however the scheme is written.
    for credentials in [basic("router", &reader), basic("", &reader), format!("bearer {reader}"), format!("BEARER {reader}")] {
        let answer = ask(client, "GET", &blob("plugins/a"), &credentials).is(200);
        assert_eq!(answer.header("Cache-Control"), Some("private, max-age=31536000, immutable"));
    }
    assert_eq!(ask(client, "GET", &blob("other/a"), &basic("x", &reader)).is(403).code(), "DENIED");
    ask(client, "GET", &blob("one"), &basic("x", &reader)).is(404);
    ask(client, "DELETE", &blob("plugins/a"), &basic("x", &reader)).is(403);
    ask(client, "POST", "/v2/plugins/a/blobs/uploads/", &basic("x", &reader)).is(403);
    ask(client, "GET", &blob("plugins/a"), &basic("x", &pusher)).is(403);
    push("plugins/b", &basic("x", &pusher)).is(201);
    ask(client, "DELETE", &blob("plugins/b"), &basic("x", &pusher)).is(403);
    // What everybody may pull, nobody else may push, nor mount from what is closed.
    let answer = client.get(&blob("public/a")).is(200);
    assert_eq!(answer.header("Cache-Control"), Some("public, max-age=31536000, immutable"));
    ask(client, "GET", &blob("public/a"), "Basic Og==").is(200);
    ask(client, "GET", &blob("public/a"), &basic("x", "wrong")).is(401);
    client.delete(&blob("public/a")).is(401);
    client.get(&blob("plugins/a")).is(401);
    let mount = |from: &str| format!("/v2/plugins/c/blobs/uploads/?mount={digest}&from={from}");
    ask(client, "POST", &mount("other/a"), &basic("x", &pusher)).is(202);
    ask(client, "POST", &mount("public/a"), &basic("x", &pusher)).is(201);
    // A signature of another purpose, another key, and time.
    let session = client.send("POST", "/v2/plugins/a/blobs/uploads/", &[("Authorization", &basic("x", &all))], b"").is(202);
    let session = session.header("Location").unwrap().rsplit('/').next().unwrap().to_owned();
    ask(client, "GET", &blob("plugins/a"), &basic("x", &session)).is(401);
    let old = token(&place, &["--repo", "*", "--pull", "--expires", "0s"]);
    ask(client, "GET", &blob("plugins/a"), &basic("x", &old)).is(401);
    let other = Place::directory();
    let foreign = token(&other, &["--repo", "*", "--pull"]);
    ask(client, "GET", &blob("plugins/a"), &basic("x", &foreign)).is(401);

    stdout(place.command("revoke").arg(&reader));
    wait_until("both replicas know", || {
        (0..2).all(|_| ask(client, "GET", &blob("plugins/a"), &basic("x", &reader)).status == 401)
    });
    ask(client, "GET", &blob("plugins/a"), &basic("x", &all)).is(200);
    let nothing = place.alone("token").args(["--repo", "*"]).output().unwrap();
    assert!(!nothing.status.success());
}

#[test]
fn a_new_key_comes_beside_the_old_ones() {
    let place = Place::directory();
    let pair = Pair::of(&place, &["--auth"]);
    let old = token(&place, &["--repo", "*", "--pull"]);
    stdout(crate::support::server::program().arg("keygen").arg(place.keys()));
    let new = token(&place, &["--repo", "*", "--pull"]);
    ask(&pair.client, "GET", "/v2/", &basic("x", &old)).is(200);
    ask(&pair.client, "GET", "/v2/", &basic("x", &new)).is(401);
    let pair = Pair::of(&place, &["--auth"]);
    for token in [&old, &new] {
        ask(&pair.client, "GET", "/v2/", &basic("x", token)).is(200);
    }
}

#[test]
#[ignore = "needs skopeo"]
fn skopeo_follows_the_challenge() {
    let Some(skopeo) = require("skopeo") else { return };
    let place = Place::directory();
    let pair = Pair::of(&place, &["--anonymous", "public/*"]);
    let layout = format!("oci:{}:gzip", Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/layouts/v1").display());
    let writer = format!("router:{}", token(&place, &["--repo", "*", "--pull", "--push"]));
    let at = |name: &str| format!("docker://{}/{name}:1.0", pair.servers[0].host);
    let copy = |more: &[&str]| Command::new(&skopeo).args(["copy", "--all"]).args(more).output().unwrap().status.success();
    for name in ["public/a", "plugins/a"] {
        assert!(copy(&["--dest-tls-verify=false", "--dest-creds", &writer, &layout, &at(name)]));
    }
    assert!(!copy(&["--dest-tls-verify=false", &layout, &at("public/b")]));
    let to = |name: &str| format!("oci:{}", place.dir.path().join(name).display());
    assert!(copy(&["--src-tls-verify=false", &at("public/a"), &to("public")]));
    assert!(!copy(&["--src-tls-verify=false", &at("plugins/a"), &to("none")]));
    assert!(copy(&["--src-tls-verify=false", "--src-creds", &writer, &at("plugins/a"), &to("plugins")]));
}
