//! The few kinds of URL that a registry can hand out, parsed strictly.
//!
//! Every `Location`, `Link` and `realm` is hostile text. What is accepted: `http` and `https`, a host, an optional port, a
//! path and a query, all printable ASCII. What is refused: user information (it could carry or capture credentials), other
//! schemes, control characters, blanks, more than 8 KiB. Relative forms follow RFC 3986, section 5.2.
//!
//! [`Display`](std::fmt::Display) leaves the query out: signed download links and upload states live there.

use crate::values::percent::encoded;
use std::fmt;
use std::net::IpAddr;

use crate::values::digest::Digest;

/// The longest URL that is read.
const LIMIT: usize = 8 << 10;

/// `https` or, where it is allowed, `http`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// What credentials belong to: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin {
    pub(super) scheme: Scheme,
    /// In lower case; an IPv6 address keeps its brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Origin {
    /// Whether the host is this machine.
    pub(super) fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    /// Whether `host`, or `host:port`, names this origin.
    pub(super) fn is_named(&self, text: &str) -> bool {
        let (host, port) = split_port(text);
        host.eq_ignore_ascii_case(&self.host) && port.is_none_or(|port| port == self.port)
    }
}

/// Whether a host (without port) is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Splits `host[:port]`; a port that is none stays with the host.
pub(super) fn split_port(text: &str) -> (&str, Option<u16>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && (!host.contains(':') || host.ends_with(']')) => match port.parse() {
            Ok(port) if port > 0 && !text[host.len() + 1..].starts_with('+') => (host, Some(port)),
            _ => (text, None),
        },
        _ => (text, None),
    }
}

/// A checked absolute URL.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::stores) struct Url {
    origin: Origin,
    path: String,
    query: Option<String>,
}

impl Url {
    /// A URL below the root of `host[:port]`, which the reference grammar has checked.
    pub(super) fn of(scheme: Scheme, host: &str, path: &str) -> Option<Self> {
        Self::parse(&format!("{}://{host}{path}", scheme.as_str()))
    }

    /// Parses an absolute URL.
    pub(in crate::stores) fn parse(text: &str) -> Option<Self> {
        if text.len() > LIMIT || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return None;
        }
        let (scheme, rest) = text.split_once("://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let (host, port) = split_port(authority);
        if !is_host(host) {
            return None;
        }
        let tail = tail.split('#').next().unwrap_or_default();
        let (path, query) = match tail.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (tail, None),
        };
        let origin = Origin { scheme, host: host.to_ascii_lowercase(), port: port.unwrap_or(scheme.default_port()) };
        Some(Self { origin, path: without_dots(path), query })
    }

    /// Resolves what a `Location` or `Link` says against the URL that was asked.
    pub(super) fn join(&self, location: &str) -> Option<Self> {
        let location = location.trim_matches([' ', '\t']);
        if location.is_empty() || location.len() > LIMIT || !location.bytes().all(|b| b.is_ascii_graphic()) {
            return None;
        }
        if let Some(rest) = location.strip_prefix("//") {
            return Self::parse(&format!("{}://{rest}", self.origin.scheme.as_str()));
        }
        let scheme_end = location.find(':').filter(|end| !location[..*end].contains(['/', '?', '#']));
        if scheme_end.is_some() {
            return Self::parse(location);
        }
        let head = format!("{}://{}", self.origin.scheme.as_str(), self.authority());
        if location.starts_with('/') {
            return Self::parse(&format!("{head}{location}"));
        }
        if location.starts_with('?') {
            return Self::parse(&format!("{head}{}{location}", self.path));
        }
        let parent = self.path.rfind('/').map_or("/", |slash| &self.path[..=slash]);
        Self::parse(&format!("{head}{parent}{location}"))
    }

    /// The same with one more query parameter, whatever the query already holds.
    pub(super) fn with_query(mut self, key: &str, value: &str) -> Self {
        let pair = format!("{key}={}", encode(value));
        self.query = Some(match self.query {
            Some(query) if !query.is_empty() => format!("{query}&{pair}"),
            _ => pair,
        });
        self
    }

    /// The same with the digest that ends an upload, unless one is there: a redirect of such a request carries it along.
    pub(super) fn with_digest(self, digest: &Digest) -> Self {
        let pairs = self.query.as_deref().unwrap_or_default().split('&');
        if pairs.into_iter().any(|pair| pair.starts_with("digest=")) {
            return self;
        }
        self.with_query("digest", &digest.to_string())
    }

    /// The same path at another origin.
    pub(super) fn at(mut self, origin: &Origin) -> Self {
        self.origin = origin.clone();
        self
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(super) fn scheme(&self) -> Scheme {
        self.origin.scheme
    }

    /// The whole text, for the wire only.
    pub(super) fn wire(&self) -> String {
        let query = self.query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{self}{query}")
    }

    /// The path, from its first slash.
    pub(in crate::stores) fn path(&self) -> &str {
        &self.path
    }

    /// What follows the question mark.
    pub(in crate::stores) fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// `host:port`.
    pub(super) fn endpoint(&self) -> String {
        format!("{}:{}", self.origin.host, self.origin.port)
    }

    /// `host`, or `host:port` where the port is not the scheme's own.
    pub(in crate::stores) fn authority(&self) -> String {
        let Origin { scheme, host, port } = &self.origin;
        if *port == scheme.default_port() { host.clone() } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.origin.scheme.as_str(), self.authority(), self.path)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    }
}

