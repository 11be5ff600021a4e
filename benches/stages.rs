//! How long each stage takes, alone, from files to a layer and from a layer to files: `cargo bench --bench stages`.
//!
//! Throughput counts the bytes of the tar. The payload is half code-like bytes, a quarter text and a quarter noise.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::OnceLock;
use std::thread::available_parallelism;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use plugin_build::images;
use plugin_build::images::unpack::{UnpackOptions, unpack};
use plugin_oci::documents::Descriptor;
use plugin_oci::documents::image::{Image, Layer, Settings};
use plugin_oci::layers::pack::{self, Packed, Packer};
use plugin_oci::layers::tree::{Mode, Tree};
use plugin_oci::layers::unpack::ExtractOptions;
use plugin_oci::progress::Silent;
use plugin_oci::stores::layout::{Layout, LayoutWriter, Obsolete};
use plugin_oci::stores::staged::Bundle;
use plugin_oci::stores::{Selector, copy};
use plugin_oci::values::compression::Compression;
use plugin_oci::values::epoch::Epoch;
use plugin_oci::values::platform::Platform;

const SIZES: [usize; 4] = [1, 16, 256, 1024];
const FILES: usize = 100_000;

fn main() {
    divan::main();
}

/// Tar and diff id: what an unchanged layer costs.
#[divan::bench(args = SIZES, sample_count = 10, max_time = 20)]
fn tar_and_hash(bencher: Bencher, mebibytes: usize) {
    let tree = payload(mebibytes);
    bencher.counter(BytesCount::new(mebibytes << 20)).bench_local(|| pack::diff_id(&tree, Epoch::default()).expect("a diff id"));
}

/// The whole way to a blob that nobody keeps.
#[divan::bench(args = SIZES, consts = [0, 1, 2], sample_count = 10, max_time = 20)]
fn pack<const COMPRESSION: usize>(bencher: Bencher, mebibytes: usize) {
    let tree = payload(mebibytes);
    let packer = packer(Compression::ALL[COMPRESSION], available_parallelism().expect("a number of cores"));
    bencher.counter(BytesCount::new(mebibytes << 20)).bench_local(|| {
        packer.pack("layer", &tree, &mut std::io::sink(), &Silent).expect("a layer");
    });
}

/// One layer with more and more threads.
#[divan::bench(args = [1, 2, 3, 4], sample_count = 10, max_time = 20)]
fn gzip_workers(bencher: Bencher, workers: usize) {
    let tree = payload(64);
    let packer = packer(Compression::Gzip, NonZeroUsize::new(workers).expect("at least one"));
    bencher.counter(BytesCount::new(64_usize << 20)).bench_local(|| {
        packer.pack("layer", &tree, &mut std::io::sink(), &Silent).expect("a layer");
    });
}

/// Collecting and checking the entries of a hundred thousand files.
#[divan::bench(sample_count = 5, max_time = 20)]
fn tree_of_100_000_files(bencher: Bencher) {
    let root = many_files();
    bencher.counter(ItemsCount::new(FILES)).bench_local(|| tree_of(root));
}

/// Reading a hundred thousand files into a tar, and hashing it.
#[divan::bench(sample_count = 5, max_time = 30)]
fn tar_and_hash_of_100_000_files(bencher: Bencher) {
    let tree = tree_of(many_files());
    bencher.counter(ItemsCount::new(FILES)).bench_local(|| pack::diff_id(&tree, Epoch::default()).expect("a diff id"));
}

/// A packed layer and its documents, written to a new layout.
#[divan::bench(args = [1, 16, 256], sample_count = 10, max_time = 20)]
fn layout_commit(bencher: Bencher, mebibytes: usize) {
    let made = Made::new(mebibytes);
    let counter = BytesCount::new(made.bytes.len());
    bencher.counter(counter).with_inputs(folder).bench_local_refs(|folder| made.commit(&folder.path().join("layout")));
}

/// Every digest, size, diff id and rule of a layout.
#[divan::bench(args = [1, 16, 256], sample_count = 10, max_time = 20)]
fn verify_layout(bencher: Bencher, mebibytes: usize) {
    let folder = folder();
    let layout = folder.path().join("layout");
    Made::new(mebibytes).commit(&layout);
    bencher.counter(BytesCount::new(mebibytes << 20)).bench_local(|| {
        let report = images::verify::layout(&layout, &Silent).expect("a report");
        assert!(report.findings.is_empty(), "{:?}", report.findings);
    });
}

