//! What it costs at most to look at an image, whatever it says: memory of lists and findings, and what is told of the rest. And
//! what it costs to look at many that share layers: each is read once.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use plugin_build::images::verify;
use plugin_oci::documents::Descriptor;
use plugin_oci::fs::sorted_listing;
use plugin_oci::progress::Silent;
use plugin_oci::stores::layout::Layout;
use plugin_oci::stores::{Selector, Source, StoreError, Tagged};
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;
use serde_json::{Value, json};

use crate::support::hostile::archive::Archive;
use crate::support::layouts::HandLayout;
use crate::support::memory_registry::MemoryRegistry;
use crate::support::program::{bytes_read, done, plugin_build, ran, run};
use crate::support::sample::noise;

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

const IMAGES: u8 = 10;

/// Files that every image has, and where its program is.
fn base() -> Vec<u8> {
    let many = (0..2000).fold(Archive::new(), |archive, number| archive.file(&format!("share/{number}"), b"asset"));
    many.file("etc/passwd", b"nobody:x:1:1::/:\n")
        .symlink("usr/tools", "../bin")
        .file("share/noise", &noise("base", 1 << 20))
        .end()
}

fn own(number: u8) -> Vec<u8> {
    Archive::new().file_with("bin/tool", &noise(&number.to_string(), 100_000), 0o755).end()
}

/// The manifest of an image that starts what its uppermost layer has; its descriptor.
fn image(layout: &HandLayout, tars: &[Vec<u8>], variant: u8) -> Value {
    let diff_ids: Vec<Digest> = tars.iter().map(|tar| Digest::of(tar)).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/usr/tools/tool"], "User": "nobody"}, "history": [],
        "rootfs": {"type": "layers", "diff_ids": diff_ids}, "variant": format!("v{variant}"),
    });
    let config = layout.blob(config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json");
    let packed = |tar: &Vec<u8>| layout.blob(&crate::support::layouts::gzip(tar), Compression::Gzip.layer_media_type());
    let layers: Vec<Value> = tars.iter().map(packed).collect();
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers});
    let mut descriptor = layout.blob(manifest.to_string().as_bytes(), media_type);
    descriptor["platform"] = json!({"os": "linux", "architecture": "amd64", "variant": format!("v{variant}")});
    descriptor
}

#[cfg(target_os = "linux")]
#[test]
fn a_layer_that_many_images_share_is_read_once() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let mut layout = HandLayout::new(&dir.join("out"));
    for number in 0..IMAGES {
        let manifest = image(&layout, &[base(), own(number)], 1);
        let index = layout.index(&[manifest], &json!({}));
        layout.tag(&number.to_string(), index);
    }
    let blobs = dir.join("out/blobs/sha256");
    let all: u64 = sorted_listing(&blobs).unwrap().iter().map(|name| fs::metadata(blobs.join(name)).unwrap().len()).sum();
    let (nothing, _) = bytes_read(plugin_build(dir).args(["--version"]));
    let (read, told) = bytes_read(plugin_build(dir).args(["verify", "--message-format", "json", "oci:out"]));
    let told: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert_eq!((&told["findings"], &told["blobs"], &told["bytes"]), (&json!([]), &json!(1 + 4 * IMAGES), &json!(all)));
    // Programs are set aside to be looked into, which reads their beginnings again.
    let read = read - nothing;
    assert!(read < all + all / 10, "{read} bytes of {all}");
}

#[test]
fn a_layer_of_many_platforms_is_fetched_once() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let registry = MemoryRegistry::honest();
    let mut layout = HandLayout::new(&dir.join("out"));
    let manifests: Vec<Value> = (0..IMAGES).map(|number| image(&layout, &[base(), own(number)], number)).collect();
    let index = layout.index(&manifests, &json!({}));
    layout.tag("1", index);
    let remote = format!("docker://{}/tool:1", registry.server.host());
    done(dir, &["copy", "oci:out:1", &remote]);
    let before = registry.memory.log().len();
    done(dir, &["verify", &remote]);
    let log = registry.memory.log();
    let fetched =
        |part: &str| log[before..].iter().filter(|request| request.method == "GET" && request.path.contains(part)).count();
    assert_eq!(fetched("/blobs/"), 1 + 2 * usize::from(IMAGES), "one layer of all, and a layer and a configuration of each");
}

#[test]
fn what_is_wrong_is_found_in_every_image_that_has_it() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let mut layout = HandLayout::new(&dir.join("out"));
    let linked = Archive::new().hard_link("bin/other", "bin/tool").end();
    for number in 0..IMAGES {
        // What is linked is in the layer below, for every second image.
        let below = if number % 2 == 0 { own(number) } else { Archive::new().file("bin/none", b"").end() };
        let manifest = image(&layout, &[base(), below, linked.clone()], 1);
        let index = layout.index(&[manifest], &json!({}));
        layout.tag(&format!("t{number}"), index);
    }
    let verified = run(dir, &["verify", "--message-format", "json", "oci:out"]);
    assert_eq!(verified.code, 3, "{}", verified.stderr);
    let told: Value = serde_json::from_str(verified.stdout.lines().last().unwrap()).unwrap();
    let objects: Vec<&str> = told["findings"].as_array().unwrap().iter().map(|one| one["object"].as_str().unwrap()).collect();
    assert_eq!(objects.len(), 1, "{objects:?}");
    assert!(objects[0].starts_with("t1 "), "{objects:?}");
}

/// A layout that gives one blob when nobody reads of the others any more.
struct Late {
    layout: Layout,
    last: Digest,
    reads: Sender<()>,
    read: Mutex<Receiver<()>>,
}

impl Source for Late {
    fn name(&self) -> String {
        self.layout.name()
    }

    fn tags(&self) -> Result<Vec<Tagged>, StoreError> {
        self.layout.tags()
    }

    fn resolve(&self, selector: &Selector) -> Result<Descriptor, StoreError> {
        self.layout.resolve(selector)
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, StoreError> {
        let blob = self.layout.open(descriptor)?;
        if descriptor.digest != self.last {
            return Ok(Box::new(Told { blob, reads: &self.reads }));
        }
        let read = self.read.lock().unwrap();
        while read.recv_timeout(Duration::from_millis(500)).is_ok() {}
        Ok(blob)
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        self.layout.referrers(subject)
    }

    fn parallelism(&self) -> usize {
        2
    }
}

/// What tells of each read.
struct Told<'a> {
    blob: Box<dyn Read + Send + 'a>,
    reads: &'a Sender<()>,
}

impl Read for Told<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let _ = self.reads.send(());
        self.blob.read(buffer)
    }
}

#[test]
fn a_layer_that_comes_when_others_have_taken_the_room_is_read() {
    let temp = tempfile::tempdir().unwrap();
    let mut layout = HandLayout::new(temp.path());
    let tars = [long_names("a", 20), long_names("b", 6000), own(1)];
    let manifest = image(&layout, &tars, 1);
    let index = layout.index(&[manifest], &json!({}));
    layout.tag("1", index);
    let (reads, read) = channel();
    let last = Digest::of(&crate::support::layouts::gzip(&tars[0]));
    let late = Late { layout: Layout::open(temp.path()).unwrap(), last, reads, read: Mutex::new(read) };
    let (done, verified) = channel();
    std::thread::spawn(move || {
        let report = verify::image(&late, &Selector::Tag("1".to_owned()), &Silent);
        let _ = done.send(report.map(|report| report.blobs).map_err(|error| error.to_string()));
    });
    assert_eq!(verified.recv_timeout(Duration::from_mins(2)).expect("it ends").unwrap(), 6);
}
