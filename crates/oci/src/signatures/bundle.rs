//! Sigstore bundles: a signed statement as a referrer.
//!
//! Sources: <https://github.com/sigstore/protobuf-specs>, `sigstore_bundle.proto`, version 0.3; cosign's `BUNDLE_SPEC.md` for
//! where it lies. The manifest has the empty configuration, the bundle as its one layer and artifact type, and repeats in
//! annotations what kind of statement it is. The key is only hinted at: whoever verifies brings it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Fault;
use super::dsse;
use super::keys::{PublicKey, Signer};
use super::statement::{self, Statement};
use crate::attachments::Attachment;
use crate::documents::{Descriptor, Manifest, json as strict, media_type};
use crate::failure::Error;
use crate::values::digest::Digest;

/// Media type and artifact type of a bundle.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// What those of all versions begin with.
const FAMILY: &str = "application/vnd.dev.sigstore.bundle";
/// Annotation: what is in the bundle.
const CONTENT: &str = "dev.sigstore.bundle.content";
/// Annotation: the type of the statement.
pub const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";
const ENVELOPE: &str = "dsse-envelope";
/// More bytes than a bundle of ours has: an SBOM is in it.
pub const LIMIT: u64 = 32 << 20;

/// How a bundle hints at a key: as cosign does.
pub fn hint(key: &PublicKey) -> String {
    STANDARD.encode(Sha256::digest(key.spki()))
}

/// Signs a statement about the image whose root is `subject`.
pub fn sign(statement: &[u8], predicate_type: &str, subject: &Descriptor, signer: &dyn Signer) -> Result<Attachment, Error> {
    let signature = signer.sign(&dsse::encoded(statement::MEDIA_TYPE, statement))?;
    let bundle = json!({
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": { "publicKey": { "hint": hint(signer.public()) }, "tlogEntries": [] },
        "dsseEnvelope": {
            "payload": STANDARD.encode(statement),
            "payloadType": statement::MEDIA_TYPE,
            "signatures": [{ "sig": STANDARD.encode(signature) }],
        },
    });
    let attachment = Attachment::builder(MEDIA_TYPE, subject)
        .layer(MEDIA_TYPE, strict::to_canonical(&bundle), [])
        .annotation(CONTENT, ENVELOPE)
        .annotation(PREDICATE_TYPE, predicate_type)
        .finish();
    Ok(attachment)
}

/// Whether a media type is that of a bundle, of whatever version.
pub fn is_bundle(media_type: &str) -> bool {
    media_type.starts_with(FAMILY)
}

/// Whether anything about a manifest says that it holds a bundle.
pub fn is_meant(manifest: &Manifest) -> bool {
    manifest.artifact_type.as_deref().is_some_and(is_bundle)
        || manifest.layers.iter().any(|layer| is_bundle(&layer.media_type))
        || manifest.annotations.keys().any(|key| key == CONTENT || key == PREDICATE_TYPE)
}

/// What is wrong with a manifest around a bundle about the image whose root is `subject`; its layer otherwise.
pub fn layer<'m>(manifest: &'m Manifest, subject: &Descriptor) -> Result<&'m Descriptor, Fault> {
    let layer = match manifest.layers.as_slice() {
        [layer] => layer,
        [] => return Err(Fault::malformed("its manifest has no layer")),
        [..] => return Err(Fault::duplicated("its manifest has more than one bundle")),
    };
    let artifact_type = manifest.artifact_type.as_deref().unwrap_or_default();
    let types = [(artifact_type, MEDIA_TYPE), (&layer.media_type, MEDIA_TYPE), (&manifest.config.media_type, media_type::EMPTY)];
    if let Some((found, _)) = types.into_iter().find(|(found, wanted)| found != wanted) {
        return Err(Fault::media_type(found));
    }
    match &manifest.subject {
        Some(named) if named.digest != subject.digest => Err(Fault::subject(format!("its manifest refers to {}", named.digest))),
        Some(named) if named.size != subject.size || named.media_type != subject.media_type => {
            Err(Fault::subject("its manifest refers to the image by another size or media type"))
        }
        Some(_) => Ok(layer),
        None => Err(Fault::subject("its manifest refers to nothing")),
    }
}