/// Removes `.` and `..` segments (RFC 3986, section 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    for (position, segment) in segments.iter().enumerate() {
        let last = position + 1 == segments.len();
        match *segment {
            "." | ".." => {
                if *segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

/// Percent-encodes everything but what needs none in a query or form value.
pub(super) fn encode(text: &str) -> String {
    encoded(text, ":/,")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Url {
        Url::parse("https://registry.test:5000/v2/a/b/blobs/uploads/1?state=x").unwrap()
    }

    #[test]
    fn locations_resolve_as_rfc_3986_says() {
        for (location, want) in [
            ("/v2/x?_state=1", "https://registry.test:5000/v2/x?_state=1"),
            ("2?y=z", "https://registry.test:5000/v2/a/b/blobs/uploads/2?y=z"),
            ("?y", "https://registry.test:5000/v2/a/b/blobs/uploads/1?y"),
            ("../../other", "https://registry.test:5000/v2/a/b/other"),
            ("../../../../../../../etc", "https://registry.test:5000/etc"),
            ("//cdn.test/x", "https://cdn.test/x"),
            ("HTTP://cdn.test:80", "http://cdn.test/"),
            ("https://[::1]:5000/v2/#fragment", "https://[::1]:5000/v2/"),
        ] {
            assert_eq!(base().join(location).map(|url| url.wire()).as_deref(), Some(want), "{location}");
        }
    }

    #[test]
    fn a_resolved_url_parses_back_to_itself() {
        for location in ["/.///./", "/x///", "//registry.test//", "/a//../b/", "..//.//x", "/.", "/..", "/a/./"] {
            let url = base().join(location).unwrap();
            assert_eq!(Url::parse(&url.wire()).unwrap(), url, "{location}");
        }
    }

    #[test]
    fn what_is_no_plain_http_url_is_refused() {
        for bad in [
            "",
            "ftp://x/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "https://user:secret@registry.test/",
            "https://",
            "https:///x",
            "https://a b/",
            "https://x/\u{1b}[31m",
            "https://x/\r\nHost: y",
            "https://[::g]/",
            "https://x:0/",
            "https://x:99999/",
            "https://é/",
        ] {
            assert!(base().join(bad).is_none(), "{bad:?}");
        }
        assert!(base().join(&format!("/{}", "a".repeat(LIMIT))).is_none());
    }

    #[test]
    fn a_query_is_extended_and_never_shown() {
        let url = base().with_digest(&Digest::of(b""));
        assert!(url.wire().contains("?state=x&digest=sha256:e3b0"));
        assert_eq!(url.to_string(), "https://registry.test:5000/v2/a/b/blobs/uploads/1");
        assert_eq!(format!("{url:?}"), url.to_string());
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for yes in ["localhost", "127.0.0.1", "127.9.9.9", "[::1]", "LOCALHOST"] {
            assert!(is_loopback(yes), "{yes}");
        }
        for no in ["localhost.test", "128.0.0.1", "[::2]", "10.0.0.1", "127.0.0.1.test"] {
            assert!(!is_loopback(no), "{no}");
        }
    }
}
