//! What the process takes while many are at work at once.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use plugin_oci::values::digest::Digest;

use crate::support::client::{Client, location, with};
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

/// Some push in one body and some as docker does, while others have stopped in the middle of a part.
fn pushes_at_once(place: Option<Place>, length: usize) {
    const PUSHES: u8 = 64;
    let Some(place) = place else { return };
    let server = place.serve(&[]);
    let client = Client::new(vec![server.host.clone()]);
    let bytes: Vec<u8> = noise(2, length);
    // More than there is room for, each with more of a part than a beginning.
    let stalled: Vec<TcpStream> = (0..8)
        .map(|_| {
            let url = client.begin("stalled");
            let mut stream = TcpStream::connect(&server.host).unwrap();
            let head = format!("PATCH {url} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&bytes[..1 << 20]).unwrap();
            stream
        })
        .collect();
    std::thread::scope(|scope| {
        for number in 0..PUSHES {
            let (client, bytes) = (&client, &bytes);
            scope.spawn(move || {
                let own = [&bytes[..], &[number]].concat();
                let digest = Digest::of(&own).to_string();
                if number % 2 == 0 {
                    client.push_blob("many", &digest, &own);
                } else {
                    let url = client.begin("many");
                    let chunked: Vec<u8> = [format!("{:x}\r\n", own.len()).as_bytes(), &own, b"\r\n0\r\n\r\n"].concat();
                    let url = location(&client.send("PATCH", &url, &[("Transfer-Encoding", "chunked")], &chunked).is(202));
                    client.send("PUT", &with(&url, &format!("digest={digest}")), &[], b"").is(201);
                }
                drop(own);
                assert_eq!(
                    client.head(&format!("/v2/many/blobs/{digest}")).is(200).header("Content-Length"),
                    Some(&*(length + 1).to_string())
                );
            });
        }
    });
    assert!(server.peak() < LIMIT, "{} KiB", server.peak());
    // Who stopped may go on.
    let mut stream = stalled.into_iter().next().unwrap();
    stream.write_all(&bytes[1 << 20..]).unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 202");
}

#[test]
#[ignore = "needs SeaweedFS"]
fn many_pushes_into_seaweedfs_take_turns() {
    pushes_at_once(Place::seaweed(), 16 << 20);
}

#[test]
fn many_pushes_into_a_directory_take_little_memory() {
    pushes_at_once(Some(Place::directory()), 4 << 20);
}
