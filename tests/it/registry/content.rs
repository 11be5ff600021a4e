//! Registries whose content is not what it should be, or has no end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use plugin_oci::documents::media_type;
use plugin_oci::stores::Source;
use plugin_oci::stores::registry::Repository;
use plugin_oci::values::digest::Digest;
use serde_json::json;

use super::evil::{big, with_content};
use super::{client, pull, push};
use crate::support::http_server::{Answer, Reply, Request};
use crate::support::memory_registry::{Memory, MemoryRegistry, Quirks};
use crate::support::program::{plugin_build, ran};
use crate::support::sample::Sample;

#[test]
fn content_that_is_wrong_short_or_long_is_refused() {
    type Bend = fn(Vec<u8>) -> Vec<u8>;
    let bends: [Bend; 3] = [
        |mut bytes| {
            bytes[0] ^= 1;
            bytes
        },
        |mut bytes| {
            bytes.pop();
            bytes
        },
        |mut bytes| {
            bytes.push(b'x');
            bytes
        },
    ];
    for kind in ["/blobs/", "/manifests/"] {
        for bend in bends {
            let registry = with_content(&big(), move |request, memory| {
                if !request.is("GET", kind) {
                    return None;
                }
                let Answer::Reply(mut reply) = memory.honest(request) else { return None };
                if reply.body.is_empty() {
                    return None;
                }
                reply.body = bend(reply.body);
                reply.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-length"));
                Some(reply.into())
            });
            let error = pull(&client(), &registry.repository("r")).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("corrupt") || text.contains("says its content is"), "{kind}: {text}");
        }
    }
}

