//! Walking an image: each document and blob once, each finding with the chain that led to it.

use std::collections::BTreeSet;
use std::io;

use super::layout::{finding_of, text_of};
use super::{Report, format};
use crate::compression::Compression;
use crate::digest::Digest;
use crate::extract::{ExtractOptions, LayerInput, read_entries};
use crate::failure::{Complaint, Error};
use crate::finding::Finding;
use crate::oci::{Config, Descriptor, Document, Index, Manifest, NESTING_LIMIT, media_type};
use crate::progress::{Event, Outcome, Progress};
use crate::store::{Source, StoreError, Verified, read_config, read_document};

/// A walk over images of one source.
pub struct Walk<'a> {
    source: &'a dyn Source,
    progress: &'a dyn Progress,
    seen: BTreeSet<Digest>,
    /// What was checked, its size, and as what: another image may say something else of the same bytes.
    checked: BTreeSet<(Digest, u64, String)>,
    blobs: usize,
    bytes: u64,
    findings: BTreeSet<Finding>,
    sound: bool,
    failure: Option<Error>,
}

impl<'a> Walk<'a> {
    /// A walk that has seen nothing.
    pub fn new(source: &'a dyn Source, progress: &'a dyn Progress) -> Self {
        let (seen, checked, findings) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Self { source, progress, seen, checked, blobs: 0, bytes: 0, findings, sound: true, failure: None }
    }

    /// Whether the blob was checked already.
    pub fn has_seen(&self, digest: &Digest) -> bool {
        self.seen.contains(digest)
    }

    /// Counts a blob that was read elsewhere.
    pub fn count(&mut self, bytes: u64) {
        self.blobs += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Whether this is the first time that the bytes are to be checked as what `role` says.
    fn is_first(&mut self, at: &Descriptor, role: String) -> bool {
        self.seen.insert(at.digest.clone());
        self.checked.insert((at.digest.clone(), at.size, role))
    }

    /// Adds a finding about bytes that are not what they should be.
    pub fn add(&mut self, finding: Finding) {
        self.sound = false;
        self.findings.insert(finding);
    }

    /// Adds what an error says about the bytes; an error that says nothing about them is returned.
    pub fn complain_of(&mut self, object: &str, error: &StoreError) -> Result<(), Error> {
        match finding_of(object, error) {
            Some(finding) => self.add(finding),
            None => return Err(Complaint::failed(format!("cannot check {object}: {}", text_of(error))).into()),
        }
        Ok(())
    }

    /// Checks everything below a root.
    pub fn root(&mut self, root: &Descriptor) {
        let name = root.ref_name().map_or_else(|| short(&root.digest), str::to_owned);
        if root.is_manifest_or_index() {
            self.document(root, &name, None, 0);
        } else {
            self.blob(root, &name);
        }
    }

    /// What was found.
    pub fn finish(self, images: Vec<Digest>) -> Result<Report, Error> {
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok(Report {
                images,
                blobs: self.blobs,
                bytes: self.bytes,
                findings: self.findings.into_iter().collect(),
                sound: self.sound,
            }),
        }
    }

    fn document(&mut self, at: &Descriptor, chain: &str, parent: Option<&Index>, depth: usize) {
        if depth > NESTING_LIMIT {
            let message = format!("indexes nest deeper than {NESTING_LIMIT}");
            return self.add(Finding::new(chain, "nesting", message));
        }
        let platform = at.platform.as_ref().filter(|_| media_type::is_manifest(&at.media_type));
        if !self.is_first(at, format!("{} {platform:?}", at.media_type)) {
            return;
        }
        let (document, bytes) = match read_document(self.source, &stored(at)) {
            Ok(read) => read,
            Err(error) => return self.take(chain, &error),
        };
        self.count(at.size);
        match document {
            Document::Index(index) => {
                let mut problems = Vec::new();
                format::index(&index, &bytes, &mut problems);
                self.add_all(chain, problems);
                for child in &index.manifests {
                    let platform = child.platform.as_ref().map_or_else(|| short(&child.digest), ToString::to_string);
                    let chain = format!("{chain} > {platform}");
                    if child.is_manifest_or_index() {
                        self.document(child, &chain, Some(&index), depth + 1);
                    } else {
                        self.blob(child, &chain);
                    }
                }
            }
            Document::Manifest(manifest) => self.manifest(at, &manifest, &bytes, (chain, parent)),
        }
    }

    fn manifest(&mut self, at: &Descriptor, manifest: &Manifest, bytes: &[u8], (chain, parent): (&str, Option<&Index>)) {
        let mut problems = Vec::new();
        format::manifest(manifest, bytes, parent, &mut problems);
        let config = if media_type::is_config(&manifest.config.media_type) {
            self.config(at, manifest, chain, &mut problems)
        } else {
            self.blob(&manifest.config, &format!("{chain} > config"));
            None
        };
        self.add_all(chain, problems);
        let ours_from = config.as_ref().map(|config| manifest.layers.len().saturating_sub(format::own_layers(config)));
        for (position, layer) in manifest.layers.iter().enumerate() {
            let chain = format!("{chain} > layer {} {}", position + 1, short(&layer.digest));
            let diff_id = config.as_ref().and_then(|config| config.diff_ids().get(position).cloned());
            match Compression::of_media_type(&layer.media_type) {
                Some(compression) => {
                    let ours = format::is_ours(&manifest.annotations) && ours_from.is_some_and(|from| position >= from);
                    let ours = ours.then_some(config.as_ref()).flatten();
                    self.layer(layer, compression, diff_id, (&chain, ours));
                }
                None => self.blob(layer, &chain),
            }
        }
    }

