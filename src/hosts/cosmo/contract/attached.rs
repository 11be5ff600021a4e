//! Which of the contracts attached to an image is its own.

use std::collections::BTreeSet;

use super::{Contract, KEY, content};
use plugin_oci::documents::{Descriptor, Document, Manifest};
use plugin_oci::finding::Finding;
use plugin_oci::stores::{Source, StoreError, read_document};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::text;

/// What is attached to an image.
#[derive(Clone, Debug)]
pub struct Attached {
    /// What the index names: a digest, if whoever wrote it kept the rules.
    pub named: Option<String>,
    /// The image's own contract. Of several with the same files, the one with the lowest digest.
    pub own: Option<(Descriptor, Manifest)>,
    /// Contracts that are not.
    pub others: Vec<Digest>,
    /// What is listed, may be a contract, and cannot be read.
    pub gone: Vec<Digest>,
}

impl Attached {
    /// Looks at what is attached to the image with this root.
    pub fn of(source: &dyn Source, root: &Descriptor) -> Result<Self, StoreError> {
        let named = match read_document(source, root)?.0 {
            Document::Index(index) => index.annotations.get(KEY).cloned(),
            Document::Manifest(_) => None,
        };
        Self::to(source, &root.digest, named)
    }

    /// The same for an index that was read already.
    pub fn to(source: &dyn Source, subject: &Digest, named: Option<String>) -> Result<Self, StoreError> {
        let mut attached = Self { named, own: None, others: Vec::new(), gone: Vec::new() };
        for descriptor in source.referrers(subject)? {
            if descriptor.artifact_type.as_deref().is_some_and(|stated| stated != Contract::ARTIFACT_TYPE) {
                continue;
            }
            // What others attach must not hide what belongs to the image.
            let manifest = match read_document(source, &descriptor) {
                Ok((Document::Manifest(manifest), _)) => manifest,
                Ok((Document::Index(_), _)) => continue,
                Err(error) if is_of_bytes(&error) => {
                    attached.gone.push(descriptor.digest);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let refers = manifest.subject.as_ref().is_some_and(|subject_of| subject_of.digest == *subject);
            if !refers || manifest.effective_artifact_type() != Some(Contract::ARTIFACT_TYPE) {
                continue;
            }
            let is_named = |named: &String| content(&manifest).is_some_and(|digest| digest.to_string() == *named);
            if attached.own.is_none() && attached.named.as_ref().is_none_or(is_named) {
                attached.own = Some((descriptor, manifest));
            } else {
                attached.others.push(descriptor.digest);
            }
        }
        Ok(attached)
    }

    /// What a copy leaves behind: of an image that names its contract, all others.
    pub fn strangers(&self) -> BTreeSet<Digest> {
        if self.named.is_none() { BTreeSet::new() } else { self.others.iter().cloned().collect() }
    }

    /// What is wrong with the contract that the image names.
    pub fn finding(&self, source: &dyn Source, object: &str) -> Option<Finding> {
        let named = text::name(self.named.as_ref()?);
        let found = |rule, message: String| Some(Finding::new(object, rule, message));
        let Some((descriptor, manifest)) = &self.own else {
            return match (self.gone.first(), self.others.first()) {
                (Some(gone), _) => {
                    found(UNREACHABLE, format!("it names the contract {named}, and the attached {gone} cannot be read"))
                }
                (None, Some(other)) => {
                    found(OTHER, format!("it names the contract {named}, and {other}, which is attached, is another"))
                }
                (None, None) => found(MISSING, format!("it names the contract {named}, and none is attached")),
            };
        };
        let error = Contract::read(source, manifest).err()?;
        found(UNREACHABLE, format!("the files of its contract {} cannot be read: {error}", descriptor.digest))
    }
}

/// The rules about a contract that an image names: none is attached, only others are, it or its files cannot be read.
const MISSING: &str = "contract-missing";
const OTHER: &str = "contract-other";
/// The rule of the last.
pub const UNREACHABLE: &str = "contract-unreachable";

/// Whether an error is one of the bytes that were asked for, and not of the way to them.
fn is_of_bytes(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::MissingBlob { .. } | StoreError::Corrupt { .. } | StoreError::Document { .. } | StoreError::TooLarge { .. }
    )
}
