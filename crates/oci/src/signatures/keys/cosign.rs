//! The key files of cosign: PKCS#8 under a secretbox whose key scrypt makes of a password
//! (<https://github.com/sigstore/cosign>, `pkg/cosign/keys.go`; <https://github.com/secure-systems-lab/go-securesystemslib>,
//! `encrypted`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::aead::{Aead as _, KeyInit as _};
use crypto_secretbox::{Nonce, XSalsa20Poly1305};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::KeyError;
use crate::documents::json;

/// An encrypted key.
#[derive(Deserialize)]
pub(super) struct Sealed {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Kdf {
    name: String,
    params: Params,
    salt: String,
}

#[derive(Deserialize)]
struct Params {
    #[serde(rename = "N")]
    cost: u32,
    r: u32,
    p: u32,
}

#[derive(Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// The most memory that a file may ask for: 128 bytes times `N` times `r`; cosign's own take 64 MiB.
const MEMORY: u64 = 256 << 20;
/// How often it may ask for it.
const PARALLEL: u32 = 16;

impl Sealed {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        json::parse_as(bytes).map_err(|_| KeyError::Malformed)
    }

    /// The PKCS#8 document in it.
    pub(super) fn open(&self, password: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let Params { cost, r, p } = self.kdf.params;
        let memory = u64::from(cost).saturating_mul(u64::from(r)).saturating_mul(128);
        if self.kdf.name != "scrypt" || self.cipher.name != "nacl/secretbox" || !cost.is_power_of_two() {
            return Err(KeyError::Encryption);
        }
        if memory > MEMORY || p > PARALLEL {
            return Err(KeyError::Encryption);
        }
        let log = u8::try_from(cost.trailing_zeros()).map_err(|_| KeyError::Encryption)?;
        let params = scrypt::Params::new(log, r, p).map_err(|_| KeyError::Encryption)?;
        let mut key = Zeroizing::new([0; 32]);
        scrypt::scrypt(password, &decode(&self.kdf.salt)?, &params, key.as_mut()).map_err(|_| KeyError::Encryption)?;
        let nonce: [u8; 24] = decode(&self.cipher.nonce)?.try_into().map_err(|_| KeyError::Malformed)?;
        let secretbox = XSalsa20Poly1305::new(crypto_secretbox::Key::from_slice(key.as_ref()));
        let opened = secretbox.decrypt(&Nonce::from(nonce), decode(&self.ciphertext)?.as_slice());
        Ok(Zeroizing::new(opened.map_err(|_| KeyError::Password)?))
    }
}

fn decode(text: &str) -> Result<Vec<u8>, KeyError> {
    STANDARD.decode(text).map_err(|_| KeyError::Malformed)
}
