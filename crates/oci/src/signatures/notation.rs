//! Signatures as notation looks for them: a JSON Web Signature with certificates, as a referrer.
//!
//! Source: <https://github.com/notaryproject/specifications>, `specs/signature-specification.md` and
//! `specs/signature-envelope-jws.md`. The signing time is not that of a clock: that of the image, or the first at which the
//! certificate is valid.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Fault;
use super::keys::{Algorithm, Certificate, KeyError, PublicKey, Signer, der_of, to_raw};
use crate::attachments::Attachment;
use crate::documents::{Descriptor, Manifest, json as strict};
use crate::failure::Error;
use crate::values::digest::Digest;
use crate::values::epoch::Epoch;

/// Type of the configuration, and so of the artifact.
pub const ARTIFACT_TYPE: &str = "application/vnd.cncf.notary.signature";
const ENVELOPE: &str = "application/jose+json";
const PAYLOAD: &str = "application/vnd.cncf.notary.payload.v1+json";
const SCHEME: &str = "io.cncf.notary.signingScheme";
const TIME: &str = "io.cncf.notary.signingTime";
const THUMBPRINTS: &str = "io.cncf.notary.x509chain.thumbprint#S256";
/// More bytes than an envelope has.
pub const LIMIT: u64 = 4 << 20;

/// The payload that an image is signed.
fn payload(subject: &Descriptor) -> Vec<u8> {
    let artifact = json!({ "mediaType": subject.media_type, "digest": subject.digest, "size": subject.size });
    strict::to_canonical(&json!({ "targetArtifact": artifact }))
}

/// The payload as it stands in an envelope.
pub fn signed_text(subject: &Descriptor) -> Vec<u8> {
    encode(&payload(subject)).into_bytes()
}

/// Signs an image with a key whose certificate is the first of `chain`.
pub fn sign(subject: &Descriptor, signer: &dyn Signer, chain: &[Certificate], epoch: Epoch) -> Result<Attachment, Error> {
    let leaf = chain.first().ok_or(KeyError::Empty)?;
    if signer.public().algorithm() != Algorithm::P256 {
        return Err(KeyError::Algorithm.into());
    }
    if leaf.key()? != *signer.public() {
        return Err(KeyError::Foreign.into());
    }
    let time = epoch.no_earlier_than(leaf.validity().0);
    leaf.check_time(time.seconds())?;
    let protected = json!({
        "alg": "ES256", "cty": PAYLOAD, "crit": [SCHEME], SCHEME: "notary.x509", TIME: time.rfc3339(),
    });
    let (protected, payload) = (encode(&strict::to_canonical(&protected)), encode(&payload(subject)));
    let der = signer.sign(format!("{protected}.{payload}").as_bytes())?;
    let signature = to_raw(&der).ok_or(KeyError::Algorithm)?;
    let certificates: Vec<String> = chain.iter().map(|certificate| STANDARD.encode(certificate.der())).collect();
    let envelope = json!({
        "payload": payload, "protected": protected, "signature": encode(&signature), "header": { "x5c": certificates },
    });
    let thumbprints: Vec<String> = chain.iter().map(|certificate| Digest::of(certificate.der()).hex().to_owned()).collect();
    let attachment = Attachment::of_config(ARTIFACT_TYPE, b"{}".to_vec(), subject)
        .layer(ENVELOPE, strict::to_canonical(&envelope), [])
        .annotation(THUMBPRINTS, strict::to_canonical_text(&json!(thumbprints)))
        .finish();
    Ok(attachment)
}

/// Whether a manifest holds such a signature.
pub fn is_meant(manifest: &Manifest) -> bool {
    manifest.effective_artifact_type() == Some(ARTIFACT_TYPE) || manifest.annotations.contains_key(THUMBPRINTS)
}

/// What is wrong with a manifest around one; its layer otherwise.
pub fn layer<'m>(manifest: &'m Manifest, subject: &Descriptor) -> Result<&'m Descriptor, Fault> {
    let [layer] = manifest.layers.as_slice() else {
        return Err(Fault::malformed("its manifest has not one signature"));
    };
    if manifest.config.media_type != ARTIFACT_TYPE && manifest.artifact_type.as_deref() != Some(ARTIFACT_TYPE) {
        return Err(Fault::media_type(&manifest.config.media_type));
    }
    if layer.media_type != ENVELOPE {
        return Err(Fault::media_type(&layer.media_type));
    }
    match &manifest.subject {
        Some(named) if named.digest == subject.digest => Ok(layer),
        _ => Err(Fault::subject("its manifest refers to something else")),
    }
}

