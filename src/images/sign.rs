//! Signing: what a key says of an image, written beside it.
//!
//! The image is not changed: its digest stays, and what was signed before stays signed. What the key has said already is not said
//! again, also by a signer whose signatures differ each time.

use serde::Serialize;
use serde_json::Value;

use plugin_oci::attachments::Attachment;
use plugin_oci::documents::{Descriptor, Document, json};
use plugin_oci::failure::{Class, Error, Failure};
use plugin_oci::signatures::evidence::{Candidate, candidates};
use plugin_oci::signatures::keys::{Certificate, Signer};
use plugin_oci::signatures::statement::{self, Statement};
use plugin_oci::signatures::{Fault, bundle, notation, simple};
use plugin_oci::stores::{Selector, Sink, Source, platform_images, read_blob, read_document};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::epoch::Epoch;

/// What was signed.
#[derive(Clone, Debug, Serialize)]
pub struct Signed {
    /// Digest of the image.
    pub digest: Digest,
    /// What the key says of it.
    pub said: Vec<Said>,
}

/// One thing that a key says.
#[derive(Clone, Debug, Serialize)]
pub struct Said {
    /// What kind of thing.
    pub predicate_type: String,
    /// The manifest that holds it.
    pub manifest: Digest,
    /// Whether the key had said it before.
    pub is_new: bool,
}

/// Why an image cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// What is attached cannot be vouched for.
    #[error("{digest}, which is attached to the image, is no {what} of it")]
    Attached {
        digest: Digest,
        /// `SBOM` or `provenance`.
        what: &'static str,
        source: AttachedError,
    },
    /// A predicate is a JSON document.
    #[error("the predicate is no JSON that all readers read alike")]
    Predicate(#[source] json::JsonError),
}

/// Why what is attached is not what it claims to be.
#[derive(Debug, thiserror::Error)]
pub enum AttachedError {
    #[error("{0}")]
    Json(#[from] json::JsonError),
    #[error("{}", .0.message())]
    Statement(Fault),
}

impl Failure for AttachedError {}

impl Failure for SignError {
    fn class(&self) -> Class {
        match self {
            Self::Attached { .. } => Class::Failed,
            Self::Predicate(_) => Class::Usage,
        }
    }
}

/// The form of a signature.
#[derive(Clone, Debug)]
pub enum Format {
    /// A bundle for the image, one for its SBOM, one for its provenance.
    Bundle,
    /// The image and each of its platforms, signed under this name.
    Simple(String),
    /// With the certificates of the key, at this time; the third is now, in seconds since the epoch.
    Notation(Vec<Certificate>, Epoch, u64),
}

/// Signs an image.
pub fn sign(
    source: &dyn Source,
    sink: &dyn Sink,
    selector: &Selector,
    format: &Format,
    signer: &dyn Signer,
) -> Result<Signed, Error> {
    let root = source.resolve(selector)?;
    let mut statements = vec![(statement::SIGNATURE.to_owned(), statement::signature(&root.digest))];
    let said = match format {
        Format::Bundle => {
            statements.extend(attached(source, &root)?);
            return say(source, sink, &root, statements, signer);
        }
        Format::Simple(identity) => {
            let mut said = vec![sign_simple(source, sink, &root, identity, signer)?];
            // Who takes one platform out of an index looks for a signature of that one.
            for image in platform_images(source, &root)?.into_iter().filter(|image| image.descriptor.digest != root.digest) {
                let signed = sign_simple(source, sink, &image.descriptor, identity, signer)?;
                if !said.iter().any(|before| before.manifest == signed.manifest) {
                    said.push(signed);
                }
            }
            said
        }
        Format::Notation(chain, epoch, now) => {
            let make = |_: &[Candidate]| notation::sign(&root, signer, chain, *epoch);
            // One under a certificate that has ended no longer counts.
            let mut known = candidates(source, &root)?;
            known.retain(|known| known.check_time(*now).is_ok());
            vec![once(sink, &root, signer, &notation::signed_text(&root), (&known, make))?]
        }
    };
    Ok(Signed { digest: root.digest, said })
}

fn sign_simple(
    source: &dyn Source,
    sink: &dyn Sink,
    subject: &Descriptor,
    identity: &str,
    signer: &dyn Signer,
) -> Result<Said, Error> {
    let make = |known: &[Candidate]| {
        let before: Vec<simple::Layer> = known.iter().filter_map(Candidate::layer).cloned().collect();
        simple::sign(subject, identity, signer, &before)
    };
    once(sink, subject, signer, &simple::payload(&subject.digest, identity), (&candidates(source, subject)?, make))
}

/// Writes a signature with this payload, unless the key has made one before.
fn once(
    sink: &dyn Sink,
    subject: &Descriptor,
    signer: &dyn Signer,
    payload: &[u8],
    (known, make): (&[Candidate], impl FnOnce(&[Candidate]) -> Result<Attachment, Error>),
) -> Result<Said, Error> {
    let predicate_type = statement::SIGNATURE.to_owned();
    if let Some(before) = said_before(known, payload, subject, signer) {
        return Ok(Said { predicate_type, manifest: before.digest.clone(), is_new: false });
    }
    let made = make(known)?;
    made.write(sink)?;
    Ok(Said { predicate_type, manifest: made.descriptor.digest, is_new: true })
}

/// Where the key has signed these bytes.
fn said_before<'c>(known: &'c [Candidate], payload: &[u8], subject: &Descriptor, signer: &dyn Signer) -> Option<&'c Candidate> {
    known.iter().find(|known| known.payload() == payload && known.verify(signer.public(), subject).is_ok())
}

