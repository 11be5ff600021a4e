//! Applying layers to a directory, and reading them.

use std::fs;
use std::io::{Cursor, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use plugin_oci::fs::sorted_listing;
use plugin_oci::layers::unpack::{
    ExtractError, ExtractOptions, Extraction, Kind, LayerInput, Limits, Rules, UnpackReport, read_entries,
};
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::{Algorithm, Digest, Hasher};

use crate::support::hostile::archive::Archive;
use crate::support::layouts::{HandLayout, gzip, zstd};
use crate::support::tools::{require, stdout};

pub fn layer(tar: Vec<u8>) -> LayerInput<'static> {
    let diff_id = Some(Digest::of(&tar));
    LayerInput { reader: Box::new(Cursor::new(tar)), compression: Compression::None, diff_id }
}

fn unpack(target: &Path, layers: Vec<Vec<u8>>) -> Result<UnpackReport, ExtractError> {
    let mut extraction = Extraction::begin(target, ExtractOptions::default())?;
    for tar in layers {
        extraction = extraction.apply(layer(tar))?;
    }
    extraction.commit()
}

fn strict() -> ExtractOptions {
    ExtractOptions { rules: Rules::Strict, ..ExtractOptions::default() }
}

fn compressed(compression: Compression, bytes: Vec<u8>, diff_id: Option<Digest>) -> LayerInput<'static> {
    LayerInput { reader: Box::new(Cursor::new(bytes)), compression, diff_id }
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn content_modes_times_and_links_come_out_as_the_archive_says() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("made/on/the/way/out");
    let tar = Archive::new()
        .dir_with("bin/", 0o555)
        .file_with("bin/tool", b"tool", 0o755)
        .file_with("secret", b"", 0o000)
        .file_with("setuid", b"x", 0o6755)
        .dir_with("tmp/", 0o1777)
        .file("implied/parent/file", b"y")
        .symlink("absolute", "/etc/passwd")
        .hard_link("tool-too", "bin/tool")
        .pax(&[("mtime", "1234567890.25"), ("SCHILY.xattr.security.capability", "x")])
        .file("timed", b"z")
        .end();
    let report = unpack(&target, vec![tar]).unwrap();
    assert_eq!(fs::read(target.join("bin/tool")).unwrap(), b"tool");
    assert_eq!(mode(target.join("bin")), 0o555);
    assert_eq!(mode(target.join("bin/tool")), 0o755);
    assert_eq!(mode(target.join("secret")), 0);
    assert_eq!(mode(target.join("setuid")), 0o755);
    assert_eq!(mode(target.join("tmp")), 0o1777);
    assert_eq!(mode(target.join("implied/parent")), 0o755);
    assert_eq!(mode(&target), 0o755);
    assert_eq!(fs::read_link(target.join("absolute")).unwrap(), Path::new("/etc/passwd"));
    assert_eq!(fs::metadata(target.join("bin/tool")).unwrap().ino(), fs::metadata(target.join("tool-too")).unwrap().ino());
    for name in ["bin", "bin/tool", "absolute", "tmp"] {
        assert_eq!(fs::symlink_metadata(target.join(name)).unwrap().mtime(), 1_000_000_000, "{name}");
    }
    let timed = fs::metadata(target.join("timed")).unwrap();
    assert_eq!((timed.mtime(), timed.mtime_nsec()), (1_234_567_890, 250_000_000));
    assert_eq!((report.counts.files, report.counts.dropped_modes, report.counts.dropped_xattrs), (5, 1, 1));
    assert_eq!(sorted_listing(target.parent().unwrap()).unwrap(), ["out"], "nothing else is left beside it");
}

