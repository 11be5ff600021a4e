//! Byte format 1 is frozen: what was written in it is read as ever, and the same sources still give the same bytes.
//!
//! `fixtures/layouts/v<N>` holds images of every byte format that there was. Nothing in there ever changes; another way to
//! write an image is another format. `fixtures/plugins/keepsake` is what `gzip`, `zstd` and `none` were made of, with a
//! provenance each; `keepsake-filter` is what the lone manifest `filter` was made of. Another compiler makes other programs,
//! so of these only the places are compared.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use plugin_oci::fs::sorted_listing;
use serde_json::Value;

use crate::support::program::{ran, run};
use crate::support::project::{Project, copy};
use crate::support::second_compiler::{self, WASM_LD, second};
use crate::support::tools::{require, stdout};

const TAGS: [&str; 3] = ["gzip", "zstd", "none"];

/// A copy of all frozen layouts.
fn frozen() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/layouts"), dir.path());
    dir
}

#[test]
fn every_image_of_every_format_is_verified() {
    let dir = frozen();
    let mut images = 0;
    for format in sorted_listing(dir.path()).unwrap().iter().filter_map(|name| name.to_str()).filter(|name| name.starts_with('v'))
    {
        let layout = format!("oci:{format}");
        let listed = run(dir.path(), &["ls", &layout, "--message-format", "json"]);
        assert_eq!(listed.code, 0, "{}", listed.stderr);
        for line in listed.stdout.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let Some(tag) = line["tag"].as_str() else { continue };
            let verified = run(dir.path(), &["verify", &format!("{layout}:{tag}")]);
            assert_eq!(verified.code, 0, "{format} {tag}: {}{}", verified.stdout, verified.stderr);
            assert!(verified.stderr.contains("nothing wrong"), "{format} {tag}: {}", verified.stderr);
            images += 1;
        }
    }
    assert_eq!(images, 4);
}

#[test]
fn what_comes_out_is_what_went_in() {
    let dir = frozen();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/plugins/keepsake");
    let file = |path: &str| fs::read(source.join(path)).unwrap();
    for tag in TAGS {
        let unpacked = run(dir.path(), &["unpack", &format!("oci:v1:{tag}"), tag]);
        assert_eq!(unpacked.code, 0, "{}", unpacked.stderr);
        let out = dir.path().join(tag);
        for path in ["empty", "numbers.txt", "words/greek.txt", "words/élan.txt"] {
            assert_eq!(fs::read(out.join("share").join(path)).unwrap(), file(&format!("data/{path}")), "{tag} {path}");
        }
        assert_eq!(fs::read_link(out.join("share/default")).unwrap(), Path::new("words/greek.txt"), "{tag}");
        assert_eq!(fs::read(out.join("bin/hi.sh")).unwrap(), file("data/hi.sh"), "{tag}");
        assert_eq!(stdout(&mut Command::new(out.join("bin/hi.sh"))), "hi\n", "{tag}");
        if cfg!(all(target_arch = "x86_64", target_os = "linux")) {
            assert_eq!(stdout(&mut Command::new(out.join("keepsake"))), "byte format 1\n", "{tag}");
        }
    }
    let unpacked = run(dir.path(), &["unpack", "--platform", "wasip1/wasm", "oci:v1:filter", "filter"]);
    assert_eq!(unpacked.code, 0, "{}", unpacked.stderr);
    assert!(fs::read(dir.path().join("filter/plugin.wasm")).unwrap().starts_with(b"\0asm"));
}

#[test]
#[ignore = "needs skopeo"]
fn skopeo_takes_every_image_as_it_is() {
    let Some(skopeo) = require("skopeo") else { return };
    let dir = frozen();
    for tag in TAGS {
        let raw = |layout: &str| stdout(Command::new(&skopeo).args(["inspect", "--raw", layout]).current_dir(&dir));
        let from = format!("oci:v1:{tag}");
        let mut copy = Command::new(&skopeo);
        stdout(copy.args(["copy", "-q", "--all", "--preserve-digests", &from, &format!("oci:taken:{tag}")]).current_dir(&dir));
        assert_eq!(raw(&from), raw(&format!("oci:taken:{tag}")), "{tag}");
    }
}

