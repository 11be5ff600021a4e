//! `publish`, `unpublish`, and `ls` and `gc` of what was published.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use plugin_oci::documents::media_type;
use plugin_oci::fs::sorted_listing;

use crate::support::http_server::{Answer, Handler, Reply, Request, Server};
use crate::support::memory_bucket::{Bucket, Fault, MemoryBucket};
use crate::support::program::{Ran, plugin_build, ran};
use crate::support::sample::Sample;

const STORE: &str = "s3://plugins";

fn run(dir: &Path, store: Option<&MemoryBucket>, arguments: &[&str]) -> Ran {
    let run = ran(plugin_build(dir).args(arguments).envs(store.map(MemoryBucket::environment).into_iter().flatten()));
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    run
}

fn done(dir: &Path, store: Option<&MemoryBucket>, arguments: &[&str]) -> String {
    let run = run(dir, store, arguments);
    assert_eq!(run.code, 0, "{arguments:?}: {}", run.stderr);
    run.stdout
}

fn refused(dir: &Path, store: Option<&MemoryBucket>, code: i32, arguments: &[&str]) -> String {
    let run = run(dir, store, arguments);
    assert_eq!(run.code, code, "{arguments:?}: {}", run.stderr);
    run.stderr
}

/// A web server that knows no types.
struct Files(std::path::PathBuf);

impl Handler for Files {
    fn answer(&self, request: &Request) -> Answer {
        let mut path = self.0.join(request.path.trim_start_matches('/'));
        if path.is_dir() {
            path.push("index.html");
        }
        let reply = fs::read(path).map(|bytes| Reply::new(200).header("Content-Type", "text/plain").body(bytes));
        reply.unwrap_or_else(|_| Reply::new(404)).into()
    }
}

/// Every file below a directory.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = walkdir::WalkDir::new(dir).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    entries
        .map(|entry| (entry.path().strip_prefix(dir).unwrap().display().to_string(), fs::read(entry.path()).unwrap()))
        .collect()
}

