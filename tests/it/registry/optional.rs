//! What is asked only to save work, or to know more, fails nothing; and what may be cut short is not taken for whole.

use std::io::Write as _;
use std::path::Path;

use plugin_oci::values::digest::Digest;

use crate::support::http_server::{Answer, Reply, Request};
use crate::support::memory_registry::{Memory, MemoryRegistry, Quirks};
use crate::support::program::{Ran, done, run};
use crate::support::sample::Sample;

fn scripted(script: impl Fn(&Request, &Memory) -> Option<Answer> + Send + Sync + 'static) -> (MemoryRegistry, String) {
    let registry = MemoryRegistry::scripted(Quirks::default(), script);
    let repository = format!("{}/r", registry.server.host());
    (registry, repository)
}

fn layouts(dir: &Path) {
    Sample::image("old", 1000).with_referrer().to_layout(&dir.join("old"));
    Sample::image("new", 1000).to_layout(&dir.join("new"));
}

/// The answer of an honest registry, to be changed.
fn honest(request: &Request, memory: &Memory) -> Reply {
    match memory.honest(request) {
        Answer::Reply(reply) => reply,
        _ => unreachable!("an honest registry replies"),
    }
}

fn with_header(reply: Reply, name: &str, value: &str) -> Reply {
    let headers = reply.headers.into_iter().filter(|(old, _)| !old.eq_ignore_ascii_case(name)).collect();
    Reply { headers, ..reply }.header(name, value)
}

fn warnings(ran: &Ran) -> usize {
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.stderr.matches("warning:").count()
}

#[test]
fn a_head_that_is_refused_is_asked_by_get_or_counts_as_not_known() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    layouts(dir);
    for status in [403, 404, 405, 500, 501] {
        let refusal = move || Reply::new(status).header("Retry-After", "0").into();
        let (registry, repository) = scripted(move |request, _| (request.method == "HEAD").then(refusal));
        let tag = |tag: &str| format!("{repository}:{tag}");
        done(dir, &["push", "oci:old", &tag("1.0")]);
        assert!(done(dir, &["ls", &format!("docker://{repository}")]).contains("1.0"), "{status}");
        done(dir, &["inspect", &format!("docker://{}", tag("1.0"))]);
        done(dir, &["push", "--no-clobber", "oci:old", &tag("1.0")]);
        done(dir, &["push", "--no-clobber", "oci:new", &tag("2.0")]);
        let refused = run(dir, &["push", "--no-clobber", "oci:new", &tag("1.0")]);
        assert!(refused.code == 1 && refused.stderr.contains("already names"), "{status}: {}", refused.stderr);
        done(dir, &["pull", &tag("1.0"), &format!("pulled-{status}")]);
        done(dir, &["push", "oci:new", &tag("1.0")]);
        assert!(registry.memory.tag("r", "1.0") == registry.memory.tag("r", "2.0"));
    }
}

#[test]
fn a_bucket_that_refuses_what_it_has_not_is_pulled_from_with_a_word() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    layouts(dir);
    // Objects by their names, and 403 for all others, as some storage answers without leave to list.
    let (_registry, repository) = scripted(|request, memory| {
        if request.method != "GET" {
            return None;
        }
        let reply = honest(request, memory);
        let is_object = reply.status == 200 && !request.path.contains("/referrers/") && !request.path.contains("/tags/");
        Some(if is_object { reply.into() } else { Reply::new(403).body("<Error><Code>AccessDenied</Code></Error>").into() })
    });
    done(dir, &["push", "oci:new", &format!("{repository}:1.0")]);
    let pulled = run(dir, &["pull", &format!("{repository}:1.0"), "pulled"]);
    assert_eq!(warnings(&pulled), 1, "{}", pulled.stderr);
    assert!(pulled.stderr.contains("does not say what refers to its images"), "{}", pulled.stderr);
    assert_eq!(done(dir, &["ls", "oci:pulled"]), done(dir, &["ls", "oci:new"]));
}

