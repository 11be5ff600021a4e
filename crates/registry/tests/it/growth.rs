//! What does not grow with what is kept, nor with what passes through.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use plugin_oci::documents::{Descriptor, media_type};
use plugin_oci::values::digest::{Algorithm, Digest, Hasher};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpSocket;
use tokio::sync::Barrier;

use crate::support::client::{Answer, Client};
use crate::support::memory_bucket::{BUCKET, MemoryBucket};
use crate::support::server::{Place, Server};

#[test]
fn many_manifests_and_large_blobs_take_no_memory() {
    let place = Place::directory();
    let manifests = place.objects().join("v2/many/manifests");
    fs::create_dir_all(&manifests).unwrap();
    let tags: Vec<String> = (0..5000).map(|number| format!("t{number:05}")).collect();
    let config = Descriptor::of(media_type::CONFIG, b"{}");
    let manifest = |tag: &str| {
        json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": [], "annotations": {"of": tag}})
            .to_string()
    };
    for tag in &tags {
        let text = manifest(tag);
        for name in [Digest::of(text.as_bytes()).to_string(), tag.clone()] {
            fs::write(manifests.join(name), &text).unwrap();
        }
    }
    fs::create_dir_all(place.objects().join("v2/many/tags")).unwrap();
    fs::write(place.objects().join("v2/many/tags/list"), json!({"name": "many", "tags": tags}).to_string()).unwrap();
    place.keys();
    // That a start asks the store nothing, however much is there, is tried below.
    let server = place.serve(&[]);
    let client = Client::new(vec![server.host.clone()]);
    assert_eq!(client.get("/v2/many/tags/list?n=3&last=t04990").is(200).json()["tags"], json!(["t04991", "t04992", "t04993"]));
    assert_eq!(client.get("/v2/many/manifests/t04999").is(200).body, manifest("t04999").as_bytes());
    let bytes = vec![7; 160 << 20];
    let digest = Digest::of(&bytes);
    client.push_blob("many", &digest.to_string(), &bytes);
    assert!(client.get(&format!("/v2/many/blobs/{digest}")).is(200).body == bytes);
    assert!(server.peak() < 64 << 10, "{} KiB", server.peak());
}

#[test]
fn a_start_asks_the_store_nothing_and_a_pull_asks_it_once() {
    let store = MemoryBucket::start();
    let place = Place::directory();
    let mut command = place.alone("serve");
    let server = Server::start(command.arg(format!("s3://{BUCKET}")).envs(store.environment()));
    let client = Client::new(vec![server.host.clone()]);
    assert_eq!(store.bucket.take_requests(), Vec::<String>::new());
    let config = Descriptor::of(media_type::CONFIG, b"{}");
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": []}).to_string();
    let digest = Digest::of(manifest.as_bytes());
    let blob = format!("v2/a/blobs/{}", config.digest);
    store.bucket.put(&blob, b"{}");
    let list = json!({"name": "a", "tags": ["1.0"]}).to_string();
    store.bucket.put("v2/a/tags/list", list.as_bytes());
    for name in ["1.0".to_owned(), digest.to_string()] {
        store.bucket.put(&format!("v2/a/manifests/{name}"), manifest.as_bytes());
    }
    for key in [blob, "v2/a/tags/list".to_owned(), "v2/a/manifests/1.0".to_owned(), format!("v2/a/manifests/{digest}")] {
        client.get(&format!("/{key}")).is(200);
        assert_eq!(store.bucket.take_requests(), [format!("GET {key}")]);
    }
    client.get("/v2/").is(200);
    client.head("/v2/a/manifests/1.0").is(200);
    assert_eq!(store.bucket.take_requests(), ["GET v2/a/manifests/1.0"]);
}

/// As many as a server answers at once unless it is told otherwise, each with connections of its own.
const PULLERS: usize = 1000;

/// Sends a request over a connection of its own, and waits until everybody's is being answered; the digest of the body.
async fn pull(host: &str, path: &str, together: &Barrier) -> Digest {
    // What the system holds for slow readers is little, so that the server has the rest.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let mut stream = BufReader::new(socket.connect(host.parse().unwrap()).await.unwrap());
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert!(stream.read_until(b'\n', &mut head).await.unwrap() > 0, "{path}: no answer");
    }
    together.wait().await;
    Answer::parse(&head).unwrap().is(200);
    let (mut hasher, mut piece) = (Hasher::with(Algorithm::Sha256), vec![0; 16 << 10]);
    loop {
        match stream.read(&mut piece).await.unwrap() {
            0 => return hasher.finish(),
            length => hasher.update(&piece[..length]),
        }
    }
}

