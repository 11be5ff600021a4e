//! Layers that come as deltas of others: `copy --delta`, and `pull` from a registry that has some.

use std::fs;
use std::io::{self, Cursor};
use std::path::Path;
use std::sync::{Arc, Mutex};

use plugin_oci::deltas::patch::Patch;
use plugin_oci::fs::sorted_listing;
use plugin_oci::layers::pack::{LayerError, Packer};
use plugin_oci::layers::tree::{Mode, Tree};
use plugin_oci::layers::unpack::Limits;
use plugin_oci::progress::Silent;
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;
use plugin_oci::values::epoch::Epoch;
use serde_json::{Value, json};

use crate::support::hostile::deltas::{self, BASE};
use crate::support::http_server::Reply;
use crate::support::layouts::HandLayout;
use crate::support::memory_registry::{MemoryRegistry, Quirks};
use crate::support::program::{Ran, plugin_build, ran};

fn run(dir: &Path, arguments: &[&str]) -> Ran {
    let run = ran(plugin_build(dir).args(arguments));
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    run
}

fn done(dir: &Path, arguments: &[&str]) -> String {
    let run = run(dir, arguments);
    assert_eq!(run.code, 0, "{arguments:?}: {}", run.stderr);
    run.stderr
}

fn refused(dir: &Path, arguments: &[&str]) -> String {
    let run = run(dir, arguments);
    assert_eq!(run.code, 1, "{arguments:?}: {}", run.stderr);
    run.stderr
}

fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..size).map(|_| next()).collect()
}

/// A program in one of its versions.
fn program(version: u8) -> Vec<u8> {
    let old = noise(3, 200_000);
    match version {
        1 => old,
        _ => [&old[..70_000], &noise(u64::from(version), 300), &old[70_000..]].concat(),
    }
}

/// The tar of the program.
fn tar(version: u8) -> Vec<u8> {
    let mut tree = Tree::builder();
    tree.bytes("bin/tool", Mode::EXECUTABLE, program(version)).unwrap();
    let mut tar = Vec::new();
    packer(Compression::None).pack("tool", &tree.finish().unwrap(), &mut tar, &Silent).unwrap();
    tar
}

fn packer(compression: Compression) -> Packer {
    Packer { compression, epoch: Epoch::default(), workers: 2.try_into().unwrap() }
}

fn packed(tar: &[u8], compression: Compression) -> Vec<u8> {
    let mut bytes = Vec::new();
    let write = |out: &mut dyn io::Write| out.write_all(tar).map_err(|source| LayerError::Write { source });
    packer(compression).repack("tool", tar.len() as u64, write, &mut bytes, &Silent).unwrap();
    bytes
}

/// A layout with one image that is tagged by its version; the digest of its layer.
pub fn image(dir: &Path, version: u8, compression: Compression) -> Digest {
    let mut layout = HandLayout::new(dir);
    let tar = tar(version);
    let bytes = packed(&tar, compression);
    let layer = layout.blob(&bytes, compression.layer_media_type());
    let manifest = layout.manifest("linux/amd64", &[Digest::of(&tar)], &[layer]);
    let index = layout.index(&[manifest], &json!({"dev.cargo-plugin-build.name": "tool"}));
    layout.tag(&version.to_string(), index);
    Digest::of(&bytes)
}

