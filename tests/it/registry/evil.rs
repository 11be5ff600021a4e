//! What only a broken or hostile registry does. Each test: what it does, and that we neither fall for it nor hang.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::hints::hint;
use plugin_oci::stores::copy;
use plugin_oci::stores::layout::{LayoutWriter, Obsolete};
use plugin_oci::stores::registry::{Client, Repository};
use plugin_oci::stores::{Selector, Source};
use plugin_oci::values::digest::Digest;

use super::{client, client_with, password, pull, push, settings};
use crate::support::http_server::{Answer, Reply, Request};
use crate::support::memory_registry::{Memory, MemoryRegistry, Quirks, content_length};
use crate::support::recorder::Recorder;
use crate::support::sample::Sample;

/// A script that takes effect the first `times` that `applies`.
pub(super) fn first(
    times: usize,
    applies: impl Fn(&Request) -> bool + Send + Sync + 'static,
    answer: impl Fn() -> Answer + Send + Sync + 'static,
) -> impl Fn(&Request, &Memory) -> Option<Answer> + Send + Sync + 'static {
    let count = AtomicUsize::new(0);
    move |request, _| (applies(request) && count.fetch_add(1, Ordering::SeqCst) < times).then(&answer)
}

/// The one layer of an image with one platform that both tests of broken connections move.
pub(super) fn big() -> Sample {
    Sample::of_platform("big", "linux/amd64", 700_000)
}

/// Pushes to an honest registry and returns one that has its content and this script.
pub(super) fn with_content(
    sample: &Sample,
    script: impl Fn(&Request, &Memory) -> Option<Answer> + Send + Sync + 'static,
) -> MemoryRegistry {
    let armed = Arc::new(AtomicUsize::new(0));
    let flag = armed.clone();
    let registry = MemoryRegistry::scripted(Quirks::default(), move |request, memory| {
        if flag.load(Ordering::SeqCst) == 0 { None } else { script(request, memory) }
    });
    push(&client(), sample, &registry.repository("r")).unwrap();
    armed.store(1, Ordering::SeqCst);
    registry
}

#[test]
fn answers_that_say_later_are_waited_for() {
    for status in [429, 500, 502, 503, 504] {
        let later = move || Reply::new(status).header("Retry-After", "0").into();
        let script = first(3, |request| request.is("POST PUT HEAD", "/v2/"), later);
        let registry = MemoryRegistry::scripted(Quirks::default(), script);
        push(&client(), &Sample::image("later", 1000), &registry.repository("r")).unwrap();
        assert!(registry.memory.tag("r", "1.0").is_some());
    }
}

#[test]
fn an_answer_that_says_later_for_ever_ends_after_five_tries() {
    let registry = MemoryRegistry::scripted(Quirks::default(), |_, _| Some(Reply::new(503).into()));
    let error = pull(&client(), &registry.repository("r")).unwrap_err();
    assert!(error.to_string().contains("answered 503"), "{error}");
    assert_eq!(registry.memory.count("GET", "/manifests/1.0"), 5);
}

#[test]
fn a_pause_of_an_hour_is_not_waited_for() {
    let registry = MemoryRegistry::scripted(Quirks::default(), |_, _| Some(Reply::new(429).header("Retry-After", "3600").into()));
    assert!(pull(&client(), &registry.repository("r")).unwrap_err().to_string().contains("answered 429"));
    assert_eq!(registry.memory.count("GET", "/manifests/1.0"), 1);
}

