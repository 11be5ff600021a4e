//! Layouts written by hand: what our readers are tried with must not depend on our own writers.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use plugin_build::build::inspect::bundle::{LibraryPaths, bundle};
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;
use serde_json::{Value, json};

/// One gzip member.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One zstd frame.
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).unwrap()
}

/// A layout in the making; whole after each call of [`HandLayout::tag`].
pub struct HandLayout {
    dir: PathBuf,
    tags: Vec<Value>,
}

/// A layout with the image `1` for linux/amd64: loader and libraries of this system that a program of Rust may need, as this
/// test itself does.
pub fn system_base(dir: &Path) {
    let mut tar = tar::Builder::new(Vec::new());
    let program = std::env::current_exe().unwrap();
    for file in bundle(&program, &LibraryPaths::of_system()).unwrap().files {
        let content = fs::read(file.source).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_mode(file.mode);
        header.set_size(content.len() as u64);
        header.set_mtime(0);
        tar.append_data(&mut header, file.path, content.as_slice()).unwrap();
    }
    let mut layout = HandLayout::new(dir);
    let image = layout.image("linux/amd64", &[tar.into_inner().unwrap()], Compression::Gzip);
    let index = layout.index(&[image], &json!({}));
    layout.tag("1", index);
}

impl HandLayout {
    pub fn new(dir: &Path) -> Self {
        fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self { dir: dir.to_owned(), tags: Vec::new() }
    }

    pub fn blob(&self, bytes: &[u8], media_type: &str) -> Value {
        let digest = Digest::of(bytes);
        fs::write(self.dir.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// An image for a platform; its descriptor.
    pub fn image(&self, platform: &str, tars: &[Vec<u8>], compression: Compression) -> Value {
        let diff_ids: Vec<Digest> = tars.iter().map(|tar| Digest::of(tar)).collect();
        let packed = tars.iter().map(|tar| match compression {
            Compression::Gzip => gzip(tar),
            Compression::Zstd => zstd(tar),
            Compression::None => tar.clone(),
        });
        let layers: Vec<Value> = packed.map(|bytes| self.blob(&bytes, compression.layer_media_type())).collect();
        self.manifest(platform, &diff_ids, &layers)
    }

    /// A manifest that may lie about its layers.
    pub fn manifest(&self, platform: &str, diff_ids: &[Digest], layers: &[Value]) -> Value {
        let (os, architecture) = platform.split_once('/').unwrap();
        let config = json!({
            "architecture": architecture, "os": os, "config": {}, "history": [],
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = self.blob(config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json");
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers});
        let mut descriptor = self.blob(manifest.to_string().as_bytes(), media_type);
        descriptor["platform"] = json!({"os": os, "architecture": architecture});
        descriptor
    }

    /// An index over images; its descriptor.
    pub fn index(&self, images: &[Value], annotations: &Value) -> Value {
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": images, "annotations": annotations});
        self.blob(index.to_string().as_bytes(), media_type)
    }

    /// An artifact that refers to an image.
    pub fn referrer(&mut self, artifact_type: &str, subject: &Value, layers: &[Value]) {
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let config = self.blob(b"{}", "application/vnd.oci.empty.v1+json");
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type, "artifactType": artifact_type, "config": config, "layers": layers,
            "subject": subject,
        });
        let mut descriptor = self.blob(manifest.to_string().as_bytes(), media_type);
        descriptor["artifactType"] = json!(artifact_type);
        self.tags.push(descriptor);
        self.write_index();
    }

    pub fn tag(&mut self, tag: &str, mut descriptor: Value) {
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        self.tags.push(descriptor);
        self.write_index();
    }

    fn write_index(&self) {
        let index = json!({"schemaVersion": 2, "manifests": self.tags});
        fs::write(self.dir.join("index.json"), index.to_string()).unwrap();
    }
}

/// Writes a layout with one image of one layer, in place of whatever is there.
pub fn of_layer(dir: &Path, tar: &[u8]) {
    let _ = fs::remove_dir_all(dir);
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let put = |kind: &str, bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        let media_type = format!("application/vnd.oci.image.{kind}");
        serde_json::json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    };
    let layer = put("layer.v1.tar", tar);
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    });
    let config = put("config.v1+json", config.to_string().as_bytes());
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": [layer],
    });
    let root = put("manifest.v1+json", manifest.to_string().as_bytes());
    fs::write(dir.join("index.json"), serde_json::json!({"schemaVersion": 2, "manifests": [root]}).to_string()).unwrap();
}