fn inspected(dir: &Path, image: &str) -> Value {
    let run = run(dir, &["inspect", "--message-format", "json", image]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    serde_json::from_str(&run.stdout).unwrap()
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

#[test]
fn a_layer_comes_back_from_its_delta_byte_for_byte_in_every_compression() {
    for compression in Compression::ALL {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        image(&dir.join("there"), 1, compression);
        let layer = image(&dir.join("here"), 2, compression);
        let told = done(dir, &["copy", "--have", "oci:there", "--delta", "oci:here:2", "oci-archive:delta.tar"]);
        assert!(told.contains(" Delta ") && told.contains(layer.hex()), "{told}");
        assert!(size(&dir.join("delta.tar")) < 14_000, "{}", size(&dir.join("delta.tar")));
        // The same again: nothing of it depends on anything else.
        done(dir, &["copy", "--have", "oci:there", "--delta", "oci:here:2", "oci-archive:again.tar"]);
        assert!(fs::read(dir.join("delta.tar")).unwrap() == fs::read(dir.join("again.tar")).unwrap());

        // Where its base is not, nothing is written, and the base is named.
        let base = Digest::of(&tar(1)).to_string();
        image(&dir.join("other"), 3, compression);
        let other = fs::read(dir.join("other/index.json")).unwrap();
        for target in ["oci:nowhere", "oci:other"] {
            let error = refused(dir, &["copy", "oci-archive:delta.tar:2", &format!("{target}:2")]);
            assert!(error.contains(&base) && error.contains(layer.hex()), "{error}");
        }
        assert!(!dir.join("nowhere").exists() && fs::read(dir.join("other/index.json")).unwrap() == other);

        let told = done(dir, &["copy", "oci-archive:delta.tar:2", "oci:there:2"]);
        assert!(told.contains(" Patched "), "{told}");
        assert_eq!(inspected(dir, "oci:there:2")["digest"], inspected(dir, "oci:here:2")["digest"]);
        let blob = |store: &str| fs::read(dir.join(store).join("blobs/sha256").join(layer.hex())).unwrap();
        assert!(blob("there") == blob("here"));
        done(dir, &["verify", "oci:there:2"]);
        assert_eq!(sorted_listing(&dir.join("there/blobs/sha256")).unwrap().len(), 8, "two images, and no delta");
    }
}

#[test]
fn what_another_tool_compressed_or_nothing_is_like_goes_whole_and_that_is_told() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    image(&dir.join("there"), 1, Compression::Gzip);
    let mut foreign = HandLayout::new(&dir.join("foreign"));
    let manifest = foreign.image("linux/amd64", &[tar(2)], Compression::Gzip);
    let index = foreign.index(&[manifest], &json!({}));
    foreign.tag("2", index);
    let told = done(dir, &["copy", "--have", "oci:there", "--delta", "oci:foreign:2", "oci-archive:delta.tar"]);
    assert!(told.contains(" Whole ") && told.contains("another tool compressed it"), "{told}");
    done(dir, &["copy", "oci-archive:delta.tar:2", "oci:anywhere:2"]);

    // A list of digests has nothing that a delta could be made of.
    fs::write(dir.join("list"), "").unwrap();
    let run = run(dir, &["copy", "--have", "list", "--delta", "oci:foreign:2", "oci-archive:none.tar"]);
    assert!(run.code == 2 && run.stderr.contains("lists digests"), "{}", run.stderr);
}

#[test]
fn a_registry_keeps_deltas_for_whoever_has_the_version_before() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let registry = MemoryRegistry::honest();
    let repository = format!("{}/tool", registry.server.host());
    image(&dir.join("old"), 1, Compression::Gzip);
    let layer = image(&dir.join("new"), 2, Compression::Gzip);
    let remote = |tag: u8| format!("docker://{repository}:{tag}");
    done(dir, &["copy", "oci:old:1", &remote(1)]);
    done(dir, &["copy", "--have", &remote(1), "--delta", "oci:new:2", &remote(2)]);

    let fetched = |dir: &Path, arguments: &[&str]| {
        let before = registry.memory.log().len();
        let told = done(dir, arguments);
        let log = registry.memory.log();
        let whole = log[before..].iter().any(|request| request.method == "GET" && request.path.contains(layer.hex()));
        (whole, told)
    };
    let (first, second) = (format!("{repository}:1"), format!("{repository}:2"));
    done(dir, &["pull", &first, "host"]);
    let (whole, told) = fetched(dir, &["pull", &second, "host"]);
    assert!(!whole && told.contains(" Patched "), "{told}");
    assert_eq!(inspected(dir, "oci:host:2")["digest"], inspected(dir, "oci:new:2")["digest"]);
    done(dir, &["verify", "oci:host:2"]);

    // What there is no base for is read when it is copied, and not before.
    let mut nothing = HandLayout::new(&dir.join("nothing"));
    let index = nothing.index(&[], &json!({}));
    nothing.tag("1", index);
    let before = registry.memory.log().len();
    let told = done(dir, &["copy", "--have", "oci:nothing", "--delta", &remote(2), "oci-archive:whole.tar"]);
    let log = registry.memory.log();
    let read = log[before..].iter().filter(|request| request.method == "GET" && request.path.contains(layer.hex()));
    assert!(read.count() == 1 && told.contains("nothing like it"), "{told}");

    // Whoever has nothing, or wants none, downloads the layer; nobody keeps the delta.
    assert!(fetched(dir, &["pull", &second, "fresh"]).0);
    done(dir, &["pull", &first, "whole"]);
    assert!(fetched(dir, &["pull", "--no-delta", &second, "whole"]).0);
    assert_eq!(sorted_listing(&dir.join("fresh/blobs/sha256")).unwrap().len(), 4);
    // A mirror does.
    done(dir, &["copy", &remote(2), &format!("docker://{}/mirror:2", registry.server.host())]);
    done(dir, &["pull", &format!("{}/mirror:2", registry.server.host()), "old"]);
    assert_eq!(sorted_listing(&dir.join("old/blobs/sha256")).unwrap().len(), 8);
}