#[test]
fn a_pause_may_end_at_a_date() {
    let dated = |status: u16, now: &str, then: &str| Reply::new(status).header("Date", now).header("Retry-After", then);
    let (start, second, hour) =
        ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT", "Sunday, 06-Nov-94 09:49:37 GMT");
    for reply in [
        dated(429, start, hour),
        dated(503, start, "Sun Nov  6 09:49:37 1994"),
        Reply::new(429).header("Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"),
        Reply::new(429).header("Retry-After", "99999999999999999999"),
    ] {
        let answer = Answer::from(reply.clone());
        let registry = MemoryRegistry::scripted(Quirks::default(), move |_, _| Some(answer.clone()));
        assert!(pull(&client(), &registry.repository("r")).is_err());
        assert_eq!(registry.memory.count("GET", "/manifests/1.0"), 1, "{reply:?}");
    }
    for (then, at_least) in [(second, 1), ("Sat, 05 Nov 1994 08:49:37 GMT", 0), ("tomorrow", 0)] {
        let script = first(1, |request| request.is("POST", "/uploads/"), move || dated(429, start, then).into());
        let registry = MemoryRegistry::scripted(Quirks::default(), script);
        let began = std::time::Instant::now();
        push(&client(), &Sample::image("dated", 100), &registry.repository("r")).unwrap();
        assert!(began.elapsed().as_secs() >= at_least, "{then}: {:?}", began.elapsed());
    }
}

#[test]
fn refusals_are_final() {
    for status in [400, 403, 405, 410, 451] {
        let registry = MemoryRegistry::scripted(Quirks::default(), move |_, _| Some(Reply::new(status).into()));
        assert!(pull(&client(), &registry.repository("r")).is_err());
        assert_eq!(registry.memory.count("GET", "/manifests/1.0"), 1, "{status}");
    }
}

#[test]
fn a_download_that_breaks_is_taken_up_where_it_broke() {
    for ranges in [true, false] {
        let sample = big();
        let breaks = AtomicUsize::new(0);
        let registry = with_content(&sample, move |request, memory| {
            if !request.is("GET", "/blobs/") || breaks.load(Ordering::SeqCst) >= 3 {
                return None;
            }
            let digest: Digest = request.path.rsplit('/').next()?.parse().ok()?;
            let content = memory.blob(&digest)?;
            let from = match request.header("range") {
                Some(_) if !ranges => 0,
                Some(range) => range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap(),
                None => 0,
            };
            if content.len() < 700_000 {
                return None;
            }
            breaks.fetch_add(1, Ordering::SeqCst);
            let head = match (from, ranges) {
                (0, _) => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len()),
                _ => format!(
                    "HTTP/1.1 206 Partial\r\nContent-Range: bytes {from}-{}/{}\r\nContent-Length: {}\r\n\r\n",
                    content.len() - 1,
                    content.len(),
                    content.len() - from
                ),
            };
            let mut raw = head.into_bytes();
            raw.extend_from_slice(&content[from..content.len().min(from + 150_000)]);
            Some(Answer::Raw(raw))
        });
        let (_dir, layout) = pull(&client(), &registry.repository("r")).unwrap();
        assert_eq!(layout.tags().unwrap()[0].root.digest, sample.root().digest);
        let resumed = registry.memory.log().iter().filter(|request| request.header("range").is_some()).count();
        assert!(resumed >= 3, "{resumed}");
    }
}

#[test]
fn an_upload_that_breaks_is_taken_up_where_it_broke_or_begun_again() {
    for forgetful in [false, true] {
        let cuts = AtomicUsize::new(0);
        let registry = MemoryRegistry::cutting(
            Quirks { forgetful, ..Quirks::default() },
            |_, _| None,
            move |request| {
                let large = request.header("content-length")?.parse::<usize>().ok()? > 100_000;
                (large && request.is("PUT PATCH", "/uploads/") && cuts.fetch_add(1, Ordering::SeqCst) < 2).then_some(200_000)
            },
        );
        let sample = big();
        push(&client(), &sample, &registry.repository("r")).unwrap();
        assert!(sample.layers_and_configs().iter().all(|digest| registry.memory.has_blob(digest)));
        assert_eq!(registry.memory.count("PATCH", "/uploads/") > 0, !forgetful);
    }
}

/// Lengths of the bodies of one method's requests.
fn lengths(registry: &MemoryRegistry, method: &str) -> Vec<usize> {
    let log = registry.memory.log();
    log.iter().filter(|request| request.is(method, "/uploads/")).map(content_length).filter(|length| *length > 0).collect()
}