/// A bundle in which nothing was checked yet.
#[derive(Debug)]
pub struct Unverified {
    hint: String,
    payload: Vec<u8>,
    payload_type: String,
    signature: Vec<u8>,
}

impl Unverified {
    /// Parses a bundle with one signature in an envelope.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let value = strict::parse(bytes).map_err(|error| {
            let text = format!("the bundle is {error}");
            if error.is_cut() { Fault::truncated(text) } else { Fault::malformed(text) }
        })?;
        let media_type = value["mediaType"].as_str().unwrap_or_default();
        if media_type != MEDIA_TYPE {
            return Err(Fault::media_type(media_type));
        }
        if value.get("messageSignature").is_some() {
            return Err(Fault::purpose("the bundle signs a file, and no statement about an image"));
        }
        let parsed: Bundle = serde_json::from_value(value)
            .map_err(|error| Fault::malformed(format!("the bundle has the wrong shape: {error}")))?;
        let [signature] = parsed.dsse_envelope.signatures.as_slice() else {
            return Err(match parsed.dsse_envelope.signatures.len() {
                0 => Fault::missing("the bundle has no signature"),
                more => Fault::duplicated(format!("the bundle has {more} signatures")),
            });
        };
        let Some(key) = parsed.verification_material.public_key else {
            return Err(Fault::malformed("the bundle is not verified by a key, but by a certificate"));
        };
        Ok(Self {
            hint: key.hint,
            payload: decode("payload", &parsed.dsse_envelope.payload)?,
            payload_type: parsed.dsse_envelope.payload_type,
            signature: decode("signature", &signature.sig)?,
        })
    }

    /// Whether it says that this key signed it.
    pub fn names(&self, key: &PublicKey) -> bool {
        self.hint == hint(key)
    }

    /// What the key says in it about the image.
    pub fn verify(&self, key: &PublicKey, subject: &Digest) -> Result<Statement, Fault> {
        if let Err(fault) = key.verify(&dsse::encoded(&self.payload_type, &self.payload), &self.signature) {
            return Err(if self.names(key) { fault } else { Fault::key() });
        }
        if !self.names(key) {
            return Err(Fault::key_id());
        }
        if self.payload_type != statement::MEDIA_TYPE {
            return Err(Fault::media_type(&self.payload_type));
        }
        Statement::parse(&self.payload, subject)
    }

    /// The bytes that are signed.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}

/// Whether the annotations of a manifest are about its statement.
pub fn check_annotations(manifest: &Manifest, statement: &Statement) -> Result<(), Fault> {
    for (key, wanted) in [(CONTENT, ENVELOPE), (PREDICATE_TYPE, statement.predicate_type.as_str())] {
        if manifest.annotations.get(key).map(String::as_str) != Some(wanted) {
            return Err(Fault::annotation(key));
        }
    }
    Ok(())
}

fn decode(what: &str, text: &str) -> Result<Vec<u8>, Fault> {
    STANDARD.decode(text).map_err(|error| Fault::malformed(format!("its {what} is no base64: {error}")))
}

// Members that are not known are refused: to another reader they may be others.

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Bundle {
    #[serde(rename = "mediaType")]
    _media_type: String,
    verification_material: Material,
    dsse_envelope: Envelope,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Material {
    public_key: Option<Key>,
    // What proves when it was signed and by whom; a key needs none of it.
    #[serde(default, rename = "tlogEntries")]
    _log: Value,
    #[serde(default, rename = "timestampVerificationData")]
    _times: Value,
    #[serde(default, rename = "certificate", alias = "x509CertificateChain")]
    _certificate: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    #[serde(default)]
    hint: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    sig: String,
    #[serde(default, rename = "keyid")]
    _keyid: String,
}
