//! What a registry may ask for: credentials at another door, more leave than the work needs, and any amount of time.

use std::sync::Arc;
use std::time::Duration;

use crate::hints::hint;
use plugin_oci::environment::Environment;
use plugin_oci::failure::Class;
use plugin_oci::progress::Silent;
use plugin_oci::stores::registry::{Client, Floor, Settings, Timeouts};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::reference::RegistryReference;

use super::{client, password, pull, push, settings};
use crate::support::http_server::{Answer, Handler, Reply, Request, Server};
use crate::support::memory_registry::{MemoryRegistry, Quirks};
use crate::support::sample::Sample;

/// A registry whose token server is at another place.
fn with_realm(realm: &str) -> MemoryRegistry {
    let challenge = format!("Bearer realm=\"{realm}\",service=\"here\"");
    MemoryRegistry::scripted(Quirks::default(), move |request, _| {
        let known = request.header("authorization") == Some("Bearer good");
        (!known).then(|| Reply::new(401).header("WWW-Authenticate", challenge.clone()).into())
    })
}

fn token_server() -> MemoryRegistry {
    MemoryRegistry::scripted(Quirks::default(), |_, _| Some(Reply::new(200).body("{\"token\":\"good\"}").into()))
}

#[test]
fn a_realm_at_another_port_of_the_same_host_gets_credentials_only_when_it_is_trusted() {
    let other = Arc::new(token_server());
    let registry = with_realm(&format!("http://{}/token", other.server.host()));
    let known = |trusted: &[String]| {
        let settings = Settings { trust_realms: trusted.to_vec(), ..settings() };
        Client::new(settings, &Environment::default(), &Silent).offering(&registry.server.host(), password("me", "hunter2"))
    };
    let elsewhere = format!("127.0.0.1:{}", registry.server.port);
    for trusted in [vec![], vec![elsewhere]] {
        let error = pull(&known(&trusted), &registry.repository("r")).unwrap_err();
        let wanted = format!("wants credentials to be sent to {}", other.server.host());
        assert!(error.to_string().contains(&wanted), "{error}");
        assert_eq!(error.class(), Class::Usage);
        assert_eq!(
            hint(error.inner()).unwrap(),
            format!("if that is its token server, add `--trust-realm {}`", other.server.host())
        );
    }
    assert!(other.memory.log().is_empty());
    let sample = Sample::image("door", 1000);
    for trusted in [other.server.host(), "127.0.0.1".to_owned()] {
        push(&known(&[trusted]), &sample, &registry.repository("r")).unwrap();
    }
    assert!(!other.memory.log().is_empty());
    // Nobody's credentials are at stake: any door will do.
    push(&client(), &sample, &registry.repository("r")).unwrap();
}

#[test]
fn a_realm_of_the_same_host_by_another_scheme_gets_no_credentials() {
    let registry = with_realm("https://127.0.0.1/token");
    let known = client().offering(&registry.server.host(), password("me", "hunter2"));
    let error = pull(&known, &registry.repository("r")).unwrap_err();
    assert!(error.to_string().contains("wants credentials to be sent to 127.0.0.1"), "{error}");
}

#[test]
fn a_challenge_adds_nothing_to_the_leave_that_the_work_needs() {
    let sample = Sample::image("scopes", 1000);
    let registry = MemoryRegistry::scripted(Quirks::default(), |request, _| {
        if request.path == "/token" {
            return Some(Reply::new(200).body("{\"token\":\"good\"}").into());
        }
        if request.header("authorization") == Some("Bearer good") {
            return None;
        }
        let scope = "repository:r:pull,push,delete repository:other:pull registry:catalog:*";
        let challenge = format!("Bearer realm=\"http://{}/token\",scope=\"{scope}\"", request.header("host")?);
        Some(Reply::new(401).header("WWW-Authenticate", challenge).into())
    });
    push(&client(), &sample, &registry.repository("r")).unwrap();
    pull(&client(), &registry.repository("r")).unwrap();
    let asked = registry.memory.log().into_iter().filter(|request| request.path == "/token");
    // Of several scopes, the last is seen here: those of the challenge come after ours.
    let scopes: Vec<String> = asked.map(|request| request.query["scope"].clone()).collect();
    assert_eq!(scopes, ["repository:r:pull,push", "repository:r:pull"]);
}

/// A client that gives up who moves less than a megabyte a second, and nobody for being still a while, as a busy machine is.
fn hasty(answer: Duration) -> Client<'static> {
    demanding(1 << 20, answer)
}