#[test]
fn a_directory_is_a_registry_for_whatever_serves_it() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let sample = Sample::image("greeter", 1000).with_referrer().with_signature();
    sample.to_layout(&dir.join("image"));
    let digest = &sample.root().digest;
    assert_eq!(done(dir, None, &["publish", "oci:image", "site"]), format!("greeter@{digest}\n"));
    let site = files(&dir.join("site"));
    let named = |rest: &str| site.get(&format!("v2/greeter/{rest}")).unwrap_or_else(|| panic!("no {rest}"));
    assert_eq!(named("manifests/1.0"), named(&format!("manifests/{digest}")));
    let signature = format!("sha256-{}.sig", digest.hex());
    assert_eq!(String::from_utf8_lossy(named("tags/list")), format!(r#"{{"name":"greeter","tags":["1.0","{signature}"]}}"#));
    assert_eq!(site["_r/types/v2/greeter/manifests/1.0.index"], *named("manifests/1.0"));
    assert!(site["v2/index.html"] == b"{}" && sorted_listing(&dir.join("site/_r/leases")).unwrap().is_empty());

    let server = Server::start(Arc::new(Files(dir.join("site"))));
    done(dir, None, &["pull", &format!("{}/greeter:1.0", server.host()), "pulled"]);
    assert_eq!(files(&dir.join("pulled/blobs")), files(&dir.join("image/blobs")));

    // Once more, nothing changes; elsewhere, by another name, everything is there again.
    done(dir, None, &["publish", "oci:image", "site"]);
    assert!(files(&dir.join("site")) == site);
    done(dir, None, &["publish", "--name", "team/", "oci:image", "site"]);
    let listed = done(dir, None, &["ls", "site"]);
    let tags: Vec<&str> = listed.lines().map(|line| line.split("  ").next().unwrap().trim()).collect();
    assert_eq!(tags, ["greeter:1.0", "team/greeter:1.0"], "{listed}");

    // A tag that becomes a manifest is served as one.
    Sample::of_platform("greeter", "linux/amd64", 10).to_layout(&dir.join("other"));
    done(dir, None, &["copy", "--platform", "linux/amd64", "oci:other", "oci:lone"]);
    done(dir, None, &["publish", "oci:lone", "site"]);
    let types: Vec<String> = files(&dir.join("site/_r/types/v2/greeter/manifests")).into_keys().collect();
    assert!(types.contains(&"1.0.manifest".to_owned()) && !types.contains(&"1.0.index".to_owned()), "{types:?}");

    assert!(done(dir, None, &["unpublish", &format!("team/greeter@{digest}"), "site"]).contains(&digest.to_string()));
    done(dir, None, &["unpublish", "greeter:1.0", "site"]);
    let collected = done(dir, None, &["gc", "site"]);
    assert!(collected.contains(&digest.to_string()));
    let left: Vec<String> = files(&dir.join("site/v2")).into_keys().collect();
    assert_eq!(left, ["greeter/tags/list", "index.html", "team/greeter/tags/list"], "{left:?}");
    assert_eq!(done(dir, None, &["ls", "site"]), "");
}

#[test]
fn a_bucket_is_a_registry_and_is_sent_a_blob_once() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let sample = Sample::image("greeter", 1000).with_referrer();
    sample.to_layout(&dir.join("image"));
    let store = MemoryBucket::start();
    done(dir, Some(&store), &["publish", "oci:image", STORE]);
    store.bucket.check();
    let objects = store.bucket.objects();
    for (key, stored) in &objects {
        let changes = !key.contains("/blobs/") && !key.contains("/manifests/sha256:");
        assert_eq!(stored.cache_control, if changes { "no-cache" } else { "public, max-age=31536000, immutable" }, "{key}");
        let wanted = match key.rsplit('/').nth(1) {
            Some("blobs") => "application/octet-stream",
            Some("referrers") => media_type::INDEX,
            Some("manifests") if stored.bytes.windows(11).any(|bytes| bytes == b"\"manifests\"") => media_type::INDEX,
            Some("manifests") => media_type::MANIFEST,
            _ => "application/json",
        };
        assert_eq!(stored.content_type, wanted, "{key}");
    }
    let sent =
        |requests: &[String], what: &str| requests.iter().filter(|line| line.starts_with("PUT") && line.contains(what)).count();
    let first = store.bucket.take_requests();
    assert_eq!(sent(&first, "/blobs/"), sample.layers_and_configs().len());
    let last_of = |part: &str| first.iter().rposition(|line| line.starts_with("PUT") && line.contains(part)).unwrap();
    let order = ["/blobs/", "/manifests/sha256:", "/referrers/", "/manifests/1.0", "/tags/list"].map(last_of);
    assert!(order.is_sorted(), "{first:#?}");

    done(dir, Some(&store), &["publish", "oci:image", STORE]);
    let again = store.bucket.take_requests();
    assert_eq!(
        [sent(&again, "/blobs/"), sent(&again, "/manifests/"), sent(&again, "/referrers/"), sent(&again, "/tags/")],
        [0; 4]
    );
    assert!(store.bucket.objects() == objects);

    done(dir, None, &["pull", &format!("{}/greeter:1.0", store.server.host()), "pulled"]);
    assert_eq!(files(&dir.join("pulled/blobs")), files(&dir.join("image/blobs")));
    let digest = &sample.root().digest;
    assert!(done(dir, Some(&store), &["ls", STORE]).starts_with(&format!("greeter:1.0  {digest} ")));
    done(dir, Some(&store), &["unpublish", "greeter:1.0", STORE]);
    store.bucket.check();
    let error = refused(dir, Some(&store), 1, &["unpublish", "greeter:1.0", STORE]);
    assert!(error.contains("greeter in s3://plugins has no `1.0`"), "{error}");
    done(dir, Some(&store), &["gc", STORE]);
    assert_eq!(store.bucket.objects().into_keys().collect::<Vec<_>>(), ["v2/", "v2/greeter/tags/list"]);
}