#[test]
fn of_many_deltas_only_the_best_is_read_and_the_next_where_it_fails() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let missing: Arc<Mutex<Vec<String>>> = Arc::default();
    let hidden = Arc::clone(&missing);
    let registry = MemoryRegistry::scripted(Quirks::default(), move |request, _| {
        let is_hidden = |hex: &String| request.method == "GET" && request.path.contains(hex);
        hidden.lock().unwrap().iter().any(is_hidden).then(|| Reply::new(404).into())
    });
    let repository = format!("{}/tool", registry.server.host());
    let remote = |tag: u8| format!("docker://{repository}:{tag}");
    let layer = image(&dir.join("new"), 2, Compression::Gzip);
    for version in [1, 3] {
        image(&dir.join(version.to_string()), version, Compression::Gzip);
        done(dir, &["copy", &format!("oci:{version}:{version}"), &remote(version)]);
        done(dir, &["copy", "--have", &format!("oci:{version}"), "--delta", "oci:new:2", &remote(2)]);
    }
    let manifest = inspected(dir, "oci:new:2")["platforms"][0]["manifest"].as_str().unwrap().replace(':', "/");
    let config: Value = serde_json::from_slice(&fs::read(dir.join("new/blobs").join(manifest)).unwrap()).unwrap();
    let config = config["config"]["digest"].as_str().unwrap().to_owned();
    // How many deltas were read, and which blobs beside the configuration.
    let fetched = |host: &str| {
        let before = registry.memory.log().len();
        let told = done(dir, &["pull", &format!("{repository}:2"), host]);
        let log = registry.memory.log();
        let gets = log[before..].iter().filter(|request| request.method == "GET").map(|request| request.path.clone());
        let (documents, mut blobs): (Vec<_>, Vec<_>) = gets.partition(|path| !path.contains("/blobs/"));
        blobs.retain(|path| !path.contains(&config));
        // A blob that is not there is looked for among the manifests; the image's own is one of these.
        let is_there = |path: &&String| !missing.lock().unwrap().iter().any(|hex| path.contains(hex));
        let read = documents.iter().filter(|path| path.contains("/manifests/sha256:")).filter(is_there).count();
        (read - 1, blobs, told)
    };
    // Of two deltas the one whose base is there.
    image(&dir.join("host"), 3, Compression::Gzip);
    let (deltas, blobs, told) = fetched("host");
    assert!(deltas == 1 && told.contains(" Patched "), "{deltas}: {told}");
    assert!(blobs.len() == 1 && !blobs[0].contains(layer.hex()), "{blobs:?}");

    // Where both bases are there, the smallest patch; where that is gone, the next; where all are, the layer.
    for gone in 0..=2 {
        let host = format!("host{gone}");
        for version in [1, 3] {
            done(dir, &["copy", &format!("oci:{version}:{version}"), &format!("oci:{host}:{version}")]);
        }
        let (deltas, blobs, told) = fetched(&host);
        assert_eq!(deltas, (gone + 1).min(2), "{told}");
        assert_eq!(blobs.iter().any(|path| path.contains(layer.hex())), gone == 2, "{blobs:?}");
        assert_eq!(told.contains("is taken whole"), gone == 2, "{told}");
        assert_eq!(inspected(dir, &format!("oci:{host}:2"))["digest"], inspected(dir, "oci:new:2")["digest"]);
        missing.lock().unwrap().extend(blobs.last().and_then(|path| path.rsplit(':').next()).map(str::to_owned));
    }
}

#[test]
fn no_hostile_patch_makes_anything_that_it_should_not() {
    for case in deltas::all() {
        let mut made = Vec::new();
        let patch = Patch::open(&*case.bytes, 1 << 20, &Limits::default());
        let error = patch.and_then(|patch| patch.apply(Cursor::new(BASE), &mut made)).unwrap_err();
        let chain = plugin_oci::failure::Error::from(error).chain().join(": ");
        assert!(chain.contains(case.refusal), "{}: {chain}", case.sentence);
        assert!(made.len() <= 2000, "{}: {} bytes", case.sentence, made.len());
    }
}

