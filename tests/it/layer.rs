//! Layers as anyone reads them: golden digests, foreign tools, and bytes that nothing outside the tree can change.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;

use plugin_oci::layers::pack::{LayerError, Packed, Packer, diff_id};
use plugin_oci::layers::tree::{Content, Entry, Mode, Tree, TreeBuilder};
use plugin_oci::progress::Silent;
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;
use plugin_oci::values::epoch::Epoch;
use proptest::prelude::*;

use crate::support::tools;
use crate::support::trees;

fn packer(compression: Compression, workers: usize) -> Packer {
    Packer { compression, epoch: Epoch::default(), workers: NonZeroUsize::new(workers).unwrap() }
}

fn pack(with: &Packer, tree: &Tree) -> (Packed, Vec<u8>) {
    let mut bytes = Vec::new();
    let packed = with.pack("layer", tree, &mut bytes, &Silent).unwrap();
    (packed, bytes)
}

fn unpacked(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    match compression {
        Compression::Gzip => drop(flate2::bufread::GzDecoder::new(bytes).read_to_end(&mut tar).unwrap()),
        Compression::Zstd => drop(zstd::Decoder::new(bytes).unwrap().read_to_end(&mut tar).unwrap()),
        Compression::None => tar.extend_from_slice(bytes),
    }
    tar
}

#[test]
fn golden_digests_hold() {
    let mut found = String::new();
    for (name, tree) in trees::all() {
        for compression in Compression::ALL {
            let (packed, _) = pack(&packer(compression, 2), &tree);
            writeln!(found, "{name} {compression} {} {}", packed.digest, packed.size).unwrap();
        }
    }
    let golden = fs::read_to_string(trees::folder().join("golden.txt")).unwrap_or_default();
    assert!(
        found == golden,
        "fixtures/trees/golden.txt says\n{golden}\nbut the layers are\n{found}\nOther bytes are another format."
    );
}

#[test]
fn what_is_reported_is_what_was_written() {
    for (name, tree) in trees::all() {
        for compression in Compression::ALL {
            let (packed, bytes) = pack(&packer(compression, 2), &tree);
            let tar = unpacked(compression, &bytes);
            assert_eq!(packed.digest, Digest::of(&bytes), "{name} {compression}");
            assert_eq!(packed.diff_id, Digest::of(&tar), "{name} {compression}");
            assert_eq!((packed.size, packed.tar_size), (bytes.len() as u64, tar.len() as u64), "{name} {compression}");
            assert_eq!(packed.diff_id, diff_id(&tree, Epoch::default()).unwrap(), "{name}");
        }
    }
}

/// Takes only so many bytes at a time.
struct Choosy(usize, Vec<u8>);

