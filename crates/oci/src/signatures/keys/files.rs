//! The forms in which keys lie in files.
//!
//! Private: PKCS#8 in PEM (`PRIVATE KEY`), the same encrypted (`ENCRYPTED PRIVATE KEY`, RFC 5958 and PBES2), SEC1
//! (`EC PRIVATE KEY`), and cosign's own. Public: `PUBLIC KEY`, or the leaf of a file of certificates.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::Decode as _;
use pkcs8::der::pem::{self, LineEnding};
use zeroize::Zeroizing;

use super::{Certificate, KeyError, KeyFileError, PrivateKey, PublicKey, cosign};
use crate::fs::FileError;

/// More bytes than any file with keys has.
const LIMIT: u64 = 1 << 20;

/// The label of a block of PEM, and its bytes.
type Block = (String, Zeroizing<Vec<u8>>);

/// A file with a key or certificates, unread as to what it holds.
pub struct KeyFile {
    path: PathBuf,
    text: Zeroizing<Vec<u8>>,
}

impl KeyFile {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let mut text = Zeroizing::new(Vec::new());
        let file = File::open(path).map_err(FileError::at("read", path))?;
        file.take(LIMIT).read_to_end(&mut text).map_err(FileError::at("read", path))?;
        Ok(Self { path: path.to_owned(), text })
    }

    /// Text that is no file; `name` is what errors call it.
    pub fn of(name: &str, text: &[u8]) -> Self {
        Self { path: name.into(), text: Zeroizing::new(text.to_vec()) }
    }

    /// Whether a password opens it.
    pub fn is_encrypted(&self) -> bool {
        self.first().is_ok_and(|(label, _)| label.starts_with("ENCRYPTED"))
    }

    /// The private key in it. The password is that of an encrypted one.
    pub fn private(&self, password: &[u8]) -> Result<PrivateKey, KeyFileError> {
        self.named(self.first().and_then(|(label, der)| private(&label, &der, password)))
    }

    /// The public key in it, bare or in a certificate that is valid at `now` (seconds since the epoch).
    pub fn public(&self, now: u64) -> Result<PublicKey, KeyFileError> {
        self.named(self.first().and_then(|(label, der)| public(&label, &der, now)))
    }

    /// The certificates in it, the leaf first; all must be valid at `now`, in seconds since the epoch.
    pub fn certificates(&self, now: u64) -> Result<Vec<Certificate>, KeyFileError> {
        let certificate = |(label, der): Block| match label.as_str() {
            "CERTIFICATE" => {
                let certificate = Certificate::from_der(&der)?;
                certificate.check_time(now).map(|()| certificate)
            }
            _ => Err(KeyError::Label(label)),
        };
        self.named(blocks(&self.text).and_then(|blocks| blocks.into_iter().map(certificate).collect()))
    }

    /// What counts in a file that says the curve first, as openssl's do.
    fn first(&self) -> Result<Block, KeyError> {
        let block = blocks(&self.text)?.into_iter().find(|(label, _)| label != "EC PARAMETERS");
        block.ok_or(KeyError::Malformed)
    }

    fn named<T>(&self, found: Result<T, KeyError>) -> Result<T, KeyFileError> {
        found.map_err(|source| KeyFileError { path: self.path.clone(), source })
    }
}

fn private(label: &str, der: &[u8], password: &[u8]) -> Result<PrivateKey, KeyError> {
    match label {
        "PRIVATE KEY" => PrivateKey::from_pkcs8(der),
        "EC PRIVATE KEY" => PrivateKey::from_sec1(der),
        "ENCRYPTED PRIVATE KEY" => {
            let encrypted = EncryptedPrivateKeyInfoRef::from_der(der).map_err(|_| KeyError::Encryption)?;
            let opened = encrypted.decrypt(password).map_err(|_| KeyError::Password)?;
            PrivateKey::from_pkcs8(opened.as_bytes())
        }
        "ENCRYPTED SIGSTORE PRIVATE KEY" | "ENCRYPTED COSIGN PRIVATE KEY" => {
            PrivateKey::from_pkcs8(&cosign::Sealed::parse(der)?.open(password)?)
        }
        "PUBLIC KEY" | "CERTIFICATE" => Err(KeyError::Public),
        "RSA PRIVATE KEY" => Err(KeyError::Algorithm),
        _ => Err(KeyError::Label(label.to_owned())),
    }
}

fn public(label: &str, der: &[u8], now: u64) -> Result<PublicKey, KeyError> {
    match label {
        "PUBLIC KEY" => PublicKey::from_spki(der),
        "CERTIFICATE" => {
            let certificate = Certificate::from_der(der)?;
            certificate.check_time(now)?;
            certificate.key()
        }
        "RSA PUBLIC KEY" => Err(KeyError::Algorithm),
        _ if label.ends_with("PRIVATE KEY") => Err(KeyError::Private),
        _ => Err(KeyError::Label(label.to_owned())),
    }
}

/// Bytes in PEM.
pub(super) fn to_pem(label: &'static str, der: &[u8]) -> String {
    pem::encode_string(label, LineEnding::LF, der).unwrap_or_default()
}

/// Every block of PEM.
fn blocks(text: &[u8]) -> Result<Vec<Block>, KeyError> {
    let text = std::str::from_utf8(text).map_err(|_| KeyError::Malformed)?;
    if text.trim().is_empty() {
        return Err(KeyError::Empty);
    }
    let mut rest = text;
    let mut blocks = Vec::new();
    while let Some(start) = rest.find("-----BEGIN ") {
        let ends = rest[start..].find("-----END ").and_then(|end| {
            let line = start + end;
            rest[line..].find('\n').map(|length| line + length).or(Some(rest.len()))
        });
        let end = ends.ok_or(KeyError::Malformed)?;
        // However long its lines are.
        let block = rest[start..end].trim();
        let width = pem::detect_base64_line_width(block.as_bytes()).map_err(|_| KeyError::Malformed)?;
        let mut decoder = pem::Decoder::new_wrapped(block.as_bytes(), width).map_err(|_| KeyError::Malformed)?;
        let label = decoder.type_label().to_owned();
        let mut der = Zeroizing::new(Vec::new());
        decoder.decode_to_end(&mut der).map_err(|_| KeyError::Malformed)?;
        blocks.push((label, der));
        rest = &rest[end..];
    }
    if blocks.is_empty() { Err(KeyError::Malformed) } else { Ok(blocks) }
}
