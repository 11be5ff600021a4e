//! Everything beside an image that claims to be signed, and what a key makes of it.
//!
//! What is read is anybody's: whoever may push to a repository may add to it. So nothing here is trusted before a key has verified
//! it, and what cannot be read is a fault, not an absence.

use serde_json::Value;

use super::keys::PublicKey;
use super::statement::{self, Statement};
use super::{Fault, bundle, notation, simple};
use crate::documents::{Descriptor, Document, Manifest};
use crate::stores::{Selector, Source, StoreError, read_blob, read_document};
use crate::values::digest::Digest;
use crate::values::tag::Tag;

/// More referrers than an honest image has.
const MOST: usize = 256;

/// What a key says of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// What kind of thing it says: [`statement::SIGNATURE`] where it signed the image.
    pub predicate_type: String,
    /// What it says.
    pub predicate: Value,
    /// What it calls the image, where the form has a place for that.
    pub identity: Option<String>,
}

impl Said {
    fn signature(identity: Option<String>) -> Self {
        Self { predicate_type: statement::SIGNATURE.to_owned(), predicate: Value::Null, identity }
    }
}

/// Something beside an image that claims to be signed.
#[derive(Debug)]
pub struct Candidate {
    /// The manifest that holds it.
    pub digest: Digest,
    form: Result<Form, Fault>,
}

#[derive(Debug)]
enum Form {
    Bundle(Manifest, bundle::Unverified),
    Simple(simple::Layer),
    Notation(Manifest, notation::Unverified),
}

impl Candidate {
    /// Whether it says that this key signed it.
    pub fn names(&self, key: &PublicKey) -> bool {
        match &self.form {
            Ok(Form::Bundle(_, bundle)) => bundle.names(key),
            Ok(Form::Notation(_, envelope)) => envelope.names(key),
            Ok(Form::Simple(_)) | Err(_) => false,
        }
    }

    /// The bytes that are signed; of two with the same by one key, one is too many.
    pub fn payload(&self) -> &[u8] {
        match &self.form {
            Ok(Form::Bundle(_, bundle)) => bundle.payload(),
            Ok(Form::Simple(layer)) => &layer.payload,
            Ok(Form::Notation(_, envelope)) => envelope.payload(),
            Err(_) => &[],
        }
    }

    /// The layer of a simple signature.
    pub fn layer(&self) -> Option<&simple::Layer> {
        match &self.form {
            Ok(Form::Simple(layer)) => Some(layer),
            _ => None,
        }
    }

    /// Whether it counts at `now`, in seconds since the epoch: certificates end, and keys do not.
    pub fn check_time(&self, now: u64) -> Result<(), Fault> {
        match &self.form {
            Ok(Form::Notation(_, envelope)) => envelope.check_time(now),
            _ => Ok(()),
        }
    }

    /// What the key says in it about the image whose root is `subject`.
    pub fn verify(&self, key: &PublicKey, subject: &Descriptor) -> Result<Said, Fault> {
        match self.form.as_ref().map_err(Clone::clone)? {
            Form::Bundle(manifest, bundle) => {
                let statement = bundle.verify(key, &subject.digest)?;
                bundle::check_annotations(manifest, &statement)?;
                let Statement { predicate_type, predicate } = statement;
                Ok(Said { predicate_type, predicate, identity: None })
            }
            Form::Simple(layer) => layer.verify(key, &subject.digest).map(|identity| Said::signature(Some(identity))),
            Form::Notation(manifest, envelope) => {
                envelope.verify(key, subject, manifest)?;
                Ok(Said::signature(None))
            }
        }
    }
}

/// Collects what claims to be signed beside the image, or the platform of one, that `subject` describes.
pub fn candidates(source: &dyn Source, subject: &Descriptor) -> Result<Vec<Candidate>, StoreError> {
    let mut referrers = source.referrers(&subject.digest)?;
    // Others tag their signatures without making them refer to anything. What had the tag before goes on referring.
    let tagged = match source.resolve(&Selector::Tag(Tag::of_signatures(&subject.digest).to_string())) {
        Ok(tagged) => Some(tagged),
        Err(StoreError::NotFound { .. }) => None,
        Err(error) => return Err(error),
    };
    let is_replaced = |digest: &Digest| tagged.as_ref().is_some_and(|tagged| tagged.digest != *digest);
    referrers.extend(
        tagged.iter().filter(|tagged| referrers.iter().all(|known| known.digest != tagged.digest)).cloned().collect::<Vec<_>>(),
    );
    if referrers.len() > MOST {
        let object = format!("the list of what refers to {}", subject.digest);
        return Err(StoreError::TooLarge { object, size: referrers.len() as u64, limit: MOST as u64 });
    }
    let mut found = Vec::new();
    for descriptor in referrers {
        let mut add = |form| found.push(Candidate { digest: descriptor.digest.clone(), form });
        match read_document(source, &descriptor) {
            Ok((Document::Manifest(manifest), _)) if bundle::is_meant(&manifest) => {
                let content = content(source, bundle::layer(&manifest, subject), bundle::LIMIT)?;
                add(content.and_then(|bytes| Ok(Form::Bundle(manifest, bundle::Unverified::parse(&bytes)?))));
            }
            Ok((Document::Manifest(manifest), _)) if notation::is_meant(&manifest) => {
                let content = content(source, notation::layer(&manifest, subject), notation::LIMIT)?;
                add(content.and_then(|bytes| Ok(Form::Notation(manifest, notation::Unverified::parse(&bytes)?))));
            }
            Ok((Document::Manifest(manifest), _)) if simple::is_meant(&manifest) => {
                if is_replaced(&descriptor.digest) {
                    continue;
                }
                for layer in &manifest.layers {
                    let checked = simple::Layer::check(&manifest, layer, &subject.digest).map(|()| layer);
                    let content = content(source, checked, simple::LIMIT)?;
                    add(content.map(|payload| Form::Simple(simple::Layer { descriptor: layer.clone(), payload })));
                }
            }
            Ok(_) => {}
            Err(error) => add(Err(fault_of(error)?)),
        }
    }
    Ok(found)
}

fn content(source: &dyn Source, layer: Result<&Descriptor, Fault>, limit: u64) -> Result<Result<Vec<u8>, Fault>, StoreError> {
    match layer.map(|layer| read_blob(source, layer, limit)) {
        Ok(Ok(bytes)) => Ok(Ok(bytes)),
        Ok(Err(error)) => fault_of(error).map(Err),
        Err(fault) => Ok(Err(fault)),
    }
}

/// What cannot be read is wrong; only a store that cannot be reached is no fault of the bytes.
fn fault_of(error: StoreError) -> Result<Fault, StoreError> {
    match error {
        StoreError::Remote(_) => Err(error),
        other => Ok(Fault::malformed(other.to_string())),
    }
}
