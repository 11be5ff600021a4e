//! One image before its judge.

use std::collections::BTreeSet;

use serde_json::Value;

use super::crates::CrateRules;
use super::{Demand, Signature};
use crate::attachments::find;
use crate::documents::{Descriptor, Document, json};
use crate::finding::Finding;
use crate::signatures::evidence::{Candidate, Said, candidates};
use crate::signatures::keys::PublicKey;
use crate::signatures::{Fault, bundle, statement};
use crate::stores::{Source, StoreError, read_blob, read_document};
use crate::values::digest::Digest;

/// What was read of an image.
pub struct Judge<'a> {
    source: &'a dyn Source,
    root: &'a Descriptor,
    candidates: Vec<Candidate>,
    now: u64,
}

/// Something that a key says, and where.
struct Found<'a> {
    candidate: &'a Candidate,
    /// Which of the keys.
    by: usize,
    said: Said,
}

impl<'a> Judge<'a> {
    pub fn new(source: &'a dyn Source, root: &'a Descriptor, now: u64) -> Result<Self, StoreError> {
        Ok(Self { source, root, candidates: candidates(source, root)?, now })
    }

    pub fn all(&self, demands: &[Demand]) -> Result<Vec<Finding>, StoreError> {
        let mut findings = BTreeSet::new();
        for demand in demands {
            findings.extend(match demand {
                Demand::Signature(signature) => self.signature(signature),
                Demand::Sbom(keys) => self.attached(keys, &statement::SBOMS, "SBOM")?,
                Demand::Provenance(keys) => {
                    self.attached(keys, &[(statement::MEDIA_TYPE, statement::PROVENANCE)], "provenance")?
                }
                Demand::Crates(rules) => self.crates(rules, demands)?,
                Demand::Nothing => {
                    let object = self.root.digest.to_string();
                    vec![Finding::new(object, "rejected", "the policy rejects every image from there")]
                }
            });
        }
        Ok(findings.into_iter().collect())
    }

    /// Those of the keys that are asked for which have signed the image, each by its SHA-256.
    pub fn signers(&self, demands: &[Demand]) -> BTreeSet<Digest> {
        let asked = demands.iter().filter_map(|demand| match demand {
            Demand::Signature(signature) => Some(&signature.keys),
            _ => None,
        });
        let has_signed = |key: &&PublicKey| {
            let said = self.candidates.iter().filter_map(|candidate| self.verified(candidate, key).ok());
            said.into_iter().any(|said| said.predicate_type == statement::SIGNATURE)
        };
        asked.flatten().filter(has_signed).map(|key| Digest::of(key.spki())).collect()
    }

    /// What is wrong unless one of the keys signed the image under the right name.
    fn signature(&self, signature: &Signature) -> Vec<Finding> {
        let findings = self.signed(&signature.keys, &[statement::SIGNATURE], "signature");
        let heard = self.heard(&signature.keys).0;
        let names: Vec<Option<&str>> = heard
            .iter()
            .filter(|found| found.said.predicate_type == statement::SIGNATURE)
            .map(|found| found.said.identity.as_deref())
            .collect();
        if !findings.is_empty() || names.iter().any(|name| signature.identity.accepts(*name)) {
            return findings;
        }
        let told: Vec<String> = names.into_iter().flatten().map(|name| crate::values::text::name(name).into_owned()).collect();
        let told = if told.is_empty() { "by signatures that hold no name".to_owned() } else { format!("as {}", told.join(", ")) };
        let message = format!("the policy wants it signed as {}, and it is signed {told}", signature.identity);
        vec![Fault::identity(message).finding(&self.root.digest.to_string())]
    }

