//! What it costs at most to look at an image, whatever it says: memory of lists and findings, and what is told of the rest.

use std::path::Path;

use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;
use serde_json::{Value, json};

use crate::support::hostile::archive::Archive;
use crate::support::layouts::HandLayout;
use crate::support::program::{plugin_build, ran};

/// An archive of files whose names are as long as names may be.
fn long_names(letter: &str, files: usize) -> Vec<u8> {
    let deep = format!("{}/", letter.repeat(250)).repeat(15);
    let entry = |archive: Archive, number| archive.pax(&[("path", &format!("{deep}{number:05}"))]).file("x", b"");
    (0..files).fold(Archive::new(), entry).end()
}

/// An image that names one layer again and again.
fn repeated(layout: &mut HandLayout, tag: &str, tar: &[u8], times: usize) {
    let layer = layout.blob(&crate::support::layouts::gzip(tar), Compression::Gzip.layer_media_type());
    let image = layout.manifest("linux/amd64", &vec![Digest::of(tar); times], &vec![layer; times]);
    layout.tag(tag, image);
}

/// What a verb says for programs.
fn told(dir: &Path, words: &[&str], code: i32) -> Vec<Value> {
    let told = ran(plugin_build(dir).args(words).args(["--message-format", "json"]));
    assert_eq!(told.code, code, "{words:?} {}", told.stderr);
    assert!(told.stdout.len() < 40 << 20, "{words:?}: {} bytes", told.stdout.len());
    told.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_list_of_files_has_an_end_however_often_an_image_names_a_layer() {
    let dir = tempfile::tempdir().unwrap();
    let mut layout = HandLayout::new(&dir.path().join("image"));
    repeated(&mut layout, "1", &long_names("n", 1000), 200);
    let inspected = &told(dir.path(), &["inspect", "oci:image"], 0)[0];
    let layers = inspected["platforms"][0]["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 200);
    let listed = |layer: &Value| layer["files"].as_array().map_or(0, Vec::len);
    let last = layers.iter().position(|layer| layer["more_files"].as_u64() > Some(0)).unwrap();
    assert!((2..6).contains(&last), "{last}");
    assert!(layers[..last].iter().all(|layer| listed(layer) == 1000 && layer["problem"].is_null()));
    assert_eq!(listed(&layers[last]) as u64 + layers[last]["more_files"].as_u64().unwrap(), 1000);
    for layer in &layers[last + 1..] {
        assert!(layer["files"].is_null() && layer["problem"].as_str().unwrap().starts_with("it was not read"), "{layer}");
    }
    let shown = ran(plugin_build(dir.path()).args(["inspect", "oci:image"])).stdout;
    assert!(shown.contains(" more entries\n") && shown.contains("problem     it was not read"));
}

#[test]
fn differences_are_counted_when_there_are_too_many_to_tell() {
    let dir = tempfile::tempdir().unwrap();
    let mut layout = HandLayout::new(&dir.path().join("image"));
    repeated(&mut layout, "1", &long_names("a", 500), 12);
    repeated(&mut layout, "2", &long_names("b", 500), 12);
    let told = told(dir.path(), &["diff", "oci:image:1", "oci:image:2"], 3);
    let counted = told.iter().rfind(|line| line["rule"] == "more").unwrap();
    assert!(counted["message"].as_str().unwrap().ends_with(" more differences"), "{counted}");
}

#[test]
fn findings_repeat_no_long_name_and_are_counted_when_there_are_too_many() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let missing = |number: usize| {
        json!({
            "mediaType": Compression::None.layer_media_type(), "digest": format!("sha256:{number:064x}"), "size": 5,
        })
    };
    for (layers, images, more) in [(1500, 1, false), (1500, 20, true)] {
        let path = dir.join(format!("image{images}"));
        let mut layout = HandLayout::new(&path);
        let of = |number: usize| {
            let named: Vec<Value> = (0..layers).map(|layer| missing(number * layers + layer)).collect();
            let mut image = layout.manifest("linux/amd64", &vec![Digest::of(b""); layers], &named);
            image["platform"]["variant"] = json!("v".repeat(100_000));
            image
        };
        let all: Vec<Value> = (0..images).map(of).collect();
        let index = layout.index(&all, &json!({}));
        layout.tag(&"t".repeat(1_000_000), index);
        let name = format!("oci:image{images}");
        let told = told(dir, &["verify", &name], 3);
        let findings = told.last().unwrap()["findings"].as_array().unwrap();
        assert!(findings.len() >= layers && findings.iter().all(|found| found["object"].as_str().unwrap().len() < 1000));
        assert_eq!(findings.iter().any(|found| found["rule"] == "more"), more, "{layers} {images}");
    }
}
