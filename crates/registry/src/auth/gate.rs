//! The gate that every request passes.

use std::collections::BTreeMap;
use std::sync::RwLock;
use std::time::Duration;

use axum::http::{HeaderMap, Method, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::token::{Action, Token};
use crate::audit::{Audit, at};
use crate::clock;
use crate::fault::Fault;
use crate::keys::Keys;
use crate::names::{Name, Route};
use crate::pattern::Pattern;
use crate::store::{Condition, Kind, Store, StoreFault};

/// What is no longer good: identifiers of tokens, and until when each would have been.
const REVOKED: &str = "_r/revoked";
const JSON: &str = plugin_oci::stores::bucket::objects::JSON;

/// How often servers look for what was revoked.
pub const REFRESH: Duration = Duration::from_secs(5);

/// Who may do what.
pub struct Gate {
    /// Whether nobody is asked.
    is_open: bool,
    /// What everybody may pull.
    anonymous: Vec<Pattern>,
    revoked: RwLock<BTreeMap<String, u64>>,
}

/// Whoever has passed.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    /// Nobody is asked.
    Open,
    /// Somebody without a token.
    Anonymous,
    /// The owner of a token.
    Owner(Token),
}

/// What a request needs.
pub(crate) fn need(route: &Route, method: &Method) -> Action {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    match route {
        Route::Upload(..) | Route::Uploads(_) => Action::Push,
        _ if is_read => Action::Pull,
        _ if method == Method::DELETE => Action::Delete,
        _ => Action::Push,
    }
}

impl Gate {
    /// One at which nobody is asked.
    pub const fn open() -> Self {
        Self { is_open: true, anonymous: Vec::new(), revoked: RwLock::new(BTreeMap::new()) }
    }

    /// One that wants a token, but for pulls from these repositories.
    pub const fn closed(anonymous: Vec<Pattern>) -> Self {
        Self { is_open: false, anonymous, revoked: RwLock::new(BTreeMap::new()) }
    }

    /// Whether everybody may pull from a repository: only then may what stands between keep it for others.
    pub(crate) fn is_public(&self, name: &Name) -> bool {
        self.is_open || self.anonymous.iter().any(|pattern| pattern.matches(name.as_str()))
    }

    /// Whoever sends a request.
    pub(crate) fn who(&self, keys: &Keys, headers: &HeaderMap) -> Result<Access, Fault> {
        if self.is_open {
            return Ok(Access::Open);
        }
        // Who has no credentials may send empty ones.
        match sent(headers).filter(|sent| !sent.is_empty()) {
            None => Ok(Access::Anonymous),
            Some(sent) => match Token::read(keys, &sent).filter(|token| !self.is_revoked(&token.id)) {
                Some(token) => Ok(Access::Owner(token)),
                None => Err(unauthorized("the token is not, or no longer, good")),
            },
        }
    }

    /// Lets somebody look at what each may see.
    pub(crate) fn look(&self, access: &Access) -> Result<(), Fault> {
        match access {
            Access::Anonymous if self.anonymous.is_empty() => Err(unauthorized("a token is wanted")),
            _ => Ok(()),
        }
    }

    /// Lets a request pass, or says why not.
    pub(crate) fn pass(&self, access: &Access, name: Option<&Name>, action: Action) -> Result<(), Fault> {
        match (access, name) {
            // Who is told here that nothing is wanted sends no credentials later.
            (Access::Anonymous, None) if !self.anonymous.iter().any(|pattern| pattern.matches("")) => {
                Err(unauthorized("a token is wanted"))
            }
            (_, None) => Ok(()),
            (_, Some(name)) if self.allows(access, name, action) => Ok(()),
            (Access::Owner(_), _) => Err(Fault::denied("the token is not for that")),
            _ => Err(unauthorized("a token is wanted")),
        }
    }

    /// Whether somebody may do something.
    pub(crate) fn allows(&self, access: &Access, name: &Name, action: Action) -> bool {
        let is_public = action == Action::Pull && self.is_public(name);
        is_public
            || match access {
                Access::Open => true,
                Access::Anonymous => false,
                Access::Owner(token) => token.allows(name.as_str(), action),
            }
    }

    fn is_revoked(&self, id: &str) -> bool {
        self.revoked.read().is_ok_and(|revoked| revoked.contains_key(id))
    }

    /// Reads again what was revoked.
    pub async fn refresh(&self, store: &Store) -> Result<(), StoreFault> {
        if self.is_open {
            return Ok(());
        }
        let now = store.get(REVOKED).await?;
        let read = now.map(|now| serde_json::from_slice(&now.bytes).map_err(|error| StoreFault::new(REVOKED, error)));
        if let (Ok(mut revoked), read) = (self.revoked.write(), read.transpose()?.unwrap_or_default()) {
            *revoked = read;
        }
        Ok(())
    }
}

/// Lets a token be good no longer. Servers know within [`REFRESH`].
pub async fn revoke(store: &Store, id: &str, expires: u64, audit: Option<&Audit>) -> Result<(), StoreFault> {
    for _ in 0..100 {
        let now = store.get(REVOKED).await?;
        let read = now.as_ref().map(|now| serde_json::from_slice(&now.bytes).map_err(|error| StoreFault::new(REVOKED, error)));
        let mut revoked: BTreeMap<String, u64> = read.transpose()?.unwrap_or_default();
        revoked.retain(|_, until| *until > clock::seconds());
        revoked.insert(id.to_owned(), expires);
        let condition = now.map_or(Condition::Absent, |now| Condition::Unchanged(now.version));
        if store.put(REVOKED, &Kind::changing(JSON), serde_json::json!(revoked).to_string().into_bytes(), condition).await? {
            let line = serde_json::json!({"at": at(), "act": "revoke", "token": id, "outcome": "done"});
            let told = audit.map_or(Ok(()), |audit| audit.tell(&line));
            return told.map_err(|error| StoreFault::new("the audit log", error));
        }
    }
    Err(StoreFault::new(REVOKED, "it changes faster than it can be written"))
}

fn unauthorized(message: &str) -> Fault {
    Fault::unauthorized(message).with(header::WWW_AUTHENTICATE, "Basic realm=\"registry\"")
}

/// The token of a request: the password of `Basic`, whoever the user is, or what stands behind `Bearer`.
fn sent(headers: &HeaderMap) -> Option<String> {
    let (scheme, value) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(value.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
    text.split_once(':').map(|(_, password)| password.to_owned())
}
