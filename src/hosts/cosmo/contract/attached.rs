//! Which of the contracts attached to an image is its own.

use std::collections::BTreeSet;

use super::{Contract, KEY, content};
use plugin_oci::documents::{Descriptor, Document, Manifest};
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

    /// What lacks where the image names a contract and has not got it.
    pub fn lack(&self) -> Option<(Lack, &str)> {
        let named = self.named.as_deref().filter(|_| self.own.is_none())?;
        let lack = match (self.gone.first(), self.others.first()) {
            (Some(gone), _) => Lack::Unreachable(gone.clone()),
            (None, Some(other)) => Lack::Other(other.clone()),
            (None, None) => Lack::Missing,
        };
        Some((lack, named))
    }
}

/// How the contract that an image names may lack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// None is attached.
    Missing,
    /// Only others are.
    Other(Digest),
    /// It, or a file of it, cannot be read.
    Unreachable(Digest),
}

impl Lack {
    /// The rule that the image breaks, for scripts. An image without its contract breaks none: most tools copy an image and leave
    /// behind what is attached to it, and what they copied is whole. Who needs the contract says that it lacks.
    pub const fn rule(&self) -> Option<&'static str> {
        match self {
            Self::Missing => None,
            Self::Other(_) => Some("contract-other"),
            Self::Unreachable(_) => Some("contract-unreachable"),
        }
    }

    /// One line for people about an image that names `contract`.
    pub fn message(&self, contract: &str) -> String {
        let named = format!("it names the contract {}", text::name(contract));
        match self {
            Self::Missing => format!("{named}, and none is attached"),
            Self::Other(other) => format!("{named}, and {other}, which is attached, is another"),
            Self::Unreachable(gone) => format!("{named}, and what is attached with {gone} cannot be read"),
        }
    }
}

/// Whether an error is one of the bytes that were asked for, and not of the way to them.
fn is_of_bytes(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::MissingBlob { .. } | StoreError::Corrupt { .. } | StoreError::Document { .. } | StoreError::TooLarge { .. }
    )
}
