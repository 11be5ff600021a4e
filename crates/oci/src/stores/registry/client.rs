//! Requests to registries: scheme, authentication, redirects, second tries, and what servers may say to the user.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use ureq::http::Method;

use super::auth::{Access, Authority, Caller, Renewed};
use super::credentials::{AuthFiles, Credential, is_hub};
use super::error::{RegistryError, clean, is_passing_status};
use super::transport::{Call, Payload, Reply, Timeouts, Transport};
use super::url::{Origin, Scheme, Url};
use crate::environment::Environment;
use crate::progress::Progress;

/// Where Docker Hub serves its API, as opposed to its name.
const HUB_API: &str = "registry-1.docker.io";
/// Bodies of errors are read so far.
const ERROR_LIMIT: u64 = 64 << 10;
/// How often a request is sent at most when answers say "later" or connections break.
pub(super) const TRIES: u32 = 5;
/// How many redirects in a row are followed.
pub(super) const REDIRECTS: usize = 10;
/// A server that wants a longer pause than this gets none: the command fails with its answer.
const LONGEST_PAUSE: Duration = Duration::from_mins(2);

/// What flags say about registries.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `--authfile`.
    pub authfile: Option<PathBuf>,
    /// `--plain-http`: hosts (with or without a port) to reach without encryption.
    pub plain_http: Vec<String>,
    /// `--tls-ca`: PEM files of further authorities.
    pub authorities: Vec<PathBuf>,
    /// `--trust-realm`: token servers (with or without a port) outside the registry's site, or at another port, that may see
    /// its credentials.
    pub trust_realms: Vec<String>,
    /// How long to wait for what.
    pub timeouts: Timeouts,
}