#[test]
fn whatever_request_fails_nothing_half_done_is_seen() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    Sample::image("greeter", 100).with_referrer().to_layout(&dir.join("image"));
    Sample::image("greeter", 200).to_layout(&dir.join("next"));
    let whole = MemoryBucket::start();
    done(dir, Some(&whole), &["publish", "oci:image", STORE]);
    let steps = whole.bucket.take_requests().len();
    assert!(steps > 25, "{steps}");
    let publish = |number: usize, fault: Fault| {
        let store = MemoryBucket::start();
        store.bucket.fail_at(number, fault);
        let code = run(dir, Some(&store), &["publish", "oci:image", STORE]).code;
        store.bucket.check();
        // The last request gives the lease back.
        assert_eq!(code, i32::from(fault == Fault::Refused && number < steps), "{fault:?} at {number}");
        if code == 1 {
            done(dir, Some(&store), &["publish", "oci:image", STORE]);
        }
        let mut there = store.bucket.objects();
        there.retain(|key, _| !key.starts_with("_r/"));
        assert!(there == whole.bucket.objects(), "{fault:?} at {number}");
    };
    for number in 1..=steps {
        publish(number, Fault::Refused);
    }
    std::thread::scope(|scope| {
        for number in 1..=steps {
            scope.spawn(move || publish(number, Fault::Lost));
        }
    });
    // The same of what removes.
    done(dir, Some(&whole), &["publish", "oci:next", STORE]);
    whole.bucket.take_requests();
    for verb in [&["unpublish", "greeter:1.0", STORE][..], &["gc", STORE]] {
        for number in 1.. {
            whole.bucket.fail_at(number, Fault::Refused);
            let code = run(dir, Some(&whole), verb).code;
            whole.bucket.check();
            if code == 0 || number > 200 {
                assert!(number < 200 && number > 5, "{verb:?} at {number}");
                break;
            }
        }
    }
}

#[test]
fn publishers_at_once_lose_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let names: Vec<String> = (0..16).map(|number| format!("t{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        Sample::image("greeter", 10 + number).to_layout(&dir.join("made"));
        done(dir, None, &["copy", "oci:made:1.0", &format!("oci:{name}:{name}")]);
        done(dir, None, &["copy", "oci:made:1.0", &format!("oci:{name}same:1.0")]);
    }
    let store = MemoryBucket::start();
    let at_once = |of: &(dyn Fn(&str) -> Vec<String> + Sync)| -> usize {
        let publish = |name: &str| ran(plugin_build(dir).args(of(name)).envs(store.environment())).code;
        std::thread::scope(|scope| {
            let all: Vec<_> = names.iter().map(|name| scope.spawn(move || publish(name))).collect();
            all.into_iter().map(|thread| thread.join().unwrap()).filter(|code| *code == 0).count()
        })
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
    for place in [STORE, "site"] {
        assert_eq!(at_once(&|name| words(&["publish", &format!("oci:{name}"), place])), 16);
        let listed = done(dir, Some(&store), &["ls", place]);
        assert_eq!(listed.lines().count(), 16, "{listed}");
        let clobber = |name: &str| words(&["publish", "--no-clobber", "--name", "one", &format!("oci:{name}same"), place]);
        assert_eq!(at_once(&clobber), 1, "{place}");
        // Without that word the last one wins.
        assert_eq!(at_once(&|name| words(&["publish", "--name", "one", &format!("oci:{name}same"), place])), 16);
        let listed = done(dir, Some(&store), &["ls", place]);
        assert_eq!(listed.lines().filter(|line| line.starts_with("one:1.0 ")).count(), 1, "{listed}");
    }
    store.bucket.check();
}

#[test]
fn who_removes_and_who_publishes_wait_for_each_other() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    Sample::image("greeter", 10).to_layout(&dir.join("image"));
    let store = MemoryBucket::start();
    store.bucket.put("_r/leases/remove-0", b"{}");
    let error = refused(dir, Some(&store), 1, &["publish", "oci:image", STORE]);
    assert!(error.contains("in use: `_r/leases/remove-0` is there since 2026-01-01") && error.contains("remove `_r/"), "{error}");
    store.bucket.put("_r/leases/publish-0", b"{}");
    refused(dir, Some(&store), 1, &["gc", STORE]);
    refused(dir, Some(&store), 1, &["unpublish", "greeter:1.0", STORE]);
    assert_eq!(store.bucket.objects().len(), 2);

    // In a directory one that is older than a day was left behind.
    done(dir, None, &["publish", "oci:image", "site"]);
    let lease = dir.join("site/_r/leases/publish-0");
    fs::write(&lease, "{}").unwrap();
    refused(dir, None, 1, &["gc", "site"]);
    let file = fs::File::options().write(true).open(&lease).unwrap();
    file.set_modified(file.metadata().unwrap().modified().unwrap() - std::time::Duration::from_hours(25)).unwrap();
    done(dir, None, &["gc", "site"]);
    assert!(!lease.exists());
}