#[test]
fn an_upload_that_is_too_large_for_one_request_goes_in_chunks() {
    // Chunks of at least `chunk` bytes, where the registry says so; no request above `largest`.
    for (chunk, largest) in [(None, 200_000), (Some(150_000), 180_000)] {
        let registry = MemoryRegistry::scripted(Quirks { chunk, largest: Some(largest), ..Quirks::default() }, |_, _| None);
        let sample = big();
        push(&client(), &sample, &registry.repository("r")).unwrap();
        assert!(sample.layers_and_configs().iter().all(|digest| registry.memory.has_blob(digest)));
        let sent: Vec<usize> = [lengths(&registry, "PUT"), lengths(&registry, "PATCH")].concat();
        // Two layers on their way when the limit becomes known, and halves of them: no other is tried in vain.
        assert!((2..=4).contains(&sent.iter().filter(|length| **length > largest).count()), "{sent:?}");
        let taken: Vec<usize> = lengths(&registry, "PATCH").into_iter().filter(|length| *length <= largest).collect();
        let short = taken.iter().filter(|length| **length < chunk.unwrap_or(0)).count();
        // The last chunk of a blob may be shorter, and so may a configuration.
        assert!(taken.len() >= 8 && short <= 3, "{taken:?}");
    }
}

#[test]
fn a_limit_that_shows_only_as_a_broken_connection_is_found_out() {
    let cut = |request: &Request| {
        (request.is("PUT", "/uploads/") && request.header("expect").is_none() && content_length(request) > 200_000)
            .then_some(100_000)
    };
    let quirks = Quirks { largest: Some(200_000), forgetful: true, ..Quirks::default() };
    let registry = MemoryRegistry::cutting(quirks, |_, _| None, cut);
    let sample = big();
    push(&client(), &sample, &registry.repository("r")).unwrap();
    assert!(sample.layers_and_configs().iter().all(|digest| registry.memory.has_blob(digest)));
}

#[test]
fn a_limit_below_every_chunk_is_told_with_a_way_out() {
    for chunk in [None, Some(150_000)] {
        let registry = MemoryRegistry::scripted(Quirks { chunk, largest: Some(5_000), ..Quirks::default() }, |_, _| None);
        let error = push(&client(), &big(), &registry.repository("r")).unwrap_err();
        assert!(error.to_string().contains("answered 413"), "{error}");
        assert!(hint(error.inner()).is_some_and(|hint| hint.contains("client_max_body_size")));
        let refused = lengths(&registry, "PATCH").into_iter().filter(|length| *length > 5_000);
        assert_eq!(refused.min(), Some(chunk.unwrap_or(64 << 10)));
    }
}

/// CVE-2026-50151 (oras-go): a `Location` of another host or port, for a client that sends the upload there with the
/// registry's credentials.
#[test]
fn an_upload_goes_to_another_host_without_credentials() {
    let other = Arc::new(MemoryRegistry::honest());
    for name in [other.server.alias(), other.server.host()] {
        let target = other.clone();
        let registry = MemoryRegistry::scripted(Quirks::default(), move |request, _| {
            let expected = "Basic bWU6aHVudGVyMg==";
            if request.header("authorization") != Some(expected) {
                return Some(Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\"").into());
            }
            if request.is("POST", "/uploads/") {
                // An upload opened over there, named by a foreign Location.
                let Answer::Reply(opened) = target.memory.honest(request) else { return None };
                let (_, path) = opened.headers.iter().find(|(name, _)| name == "Location")?;
                return Some(Reply::new(202).header("Location", format!("http://{name}{path}")).into());
            }
            None
        });
        let sample = Sample::image("foreign", 1000);
        let known = client().offering(&registry.server.host(), password("me", "hunter2"));
        push(&known, &sample, &registry.repository("r")).unwrap();
        assert!(sample.layers_and_configs().iter().all(|digest| other.memory.has_blob(digest)));
        assert!(other.memory.log().iter().all(|request| request.header("authorization").is_none()));
    }
}

