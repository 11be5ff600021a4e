//! The handshake: the first line that a plugin writes to stdout.
//!
//! ```text
//! CORE-VERSION|APP-VERSION|NETWORK|ADDRESS|PROTOCOL[|CERTIFICATE[|MULTIPLEXING]]
//! 1|1|unix|/tmp/plugin-1234/s|grpc
//! ```
//!
//! The core version is go-plugin's and is 1; the application's version is one of those offered in
//! `PLUGIN_PROTOCOL_VERSIONS`, here 1. Without the fifth field the protocol is Go's own `netrpc`. A certificate means that
//! the plugin wants mutual TLS, which the router does not offer.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;

use super::HostError;

/// go-plugin's version of the line, and the router's version of its plugin protocol.
pub(super) const VERSION: &str = "1";

/// Where a plugin listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "network", content = "address", rename_all = "lowercase")]
pub enum Address {
    /// The path of a socket.
    Unix(PathBuf),
    /// An address of this machine.
    Tcp(SocketAddr),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

/// What a plugin said of itself, after checks: both versions are 1 and it speaks gRPC without TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Handshake {
    pub line: String,
    /// Where it listens.
    #[serde(flatten)]
    pub address: Address,
}

impl Handshake {
    /// Reads the line as go-plugin does.
    pub fn parse(line: &str) -> Result<Self, HostError> {
        let line = line.trim();
        let fields: Vec<&str> = line.split('|').collect();
        let garbage = || HostError::Garbage { line: super::log::printable(line, 200) };
        let &[core, app, network, address, ref rest @ ..] = fields.as_slice() else { return Err(garbage()) };
        let number = |text: &str| text.parse::<u32>().map_err(|_| garbage());
        if number(core)?.to_string() != VERSION {
            return Err(HostError::CoreVersion { found: core.to_owned() });
        }
        if number(app)?.to_string() != VERSION {
            return Err(HostError::AppVersion { found: app.to_owned() });
        }
        let address = match network {
            "unix" if !address.is_empty() => Address::Unix(PathBuf::from(address)),
            "tcp" => Address::Tcp(address.parse().map_err(|_| garbage())?),
            "unix" => return Err(garbage()),
            other => return Err(HostError::Network { found: super::log::printable(other, 40) }),
        };
        match rest.first().copied().unwrap_or("netrpc") {
            "grpc" => {}
            other => return Err(HostError::Protocol { found: super::log::printable(other, 40) }),
        }
        if rest.get(1).is_some_and(|certificate| !certificate.is_empty()) {
            return Err(HostError::Tls);
        }
        Ok(Self { line: line.to_owned(), address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_and_tcp_addresses_are_read() {
        let unix = Handshake::parse("1|1|unix|/tmp/s|grpc\n").unwrap();
        assert_eq!(unix.address, Address::Unix("/tmp/s".into()));
        let tcp = Handshake::parse("1|1|tcp|127.0.0.1:10000|grpc||false").unwrap();
        assert_eq!(tcp.address.to_string(), "tcp://127.0.0.1:10000");
    }

    #[test]
    fn every_other_line_is_refused_for_its_own_reason() {
        for line in ["", "hello", "1|1|unix", "x|1|unix|/s|grpc", "1|x|unix|/s|grpc", "1|1|tcp|nowhere|grpc", "1|1|unix||grpc"] {
            assert!(matches!(Handshake::parse(line), Err(HostError::Garbage { .. })), "{line}");
        }
        assert!(matches!(Handshake::parse("2|1|unix|/s|grpc"), Err(HostError::CoreVersion { .. })));
        assert!(matches!(Handshake::parse("1|2|unix|/s|grpc"), Err(HostError::AppVersion { .. })));
        assert!(matches!(Handshake::parse("1|1|udp|/s|grpc"), Err(HostError::Network { .. })));
        assert!(matches!(Handshake::parse("1|1|unix|/s"), Err(HostError::Protocol { .. })));
        assert!(matches!(Handshake::parse("1|1|unix|/s|netrpc"), Err(HostError::Protocol { .. })));
        assert!(matches!(Handshake::parse("1|1|unix|/s|grpc|MIIB"), Err(HostError::Tls)));
    }
}
