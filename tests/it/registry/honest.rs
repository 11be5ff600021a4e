//! What registries may do, and docker's does not: the referrers API, relative and changing locations, chunks, pages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::hints::hint;
use plugin_oci::progress::{Outcome, Silent};
use plugin_oci::stores::copy;
use plugin_oci::stores::layout::Layout;
use plugin_oci::stores::registry::Repository;
use plugin_oci::stores::{Selector, Source};
use plugin_oci::values::tag::Tag;

use super::{client, pull, push, tagged};
use crate::support::http_server::Reply;
use crate::support::memory_registry::{MemoryRegistry, Quirks};
use crate::support::program::{plugin_build, ran};
use crate::support::sample::{Sample, noise};

#[test]
fn referrers_go_by_the_api_and_leave_no_tag() {
    let registry = MemoryRegistry::honest();
    let at = registry.repository("a/b");
    let sample = Sample::image("api", 1000).with_referrer();
    push(&client(), &sample, &at).unwrap();
    let client = client();
    let source = Repository::new(&client, &at);
    assert_eq!(source.tag_names().unwrap(), ["1.0".parse().unwrap()]);
    let found = source.referrers(&sample.root().digest).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].artifact_type.as_deref(), Some("application/spdx+json"));
    let (_dir, layout) = pull(&client, &at).unwrap();
    assert_eq!(layout.referrers(&sample.root().digest).unwrap().len(), 1);
}

#[test]
fn two_referrers_pushed_one_after_another_are_both_listed_by_the_tag() {
    let registry = MemoryRegistry::scripted(Quirks { no_referrers: true, ..Quirks::default() }, |_, _| None);
    let at = registry.repository("a/b");
    push(&client(), &Sample::image("tag", 1000), &at).unwrap();
    let sample = Sample::image("tag", 1000).with_referrer();
    push(&client(), &sample, &at).unwrap();
    push(&client(), &sample, &at).unwrap();
    let client = client();
    let source = Repository::new(&client, &at);
    assert_eq!(source.referrers(&sample.root().digest).unwrap().len(), 1);
    assert!(registry.memory.tag("a/b", &format!("sha256-{}", sample.root().digest.hex())).is_some());
}

#[test]
fn chunks_are_sent_where_the_registry_asks_for_them() {
    let sample = Sample::image("chunks", (5 << 20) / 2);
    let mib = |count: usize| Some(count << 20);
    // Three layers of two and a half MiB and two configurations: no smaller than asked, and as large as may be.
    for (chunk, most, patches) in [
        (mib(1), None, 3 + 2),
        (mib(1), mib(1), 3 * 3 + 2),
        (mib(1), mib(2), 3 * 2 + 2),
        (None, mib(1), 3 * 3),
        (mib(2), mib(1), 3 * 2 + 2),
    ] {
        let registry = MemoryRegistry::scripted(Quirks { chunk, most, ..Quirks::default() }, |_, _| None);
        push(&client(), &sample, &registry.repository("c")).unwrap();
        assert_eq!(registry.memory.count("PATCH", "/uploads/"), patches, "{chunk:?} {most:?}");
        assert!(sample.layers_and_configs().iter().all(|digest| registry.memory.has_blob(digest)));
    }
}

/// `Range: 0-0` is what a registry says of one byte (distribution-spec 1.1, "Pushing a blob in chunks"), and docker's of none.
#[test]
fn a_chunk_of_one_byte_counts() {
    let registry = MemoryRegistry::scripted(Quirks { chunk: Some(1 << 20), ..Quirks::default() }, |_, _| None);
    let sample = Sample::of_platform("byte", "linux/amd64", 1);
    push(&client(), &sample, &registry.repository("c")).unwrap();
    assert!(sample.layers_and_configs().iter().all(|digest| registry.memory.has_blob(digest)));
    // Two layers of a byte and a configuration.
    assert_eq!(registry.memory.count("PATCH", "/uploads/"), 3);
}

#[test]
fn a_chunk_out_of_order_is_followed_by_what_the_registry_lacks() {
    let refused = AtomicUsize::new(0);
    let registry =
        MemoryRegistry::scripted(Quirks { chunk: Some(1 << 20), most: Some(1 << 20), ..Quirks::default() }, move |request, _| {
            let second = request.is("PATCH", "/uploads/") && request.header("content-range")?.starts_with("1048576-");
            // The registry says that it has none of the second chunk, and means it.
            (second && refused.fetch_add(1, Ordering::SeqCst) == 0)
                .then(|| Reply::new(416).header("Location", request.path.clone()).header("Range", "0-1048575").into())
        });
    let sample = Sample::of_platform("order", "linux/amd64", 3 << 20);
    push(&client(), &sample, &registry.repository("c")).unwrap();
    assert!(sample.layers_and_configs().iter().all(|digest| registry.memory.has_blob(digest)));
}

#[test]
fn a_refused_mount_goes_on_in_the_upload_that_it_opened() {
    let registry = MemoryRegistry::scripted(Quirks { no_mount: true, ..Quirks::default() }, |request, _| {
        // Blobs are per repository here: the second one has none.
        request.is("HEAD", "/v2/two/blobs/").then(|| Reply::new(404).into())
    });
    let client = client();
    let sample = Sample::image("mount", 1000);
    push(&client, &sample, &registry.repository("one")).unwrap();
    let before = registry.memory.count("POST", "/uploads/");
    let (from, to) = (registry.repository("one"), registry.repository("two"));
    let source = Repository::new(&client, &from);
    let report = copy::copy(&source, &Repository::new(&client, &to).writing(), sample.root(), &tagged("1.0"), &Silent).unwrap();
    let sent = report.outcomes.values().filter(|outcome| **outcome == Outcome::Copied).count();
    assert!(sent > sample.layers_and_configs().len());
    assert_eq!(registry.memory.count("POST", "/uploads/") - before, sample.layers_and_configs().len());
}