#[test]
fn a_redirect_to_another_host_carries_no_credentials() {
    let sample = big();
    let storage = Arc::new(MemoryRegistry::honest());
    let target = storage.clone();
    let registry = with_content(&sample, move |request, memory| {
        let digest: Digest = request.path.rsplit('/').next()?.parse().ok()?;
        if !request.is("GET", "/blobs/") {
            return None;
        }
        if request.header("authorization").is_none() {
            return Some(Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\"").into());
        }
        target.memory.put_blob(&memory.blob(&digest)?);
        let location = format!("http://{}{}?signature=s3cret", target.server.alias(), request.path);
        Some(Reply::new(307).header("Location", location).into())
    });
    let recorder = Recorder::default();
    let known = client_with(&recorder).offering(&registry.server.host(), password("me", "hunter2"));
    pull(&known, &registry.repository("r")).unwrap();
    let log = storage.memory.log();
    assert!(!log.is_empty() && log.iter().all(|request| request.header("authorization").is_none()), "{log:?}");
    let said = recorder.texts().join("\n");
    assert!(said.contains("/blobs/") && !said.contains("s3cret") && !said.contains("hunter2"), "{said}");
}

#[test]
fn a_realm_on_another_host_gets_no_credentials() {
    let thief = Arc::new(MemoryRegistry::honest());
    for realm in [format!("http://{}/token", thief.server.alias()), "https://tokens.example.test/token".to_owned()] {
        let challenge = format!("Bearer realm=\"{realm}\",service=\"x\"");
        let registry = MemoryRegistry::scripted(Quirks::default(), move |_, _| {
            Some(Reply::new(401).header("WWW-Authenticate", challenge.clone()).into())
        });
        let known = client().offering(&registry.server.host(), password("me", "hunter2"));
        let error = pull(&known, &registry.repository("r")).unwrap_err();
        assert!(error.to_string().contains("unencrypted") || error.to_string().contains("credentials to be sent"), "{error}");
        assert_eq!(error.class(), plugin_oci::failure::Class::Usage);
        assert!(hint(error.inner()).is_some());
    }
    assert!(thief.memory.log().is_empty());
}

#[test]
fn redirects_without_end_are_left_after_ten() {
    let sample = big();
    let registry = with_content(&sample, |request, _| {
        request.is("GET", "/blobs/").then(|| Reply::new(302).header("Location", request.path.clone()).into())
    });
    let before = registry.memory.count("GET", "/blobs/");
    let error = pull(&client(), &registry.repository("r")).unwrap_err();
    assert!(error.to_string().contains("redirects without end"), "{error}");
    // One worker or two have tried before all have stopped.
    assert!(registry.memory.count("GET", "/blobs/") - before <= 4 * 11);
}

#[test]
fn redirects_of_an_upload_have_an_end_too() {
    let registry = MemoryRegistry::scripted(Quirks::default(), |request, _| {
        let location = format!("{}?state=next", request.path);
        request.is("PUT", "/uploads/").then(|| Reply::new(307).header("Location", location).into())
    });
    assert!(push(&client(), &big(), &registry.repository("r")).is_err());
    assert!(registry.memory.count("PUT", "/uploads/") <= 4 * 12);
}

#[test]
fn no_way_leads_to_what_is_not_http_or_has_user_names() {
    for location in ["file:///etc/passwd", "ftp://127.0.0.1/", "http://me:you@127.0.0.1/", "http://10.1.2.3/", "\u{1b}[2J"] {
        let registry =
            MemoryRegistry::scripted(Quirks::default(), move |_, _| Some(Reply::new(307).header("Location", location).into()));
        let error = pull(&client(), &registry.repository("r")).unwrap_err();
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }
}

/// A registry with its own token server. The first token is refused from the first upload on; `good` says whether any is taken.
fn with_tokens(good: bool) -> MemoryRegistry {
    let issued = AtomicUsize::new(0);
    let expired = AtomicUsize::new(0);
    MemoryRegistry::scripted(Quirks::default(), move |request, _| {
        if request.path == "/token" {
            assert_eq!(request.header("authorization"), Some("Basic bWU6aHVudGVyMg=="));
            let number = issued.fetch_add(1, Ordering::SeqCst) + 1;
            return Some(Reply::new(200).body(format!("{{\"token\":\"t{number}\",\"expires_in\":3600}}")).into());
        }
        if request.is("PUT", "/uploads/") {
            expired.fetch_max(1, Ordering::SeqCst);
        }
        let number = request.header("authorization").and_then(|text| text.strip_prefix("Bearer t")?.parse::<usize>().ok());
        if good && number.is_some_and(|number| number > expired.load(Ordering::SeqCst)) {
            return None;
        }
        let realm = format!("http://{}/token", request.header("host")?);
        let challenge = format!("Bearer realm=\"{realm}\",service=\"here\",scope=\"repository:r:pull,push\"");
        Some(Reply::new(401).header("WWW-Authenticate", challenge).into())
    })
}