/// A connection to registries, shared by everything that one command does.
pub struct Client<'a> {
    settings: Settings,
    transport: Transport,
    files: AuthFiles,
    authority: Authority,
    progress: &'a dyn Progress,
    schemes: Mutex<BTreeMap<String, Scheme>>,
    credentials: Mutex<BTreeMap<(String, String), Option<Credential>>>,
    warned: Mutex<BTreeSet<String>>,
    /// Used for `host` instead of what the files hold.
    offered: Option<(String, Credential)>,
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    errors: Vec<ErrorEntry>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl<'a> Client<'a> {
    /// A client that has connected to nothing yet.
    pub fn new(settings: Settings, environment: &Environment, progress: &'a dyn Progress) -> Self {
        let files = AuthFiles::new(settings.authfile.as_deref(), environment);
        let transport = Transport::new(environment.clone(), settings.authorities.clone(), settings.timeouts);
        Self {
            settings,
            transport,
            files,
            authority: Authority::default(),
            progress,
            schemes: Mutex::default(),
            credentials: Mutex::default(),
            warned: Mutex::default(),
            offered: None,
        }
    }

    /// The same with credentials for one host, to try them.
    #[must_use]
    pub fn offering(mut self, host: &str, credential: Credential) -> Self {
        self.offered = Some((host.to_owned(), credential));
        self
    }

    /// Asks a registry whether it accepts the credentials (distribution-spec, "Determining support").
    pub fn check_login(&self, host: &str) -> Result<(), RegistryError> {
        let access = Access { host: host.to_owned(), repository: String::new(), scopes: BTreeSet::new() };
        let outcome = match self.send(&Call::new(Method::GET, self.url(host, "/v2/")?), &access) {
            Ok(reply) if reply.is_success() => Ok(()),
            Ok(reply) => Err(self.refused(reply, &access)),
            Err(error) => Err(error),
        };
        outcome.map_err(|error| match error {
            // From the registry or from its token server.
            RegistryError::Denied { host, status: 401, message, .. } => RegistryError::WrongPassword { host, message },
            other => other,
        })
    }

    pub(super) fn warn(&self, text: String) {
        self.progress.warn(text, None);
    }

    /// A URL of a registry's API.
    pub(super) fn url(&self, host: &str, path: &str) -> Result<Url, RegistryError> {
        let scheme = self.scheme(host);
        let api = if is_hub(host) { HUB_API } else { host };
        Url::of(scheme, api, path)
            .ok_or_else(|| RegistryError::Protocol { url: host.to_owned(), reason: "it is no host name".to_owned() })
    }

    /// `https`, but `http` where the user said so, and on this machine where nothing speaks TLS.
    fn scheme(&self, host: &str) -> Scheme {
        if let Some(found) = held(&self.schemes).get(host) {
            return *found;
        }
        let Some(url) = Url::of(Scheme::Https, host, "/") else { return Scheme::Https };
        let origin = url.origin();
        // Where nobody answers, the request itself will say so.
        let plain = self.allows_plain(origin) || origin.is_loopback() && !super::probe::speaks_tls(origin).unwrap_or(false);
        let scheme = if plain { Scheme::Http } else { Scheme::Https };
        held(&self.schemes).insert(host.to_owned(), scheme);
        scheme
    }

    fn allows_plain(&self, origin: &Origin) -> bool {
        self.settings.plain_http.iter().any(|named| origin.is_named(named))
    }

    pub(super) fn timeouts(&self) -> &Timeouts {
        self.transport.timeouts()
    }

    /// Resolves what an answer points to, and refuses a way that encryption does not go.
    pub(super) fn admit(&self, from: &Url, location: &str) -> Result<Url, RegistryError> {
        let target = from.join(location).ok_or_else(|| RegistryError::protocol(from, "it points to what is no http URL"))?;
        if target.scheme() == Scheme::Https {
            return Ok(target);
        }
        if from.scheme() == Scheme::Https && target.origin().host == from.origin().host {
            // A registry behind a TLS proxy that does not know it.
            return Ok(target.at(from.origin()));
        }
        let origin = target.origin();
        // From elsewhere, no way leads to what listens on this machine alone, unless the user named it.
        let near = from.origin().is_loopback() && origin.is_loopback();
        if from.scheme() == Scheme::Http && (near || self.allows_plain(origin)) {
            return Ok(target);
        }
        Err(RegistryError::PlainHttp { from: from.to_string(), host: origin.host.clone(), url: target.to_string() })
    }

    /// Sends a request that can be sent again: with credentials where they belong, through redirects, and again after a pause
    /// where the answer says "later" or the connection breaks. Any other answer is the caller's to judge.
    pub(super) fn send(&self, call: &Call<'_>, access: &Access) -> Result<Reply, RegistryError> {
        self.patiently(|| self.follow(call, access)).map_err(|error| error.of_repository(&access.host, &access.repository))
    }

    fn patiently(&self, send: impl Fn() -> Result<Reply, RegistryError>) -> Result<Reply, RegistryError> {
        let mut tried = 0;
        loop {
            let outcome = send();
            tried += 1;
            let wanted = match &outcome {
                Ok(reply) if is_passing_status(reply.status) => reply.retry_after(),
                Err(error) if error.is_passing() => None,
                _ => return outcome,
            };
            if !self.pause(tried, wanted) {
                return outcome;
            }
        }
    }

    /// Sends a request that proves by itself who sends it, as [`send`](Self::send) does but for redirects. It is made anew for
    /// each try.
    pub(in crate::stores) fn send_signed<'c>(&self, make: impl Fn() -> Call<'c>) -> Result<Reply, RegistryError> {
        self.patiently(|| self.exchange(make()))
    }

    /// The same once.
    pub(in crate::stores) fn send_once(&self, call: Call<'_>) -> Result<Reply, RegistryError> {
        self.exchange(call)
    }

    /// Waits before try number `tried + 1`; false where there should be none.
    pub(in crate::stores) fn pause(&self, tried: u32, wanted: Option<Duration>) -> bool {
        let pause = wanted.unwrap_or_else(|| self.timeouts().pause * (1 << (tried.clamp(1, TRIES) - 1)));
        if tried >= TRIES || pause > LONGEST_PAUSE {
            return false;
        }
        self.progress.detail(format!("trying again in {:.1} s", pause.as_secs_f32()));
        std::thread::sleep(pause);
        true
    }

    fn follow(&self, call: &Call<'_>, access: &Access) -> Result<Reply, RegistryError> {
        let first = call.url.to_string();
        let mut call = call.again();
        for _ in 0..=REDIRECTS {
            let reply = self.authenticated(&call, access)?;
            let same_method = matches!(reply.status, 307 | 308);
            let any_method = matches!(reply.status, 301..=303) && matches!(call.method, Method::GET | Method::HEAD);
            let Some(location) = reply.header("Location").filter(|_| same_method || any_method) else { return Ok(reply) };
            call.url = self.admit(&reply.url, &location)?;
            reply.drain();
        }
        Err(RegistryError::RedirectLoop { url: first })
    }

    /// One request; a refusal is answered with new credentials, if there are any. This request fetches new ones once; what other
    /// threads have fetched meanwhile is used too.
    fn authenticated(&self, call: &Call<'_>, access: &Access) -> Result<Reply, RegistryError> {
        let gate = self.authority.gate(call.url.origin(), access);
        let mut answered = held(&gate);
        if *answered {
            drop(answered);
            return self.with_credentials(call, access);
        }
        let outcome = self.with_credentials(call, access);
        *answered = true;
        outcome
    }

    fn with_credentials(&self, call: &Call<'_>, access: &Access) -> Result<Reply, RegistryError> {
        let mut header = self.header_for(&call.url, access)?;
        let mut fetched = false;
        for _ in 0..TRIES {
            let reply = self.exchange(with_authorization(call.again(), header.as_deref()))?;
            if reply.status != 401 {
                return Ok(reply);
            }
            let newer = self.header_for(&call.url, access)?.filter(|newer| Some(newer) != header.as_ref());
            header = match newer {
                Some(newer) => Some(newer),
                None if fetched => return Ok(reply),
                None => match self.answer_refusal(&reply, access, header.as_deref())? {
                    Some(renewed) => {
                        fetched = renewed.fresh;
                        Some(renewed.header)
                    }
                    None => return Ok(reply),
                },
            };
            reply.drain();
        }
        self.exchange(with_authorization(call.again(), header.as_deref()))
    }

    /// The `Authorization` that may go to this URL now.
    fn header_for(&self, url: &Url, access: &Access) -> Result<Option<String>, RegistryError> {
        let home = self.url(&access.host, "/v2/")?;
        Ok(if url.origin() == home.origin() { self.authority.current(url.origin(), access) } else { None })
    }

    /// New credentials after a 401, from the registry's own origin only.
    fn answer_refusal(&self, reply: &Reply, access: &Access, refused: Option<&str>) -> Result<Option<Renewed>, RegistryError> {
        if reply.url.origin() != self.url(&access.host, "/v2/")?.origin() {
            return Ok(None);
        }
        self.authority.renew(self, reply, access, refused)
    }

    /// One request whose payload cannot be sent again by itself. After a 401 new credentials are fetched and `true` comes back
    /// beside the answer: the caller may start over.
    pub(super) fn send_stream(&self, call: Call<'_>, access: &Access) -> Result<(Reply, bool), RegistryError> {
        let header = self.header_for(&call.url, access)?;
        let reply = self
            .exchange(with_authorization(call, header.as_deref()))
            .map_err(|error| error.of_repository(&access.host, &access.repository))?;
        let renewed = reply.status == 401 && self.answer_refusal(&reply, access, header.as_deref())?.is_some();
        Ok((reply, renewed))
    }

    fn exchange(&self, call: Call<'_>) -> Result<Reply, RegistryError> {
        let line = format!("{} {}", call.method, call.url);
        let outcome = self.transport.exchange(call);
        match &outcome {
            Ok(reply) => {
                self.progress.detail(format!("{line}: {}", reply.status));
                for warning in reply.headers("Warning") {
                    self.pass_on(&reply.url.origin().host, &warning);
                }
            }
            Err(error) => self.progress.detail(format!("{line}: {error}")),
        }
        outcome
    }

    /// Shows a `Warning: 299 - "text"` once (distribution-spec, "Warnings").
    fn pass_on(&self, host: &str, header: &str) {
        let Some(text) = header.trim().strip_prefix("299 - ") else { return };
        let text = clean(text.trim_matches('"'));
        if !text.is_empty() {
            self.warn_once(format!("{host} says: {text}"));
        }
    }

    /// A warning that is given once, however often there is reason for it.
    pub(super) fn warn_once(&self, text: String) {
        if held(&self.warned).insert(text.clone()) {
            self.progress.warn(text, None);
        }
    }

    /// What an answer that is no success says.
    pub(super) fn refused(&self, reply: Reply, access: &Access) -> RegistryError {
        let (status, url) = (reply.status, reply.url.to_string());
        let body = reply.read(ERROR_LIMIT).unwrap_or_default();
        let message = match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(found) => {
                let lines: Vec<String> = found.errors.iter().take(3).map(|e| format!("{}: {}", e.code, e.message)).collect();
                clean(&lines.join("; "))
            }
            Err(_) => String::new(),
        };
        if matches!(status, 401 | 403) {
            let known = matches!(self.credential(&access.host, &access.repository), Ok(Some(_)));
            let what =
                if access.repository.is_empty() { access.host.clone() } else { format!("{}/{}", access.host, access.repository) };
            return RegistryError::Denied { what, host: access.host.clone(), known, status, message };
        }
        RegistryError::Status { url, status, message }
    }
}