#[test]
fn every_page_of_tags_is_read() {
    let registry = MemoryRegistry::honest();
    let sample = Sample::image("pages", 100);
    let client = client();
    let at = registry.repository("p");
    let wanted: Vec<Tag> = (0..7).map(|n| format!("v{n}").parse().unwrap()).collect();
    let sink = Repository::new(&client, &at).writing();
    let options = copy::CopyOptions { tags: wanted.clone(), ..copy::CopyOptions::default() };
    copy::copy(&sample, &sink, sample.root(), &options, &Silent).unwrap();
    let source = Repository::new(&client, &at);
    assert_eq!(source.tag_names().unwrap(), wanted);
    assert!(source.tags().unwrap().iter().all(|tagged| tagged.root.digest == sample.root().digest));
}

#[test]
fn an_absent_tag_is_told_with_those_that_are_there() {
    let registry = MemoryRegistry::honest();
    let client = client();
    push(&client, &Sample::image("absent", 100), &registry.repository("p")).unwrap();
    let error = Repository::new(&client, &registry.repository("p")).resolve(&Selector::Tag("latest".to_owned())).unwrap_err();
    let error = plugin_oci::failure::Error::from(error);
    assert!(error.to_string().contains("has no `latest`"), "{error}");
    assert!(hint(error.inner()).unwrap().contains("1.0"));
}

#[test]
fn a_tag_that_must_not_move_stays_and_nothing_is_written() {
    let registry = MemoryRegistry::honest();
    let client = client();
    let at = registry.repository("keep");
    push(&client, &Sample::image("old", 100), &at).unwrap();
    let new = Sample::image("new", 100);
    let options = copy::CopyOptions {
        no_clobber: true,
        tags: vec!["2.0".parse().unwrap(), "1.0".parse().unwrap()],
        ..copy::CopyOptions::default()
    };
    let sink = Repository::new(&client, &at).writing();
    let error = copy::copy(&new, &sink, new.root(), &options, &Silent).unwrap_err();
    assert!(error.to_string().contains("tag `1.0`"), "{error}");
    assert_eq!(registry.memory.tag("keep", "2.0"), None);
}

#[test]
fn a_corrupt_blob_is_never_completed_at_the_registry() {
    let registry = MemoryRegistry::honest();
    let dir = tempfile::tempdir().unwrap();
    let sample = Sample::of_platform("corrupt", "linux/amd64", 100_000);
    sample.to_layout(dir.path());
    let layout = Layout::open(dir.path()).unwrap();
    let victim = sample
        .layers_and_configs()
        .into_iter()
        .find(|digest| std::fs::metadata(layout.blob_path(digest)).unwrap().len() == 100_000)
        .unwrap();
    std::fs::write(layout.blob_path(&victim), noise("other", 100_000)).unwrap();
    let client = client();
    let sink_at = registry.repository("corrupt");
    let sink = Repository::new(&client, &sink_at).writing();
    let error = copy::copy(&layout, &sink, sample.root(), &tagged("1.0"), &Silent).unwrap_err();
    assert!(error.to_string().contains(&format!("blob {victim} of oci:")), "{error}");
    assert_eq!(registry.memory.count("PUT", "/manifests/"), 0);
    assert!(!registry.memory.has_blob(&victim));
}

#[test]
fn without_leave_to_read_where_a_blob_is_it_is_sent() {
    let guarded = Arc::new(AtomicBool::new(false));
    let flag = guarded.clone();
    // Each user has leave for one repository, and this token server gives all that is asked for or nothing.
    let registry = MemoryRegistry::scripted(Quirks::default(), move |request, _| {
        if !flag.load(Ordering::SeqCst) {
            return None;
        }
        if request.path == "/token" {
            let may = match request.header("authorization") {
                Some("Basic cmVhZGVyOng=") => "repository:old:pull",
                Some("Basic d3JpdGVyOng=") => "repository:new:pull,push",
                other => panic!("{other:?}"),
            };
            // Of several scopes, the last is seen here.
            let all = request.query.get("scope").is_some_and(|scope| scope == may);
            return Some(Reply::new(if all { 200 } else { 403 }).body(format!(r#"{{"token":"{may}"}}"#)).into());
        }
        let granted = request.header("authorization").and_then(|text| text.strip_prefix("Bearer repository:")?.split(':').next());
        let inside = granted.is_some_and(|name| request.path.starts_with(&format!("/v2/{name}/")));
        if !inside || request.query.contains_key("mount") {
            let challenge = format!("Bearer realm=\"http://{}/token\",service=\"here\"", request.header("host")?);
            return Some(Reply::new(401).header("WWW-Authenticate", challenge).into());
        }
        // Blobs are per repository here.
        request.is("HEAD", "/v2/new/blobs/").then(|| Reply::new(404).into())
    });
    push(&client(), &Sample::image("leave", 1000), &registry.repository("old")).unwrap();
    guarded.store(true, Ordering::SeqCst);
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let host = registry.server.host();
    let entries = format!(r#"{{"auths":{{"{host}/old":{{"auth":"cmVhZGVyOng="}},"{host}/new":{{"auth":"d3JpdGVyOng="}}}}}}"#);
    std::fs::write(dir.join("auth.json"), entries).unwrap();
    let (from, to) = (format!("docker://{host}/old:1.0"), format!("docker://{host}/new:1.0"));
    let run = ran(plugin_build(dir).args(["copy", "--authfile", "auth.json", &from, &to]));
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(registry.memory.tag("new", "1.0").is_some());
}
