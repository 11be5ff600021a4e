//! A server in the care of others: whether it works, who asks, by what, and how it stops.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use plugin_oci::values::digest::Digest;
use serde_json::Value;

use crate::support::client::{Answer, Client, location, with};
use crate::support::memory_bucket::{BUCKET, MemoryBucket};
use crate::support::program::wait_until;
use crate::support::server::{Place, Server};
use crate::support::tools::{require, stdout};

#[test]
fn it_tells_whether_it_works_and_who_asks() {
    let place = Place::directory();
    let log = place.dir.path().join("log");
    let mut command = place.command("serve");
    command.args(["--auth", "--access-log"]).stderr(std::fs::File::create(&log).unwrap());
    let server = Server::start(&mut command);
    let client = Client::new(vec![server.host.clone()]);
    for path in ["/healthz", "/readyz"] {
        client.get(path).is(200);
        client.head(path).is(200);
    }
    let output = place.alone("token").args(["--repo", "*", "--push"]).output().unwrap();
    let (token, told) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let credentials = format!("Bearer {}", token.trim());
    let begun = client.send("POST", "/v2/a/blobs/uploads/", &[("Authorization", &credentials)], b"").is(202);
    client.send("PATCH", &location(&begun), &[("Authorization", &credentials)], b"x").is(202);
    client.get("/v2/a/tags/list").is(401);
    let metrics = String::from_utf8(client.get("/metrics").is(200).body).unwrap();
    for line in [
        "plugin_registry_requests_total{method=\"POST\",code=\"202\"} 1",
        "plugin_registry_requests_total{method=\"GET\",code=\"401\"} 1",
        "plugin_registry_requests_at_work 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{text}");
    // Whose token it was, and nothing that opens anything.
    assert!(lines[0]["token"].as_str().is_some_and(|id| told.contains(id)), "{text}");
    assert_eq!((&lines[1]["path"], &lines[1]["status"]), (&"/v2/a/blobs/uploads/".into(), &202.into()));
    assert!(!text.contains(token.trim()) && !text.contains(location(&begun).rsplit('/').next().unwrap()));
}

/// Begins to send a chunk, and leaves it open.
fn half_sent(host: &str, url: &str) -> TcpStream {
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "PATCH {url} HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\nConnection: close\r\n\r\nhalf").unwrap();
    stream
}

/// Whether something has come back.
fn is_answered(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let is_answered = stream.peek(&mut [0]).is_ok();
    stream.set_nonblocking(false).unwrap();
    is_answered
}

#[test]
fn too_many_are_told_to_come_again_and_a_stop_lets_requests_end() {
    let place = Place::directory();
    let mut server = place.serve(&["--max-requests", "1"]);
    let client = Client::new(vec![server.host.clone()]);
    let url = client.begin("a");
    let mut stream = half_sent(&server.host, &url);
    wait_until("the request is at work", || {
        // A request before it may not be quite over when its client has all of the answer: then this one is told to come again.
        if is_answered(&stream) {
            stream = half_sent(&server.host, &url);
        }
        client.get("/v2/").status == 429 && !is_answered(&stream)
    });
    let busy = client.get("/v2/");
    assert_eq!((busy.header("Retry-After"), busy.code().as_str()), (Some("1"), "TOOMANYREQUESTS"));
    // Whoever looks after it is told all the same.
    client.get("/healthz").is(200);
    let leases = place.objects().join("_r/leases");
    assert_eq!(plugin_oci::fs::sorted_listing(&leases).unwrap().len(), 1);
    server.terminate();
    wait_until("nobody is let in", || TcpStream::connect(&server.host).is_err());
    stream.write_all(b"rest").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let next = location(&Answer::parse(&answer).unwrap().is(202));
    assert!(server.wait());
    assert!(plugin_oci::fs::sorted_listing(&leases).unwrap().is_empty(), "it keeps nobody away any more");
    // And another replica goes on.
    let server = place.serve(&[]);
    let client = Client::new(vec![server.host.clone()]);
    client.send("PUT", &with(&next, &format!("digest={}", Digest::of(b"halfrest"))), &[], b"").is(201);
}

#[test]
#[ignore = "needs SeaweedFS"]
fn who_pulls_is_led_to_the_bucket() {
    let Some(place) = Place::seaweed() else { return };
    let server = place.serve(&["--redirect"]);
    let client = Client::new(vec![server.host.clone()]);
    let digest = Digest::of(b"bytes");
    client.push_blob("a", &digest.to_string(), b"bytes");
    let led = client.get(&format!("/v2/a/blobs/{digest}")).is(307);
    let url = led.header("Location").unwrap();
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    assert_eq!(Client::new(vec![host.to_owned()]).get(&format!("/{path}")).is(200).body, b"bytes");
    client.get(&format!("/v2/a/blobs/{}", Digest::of(b"none"))).is(404);
}

#[test]
#[ignore = "needs openssl and skopeo"]
fn it_speaks_tls() {
    let (Some(openssl), Some(skopeo)) = (require("openssl"), require("skopeo")) else { return };
    let place = Place::directory();
    let path = |name: &str| place.dir.path().join(name).display().to_string();
    let mut make = Command::new(openssl);
    make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=x"]);
    make.args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", &path("key.pem"), "-out", &path("ca.crt")]);
    stdout(make.stderr(Stdio::null()));
    let server = place.serve(&["--tls-cert", &path("ca.crt"), "--tls-key", &path("key.pem")]);
    // One that says nothing keeps nobody else from it.
    let _silent = TcpStream::connect(&server.host).unwrap();
    let layout = format!("oci:{}/../../fixtures/layouts/v1:gzip", env!("CARGO_MANIFEST_DIR"));
    let to = format!("docker://{}/greeter:1.0", server.host);
    stdout(Command::new(skopeo).args(["copy", "--all", "--dest-cert-dir", &path(""), &layout, &to]));
}

/// What AWS's own tools read leads to the bucket; and whatever serves its objects as files says that it is a registry.
#[test]
fn a_profile_leads_to_a_bucket_which_says_what_it_is() {
    let (store, place) = (MemoryBucket::start(), Place::directory());
    let aws = place.dir.path().join(".aws");
    std::fs::create_dir(&aws).unwrap();
    std::fs::write(aws.join("credentials"), "[other]\naws_access_key_id = key\naws_secret_access_key = secret\n").unwrap();
    let config = format!("[profile other]\nregion = here-1\nendpoint_url = http://{}/\n", store.server.host());
    std::fs::write(aws.join("config"), config).unwrap();
    let mut command = place.alone("serve");
    command.arg(format!("s3://{BUCKET}/below")).env("HOME", place.dir.path()).env("AWS_PROFILE", "other");
    let server = Server::start(&mut command);
    let client = Client::new(vec![server.host.clone()]);
    for bytes in [&b"one"[..], b"two"] {
        client.push_blob("a", &Digest::of(bytes).to_string(), bytes);
    }
    assert_eq!(store.bucket.objects()["below/v2/"].bytes, b"{}");
    let asked = store.bucket.take_requests();
    assert_eq!(asked.iter().filter(|asked| asked.ends_with(" below/v2/")).collect::<Vec<_>>(), ["PUT below/v2/"]);
}