/// Signs a predicate about an image.
pub fn attest(
    source: &dyn Source,
    sink: &dyn Sink,
    selector: &Selector,
    (predicate_type, predicate): (&str, &[u8]),
    signer: &dyn Signer,
) -> Result<Signed, Error> {
    let root = source.resolve(selector)?;
    let predicate: Value = json::parse(predicate).map_err(SignError::Predicate)?;
    let statement = statement::about(&root.digest, predicate_type, &predicate);
    say(source, sink, &root, vec![(predicate_type.to_owned(), statement)], signer)
}

fn say(
    source: &dyn Source,
    sink: &dyn Sink,
    root: &Descriptor,
    statements: Vec<(String, Vec<u8>)>,
    signer: &dyn Signer,
) -> Result<Signed, Error> {
    let known = candidates(source, root)?;
    let (mut said, mut new): (Vec<Said>, Vec<Attachment>) = (Vec::new(), Vec::new());
    for (predicate_type, statement) in statements {
        if let Some(before) = said_before(&known, &statement, root, signer) {
            said.push(Said { predicate_type, manifest: before.digest.clone(), is_new: false });
            continue;
        }
        let made = bundle::sign(&statement, &predicate_type, root, signer)?;
        said.push(Said { predicate_type, manifest: made.descriptor.digest.clone(), is_new: true });
        new.push(made);
    }
    new.iter().try_for_each(|attachment| attachment.write(sink))?;
    Ok(Signed { digest: root.digest.clone(), said })
}

/// Statements of what is attached: the SBOM, and the provenance, which is one already.
fn attached(source: &dyn Source, root: &Descriptor) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut statements = Vec::new();
    for descriptor in source.referrers(&root.digest)? {
        let (Document::Manifest(manifest), _) = read_document(source, &descriptor)? else { continue };
        let Some(layer) = manifest.layers.first().filter(|_| !bundle::is_meant(&manifest)) else { continue };
        let artifact_type = manifest.effective_artifact_type().unwrap_or_default();
        let wrong = |what, source| SignError::Attached { digest: descriptor.digest.clone(), what, source };
        if let Some((_, predicate_type)) = statement::SBOMS.iter().find(|(known, _)| *known == artifact_type) {
            let sbom = json::parse(&read_blob(source, layer, bundle::LIMIT)?).map_err(|error| wrong("SBOM", error.into()))?;
            statements.push(((*predicate_type).to_owned(), statement::about(&root.digest, predicate_type, &sbom)));
        }
        if artifact_type == statement::MEDIA_TYPE {
            let bytes = read_blob(source, layer, bundle::LIMIT)?;
            let parsed =
                Statement::parse(&bytes, &root.digest).map_err(|fault| wrong("provenance", AttachedError::Statement(fault)))?;
            if parsed.predicate_type == statement::PROVENANCE {
                statements.push((parsed.predicate_type, bytes));
            }
        }
    }
    Ok(statements)
}