    fn config(
        &mut self,
        at: &Descriptor,
        manifest: &Manifest,
        chain: &str,
        problems: &mut Vec<(&'static str, String)>,
    ) -> Option<Config> {
        let chain = format!("{chain} > config");
        let config = match read_config(self.source, &stored(&manifest.config)) {
            Ok(config) => config,
            Err(error) => {
                self.seen.insert(manifest.config.digest.clone());
                self.take(&chain, &error);
                return None;
            }
        };
        if self.seen.insert(manifest.config.digest.clone()) {
            self.count(manifest.config.size);
        }
        let (layers, diff_ids) = (manifest.layers.len(), config.diff_ids().len());
        if layers != diff_ids {
            problems.push(("diff-ids", format!("{layers} layers but {diff_ids} diff ids")));
        }
        let history = config.spec().history().as_deref().unwrap_or_default();
        let filled = history.iter().filter(|entry| !entry.empty_layer().unwrap_or(false)).count();
        if !history.is_empty() && filled != layers {
            problems.push(("history", format!("{layers} layers but {filled} history entries that are not empty")));
        }
        if let Some(platform) = &at.platform
            && !config.platform().serves(platform)
        {
            problems.push(("platform", format!("its index says {platform}, its configuration {}", config.platform())));
        }
        if format::is_ours(&manifest.annotations) {
            format::config(&config, manifest, problems);
        }
        Some(config)
    }

    /// Reads a layer through decompression and tar to its diff id.
    fn layer(
        &mut self,
        at: &Descriptor,
        compression: Compression,
        diff_id: Option<Digest>,
        (chain, ours): (&str, Option<&Config>),
    ) {
        let epoch = ours.map(|config| config.spec().created());
        if !self.is_first(at, format!("{} {diff_id:?} {epoch:?}", at.media_type)) {
            return;
        }
        let stored = match self.source.open(at) {
            Ok(stored) => stored,
            Err(error) => return self.take(chain, &error),
        };
        self.count(at.size);
        let key = at.digest.to_string();
        self.progress.event(Event::BlobStarted { blob: key.clone(), verb: "Verifying", total: Some(at.size) });
        let mut tar = ours.map(format::TarLaw::new);
        let input = LayerInput { reader: Box::new(Verified::new(stored, at)), compression, diff_id };
        let mut visit = |entry: &crate::extract::Entry, _: &mut dyn std::io::Read| {
            if let Some(law) = &mut tar {
                law.entry(entry);
            }
            Ok(())
        };
        let read = read_entries(input, &ExtractOptions::default(), &mut visit);
        self.progress.event(Event::BlobFinished { blob: key, outcome: Outcome::Present, bytes: at.size });
        match read {
            Ok(_) => self.add_all(chain, tar.map(format::TarLaw::finish).unwrap_or_default()),
            Err(error) => {
                // The bytes themselves first: if they are not those of the digest, what is in them means nothing.
                let findings = self.findings.len();
                self.blob(at, chain);
                if self.findings.len() == findings && self.failure.is_none() {
                    match error.rule() {
                        Some(rule) => self.add(Finding::new(chain, rule, Error::from(error).to_string())),
                        None => drop(self.failure.insert(error.into())),
                    }
                }
            }
        }
    }

    /// Reads a blob that is nothing but bytes.
    fn blob(&mut self, at: &Descriptor, chain: &str) {
        if !self.is_first(at, String::new()) {
            return;
        }
        let stored = match self.source.open(at) {
            Ok(stored) => stored,
            Err(error) => return self.take(chain, &error),
        };
        self.count(at.size);
        if let Err(error) = io::copy(&mut Verified::new(stored, at), &mut io::sink()) {
            self.take(chain, &StoreError::reading(&self.source.name(), at, error));
        }
    }

    fn take(&mut self, chain: &str, error: &StoreError) {
        if let Err(failure) = self.complain_of(chain, error) {
            self.failure.get_or_insert(failure);
        }
    }

    /// Adds rules that an image breaks whose bytes are those that its digests name.
    fn add_all(&mut self, chain: &str, problems: Vec<(&'static str, String)>) {
        self.findings.extend(problems.into_iter().map(|(rule, message)| Finding::new(chain, rule, message)));
    }
}

/// The same without embedded content: what lies in the store is what is checked.
fn stored(at: &Descriptor) -> Descriptor {
    Descriptor { data: None, ..at.clone() }
}

fn short(digest: &Digest) -> String {
    format!("{}:{}", digest.algorithm().as_str(), digest.short())
}
