//! Certificates: what notation asks for beside a key.

use std::str::FromStr as _;

use p256::ecdsa::DerSignature;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{self, Builder as _, CertificateBuilder};
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages};
use x509_cert::ext::{Extension, ToExtension as _};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{ObjectIdentifier, SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};
use x509_cert::time::{Time, Validity};

use super::{KeyError, Private, PrivateKey, PublicKey, files};
use crate::values::epoch::Epoch;

/// `id-kp-codeSigning` (RFC 5280).
const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");

/// An X.509 certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    parsed: x509_cert::Certificate,
}

impl Certificate {
    /// Parses DER.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let parsed = x509_cert::Certificate::from_der(der).map_err(|_| KeyError::Malformed)?;
        Ok(Self { der: der.to_vec(), parsed })
    }

    /// A certificate by the key for itself, for signing code, without an end: as long-lived as a key is. No clock and no random
    /// number goes in.
    pub fn self_signed(key: &PrivateKey, name: &str) -> Result<Self, KeyError> {
        let Private::P256(signing) = &key.kind else { return Err(KeyError::Algorithm) };
        let build = || -> Result<Vec<u8>, builder::Error> {
            let escaped: String =
                name.chars().flat_map(|c| if ",+\"\\<>;=#".contains(c) { vec!['\\', c] } else { vec![c] }).collect();
            let profile = CodeSigner(Name::from_str(&format!("CN={escaped}"))?);
            let start = Time::try_from(std::time::UNIX_EPOCH)?;
            let validity = Validity::new(start, Time::INFINITY);
            let spki = SubjectPublicKeyInfoOwned::from_der(key.public.spki())?;
            let serial = SerialNumber::new(&[1])?;
            let certificate = CertificateBuilder::new(profile, serial, validity, spki)?;
            Ok(certificate.build::<_, DerSignature>(signing)?.to_der()?)
        };
        Self::from_der(&build().map_err(|_| KeyError::Malformed)?)
    }

    /// DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// PEM.
    pub fn to_pem(&self) -> String {
        files::to_pem("CERTIFICATE", &self.der)
    }

    /// The key that it is of.
    pub fn key(&self) -> Result<PublicKey, KeyError> {
        let spki = self.parsed.tbs_certificate().subject_public_key_info().to_der().map_err(|_| KeyError::Malformed)?;
        PublicKey::from_spki(&spki)
    }

    /// When it begins and ends to be valid, in seconds since the epoch.
    pub fn validity(&self) -> (u64, u64) {
        let validity = self.parsed.tbs_certificate().validity();
        (validity.not_before.to_unix_duration().as_secs(), validity.not_after.to_unix_duration().as_secs())
    }

    /// Whether it is valid then.
    pub fn check_time(&self, now: u64) -> Result<(), KeyError> {
        let (from, until) = self.validity();
        if (from..=until).contains(&now) {
            return Ok(());
        }
        let text = |seconds| Epoch::parse(&u64::to_string(&seconds)).map_or_else(|_| seconds.to_string(), Epoch::rfc3339);
        Err(KeyError::Expired { from: text(from), until: text(until) })
    }
}

/// What notation wants of the certificate of a signer (its specification, "Certificate Requirements").
struct CodeSigner(Name);

impl BuilderProfile for CodeSigner {
    fn get_issuer(&self, subject: &Name) -> Name {
        subject.clone()
    }

    fn get_subject(&self) -> Name {
        self.0.clone()
    }

    fn build_extensions(
        &self,
        _: SubjectPublicKeyInfoRef<'_>,
        _: SubjectPublicKeyInfoRef<'_>,
        tbs: &x509_cert::certificate::TbsCertificate,
    ) -> builder::Result<Vec<Extension>> {
        let none = Vec::new();
        Ok(vec![
            BasicConstraints { ca: false, path_len_constraint: None }.to_extension(tbs.subject(), &none)?,
            KeyUsage(KeyUsages::DigitalSignature.into()).to_extension(tbs.subject(), &none)?,
            ExtendedKeyUsage(vec![CODE_SIGNING]).to_extension(tbs.subject(), &none)?,
        ])
    }
}
