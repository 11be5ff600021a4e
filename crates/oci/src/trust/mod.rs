//! Trust: whether an image is what its user's keys have signed.
//!
//! A [`Demand`] is decided before anything is looked at, and each is met or gives findings. All that is read from beside the image is
//! anybody's; a key from the user decides. It fails closed: what is missing, cannot be read or is in doubt is a finding.

mod containers;
mod crates;
mod error;
pub mod identity;
mod judge;
pub mod policy;

use crate::documents::Descriptor;
use crate::failure::Error;
use crate::finding::Finding;
use crate::signatures::keys::PublicKey;
use crate::stores::{Source, finding_of};
use crate::values::digest::Digest;
use crates::CrateRules;
pub use error::PolicyError;
use identity::Identity;

/// What is asked of an image. All demands must be met.
#[derive(Clone, Debug)]
pub enum Demand {
    /// A signature of the image.
    Signature(Signature),
    /// An SBOM: signed by one of these keys, or, without any, attached.
    Sbom(Vec<PublicKey>),
    /// Provenance, likewise.
    Provenance(Vec<PublicKey>),
    /// An SBOM whose crates keep these rules.
    Crates(CrateRules),
    /// No image at all will do.
    Nothing,
}

/// Whose signature it must be, and of what.
#[derive(Clone, Debug)]
pub struct Signature {
    /// One of these keys.
    pub keys: Vec<PublicKey>,
    /// What it must call the image.
    pub identity: Identity,
}

/// The keys that are asked for and have signed the image, each by the SHA-256 of its DER.
pub fn signers(source: &dyn Source, root: &Descriptor, demands: &[Demand], now: u64) -> Result<Vec<Digest>, Error> {
    Ok(judge::Judge::new(source, root, now)?.signers(demands).into_iter().collect())
}

/// What an image lacks of what is asked of it. Empty where it is trusted. `now` is in seconds since the epoch, for certificates.
pub fn judge(source: &dyn Source, root: &Descriptor, demands: &[Demand], now: u64) -> Result<Vec<Finding>, Error> {
    match judge::Judge::new(source, root, now).and_then(|judge| judge.all(demands)) {
        Ok(findings) => Ok(findings),
        // Bytes that cannot be read are no reason to trust.
        Err(error) => finding_of(&root.digest.to_string(), &error).map(|finding| vec![finding]).ok_or_else(|| error.into()),
    }
}
