//! One HTTP exchange: connection pools, TLS, proxies, timeouts. No redirects, no authentication, no second tries: those are
//! the [`client`](super::client)'s.
//!
//! There is one agent, and so one connection pool, per origin. Compression is never accepted, so that bytes are what the
//! digest says. A peer that moves nothing for [`Timeouts::stall`], or less than [`Timeouts::floor`], is given up;
//! headers are capped at 64 KiB.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ureq::http::{self, HeaderMap, Method};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector as _, RustlsConnector, TcpConnector};
use ureq::{Agent, Body, Proxy, ProxyProtocol, SendBody};

use super::error::{RegistryError, TransportError};
use super::pace::{Floor, PaceConnector, PacedBody};
use super::url::{Origin, Scheme, Url};
use crate::environment::Environment;

/// What registries are told who calls.
pub const CLIENT: &str = "cargo-plugin-build";
const USER_AGENT: &str = concat!("cargo-plugin-build/", env!("CARGO_PKG_VERSION"));

/// Bytes that are sent at a time, and so the least of which the speed is known.
const OUTPUT: usize = 16 << 10;

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For the next byte in either direction.
    pub stall: Duration,
    /// For the head of an answer: a registry may hash a large upload before it answers.
    pub answer: Duration,
    /// How slow the other side may be.
    pub floor: Floor,
    /// The first pause before a second try; it doubles from try to try.
    pub pause: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            stall: Duration::from_mins(1),
            answer: Duration::from_mins(5),
            floor: Floor::default(),
            pause: Duration::from_millis(500),
        }
    }
}

/// What is sent after the head.
pub(in crate::stores) enum Payload<'a> {
    Empty,
    Bytes(&'a [u8]),
    /// A stream of exactly this many bytes.
    Stream(&'a mut dyn Read, u64),
}

/// A request.
pub(in crate::stores) struct Call<'a> {
    pub(in crate::stores) method: Method,
    pub(in crate::stores) url: Url,
    pub(in crate::stores) headers: Vec<(&'static str, String)>,
    pub(in crate::stores) payload: Payload<'a>,
}

impl Call<'_> {
    pub(in crate::stores) fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: Vec::new(), payload: Payload::Empty }
    }

    pub(in crate::stores) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// The head of an answer, and its body yet unread.
#[derive(Debug)]
pub(in crate::stores) struct Reply {
    pub(in crate::stores) status: u16,
    pub(in crate::stores) url: Url,
    headers: HeaderMap,
    body: Body,
    floor: Floor,
    proxy: Option<&'static str>,
}

impl Reply {
    /// A header's text; anything but UTF-8 is made so.
    pub(in crate::stores) fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    /// Every value of a header.
    pub(super) fn headers(&self, name: &str) -> Vec<String> {
        self.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    }

    /// A header that holds a number.
    pub(in crate::stores) fn number(&self, name: &str) -> Option<u64> {
        self.header(name)?.trim().parse().ok()
    }

    /// How the body is compressed, though nothing has asked for that.
    pub(super) fn encoding(&self) -> Option<String> {
        let encoding = self.header("Content-Encoding").map(|text| super::error::clean(&text))?;
        (!matches!(encoding.as_str(), "" | "identity")).then_some(encoding)
    }

    /// The pause that a `Retry-After` asks for.
    pub(in crate::stores) fn retry_after(&self) -> Option<Duration> {
        pause_of(&self.header("Retry-After")?, self.header("Date").as_deref())
    }

    pub(in crate::stores) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The whole body, at most `limit` bytes.
    pub(in crate::stores) fn read(self, limit: u64) -> Result<Vec<u8>, RegistryError> {
        let url = self.url.to_string();
        let (mut bytes, proxy) = (Vec::new(), self.proxy);
        self.stream().take(limit + 1).read_to_end(&mut bytes).map_err(|error| RegistryError::Unreachable {
            method: "read",
            url: url.clone(),
            proxy,
            source: TransportError::of_io(error),
        })?;
        if bytes.len() as u64 > limit { Err(RegistryError::TooLong { url, limit }) } else { Ok(bytes) }
    }

