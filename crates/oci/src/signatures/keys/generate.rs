//! New keys.

use p256::pkcs8::EncodePrivateKey as _;
use pkcs8::der::Encode as _;
use pkcs8::der::asn1::OctetStringRef;
use pkcs8::spki::AlgorithmIdentifierRef;
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use super::{Algorithm, ED25519, KeyError, PrivateKey, files};

/// A pair of keys.
pub struct Generated {
    /// PKCS#8 in PEM.
    pub private: Zeroizing<String>,
    /// The key itself.
    pub key: PrivateKey,
}

/// Makes a pair of keys. With a password that is not empty, the private one is encrypted (PBES2: scrypt and AES-256-CBC).
pub fn generate(algorithm: Algorithm, password: &[u8]) -> Result<Generated, KeyError> {
    let der = match algorithm {
        Algorithm::P256 => loop {
            let random = random()?;
            // All but one in 2^32 are in range.
            if let Ok(secret) = p256::SecretKey::from_slice(random.as_ref()) {
                let document = secret.to_pkcs8_der().map_err(|_| KeyError::Malformed)?;
                break Zeroizing::new(document.as_bytes().to_vec());
            }
        },
        Algorithm::Ed25519 => of_seed(random()?.as_ref()).map_err(|_| KeyError::Malformed)?,
    };
    let key = PrivateKey::from_pkcs8(&der)?;
    let private = if password.is_empty() {
        files::to_pem("PRIVATE KEY", &der)
    } else {
        let info = PrivateKeyInfoRef::try_from(der.as_slice()).map_err(|_| KeyError::Malformed)?;
        let sealed = info.encrypt(password).map_err(|_| KeyError::Random)?;
        debug_assert!(EncryptedPrivateKeyInfoRef::try_from(sealed.as_bytes()).is_ok());
        files::to_pem("ENCRYPTED PRIVATE KEY", sealed.as_bytes())
    };
    Ok(Generated { private: Zeroizing::new(private), key })
}

/// Version 1 of the document (RFC 8410, section 7), which every reader takes.
fn of_seed(seed: &[u8]) -> pkcs8::der::Result<Zeroizing<Vec<u8>>> {
    let curve_private_key = Zeroizing::new(OctetStringRef::new(seed)?.to_der()?);
    let algorithm = AlgorithmIdentifierRef { oid: ED25519, parameters: None };
    let info = PrivateKeyInfoRef::new(algorithm, OctetStringRef::new(&curve_private_key)?);
    info.to_der().map(Zeroizing::new)
}

fn random() -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let mut bytes = Zeroizing::new([0; 32]);
    SystemRandom::new().fill(bytes.as_mut()).map_err(|_| KeyError::Random)?;
    Ok(bytes)
}