/// One platform as a directory.
#[divan::bench(args = [1, 16, 256], sample_count = 10, max_time = 20)]
fn unpack_image(bencher: Bencher, mebibytes: usize) {
    let source = folder();
    let layout = source.path().join("layout");
    Made::new(mebibytes).commit(&layout);
    let layout = Layout::open(&layout).expect("a layout");
    bencher.counter(BytesCount::new(mebibytes << 20)).with_inputs(folder).bench_local_refs(|folder| {
        let options = UnpackOptions {
            selector: Selector::Only,
            platform: platform(),
            target: folder.path().join("out"),
            extract: ExtractOptions::default(),
        };
        unpack(&layout, &options, &Silent).expect("a directory")
    });
}

/// A layer in memory.
struct Made {
    packed: Packed,
    bytes: Vec<u8>,
}

impl Made {
    fn new(mebibytes: usize) -> Self {
        let packer = packer(Compression::Gzip, available_parallelism().expect("a number of cores"));
        let mut bytes = Vec::new();
        let packed = packer.pack("layer", &payload(mebibytes), &mut bytes, &Silent).expect("a layer");
        Self { packed, bytes }
    }

    fn commit(&self, layout: &Path) {
        let Packed { diff_id, digest, size, .. } = self.packed.clone();
        let writer = LayoutWriter::new(layout, Obsolete::Keep, &Silent).expect("a layout");
        let mut temp = writer.temp().expect("a file");
        temp.write_all(&self.bytes).expect("space");
        let descriptor = Descriptor::new(Compression::Gzip.layer_media_type(), digest.clone(), size);
        let settings = Settings {
            platform: platform(),
            epoch: Epoch::default(),
            entrypoint: vec!["/code".to_owned()],
            execution: plugin_oci::documents::image::Execution::default(),
            annotations: BTreeMap::new(),
            base: None,
        };
        let image = Image::assemble(&settings, vec![Layer { descriptor, diff_id }]).expect("an image");
        let mut bundle = Bundle::of_manifest(&image);
        bundle.add_staged(digest, temp);
        let options = copy::CopyOptions { tags: vec!["1".parse().unwrap()], ..copy::CopyOptions::default() };
        copy::copy(&bundle, &writer, bundle.root(), &options, &Silent).expect("a layout");
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder")
}

fn platform() -> Platform {
    "linux/amd64".parse().expect("a platform")
}

fn packer(compression: Compression, workers: NonZeroUsize) -> Packer {
    Packer { compression, epoch: Epoch::default(), workers }
}

fn payload(mebibytes: usize) -> Tree {
    let noise = noise(mebibytes << 20);
    let (code, rest) = noise.split_at(noise.len() / 2);
    let (text, noise) = rest.split_at(rest.len() / 2);
    let code: Vec<u8> = code.iter().map(|byte| byte & (byte >> 3)).collect();
    let words = ["the plugin", " says ", "hello to ", "\n", "whoever", " calls", ", and then"];
    let text: Vec<u8> = text.iter().flat_map(|byte| words[usize::from(*byte) % words.len()].bytes()).take(text.len()).collect();
    let mut builder = Tree::builder();
    for (name, bytes) in [("code", code), ("text", text), ("noise", noise.to_vec())] {
        builder.bytes(name, Mode::PLAIN, bytes).expect("a good name");
    }
    builder.finish().expect("a good tree")
}

/// Bytes that look random and are the same everywhere (xorshift64*).
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes()
    };
    let mut bytes: Vec<u8> = (0..size.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(size);
    bytes
}

/// A folder of a thousand folders of a hundred files, made once.
fn many_files() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for group in 0..FILES / 100 {
            let group = folder.path().join(format!("{group:04}"));
            fs::create_dir(&group).expect("a folder");
            for file in 0..100 {
                fs::write(group.join(format!("{file:02}.txt")), format!("asset {file}\n")).expect("a file");
            }
        }
        folder
    });
    folder.path()
}

fn tree_of(root: &Path) -> Tree {
    let mut builder = Tree::builder();
    for entry in walkdir::WalkDir::new(root).min_depth(1) {
        let entry = entry.expect("a readable folder");
        let at = entry.path().strip_prefix(root).expect("a path below the root");
        builder.disk(at, Mode::PLAIN, entry.path()).expect("an entry");
    }
    builder.finish().expect("a good tree")
}