#[test]
fn a_token_that_expires_on_the_way_is_renewed() {
    let registry = with_tokens(true);
    let recorder = Recorder::default();
    let known = client_with(&recorder).offering(&registry.server.host(), password("me", "hunter2"));
    let sample = Sample::image("tokens", 1000);
    push(&known, &sample, &registry.repository("r")).unwrap_or_else(|error| panic!("{error}: {}", recorder.texts().join("\n")));
    assert!(registry.memory.tag("r", "1.0").is_some());
    assert_eq!(registry.memory.count("GET", "/token"), 2);
    let asked = registry.memory.log().into_iter().find(|request| request.path == "/token").unwrap();
    assert_eq!(asked.query.get("service").map(String::as_str), Some("here"));
    assert_eq!(asked.query.get("scope").map(String::as_str), Some("repository:r:pull,push"));
}

#[test]
fn a_token_that_is_never_good_is_renewed_once_and_no_more() {
    let registry = with_tokens(false);
    let known = client().offering(&registry.server.host(), password("me", "hunter2"));
    let error = pull(&known, &registry.repository("r")).unwrap_err();
    assert!(error.to_string().contains("was denied (401"), "{error}");
    assert_eq!(registry.memory.count("GET", "/token"), 1);
}

#[test]
fn a_server_cannot_write_to_the_terminal() {
    // A header with plain escapes is not even HTTP; those of eight bits, and everything in bodies, get further.
    for (warning, passed_on) in [("299 - \"\u{1b}[31mred\u{7}\"", false), ("299 - \"\u{9b}31mred\u{9d}\u{202e}\"", true)] {
        let registry = MemoryRegistry::scripted(Quirks::default(), move |request, _| {
            let reply = Reply::new(if request.is("GET", "/manifests/") { 400 } else { 404 }).header("Warning", warning);
            let body = r#"{"errors":[{"code":"\u001b[2J","message":"\u001b]0;title\u0007 gone"}]}"#;
            Some(reply.body(body).into())
        });
        let recorder = Recorder::default();
        let error = pull(&client_with(&recorder), &registry.repository("r")).unwrap_err();
        let said = format!("{error}{}", recorder.texts().join(""));
        assert_eq!(said.contains("says: 31mred") && said.contains("gone"), passed_on, "{said}");
        assert!(!said.chars().any(|c| c.is_control() || c == '\u{202e}'), "{said:?}");
    }
}

#[test]
fn a_peer_that_falls_silent_is_given_up() {
    let sample = big();
    let silent_head = MemoryRegistry::scripted(Quirks::default(), |_, _| Some(Answer::Stall(Vec::new())));
    let error = pull(&client(), &silent_head.repository("r")).unwrap_err();
    assert!(error.to_string().contains("nothing moved for"), "{error}");
    let silent_body = with_content(&sample, |request, memory| {
        let Answer::Reply(reply) = memory.honest(request) else { return None };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", reply.body.len());
        request.is("GET", "/blobs/").then(|| Answer::Stall([head.as_bytes(), &reply.body[..reply.body.len() / 2]].concat()))
    });
    let error = pull(&client(), &silent_body.repository("r")).unwrap_err();
    assert!(error.to_string().contains("nothing moved for"), "{error}");
}