/// A client that gives up who moves less than `speed` bytes a second.
fn demanding(speed: u64, answer: Duration) -> Client<'static> {
    let floor = Floor { speed, time: Duration::from_millis(60) };
    let timeouts = Timeouts { floor, answer, stall: Duration::from_mins(1), ..settings().timeouts };
    Client::new(Settings { timeouts, ..settings() }, &Environment::default(), &Silent)
}

#[test]
fn a_body_that_trickles_is_given_up() {
    let sample = Sample::of_platform("slow", "linux/amd64", 700_000);
    for (part, head) in [("/blobs/", "Content-Length: 700000"), ("/manifests/", "Content-Type: x\r\nContent-Length: 700000")] {
        let registry = MemoryRegistry::scripted(Quirks::default(), move |request, _| {
            let slow = request.is("GET", part);
            slow.then(|| Answer::Trickle(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").into_bytes()))
        });
        push(&client(), &sample, &registry.repository("r")).unwrap();
        let error = pull(&hasty(Duration::from_mins(1)), &registry.repository("r")).unwrap_err().to_string();
        assert!(error.contains(&registry.server.host()) && error.contains("less than 1048576 a second"), "{part}: {error}");
    }
}

#[test]
fn a_token_that_trickles_is_given_up() {
    let registry = MemoryRegistry::scripted(Quirks::default(), |request, _| {
        if request.path == "/token" {
            return Some(Answer::Trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n".to_vec()));
        }
        let challenge = format!("Bearer realm=\"http://{}/token\"", request.header("host")?);
        Some(Reply::new(401).header("WWW-Authenticate", challenge).into())
    });
    let error = pull(&hasty(Duration::from_mins(1)), &registry.repository("r")).unwrap_err().to_string();
    assert!(error.contains("/token") && error.contains("less than 1048576 a second"), "{error}");
}

#[test]
fn a_body_whose_chunks_hold_next_to_nothing_is_given_up() {
    for part in ["/blobs/", "/manifests/", "/token"] {
        let registry = MemoryRegistry::scripted(Quirks::default(), move |request, memory| {
            let head = b"HTTP/1.1 200 OK\r\nContent-Type: x\r\nTransfer-Encoding: chunked\r\n\r\n";
            // What is small is found to be too long before it is found to be slow.
            let digest = request.path.rsplit('/').next()?.parse::<Digest>().ok();
            let is_small = digest.and_then(|digest| memory.blob(&digest)).is_some_and(|blob| blob.len() < 1000);
            if request.is("GET", part) && !is_small {
                return Some(Answer::Padded(head.to_vec()));
            }
            let challenge = format!("Bearer realm=\"http://{}/token\"", request.header("host")?);
            (part == "/token").then(|| Reply::new(401).header("WWW-Authenticate", challenge).into())
        });
        if part != "/token" {
            push(&client(), &Sample::of_platform("padded", "linux/amd64", 700_000), &registry.repository("r")).unwrap();
        }
        let error = pull(&hasty(Duration::from_mins(1)), &registry.repository("r")).unwrap_err().to_string();
        assert!(error.contains(&registry.server.host()) && error.contains("less than 1048576 a second"), "{part}: {error}");
    }
}

#[test]
fn a_head_that_trickles_is_given_up() {
    let registry = MemoryRegistry::scripted(Quirks::default(), |_, _| Some(Answer::Trickle(b"HTTP/1.1 200 OK\r\nX:".to_vec())));
    let error = pull(&hasty(Duration::from_millis(60)), &registry.repository("r")).unwrap_err().to_string();
    assert!(error.contains(&registry.server.host()) && error.contains("no answer came"), "{error}");
}

/// Takes what is uploaded by small sips.
struct Sipper;

impl Handler for Sipper {
    fn answer(&self, request: &Request) -> Answer {
        match request.method.as_str() {
            "POST" => Reply::new(202).header("Location", "/v2/r/blobs/uploads/1").into(),
            "PUT" | "PATCH" => Reply::new(201).into(),
            _ => Reply::new(404).into(),
        }
    }

    fn sips(&self, request: &Request) -> bool {
        request.is("PUT PATCH", "/uploads/")
    }
}

#[test]
fn an_upload_that_is_taken_too_slowly_is_given_up() {
    let server = Server::start(Arc::new(Sipper));
    let to = RegistryReference::parse(&format!("{}/r", server.host())).unwrap();
    // Buffers between the two hold ten megabytes, which count as moved at once.
    let client = demanding(16 << 20, Duration::from_mins(1));
    let error = push(&client, &Sample::of_platform("sips", "linux/amd64", 24 << 20), &to).unwrap_err().to_string();
    assert!(error.contains(&server.host()) && error.contains("less than 16777216 a second"), "{error}");
}
