//! What the conformance tests of the distribution specification 1.1 ask, of two replicas in turn, over every store.

use plugin_oci::documents::{Descriptor, media_type};
use plugin_oci::values::digest::{Algorithm, Digest, Hasher};
use serde_json::{Value, json};

use crate::support::client::{Answer, Client, location, with};
use crate::support::server::{Pair, Place};

const NAME: &str = "conformance/repo";
const OTHER: &str = "conformance/other";

fn digest(algorithm: Algorithm, bytes: &[u8]) -> String {
    let mut hasher = Hasher::with(algorithm);
    hasher.update(bytes);
    hasher.finish().to_string()
}

fn sha256(bytes: &[u8]) -> String {
    digest(Algorithm::Sha256, bytes)
}

/// A manifest of a configuration and a layer, both of which it pushes.
fn manifest(client: &Client, name: &str, more: &[(&str, Value)]) -> Vec<u8> {
    let (config, layer) = (format!("{{\"of\": \"{name}\"}}"), b"a layer");
    let descriptor = |media_type: &str, bytes: &[u8]| json!(Descriptor::of(media_type, bytes));
    for bytes in [config.as_bytes(), layer] {
        client.push_blob(name, &sha256(bytes), bytes);
    }
    let mut document = json!({
        "schemaVersion": 2,
        "mediaType": media_type::MANIFEST,
        "config": descriptor(media_type::CONFIG, config.as_bytes()),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
    });
    for (name, value) in more {
        document[name] = value.clone();
    }
    document.to_string().into_bytes()
}

fn path(kind: &str, last: &str) -> String {
    format!("/v2/{NAME}/{kind}/{last}")
}

fn tags_of(answer: &Answer) -> Vec<String> {
    serde_json::from_value(answer.json()["tags"].clone()).unwrap()
}

fn blobs(client: &Client) {
    assert_eq!(client.get("/v2/").is(200).json(), json!({}));
    let bytes = b"0123456789";
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let digest = digest(algorithm, bytes);
        let blob = path("blobs", &digest);
        let wrong = self::digest(algorithm, b"other");
        client.head(&blob).is(404);
        assert_eq!(client.get(&blob).is(404).code(), "BLOB_UNKNOWN");
        // In one request, and in two; what has another digest never is.
        let uploads = format!("/v2/{NAME}/blobs/uploads/");
        let refused = client.send("POST", &with(&uploads, &format!("digest={wrong}")), &[], bytes).is(400);
        assert_eq!(refused.code(), "DIGEST_INVALID");
        let made = client.send("POST", &with(&uploads, &format!("digest={digest}")), &[], bytes).is(201);
        assert_eq!(location(&made), blob);
        client.get(&location(&made)).is(200);
        client.delete(&blob).is(202);
        client.get(&blob).is(404);
        let url = client.begin(NAME);
        client.send("PUT", &url, &[], bytes).is(400);
        client.send("PUT", &with(&url, "digest=sha256:x"), &[], bytes).is(400);
        client.send("PUT", &with(&url, &format!("digest={wrong}")), &[], bytes).is(400);
        client.head(&path("blobs", &wrong)).is(404);
        client.push_blob(NAME, &digest, bytes);
        let head = client.head(&blob).is(200);
        assert_eq!((head.header("Content-Length"), head.header("Docker-Content-Digest")), (Some("10"), Some(digest.as_str())));
        assert_eq!(client.get(&blob).is(200).body, bytes);
        // A stream, then the end.
        let url = client.begin(NAME);
        let sent = client.send("PATCH", &url, &[("Content-Type", "application/octet-stream")], bytes).is(202);
        assert_eq!(sent.header("Range"), Some("0-9"));
        client.send("PUT", &with(&location(&sent), &format!("digest={digest}")), &[], b"").is(201);
    }
    let blob = path("blobs", &sha256(bytes));
    for (range, status, body, content_range) in [
        ("bytes=2-4", 206, &b"234"[..], Some("bytes 2-4/10")),
        ("bytes=7-", 206, b"789", Some("bytes 7-9/10")),
        ("bytes=8-99", 206, b"89", Some("bytes 8-9/10")),
        ("bytes=-3", 206, b"789", Some("bytes 7-9/10")),
        ("bytes=-99", 206, bytes, Some("bytes 0-9/10")),
        ("bytes=4-2", 200, bytes, None),
        ("bytes=0-1,3-4", 200, bytes, None),
        ("pages=1-2", 200, bytes, None),
        ("bytes=10-", 416, b"", Some("bytes */10")),
        ("bytes=10-12", 416, b"", Some("bytes */10")),
    ] {
        let answer = client.send("GET", &blob, &[("Range", range)], b"").is(status);
        assert_eq!(answer.header("Content-Range"), content_range, "{range}");
        assert!(status == 416 || answer.body == body, "{range}");
    }
    let etag = format!("\"{}\"", sha256(bytes));
    client.send("GET", &blob, &[("If-None-Match", &etag)], b"").is(304);
    assert_eq!(client.get(&path("blobs", "sha256:x")).is(400).code(), "DIGEST_INVALID");
    let empty = sha256(b"");
    client.push_blob(NAME, &empty, b"");
    assert!(client.get(&path("blobs", &empty)).is(200).body.is_empty());
}

