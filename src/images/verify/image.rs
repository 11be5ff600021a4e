//! Walking images: each document and blob once, each finding with the chain that led to it.
//!
//! Documents come first. What they name is read ahead, and judged in their order.

use std::collections::BTreeSet;
use std::io;

use super::ahead::{Ahead, Wanted};
use super::contracts::Contracts;
use super::stack::{Input, Stack, Stacked};
use super::{VerifiedImage, VerifyReport, format};
use crate::build::start::{self, Command, Layer, Root};
use plugin_oci::documents::{Config, Descriptor, Document, Index, Manifest, NESTING_LIMIT, media_type};
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::finding::Finding;
use plugin_oci::layers::unpack::{Entry, Kind};
use plugin_oci::progress::{Event, Outcome, Progress};
use plugin_oci::stores::{Source, StoreError, Verified, finding_of, read_config, read_document, text_of};
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;
use plugin_oci::values::text;

/// A walk over images of one source.
pub struct Walk<'a> {
    source: &'a dyn Source,
    progress: &'a dyn Progress,
    seen: BTreeSet<Digest>,
    /// What was checked, its size, and as what: another image may say something else of the same bytes.
    checked: BTreeSet<(Digest, u64, String)>,
    /// Bytes that were read again.
    again: u64,
    blobs: usize,
    bytes: u64,
    findings: BTreeSet<Finding>,
    /// Bytes of their texts.
    held: usize,
    /// How many there was no room for.
    more: usize,
    sound: bool,
    contracts: Contracts,
    failure: Option<Error>,
    /// What is to be read.
    pending: Vec<Pending>,
    /// Bytes of the documents in it.
    pending_bytes: u64,
}

/// Something that documents name.
enum Pending {
    Blob(Box<Descriptor>, String),
    Layers(Box<Named>),
}

/// The layers of an image, and what it says of them.
struct Named {
    manifest: Manifest,
    config: Option<Config>,
    chain: String,
}

impl<'a> Walk<'a> {
    /// A walk that has seen nothing.
    pub fn new(source: &'a dyn Source, progress: &'a dyn Progress) -> Self {
        let (seen, checked, findings) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Self {
            source,
            progress,
            seen,
            checked,
            again: 0,
            blobs: 0,
            bytes: 0,
            findings,
            held: 0,
            more: 0,
            sound: true,
            contracts: Contracts::default(),
            failure: None,
            pending: Vec::new(),
            pending_bytes: 0,
        }
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
        self.hold(finding);
    }

    /// Keeps a finding, as long as there is room.
    fn hold(&mut self, finding: Finding) {
        self.held += OVERHEAD + finding.object.len() + finding.message.len();
        if self.held <= FOUND {
            self.findings.insert(finding);
        } else {
            self.more += 1;
        }
    }

    /// How many findings there are so far.
    fn count_found(&self) -> usize {
        self.findings.len() + self.more
    }

    /// Adds what an error says about the bytes; an error that says nothing about them is returned.
    pub fn complain_of(&mut self, object: &str, error: &StoreError) -> Result<(), Error> {
        match finding_of(object, error) {
            Some(finding) => self.add(finding),
            None => return Err(Complaint::failed(format!("cannot check {object}: {}", text_of(error))).into()),
        }
        Ok(())
    }

    /// Remembers that what is attached to an image cannot be listed.
    pub fn unlisted(&mut self, image: &Digest) {
        self.contracts.unlisted(image);
    }

    /// Checks everything below a root.
    pub fn root(&mut self, root: &Descriptor) {
        let name = root.ref_name().map_or_else(|| short(&root.digest), |name| text::name(name).into_owned());
        if root.is_manifest_or_index() {
            self.document(root, &name, None, 0);
        } else {
            self.later(Pending::Blob(Box::new(root.clone()), name), 0);
        }
    }

    /// Reads what the documents name that were read so far.
    pub fn read(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let mut ahead = Ahead::of(self.source);
        for pending in &pending {
            match pending {
                Pending::Blob(at, _) if !self.has_seen(&at.digest) => ahead.want_bytes(at),
                Pending::Blob(..) => {}
                Pending::Layers(named) => {
                    let program = named.config.as_ref().and_then(|config| config.command_line().into_iter().next());
                    let program = program.as_ref().map(|program| program.rsplit('/').next().unwrap_or_default());
                    for layer in named.layers().filter(|layer| !self.has_seen(&layer.at.digest)) {
                        ahead.want_layer(layer.at, layer.compression, layer.diff_id.as_ref(), program);
                    }
                }
            }
        }
        let ahead = &ahead;
        ahead.run(|| {
            for pending in &pending {
                match pending {
                    Pending::Blob(at, chain) => {
                        self.blob(at, chain, Some(ahead));
                        ahead.release(&Wanted::bytes(at));
                    }
                    Pending::Layers(named) => {
                        self.layers(named, ahead);
                        named.layers().for_each(|layer| ahead.release(&layer.wanted()));
                    }
                }
            }
        });
    }

