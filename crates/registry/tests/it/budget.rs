//! What the process takes while many are at work at once.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use plugin_oci::values::digest::Digest;

use crate::support::client::Client;
use crate::support::server::Place;

/// What the process may ever have.
const LIMIT: u64 = 64 << 10;

fn noise(seed: u8, length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ u64::from(seed).wrapping_mul(0x2545_f491_4f6c_dd1d); // xorshift64
    let next = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()
    });
    next.flatten().take(length).collect()
}

/// Each has as much on the way as a connection takes, and then reads nothing for as long as the others begin.
#[test]
fn a_thousand_pulls_at_once_take_little_memory() {
    const PULLS: usize = 300;
    let place = Place::directory();
    let server = place.serve(&[]);
    let client = Client::new(vec![server.host.clone()]);
    let bytes = noise(1, 9 << 20);
    let digest = Digest::of(&bytes);
    client.push_blob("many", &digest.to_string(), &bytes);
    let request = format!("GET /v2/many/blobs/{digest} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let mut pulls: Vec<TcpStream> = Vec::new();
    for _ in 0..PULLS {
        let mut stream = TcpStream::connect(&server.host).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        pulls.push(stream);
    }
    let mut answer = Vec::new();
    pulls.pop().unwrap().read_to_end(&mut answer).unwrap();
    assert!(answer.ends_with(&bytes));
    drop(pulls);
    assert!(server.peak() < LIMIT, "{} KiB", server.peak());
}
