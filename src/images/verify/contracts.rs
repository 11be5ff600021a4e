//! The contracts that images name, and those that are attached: matched when all was read.
//!
//! A store with many images is read once: asking it for each image's referrers would read all of it for each.

use std::collections::{BTreeMap, BTreeSet};

use crate::hosts::cosmo::contract::attached::Lack;
use crate::hosts::cosmo::contract::{Contract, KEY, content};
use plugin_oci::documents::{Descriptor, Index, Manifest};
use plugin_oci::finding::Finding;
use plugin_oci::progress::{Event, Progress};
use plugin_oci::values::digest::Digest;

/// More files than any contract has: what else calls itself one is not looked at.
const MOST_FILES: usize = 16;

/// What was read so far.
#[derive(Default)]
pub struct Contracts {
    named: Vec<Named>,
    attached: BTreeMap<Digest, Vec<Seen>>,
    /// Contracts that cannot be read, of whatever image.
    gone: Vec<Digest>,
    unsound: BTreeSet<Digest>,
}

struct Named {
    index: Digest,
    chain: String,
    contract: String,
}

struct Seen {
    digest: Digest,
    content: Option<Digest>,
    files: Vec<Digest>,
}

impl Contracts {
    /// Remembers the contract that an image's index names.
    pub fn index(&mut self, at: &Descriptor, index: &Index, chain: &str) {
        if let Some(contract) = index.annotations.get(KEY) {
            self.named.push(Named { index: at.digest.clone(), chain: chain.to_owned(), contract: contract.clone() });
        }
    }

    /// Remembers a manifest that is a contract.
    pub fn manifest(&mut self, at: &Descriptor, manifest: &Manifest) {
        let is_contract = manifest.effective_artifact_type() == Some(Contract::ARTIFACT_TYPE);
        if let Some(subject) = manifest.subject.as_ref().filter(|_| is_contract && manifest.layers.len() <= MOST_FILES) {
            let files = manifest.layers.iter().map(|layer| layer.digest.clone()).collect();
            let seen = Seen { digest: at.digest.clone(), content: content(manifest), files };
            self.attached.entry(subject.digest.clone()).or_default().push(seen);
        }
    }

    /// Remembers what cannot be read.
    pub fn unreadable(&mut self, at: &Descriptor) {
        if at.artifact_type.as_deref() == Some(Contract::ARTIFACT_TYPE) {
            self.gone.push(at.digest.clone());
        }
        self.unsound.insert(at.digest.clone());
    }

    /// Remembers that what is attached to an image cannot be listed.
    pub fn unlisted(&mut self, index: &Digest) {
        self.gone.push(index.clone());
    }

    /// What is wrong with the contracts that images name.
    pub fn findings(&self, progress: &dyn Progress) -> Vec<Finding> {
        self.named.iter().filter_map(|named| self.finding(named, progress)).collect()
    }

    fn finding(&self, named: &Named, progress: &dyn Progress) -> Option<Finding> {
        let attached = self.attached.get(&named.index).map(Vec::as_slice).unwrap_or_default();
        let is_own = |seen: &&Seen| seen.content.as_ref().is_some_and(|content| content.to_string() == named.contract);
        let (own, others): (Vec<&Seen>, Vec<&Seen>) = attached.iter().partition(is_own);
        let is_sound = |seen: &&Seen| seen.files.iter().all(|file| !self.unsound.contains(file));
        let lack = match (own.first(), others.first(), self.gone.first()) {
            (Some(_), ..) if own.iter().any(is_sound) => {
                if !others.is_empty() {
                    let text = format!("{}: {} more contracts are attached, which it does not name", named.chain, others.len());
                    progress.event(Event::Note { text });
                }
                return None;
            }
            (Some(own), ..) => Lack::Unreachable(own.digest.clone()),
            (None, _, Some(gone)) => Lack::Unreachable(gone.clone()),
            (None, Some(other), None) => Lack::Other(other.digest.clone()),
            (None, None, None) => Lack::Missing,
        };
        let message = lack.message(&named.contract);
        let Some(rule) = lack.rule() else {
            progress.caution(&NoContract { image: named.chain.clone(), message });
            return None;
        };
        Some(Finding::new(&named.chain, rule, message))
    }
}

/// An image is whole but for its contract, which another tool left behind: a warning.
#[derive(Debug, thiserror::Error)]
#[error("{image}: {message}")]
pub struct NoContract {
    pub image: String,
    pub message: String,
}

impl plugin_oci::failure::Failure for NoContract {}
