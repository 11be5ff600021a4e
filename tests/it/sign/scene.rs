//! A layout with an image, pairs of keys, and the means to change what was signed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use plugin_oci::attachments::Attachment;
use plugin_oci::documents::{Descriptor, json as strict};
use plugin_oci::progress::Silent;
use plugin_oci::stores::layout::{Layout, LayoutWriter, Obsolete};
use plugin_oci::stores::{Selector, Source as _};
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;
use serde_json::{Value, json};

use crate::support::layouts::HandLayout;
use crate::support::program::{Ran, done, plugin_build, ran, run};
use crate::support::project::copy;

/// The image of every scene.
pub const IMAGE: &str = "oci:images:1.0";

pub struct Scene {
    pub temp: tempfile::TempDir,
    pub root: Descriptor,
}

impl Scene {
    /// An image with an SBOM, unsigned, and the pairs of keys `one` and `two`.
    pub fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let root = image(&temp.path().join("images"), "signed");
        let scene = Self { temp, root };
        scene.keygen(&["--output-key-prefix", "one"]);
        scene.keygen(&["--output-key-prefix", "two"]);
        scene
    }

    /// The same, signed by the first key.
    pub fn signed() -> Self {
        let scene = Self::new();
        scene.done(&["sign", IMAGE, "--key", "one.key"]);
        scene
    }

    pub fn dir(&self) -> &Path {
        self.temp.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        run(self.dir(), arguments)
    }

    pub fn done(&self, arguments: &[&str]) -> String {
        done(self.dir(), arguments)
    }

    /// The program, to be given more.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = plugin_build(self.dir());
        command.args(arguments);
        command
    }

    pub fn keygen(&self, arguments: &[&str]) {
        let made = ran(self.command(&["keygen"]).args(arguments).env("COSIGN_PASSWORD", ""));
        assert_eq!(made.code, 0, "{}", made.stderr);
    }

    /// What `verify` finds, rule by rule.
    pub fn findings(&self, image: &str, arguments: &[&str]) -> Vec<String> {
        let ran = self.run(&[&["verify", image, "--message-format", "json"], arguments].concat());
        let lines = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let findings: Vec<String> = lines.filter_map(|line| Some(line["rule"].as_str()?.to_owned())).collect();
        assert_eq!(ran.code, if findings.is_empty() { 0 } else { 3 }, "{}{}", ran.stdout, ran.stderr);
        findings
    }

    /// A copy of the layout, to be changed.
    pub fn copied(&self, name: &str) -> Changed {
        copy(&self.path("images"), &self.path(name));
        Changed { dir: self.path(name) }
    }
}