impl Caller for Client<'_> {
    fn credential(&self, host: &str, repository: &str) -> Result<Option<Credential>, RegistryError> {
        if let Some((_, credential)) = self.offered.as_ref().filter(|(offered, _)| offered == host) {
            return Ok(Some(credential.clone()));
        }
        let mut known = held(&self.credentials);
        let key = (host.to_owned(), repository.to_owned());
        if let Some(found) = known.get(&key) {
            return Ok(found.clone());
        }
        let found = self.files.find(host, repository)?;
        known.insert(key, found.clone());
        Ok(found)
    }

    fn trusts_realm(&self, origin: &Origin) -> bool {
        self.settings.trust_realms.iter().any(|named| origin.is_named(named))
    }

    fn exchange_patiently(&self, call: &Call<'_>) -> Result<Reply, RegistryError> {
        self.patiently(|| self.exchange(call.again()))
    }

    fn refused(&self, reply: Reply, access: &Access) -> RegistryError {
        Client::refused(self, reply, access)
    }
}

impl Call<'_> {
    /// The same request again. A stream is not repeated: it counts as empty.
    fn again(&self) -> Call<'_> {
        let payload = match &self.payload {
            Payload::Bytes(bytes) => Payload::Bytes(bytes),
            Payload::Empty | Payload::Stream(..) => Payload::Empty,
        };
        Call { method: self.method.clone(), url: self.url.clone(), headers: self.headers.clone(), payload }
    }
}

fn with_authorization<'c>(call: Call<'c>, header: Option<&str>) -> Call<'c> {
    match header {
        Some(header) => call.header("Authorization", header),
        None => call,
    }
}

pub(super) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