#[test]
fn a_manifest_without_end_is_cut_off() {
    for head in
        ["HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n{", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{"]
    {
        let registry = MemoryRegistry::scripted(Quirks::default(), move |_, _| Some(Answer::Endless(head.as_bytes().to_vec())));
        let error = pull(&client(), &registry.repository("r")).unwrap_err();
        assert!(error.to_string().contains("more than the 4194304 bytes"), "{error}");
    }
}

#[test]
fn a_header_without_end_is_cut_off() {
    let registry = MemoryRegistry::scripted(Quirks::default(), |_, _| Some(Answer::Endless(b"HTTP/1.1 200 OK\r\nX: ".to_vec())));
    assert!(pull(&client(), &registry.repository("r")).is_err());
}

#[test]
fn another_digest_than_was_asked_or_sent_is_refused() {
    for (methods, kind) in
        [("GET", "/manifests/"), ("GET", "/blobs/"), ("HEAD", "/blobs/"), ("PUT", "/uploads/"), ("PUT", "/manifests/")]
    {
        let bend = move |request: &Request, memory: &Memory| {
            if !request.is(methods, kind) {
                return None;
            }
            let Answer::Reply(reply) = memory.honest(request) else { return None };
            let mut reply = if reply.status == 404 && methods == "HEAD" { Reply::new(200) } else { reply };
            reply.headers.retain(|(name, _)| name != "Docker-Content-Digest");
            Some(reply.header("Docker-Content-Digest", Digest::of(b"another").to_string()).into())
        };
        let error = if methods == "GET" {
            pull(&client(), &with_content(&big(), bend).repository("r")).map(drop)
        } else {
            push(&client(), &big(), &MemoryRegistry::scripted(Quirks::default(), bend).repository("r")).map(drop)
        };
        let text = error.unwrap_err().to_string();
        assert!(text.contains("says its content is") || text.contains("corrupt"), "{methods} {kind}: {text}");
    }
}

#[test]
fn an_index_of_endless_manifests_is_not_held_in_memory() {
    // Twelve manifests of four megabytes each, all of them honest about size and digest.
    let registry = MemoryRegistry::honest();
    let client = client();
    let at = registry.repository("fat");
    let sink = Repository::new(&client, &at).writing();
    let mut manifests = Vec::new();
    for number in 0..12 {
        let padding = " ".repeat((4 << 20) - 1000);
        let digest = Digest::of(b"{}");
        let text = format!(
            r#"{{"schemaVersion":2,"n":{number},"config":{{"mediaType":"a/b","digest":"{digest}","size":2}},"layers":[]{padding}}}"#
        );
        let descriptor = plugin_oci::documents::Descriptor::of(plugin_oci::documents::media_type::MANIFEST, text.as_bytes());
        plugin_oci::stores::Sink::put_manifest(&sink, &descriptor, text.as_bytes()).unwrap();
        manifests.push(descriptor);
    }
    let index = json!({"schemaVersion": 2, "manifests": manifests}).to_string();
    let root = plugin_oci::documents::Descriptor::of(plugin_oci::documents::media_type::INDEX, index.as_bytes());
    plugin_oci::stores::Sink::put_manifest(&sink, &root, index.as_bytes()).unwrap();
    let tagged = plugin_oci::stores::Tagged { tag: "1.0".to_owned(), root };
    let commit = plugin_oci::stores::Commit { tags: vec![tagged], ..plugin_oci::stores::Commit::default() };
    plugin_oci::stores::Sink::commit(&sink, &commit).unwrap();
    let error = pull(&client, &at).unwrap_err();
    assert!(error.to_string().contains("more than the 33554432 that are read"), "{error}");
}

#[test]
fn sizes_beyond_all_measure_are_refused() {
    let sample = Sample::image("huge", 100);
    let registry = MemoryRegistry::honest();
    push(&client(), &sample, &registry.repository("r")).unwrap();
    let child = |size: u64| {
        json!({
            "mediaType": media_type::MANIFEST, "digest": Digest::of(&size.to_le_bytes()), "size": size,
            "platform": {"os": "linux", "architecture": "amd64"},
        })
    };
    let index = json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": [child(u64::MAX)]});
    let request = Request {
        method: "PUT".to_owned(),
        path: "/v2/r/manifests/1.0".to_owned(),
        query: BTreeMap::new(),
        headers: [("content-type".to_owned(), media_type::INDEX.to_owned())].into(),
        body: index.to_string().into_bytes(),
    };
    registry.memory.honest(&request);
    let dir = tempfile::tempdir().unwrap();
    for arguments in [vec!["pull", "pulled"], vec!["inspect"], vec!["verify"]] {
        let (verb, rest) = arguments.split_first().unwrap();
        let image = format!("{}{}/r:1.0", if *verb == "pull" { "" } else { "docker://" }, registry.server.host());
        let run = ran(plugin_build(dir.path()).arg(verb).arg(image).args(rest));
        assert!(matches!(run.code, 1 | 3) && !run.stderr.contains("panicked"), "{verb}: {} {}", run.code, run.stderr);
    }
}

#[test]
fn listings_of_endless_pages_are_not_held_in_memory() {
    let pages = AtomicUsize::new(0);
    // It ends, so that a client that reads on does not fill the memory of this machine.
    let registry = MemoryRegistry::scripted(Quirks::default(), move |request, _| {
        if !request.is("GET", "/tags/list") && !request.is("GET", "/referrers/") {
            return None;
        }
        let page = pages.fetch_add(1, Ordering::SeqCst) % 12;
        let body = if request.path.contains("/tags/") {
            let tags: Vec<String> = (0..20_000).map(|number| format!("{page}-{number}-{}", "x".repeat(100))).collect();
            json!({ "tags": tags })
        } else {
            let entry = |number: usize| {
                let digest = Digest::of(format!("{page} {number}").as_bytes());
                json!({"mediaType": media_type::MANIFEST, "digest": digest, "size": 1})
            };
            json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": (0..14_000).map(entry).collect::<Vec<_>>()})
        };
        let reply = Reply::new(200).header("Content-Type", media_type::INDEX).body(body.to_string());
        let next = format!("<{}?page={}>; rel=\"next\"", request.path, page + 1);
        Some(if page < 11 { reply.header("Link", next) } else { reply }.into())
    });
    let client = client();
    let at = registry.repository("r");
    let source = Repository::new(&client, &at);
    let error = source.tag_names().map(|found| found.len()).unwrap_err();
    assert!(error.to_string().contains("more than the 16777216 bytes"), "{error}");
}

#[test]
fn a_list_of_referrers_without_end_is_told() {
    let registry = MemoryRegistry::scripted(Quirks::default(), |request, _| {
        let page: usize = request.query.get("page").map_or(0, |page| page.parse().unwrap());
        let next = format!("<{}?page={}>; rel=\"next\"", request.path, page + 1);
        let empty = json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": []});
        let reply = Reply::new(200).header("Content-Type", media_type::INDEX).header("Link", next).body(empty.to_string());
        request.is("GET", "/referrers/").then(|| reply.into())
    });
    let client = client();
    let at = registry.repository("r");
    let found = Repository::new(&client, &at).referrers(&Digest::of(b"x"));
    assert!(found.is_err_and(|error| error.to_string().contains("no end")));
}
