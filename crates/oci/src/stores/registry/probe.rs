//! Whether a port of this machine speaks TLS: its first byte after a client's greeting tells.
//!
//! Nothing is verified and nothing is sent but the greeting; the connection is thrown away. The trust store, which takes
//! milliseconds to read, is not needed.

use std::io::{self, Read as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::url::Origin;

/// A TLS record starts with its type: an alert or a handshake.
const RECORDS: [u8; 2] = [21, 22];

/// How long this machine may take to answer itself.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn speaks_tls(origin: &Origin) -> io::Result<bool> {
    let host = origin.host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let mut tls = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut stream = connect(host, origin.port)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    while tls.wants_write() {
        tls.write_tls(&mut stream)?;
    }
    let mut first = [0];
    // A server that closes without a word does not speak it.
    Ok(matches!(stream.read(&mut first), Ok(1)) && RECORDS.contains(&first[0]))
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
