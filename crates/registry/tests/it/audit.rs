//! The audit log: what was done and by whom, and what was refused.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plugin_oci::documents::{Descriptor, media_type};
use plugin_oci::values::digest::Digest;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::program::wait_until;
use crate::support::server::Place;
use crate::support::tools::stdout;

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// An image with nothing in it but a name.
fn image(name: &str) -> (Vec<u8>, String) {
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::MANIFEST,
        "config": Descriptor::of(media_type::CONFIG, b"{}"), "layers": [], "annotations": {"name": name},
    });
    let bytes = manifest.to_string().into_bytes();
    let digest = Digest::of(&bytes).to_string();
    (bytes, digest)
}

#[test]
fn every_act_is_told_and_every_refusal() {
    let place = Place::directory();
    let log = place.dir.path().join("audit");
    let flags = ["--audit-log", log.to_str().unwrap(), "--auth", "--anonymous", "public", "--immutable", "v*"];
    let server = place.serve(&flags);
    let token = |words: &[&str]| {
        let made = place.alone("token").args(words).output().unwrap();
        let id = String::from_utf8(made.stderr).unwrap().trim().strip_prefix("identifier: ").unwrap().to_owned();
        (String::from_utf8(made.stdout).unwrap().trim().to_owned(), id)
    };
    let (all, id) = token(&["--repo", "*", "--pull", "--push", "--delete"]);
    let (reader, reader_id) = token(&["--repo", "a", "--pull"]);
    let as_owner_of = |token: &str| {
        let mut client = Client::new(vec![server.host.clone()]);
        client.headers.push(("Authorization".to_owned(), format!("Basic {}", STANDARD.encode(format!("x:{token}")))));
        client
    };
    let client = as_owner_of(&all);
    let config = Digest::of(b"{}").to_string();
    let told = |count: usize| {
        let lines = lines(&log);
        assert_eq!(lines.len(), count, "{lines:#?}");
        let mut last = lines.into_iter().next_back().unwrap();
        let line = last.as_object_mut().unwrap();
        assert!(line.remove("at").is_some());
        last
    };

    client.push_blob("a", &config, b"{}");
    let line = told(1);
    let wanted = json!({"act": "push-blob", "client": "127.0.0.1", "digest": config, "outcome": "done", "repository": "a",
        "status": 201, "token": id});
    assert_eq!(line, wanted);
    client.send("POST", &format!("/v2/b/blobs/uploads/?mount={config}&from=a"), &[], b"").is(201);
    let line = told(2);
    assert_eq!((&line["act"], &line["from"], &line["digest"]), (&json!("mount-blob"), &json!("a"), &json!(config)));
    // A mount that is none opens an upload, which changes nothing.
    client.send("POST", &format!("/v2/b/blobs/uploads/?mount={config}&from=none"), &[], b"").is(202);
    let ((first, one), (second, two)) = (image("one"), image("two"));
    client.push_manifest("a", "v1", media_type::MANIFEST, &first).is(201);
    let line = told(3);
    assert_eq!((&line["act"], &line["tag"], &line["digest"]), (&json!("set-tag"), &json!("v1"), &json!(one)));
    assert_eq!(line["before"], Value::Null);
    client.push_manifest("a", "latest", media_type::MANIFEST, &first).is(201);
    client.push_manifest("a", "latest", media_type::MANIFEST, &second).is(201);
    let line = told(5);
    assert_eq!((&line["before"], &line["digest"]), (&json!(one), &json!(two)));
    client.push_manifest("a", "v1", media_type::MANIFEST, &second).is(409);
    let line = told(6);
    assert_eq!((&line["outcome"], &line["code"], &line["status"]), (&json!("refused"), &json!("DENIED"), &json!(409)));
    client.push_manifest("a", &two, media_type::MANIFEST, &second).is(201);
    assert_eq!(told(7)["act"], "push-manifest");
    client.delete("/v2/a/manifests/none").is(404);
    assert_eq!(told(8)["outcome"], "refused");
    client.delete(&format!("/v2/a/manifests/{two}")).is(202);
    let line = told(9);
    assert_eq!((&line["act"], &line["tags"]), (&json!("delete-manifest"), &json!(["latest"])));
    client.delete(&format!("/v2/b/blobs/{config}")).is(202);
    assert_eq!(told(10)["act"], "delete-blob");

    // Pulls are told where they are refused to somebody.
    client.get("/v2/a/tags/list").is(200);
    let stranger = Client::new(vec![server.host.clone()]);
    stranger.get("/v2/").is(401);
    stranger.get("/v2/a/tags/list").is(401);
    as_owner_of("wrong").get("/v2/a/tags/list").is(401);
    let line = told(11);
    assert_eq!((&line["act"], &line["code"], &line["token"]), (&json!("pull"), &json!("UNAUTHORIZED"), &Value::Null));
    as_owner_of(&reader).get("/v2/b/tags/list").is(403);
    let line = told(12);
    assert_eq!((&line["repository"], &line["token"]), (&json!("b"), &json!(reader_id)));
    stranger.send("POST", "/v2/public/blobs/uploads/", &[], b"").is(401);
    assert_eq!(told(13)["act"], "push-blob");

    // Those who run it are told of as well.
    stdout(place.command("revoke").arg(&reader).arg("--audit-log").arg(&log));
    let line = told(14);
    assert_eq!((&line["act"], &line["token"]), (&json!("revoke"), &json!(reader_id)));
    stdout(place.command("gc").args(["--wait", "0s", "--dry-run", "--audit-log"]).arg(&log));
    told(14);
    client.delete("/v2/a/manifests/latest").is(404);
    client.push_blob("a", &Digest::of(b"lone").to_string(), b"lone");
    stdout(place.command("gc").args(["--wait", "0s", "--audit-log"]).arg(&log));
    let line = told(17);
    assert_eq!((&line["act"], &line["bytes"]), (&json!("gc-condemned"), &json!(4)));
    assert_eq!(line["key"], format!("v2/a/blobs/{}", Digest::of(b"lone")));
    let text = fs::read_to_string(&log).unwrap();
    assert!(!text.contains(&all) && !text.contains(&reader) && !text.contains(&STANDARD.encode(format!("x:{all}"))), "{text}");
}