    /// What is wrong unless one of the keys says one of these things of the image.
    fn signed(&self, keys: &[PublicKey], wanted: &[&str], what: &str) -> Vec<Finding> {
        let (found, faults) = self.heard(keys);
        let (meant, others): (Vec<&Found<'_>>, Vec<_>) =
            found.iter().partition(|found| wanted.contains(&found.said.predicate_type.as_str()));
        // What another key signed is no fault where a key that counts has signed; nor is what it signed before, under a certificate
        // that has ended.
        let is_told = |(candidate, fault): &&(&Candidate, Fault)| {
            let is_others = !found.is_empty() && *fault == Fault::key();
            let is_over = fault.rule() == Fault::EXPIRED && !meant.is_empty();
            !is_over && keys.iter().any(|key| candidate.names(key)) || meant.is_empty() && !is_others
        };
        let mut findings: Vec<Finding> =
            faults.iter().filter(is_told).map(|(candidate, fault)| about(candidate, fault)).collect();
        let mut seen = BTreeSet::new();
        for found in &meant {
            if !seen.insert((found.by, found.candidate.payload())) {
                findings.push(about(found.candidate, &Fault::duplicated("the key says the same twice")));
            }
        }
        if meant.is_empty() && findings.is_empty() {
            let object = self.root.digest.to_string();
            let fault = match others.first() {
                Some(other) => {
                    let kind = crate::values::text::name(&other.said.predicate_type);
                    Fault::purpose(format!("the key signed {kind}, which is no {what}"))
                }
                None if what == "signature" => Fault::missing("it is not signed"),
                None => Fault::missing(format!("it has no {what} that is signed")),
            };
            findings.push(fault.finding(&object));
        }
        findings
    }

    /// What a key says today.
    fn verified(&self, candidate: &Candidate, key: &PublicKey) -> Result<Said, Fault> {
        let said = candidate.verify(key, self.root)?;
        candidate.check_time(self.now).map(|()| said)
    }

    /// What the keys say, and what is wrong with the rest.
    fn heard(&self, keys: &[PublicKey]) -> (Vec<Found<'_>>, Vec<(&Candidate, Fault)>) {
        let (mut found, mut faults) = (Vec::new(), Vec::new());
        for candidate in &self.candidates {
            let mut worst = None;
            for (position, key) in keys.iter().enumerate() {
                match self.verified(candidate, key) {
                    Ok(said) => {
                        found.push(Found { candidate, by: position, said });
                        worst = None;
                        break;
                    }
                    // Where it names a key, that one knows best what is wrong with it.
                    Err(fault) if worst.is_none() || candidate.names(key) || fault != Fault::key() => worst = Some(fault),
                    Err(_) => {}
                }
            }
            faults.extend(worst.map(|fault| (candidate, fault)));
        }
        (found, faults)
    }

    /// What is attached of these kinds, unverified, and what is wrong with the rest.
    fn raw(&self, kinds: &[(&str, &str)], what: &str) -> Result<(Vec<Value>, Vec<Finding>), StoreError> {
        let (mut raw, mut findings) = (Vec::new(), Vec::new());
        let object = self.root.digest.to_string();
        let mut malformed = |why: &str| {
            let message = format!("the {what} that is attached {why}");
            findings.push(Finding::new(&object, "attachment-malformed", message));
        };
        let mut is_of_another = false;
        for (artifact_type, predicate_type) in kinds {
            for manifest in find(self.source, &self.root.digest, artifact_type)? {
                let Some(layer) = manifest.layers.first() else {
                    malformed("has no layer");
                    continue;
                };
                let value = match json::parse(&read_blob(self.source, layer, bundle::LIMIT)?) {
                    Ok(value) => value,
                    Err(error) => {
                        malformed(&format!("is {error}"));
                        continue;
                    }
                };
                if *artifact_type != statement::MEDIA_TYPE {
                    let is_sbom = value["bomFormat"] == "CycloneDX" || value["spdxVersion"].is_string();
                    if is_sbom { raw.push(value) } else { malformed("is neither CycloneDX nor SPDX") }
                } else if value["predicateType"] == *predicate_type {
                    if self.is_about(&value["subject"])? {
                        raw.push(value["predicate"].clone());
                    } else {
                        is_of_another = true;
                    }
                }
            }
        }
        if is_of_another {
            let message = format!("the {what} that is attached is about another image");
            findings.push(Finding::new(object, "attachment-other", message));
        }
        Ok((raw, findings))
    }

    /// Whether one of the subjects of a statement is the image, or the manifest of a platform of it.
    fn is_about(&self, subjects: &Value) -> Result<bool, StoreError> {
        let mut digests = vec![self.root.digest.clone()];
        if let (Document::Index(index), _) = read_document(self.source, self.root)? {
            digests.extend(index.manifests.into_iter().map(|manifest| manifest.digest));
        }
        let named = |digest: &Digest| {
            let algorithm = digest.algorithm().as_str();
            subjects.as_array().is_some_and(|all| all.iter().any(|subject| subject["digest"][algorithm] == digest.hex()))
        };
        Ok(digests.iter().any(named))
    }

    /// What breaks the rules for crates in any SBOM, attached or signed.
    fn crates(&self, rules: &CrateRules, demands: &[Demand]) -> Result<Vec<Finding>, StoreError> {
        let keys = demands.iter().filter_map(|demand| match demand {
            Demand::Sbom(keys) => Some(keys.as_slice()),
            _ => None,
        });
        let keys = keys.flatten().cloned().collect::<Vec<_>>();
        let (mut sboms, mut findings) = self.raw(&statement::SBOMS, "SBOM")?;
        let signed = self.heard(&keys).0.into_iter().map(|found| found.said);
        let is_sbom = |said: &Said| statement::SBOMS.iter().any(|(_, predicate_type)| said.predicate_type == *predicate_type);
        sboms.extend(signed.filter(is_sbom).map(|said| said.predicate));
        findings.extend(sboms.iter().flat_map(|sbom| rules.findings(sbom)));
        Ok(findings)
    }

    /// What is wrong unless one of these things is attached and, where there are keys, signed as it is attached.
    fn attached(&self, keys: &[PublicKey], kinds: &[(&str, &str)], what: &str) -> Result<Vec<Finding>, StoreError> {
        let (raw, wrong) = self.raw(kinds, what)?;
        let object = self.root.digest.to_string();
        if keys.is_empty() {
            let missing = Finding::new(object, "attachment-missing", format!("it has no {what}"));
            return Ok(if raw.is_empty() && wrong.is_empty() { vec![missing] } else { wrong });
        }
        let wanted: Vec<&str> = kinds.iter().map(|(_, predicate_type)| *predicate_type).collect();
        let mut findings = self.signed(keys, &wanted, what);
        findings.extend(wrong);
        let signed = self.heard(keys).0;
        let is_signed = |value: &Value| signed.iter().any(|found| found.said.predicate == *value);
        if findings.is_empty() && raw.iter().any(|value| !is_signed(value)) {
            let message = format!("the {what} that is attached is not the one that is signed");
            findings.push(Finding::new(object, "attachment-other", message));
        }
        Ok(findings)
    }
}

fn about(candidate: &Candidate, fault: &Fault) -> Finding {
    fault.finding(&format!("signature {}", candidate.digest))
}
