//! Signatures as cosign 2, skopeo, podman and CRI-O look for them: a manifest tagged by the digest that it signs.
//!
//! Sources: containers-signature(5) for the payload; cosign's `SIGNATURE_SPEC.md` for the manifest, which has the shape of an image
//! with one layer for each signature. What they have beyond a bundle is an identity: the name that the image is signed under.
//! The manifest has the image as its `subject` too, so that it travels with it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Fault;
use super::keys::{PublicKey, Signer};
use crate::attachments::Attachment;
use crate::documents::{Descriptor, Manifest, REF_NAME, json as strict, media_type};
use crate::failure::Error;
use crate::values::digest::Digest;
use crate::values::tag::Tag;

/// Media type of a payload.
pub const MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Annotation of a layer: the signature of its content.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const TYPE: &str = "cosign container image signature";
/// More bytes than a payload has.
pub const LIMIT: u64 = 1 << 20;

/// The payload that an image is signed under a name.
pub fn payload(subject: &Digest, identity: &str) -> Vec<u8> {
    strict::to_canonical(&json!({
        "critical": {
            "identity": { "docker-reference": identity },
            "image": { "docker-manifest-digest": subject.to_string() },
            "type": TYPE,
        },
        "optional": null,
    }))
}

/// Signs an image, or one platform of it. The signatures that are there already stay, and come first.
pub fn sign(subject: &Descriptor, identity: &str, signer: &dyn Signer, before: &[Layer]) -> Result<Attachment, Error> {
    let bytes = payload(&subject.digest, identity);
    let signature = STANDARD.encode(signer.sign(&bytes)?);
    let mut layers: Vec<(&Descriptor, &[u8])> =
        before.iter().map(|layer| (&layer.descriptor, layer.payload.as_slice())).collect();
    let mut own = Descriptor::of(MEDIA_TYPE, &bytes);
    own.annotations.insert(SIGNATURE.to_owned(), signature);
    layers.push((&own, &bytes));
    let diff_ids: Vec<&Digest> = layers.iter().map(|(layer, _)| &layer.digest).collect();
    let config = json!({ "architecture": "", "config": {}, "os": "", "rootfs": { "type": "layers", "diff_ids": diff_ids } });
    let mut builder = Attachment::of_config(media_type::CONFIG, strict::to_canonical(&config), subject);
    for (layer, payload) in layers {
        builder = builder.described(layer.clone(), payload.to_vec());
    }
    let mut attachment = builder.finish();
    attachment.descriptor.annotations.insert(REF_NAME.to_owned(), Tag::of_signatures(&subject.digest).to_string());
    Ok(attachment)
}

/// Whether a manifest holds signatures of this form.
pub fn is_meant(manifest: &Manifest) -> bool {
    manifest.layers.iter().any(|layer| layer.media_type == MEDIA_TYPE || layer.annotations.contains_key(SIGNATURE))
}

/// One signature.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Describes the payload, with the signature among its annotations.
    pub descriptor: Descriptor,
    /// The payload.
    pub payload: Vec<u8>,
}

impl Layer {
    /// What is wrong with a manifest around such signatures, or with one of its layers.
    pub fn check(manifest: &Manifest, layer: &Descriptor, subject: &Digest) -> Result<(), Fault> {
        if layer.media_type != MEDIA_TYPE {
            return Err(Fault::media_type(&layer.media_type));
        }
        match &manifest.subject {
            Some(named) if named.digest != *subject => Err(Fault::subject(format!("its manifest refers to {}", named.digest))),
            _ => Ok(()),
        }
    }

    /// The name that the key has signed the image under.
    pub fn verify(&self, key: &PublicKey, subject: &Digest) -> Result<String, Fault> {
        let text = self.descriptor.annotations.get(SIGNATURE).ok_or_else(|| Fault::annotation(SIGNATURE))?;
        let signature =
            STANDARD.decode(text).map_err(|error| Fault::malformed(format!("its signature is no base64: {error}")))?;
        key.verify(&self.payload, &signature)?;
        let value = strict::parse(&self.payload).map_err(|error| Fault::malformed(format!("its payload is {error}")))?;
        let payload: Payload = serde_json::from_value(value)
            .map_err(|error| Fault::malformed(format!("its payload has the wrong shape: {error}")))?;
        let Critical { identity, image, kind } = payload.critical;
        if kind != TYPE {
            return Err(Fault::purpose(format!("the key signed `{}`", crate::values::text::name(&kind))));
        }
        if image.digest != subject.to_string() {
            let other = crate::values::text::name(&image.digest).into_owned();
            return Err(Fault::replayed(format!("the key signed {other}, not this image")));
        }
        Ok(identity.reference)
    }
}

// What is critical must be known, and nothing beside it may be (containers-signature(5)).

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    critical: Critical,
    #[serde(default, rename = "optional")]
    _optional: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    #[serde(rename = "docker-reference")]
    reference: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}