    fn later(&mut self, pending: Pending, bytes: u64) {
        self.pending.push(pending);
        self.pending_bytes = self.pending_bytes.saturating_add(bytes + EACH);
        if self.pending_bytes > TOGETHER {
            self.read();
        }
    }

    /// What was found.
    pub fn finish(mut self, images: Vec<Digest>) -> Result<VerifyReport, Error> {
        self.read();
        for finding in self.contracts.findings(self.progress) {
            self.hold(finding);
        }
        if self.more > 0 {
            self.findings.insert(Finding::new(self.source.name(), "more", format!("{} more findings", self.more)));
        }
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok(VerifyReport {
                images: images.into_iter().map(|digest| VerifiedImage { digest }).collect(),
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
            Err(error) => {
                self.contracts.unreadable(at);
                return self.take(chain, &error);
            }
        };
        self.count(at.size);
        match document {
            Document::Index(index) => {
                let mut problems = Vec::new();
                format::index(&index, &bytes, &mut problems);
                self.add_all(chain, problems);
                if depth == 0 {
                    self.contracts.index(at, &index, chain);
                }
                for child in &index.manifests {
                    let platform = child.platform.as_ref().map(ToString::to_string);
                    let platform = platform.map_or_else(|| short(&child.digest), |platform| text::name(&platform).into_owned());
                    let chain = format!("{chain} > {platform}");
                    if child.is_manifest_or_index() {
                        self.document(child, &chain, Some(&index), depth + 1);
                    } else {
                        self.later(Pending::Blob(Box::new(child.clone()), chain), 0);
                    }
                }
            }
            Document::Manifest(manifest) => {
                self.contracts.manifest(at, &manifest);
                self.manifest(at, manifest, &bytes, (chain, parent));
            }
        }
    }

    fn manifest(&mut self, at: &Descriptor, manifest: Manifest, bytes: &[u8], (chain, parent): (&str, Option<&Index>)) {
        let mut problems = Vec::new();
        format::manifest(&manifest, bytes, parent, &mut problems);
        let mut size = at.size;
        let config = if media_type::is_config(&manifest.config.media_type) {
            size += manifest.config.size;
            self.config(at, &manifest, chain, &mut problems)
        } else {
            self.later(Pending::Blob(Box::new(manifest.config.clone()), format!("{chain} > config")), 0);
            None
        };
        self.add_all(chain, problems);
        self.later(Pending::Layers(Box::new(Named { manifest, config, chain: chain.to_owned() })), size);
    }

    fn layers(&mut self, named: &Named, ahead: &Ahead<'_>) {
        let Named { manifest, config, chain } = named;
        let before = self.count_found();
        let ours_from = config.as_ref().map(|config| manifest.layers.len().saturating_sub(format::own_layers(config)));
        let ours = format::is_ours(&manifest.annotations);
        let mut stack = Stack::default();
        for (position, layer) in manifest.layers.iter().enumerate() {
            let chain = format!("{chain} > layer {} {}", position + 1, short(&layer.digest));
            let Some(stacked) = named.stacked(position) else {
                self.blob(layer, &chain, None);
                continue;
            };
            let law = config.as_ref().filter(|_| ours && ours_from.is_some_and(|from| position >= from));
            stack.push(stacked, law);
            let is_new = !self.has_seen(&layer.digest);
            if self.is_first(layer, stack.role.clone()) {
                self.layer((&mut stack, ahead), &chain, law, is_new);
            }
        }
        if let Some(config) = config
            && self.count_found() == before
            && self.failure.is_none()
        {
            self.starts(named, config, ahead);
        }
    }

    /// What is started, in the root that the layers make. That there is no program at all is for those to know who made the
    /// image, except where that is here: others mount what they start.
    fn starts(&mut self, Named { manifest, chain, .. }: &Named, config: &Config, ahead: &Ahead<'_>) {
        let (command, platform) = (Command::of(config), config.platform());
        let Some(mut layers) = start::layers_of(self.source, manifest, config) else { return };
        for layer in &mut layers {
            if let Layer::Stored { descriptor, compression, diff_id, known, .. } = layer {
                *known = ahead.known(&Wanted::layer(descriptor, *compression, diff_id.as_ref()));
            }
        }
        if command.line.is_empty() || platform.os != "linux" || layers.is_empty() {
            return;
        }
        let started = Root::of(layers).and_then(|mut root| start::start(&mut root, &command, &platform.architecture));
        match started {
            Ok(started) if started.is_absent && !format::is_ours(&manifest.annotations) => {}
            Ok(started) => self.add_all(chain, started.lacks.into_iter().map(|lack| (lack.rule, lack.message)).collect()),
            Err(error) => self.progress.event(Event::Note { text: format!("{chain}: {error}") }),
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
        let is_partial = format::is_ours(&manifest.annotations) && format::base_has_no_history(&config);
        if !history.is_empty() && filled != layers && !(is_partial && filled < layers) {
            problems.push(("history", format!("{layers} layers but {filled} history entries that are not empty")));
        }
        if let Some(platform) = &at.platform
            && !config.platform().agrees(platform)
        {
            problems.push(("platform", format!("its index says {platform}, its configuration {}", config.platform())));
        }
        if format::is_ours(&manifest.annotations) {
            format::config(&config, manifest, problems);
        }
        Some(config)
    }

    /// Reads the uppermost layer of a stack through decompression and tar to its diff id, over those below it.
    fn layer(&mut self, (stack, ahead): (&mut Stack<'_>, &Ahead<'_>), chain: &str, ours: Option<&Config>, is_new: bool) {
        let Some(top) = stack.top() else { return };
        let at = top.at;
        let opened = if stack.is_refused() { self.source.open(at).map(Input::Stored) } else { top.open((self.source, ahead)) };
        let input = match opened {
            Ok(input) => input,
            Err(error) => return self.take(chain, &error),
        };
        if is_new {
            self.count(at.size);
        }
        let key = at.digest.to_string();
        self.progress.event(Event::BlobStarted { blob: key.clone(), verb: "Verifying", total: Some(at.size) });
        let mut tar = ours.map(format::TarLaw::new);
        let mut devices = 0_u64;
        let mut visit = |entry: &Entry| {
            if let Some(law) = &mut tar {
                law.entry(entry);
            }
            devices += u64::from(matches!(entry.kind, Kind::Other(_)));
        };
        let read = stack.read((self.source, ahead), input, (&mut self.again, is_new), &mut visit);
        self.progress.event(Event::BlobFinished { blob: key, outcome: Outcome::Present, bytes: at.size });
        if devices > 0 && ours.is_none() {
            let text = format!("{chain}: {devices} device nodes, which `unpack` leaves out");
            self.progress.event(Event::Note { text });
        }
        match read {
            Ok(()) => self.add_all(chain, tar.map(format::TarLaw::finish).unwrap_or_default()),
            Err(error) => {
                // The bytes themselves first: if they are not those of the digest, what is in them means nothing.
                let findings = self.count_found();
                self.blob(at, chain, None);
                if self.count_found() == findings && self.failure.is_none() {
                    match error.rule() {
                        Some(rule) => self.add(Finding::new(chain, rule, Error::from(error).to_string())),
                        None => drop(self.failure.insert(error.into())),
                    }
                }
            }
        }
    }

    /// Reads a blob that is nothing but bytes.
    fn blob(&mut self, at: &Descriptor, chain: &str, ahead: Option<&Ahead<'_>>) {
        if !self.is_first(at, String::new()) {
            return;
        }
        if ahead.is_some_and(|ahead| ahead.is_sound(&Wanted::bytes(at))) {
            return self.count(at.size);
        }
        let stored = match self.source.open(at) {
            Ok(stored) => stored,
            Err(error) => {
                self.contracts.unreadable(at);
                return self.take(chain, &error);
            }
        };
        self.count(at.size);
        if let Err(error) = io::copy(&mut Verified::new(stored, at), &mut io::sink()) {
            self.contracts.unreadable(at);
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
        for (rule, message) in problems {
            self.hold(Finding::new(chain, rule, message));
        }
    }
}

impl Named {
    /// A layer; `None` where it is no archive.
    fn stacked(&self, position: usize) -> Option<Stacked<'_>> {
        let at = self.manifest.layers.get(position)?;
        let compression = Compression::of_media_type(&at.media_type)?;
        let diff_id = self.config.as_ref().and_then(|config| config.diff_ids().get(position).cloned());
        Some(Stacked { at, compression, diff_id })
    }

    fn layers(&self) -> impl Iterator<Item = Stacked<'_>> {
        (0..self.manifest.layers.len()).filter_map(|position| self.stacked(position))
    }
}

/// Bytes of documents whose layers are read together, and what each costs beside them.
const TOGETHER: u64 = 4 << 20;
const EACH: u64 = 1 << 10;
/// Bytes of memory for all findings.
const FOUND: usize = 8 << 20;
/// Bytes of memory for a finding beside its texts.
const OVERHEAD: usize = 100;

/// The same without embedded content: what lies in the store is what is checked.
fn stored(at: &Descriptor) -> Descriptor {
    Descriptor { data: None, ..at.clone() }
}

fn short(digest: &Digest) -> String {
    format!("{}:{}", digest.algorithm().as_str(), digest.short())
}
