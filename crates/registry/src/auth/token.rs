//! A token: what it is good for, signed. Nothing has to be looked up but whether it was revoked.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::keys::{Keys, unguessable};
use crate::pattern::Pattern;

/// What it is signed for.
const PURPOSE: &str = "token";

/// What may be done with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// To read.
    Pull,
    /// To add, and to move tags.
    Push,
    /// To remove.
    Delete,
}

/// What a token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Token {
    /// Names it, in the log and where it is revoked.
    #[serde(rename = "i")]
    pub id: String,
    /// The repositories.
    #[serde(rename = "r")]
    repositories: Vec<Pattern>,
    /// What may be done with them.
    #[serde(rename = "a")]
    actions: Vec<Action>,
    /// Seconds since 1970.
    #[serde(rename = "e")]
    pub expires: u64,
}

impl Token {
    /// A new one.
    pub fn new(repositories: Vec<Pattern>, actions: Vec<Action>, lifetime: Duration) -> Self {
        Self { id: unguessable(), repositories, actions, expires: clock::seconds().saturating_add(lifetime.as_secs()) }
    }

    /// As its owner keeps it.
    pub fn signed(&self, keys: &Keys) -> String {
        keys.sign(PURPOSE, serde_json::json!(self).to_string().as_bytes())
    }

    /// Reads what a client sends; `None` for what is none, or no longer.
    pub(crate) fn read(keys: &Keys, signed: &str) -> Option<Self> {
        let token: Self = serde_json::from_slice(&keys.verified(PURPOSE, signed)?).ok()?;
        (token.expires > clock::seconds()).then_some(token)
    }

    /// What a text says that may be a token, whoever signed it; `None` for anything else.
    pub fn unverified(text: &str) -> Option<Self> {
        let (bytes, _) = text.split_once('.')?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(bytes).ok()?).ok()
    }

    pub(crate) fn allows(&self, name: &str, action: Action) -> bool {
        self.actions.contains(&action) && self.repositories.iter().any(|pattern| pattern.matches(name))
    }
}
