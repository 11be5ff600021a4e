//! The state of an upload, which the client keeps.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use plugin_oci::values::digest::{Algorithm, Hasher};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::LIFETIME;
use crate::clock;
use crate::fault::Fault;
use crate::keys::{Keys, unguessable};

/// What it is signed for.
const PURPOSE: &str = "upload";

/// An upload, up to some byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// Names its folder.
    #[serde(rename = "i")]
    pub(super) id: String,
    /// The repository.
    #[serde(rename = "n")]
    name: String,
    /// How the bytes were hashed.
    #[serde(rename = "a")]
    pub(super) algorithm: String,
    /// How many bytes there are.
    #[serde(rename = "o")]
    pub(crate) offset: u64,
    /// The state of the hash of these.
    #[serde(rename = "s", serialize_with = "to_text", deserialize_with = "from_text")]
    pub(super) state: Vec<u8>,
    /// The last part.
    #[serde(rename = "t")]
    pub(super) tail: Option<Tail>,
    /// How many parts there are.
    #[serde(rename = "c")]
    pub(super) parts: u32,
    /// Seconds since 1970.
    #[serde(rename = "e")]
    expires: u64,
}

/// A part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tail {
    /// Its name in the folder.
    #[serde(rename = "p")]
    pub(super) part: String,
}

fn to_text<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&URL_SAFE_NO_PAD.encode(bytes))
}

fn from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    URL_SAFE_NO_PAD.decode(text).map_err(serde::de::Error::custom)
}

impl Session {
    /// A new one.
    pub(crate) fn new(name: &str, algorithm: Algorithm) -> Self {
        Self {
            id: unguessable(),
            name: name.to_owned(),
            algorithm: algorithm.as_str().to_owned(),
            offset: 0,
            state: Hasher::with(algorithm).state(),
            tail: None,
            parts: 0,
            expires: clock::seconds() + LIFETIME,
        }
    }

    /// Reads what a client brings back.
    pub(crate) fn read(keys: &Keys, name: &str, signed: &str) -> Result<Self, Fault> {
        let unknown = || Fault::upload_unknown("there is no such upload");
        let bytes = keys.verified(PURPOSE, signed).ok_or_else(unknown)?;
        let session: Self = serde_json::from_slice(&bytes).map_err(|_| unknown())?;
        if session.name != name || session.expires < clock::seconds() {
            return Err(unknown());
        }
        Ok(session)
    }

    /// The last part of its URL.
    pub(crate) fn signed(&self, keys: &Keys) -> String {
        keys.sign(PURPOSE, serde_json::json!(self).to_string().as_bytes())
    }
}