#[test]
fn referrers_under_another_type_are_taken_and_what_is_no_list_is_told() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    layouts(dir);
    let (_registry, repository) = scripted(|request, memory| {
        let listed = request.is("GET", "/referrers/").then(|| honest(request, memory))?;
        Some(with_header(listed, "Content-Type", "application/json; charset=utf-8").into())
    });
    done(dir, &["push", "oci:old", &format!("{repository}:1.0")]);
    let pulled = run(dir, &["pull", &format!("{repository}:1.0"), "pulled"]);
    assert_eq!(warnings(&pulled), 0, "{}", pulled.stderr);
    assert!(done(dir, &["ls", "oci:pulled"]).contains("+application/spdx+json"));

    // A proxy's page for every path that it does not know, an answer without a body, and a failure that does not pass.
    let page = Reply::new(200).header("Content-Type", "text/html").body("<html></html>");
    let failing = Reply::new(500).header("Retry-After", "0");
    let odd = [(page, "in no form that can be read"), (Reply::new(200), "in no form that can be read"), (failing, "answers 500")];
    for (number, (answer, told)) in odd.into_iter().enumerate() {
        let (_registry, repository) = scripted(move |request, _| request.is("GET", "/referrers/").then(|| answer.clone().into()));
        done(dir, &["push", "oci:old", &format!("{repository}:1.0")]);
        let pulled = run(dir, &["pull", &format!("{repository}:1.0"), &format!("by-tag-{number}")]);
        assert_eq!(warnings(&pulled), 1, "{}", pulled.stderr);
        assert!(pulled.stderr.contains(told), "{}", pulled.stderr);
        let listed = done(dir, &["ls", &format!("oci:by-tag-{number}")]);
        assert!(listed.contains("+application/spdx+json"), "the list at the tag is still there: {listed}");
    }
}

#[test]
fn a_list_of_tags_goes_on_wherever_its_link_leads_and_is_never_cut_in_silence() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    layouts(dir);
    for (link, whole) in
        [("</v2/r/NEXT>;rel=next", true), ("/v2/r/NEXT; rel=\"next\"", true), ("</v2/r/NEXT", false), ("?", false)]
    {
        let (_registry, repository) = scripted(move |request, memory| {
            let reply = request.is("GET", "/tags/list").then(|| honest(request, memory))?;
            let next = reply.headers.iter().find(|(name, _)| name == "Link")?.1.clone();
            let target = next.split(['<', '>']).nth(1)?.trim_start_matches("/v2/r/").to_owned();
            Some(with_header(reply, "Link", &link.replace("NEXT", &target)).into())
        });
        for tag in ["a", "b", "c", "d", "e"] {
            done(dir, &["push", "oci:new", &format!("{repository}:{tag}")]);
        }
        let listed = run(dir, &["ls", &format!("docker://{repository}")]);
        if whole {
            assert_eq!((listed.code, listed.stdout.lines().count()), (0, 5), "{link}: {}", listed.stderr);
        } else {
            assert!(listed.code == 1 && listed.stderr.contains("`Link` cannot be read"), "{link}: {}", listed.stderr);
        }
    }
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compression_that_nobody_asked_for_is_called_that() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    layouts(dir);
    // With a length, and without one: the head as it is for each.
    for (part, chunked) in [("/manifests/", false), ("/blobs/", false), ("/blobs/", true)] {
        let (registry, repository) = scripted(move |request, memory| {
            let reply = request.is("GET", part).then(|| honest(request, memory)).filter(|reply| reply.status == 200)?;
            let body = zipped(&reply.body);
            if !chunked {
                let headers = reply.headers.into_iter().filter(|(name, _)| name != "Content-Length").collect();
                return Some(Reply { headers, body, ..reply }.header("Content-Encoding", "gzip").into());
            }
            let mut raw = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n".to_vec();
            raw.extend(body);
            Some(Answer::Raw(raw))
        });
        done(dir, &["push", "oci:new", &format!("{repository}:1.0")]);
        let pulled = run(dir, &["pull", &format!("{repository}:1.0"), "none"]);
        assert_eq!(pulled.code, 1, "{}", pulled.stderr);
        assert!(pulled.stderr.contains("compressed (gzip), which was not asked for"), "{part}: {}", pulled.stderr);
        assert!(registry.memory.log().iter().all(|request| request.header("accept-encoding") == Some("identity")));
    }
    // A label on content that is what the digest names does no harm.
    let (_registry, repository) = scripted(|request, memory| {
        let reply = request.is("GET", "/blobs/").then(|| honest(request, memory)).filter(|reply| reply.status == 200)?;
        Some(reply.header("Content-Encoding", "gzip").into())
    });
    done(dir, &["push", "oci:new", &format!("{repository}:1.0")]);
    done(dir, &["pull", &format!("{repository}:1.0"), "labelled"]);
}

