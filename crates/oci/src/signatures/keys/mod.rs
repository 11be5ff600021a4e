//! Keys: what signs, and what a signature is held against.
//!
//! Two algorithms, both of which give the same signature for the same message: ECDSA on P-256 with the nonce of RFC 6979, and
//! Ed25519 (RFC 8032). A signature of the first is DER (`ECDSA-Sig-Value`, RFC 3279), of the second its 64 bytes.

mod certificate;
mod cosign;
mod files;
mod generate;

pub use certificate::Certificate;
pub use files::KeyFile;
pub use generate::{Generated, generate};

use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{DerSignature, Signature};
use p256::pkcs8::EncodePublicKey as _;
use pkcs8::der::asn1::OctetStringRef;
use pkcs8::der::{Decode as _, Encode as _};
use pkcs8::spki::{AlgorithmIdentifierOwned, ObjectIdentifier, SubjectPublicKeyInfoRef};
use ring::signature::{Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::Fault;
use crate::failure::{Class, Failure};

/// `id-Ed25519` (RFC 8410).
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// What a key signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256 over SHA-256.
    P256,
    /// Ed25519.
    Ed25519,
}

impl Algorithm {
    /// How a person calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "ECDSA P-256",
            Self::Ed25519 => "Ed25519",
        }
    }
}

/// A key that signatures are held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    kind: Kind,
    spki: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    P256(p256::ecdsa::VerifyingKey),
    Ed25519([u8; 32]),
}

impl PublicKey {
    /// Parses a `SubjectPublicKeyInfo` (RFC 5280) in DER.
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let parsed = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| KeyError::Malformed)?;
        let kind = if parsed.algorithm.oid == ED25519 {
            let raw = parsed.subject_public_key.as_bytes().and_then(|raw| raw.try_into().ok()).ok_or(KeyError::Malformed)?;
            Kind::Ed25519(raw)
        } else {
            let key = p256::ecdsa::VerifyingKey::try_from(parsed);
            Kind::P256(key.map_err(|_| KeyError::Algorithm)?)
        };
        Ok(Self { kind, spki: der.to_vec() })
    }

    fn of_p256(key: p256::ecdsa::VerifyingKey) -> Result<Self, KeyError> {
        let spki = key.to_public_key_der().map_err(|_| KeyError::Malformed)?.into_vec();
        Ok(Self { kind: Kind::P256(key), spki })
    }

    fn of_ed25519(raw: [u8; 32]) -> Result<Self, KeyError> {
        let algorithm = AlgorithmIdentifierOwned { oid: ED25519, parameters: None };
        let subject_public_key = pkcs8::der::asn1::BitString::from_bytes(&raw).map_err(|_| KeyError::Malformed)?;
        let spki = pkcs8::spki::SubjectPublicKeyInfoOwned { algorithm, subject_public_key };
        Ok(Self { kind: Kind::Ed25519(raw), spki: spki.to_der().map_err(|_| KeyError::Malformed)? })
    }

    /// What it verifies.
    pub fn algorithm(&self) -> Algorithm {
        match self.kind {
            Kind::P256(_) => Algorithm::P256,
            Kind::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    /// The `SubjectPublicKeyInfo` in DER.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The same in PEM.
    pub fn to_pem(&self) -> String {
        files::to_pem("PUBLIC KEY", &self.spki)
    }

    /// Checks a signature; what is wrong with it otherwise.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Fault> {
        let shape = Shape::of(signature, matches!(self.kind, Kind::Ed25519(_)));
        match (&self.kind, shape) {
            (Kind::P256(key), Shape::Der) => {
                let signature = DerSignature::from_bytes(signature).map_err(|_| Fault::algorithm(self))?;
                key.verify(message, &signature).map_err(|_| Fault::invalid())
            }
            (Kind::Ed25519(raw), Shape::Raw) => {
                UnparsedPublicKey::new(&ring::signature::ED25519, raw).verify(message, signature).map_err(|_| Fault::invalid())
            }
            (_, Shape::CutDer) => Err(Fault::truncated("the signature ends before the length that it states")),
            (Kind::Ed25519(_), Shape::Other) if signature.len() < 64 => {
                Err(Fault::truncated(format!("the signature has {} of 64 bytes", signature.len())))
            }
            _ => Err(Fault::algorithm(self)),
        }
    }
}

/// What the bytes of a signature look like.
enum Shape {
    /// One DER sequence and nothing else.
    Der,
    /// The beginning of one.
    CutDer,
    /// 64 bytes.
    Raw,
    Other,
}

impl Shape {
    /// 64 bytes can be either: whether they are raw to the one who asks decides before how they begin.
    fn of(signature: &[u8], is_raw: bool) -> Self {
        match signature {
            raw if raw.len() == 64 && is_raw => Self::Raw,
            [] | [0x30] => Self::CutDer,
            [0x30, length, rest @ ..] if *length < 0x80 => match rest.len().cmp(&usize::from(*length)) {
                std::cmp::Ordering::Less => Self::CutDer,
                std::cmp::Ordering::Equal => Self::Der,
                std::cmp::Ordering::Greater if signature.len() == 64 => Self::Raw,
                std::cmp::Ordering::Greater => Self::Other,
            },
            raw if raw.len() == 64 => Self::Raw,
            _ => Self::Other,
        }
    }
}

/// The 64 bytes of a P-256 signature as JOSE wants them (RFC 7518, 3.4), from DER.
pub(super) fn to_raw(der: &[u8]) -> Option<[u8; 64]> {
    Some(Signature::from_der(der).ok()?.to_bytes().into())
}