    /// Reads a short body away, so that the connection can be used again.
    pub(in crate::stores) fn drain(self) {
        let _ = io::copy(&mut self.stream().take(64 << 10), &mut io::sink());
    }

    /// The body as a stream.
    pub(in crate::stores) fn stream(self) -> impl Read + Send + 'static {
        PacedBody::new(self.body.into_reader(), self.url.authority(), self.floor)
    }
}

/// What `Retry-After` says (RFC 9110, section 10.2.3): seconds, or until a date by the server's own clock.
pub(super) fn pause_of(text: &str, date: Option<&str>) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let then = httpdate::parse_http_date(text).ok()?;
    let now = date.and_then(|date| httpdate::parse_http_date(date.trim()).ok());
    #[expect(clippy::disallowed_methods, reason = "how long to sleep reaches no output")]
    let now = now.unwrap_or_else(std::time::SystemTime::now);
    Some(then.duration_since(now).unwrap_or_default())
}

/// Makes connections.
pub(super) struct Transport {
    environment: Environment,
    authorities: Vec<PathBuf>,
    timeouts: Timeouts,
    routes: Mutex<BTreeMap<Origin, Route>>,
    tls: OnceLock<TlsConfig>,
}

/// How an origin is reached.
#[derive(Clone)]
struct Route {
    agent: Agent,
    /// The variable that names the proxy in between.
    proxy: Option<&'static str>,
}

impl Transport {
    pub(super) fn new(environment: Environment, authorities: Vec<PathBuf>, timeouts: Timeouts) -> Self {
        Self { environment, authorities, timeouts, routes: Mutex::default(), tls: OnceLock::new() }
    }

    pub(super) fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// Sends one request and reads the head of its answer.
    pub(super) fn exchange(&self, call: Call<'_>) -> Result<Reply, RegistryError> {
        let Call { method, url, headers, payload } = call;
        let name = name_of(&method);
        let Route { agent, proxy } = self.route(url.origin())?;
        let failed = |error: ureq::Error| match self.explain(error, &url, proxy) {
            source if source.is_of_connecting() => {
                let (host, is_registry) = (url.authority(), url.path().starts_with("/v2/"));
                RegistryError::NoConnection { host, is_registry, image: None, proxy, source }
            }
            source => RegistryError::Unreachable { method: name, url: url.to_string(), proxy, source },
        };
        let has_body = matches!(method, Method::POST | Method::PUT | Method::PATCH);
        let mut request = http::Request::builder().method(method).uri(url.wire());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let finish = |request: http::request::Builder| request.body(()).map_err(|error| failed(error.into()));
        let answer = match payload {
            Payload::Empty if !has_body => agent.run(finish(request)?),
            Payload::Empty => agent.run(finish(request)?.map(|()| &[][..])),
            Payload::Bytes(bytes) => agent.run(finish(request)?.map(|()| bytes)),
            Payload::Stream(reader, length) => {
                let request = request.header("Content-Length", length);
                agent.run(finish(request)?.map(|()| SendBody::from_reader(reader)))
            }
        };
        let (head, body) = answer.map_err(failed)?.into_parts();
        Ok(Reply { status: head.status.as_u16(), url, headers: head.headers, body, floor: self.timeouts.floor, proxy })
    }

