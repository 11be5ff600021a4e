//! What does not grow with what is kept, nor with what passes through.

use std::fs;

use plugin_oci::documents::{Descriptor, media_type};
use plugin_oci::values::digest::Digest;
use serde_json::json;

use crate::support::client::Client;
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
