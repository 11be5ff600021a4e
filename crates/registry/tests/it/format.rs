//! The objects are those of a published bucket: others serve them as they are.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use plugin_oci::documents::{Descriptor, media_type};
use plugin_oci::values::digest::Digest;
use serde_json::json;

use crate::support::server::{Pair, Place};

fn files(dir: &Path, below: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for name in plugin_oci::fs::sorted_listing(below).unwrap() {
        let path = below.join(name);
        if path.is_dir() {
            files(dir, &path, found);
        } else {
            found.insert(path.strip_prefix(dir).unwrap().display().to_string(), fs::read(&path).unwrap());
        }
    }
}

#[test]
fn what_is_pushed_lies_where_a_web_server_finds_it() {
    let place = Place::directory();
    let client = Pair::of(&place, &[]);
    let (client, _servers) = (client.client, client.servers);
    let config = Descriptor::of(media_type::CONFIG, b"{}");
    client.push_blob("team/greeter", &config.digest.to_string(), b"{}");
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": []}).to_string();
    let digest = Digest::of(manifest.as_bytes());
    client.push_manifest("team/greeter", "1.0", media_type::MANIFEST, manifest.as_bytes()).is(201);
    let mut found = BTreeMap::new();
    files(place.objects(), place.objects(), &mut found);
    let empty = json!({"manifests": [], "mediaType": media_type::INDEX, "schemaVersion": 2}).to_string();
    let wanted = [
        ("v2/index.html".to_owned(), "{}"),
        (format!("v2/team/greeter/blobs/{}", config.digest), "{}"),
        (format!("v2/team/greeter/manifests/{digest}"), manifest.as_str()),
        ("v2/team/greeter/manifests/1.0".to_owned(), &manifest),
        (format!("_r/types/v2/team/greeter/manifests/{digest}.manifest"), &manifest),
        ("_r/types/v2/team/greeter/manifests/1.0.manifest".to_owned(), &manifest),
        (format!("v2/team/greeter/referrers/{digest}"), &empty),
        ("v2/team/greeter/tags/list".to_owned(), r#"{"name":"team/greeter","tags":["1.0"]}"#),
    ];
    found.retain(|key, _| key != "_r/lock" && !key.starts_with("_r/leases/serve-"));
    let wanted = wanted.map(|(key, text)| (key, text.as_bytes().to_vec()));
    assert!(found == BTreeMap::from(wanted), "{:?}", found.keys());
}
