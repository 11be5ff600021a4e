//! A small image made of nothing but bytes: a source in memory that is no layout and no registry.

use std::collections::BTreeMap;
use std::io::Read;

use plugin_oci::documents::{Descriptor, Index, Manifest, REF_NAME, media_type};
use plugin_oci::progress::Silent;
use plugin_oci::stores::layout::{LayoutWriter, Obsolete};
use plugin_oci::stores::{Selector, Source, StoreError, Tagged, copy};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::platform::Platform;
use plugin_oci::values::reference::Reference;
use plugin_oci::values::tag::Tag;
use serde_json::json;

/// Blobs by digest, one tagged index, and what refers to it.
#[derive(Default)]
pub struct Sample {
    blobs: BTreeMap<Digest, Vec<u8>>,
    tags: Vec<Tagged>,
    referrers: Vec<(Digest, Descriptor)>,
}

impl Sample {
    /// A two-platform index called `name`, tagged `1.0`, with layers of `size` bytes; each platform also has a layer of its own
    /// and both share one.
    pub fn image(name: &str, size: usize) -> Self {
        let mut sample = Self::default();
        let platforms = ["linux/amd64", "linux/arm64"];
        let root = sample.index(name, &platforms, size);
        sample.tags.push(Tagged { tag: "1.0".to_owned(), root });
        sample
    }

    /// The same image with one platform.
    pub fn of_platform(name: &str, platform: &str, size: usize) -> Self {
        let mut sample = Self::default();
        let root = sample.index(name, &[platform], size);
        sample.tags.push(Tagged { tag: "1.0".to_owned(), root });
        sample
    }

    /// Adds an SBOM-like referrer to the tagged image.
    pub fn with_referrer(mut self) -> Self {
        let subject = self.root().clone();
        let config = self.add(media_type::EMPTY, b"{}".to_vec());
        let layer = self.add("application/spdx+json", br#"{"spdxVersion":"SPDX-2.3"}"#.to_vec());
        let manifest = Manifest {
            media_type: media_type::MANIFEST.to_owned(),
            artifact_type: Some("application/spdx+json".to_owned()),
            config,
            layers: vec![layer],
            subject: Some(Descriptor::new(subject.media_type, subject.digest.clone(), subject.size)),
            annotations: BTreeMap::new(),
        };
        let mut descriptor = self.add(media_type::MANIFEST, manifest.to_bytes());
        descriptor.artifact_type = manifest.artifact_type;
        self.referrers.push((subject.digest, descriptor));
        self
    }

    /// Adds a signature in the classic form: it has the shape of an image, a subject, and a tag where others look for it.
    pub fn with_signature(mut self) -> Self {
        let subject = self.root().clone();
        let payload = self.add("application/vnd.dev.cosign.simplesigning.v1+json", br#"{"critical":{}}"#.to_vec());
        let config =
            json!({"os": "", "architecture": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": [payload.digest]}});
        let config = self.add(media_type::CONFIG, config.to_string().into_bytes());
        let manifest = Manifest {
            media_type: media_type::MANIFEST.to_owned(),
            artifact_type: None,
            config,
            layers: vec![payload],
            subject: Some(Descriptor::new(subject.media_type, subject.digest.clone(), subject.size)),
            annotations: BTreeMap::new(),
        };
        let mut descriptor = self.add(media_type::MANIFEST, manifest.to_bytes());
        descriptor.annotations.insert(REF_NAME.to_owned(), Tag::of_signatures(&subject.digest).to_string());
        self.referrers.push((subject.digest, descriptor));
        self
    }

    /// The tagged index.
    pub fn root(&self) -> &Descriptor {
        &self.tags[0].root
    }

    /// Every blob that is no manifest or index.
    pub fn layers_and_configs(&self) -> Vec<Digest> {
        let is_document = |bytes: &[u8]| bytes.starts_with(b"{") && String::from_utf8_lossy(bytes).contains("schemaVersion");
        self.blobs.iter().filter(|(_, bytes)| !is_document(bytes)).map(|(digest, _)| digest.clone()).collect()
    }

    /// Writes it as a layout.
    pub fn to_layout(&self, dir: &std::path::Path) -> Reference {
        let writer = LayoutWriter::new(dir, Obsolete::Keep, &Silent).unwrap();
        let options = copy::CopyOptions { tags: vec!["1.0".parse().unwrap()], ..copy::CopyOptions::default() };
        copy::copy(self, &writer, self.root(), &options, &Silent).unwrap();
        Reference::layout(dir, Some("1.0".parse().unwrap()))
    }

    fn index(&mut self, name: &str, platforms: &[&str], size: usize) -> Descriptor {
        let annotations = BTreeMap::from([
            ("org.opencontainers.image.title".to_owned(), name.to_owned()),
            ("dev.cargo-plugin-build.name".to_owned(), name.to_owned()),
        ]);
        let shared = self.add("application/vnd.oci.image.layer.v1.tar", noise(&format!("{name} shared"), size));
        let mut manifests = Vec::new();
        for text in platforms {
            let platform: Platform = text.parse().unwrap();
            let own = self.add("application/vnd.oci.image.layer.v1.tar", noise(&format!("{name} {text}"), size));
            let config = json!({
                "architecture": platform.architecture, "os": platform.os, "config": {},
                "rootfs": {"type": "layers", "diff_ids": [shared.digest, own.digest]},
            });
            let config = self.add(media_type::CONFIG, plugin_oci::documents::json::to_canonical(&config));
            let manifest = Manifest {
                media_type: media_type::MANIFEST.to_owned(),
                artifact_type: None,
                config,
                layers: vec![shared.clone(), own],
                subject: None,
                annotations: annotations.clone(),
            };
            manifests.push(self.add(media_type::MANIFEST, manifest.to_bytes()).with_platform(platform));
        }
        let index =
            Index { media_type: media_type::INDEX.to_owned(), artifact_type: None, manifests, subject: None, annotations };
        self.add(media_type::INDEX, index.to_bytes())
    }

    fn add(&mut self, media_type: &str, bytes: Vec<u8>) -> Descriptor {
        let descriptor = Descriptor::of(media_type, &bytes);
        self.blobs.insert(descriptor.digest.clone(), bytes);
        descriptor
    }
}

impl Source for Sample {
    fn name(&self) -> String {
        "sample".to_owned()
    }

    fn tags(&self) -> Result<Vec<Tagged>, StoreError> {
        Ok(self.tags.clone())
    }

    fn resolve(&self, _selector: &Selector) -> Result<Descriptor, StoreError> {
        Ok(self.root().clone())
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, StoreError> {
        match self.blobs.get(&descriptor.digest) {
            Some(bytes) => Ok(Box::new(bytes.as_slice())),
            None => Err(StoreError::MissingBlob { store: self.name(), digest: descriptor.digest.to_string() }),
        }
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        Ok(self.referrers.iter().filter(|(of, _)| of == subject).map(|(_, found)| found.clone()).collect())
    }
}

/// Bytes that do not compress and are the same every time.
pub fn noise(seed: &str, size: usize) -> Vec<u8> {
    let mut state = seed.bytes().fold(0x9E37_79B9_7F4A_7C15_u64, |state, byte| state.rotate_left(9) ^ u64::from(byte));
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}