#[test]
fn what_cannot_be_published_is_told() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    Sample::image("greeter", 10).to_layout(&dir.join("image"));
    let store = MemoryBucket::of(Bucket::careless());
    let error = refused(dir, Some(&store), 1, &["publish", "oci:image", STORE]);
    assert!(error.contains("ignores conditions"), "{error}");
    let error = refused(dir, None, 2, &["publish", "oci:image", STORE]);
    assert!(error.contains("no credentials") && error.contains("AWS_ACCESS_KEY_ID"), "{error}");
    for (store, code, said) in [
        ("s3://", 2, "names no bucket"),
        ("s3://a/../b", 2, "names no bucket"),
        ("oci:image", 2, "is an image"),
        ("docker://localhost/x", 2, "is an image"),
    ] {
        let error = refused(dir, None, code, &["publish", "oci:image", store]);
        assert!(error.contains(said), "{store}: {error}");
    }
    let error = refused(dir, None, 2, &["publish", "--name", "Upper", "oci:image", "site"]);
    assert!(error.contains("cannot be named there"), "{error}");
    let error = refused(dir, None, 2, &["unpublish", "greeter", "site"]);
    assert!(error.contains("names no tag"), "{error}");
    assert!(!dir.join("site").exists());
}

/// A server with a fault.
struct Faulty(MemoryBucket, &'static str);

impl Handler for Faulty {
    fn answer(&self, request: &Request) -> Answer {
        let fault = self.1;
        let mut reply = match self.0.bucket.answer(request) {
            Answer::Reply(reply) => reply,
            other => return other,
        };
        let typed = |reply: &mut Reply, wanted: &str| {
            reply.headers.retain(|(name, _)| name != "Content-Type");
            reply.headers.push(("Content-Type".to_owned(), wanted.to_owned()));
        };
        match fault {
            "served-base" if request.path == "/v2/" => Reply::new(404).into(),
            "served-type" if request.is("GET", "/manifests/") => {
                typed(&mut reply, "text/plain");
                reply.into()
            }
            "served-absent" if reply.status == 404 => Reply::new(403).into(),
            "served-status" if request.is("GET", "/referrers/") => Reply::new(404).into(),
            "served-stale" if request.is("GET", "/manifests/1.0") => {
                reply.headers.retain(|(name, _)| name != "Content-Length");
                reply.body(b"{}".to_vec()).into()
            }
            "served-content" if request.is("GET HEAD", "/blobs/") => Reply::new(404).into(),
            _ => reply.into(),
        }
    }
}

#[test]
fn what_keeps_clients_from_pulling_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    Sample::image("greeter", 10).to_layout(&dir.join("image"));
    let faults = ["", "served-base", "served-type", "served-absent", "served-status", "served-stale", "served-content"];
    for fault in faults {
        let store = MemoryBucket::start();
        let variables = store.environment();
        let server = Server::start(Arc::new(Faulty(store, fault)));
        let url = format!("http://{}/", server.host());
        let checked = ran(plugin_build(dir).args(["publish", "oci:image", STORE, "--check-url", &url]).envs(variables));
        let findings: Vec<&str> = checked.stdout.lines().skip(1).collect();
        assert_eq!(checked.code, if fault.is_empty() { 0 } else { 3 }, "{fault}: {}{}", checked.stdout, checked.stderr);
        assert!(
            findings.iter().all(|line| line.contains(fault)) && findings.is_empty() == fault.is_empty(),
            "{fault}: {findings:?}"
        );
    }
    let error = refused(dir, None, 2, &["publish", "oci:image", "site", "--check-url", "https://host.test/below"]);
    assert!(error.contains("is no URL of a registry") && !dir.join("site").exists(), "{error}");
}
