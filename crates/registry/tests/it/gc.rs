//! Removal of what nothing reaches, beside those who push.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use plugin_oci::documents::{Descriptor, media_type};
use plugin_oci::values::digest::Digest;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::program::wait_until;
use crate::support::server::{Pair, Place};
use crate::support::tools::stdout;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A manifest of blobs, the first of which is its configuration.
fn manifest(blobs: &[&str], more: &[(&str, Value)]) -> Vec<u8> {
    let descriptor = |media_type: &str, text: &str| json!(Descriptor::of(media_type, text.as_bytes()));
    let layers: Vec<Value> = blobs[1..].iter().map(|text| descriptor(LAYER, text)).collect();
    let mut document = json!({
        "schemaVersion": 2,
        "mediaType": media_type::MANIFEST,
        "config": descriptor(media_type::CONFIG, blobs[0]),
        "layers": layers,
    });
    for (name, value) in more {
        document[name] = value.clone();
    }
    document.to_string().into_bytes()
}

fn push_blobs(client: &Client, name: &str, blobs: &[&str]) {
    for text in blobs {
        client.push_blob(name, &Digest::of(text.as_bytes()).to_string(), text.as_bytes());
    }
}

/// Runs it; what it tells.
fn collect(place: &Place, flags: &[&str]) -> Vec<String> {
    stdout(place.command("gc").args(flags)).lines().map(str::to_owned).collect()
}

fn count(told: &[String], what: &str) -> usize {
    told.iter().filter(|line| line.starts_with(what)).count()
}

const AT_ONCE: &[&str] = &["--wait", "0s"];

fn is_collected(place: Option<Place>) {
    let Some(place) = place else { return };
    let pair = Pair::of(&place, &[]);
    let client = &pair.client;
    let blobs = ["{\"a\": 1}", "layer one", "layer two"];
    push_blobs(client, "a/b", &blobs);
    let image = manifest(&blobs, &[]);
    let digest = Digest::of(&image);
    client.push_manifest("a/b", "1.0", media_type::MANIFEST, &image).is(201);
    let subject = json!(Descriptor::of(media_type::MANIFEST, &image));
    push_blobs(client, "a/b", &["{}", "signature"]);
    let signature = manifest(&["{}", "signature"], &[("subject", subject)]);
    let signed = Digest::of(&signature);
    client.push_manifest("a/b", &signed.to_string(), media_type::MANIFEST, &signature).is(201);
    push_blobs(client, "a/b", &["of nobody"]);

    // What a tag reaches stays, with what refers to it; and what is young stays.
    assert_eq!(collect(&place, &[]), Vec::<String>::new());
    let told = collect(&place, AT_ONCE);
    assert!(told.len() == 1 && told[0].starts_with("condemned v2/a/b/blobs/"), "{told:?}");
    let stray = format!("/v2/a/b/blobs/{}", Digest::of(b"of nobody"));
    client.head(&stray).is(404);
    client.send("POST", &format!("/v2/c/blobs/uploads/?mount={}&from=a/b", Digest::of(b"of nobody")), &[], b"").is(202);
    assert_eq!(client.get(&stray).is(200).body, b"of nobody");
    // Whoever sends it again has it.
    push_blobs(client, "a/b", &["of nobody"]);
    client.head(&stray).is(200);
    assert_eq!(count(&collect(&place, &["--wait", "1h"]), "removed"), 0);
    client.get(&stray).is(200);

    client.delete("/v2/a/b/manifests/1.0").is(202);
    assert_eq!(count(&collect(&place, AT_ONCE), "condemned"), 8);
    client.head(&format!("/v2/a/b/manifests/{digest}")).is(404);
    let told = collect(&place, &["--wait", "0s", "--dry-run"]);
    assert_eq!((count(&told, "removed"), told.len()), (8, 8));
    // A manifest that comes back brings all that it reaches, signatures too.
    client.push_manifest("a/b", "2.0", media_type::MANIFEST, &image).is(201);
    let told = collect(&place, AT_ONCE);
    assert_eq!((count(&told, "removed"), told.len()), (1, 1), "{told:?}");
    for text in blobs.iter().chain(&["{}", "signature"]) {
        client.head(&format!("/v2/a/b/blobs/{}", Digest::of(text.as_bytes()))).is(200);
    }
    let referrers = client.get(&format!("/v2/a/b/referrers/{digest}")).is(200).json();
    assert_eq!(referrers["manifests"][0]["digest"], signed.to_string());

    client.delete("/v2/a/b/manifests/2.0").is(202);
    collect(&place, AT_ONCE);
    assert_eq!(count(&collect(&place, AT_ONCE), "removed"), 7);
    assert_eq!(collect(&place, AT_ONCE), Vec::<String>::new());
    client.get(&format!("/v2/a/b/manifests/{digest}")).is(404);
    client.push_manifest("a/b", "3.0", media_type::MANIFEST, &image).is(404);
}

