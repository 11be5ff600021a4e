//! Requests that nobody means well with: each is refused, and the server goes on.

use plugin_oci::values::digest::Digest;

use crate::support::client::{Answer, Client, raw};
use crate::support::server::Place;

/// First lines.
const LINES: &[&str] = &[
    "CONNECT 127.0.0.1:1 HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    "TRACE /v2/a/tags/list HTTP/1.1",
    "GET http://other/v2/a/tags/list HTTP/1.1",
    "GET file:///etc/passwd HTTP/1.1",
    "GET //v2/a/tags/list HTTP/1.1",
    "GET /v2/a/tags/list",
    "GET  /v2/a/tags/list HTTP/1.1",
    "GET /v2/a/tags/list HTTP/1.1 HTTP/1.1",
    "GET /v2/a/tags/list HTTP/2.0",
    "G\0T /v2/a/tags/list HTTP/1.1",
    "PRI * HTTP/2.0",
    "GET /v2/a/tags/list#/../../_r/keys HTTP/1.1",
    "POST /v2/a/blobs/uploads/?mount=sha256:x&from=a HTTP/1.1",
    "POST /v2/a/blobs/uploads/?mount=../../_r/keys&from=../.. HTTP/1.1",
    "POST /v2/a/blobs/uploads/?digest-algorithm=md5 HTTP/1.1",
    "GET /v2/a/tags/list?n=-1 HTTP/1.1",
    "GET /v2/a/tags/list?n=18446744073709551616 HTTP/1.1",
];