#[test]
fn pages_that_lead_away_or_in_circles_have_an_end() {
    let away = MemoryRegistry::scripted(Quirks::default(), |_, _| {
        Some(
            Reply::new(200).header("Link", "<http://localhost:1/v2/r/tags/list>; rel=\"next\"").body("{\"tags\":[\"a\"]}").into(),
        )
    });
    let client = client();
    assert!(Repository::new(&client, &away.repository("r")).tag_names().is_err());
    let circle = MemoryRegistry::scripted(Quirks::default(), |_, _| {
        Some(Reply::new(200).header("Link", "</v2/r/tags/list?n=1>; rel=\"next\"").body("{\"tags\":[\"a\"]}").into())
    });
    assert!(Repository::new(&client, &circle.repository("r")).tag_names().is_err());
    let hostile =
        MemoryRegistry::scripted(Quirks::default(), |_, _| Some(Reply::new(200).body("{\"tags\":[\"../x\\u001b\"]}").into()));
    let error = Repository::new(&client, &hostile.repository("r")).tag_names().unwrap_err();
    assert!(!error.to_string().contains('\u{1b}'));
}

#[test]
fn encryption_is_not_given_up_for_a_host_that_is_not_named() {
    let plain = settings().plain_http;
    assert!(plain.is_empty());
    let registry = MemoryRegistry::honest();
    push(&client(), &Sample::image("plain", 100), &registry.repository("r")).unwrap();
    // The same server under a name that is no loopback address for this tool, as far as text goes.
    let client = Client::new(settings(), &plugin_oci::environment::Environment::default(), &plugin_oci::progress::Silent);
    let named =
        plugin_oci::values::reference::RegistryReference::parse(&format!("127.0.0.1.nip.test:{}/r", registry.server.port))
            .unwrap();
    assert!(Repository::new(&client, &named).resolve(&Selector::Only).is_err());
}

#[test]
fn a_refresh_token_goes_to_the_token_server_alone() {
    let registry = MemoryRegistry::scripted(Quirks::default(), |request, _| {
        if request.path == "/token" {
            let form = String::from_utf8(request.body.clone()).unwrap();
            let wanted = "grant_type=refresh_token&service=here&client_id=cargo-plugin-build&scope=repository:r:pull&refresh_token=r%3Dfresh";
            assert_eq!((request.method.as_str(), form.as_str(), request.header("authorization")), ("POST", wanted, None));
            return Some(Reply::new(200).body(r#"{"access_token":"granted"}"#).into());
        }
        assert!(!format!("{request:?}").contains("fresh"));
        if request.header("authorization") == Some("Bearer granted") {
            return None;
        }
        let challenge = format!("Bearer realm=\"http://{}/token\",service=\"here\"", request.header("host")?);
        Some(Reply::new(401).header("WWW-Authenticate", challenge).into())
    });
    let dir = tempfile::tempdir().unwrap();
    let authfile = dir.path().join("auth.json");
    let entry = format!(r#"{{"auths":{{"{}":{{"identitytoken":"r=fresh"}}}}}}"#, registry.server.host());
    std::fs::write(&authfile, entry).unwrap();
    let settings = plugin_oci::stores::registry::Settings { authfile: Some(authfile), ..settings() };
    let client = Client::new(settings, &plugin_oci::environment::Environment::default(), &plugin_oci::progress::Silent);
    let error = Repository::new(&client, &registry.repository("r")).resolve(&Selector::Only).unwrap_err();
    assert!(error.to_string().contains("has no `latest`"), "{error}");
    assert_eq!(registry.memory.count("POST", "/token"), 1);
}

#[test]
fn a_referrer_that_is_listed_and_gone_is_left_behind_with_a_word() {
    let sample = Sample::image("gone", 100).with_referrer();
    let referrer = sample.referrers(&sample.root().digest).unwrap()[0].digest.clone();
    let gone = format!("/manifests/{referrer}");
    let registry = with_content(&sample, move |request, _| request.is("GET HEAD", &gone).then(|| Reply::new(404).into()));
    let recorder = Recorder::default();
    let client = client_with(&recorder);
    let at = registry.repository("r");
    let source = Repository::new(&client, &at);
    let dir = tempfile::tempdir().unwrap();
    let writer = LayoutWriter::new(dir.path(), Obsolete::Keep, &recorder).unwrap();
    copy::copy(&source, &writer, sample.root(), &super::tagged("1.0"), &recorder).unwrap();
    assert!(recorder.texts().iter().any(|text| text.contains(&referrer.to_string()) && text.contains("left behind")));
}