#[test]
fn whiteouts_hide_lower_layers_and_never_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("out");
    let lower = Archive::new()
        .dir("a/")
        .file("a/gone", b"1")
        .file("a/stays", b"1")
        .dir("opaque/")
        .file("opaque/old", b"1")
        .dir("opaque/sub/")
        .file("opaque/sub/old", b"1")
        .dir("both/")
        .file("both/old", b"1")
        .file("file-to-dir", b"1")
        .dir("dir-to-file/")
        .file("dir-to-file/x", b"1")
        .file("replaced", b"1")
        .hard_link("other-name", "replaced")
        .end();
    let upper = Archive::new().file("a/.wh.gone", b"").file("a/.wh.never-was", b"").file(".wh.nor-this/never", b"").end();
    assert!(unpack(&target, vec![lower.clone(), upper]).is_err(), "a directory named as a whiteout");
    assert!(!target.exists());
    let upper = Archive::new()
        .file("a/.wh.gone", b"")
        .file("a/.wh.never-was", b"")
        .file("nowhere/.wh.x", b"")
        .dir("opaque/")
        .file("opaque/sub/new", b"2")
        .file("opaque/.wh..wh..opq", b"")
        .file("both/new", b"2")
        .file(".wh.both", b"")
        .dir("file-to-dir/")
        .file("file-to-dir/x", b"2")
        .file("dir-to-file", b"2")
        .file("replaced", b"2")
        .end();
    unpack(&target, vec![lower, upper]).unwrap();
    let mut found: Vec<String> = walkdir::WalkDir::new(&target)
        .min_depth(1)
        .into_iter()
        .map(|entry| entry.unwrap().path().strip_prefix(&target).unwrap().to_str().unwrap().to_owned())
        .collect();
    found.sort();
    let expected = [
        "a",
        "a/stays",
        "both",
        "both/new",
        "dir-to-file",
        "file-to-dir",
        "file-to-dir/x",
        "opaque",
        "opaque/sub",
        "opaque/sub/new",
        "other-name",
        "replaced",
    ];
    assert_eq!(found, expected);
    assert_eq!(fs::read(target.join("other-name")).unwrap(), b"1", "a replaced file is not written into");
    assert_eq!(fs::read(target.join("replaced")).unwrap(), b"2");
}

#[test]
fn links_among_parents_are_resolved_inside_the_new_directory() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("out");
    let tar = Archive::new()
        .dir("run/")
        .dir("./var/")
        .symlink("./var/run", "/run")
        .symlink("up", "../../../../run")
        .file("var/run/a", b"1")
        .file("/up/deep/er/b", b"2")
        .hard_link("c", "/var/run/a")
        .end();
    unpack(&target, vec![tar.clone()]).unwrap();
    assert_eq!(fs::read(target.join("run/a")).unwrap(), b"1");
    assert_eq!(fs::read(target.join("run/deep/er/b")).unwrap(), b"2");
    assert_eq!(fs::read(target.join("c")).unwrap(), b"1");
    let again = Archive::new().dir("run/").symlink("var", "/run").file("run/x", b"1").file("var/x", b"2").end();
    let error = unpack(&dir.path().join("two"), vec![again]).unwrap_err();
    assert_eq!(error.rule(), Some("duplicate-entry"), "one file by two ways: {error:?}");
    let strictly = Archive::new().dir("run/").symlink("var", "run").file("var/x", b"2").end();
    let extraction = Extraction::begin(&dir.path().join("three"), strict()).unwrap();
    assert_eq!(extraction.apply(layer(strictly)).err().unwrap().rule(), Some("entry-parent"));
}

#[test]
fn small_and_large_files_hold_what_the_archive_says_also_those_with_two_names_and_those_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("out");
    let sizes = [0, 1, 511, 512, 4096, 65_535, 65_536, 65_537, 300_000];
    let content = |layer: usize, number: usize| {
        let size = sizes[number % sizes.len()];
        format!("{layer}-{number};").into_bytes().into_iter().cycle().take(size).collect::<Vec<u8>>()
    };
    let name = |number: usize| format!("{}/{number}", number % 7);
    let lower = (0..300).fold(Archive::new(), |archive, number| {
        archive.file(&name(number), &content(1, number)).hard_link(&format!("too/{number}"), &name(number))
    });
    let upper = (0..300).step_by(3).fold(Archive::new(), |archive, number| archive.file(&name(number), &content(2, number)));
    let report = unpack(&target, vec![lower.end(), upper.end()]).unwrap();
    assert_eq!((report.counts.files, report.counts.hard_links), (400, 300));
    for number in 0..300 {
        let layer = if number % 3 == 0 { 2 } else { 1 };
        assert!(fs::read(target.join(name(number))).unwrap() == content(layer, number), "{number}");
        assert!(fs::read(target.join(format!("too/{number}"))).unwrap() == content(1, number), "{number}");
        assert_eq!(mode(target.join(name(number))), 0o644);
    }
}