    fn route(&self, origin: &Origin) -> Result<Route, RegistryError> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(route) = routes.get(origin) {
            return Ok(route.clone());
        }
        let (variable, proxy) = self.proxy(origin)?.unzip();
        let is_encrypted = origin.scheme == Scheme::Https
            || proxy.as_ref().is_some_and(|proxy: &Proxy| proxy.protocol() == ProxyProtocol::Https);
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(USER_AGENT)
            .accept_encoding("identity")
            .proxy(proxy)
            .max_response_header_size(64 << 10)
            .max_idle_connections_per_host(8)
            .output_buffer_size(OUTPUT)
            .timeout_connect(Some(self.timeouts.connect))
            .timeout_recv_response(Some(self.timeouts.answer))
            .timeout_per_read(Some(self.timeouts.stall))
            .timeout_per_write(Some(self.timeouts.stall));
        if is_encrypted {
            config = config.tls_config(self.tls()?);
        }
        let connection = ().chain(ConnectProxyConnector::default()).chain(TcpConnector::default());
        let connection = connection.chain(PaceConnector(self.timeouts.floor)).chain(RustlsConnector::default());
        let agent = Agent::with_parts(config.build(), connection, DefaultResolver::default());
        let route = Route { agent, proxy: variable };
        routes.insert(origin.clone(), route.clone());
        Ok(route)
    }

    fn tls(&self) -> Result<TlsConfig, RegistryError> {
        if let Some(found) = self.tls.get() {
            return Ok(found.clone());
        }
        let (file, dir) = (self.environment.path("SSL_CERT_FILE"), self.environment.path("SSL_CERT_DIR"));
        let system = if file.is_some() || dir.is_some() {
            rustls_native_certs::load_certs_from_paths(file.as_deref(), dir.as_deref())
        } else {
            rustls_native_certs::load_native_certs()
        };
        let mut roots: Vec<Certificate<'static>> =
            system.certs.iter().map(|found| Certificate::from_der(found.as_ref()).to_owned()).collect();
        for path in &self.authorities {
            let path = self.environment.resolve(path);
            let shown = Some(path.display().to_string());
            if let Err(error) = std::fs::metadata(&path) {
                return Err(RegistryError::Trust { path: shown, reason: error.to_string() });
            }
            let named = rustls_native_certs::load_certs_from_paths(Some(&path), None);
            if named.certs.is_empty() {
                return Err(RegistryError::Trust { path: shown, reason: "it holds no PEM certificate".to_owned() });
            }
            roots.extend(named.certs.iter().map(|found| Certificate::from_der(found.as_ref()).to_owned()));
        }
        if roots.is_empty() {
            let reason = system.errors.first().map_or("the system has none".to_owned(), ToString::to_string);
            return Err(RegistryError::Trust { path: None, reason });
        }
        let config = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::new_with_certs(&roots))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        Ok(self.tls.get_or_init(|| config).clone())
    }

    /// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in either case. This machine is never reached by a proxy, and
    /// `HTTP_PROXY` in upper case is not read: a CGI server sets it from a request header.
    fn proxy(&self, origin: &Origin) -> Result<Option<(&'static str, Proxy)>, RegistryError> {
        let names: [&'static str; 4] = match origin.scheme {
            Scheme::Https => ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
            Scheme::Http => ["http_proxy", "all_proxy", "ALL_PROXY", "ALL_PROXY"],
        };
        let set = |name: &str| self.environment.text(name).filter(|value| !value.is_empty());
        let Some((name, value)) = names.iter().find_map(|name| Some((*name, set(name)?))) else { return Ok(None) };
        let exempt = set("no_proxy").or_else(|| set("NO_PROXY")).unwrap_or_default();
        if origin.is_loopback() || is_exempt(&origin.host, exempt) {
            return Ok(None);
        }
        match Proxy::new(value) {
            // Any other is passed by in silence.
            Ok(proxy) if matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https) => Ok(Some((name, proxy))),
            _ => Err(RegistryError::Proxy(name)),
        }
    }

    fn explain(&self, error: ureq::Error, url: &Url, proxy: Option<&str>) -> TransportError {
        match error {
            ureq::Error::HostNotFound => TransportError::NoSuchHost,
            ureq::Error::Io(error) if is_unknown_host(&error) => TransportError::NoSuchHost,
            // A proxy that is not there says nothing of what is behind it.
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused && proxy.is_none() => {
                TransportError::NoListener(url.endpoint())
            }
            ureq::Error::ConnectProxyFailed(reason) => match status_in(&reason) {
                Some(status) => TransportError::Refused(status),
                None => TransportError::Http(super::error::clean(&reason)),
            },
            ureq::Error::Timeout(ureq::Timeout::Connect) => TransportError::Stalled(self.timeouts.connect),
            ureq::Error::Timeout(ureq::Timeout::RecvResponse) => TransportError::Silent(self.timeouts.answer),
            ureq::Error::Timeout(_) => TransportError::Stalled(self.timeouts.stall),
            ureq::Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(tls) => of_tls(tls),
                None => TransportError::of_io(error),
            },
            ureq::Error::Rustls(error) => of_tls(&error),
            ureq::Error::Tls(text) => TransportError::Tls(text.to_owned()),
            ureq::Error::TlsRequired => TransportError::Tls("it is required".to_owned()),
            other => TransportError::Http(super::error::clean(&other.to_string())),
        }
    }
}