/// Writes a layout with an image of that name, for two platforms, and its SBOM.
pub fn image(dir: &Path, name: &str) -> Descriptor {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(name.len() as u64);
    header.set_mtime(0);
    tar.append_data(&mut header, "name", name.as_bytes()).unwrap();
    let tar = tar.into_inner().unwrap();
    let mut layout = HandLayout::new(dir);
    let images =
        ["linux/amd64", "linux/arm64"].map(|platform| layout.image(platform, std::slice::from_ref(&tar), Compression::None));
    let index = layout.index(&images, &json!({ "dev.cargo-plugin-build.name": name }));
    layout.tag("1.0", index);
    let root = Layout::open(dir).unwrap().resolve(&Selector::Only).unwrap();
    let sbom = Attachment::builder("application/spdx+json", &root)
        .file("sbom.json", "application/spdx+json", br#"{"spdxVersion":"SPDX-2.3"}"#.to_vec())
        .finish();
    sbom.write(&LayoutWriter::new(dir, Obsolete::Keep, &Silent).unwrap()).unwrap();
    root
}

/// A layout whose documents are changed, and named anew by what they then are.
pub struct Changed {
    dir: PathBuf,
}

impl Changed {
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub fn index(&self) -> Value {
        strict::parse(&fs::read(self.dir.join("index.json")).unwrap()).unwrap()
    }

    pub fn write_index(&self, index: &Value) {
        fs::write(self.dir.join("index.json"), strict::to_canonical(index)).unwrap();
    }

    pub fn blob(&self, descriptor: &Value) -> Vec<u8> {
        fs::read(self.path(&descriptor["digest"])).unwrap()
    }

    fn path(&self, digest: &Value) -> PathBuf {
        self.dir.join("blobs/sha256").join(&digest.as_str().unwrap()["sha256:".len()..])
    }

    /// Puts other content where a descriptor points.
    pub fn replace(&self, descriptor: &mut Value, bytes: &[u8]) {
        descriptor["digest"] = Digest::of(bytes).to_string().into();
        descriptor["size"] = bytes.len().into();
        fs::write(self.path(&descriptor["digest"]), bytes).unwrap();
    }

    /// The position in the index of the referrer whose bundle says something of this type.
    fn position(&self, predicate_type: &str) -> usize {
        self.position_of(|entry| entry["annotations"]["dev.sigstore.bundle.predicateType"] == predicate_type)
    }

    fn position_of(&self, is_it: impl Fn(&Value) -> bool) -> usize {
        let index = self.index();
        index["manifests"].as_array().unwrap().iter().position(is_it).unwrap()
    }

    /// Changes the manifest and the bundle of a signature, whichever there is something to be done with.
    pub fn change(&self, predicate_type: &str, change: impl FnOnce(&mut Value, &mut Vec<u8>)) {
        self.change_at(self.position(predicate_type), change);
    }

    /// The same of the signature that a list shows like this.
    pub fn change_of(&self, is_it: impl Fn(&Value) -> bool, change: impl FnOnce(&mut Value, &mut Vec<u8>)) {
        self.change_at(self.position_of(is_it), change);
    }

    fn change_at(&self, position: usize, change: impl FnOnce(&mut Value, &mut Vec<u8>)) {
        let mut index = self.index();
        let entry = &mut index["manifests"][position];
        let mut manifest = strict::parse(&self.blob(entry)).unwrap();
        let mut bundle = self.blob(&manifest["layers"][0]);
        let before = bundle.clone();
        change(&mut manifest, &mut bundle);
        if bundle != before {
            self.replace(&mut manifest["layers"][0], &bundle);
        }
        let bytes = strict::to_canonical(&manifest);
        self.replace(entry, &bytes);
        self.write_index(&index);
    }

    /// The bundle that says something of this type.
    pub fn bundle(&self, predicate_type: &str) -> Vec<u8> {
        let index = self.index();
        let manifest = strict::parse(&self.blob(&index["manifests"][self.position(predicate_type)])).unwrap();
        self.blob(&manifest["layers"][0])
    }

    /// Adds a changed copy of a signature.
    pub fn add(&self, predicate_type: &str, change: impl FnOnce(&mut Value, &mut Vec<u8>)) {
        let before = self.index()["manifests"][self.position(predicate_type)].clone();
        self.change(predicate_type, change);
        let mut index = self.index();
        index["manifests"].as_array_mut().unwrap().push(before);
        self.write_index(&index);
    }

    /// Exchanges the file of an attachment.
    pub fn exchange(&self, artifact_type: &str, bytes: &[u8]) {
        let mut index = self.index();
        let entries = index["manifests"].as_array_mut().unwrap();
        let entry = entries.iter_mut().find(|entry| entry["artifactType"] == artifact_type).unwrap();
        let mut manifest = strict::parse(&self.blob(entry)).unwrap();
        self.replace(&mut manifest["layers"][0], bytes);
        let bytes = strict::to_canonical(&manifest);
        self.replace(entry, &bytes);
        self.write_index(&index);
    }

    /// Takes the signatures of one type away.
    pub fn remove(&self, predicate_type: &str) {
        let mut index = self.index();
        let position = self.position(predicate_type);
        index["manifests"].as_array_mut().unwrap().remove(position);
        self.write_index(&index);
    }
}

/// What a layout lists, and every blob in it.
pub fn state(dir: &Path) -> (Vec<u8>, Vec<String>) {
    let blobs = Layout::open(dir).unwrap().blobs().unwrap().iter().map(ToString::to_string).collect();
    (fs::read(dir.join("index.json")).unwrap(), blobs)
}