fn chunks(client: &Client) {
    let bytes: Vec<u8> = (0..30_000_u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
    for (algorithm, hint) in [(Algorithm::Sha256, ""), (Algorithm::Sha512, ""), (Algorithm::Sha512, "?digest-algorithm=sha512")] {
        let digest = digest(algorithm, &bytes);
        let begun = client.send("POST", &format!("/v2/{NAME}/blobs/uploads/{hint}"), &[], b"").is(202);
        assert!(begun.header("OCI-Chunk-Min-Length").is_some());
        let first = location(&begun);
        let chunk = |url: &str, range: std::ops::Range<usize>| {
            let said = format!("{}-{}", range.start, range.end - 1);
            client.send("PATCH", url, &[("Content-Range", &said)], &bytes[range])
        };
        assert_eq!(chunk(&first, 10_000..20_000).status, 416);
        let answer = chunk(&first, 0..10_000).is(202);
        assert_eq!(answer.header("Range"), Some("0-9999"));
        let second = location(&answer);
        let refused = chunk(&second, 0..10_000).is(416);
        assert_eq!(refused.header("Range"), Some("0-9999"));
        let told = client.get(&second).is(204);
        assert_eq!(told.header("Range"), Some("0-9999"));
        let second = location(&told);
        client.send("PATCH", &second, &[("Content-Range", "10000-10005")], b"four").is(400);
        // The same URL twice: two ways, neither of which the other disturbs.
        let other = client.send("PATCH", &second, &[], b"another way").is(202);
        let third = location(&chunk(&second, 10_000..20_000).is(202));
        assert_eq!(other.header("Range"), Some("0-10010"));
        let end = with(&third, &format!("digest={digest}"));
        client.send("PUT", &end, &[("Content-Range", "0-9")], b"0123456789").is(416);
        client.send("PUT", &end, &[("Content-Range", "20000-29999")], b"").is(400);
        let made = client.send("PUT", &end, &[("Content-Range", "20000-29999")], &bytes[20_000..]).is(201);
        assert_eq!(location(&made), path("blobs", &digest));
        assert!(client.get(&location(&made)).is(200).body == bytes);
        assert_eq!(client.send("PUT", &end, &[], &bytes[20_000..]).is(404).code(), "BLOB_UPLOAD_UNKNOWN");
        client.delete(&path("blobs", &digest)).is(202);
    }
    let url = client.begin(NAME);
    let next = location(&client.send("PATCH", &url, &[], b"x").is(202));
    client.delete(&next).is(204);
    for method in ["GET", "PATCH", "DELETE"] {
        client.send(method, &next, &[], b"").is(404);
    }
    // A session is of its repository, and as it was signed.
    let url = client.begin(NAME);
    client.get(&url.replace(NAME, OTHER)).is(404);
    client.get(&format!("{}x", &url)).is(404);
    client.get(&path("blobs/uploads", "nonsense")).is(404);
}

fn mounts(client: &Client) {
    let (bytes, uploads) = (b"to be mounted", format!("/v2/{OTHER}/blobs/uploads/"));
    let digest = sha256(bytes);
    client.push_blob(NAME, &digest, bytes);
    let there = format!("/v2/{OTHER}/blobs/{digest}");
    // What is in one repository is in no other.
    client.get(&there).is(404);
    client.send("POST", &format!("{uploads}?mount={digest}"), &[], b"").is(202);
    client.send("POST", &format!("{uploads}?mount={}&from={NAME}", sha256(b"none")), &[], b"").is(202);
    client.get(&there).is(404);
    let mounted = client.send("POST", &format!("{uploads}?mount={digest}&from={NAME}"), &[], b"").is(201);
    assert_eq!(location(&mounted), there);
    assert_eq!(client.get(&there).is(200).body, bytes);
}

fn manifests(client: &Client) {
    let bytes = manifest(client, NAME, &[]);
    let (digest, long) = (sha256(&bytes), digest(Algorithm::Sha512, &bytes));
    client.head(&path("manifests", "1.0")).is(404);
    assert_eq!(client.get(&path("manifests", &digest)).is(404).code(), "MANIFEST_UNKNOWN");
    let elsewhere = client.push_manifest(OTHER, "1.0", media_type::MANIFEST, &bytes).is(404);
    assert_eq!(elsewhere.code(), "MANIFEST_BLOB_UNKNOWN");
    for _ in 0..2 {
        let pushed = client.push_manifest(NAME, "1.0", media_type::MANIFEST, &bytes).is(201);
        assert_eq!(pushed.header("Docker-Content-Digest"), Some(digest.as_str()));
        assert_eq!(client.get(&location(&pushed)).is(200).body, bytes);
    }
    client.push_manifest(NAME, &long, media_type::MANIFEST, &bytes).is(201);
    assert_eq!(client.push_manifest(NAME, &sha256(b"x"), media_type::MANIFEST, &bytes).is(400).code(), "DIGEST_INVALID");
    for reference in ["1.0", &digest, &long] {
        let wanted = if reference == long { &long } else { &digest };
        for answer in [client.get(&path("manifests", reference)).is(200), client.head(&path("manifests", reference)).is(200)] {
            assert_eq!(answer.header("Docker-Content-Digest"), Some(wanted.as_str()));
            assert_eq!(answer.header("Content-Type"), Some(media_type::MANIFEST));
            assert_eq!(answer.header("Content-Length"), Some(bytes.len().to_string().as_str()));
        }
    }
    for (media_type, wrong) in [
        (media_type::MANIFEST, &b"{"[..]),
        (media_type::INDEX, &bytes),
        ("text/plain", &bytes),
        (media_type::MANIFEST, br#"{"schemaVersion": 1}"#),
    ] {
        assert_eq!(client.push_manifest(NAME, "wrong", media_type, wrong).is(400).code(), "MANIFEST_INVALID");
    }
    assert_eq!(client.push_manifest(NAME, ".wrong", media_type::MANIFEST, &bytes).is(400).code(), "TAG_INVALID");
    client.push_manifest(NAME, "large", media_type::MANIFEST, &vec![b' '; (4 << 20) + 1]).is(413);
    let child = json!({"mediaType": media_type::MANIFEST, "digest": digest, "size": bytes.len()});
    let mut index = json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": [child]});
    client.push_manifest(NAME, "index", media_type::INDEX, index.to_string().as_bytes()).is(201);
    assert_eq!(client.get(&path("manifests", "index")).is(200).header("Content-Type"), Some(media_type::INDEX));
    index["manifests"][0]["digest"] = json!(sha256(b"none"));
    client.push_manifest(NAME, "index", media_type::INDEX, index.to_string().as_bytes()).is(404);
}

fn lists(client: &Client) {
    assert_eq!(client.get("/v2/conformance/none/tags/list").is(404).code(), "NAME_UNKNOWN");
    let bytes = manifest(client, NAME, &[]);
    for tag in ["test3", "test0", "test2", "test1"] {
        client.push_manifest(NAME, tag, media_type::MANIFEST, &bytes).is(201);
    }
    let all = client.get(&path("tags", "list")).is(200);
    assert_eq!(all.json()["name"], NAME);
    assert_eq!(tags_of(&all), ["1.0", "index", "test0", "test1", "test2", "test3"]);
    let mut next = format!("{}?n=4", path("tags", "list"));
    let mut found = Vec::new();
    for size in [4, 2] {
        let page = client.get(&next).is(200);
        let tags = tags_of(&page);
        assert_eq!(tags.len(), size);
        found.extend(tags);
        let link = page.header("Link").map(|link| link.split(['<', '>']).nth(1).unwrap().to_owned());
        assert_eq!(link.is_some(), size == 4);
        next = link.unwrap_or_default();
    }
    assert_eq!(found, tags_of(&all));
    assert!(tags_of(&client.get(&format!("{}?n=0", path("tags", "list"))).is(200)).is_empty());
    assert_eq!(tags_of(&client.get(&format!("{}?n=1&last=test1", path("tags", "list"))).is(200)), ["test2"]);
    client.get(&format!("{}?n=x", path("tags", "list"))).is(400);

    let subject = json!(Descriptor::new(media_type::MANIFEST, sha256(&bytes).parse::<Digest>().unwrap(), bytes.len() as u64));
    let missing = json!(Descriptor::of(media_type::MANIFEST, b"never pushed"));
    let list = |subject: &Value| path("referrers", subject["digest"].as_str().unwrap());
    let entries = |answer: Answer| answer.json()["manifests"].as_array().unwrap().clone();
    for (subject, is_there) in [(&subject, true), (&missing, false)] {
        let none = client.get(&list(subject)).is(200);
        assert_eq!(none.header("Content-Type"), Some(media_type::INDEX));
        assert!(entries(none).is_empty());
        for kind in ["a/1", "a/2"] {
            let more = [("artifactType", json!(kind)), ("subject", subject.clone()), ("annotations", json!({"of": kind}))];
            let referrer = manifest(client, NAME, &more);
            let digest = sha256(&referrer);
            let pushed = client.push_manifest(NAME, &digest, media_type::MANIFEST, &referrer).is(201);
            assert_eq!(pushed.header("OCI-Subject"), subject["digest"].as_str());
        }
        let index = json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": [], "artifactType": "a/3",
            "subject": subject});
        let index = index.to_string();
        client.push_manifest(NAME, &sha256(index.as_bytes()), media_type::INDEX, index.as_bytes()).is(201);
        assert_eq!(entries(client.get(&list(subject)).is(200)).len(), 3);
        let filtered = client.get(&format!("{}?artifactType=a%2F2", list(subject))).is(200);
        assert_eq!(filtered.header("OCI-Filters-Applied"), Some("artifactType"));
        let filtered = entries(filtered);
        assert!(filtered.len() == 1 && filtered[0]["annotations"] == json!({"of": "a/2"}), "{filtered:?}");
        client.delete(&path("manifests", filtered[0]["digest"].as_str().unwrap())).is(202);
        assert_eq!(entries(client.get(&list(subject)).is(200)).len(), 2);
        assert_eq!(client.head(&path("manifests", subject["digest"].as_str().unwrap())).status == 200, is_there);
    }
    client.get(&path("referrers", "sha256:x")).is(400);
}