/// Whether this is the standard library's only word for a resolver's final answer: it keeps no code, and "temporary failure"
/// (glibc) or "try again" (musl) mean what they say.
fn is_unknown_host(error: &io::Error) -> bool {
    let text = error.to_string();
    text.starts_with("failed to lookup address information") && !["Temporary", "Try again"].iter().any(|word| text.contains(word))
}

/// The status in ureq's `proxy server responded 407/407`.
fn status_in(reason: &str) -> Option<u16> {
    reason.rsplit(' ').next()?.split('/').next()?.parse().ok()
}

fn of_tls(error: &rustls::Error) -> TransportError {
    match error {
        rustls::Error::InvalidMessage(_) => TransportError::NotTls,
        // The library that finds this out is not ours to name, and shows it by its name alone.
        other if other.to_string().contains("CaUsedAsEndEntity") => TransportError::NotAServer,
        other => TransportError::Tls(other.to_string()),
    }
}

/// The methods that are used here, as they stand in messages.
fn name_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        _ => "reach",
    }
}

/// Whether `NO_PROXY` names a host: itself, a domain above it (with or without a leading dot), or everything by `*`.
fn is_exempt(host: &str, list: &str) -> bool {
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        let entry = super::url::split_port(entry).0.to_ascii_lowercase();
        let domain = entry.trim_start_matches('*').trim_start_matches('.');
        entry == "*"
            || host == domain
            || (!domain.is_empty() && host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxied(vars: &[(&str, &str)], url: &str) -> bool {
        let vars = vars.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let transport = Transport::new(Environment::new(vars, "/"), Vec::new(), Timeouts::default());
        transport.proxy(Url::parse(url).unwrap().origin()).unwrap().is_some()
    }

    #[test]
    fn the_proxy_is_chosen_by_scheme_and_never_for_this_machine() {
        let https = [("HTTPS_PROXY", "http://proxy.test:3128"), ("NO_PROXY", "a.test, .b.test,*.c.test,[::2]:5000")];
        assert!(proxied(&https, "https://r.test/"));
        assert!(!proxied(&https, "http://r.test/"));
        for exempt in ["a.test", "x.a.test", "x.b.test", "x.c.test", "localhost:5000", "127.0.0.1", "[::1]"] {
            assert!(!proxied(&https, &format!("https://{exempt}/")), "{exempt}");
        }
        assert!(proxied(&https, "https://xa.test/"));
        assert!(!proxied(&[("HTTP_PROXY", "http://evil.test")], "http://r.test/"));
    }

    #[test]
    fn a_bad_proxy_is_named_without_its_value() {
        let vars = [("HTTPS_PROXY".into(), "http://user:hunter2@".into())];
        let transport = Transport::new(Environment::new(vars, "/"), Vec::new(), Timeouts::default());
        let error = transport.proxy(Url::parse("https://r.test/").unwrap().origin()).unwrap_err();
        assert!(error.to_string().contains("HTTPS_PROXY") && !error.to_string().contains("hunter2"), "{error}");
    }
}
