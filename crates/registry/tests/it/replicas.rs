//! Several replicas of one registry, and many clients of them.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Barrier;

use plugin_oci::documents::{Descriptor, media_type};
use plugin_oci::values::digest::{Algorithm, Digest, Hasher};
use serde_json::json;

use crate::support::client::{Client, location, with};
use crate::support::server::{Pair, Place};

/// A chunk of a blob in which no piece is like another.
fn chunk(number: usize, length: usize) -> Vec<u8> {
    let mut chunk = vec![0; length];
    for (place, piece) in chunk.chunks_exact_mut(1 << 10).enumerate() {
        piece[..8].copy_from_slice(&(number * length + place).to_le_bytes());
    }
    chunk
}

/// Pushes chunks, of each of which the replica that gets it sees the half and is killed. All together they are nowhere held.
fn survives(place: Option<Place>, chunks: usize, length: usize) {
    let Some(place) = place else { return };
    let mut hasher = Hasher::with(Algorithm::Sha256);
    let mut server = place.serve(&[]);
    let mut url = Client::new(vec![server.host.clone()]).begin("big");
    for number in 0..chunks {
        let chunk = chunk(number, length);
        hasher.update(&chunk);
        let mut stream = TcpStream::connect(&server.host).unwrap();
        let head = format!("PATCH {url} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&chunk[..length / 2]).unwrap();
        // Killed, where it is.
        drop(std::mem::replace(&mut server, place.serve(&[])));
        let client = Client::new(vec![server.host.clone()]);
        // Nothing but this chunk goes again.
        let told = client.get(&url).is(204);
        assert_eq!(told.header("Range").unwrap(), format!("0-{}", (number * length).saturating_sub(1)));
        let range = format!("{}-{}", number * length, (number + 1) * length - 1);
        url = location(&client.send("PATCH", &url, &[("Content-Range", &range)], &chunk).is(202));
    }
    let digest = hasher.finish();
    let client = Client::new(vec![server.host.clone()]);
    client.send("PUT", &with(&url, &format!("digest={digest}")), &[], b"").is(201);
    assert_eq!(client.digest(&format!("/v2/big/blobs/{digest}")), digest);
}

#[test]
fn an_upload_survives_the_death_of_a_replica_at_every_chunk() {
    survives(Some(Place::directory()), 12, 256 << 10);
}

#[test]
#[ignore = "needs much time"]
fn so_does_one_of_a_gibibyte() {
    survives(Some(Place::directory()), 64, 16 << 20);
}

#[test]
#[ignore = "needs SeaweedFS"]
fn so_it_does_in_seaweedfs() {
    survives(Place::seaweed(), 64, 16 << 20);
}

/// Several create a tag at the same time, each with a manifest of its own.
fn creates(place: Option<Place>, rounds: usize) {
    const CREATORS: usize = 16;
    let Some(place) = place else { return };
    let pair = Pair::of(&place, &["--immutable", "fixed-*"]);
    let client = &pair.client;
    let config = Descriptor::of(media_type::CONFIG, b"{}");
    client.push_blob("race", &config.digest.to_string(), b"{}");
    let manifests: Vec<String> = (0..CREATORS)
        .map(|number| {
            let layers: [Descriptor; 0] = [];
            json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": layers,
                "annotations": {"of": number.to_string()}})
            .to_string()
        })
        .collect();
    for (kind, headers, lost) in [("fixed", &[][..], 409), ("free", &[("If-None-Match", "*")][..], 412)] {
        for round in 0..rounds {
            let (path, barrier) = (format!("/v2/race/manifests/{kind}-{round}"), Barrier::new(CREATORS));
            let statuses: Vec<u16> = std::thread::scope(|scope| {
                let (path, barrier) = (&path, &barrier);
                let creators = manifests.iter().map(|manifest| {
                    scope.spawn(move || {
                        let all = [&[("Content-Type", media_type::MANIFEST)], headers].concat();
                        barrier.wait();
                        client.send("PUT", path, &all, manifest.as_bytes()).status
                    })
                });
                let creators: Vec<_> = creators.collect();
                creators.into_iter().map(|creator| creator.join().unwrap()).collect()
            });
            assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{kind}: {statuses:?}");
            assert!(statuses.iter().all(|status| *status == 201 || *status == lost), "{kind}: {statuses:?}");
            let winner = statuses.iter().position(|status| *status == 201).unwrap();
            let there = client.get(&path).is(200);
            assert_eq!(there.body, manifests[winner].as_bytes());
            if round > 0 {
                continue;
            }
            // To move it one has to know where it is.
            let other = manifests[(winner + 1) % CREATORS].as_bytes();
            let moved = |etag: &str| {
                let all = [("Content-Type", media_type::MANIFEST), ("If-Match", etag)];
                client.send("PUT", &path, &all, other).status
            };
            assert_eq!(moved(&format!("\"{}\"", Digest::of(other))), 412);
            assert_eq!(moved(there.header("ETag").unwrap()), if kind == "fixed" { 409 } else { 201 });
            assert_eq!(client.delete(&path).status, if kind == "fixed" { 409 } else { 202 });
        }
    }
    let tags = client.get("/v2/race/tags/list").is(200).json()["tags"].as_array().unwrap().len();
    assert_eq!(tags, 2 * rounds - 1);
}

/// How often each of the two ways is tried: fifty tags in all.
const ROUNDS: usize = 25;

#[test]
fn of_those_who_create_a_tag_at_once_one_does() {
    creates(Some(Place::directory()), ROUNDS);
}

#[test]
#[ignore = "needs SeaweedFS"]
fn of_those_who_create_a_tag_in_seaweedfs_one_does() {
    creates(Place::seaweed(), ROUNDS);
}

#[test]
#[ignore = "needs moto"]
fn of_those_who_create_a_tag_in_moto_one_does() {
    creates(Place::moto(), ROUNDS);
}

/// What changes a list at the same time loses nothing.
#[test]
fn tags_and_referrers_that_come_and_go_at_once_are_listed_as_they_are() {
    let place = Place::directory();
    let pair = Pair::of(&place, &[]);
    let client = &pair.client;
    let config = Descriptor::of(media_type::CONFIG, b"{}");
    client.push_blob("many", &config.digest.to_string(), b"{}");
    let subject = Descriptor::of(media_type::MANIFEST, b"somewhere");
    std::thread::scope(|scope| {
        for number in 0..12 {
            let (config, subject) = (&config, &subject);
            scope.spawn(move || {
                let layers: [Descriptor; 0] = [];
                let manifest = json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config,
                    "layers": layers, "subject": subject, "annotations": {"of": number.to_string()}});
                let manifest = manifest.to_string();
                for _ in 0..3 {
                    client.push_manifest("many", &format!("t{number}"), media_type::MANIFEST, manifest.as_bytes()).is(201);
                    if number % 2 == 0 {
                        client.delete(&format!("/v2/many/manifests/{}", Digest::of(manifest.as_bytes()))).is(202);
                    }
                }
            });
        }
    });
    let tags = client.get("/v2/many/tags/list").is(200).json()["tags"].clone();
    assert_eq!(tags, json!(["t1", "t11", "t3", "t5", "t7", "t9"]));
    let referrers = client.get(&format!("/v2/many/referrers/{}", subject.digest)).is(200).json();
    assert_eq!(referrers["manifests"].as_array().unwrap().len(), 6);
}