#[test]
fn what_cannot_be_told_is_not_done() {
    let place = Place::directory();
    let dir = place.dir.path().join("logs");
    fs::create_dir(&dir).unwrap();
    let log = dir.join("audit");
    let server = place.serve(&["--audit-log", log.to_str().unwrap()]);
    let client = Client::new(vec![server.host.clone()]);
    let (image, digest) = image("one");
    client.push_blob("a", &Digest::of(b"{}").to_string(), b"{}");
    // Moved away, as programs that rotate logs do.
    fs::rename(&log, dir.join("audit.1")).unwrap();
    client.push_manifest("a", "1", media_type::MANIFEST, &image).is(201);
    assert_eq!((lines(&log).len(), lines(&dir.join("audit.1")).len()), (1, 1));
    fs::remove_dir_all(&dir).unwrap();
    for answer in [
        client.push_manifest("a", "2", media_type::MANIFEST, &image),
        client.delete(&format!("/v2/a/manifests/{digest}")),
        client.send("POST", "/v2/a/blobs/uploads/", &[], b""),
    ] {
        assert_eq!(answer.is(503).header("Retry-After"), Some("10"));
    }
    assert_eq!(client.get("/v2/a/tags/list").is(200).json()["tags"], json!(["1"]));
    assert!(!place.command("gc").args(["--audit-log", log.to_str().unwrap()]).status().unwrap().success());
    fs::create_dir(&dir).unwrap();
    client.push_manifest("a", "2", media_type::MANIFEST, &image).is(201);
    // A disk that is full while something is done: the answer is no success, and the next line comes after the one that lacks.
    if Path::new("/dev/full").exists() {
        fs::remove_file(&log).unwrap();
        std::os::unix::fs::symlink("/dev/full", &log).unwrap();
        client.push_manifest("a", "3", media_type::MANIFEST, &image).is(503);
        client.push_manifest("a", "4", media_type::MANIFEST, &image).is(503);
        fs::remove_file(&log).unwrap();
        client.push_manifest("a", "5", media_type::MANIFEST, &image).is(201);
        let told: Vec<(Value, Value)> = lines(&log).iter().map(|line| (line["tag"].clone(), line["outcome"].clone())).collect();
        assert_eq!(told, [("3", "done"), ("4", "failed"), ("5", "done")].map(|(tag, outcome)| (json!(tag), json!(outcome))));
        assert_eq!(client.get("/v2/a/tags/list").is(200).json()["tags"], json!(["1", "2", "3", "5"]));
    }
}

#[test]
fn whoever_leaves_early_is_told_of_all_the_same() {
    use std::io::Write as _;
    let place = Place::directory();
    let log = place.dir.path().join("audit");
    let server = place.serve(&["--audit-log", log.to_str().unwrap()]);
    let client = Client::new(vec![server.host.clone()]);
    client.push_blob("a", &Digest::of(b"{}").to_string(), b"{}");
    for tag in 0..20 {
        let (image, _) = image(&tag.to_string());
        let head = format!(
            "PUT /v2/a/manifests/t{tag} HTTP/1.1\r\nHost: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n",
            server.host,
            media_type::MANIFEST,
            image.len()
        );
        let mut stream = std::net::TcpStream::connect(&server.host).unwrap();
        stream.write_all(&[head.as_bytes(), &image].concat()).unwrap();
    }
    let tags = || client.get("/v2/a/tags/list").json()["tags"].as_array().map_or(0, Vec::len);
    wait_until("all that was set is told", || tags() == lines(&log).iter().filter(|line| line["act"] == "set-tag").count());
}
