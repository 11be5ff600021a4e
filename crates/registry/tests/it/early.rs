//! Requests that are refused before their bodies were sent: the client can send all, and hears why.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::support::client::Client;
use crate::support::server::Place;

const LONG: usize = 16 << 20;

/// Sends all of a request and reads its answer; the status.
fn ask(host: &str, head: &str, length: usize) -> u16 {
    let connection = TcpStream::connect(host).unwrap();
    let mut writing = &connection;
    writing.write_all(format!("{head}\r\nHost: x\r\nContent-Length: {length}\r\n\r\n").as_bytes()).unwrap();
    let piece = vec![b'x'; 1 << 20];
    let mut left = length;
    while left > 0 {
        let now = left.min(piece.len());
        writing.write_all(&piece[..now]).unwrap_or_else(|error| panic!("{head}: {left} bytes before the end: {error}"));
        left -= now;
    }
    // The connection ends with the answer, so that nobody waits for the rest.
    let mut answer = String::new();
    (&connection).read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn who_is_refused_early_hears_why() {
    let place = Place::directory();
    let server = place.serve(&["--max-blob", "1000000", "--anonymous", "public/*", "--patience", "2"]);
    let other = Place::directory();
    let open = other.serve(&["--max-blob", "1000000"]);
    let client = Client::new(vec![open.host.clone()]);
    let begun = client.begin("a");
    let digest = plugin_oci::values::digest::Digest::of(b"other");
    for (head, status) in [
        (format!("PATCH {begun} HTTP/1.1\r\nContent-Range: 5-{}", LONG + 4), 416),
        (format!("PUT {begun}?digest={digest} HTTP/1.1\r\nContent-Range: 5-{}", LONG + 4), 416),
        (format!("PATCH {begun} HTTP/1.1"), 413),
        ("PATCH /v2/a/blobs/uploads/none HTTP/1.1".to_owned(), 404),
        (format!("POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1"), 413),
        ("PUT /v2/a/manifests/x HTTP/1.1".to_owned(), 413),
        ("POST /v2/a/tags/list HTTP/1.1".to_owned(), 405),
        ("PUT /v2/A/manifests/x HTTP/1.1".to_owned(), 400),
    ] {
        assert_eq!(ask(&open.host, &head, LONG), status, "{head}");
    }
    assert_eq!(ask(&server.host, "PUT /v2/a/manifests/x HTTP/1.1", LONG), 401);
}

#[test]
fn who_waits_for_leave_to_send_is_not_given_it() {
    let place = Place::directory();
    let server = place.serve(&[]);
    let mut connection = TcpStream::connect(&server.host).unwrap();
    let head = "PATCH /v2/a/blobs/uploads/none HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n";
    connection.write_all(head.as_bytes()).unwrap();
    // The connection ends with the answer: nobody knows whether the body comes.
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(!answer.contains("100 Continue"), "{answer}");
}