/// A layout whose image has no layer but the delta of one, with this patch.
fn with_patch(dir: &Path, layer: &Digest, size: usize, patch: &[u8]) {
    let mut layout = HandLayout::new(dir);
    let compression = Compression::Gzip;
    let descriptor = json!({"mediaType": compression.layer_media_type(), "digest": layer, "size": size});
    let manifest = layout.manifest("linux/amd64", &[Digest::of(&tar(2))], &[descriptor]);
    let index = layout.index(&[manifest], &json!({}));
    let subject = index.clone();
    layout.tag("2", index);
    let mut blob = layout.blob(patch, "application/vnd.cargo-plugin-build.patch.v1+zstd");
    blob["annotations"] = json!({
        "dev.cargo-plugin-build.delta.layer": layer, "dev.cargo-plugin-build.delta.diff-id": Digest::of(&tar(2)),
        "dev.cargo-plugin-build.delta.base": Digest::of(&tar(1)), "dev.cargo-plugin-build.delta.compression": "gzip",
        "dev.cargo-plugin-build.format": "1",
    });
    let artifact_type = "application/vnd.cargo-plugin-build.delta.v1";
    layout.referrer(artifact_type, &subject, &[blob]);
}

#[test]
fn a_delta_that_lies_writes_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    image(&dir.join("there"), 1, Compression::Gzip);
    let index = fs::read(dir.join("there/index.json")).unwrap();
    let (old, wanted) = (tar(1), packed(&tar(2), Compression::Gzip));
    let copies_all = [&[0][..], &deltas::number(old.len() as u64), &[0], &deltas::number(old.len() as u64)].concat();
    // Text that gzip cannot make as small as the layer, while its patch is.
    let much = noise(9, 30_000).repeat(20);
    let inserts = [&[0, 0][..], &deltas::number(much.len() as u64), &[0], &much].concat();
    for (patch, refusal) in [
        (deltas::patch(old.len() as u64, old.len() as u64, &[&copies_all]), "the delta of layer"),
        (deltas::patch(old.len() as u64, much.len() as u64, &[&inserts]), "more than the layer has"),
        (deltas::patch(1, 1, &[&[0, 1, 0, 1]]), "another size"),
    ] {
        let evil = dir.join("evil");
        let _ = fs::remove_dir_all(&evil);
        with_patch(&evil, &Digest::of(&wanted), wanted.len(), &patch);
        let error = refused(dir, &["copy", "oci:evil:2", "oci:there:2"]);
        assert!(error.contains(refusal), "{refusal}: {error}");
        assert!(fs::read(dir.join("there/index.json")).unwrap() == index);
    }
}

#[test]
fn the_golden_patch_of_version_1_makes_what_it_always_made() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/deltas/v1");
    let read = |name: &str| fs::read(golden.join(name)).unwrap();
    let mut made = Vec::new();
    let patch = read("patch");
    Patch::open(&*patch, 1 << 20, &Limits::default()).unwrap().apply(Cursor::new(read("base")), &mut made).unwrap();
    assert!(made == read("made"));
}

#[test]
fn an_update_of_what_is_installed_downloads_what_changed() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let registry = MemoryRegistry::honest();
    let repository = format!("{}/tool", registry.server.host());
    let remote = |tag: u8| format!("docker://{repository}:{tag}");
    image(&dir.join("old"), 1, Compression::Gzip);
    let layer = image(&dir.join("new"), 2, Compression::Gzip);
    done(dir, &["copy", "oci:old:1", &remote(1)]);
    done(dir, &["copy", "--have", "oci:old", "--delta", "oci:new:2", &remote(2)]);
    let (first, second) = (format!("{repository}:1"), format!("{repository}:2"));
    let installed = |plugins: &str, image: &str, more: &[&str]| {
        let before = registry.memory.log().len();
        let words = [&["install", "--platform", "linux/amd64", image, plugins][..], more].concat();
        let told = done(dir, &words);
        let whole = registry.memory.log()[before..].iter().any(|one| one.method == "GET" && one.path.contains(layer.hex()));
        assert!(image != second || fs::read(dir.join(plugins).join("tool/bin/tool")).unwrap() == program(2));
        (whole, told)
    };
    for plugins in ["host", "changed", "whole"] {
        installed(plugins, &first, &[]);
    }
    let (whole, told) = installed("host", &second, &[]);
    assert!(!whole && told.contains(" Patched "), "{told}");
    assert!(installed("whole", &second, &["--no-delta"]).0);
    // What was changed is no base: the layer comes whole, and that is told.
    let changed = fs::canonicalize(dir.join("changed/tool/bin/tool")).unwrap();
    fs::write(changed, b"changed").unwrap();
    let (whole, told) = installed("changed", &second, &[]);
    assert!(whole && told.contains("is taken whole"), "{told}");
    assert!(installed("fresh", &second, &[]).0);
}