/// Everything that is sent, as it is.
fn requests() -> Vec<Vec<u8>> {
    let digest = Digest::of(b"x");
    let long = "a".repeat(5000);
    let names = [
        "..",
        ".",
        "a/..",
        "../a",
        "a//b",
        "A",
        "a_",
        "_a",
        "a/",
        "a%00b",
        "a%2f..%2fb",
        "%2e%2e",
        "a\\b",
        "a;b",
        "a b",
        "é",
        "index.html",
        "blobs",
        "a/manifests",
        "a/blobs/b",
        "tags/list",
        "a___b",
        "a..b",
        "-a",
        "a?b",
        &long,
    ];
    let digests = [
        "sha256:",
        "sha256:x",
        "sha256:../../../../etc/passwd",
        "sha256:%2e%2e%2f",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "sha512:00",
        ":",
        "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
        "sha256:0000000000000000000000000000000000000000000000000000000000000000000",
        "latest:sha256",
    ];
    let tags = [".", "..", "-x", "a%2fb", "a/b", "é", &long[..129], "%00", ".hidden", "a+b"];
    let sessions = ["x", "..", "x.y", "e30.e30", "e30.", ".", "%2e%2e", &long];
    let mut paths: Vec<String> =
        vec!["/v2x", "/v2/_catalog/x/", "/_r/keys", "/v2/_r/keys", "/v2/../_r/keys", "/v2/%2e%2e/_r/keys", "*"]
            .into_iter()
            .map(str::to_owned)
            .collect();
    for name in names {
        paths.push(format!("/v2/{name}/tags/list"));
        paths.push(format!("/v2/{name}/blobs/{digest}"));
        paths.push(format!("/v2/{name}/manifests/latest"));
    }
    for digest in digests {
        paths.extend(["blobs", "manifests", "referrers"].map(|kind| format!("/v2/a/{kind}/{digest}")));
    }
    paths.extend(tags.iter().map(|tag| format!("/v2/a/manifests/{tag}")));
    paths.extend(sessions.iter().map(|session| format!("/v2/a/blobs/uploads/{session}")));
    let mut all: Vec<Vec<u8>> = Vec::new();
    for path in &paths {
        all.push(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").into_bytes());
        all.push(format!("PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}").into_bytes());
    }
    let put = "PUT /v2/a/manifests/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    let post = "POST /v2/a/blobs/uploads/?digest=";
    for rest in framings() {
        all.push(format!("{put}{rest}").into_bytes());
    }
    for query in ["", "x", "sha256:x", &digest.to_string(), "%00", "..&digest=x"] {
        all.push(format!("{post}{query} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nConnection: close\r\n\r\ny").into_bytes());
    }
    for line in LINES {
        all.push(format!("{line}\r\nHost: x\r\nConnection: close\r\n\r\n").into_bytes());
    }
    all.push(format!("GET /v2/{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "a/".repeat(40_000)).into_bytes());
    all.push(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec());
    all.push(b"GET / HTTP/9.9\r\n\r\n".to_vec());
    all.push(b"GET /v2/a/tags/list?n=99999999999999999999 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec());
    all
}

/// Heads, from the second line on, and bodies, that end elsewhere than they say, or nowhere.
fn framings() -> Vec<String> {
    let nested = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    vec![
        // Two lengths, a length and chunks, lengths that are none.
        "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}".to_owned(),
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n".to_owned(),
        "Content-Length: -1\r\n\r\n".to_owned(),
        "Content-Length: +2\r\n\r\n{}".to_owned(),
        "Content-Length: 18446744073709551616\r\n\r\n".to_owned(),
        "Content-Length: 18446744073709551615\r\n\r\n{}".to_owned(),
        "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}".to_owned(),
        "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n".to_owned(),
        format!("Content-Length: {}\r\n\r\n{nested}", nested.len()),
        "Content-Length: 9\r\n\r\n{\"a\":1e9}".to_owned(),
        "Content-Length: 2\r\nContent-Type: text/html\r\n\r\n{}".to_owned(),
        format!("X: {}\r\nContent-Length: 2\r\n\r\n{{}}", "x".repeat(40_000)),
        format!("{}Content-Length: 2\r\n\r\n{{}}", "X: y\r\n".repeat(150)),
        "X : y\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
        // Lines that go on, names and values that are none.
        "X: y\r\n z\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
        "Transfer-Encoding:\r\n chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n".to_owned(),
        "X: \0\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
        "X\0Y: z\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
        "X: y\rContent-Length: 2\r\n\r\n{}".to_owned(),
        ": y\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
        "Content-Length: 2\n\n{}".to_owned(),
        // Encodings and lengths that some read so and others so.
        "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "Content-Length: 2, 2\r\n\r\n{}".to_owned(),
        "Content-Length: 0x2\r\n\r\n{}".to_owned(),
        "Content-Length: 2 2\r\n\r\n{}".to_owned(),
        "Content-Length: \r\n\r\n{}".to_owned(),
        // Chunks.
        "Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\n\r\n2 2\r\n{}\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\n\r\n2;a\nb\r\n{}\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\n\r\n100000000000000002\r\n{}\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n".to_owned(),
        format!("Transfer-Encoding: chunked\r\n\r\n2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(40_000)),
        format!("Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n{}\r\n", "X: y\r\n".repeat(20_000)),
        "Expect: 200-maybe\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
        "Content-Type: application/vnd.oci.image.manifest.v1+json\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"
            .to_owned(),
    ]
}

#[test]
fn whatever_is_sent_is_refused_and_nothing_is_written() {
    let place = Place::directory();
    let server = place.serve(&["--patience", "1"]);
    let client = Client::new(vec![server.host.clone()]);
    let requests = requests();
    assert!(requests.len() > 250);
    for request in &requests {
        let answer = raw(&server.host, request);
        let shown = String::from_utf8_lossy(&request[..request.len().min(200)]).into_owned();
        match Answer::parse(&answer) {
            Some(answer) => assert!((400..500).contains(&answer.status), "{shown}: {answer:?}"),
            // What is no HTTP gets no answer.
            None => assert!(answer.is_empty(), "{shown}"),
        }
    }
    client.get("/v2/").is(200);
    // Only the head of the store, and who serves.
    let v2 = plugin_oci::fs::sorted_listing(&place.objects().join("v2")).unwrap();
    assert_eq!(v2, ["index.html"]);
    let parts = plugin_oci::fs::sorted_listing(&place.objects().join("_r/up"));
    assert!(parts.is_ok_and(|parts| parts.is_empty()));
}

#[test]
fn a_client_that_says_nothing_is_told_so() {
    let place = Place::directory();
    let server = place.serve(&["--patience", "1", "--max-blob", "1000"]);
    let client = Client::new(vec![server.host.clone()]);
    let head = |url: &str, length: usize| format!("PATCH {url} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\nsome");
    let url = client.begin("a");
    let slow = Answer::parse(&raw_open(&server.host, head(&url, 100).as_bytes())).unwrap().is(408);
    assert_eq!(slow.code(), "BLOB_UPLOAD_INVALID");
    client.send("PATCH", &url, &[], &[0; 1001]).is(413);
    let answer = Answer::parse(&raw_open(&server.host, head(&url, 2000).as_bytes())).unwrap();
    answer.is(413);
    // Nor is one waited for that says nothing, or never all of its head.
    for begun in ["", "GET /v2/ HT", "GET /v2/ HTTP/1.1\r\nHost: x\r\nX: y"] {
        let answer = raw_open(&server.host, begun.as_bytes());
        assert!(Answer::parse(&answer).is_none_or(|answer| answer.status == 408), "{begun}");
    }
}

/// Sends a part, and waits.
fn raw_open(host: &str, bytes: &[u8]) -> Vec<u8> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}
