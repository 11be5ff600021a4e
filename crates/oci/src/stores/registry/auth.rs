//! Who we are, to whom: Basic credentials and bearer tokens (distribution's `docs/spec/auth`: token, oauth, scope).
//!
//! Threats and defences:
//! - *Credentials for somebody else.* An `Authorization` header goes to the registry's own origin (scheme, host, port) and to
//!   no other: not across a redirect, not to a foreign `Location`.
//! - *A token server of somebody else* (CVE-2026-50151 and its kin in oras). Credentials go to a realm at the registry's own
//!   origin, or over https within its site at the same port (`auth.example.com` for `registry.example.com`), or to what the
//!   user named by `--trust-realm`: another port of one host may be another user's program. Any other https realm is asked
//!   without credentials, and only where there are none to give.
//! - *Downgrade.* A realm over http is taken at the registry's own host, itself reached over http, and nowhere else.
//! - *A token that may do more than the work needs.* What is asked for is [`Access::scopes`]; the scope of a challenge adds
//!   nothing to it.
//! - *Replay after expiry.* A token is renewed before its time is over, and once more when it is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;
use ureq::http::Method;

use super::challenge::{self, Challenge};
use super::credentials::Credential;
use super::error::RegistryError;
use super::transport::{Call, Payload, Reply};
use super::url::{Origin, Scheme, Url, encode};

/// Token servers answer with less.
const TOKEN_LIMIT: u64 = 1 << 20;
/// What a token without `expires_in` lives (distribution's token specification).
const TOKEN_LIFE: Duration = Duration::from_mins(1);
/// No token is taken to live longer, in seconds.
const LONGEST_LIFE: f64 = 24.0 * 60.0 * 60.0;

/// The access that a request asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Access {
    /// The registry as the user wrote it: the key of its credentials.
    pub(super) host: String,
    /// The repository.
    pub(super) repository: String,
    /// `repository:NAME:pull,push`, sorted; more than one for a mount, none for a login.
    pub(super) scopes: BTreeSet<String>,
}

#[derive(Clone)]
struct Granted {
    header: String,
    until: Option<Instant>,
}

/// An answer to a refusal.
pub(super) struct Renewed {
    pub(super) header: String,
    /// Obtained just now.
    pub(super) fresh: bool,
}

/// What asking for a token needs of the client.
pub(super) trait Caller {
    /// What there is to prove who we are.
    fn credential(&self, host: &str, repository: &str) -> Result<Option<Credential>, RegistryError>;

    /// Whether the user named a realm.
    fn trusts_realm(&self, origin: &Origin) -> bool;

    /// Sends without credentials, again where the peer is busy.
    fn exchange_patiently(&self, call: &Call<'_>) -> Result<Reply, RegistryError>;

    /// What an answer that is no success says.
    fn refused(&self, reply: Reply, access: &Access) -> RegistryError;
}

/// Remembers what was granted. One request at a time asks for more.
#[derive(Default)]
pub(super) struct Authority {
    granted: Mutex<BTreeMap<(Origin, Access), Granted>>,
    gates: Mutex<BTreeMap<(Origin, Access), Gate>>,
}

/// Whether an answer has come yet; locked while the first one is waited for.
type Gate = Arc<Mutex<bool>>;

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<Value>,
}

impl TokenAnswer {
    /// What is one: some servers fill one member and leave the other empty.
    fn token(&self) -> Option<&str> {
        let usable = |token: &&str| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
        [&self.token, &self.access_token].into_iter().filter_map(|token| token.as_deref()).find(usable)
    }

    /// How long it lives. Servers state seconds as a whole number, as a fraction, and as text; none and less say nothing.
    fn life(&self) -> Duration {
        let stated = self.expires_in.as_ref().and_then(|found| found.as_f64().or_else(|| found.as_str()?.trim().parse().ok()));
        let sound = stated.filter(|seconds| *seconds > 0.0);
        sound.map_or(TOKEN_LIFE, |seconds| Duration::from_secs_f64(seconds.min(LONGEST_LIFE)))
    }
}

