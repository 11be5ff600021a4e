//! A store that fails, at every request in turn.

use std::process::Stdio;

use plugin_oci::documents::{Descriptor, media_type};
use plugin_oci::values::digest::Digest;
use serde_json::json;

use crate::support::client::Client;
use crate::support::memory_bucket::{BUCKET, Fault, MemoryBucket};
use crate::support::server::{Place, Server};

/// Pushes an image with its subject, and removes another tag; the statuses.
fn work(client: &Client) -> Vec<u16> {
    let (config, layers): (_, [Descriptor; 0]) = (Descriptor::of(media_type::CONFIG, b"{}"), []);
    let subject = Descriptor::of(media_type::MANIFEST, b"somewhere");
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": layers,
        "subject": subject})
    .to_string();
    let upload = format!("/v2/a/blobs/uploads/?digest={}", config.digest);
    let mut statuses = vec![client.send("POST", &upload, &[], b"{}").status];
    for tag in ["1.0", "2.0"] {
        statuses.push(client.push_manifest("a", tag, media_type::MANIFEST, manifest.as_bytes()).status);
    }
    statuses.push(client.delete("/v2/a/manifests/2.0").status);
    let pulled = client.get("/v2/a/manifests/1.0");
    assert!(pulled.status != 200 || Digest::of(&pulled.body) == Digest::of(manifest.as_bytes()));
    statuses.push(pulled.status);
    statuses
}

#[test]
fn whatever_request_of_the_store_fails_no_half_is_seen_and_the_next_push_mends_it() {
    let place = Place::directory();
    for fault in [Fault::Refused, Fault::Lost] {
        for number in 1.. {
            let store = MemoryBucket::start();
            let mut command = place.alone("serve");
            let server = Server::start(command.arg(format!("s3://{BUCKET}")).envs(store.environment()).stderr(Stdio::null()));
            let client = Client::new(vec![server.host.clone()]);
            store.bucket.fail_at(number, fault);
            let statuses = work(&client);
            store.bucket.check();
            let is_whole = statuses == [201, 201, 201, 202, 200];
            let known = |status: &u16| [200, 201, 202, 404, 503].contains(status);
            assert!(statuses.iter().all(known), "{fault:?} at {number}: {statuses:?}");
            assert!(is_whole || fault == Fault::Refused, "{fault:?} at {number}: {statuses:?}");
            let count = store.bucket.take_requests().len();
            store.bucket.fail_at(usize::MAX, fault);
            assert_eq!(work(&client), [201, 201, 201, 202, 200], "{fault:?} at {number}");
            store.bucket.check();
            if number > count {
                assert!(is_whole && number > 20);
                break;
            }
        }
    }
}
