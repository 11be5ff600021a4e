//! Everything beside an image that claims to be signed, and what a key makes of it.
//!
//! What is read is anybody's: whoever may push to a repository may add to it. So nothing here is trusted before a key has verified
//! it, and what cannot be read is a fault, not an absence.

use serde_json::Value;

use super::keys::PublicKey;
use super::statement;
use super::{Fault, bundle};
use crate::documents::{Descriptor, Document, Manifest};
use crate::stores::{Source, StoreError, read_blob, read_document};
use crate::values::digest::Digest;

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
    /// Whether it is a signature of the image, and not something else about it.
    pub fn is_signature(&self) -> bool {
        self.predicate_type == statement::SIGNATURE
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
}

impl Candidate {
    /// Whether it says that this key signed it.
    pub fn names(&self, key: &PublicKey) -> bool {
        match &self.form {
            Ok(Form::Bundle(_, bundle)) => bundle.names(key),
            Err(_) => false,
        }
    }

    /// The bytes that are signed; of two with the same, one is too many.
    pub fn payload(&self) -> &[u8] {
        match &self.form {
            Ok(Form::Bundle(_, bundle)) => bundle.payload(),
            Err(_) => &[],
        }
    }

    /// What the key says in it about the image.
    pub fn verify(&self, key: &PublicKey, subject: &Digest) -> Result<Said, Fault> {
        match self.form.as_ref().map_err(Clone::clone)? {
            Form::Bundle(manifest, bundle) => {
                let statement = bundle.verify(key, subject)?;
                bundle::check_annotations(manifest, &statement)?;
                let statement::Statement { predicate_type, predicate } = statement;
                Ok(Said { predicate_type, predicate, identity: None })
            }
        }
    }
}

/// Collects what claims to be signed beside the image whose root is `subject`.
pub fn candidates(source: &dyn Source, subject: &Descriptor) -> Result<Vec<Candidate>, StoreError> {
    let mut found = Vec::new();
    let referrers = source.referrers(&subject.digest)?;
    if referrers.len() > MOST {
        let object = format!("the list of what refers to {}", subject.digest);
        return Err(StoreError::TooLarge { object, size: referrers.len() as u64, limit: MOST as u64 });
    }
    for descriptor in referrers {
        let document = read_document(source, &descriptor);
        let form = match document {
            Ok((Document::Manifest(manifest), _)) if bundle::is_meant(&manifest) => of_bundle(source, manifest, subject)?,
            Ok(_) => continue,
            Err(error) => Err(fault_of(error)?),
        };
        found.push(Candidate { digest: descriptor.digest, form });
    }
    Ok(found)
}

fn of_bundle(source: &dyn Source, manifest: Manifest, subject: &Descriptor) -> Result<Result<Form, Fault>, StoreError> {
    let layer = match bundle::layer(&manifest, subject) {
        Ok(layer) => layer,
        Err(fault) => return Ok(Err(fault)),
    };
    let bytes = match read_blob(source, layer, bundle::LIMIT) {
        Ok(bytes) => bytes,
        Err(error) => return fault_of(error).map(Err),
    };
    Ok(bundle::Unverified::parse(&bytes).map(|bundle| Form::Bundle(manifest, bundle)))
}

/// What cannot be read is wrong; only a store that cannot be reached is no fault of the bytes.
fn fault_of(error: StoreError) -> Result<Fault, StoreError> {
    match error {
        StoreError::Remote(_) => Err(error),
        other => Ok(Fault::malformed(other.to_string())),
    }
}