#[test]
fn a_failure_leaves_nothing_and_a_full_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("not/yet/there");
    let good = Archive::new().dir_with("closed/", 0o000).file("closed/x", b"1").end();
    let mut layer_of_other = layer(good.clone());
    layer_of_other.diff_id = Some(Digest::of(b"other"));
    let extraction = Extraction::begin(&target, ExtractOptions::default()).unwrap();
    let error = extraction.apply(layer_of_other).err().unwrap();
    assert_eq!(error.rule(), Some("diff-id-mismatch"));
    assert_eq!(sorted_listing(dir.path()).unwrap().len(), 0, "parents made on the way are gone too");
    drop(Extraction::begin(&target, ExtractOptions::default()).unwrap().apply(layer(good.clone())).unwrap());
    assert_eq!(sorted_listing(dir.path()).unwrap().len(), 0);
    fs::create_dir_all(&target).unwrap();
    unpack(&target, vec![good.clone()]).unwrap();
    assert_eq!(mode(target.join("closed")), 0);
    let error = unpack(&target, vec![good.clone()]).unwrap_err();
    assert!(matches!(error, ExtractError::Destination { .. }), "{error:?}");
    std::os::unix::fs::symlink(&target, dir.path().join("link")).unwrap();
    assert!(unpack(&dir.path().join("link"), vec![good]).is_err());
}

#[test]
fn what_a_killed_extraction_left_is_swept_and_a_living_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let living = Extraction::begin(&dir.path().join("living"), ExtractOptions::default()).unwrap();
    let leftover = dir.path().join(".plugin-build-unpack-killed");
    fs::create_dir_all(leftover.join("some/thing")).unwrap();
    fs::set_permissions(leftover.join("some"), fs::Permissions::from_mode(0o000)).unwrap();
    unpack(&dir.path().join("out"), vec![Archive::new().end()]).unwrap();
    assert!(!leftover.exists());
    living.apply(layer(Archive::new().file("a", b"b").end())).unwrap().commit().unwrap();
    assert_eq!(fs::read(dir.path().join("living/a")).unwrap(), b"b");
}