/// The documents of an image, from its tag down, with the digests and sizes of what depends on the program left out.
fn documents(layout: &Path, tag: &str, shared: &[&str]) -> Vec<String> {
    let blob = |digest: &str| fs::read(layout.join("blobs").join(digest.replace(':', "/"))).unwrap();
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let tagged = |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"] == tag;
    let mut wanted = vec![index["manifests"].as_array().unwrap().iter().find(tagged).unwrap()["digest"].clone()];
    let mut documents = Vec::new();
    while let Some(digest) = wanted.pop() {
        let bytes = blob(digest.as_str().unwrap());
        let mut document: Value = serde_json::from_slice(&bytes).unwrap();
        // In canonical JSON the value says every byte.
        assert_eq!(document.to_string().as_bytes(), bytes);
        for manifest in document["manifests"].as_array().into_iter().flatten() {
            wanted.push(manifest["digest"].clone());
        }
        wanted.extend(document.get("config").map(|config| config["digest"].clone()).filter(Value::is_string));
        forget_programs(&mut document, shared);
        documents.push(document.to_string());
    }
    documents
}

fn forget_programs(value: &mut Value, shared: &[&str]) {
    match value {
        Value::Object(fields) => {
            if fields.get("digest").is_some_and(|digest| !shared.contains(&digest.as_str().unwrap_or_default())) {
                fields.insert("size".to_owned(), Value::Null);
            }
            fields.values_mut().for_each(|value| forget_programs(value, shared));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| forget_programs(value, shared)),
        Value::String(text) if text.starts_with("sha256:") && !shared.contains(&text.as_str()) => *value = "program".into(),
        _ => {}
    }
}

#[test]
fn the_same_sources_give_the_same_bytes() {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return;
    }
    let frozen = frozen();
    let project = Project::fixture("keepsake");
    // Layer of the files: compressed, and as a tar.
    let diff_id = "sha256:8ea6141a53e4f295343ef394d9418d562665d6f6171632cb97ade7d12e827225";
    let layers = BTreeMap::from([
        ("gzip", "sha256:1be0bbb8c3baccd40327bda7cb27c55d0f56c2e30a7f140c015aa2c47134a102"),
        ("zstd", "sha256:c589d1d0e72f590e1289d8d2355994ff93ba42c1c25ecfb14c201341f58c19dd"),
        ("none", diff_id),
    ]);
    for tag in TAGS {
        let built = run(&project.root, &["build", "-q", "-o", "out", "--tag", tag, "--compression", tag, "--provenance"]);
        assert_eq!(built.code, 0, "{}", built.stderr);
        let shared = [layers[tag], diff_id];
        let [then, now] = [frozen.path().join("v1"), project.root.join("out")].map(|layout| documents(&layout, tag, &shared));
        assert_eq!((then.len(), then.iter().any(|document| document.contains(layers[tag]))), (3, true));
        assert_eq!(now, then, "{tag}");
    }
}

#[test]
#[ignore = "needs Debian's compiler"]
fn the_same_module_gives_the_same_lone_manifest() {
    if !second_compiler::available(&[WASM_LD]) {
        return;
    }
    let frozen = frozen();
    let project = Project::fixture("keepsake-filter");
    let mut build = second(&project.root);
    build.args(["build", "-q", "-o", "out", "--tag", "filter", "--", "-Zbuild-std=core,panic_abort"]);
    let built = ran(build.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", WASM_LD));
    assert_eq!(built.code, 0, "{}", built.stderr);
    let [then, now] = [frozen.path().join("v1"), project.root.join("out")].map(|layout| documents(&layout, "filter", &[]));
    assert_eq!((then.len(), now), (2, then));
}

/// What a router's index holds beside what it held before there were contracts in it. Nothing else that is digested changed:
/// the annotation is metadata, as those of `Cargo.toml` are, and byte format 1 is how bytes are laid out.
#[test]
fn of_a_router_image_only_the_annotations_of_the_index_tell_the_contract() {
    let project = Project::router_plugin("");
    let built = run(&project.root, &["build", "-q", "-o", "out", "--tag", "router"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let documents = documents(&project.root.join("out"), "router", &[]);
    let [index, manifest, config] = documents.as_slice() else { panic!("{documents:#?}") };
    let mut index: Value = serde_json::from_str(index).unwrap();
    let annotations = index["annotations"].as_object_mut().unwrap();
    assert_eq!(annotations.remove("dev.cargo-plugin-build.cosmo-contract"), Some("program".into()));
    let before = serde_json::json!({
        "dev.cargo-plugin-build.format": "1", "dev.cargo-plugin-build.kind": "cosmo-router", "dev.cargo-plugin-build.name": "p",
        "org.opencontainers.image.title": "p", "org.opencontainers.image.version": "0.1.0",
    });
    assert_eq!(index["annotations"], before);
    assert!(!manifest.contains("contract") && !config.contains("contract"), "{manifest}{config}");
}