impl Write for Choosy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.write(&bytes[..bytes.len().min(self.0)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn neither_workers_nor_the_size_of_writes_change_a_byte() {
    let tree = trees::blocks();
    for compression in Compression::ALL {
        let (expected, bytes) = pack(&packer(compression, 1), &tree);
        for workers in [1, 2, 3, 4, 7] {
            let mut out = Choosy(workers * 1009, Vec::new());
            let packed = packer(compression, workers).pack("layer", &tree, &mut out, &Silent).unwrap();
            assert_eq!(packed, expected, "{compression} with {workers}");
            assert!(out.1 == bytes, "{compression} with {workers}");
        }
    }
}

#[test]
#[ignore = "needs gzip, zstd, tar, bsdtar and python3"]
fn gzip_and_zstd_themselves_accept_the_layers() {
    let folder = tempfile::tempdir().unwrap();
    for (tool, compression) in [("gzip", Compression::Gzip), ("zstd", Compression::Zstd)] {
        let Some(tool) = tools::require(tool) else { return };
        for (name, tree) in trees::all() {
            let file = folder.path().join(name);
            let (packed, bytes) = pack(&packer(compression, 2), &tree);
            fs::write(&file, bytes).unwrap();
            let output = Command::new(&tool).arg("-dc").stdin(fs::File::open(&file).unwrap()).output().unwrap();
            assert!(output.status.success(), "{name}");
            assert_eq!(Digest::of(&output.stdout), packed.diff_id, "{name}");
        }
    }
}

#[test]
#[ignore = "needs tar"]
fn gnu_tar_bsdtar_and_python_list_the_same_names() {
    let folder = tempfile::tempdir().unwrap();
    for (name, tree) in trees::all() {
        let file = folder.path().join(name);
        fs::write(&file, pack(&packer(Compression::None, 1), &tree).1).unwrap();
        let expected = lines(&tree, slash);
        if let Some(tar) = tools::require("tar") {
            let mut list = Command::new(tar);
            list.env("LC_ALL", "C.UTF-8").args(["--quoting-style=literal", "-tf"]).arg(&file);
            assert_eq!(tools::stdout(&mut list), expected, "GNU tar, {name}");
        }
        if let Some(bsdtar) = tools::require("bsdtar") {
            let mut list = Command::new(bsdtar);
            list.env("LC_ALL", "C.UTF-8").arg("-tf").arg(&file);
            let escaped = expected.replace('\\', r"\\"); // as bsdtar prints a backslash
            assert_eq!(tools::stdout(&mut list), escaped, "bsdtar, {name}");
        }
        if let Some(python) = tools::require("python3") {
            let mut list = Command::new(python);
            list.env("PYTHONIOENCODING", "utf-8").args(["-c", PYTHON_LIST]).arg(&file);
            assert_eq!(tools::stdout(&mut list), lines(&tree, fields), "tarfile, {name}");
        }
    }
}

const PYTHON_LIST: &str = "
import sys, tarfile
for m in tarfile.open(sys.argv[1]):
    assert (m.uid, m.gid, m.uname, m.gname, m.mtime) == (0, 0, '', '', 0), m.name
    print(m.name, m.type.decode(), oct(m.mode), m.size, m.linkname, sep='|')
";

fn lines(tree: &Tree, rest: fn(&Entry) -> String) -> String {
    tree.iter().flat_map(|(path, entry)| [path.to_owned(), rest(entry), "\n".to_owned()]).collect()
}

fn slash(entry: &Entry) -> String {
    if *entry == Entry::Directory { "/".to_owned() } else { String::new() }
}

fn fields(entry: &Entry) -> String {
    match entry {
        Entry::Directory => "|5|0o755|0|".to_owned(),
        Entry::File { mode, content } => format!("|0|0o{:o}|{}|", mode.bits(), content.size()),
        Entry::Symlink { target } => format!("|2|0o777|0|{target}"),
    }
}

#[test]
#[ignore = "needs gzip, zstd, tar, bsdtar and python3"]
fn foreign_tools_extract_what_went_in() {
    for tool in ["tar", "bsdtar"] {
        let Some(program) = tools::require(tool) else { continue };
        for (name, tree) in trees::all() {
            let folder = tempfile::tempdir().unwrap();
            let layer = folder.path().join("layer");
            fs::write(&layer, pack(&packer(Compression::Gzip, 2), &tree).1).unwrap();
            let root = folder.path().join("root");
            fs::create_dir(&root).unwrap();
            let mut extract = Command::new(&program);
            extract.env("LC_ALL", "C.UTF-8").arg("-xzf").arg(&layer).arg("-C").arg(&root);
            assert_eq!(tools::stdout(&mut extract), "", "{tool}, {name}");
            tree.iter().for_each(|(path, entry)| assert_extracted(&root.join(path), entry));
        }
    }
}

fn assert_extracted(path: &Path, entry: &Entry) {
    match entry {
        Entry::Directory => assert!(path.is_dir(), "{}", path.display()),
        Entry::Symlink { target } => assert_eq!(fs::read_link(path).unwrap(), Path::new(target), "{}", path.display()),
        Entry::File { content, .. } => {
            let expected = match content {
                Content::Memory(bytes) => bytes.to_vec(),
                Content::Disk { path, .. } => fs::read(path).unwrap(),
            };
            assert!(fs::read(path).unwrap() == expected, "{}", path.display());
        }
    }
}

#[test]
#[ignore = "needs python3"]
fn times_beyond_ustar_are_read_back_whole() {
    let Some(python) = tools::require("python3") else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("late.tar");
    for seconds in ["8589934591", "8589934592", "253402300799"] {
        let packer = Packer { epoch: Epoch::parse(seconds).unwrap(), ..packer(Compression::None, 1) };
        fs::write(&file, pack(&packer, &trees::of_folder("site")).1).unwrap();
        let script = "import sys, tarfile\nprint(*{int(m.mtime) for m in tarfile.open(sys.argv[1])})";
        let times = tools::stdout(Command::new(&python).args(["-c", script]).arg(&file));
        assert_eq!(times.trim(), seconds);
    }
}

#[test]
fn a_file_that_changed_since_the_tree_was_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.txt");
    for (now, later) in [("ab", "abc"), ("ab", "a"), ("", "x")] {
        fs::write(&file, now).unwrap();
        let mut builder = Tree::builder();
        builder.disk("log.txt", Mode::PLAIN, &file).unwrap();
        let tree = builder.finish().unwrap();
        fs::write(&file, later).unwrap();
        let error = packer(Compression::Gzip, 1).pack("layer", &tree, &mut io::sink(), &Silent).unwrap_err();
        assert_eq!(error.to_string(), format!("changed while packing: {}", file.display()));
        assert!(matches!(diff_id(&tree, Epoch::default()), Err(LayerError::Changed { .. })));
    }
}

struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_ends_the_work_at_once_with_its_own_error() {
    for compression in Compression::ALL {
        for room in [0, 100_000, 1_000_000] {
            let error = packer(compression, 2).pack("layer", &trees::blocks(), &mut Full(room), &Silent).unwrap_err();
            assert!(matches!(&error, LayerError::Write { source } if source.kind() == io::ErrorKind::StorageFull), "{error:?}");
        }
    }
}

fn entries() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    let content = proptest::collection::vec(any::<u8>(), 0..2000);
    proptest::collection::btree_map("[a-dA-D]{1,3}(/[a-z é]{1,60}){0,6}x", content, 1..20)
}