#[test]
fn every_compression_is_read_whole_and_checked() {
    let tar = Archive::new().file("a", &vec![7; 1_000_000]).dir("b/").end();
    let (half, rest) = tar.split_at(700_000);
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"skip"].concat();
    let good = [
        (Compression::None, tar.clone()),
        (Compression::Gzip, gzip(&tar)),
        (Compression::Gzip, [gzip(half), gzip(rest)].concat()),
        (Compression::Zstd, zstd(&tar)),
        (Compression::Zstd, [zstd(half), skippable.clone(), zstd(rest), skippable.clone()].concat()),
    ];
    for (compression, bytes) in good {
        let mut files = Vec::new();
        let facts = read_entries(compressed(compression, bytes, Some(Digest::of(&tar))), &strict(), &mut |entry, body| {
            let mut content = Vec::new();
            body.read_to_end(&mut content)?;
            files.push((entry.path.clone(), entry.kind.clone(), content.len()));
            Ok(())
        })
        .unwrap();
        assert_eq!(files, [("a".to_owned(), Kind::File, 1_000_000), ("b".to_owned(), Kind::Directory, 0)]);
        assert_eq!((facts.tar_size, facts.entries, facts.diff_id), (tar.len() as u64, 2, Digest::of(&tar)));
    }
    let bad = [
        ("gzip with a tail", Compression::Gzip, [gzip(&tar), b"tail".to_vec()].concat()),
        ("gzip with zeros after it", Compression::Gzip, [gzip(&tar), vec![0; 512]].concat()),
        ("half a gzip", Compression::Gzip, gzip(&tar)[..500].to_vec()),
        ("gzip without its trailer", Compression::Gzip, gzip(&tar).split_last_chunk::<4>().unwrap().0.to_vec()),
        ("nothing as gzip", Compression::Gzip, Vec::new()),
        ("zstd as gzip", Compression::Gzip, zstd(&tar)),
        ("zstd with a tail", Compression::Zstd, [zstd(&tar), b"tail".to_vec()].concat()),
        ("half a zstd", Compression::Zstd, zstd(&tar)[..50].to_vec()),
        ("nothing as zstd", Compression::Zstd, Vec::new()),
        ("zstd with a skippable frame only", Compression::Zstd, skippable),
        ("gzip as zstd", Compression::Zstd, gzip(&tar)),
        ("gzip as a tar", Compression::None, gzip(&tar)),
        ("nothing as a tar", Compression::None, Vec::new()),
    ];
    for (what, compression, bytes) in bad {
        let read = read_entries(compressed(compression, bytes, None), &ExtractOptions::default(), &mut |_, _| Ok(()));
        assert!(read.is_err(), "{what}: {read:?}");
    }
}

#[test]
fn a_sha512_diff_id_is_checked_with_its_own_algorithm() {
    let tar = Archive::new().end();
    let mut hasher = Hasher::with(Algorithm::Sha512);
    hasher.update(&tar);
    let diff_id = hasher.finish();
    let read = read_entries(compressed(Compression::None, tar, Some(diff_id.clone())), &strict(), &mut |_, _| Ok(()));
    assert_eq!(read.unwrap().diff_id, diff_id);
}

#[test]
fn every_limit_can_be_reached_and_raised() {
    let tar = Archive::new().file("some/long/path", &vec![0; 4 << 20]).file("b", b"").end();
    let with = |limits: Limits| {
        let layer = compressed(Compression::Gzip, gzip(&tar), None);
        let options = ExtractOptions { limits, rules: Rules::Foreign };
        let dir = tempfile::tempdir().unwrap();
        Extraction::begin(&dir.path().join("x"), options).unwrap().apply(layer).and_then(Extraction::commit)
    };
    assert!(with(Limits::default()).is_ok());
    let limits = [
        Limits { unpacked_bytes: 4 << 20, ..Limits::default() },
        Limits { ratio_from: 1 << 20, ..Limits::default() },
        Limits { entries: 3, ..Limits::default() },
        Limits { path_bytes: 10, ..Limits::default() },
        Limits { depth: 2, ..Limits::default() },
        Limits { directory_bytes: 100, ..Limits::default() },
    ];
    for limits in limits {
        let error = with(limits.clone()).unwrap_err();
        assert_eq!(error.rule(), Some("limit"), "{limits:?}: {error:?}");
    }
    assert!(with(Limits { ratio_from: 1 << 20, ratio: 2000, entries: 4, ..Limits::default() }).is_ok());
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(24).unwrap();
    encoder.include_contentsize(false).unwrap();
    encoder.write_all(&tar).unwrap();
    let wide = encoder.finish().unwrap();
    let read = |limits| {
        let options = ExtractOptions { limits, rules: Rules::Foreign };
        read_entries(compressed(Compression::Zstd, wide.clone(), None), &options, &mut |_, _| Ok(()))
    };
    assert!(read(Limits::default()).is_err(), "a window of 16 MiB");
    assert!(read(Limits { zstd_window_log: 24, ..Limits::default() }).is_ok());
}

