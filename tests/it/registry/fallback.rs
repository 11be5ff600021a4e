//! Referrers by tag, where other clients write the same lists.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use plugin_oci::documents::media_type;
use plugin_oci::values::digest::Digest;
use serde_json::{Value, json};

use super::{client, push};
use crate::support::http_server::{Answer, Reply, Request};
use crate::support::memory_registry::{Memory, MemoryRegistry, Quirks};
use crate::support::sample::Sample;

/// A registry without the referrers API, and with a script.
fn by_tag(script: impl Fn(&Request, &Memory) -> Option<Answer> + Send + Sync + 'static) -> MemoryRegistry {
    MemoryRegistry::scripted(Quirks { no_referrers: true, ..Quirks::default() }, script)
}

/// Puts a document under the tag that lists what refers to the sample.
fn put_list(registry: &MemoryRegistry, sample: &Sample, media_type: &str, document: &Value) -> String {
    let tag = sample.root().digest.to_string().replace(':', "-");
    let request = Request {
        method: "PUT".to_owned(),
        path: format!("/v2/r/manifests/{tag}"),
        query: BTreeMap::new(),
        headers: [("content-type".to_owned(), media_type.to_owned())].into(),
        body: document.to_string().into_bytes(),
    };
    registry.memory.honest(&request);
    tag
}

/// The document under a tag.
fn document(registry: &MemoryRegistry, tag: &str) -> Value {
    let (query, headers) = (BTreeMap::new(), BTreeMap::new());
    let path = format!("/v2/r/manifests/{tag}");
    let request = Request { method: "GET".to_owned(), path, query, headers, body: Vec::new() };
    let Answer::Reply(reply) = registry.memory.honest(&request) else { panic!("no answer") };
    serde_json::from_slice(&reply.body).unwrap()
}

#[test]
fn what_others_have_listed_by_tag_stays_as_it_is() {
    let sample = Sample::image("others", 100).with_referrer();
    let registry = by_tag(|_, _| None);
    let foreign = [
        json!({
            "mediaType": media_type::MANIFEST, "digest": Digest::of(b"{}"), "size": 2, "data": "e30=", "urls": ["https://a.test/"],
            "platform": {"os": "windows", "architecture": "amd64", "os.version": "10.0.1"}, "x-theirs": [1],
        }),
        json!({"mediaType": media_type::MANIFEST, "digest": "blake3:00", "size": 1}),
    ];
    let list = json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": foreign, "x-more": {"a": true}});
    let tag = put_list(&registry, &sample, media_type::INDEX, &list);
    push(&client(), &sample, &registry.repository("r")).unwrap();
    let found = document(&registry, &tag);
    let entries = found["manifests"].as_array().unwrap();
    assert_eq!(entries.len(), 3, "{found}");
    assert_eq!(entries[..2], foreign);
    assert_eq!(found["x-more"], list["x-more"]);
}

/// distribution-spec 1.1, "Pushing Manifests with Subject".
#[test]
fn what_is_no_list_at_the_tag_for_lists_is_not_overwritten() {
    let sample = Sample::image("nolist", 100).with_referrer();
    let registry = by_tag(|_, _| None);
    let image = json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": {}, "layers": []});
    let tag = put_list(&registry, &sample, media_type::MANIFEST, &image);
    let error = push(&client(), &sample, &registry.repository("r")).unwrap_err();
    assert!(error.to_string().contains("no image index"), "{error}");
    assert_eq!(document(&registry, &tag), image);
    assert!(registry.memory.tag("r", "1.0").is_none(), "tags come last");
}

#[test]
fn a_list_that_does_not_keep_what_is_written_is_no_success() {
    let sample = Sample::image("lost", 100).with_referrer();
    let lost = Arc::new(AtomicUsize::new(0));
    for times in [2, usize::MAX] {
        lost.store(0, Ordering::SeqCst);
        let count = lost.clone();
        // As if another client wrote its own list right after each of ours.
        let registry = by_tag(move |request, _| {
            let ours = request.is("PUT", "/manifests/sha256-") && count.fetch_add(1, Ordering::SeqCst) < times;
            ours.then(|| Reply::new(201).into())
        });
        let outcome = push(&client(), &sample, &registry.repository("r"));
        assert_eq!(outcome.is_ok(), times == 2, "{outcome:?}");
        assert!(lost.load(Ordering::SeqCst) <= 5);
    }
}