fn removal(client: &Client) {
    client.delete(&path("manifests", "test3")).is(202);
    client.get(&path("manifests", "test3")).is(404);
    client.delete(&path("manifests", "test3")).is(404);
    let digest = client.head(&path("manifests", "test0")).is(200).header("Docker-Content-Digest").unwrap().to_owned();
    client.get(&path("manifests", &digest)).is(200);
    client.delete(&path("manifests", &digest)).is(202);
    client.get(&path("manifests", &digest)).is(404);
    client.delete(&path("manifests", &digest)).is(404);
    // And every tag of it.
    assert_eq!(tags_of(&client.get(&path("tags", "list")).is(200)), ["index"]);
    client.head(&path("manifests", "test0")).is(404);
    let blob = path("blobs", &sha256(b"a layer"));
    client.delete(&blob).is(202);
    client.head(&blob).is(404);
    client.delete(&blob).is(404);
    client.send("PUT", &path("tags", "list"), &[], b"").is(405);
}

fn conforms(place: Option<Place>) {
    let Some(place) = place else { return };
    let pair = Pair::of(&place, &[]);
    for part in [blobs, chunks, mounts, manifests, lists, removal] {
        part(&pair.client);
    }
}

#[test]
fn a_directory_conforms() {
    conforms(Some(Place::directory()));
}

#[test]
#[ignore = "needs SeaweedFS"]
fn seaweedfs_conforms() {
    conforms(Place::seaweed());
}

#[test]
#[ignore = "needs moto"]
fn moto_conforms() {
    conforms(Place::moto());
}

#[test]
#[ignore = "needs npm"]
fn azure_conforms() {
    conforms(Place::azurite());
}