#[test]
fn a_repository_that_is_not_there_is_told_from_a_tag_that_is_not() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    layouts(dir);
    let (_registry, repository) = scripted(|request, _| {
        let other = request.path.starts_with("/v2/r/absent/");
        other.then(|| Reply::new(404).body(r#"{"errors":[{"code":"NAME_UNKNOWN","message":"not known"}]}"#).into())
    });
    done(dir, &["push", "oci:new", &format!("{repository}:1.0")]);
    for verb in ["inspect", "ls"] {
        let told = run(dir, &[verb, &format!("docker://{repository}/absent")]);
        assert!(
            told.code == 1 && told.stderr.contains(&format!("docker://{repository}/absent does not exist")),
            "{}",
            told.stderr
        );
    }
    let told = run(dir, &["inspect", &format!("docker://{repository}:2.0")]);
    assert!(told.code == 1 && told.stderr.contains("has no `2.0`") && told.stderr.contains("it has 1.0"), "{}", told.stderr);
}

/// What a pull has brought before it was cut off is not brought again.
#[test]
fn a_pull_that_was_cut_off_is_taken_up_by_the_next() {
    const SIZE: usize = 5 << 20;
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    Sample::of_platform("long", "linux/amd64", SIZE).to_layout(&dir.join("image"));
    for ranges in [true, false] {
        // The first pull gets 3 MiB of each layer, and never more of it.
        let cut = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let flag = cut.clone();
        let (registry, repository) = scripted(move |request, memory| {
            let digest: Digest = request.is("GET", "/blobs/").then(|| request.path.rsplit('/').next()?.parse().ok())??;
            let content = memory.blob(&digest).filter(|content| content.len() == SIZE)?;
            let cut = flag.load(std::sync::atomic::Ordering::SeqCst);
            match request.header("range") {
                Some(_) if cut => Some(Reply::new(403).into()),
                Some(_) if !ranges => Some(Reply::new(200).body(content).into()),
                None if cut => {
                    let mut raw = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").into_bytes();
                    raw.extend_from_slice(&content[..3 << 20]);
                    Some(Answer::Raw(raw))
                }
                _ => None,
            }
        });
        done(dir, &["push", "oci:image", &format!("{repository}:1.0")]);
        let into = format!("pulled-{ranges}");
        let broken = run(dir, &["pull", &format!("{repository}:1.0"), &into]);
        assert!(broken.code == 1 && broken.stderr.contains("the same command goes on"), "{}", broken.stderr);
        let parts = || {
            let names = plugin_oci::fs::sorted_listing(&dir.join(&into)).unwrap();
            names.iter().filter(|name| name.to_string_lossy().starts_with(".plugin-build-part-")).count()
        };
        assert!(parts() > 0);
        cut.store(false, std::sync::atomic::Ordering::SeqCst);
        let before = registry.memory.log().len();
        // A beginning that is none is noticed, and costs no more than a new start.
        if !ranges {
            let name = plugin_oci::fs::sorted_listing(&dir.join(&into)).unwrap();
            let part = name.iter().find(|name| name.to_string_lossy().starts_with(".plugin-build-part-")).unwrap();
            std::fs::write(dir.join(&into).join(part), vec![0; SIZE]).unwrap();
        }
        done(dir, &["pull", &format!("{repository}:1.0"), &into]);
        let log = registry.memory.log();
        let taken_up = log[before..].iter().filter(|request| request.header("range") == Some("bytes=3145728-")).count();
        assert!(taken_up > 0 || !ranges, "{:?}", log[before..].iter().map(|r| r.header("range")).collect::<Vec<_>>());
        assert_eq!(parts(), 0);
        assert_eq!(done(dir, &["ls", &format!("oci:{into}")]), done(dir, &["ls", "oci:image"]));
        for digest in plugin_oci::stores::layout::Layout::open(&dir.join("image")).unwrap().blobs().unwrap() {
            let blob = |layout: &str| std::fs::read(dir.join(layout).join("blobs/sha256").join(digest.hex())).unwrap();
            assert!(blob(&into) == blob("image"));
        }
    }
}

#[test]
fn who_cannot_be_reached_is_named_and_not_a_path_of_its_api() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let told = run(dir, &["pull", &format!("localhost:{port}/plugins/hello:1"), "x"]);
    assert_eq!(told.code, 1);
    let sentence = format!("cannot reach registry `localhost:{port}` for `localhost:{port}/plugins/hello`");
    assert!(told.stderr.contains(&sentence), "{}", told.stderr);
    assert!(told.stderr.contains(&format!("nothing listens at localhost:{port}")), "{}", told.stderr);
    assert!(!told.stderr.contains("/v2/"), "{}", told.stderr);

    // This machine by an address that does not say so: it has to speak TLS, and does not.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let known = format!("0.0.0.0:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            drop(std::io::Read::read(&mut stream, &mut [0; 512]));
            drop(stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nthis is no TLS"));
        }
    });
    let told = run(dir, &["pull", &format!("{known}/plugins/hello:1"), "x"]);
    assert_eq!(told.code, 1);
    for part in [format!("cannot reach registry `{known}`"), "it answers without TLS".to_owned(), format!("--plain-http {known}")]
    {
        assert!(told.stderr.contains(&part), "{}", told.stderr);
    }
    assert!(!told.stderr.contains("/v2/"), "{}", told.stderr);
}