fn build(entries: &[(&String, &Vec<u8>)]) -> Option<Tree> {
    let mut builder = TreeBuilder::default();
    for (path, content) in entries {
        builder.bytes(path, Mode::PLAIN, content.as_slice()).ok()?;
    }
    builder.finish().ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_insertion_is_lost(entries in entries(), seed in any::<u64>()) {
        let mut shuffled: Vec<_> = entries.iter().collect();
        let sorted = build(&shuffled);
        shuffled.sort_by_key(|(path, _)| Digest::of(format!("{seed}{path}").as_bytes()));
        let shuffled = build(&shuffled);
        prop_assert_eq!(sorted.is_some(), shuffled.is_some());
        if let (Some(sorted), Some(shuffled)) = (sorted, shuffled) {
            let packer = packer(Compression::Gzip, 1);
            prop_assert_eq!(pack(&packer, &sorted), pack(&packer, &shuffled));
        }
    }

    #[test]
    fn every_content_comes_back(content in proptest::collection::vec(any::<u8>(), 0..100_000), times in 1_usize..12) {
        let content: Vec<u8> = content.iter().copied().cycle().take(content.len() * times).collect();
        let tree = build(&[(&"f".to_owned(), &content)]).unwrap();
        for compression in Compression::ALL {
            let (_, bytes) = pack(&packer(compression, 2), &tree);
            prop_assert!(unpacked(compression, &bytes)[512..].starts_with(&content));
        }
    }
}