/// The reverse: the DER of such 64 bytes.
pub fn der_of(raw: &[u8]) -> Option<Vec<u8>> {
    Some(Signature::from_slice(raw).ok()?.to_der().as_bytes().to_vec())
}

/// Whatever can sign.
pub trait Signer {
    /// The other half of the key.
    fn public(&self) -> &PublicKey;

    /// Signs a message.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, crate::failure::Error>;
}

/// A private key in memory.
pub struct PrivateKey {
    kind: Private,
    public: PublicKey,
}

enum Private {
    P256(p256::ecdsa::SigningKey),
    Ed25519(Box<Ed25519KeyPair>),
}

impl PrivateKey {
    /// Parses a `PrivateKeyInfo` or `OneAsymmetricKey` (RFC 5958) in DER.
    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let info = pkcs8::PrivateKeyInfoRef::from_der(der).map_err(|_| KeyError::Malformed)?;
        if info.algorithm.oid != ED25519 {
            let key = p256::ecdsa::SigningKey::try_from(info).map_err(|_| KeyError::Algorithm)?;
            return Self::of_p256(key);
        }
        let seed = <&OctetStringRef>::from_der(info.private_key.as_bytes()).map_err(|_| KeyError::Malformed)?;
        Self::of_seed(seed.as_bytes())
    }

    /// Parses an `ECPrivateKey` (RFC 5915) in DER.
    fn from_sec1(der: &[u8]) -> Result<Self, KeyError> {
        let key = p256::SecretKey::from_sec1_der(der).map_err(|_| KeyError::Algorithm)?;
        Self::of_p256(key.into())
    }

    fn of_p256(key: p256::ecdsa::SigningKey) -> Result<Self, KeyError> {
        let public = PublicKey::of_p256(*key.verifying_key())?;
        Ok(Self { kind: Private::P256(key), public })
    }

    fn of_seed(seed: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Malformed)?;
        let raw = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Malformed)?;
        Ok(Self { public: PublicKey::of_ed25519(raw)?, kind: Private::Ed25519(Box::new(pair)) })
    }
}

impl Signer for PrivateKey {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, crate::failure::Error> {
        Ok(match &self.kind {
            Private::P256(key) => {
                let signature: DerSignature = key.sign(message);
                signature.as_bytes().to_vec()
            }
            Private::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        })
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrivateKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// Why bytes are not the key that is wanted.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// No PEM of a kind that is known, or DER that is none.
    #[error("it holds no key that can be read")]
    Malformed,
    /// PEM of another kind.
    #[error("it holds `{0}`, which is no key that is read here")]
    Label(String),
    /// Another algorithm.
    #[error("its key is neither ECDSA on P-256 nor Ed25519")]
    Algorithm,
    /// The private half where the public one is wanted.
    #[error("it holds a private key, and the public one is wanted")]
    Private,
    /// The public half where the private one is wanted.
    #[error("it holds a public key, and the private one is wanted")]
    Public,
    /// The password does not open it.
    #[error("the password does not open it")]
    Password,
    /// It is encrypted in a way that is not known, or that would take all memory.
    #[error("it is encrypted in a way that is not read here")]
    Encryption,
    /// A certificate outside its time.
    #[error("its certificate is valid from {from} until {until}")]
    Expired {
        /// RFC 3339.
        from: String,
        /// RFC 3339.
        until: String,
    },
    /// The certificate of another key.
    #[error("its certificate is of another key than the one that signs")]
    Foreign,
    /// The system has no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

impl Failure for KeyError {
    fn class(&self) -> Class {
        match self {
            Self::Random => Class::Failed,
            _ => Class::Usage,
        }
    }
}

/// A file that is not the key that is wanted.
#[derive(Debug, thiserror::Error)]
#[error("cannot use `{}` as a key", path.display())]
pub struct KeyFileError {
    /// The file.
    pub path: std::path::PathBuf,
    /// What is wrong with it.
    pub source: KeyError,
}

impl Failure for KeyFileError {
    fn class(&self) -> Class {
        self.source.class()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_same_each_time_and_holds_for_its_message_and_key_alone() {
        for algorithm in [Algorithm::P256, Algorithm::Ed25519] {
            let [one, other] = [(); 2].map(|()| generate(algorithm, b"").unwrap().key);
            let signature = one.sign(b"message").unwrap();
            assert_eq!(signature, one.sign(b"message").unwrap());
            one.public().verify(b"message", &signature).unwrap();
            assert_eq!(one.public().verify(b"massage", &signature).unwrap_err().rule(), "signature-invalid");
            assert_eq!(other.public().verify(b"message", &signature).unwrap_err().rule(), "signature-invalid");
            for length in 0..signature.len() {
                let rule = one.public().verify(b"message", &signature[..length]).unwrap_err().rule();
                assert_eq!(rule, "signature-truncated", "{algorithm:?} {length}");
            }
        }
    }

    #[test]
    fn a_signature_of_another_algorithm_is_told_from_a_wrong_one() {
        let [one, other] = [Algorithm::P256, Algorithm::Ed25519].map(|algorithm| generate(algorithm, b"").unwrap().key);
        let rule = |key: &PrivateKey, by: &PrivateKey| key.public().verify(b"x", &by.sign(b"x").unwrap()).unwrap_err().rule();
        assert_eq!(rule(&one, &other), "signature-algorithm");
        assert_eq!(rule(&other, &one), "signature-algorithm");
    }
}