#[test]
fn what_nothing_reaches_is_condemned_and_then_removed() {
    is_collected(Some(Place::directory()));
}

#[test]
#[ignore = "needs SeaweedFS"]
fn so_it_is_in_seaweedfs() {
    is_collected(Place::seaweed());
}

#[test]
#[ignore = "needs moto"]
fn so_it_is_in_moto() {
    is_collected(Place::moto());
}

/// The tag under which cosign looks for the signatures of a digest.
fn signatures(of: &Digest) -> String {
    format!("sha256-{}.sig", of.hex())
}

#[test]
fn the_tag_of_what_is_attached_to_an_image_goes_with_it() {
    let place = Place::directory();
    let pair = Pair::of(&place, &[]);
    let client = &pair.client;
    push_blobs(client, "a", &["{}", "layer", "{\"signs\": 1}", "signature", "{\"signs\": 2}"]);
    let image = manifest(&["{}", "layer"], &[]);
    let signature = manifest(&["{\"signs\": 1}", "signature"], &[]);
    // A signature may be signed itself.
    let second = manifest(&["{\"signs\": 2}", "signature"], &[]);
    let (first_tag, second_tag) = (signatures(&Digest::of(&image)), signatures(&Digest::of(&signature)));
    let sign = || {
        for (tag, bytes) in [(&first_tag, &signature), (&second_tag, &second)] {
            client.push_manifest("a", tag, media_type::MANIFEST, bytes).is(201);
        }
    };
    client.push_manifest("a", "1.0", media_type::MANIFEST, &image).is(201);
    sign();
    assert_eq!(collect(&place, AT_ONCE), Vec::<String>::new());

    client.delete("/v2/a/manifests/1.0").is(202);
    // What is young stays, whatever it is attached to.
    assert_eq!(collect(&place, &["--wait", "1h"]), Vec::<String>::new());
    assert_eq!(count(&collect(&place, AT_ONCE), "condemned"), 10);
    // The image comes back, and with it what is attached to it.
    client.push_manifest("a", "2.0", media_type::MANIFEST, &image).is(201);
    assert_eq!(collect(&place, AT_ONCE), Vec::<String>::new());
    client.get(&format!("/v2/a/manifests/{second_tag}")).is(200);

    client.delete("/v2/a/manifests/2.0").is(202);
    assert_eq!(count(&collect(&place, AT_ONCE), "condemned"), 10);
    // Whoever signs meanwhile has what was signed, for a while.
    sign();
    assert_eq!(count(&collect(&place, &["--wait", "1h"]), "removed"), 0);
    client.get(&format!("/v2/a/blobs/{}", Digest::of(b"signature"))).is(200);
    collect(&place, AT_ONCE);
    wait_until("all of it is gone", || {
        collect(&place, AT_ONCE);
        plugin_oci::fs::sorted_listing(&place.objects().join("v2/a/blobs")).is_ok_and(|left| left.is_empty())
    });
    for tag in [&first_tag, &second_tag] {
        client.get(&format!("/v2/a/manifests/{tag}")).is(404);
    }
    assert_eq!(client.get("/v2/a/tags/list").is(200).json()["tags"], json!([]));
}