/// Everything that can be told about a tree: one line per path.
fn describe(root: &Path) -> Vec<String> {
    let mut first_of_inode = std::collections::BTreeMap::new();
    let walk = walkdir::WalkDir::new(root).sort_by_file_name();
    let lines = walk.into_iter().map(|entry| {
        let entry = entry.unwrap();
        let metadata = entry.path().symlink_metadata().unwrap();
        let path = entry.path().strip_prefix(root).unwrap().display().to_string();
        let what = if metadata.is_symlink() {
            format!("-> {}", fs::read_link(entry.path()).unwrap().display())
        } else if metadata.is_dir() {
            "/".to_owned()
        } else {
            let first = first_of_inode.entry(metadata.ino()).or_insert_with(|| path.clone());
            format!("{} as {first}", Digest::of(&fs::read(entry.path()).unwrap()).short())
        };
        format!("{path} {what} {:o} {}.{:09}", metadata.mode(), metadata.mtime(), metadata.mtime_nsec())
    });
    lines.collect()
}

#[test]
#[ignore = "needs umoci"]
fn whiteouts_and_opaque_directories_end_as_in_umoci() {
    let Some(umoci) = require("umoci") else { return };
    let lower = Archive::new()
        .dir("./")
        .dir("bin/")
        .file_with("bin/tool", b"tool", 0o755)
        .dir_with("closed/", 0o555)
        .file("closed/x", b"x")
        .dir("gone/")
        .dir("gone/deep/")
        .file("gone/deep/file", b"x")
        .dir("opaque/")
        .file("opaque/old", b"old")
        .dir("opaque/sub/")
        .file("opaque/sub/old", b"old")
        .dir("opaque/kept/")
        .file("opaque/kept/old", b"old")
        .dir("run/")
        .dir("var/")
        .symlink("var/run", "/run")
        .file("file", b"one")
        .hard_link("same", "file")
        .file("to-dir", b"1")
        .dir("to-file/")
        .file("to-file/x", b"1")
        .symlink("to-real", "run")
        .end();
    let upper = Archive::new()
        .file(".wh.gone", b"")
        .dir("opaque/")
        .file("opaque/.wh..wh..opq", b"")
        .file("opaque/new", b"new")
        .dir("opaque/kept/")
        .file("opaque/kept/new", b"new")
        .file("closed/.wh.x", b"")
        .file("closed/y", b"y")
        .file("var/run/pid", b"1")
        .file("file", b"two")
        .dir("to-dir/")
        .file("to-dir/x", b"2")
        .file("to-file", b"2")
        .dir("to-real/")
        .file("to-real/x", b"2")
        .pax(&[("mtime", "1000000001.5")])
        .file("bin/later", b"later")
        .end();
    let dir = tempfile::tempdir().unwrap();
    let layers = vec![lower, upper];
    let mut layout = HandLayout::new(&dir.path().join("layout"));
    let manifest = layout.image("linux/amd64", &layers, Compression::Gzip);
    layout.tag("x", manifest);
    let image = format!("{}:x", dir.path().join("layout").display());
    let bundle = dir.path().join("bundle");
    stdout(Command::new(umoci).args(["unpack", "--rootless", "--image", &image]).arg(&bundle));
    let target = dir.path().join("out");
    unpack(&target, layers).unwrap();
    assert_eq!(describe(&target), describe(&bundle.join("rootfs")));
}

#[test]
fn an_error_names_layer_and_path_and_escapes_both() {
    let dir = tempfile::tempdir().unwrap();
    let bad = Archive::new().append(&Archive::new().special(b'6', "a\x1b[31m")).end();
    let diff_id = Digest::of(&bad);
    let error = unpack(&dir.path().join("out"), vec![bad]).unwrap_err();
    let text = plugin_oci::failure::Error::from(error).to_string();
    assert_eq!(text, format!("cannot read layer {diff_id}: `a\\u{{1b}}[31m` is a FIFO: that is never made"));
    let global = Archive::new().global_pax(&[("size", "1")]).end();
    assert_eq!(unpack(&dir.path().join("out"), vec![global]).unwrap_err().rule(), Some("tar-format"));
}