impl Authority {
    /// The gate before requests that need some access to an origin: whether that takes a token shows in the answer to the first
    /// of them, and the others wait for it rather than be refused each by itself.
    pub(super) fn gate(&self, origin: &Origin, access: &Access) -> Gate {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.entry((origin.clone(), access.clone())).or_default().clone()
    }

    /// The header to send, if one was granted and still holds.
    pub(super) fn current(&self, origin: &Origin, access: &Access) -> Option<String> {
        let granted = self.lock();
        let found = granted.get(&(origin.clone(), access.clone()))?;
        found.until.is_none_or(|until| Instant::now() < until).then(|| found.header.clone())
    }

    /// Answers a 401: obtains a header other than `refused`. `None` where there is nothing (more) to try. One that another
    /// thread obtained meanwhile may be stale itself: only a fresh one has to be good.
    pub(super) fn renew(
        &self,
        caller: &dyn Caller,
        refusal: &Reply,
        access: &Access,
        refused: Option<&str>,
    ) -> Result<Option<Renewed>, RegistryError> {
        let origin = refusal.url.origin();
        let key = (origin.clone(), access.clone());
        let mut granted = self.lock();
        if let Some(other) = granted.get(&key).filter(|found| Some(found.header.as_str()) != refused) {
            return Ok(Some(Renewed { header: other.header.clone(), fresh: false }));
        }
        let challenges: Vec<Challenge> =
            refusal.headers("WWW-Authenticate").iter().flat_map(|text| challenge::parse(text)).collect();
        let credential = caller.credential(&access.host, &access.repository)?;
        let bearer = challenges.iter().find(|challenge| challenge.scheme == "bearer");
        let new = match (bearer, credential) {
            (Some(bearer), credential) => Some(fetch_token(caller, bearer, access, origin, credential.as_ref())?),
            (None, Some(Credential::Basic { user, password })) if challenges.iter().any(|c| c.scheme == "basic") => {
                Some(Granted { header: Credential::basic_header(&user, &password), until: None })
            }
            _ => None,
        };
        let new = new.filter(|new| Some(new.header.as_str()) != refused);
        if let Some(new) = &new {
            granted.insert(key, new.clone());
        }
        Ok(new.map(|new| Renewed { header: new.header, fresh: true }))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Origin, Access), Granted>> {
        self.granted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fetch_token(
    caller: &dyn Caller,
    challenge: &Challenge,
    access: &Access,
    origin: &Origin,
    credential: Option<&Credential>,
) -> Result<Granted, RegistryError> {
    let broken = |reason: &str| RegistryError::Protocol { url: access.host.clone(), reason: reason.to_owned() };
    let realm = challenge.parameter("realm").and_then(Url::parse);
    let realm = realm.ok_or_else(|| broken("its authentication challenge has no usable realm"))?;
    check_realm(caller, &realm, origin, access, credential.is_some())?;
    let service = challenge.parameter("service");
    let scopes = &access.scopes;
    let reply = match credential {
        Some(Credential::Identity(token)) => refresh(caller, realm, service, scopes, token)?,
        Some(Credential::Basic { user, password }) => {
            let header = Credential::basic_header(user, password);
            ask(caller, realm, service, scopes, Some(header))?
        }
        None => ask(caller, realm, service, scopes, None)?,
    };
    if !reply.is_success() {
        return Err(caller.refused(reply, access));
    }
    let url = reply.url.to_string();
    let bytes = reply.read(TOKEN_LIMIT)?;
    let answer: TokenAnswer = serde_json::from_slice(&bytes)
        .map_err(|_| RegistryError::Protocol { url: url.clone(), reason: "the token server's answer is no JSON".to_owned() })?;
    let nothing = || RegistryError::Protocol { url, reason: "the token server's answer holds no token".to_owned() };
    let token = answer.token().ok_or_else(nothing)?;
    Ok(Granted { header: format!("Bearer {token}"), until: Some(Instant::now() + answer.life() * 4 / 5) })
}

/// `GET` with the password or without anything (token specification).
fn ask(
    caller: &dyn Caller,
    realm: Url,
    service: Option<&str>,
    scopes: &BTreeSet<String>,
    authorization: Option<String>,
) -> Result<Reply, RegistryError> {
    let mut url = realm;
    if let Some(service) = service {
        url = url.with_query("service", service);
    }
    for scope in scopes {
        url = url.with_query("scope", scope);
    }
    let mut call = Call::new(Method::GET, url);
    if let Some(header) = authorization {
        call = call.header("Authorization", header);
    }
    caller.exchange_patiently(&call)
}

/// `POST` with a refresh token (oauth specification).
fn refresh(
    caller: &dyn Caller,
    realm: Url,
    service: Option<&str>,
    scopes: &BTreeSet<String>,
    token: &str,
) -> Result<Reply, RegistryError> {
    let scope = scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    let form = [
        ("grant_type", "refresh_token"),
        ("service", service.unwrap_or_default()),
        ("client_id", super::transport::CLIENT),
        ("scope", &scope),
        ("refresh_token", token),
    ];
    let form = form.map(|(name, value)| format!("{name}={}", encode(value))).join("&");
    let mut call = Call::new(Method::POST, realm).header("Content-Type", "application/x-www-form-urlencoded");
    call.payload = Payload::Bytes(form.as_bytes());
    caller.exchange_patiently(&call)
}

fn check_realm(
    caller: &dyn Caller,
    realm: &Url,
    registry: &Origin,
    access: &Access,
    has_credential: bool,
) -> Result<(), RegistryError> {
    let own_host = realm.origin().host == registry.host;
    if realm.scheme() == Scheme::Http && !(own_host && registry.scheme == Scheme::Http) {
        return Err(RegistryError::PlainHttp {
            from: format!("the authentication realm of {}", access.host),
            host: realm.origin().host.clone(),
            url: realm.to_string(),
        });
    }
    let same_door = (realm.scheme(), realm.origin().port) == (registry.scheme, registry.port);
    let same_house = own_host || same_site(&realm.origin().host, &registry.host);
    if has_credential && !(same_door && same_house) && !caller.trusts_realm(realm.origin()) {
        return Err(RegistryError::ForeignRealm { host: access.host.clone(), realm: realm.authority() });
    }
    Ok(())
}

/// Whether two host names belong to one site: they share their last two labels, or three where the second-last is one that
/// registrars sell names under (`co.uk`). An approximation of the public suffix list that errs on the strict side for those.
fn same_site(a: &str, b: &str) -> bool {
    site(a).is_some_and(|found| Some(found) == site(b))
}

fn site(host: &str) -> Option<&str> {
    if host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok() {
        return None;
    }
    let dots: Vec<usize> = host.rmatch_indices('.').map(|(position, _)| position).collect();
    let labels: Vec<&str> = host.rsplit('.').collect();
    let generic = ["co", "com", "net", "org", "gov", "edu", "ac", "go", "or", "ne"];
    let sold_below = labels.first()?.len() == 2 && labels.get(1).is_some_and(|label| generic.contains(label));
    let wanted = if sold_below { 2 } else { 1 };
    if labels.len() < wanted + 1 || labels.iter().any(|label| label.is_empty()) {
        return None;
    }
    Some(dots.get(wanted).map_or(host, |dot| &host[dot + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_what_one_registrant_owns() {
        for (a, b) in [("auth.a.test", "registry.a.test"), ("a.test", "x.y.a.test"), ("auth.a.co.uk", "r.a.co.uk")] {
            assert!(same_site(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("a.test", "b.test"),
            ("a.co.uk", "b.co.uk"),
            ("test", "test"),
            ("evila.test", "a.test"),
            ("10.0.0.1", "10.0.0.1"),
            ("1.0.0.1", "9.0.0.1"),
            ("[::1]", "[::1]"),
            ("169.254.169.254", "a.169.254"),
            (".test", ".test"),
        ] {
            assert!(!same_site(a, b), "{a} {b}");
        }
    }
}