/// Some push images that share blobs, and remove them again, while it runs without a pause.
fn beside(place: Option<Place>, pushes: usize) {
    let Some(place) = place else { return };
    let pair = Pair::of(&place, &[]);
    let (client, done, next, sent_again) = (&pair.client, AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let (done, next, sent_again) = (&done, &next, &sent_again);
    std::thread::scope(|scope| {
        let collector = scope.spawn(|| {
            let mut removed = 0;
            while !done.load(Ordering::Relaxed) {
                removed += count(&collect(&place, &["--wait", "1s"]), "removed");
            }
            removed
        });
        let pushers: Vec<_> = (0..8)
            .map(|pusher: usize| {
                scope.spawn(move || {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= pushes {
                            return;
                        }
                        let own = format!("{{\"of\": {number}}}");
                        let shared = format!("shared {}", number % 7);
                        let image = manifest(&[&own, &shared], &[]);
                        let tag = format!("t{pusher}");
                        loop {
                            for text in [&own, &shared] {
                                let digest = Digest::of(text.as_bytes()).to_string();
                                if client.head(&format!("/v2/p/blobs/{digest}")).status == 404 {
                                    client.push_blob("p", &digest, text.as_bytes());
                                }
                            }
                            match client.push_manifest("p", &tag, media_type::MANIFEST, &image).status {
                                201 => break,
                                // Removed since it was seen.
                                404 => sent_again.fetch_add(1, Ordering::Relaxed),
                                other => panic!("{other}"),
                            };
                        }
                        for text in [&own, &shared] {
                            client.get(&format!("/v2/p/blobs/{}", Digest::of(text.as_bytes()))).is(200);
                        }
                        client.get(&format!("/v2/p/manifests/{}", Digest::of(&image))).is(200);
                        if number % 3 == 0 {
                            client.delete(&format!("/v2/p/manifests/{tag}")).is(202);
                        }
                    }
                })
            })
            .collect();
        for pusher in pushers {
            pusher.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        let removed = collector.join().unwrap();
        eprintln!("{removed} removed meanwhile, {} sent again", sent_again.load(Ordering::Relaxed));
    });
    let tags = client.get("/v2/p/tags/list").is(200).json()["tags"].clone();
    let tags: Vec<String> = serde_json::from_value(tags).unwrap();
    let mut named = BTreeSet::new();
    for tag in &tags {
        let image = client.get(&format!("/v2/p/manifests/{tag}")).is(200);
        let image = image.json();
        for descriptor in image["layers"].as_array().unwrap().iter().chain([&image["config"]]) {
            let digest = descriptor["digest"].as_str().unwrap().to_owned();
            client.get(&format!("/v2/p/blobs/{digest}")).is(200);
            named.insert(digest);
        }
    }
    // A bucket's objects are out of sight here.
    let blobs = place.objects().join("v2/p/blobs");
    wait_until("what nothing reaches is gone", || {
        collect(&place, &["--wait", "1s"]);
        plugin_oci::fs::sorted_listing(&blobs).map_or(true, |left| left.len() == named.len())
    });
}

#[test]
fn pushes_beside_it_lack_nothing() {
    beside(Some(Place::directory()), 150);
}

#[test]
#[ignore = "needs much time"]
fn a_thousand_pushes_beside_it_lack_nothing() {
    beside(Some(Place::directory()), 1000);
}

#[test]
#[ignore = "needs SeaweedFS"]
fn pushes_to_seaweedfs_beside_it_lack_nothing() {
    beside(Place::seaweed(), 300);
}

#[test]
fn lists_are_made_anew_from_what_is_there() {
    let place = Place::directory();
    let pair = Pair::of(&place, &[]);
    let client = &pair.client;
    let blobs = ["{}", "layer"];
    push_blobs(client, "a/b", &blobs);
    let image = manifest(&blobs, &[]);
    client.push_manifest("a/b", "1.0", media_type::MANIFEST, &image).is(201);
    let subject = json!(Descriptor::of(media_type::MANIFEST, &image));
    let referrer = manifest(&blobs, &[("subject", subject), ("artifactType", json!("a/b"))]);
    client.push_manifest("a/b", "2.0", media_type::MANIFEST, &referrer).is(201);
    let run = || stdout(&mut place.command("rebuild"));
    assert_eq!(run(), "");
    let (tags, referrers) = ("v2/a/b/tags/list".to_owned(), format!("v2/a/b/referrers/{}", Digest::of(&image)));
    let read = |key: &str| fs::read(place.objects().join(key)).unwrap();
    let before = [read(&tags), read(&referrers)];
    let more = String::from_utf8(before[0].clone()).unwrap().replace("1.0", "none");
    for broken in [Some("{"), Some(r#"{"name":"a/b","tags":[]}"#), Some(&more), None] {
        for (key, number) in [(&tags, 0), (&referrers, 1)] {
            let path = place.objects().join(key);
            let index = r#"{"manifests":[],"mediaType":"application/vnd.oci.image.index.v1+json","schemaVersion":2}"#;
            match broken {
                Some(text) if number == 0 || text == "{" => fs::write(path, text).unwrap(),
                Some(_) => fs::write(path, index).unwrap(),
                None => fs::remove_file(path).unwrap(),
            }
        }
        let told = run();
        assert!(told.contains(&tags) && told.contains(&referrers), "{told}");
        assert!([read(&tags), read(&referrers)] == before);
    }
}

#[test]
fn uploads_that_nobody_goes_on_with_expire() {
    let place = Place::directory();
    let pair = Pair::of(&place, &[]);
    let url = pair.client.begin("a");
    pair.client.send("PATCH", &url, &[], b"abandoned").is(202);
    let uploads = place.objects().join("_r/up");
    let folder = || plugin_oci::fs::sorted_listing(&uploads).unwrap();
    let [upload] = &folder()[..] else { panic!("one upload") };
    assert_eq!(collect(&place, AT_ONCE), Vec::<String>::new());
    let part = uploads.join(upload).join(&plugin_oci::fs::sorted_listing(&uploads.join(upload)).unwrap()[0]);
    #[expect(clippy::disallowed_methods, reason = "an old file is wanted")]
    let old = SystemTime::now() - Duration::from_hours(30);
    fs::File::options().write(true).open(part).unwrap().set_modified(old).unwrap();
    assert_eq!(count(&collect(&place, AT_ONCE), "expired"), 1);
    assert!(folder().is_empty());
}