/// A signature in which nothing was checked yet.
#[derive(Debug)]
pub struct Unverified {
    envelope: Envelope,
    chain: Vec<Certificate>,
    leaf: PublicKey,
    thumbprints: Vec<String>,
}

impl Unverified {
    /// Parses an envelope whose first certificate is of a key that is known.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let value = strict::parse(bytes).map_err(|error| {
            let text = format!("the envelope is {error}");
            if error.is_cut() { Fault::truncated(text) } else { Fault::malformed(text) }
        })?;
        let envelope: Envelope = serde_json::from_value(value)
            .map_err(|error| Fault::malformed(format!("the envelope has the wrong shape: {error}")))?;
        let chain = envelope.header.chain.iter().map(|text| STANDARD.decode(text));
        let chain = chain.collect::<Result<Vec<Vec<u8>>, _>>().map_err(|_| Fault::malformed("a certificate is no base64"))?;
        let thumbprints = chain.iter().map(|der| Digest::of(der).hex().to_owned()).collect();
        let chain = chain.iter().map(|der| Certificate::from_der(der)).collect::<Result<Vec<_>, _>>().ok();
        let leaf = chain.as_ref().and_then(|chain| chain.first()?.key().ok());
        let (Some(chain), Some(leaf)) = (chain, leaf) else {
            return Err(Fault::malformed("it has no certificate of a key that is read here"));
        };
        Ok(Self { envelope, chain, leaf, thumbprints })
    }

    /// Whether all its certificates are valid then (specification, "Authentic Timestamp": no other clock has seen it).
    pub fn check_time(&self, now: u64) -> Result<(), Fault> {
        let checked = self.chain.iter().try_for_each(|certificate| certificate.check_time(now));
        checked.map_err(|error| Fault::expired(error.to_string()))
    }

    /// Whether its certificate is of this key.
    pub fn names(&self, key: &PublicKey) -> bool {
        self.leaf == *key
    }

    /// Whether the key signed the image in it.
    pub fn verify(&self, key: &PublicKey, subject: &Descriptor, manifest: &Manifest) -> Result<(), Fault> {
        let protected = decode("header", &self.envelope.protected)?;
        let header = strict::parse(&protected).map_err(|error| Fault::malformed(format!("its header is {error}")))?;
        if header["alg"] != "ES256" || key.algorithm() != Algorithm::P256 {
            return Err(if self.names(key) { Fault::algorithm(key) } else { Fault::key() });
        }
        let raw = decode("signature", &self.envelope.signature)?;
        if raw.len() < 64 {
            return Err(Fault::truncated(format!("the signature has {} of 64 bytes", raw.len())));
        }
        let signature = der_of(&raw).ok_or_else(|| Fault::algorithm(key))?;
        let signed = format!("{}.{}", self.envelope.protected, self.envelope.payload);
        if let Err(fault) = key.verify(signed.as_bytes(), &signature) {
            return Err(if self.names(key) { fault } else { Fault::key() });
        }
        if !self.names(key) {
            return Err(Fault::key_id());
        }
        if header["cty"] != PAYLOAD {
            return Err(Fault::media_type(header["cty"].as_str().unwrap_or_default()));
        }
        // What must be understood and is not.
        if header["crit"] != json!([SCHEME]) || header[SCHEME] != "notary.x509" {
            return Err(Fault::purpose("it asks for more than a key can say"));
        }
        let text = strict::to_canonical_text(&json!(self.thumbprints));
        if manifest.annotations.get(THUMBPRINTS) != Some(&text) {
            return Err(Fault::annotation(THUMBPRINTS));
        }
        let bytes = decode("payload", &self.envelope.payload)?;
        let payload = strict::parse(&bytes).map_err(|error| Fault::malformed(format!("its payload is {error}")))?;
        let artifact = &payload["targetArtifact"];
        let is_it = artifact["digest"] == json!(subject.digest)
            && artifact["size"] == json!(subject.size)
            && artifact["mediaType"] == subject.media_type;
        if is_it { Ok(()) } else { Err(Fault::replayed("the key signed something else than this image")) }
    }

    /// The bytes that are signed.
    pub fn payload(&self) -> &[u8] {
        self.envelope.payload.as_bytes()
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(what: &str, text: &str) -> Result<Vec<u8>, Fault> {
    URL_SAFE_NO_PAD.decode(text).map_err(|error| Fault::malformed(format!("its {what} is no base64url: {error}")))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    payload: String,
    protected: String,
    signature: String,
    header: Header,
}

#[derive(Debug, Deserialize)]
struct Header {
    #[serde(rename = "x5c")]
    chain: Vec<String>,
    #[serde(flatten)]
    _rest: Value,
}