/// Everybody pulls an image at the same time: its manifest, its configuration, its layer.
fn pulled_by_many(server: &Server, manifest: &str) {
    let document: Value = serde_json::from_str(manifest).unwrap();
    let blob = |place: &str| document.pointer(place).unwrap().as_str().unwrap().parse::<Digest>().unwrap();
    let mut wanted = vec![("/v2/a/manifests/1.0".to_owned(), Digest::of(manifest.as_bytes()))];
    wanted.extend([blob("/config/digest"), blob("/layers/0/digest")].map(|it| (format!("/v2/a/blobs/{it}"), it)));
    // One for each of them here.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async move {
        let (together, wanted) = (Arc::new(Barrier::new(PULLERS)), Arc::new(wanted));
        let mut pullers = tokio::task::JoinSet::new();
        for _ in 0..PULLERS {
            let (host, wanted, together) = (server.host.clone(), wanted.clone(), together.clone());
            pullers.spawn(async move {
                for (path, digest) in &*wanted {
                    assert_eq!(pull(&host, path, &together).await, *digest);
                }
            });
        }
        let hang = tokio::time::timeout(Duration::from_mins(5), async {
            while let Some(done) = pullers.join_next().await {
                done.unwrap();
            }
        });
        hang.await.unwrap();
    });
}

/// A program that begins with few open files allowed, as most systems have it.
fn with_few_files(command: &Command) -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -S -n 256 && exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
    limited.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited
}

/// An image of a configuration and a layer; the manifest.
fn image(layer: &[u8]) -> String {
    let (config, layer) = (Descriptor::of(media_type::CONFIG, b"{}"), Descriptor::of("application/octet-stream", layer));
    json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": [layer]}).to_string()
}

#[test]
fn a_thousand_pull_at_once() {
    let place = Place::directory();
    let server = Server::start(&mut with_few_files(&place.command("serve")));
    let client = Client::new(vec![server.host.clone()]);
    let layer = vec![7; 512 << 10];
    for blob in [&b"{}"[..], &layer] {
        client.push_blob("a", &Digest::of(blob).to_string(), blob);
    }
    let manifest = image(&layer);
    client.push_manifest("a", "1.0", media_type::MANIFEST, manifest.as_bytes()).is(201);
    pulled_by_many(&server, &manifest);
    assert!(server.peak() < 64 << 10, "{} KiB", server.peak());
}

#[test]
fn a_thousand_pull_from_a_bucket_at_once() {
    let (store, place) = (MemoryBucket::start(), Place::directory());
    let mut command = place.alone("serve");
    command.arg(format!("s3://{BUCKET}")).envs(store.environment());
    let server = Server::start(&mut with_few_files(&command));
    let layer = vec![7; 512 << 10];
    for blob in [&b"{}"[..], &layer] {
        store.bucket.put(&format!("v2/a/blobs/{}", Digest::of(blob)), blob);
    }
    let manifest = image(&layer);
    store.bucket.put("v2/a/manifests/1.0", manifest.as_bytes());
    store.bucket.take_requests();
    pulled_by_many(&server, &manifest);
    assert_eq!(store.bucket.take_requests().len(), 3 * PULLERS);
    // What waits in a program that is not optimised is larger.
    let most = if cfg!(debug_assertions) { 96 << 10 } else { 64 << 10 };
    assert!(server.peak() < most, "{} KiB", server.peak());
}

/// Who may push is told by `HEAD` whether to, by a second request; who only pulls costs one.
#[test]
fn whatever_is_pulled_asks_the_store_once() {
    let (store, place) = (MemoryBucket::start(), Place::directory());
    let mut command = place.alone("serve");
    let server = Server::start(command.arg(format!("s3://{BUCKET}")).args(["--anonymous", "a"]).envs(store.environment()));
    let client = Client::new(vec![server.host.clone()]);
    let manifest = image(b"layer");
    let (blob, by_digest) = (format!("v2/a/blobs/{}", Digest::of(b"layer")), Digest::of(manifest.as_bytes()));
    let referrers = format!("v2/a/referrers/{by_digest}");
    let none = json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": []}).to_string();
    store.bucket.put(&blob, b"layer");
    store.bucket.put(&referrers, none.as_bytes());
    store.bucket.put("v2/a/tags/list", json!({"name": "a", "tags": ["1.0"]}).to_string().as_bytes());
    let by_digest = format!("v2/a/manifests/{by_digest}");
    for key in [&by_digest, "v2/a/manifests/1.0"] {
        store.bucket.put(key, manifest.as_bytes());
    }
    let known = format!("\"{}\"", Digest::of(b"layer"));
    for (method, key, headers, status) in [
        ("GET", blob.as_str(), &[][..], 200),
        ("HEAD", &blob, &[], 200),
        ("GET", &blob, &[("If-None-Match", &*known)], 304),
        ("GET", &by_digest, &[], 200),
        ("HEAD", &by_digest, &[], 200),
        ("GET", "v2/a/manifests/1.0", &[], 200),
        ("HEAD", "v2/a/manifests/1.0", &[], 200),
        ("HEAD", "v2/a/manifests/2.0", &[], 404),
        ("GET", "v2/a/tags/list", &[], 200),
        ("GET", &referrers, &[], 200),
    ] {
        store.bucket.take_requests();
        client.send(method, &format!("/{key}"), headers, b"").is(status);
        let asked = store.bucket.take_requests();
        // What was revoked is looked for in between.
        let asked: Vec<&String> = asked.iter().filter(|it| !it.ends_with("_r/revoked")).collect();
        assert!(asked.len() == 1 && asked[0].ends_with(key), "{method} {key}: {asked:?}");
    }
}
