//! Archives: one tar file that holds a layout.

use std::path::Path;
use std::process::Command;

use plugin_oci::failure::Error;
use plugin_oci::progress::{Outcome, Silent};
use plugin_oci::stores::archive::{Archive, ArchiveWriter};
use plugin_oci::stores::copy::{self, CopyOptions, CopyReport};
use plugin_oci::stores::layout::{Layout, LayoutWriter, Obsolete};
use plugin_oci::stores::{Selector, Source};
use plugin_oci::values::compression::Compression;
use serde_json::json;

use crate::support::hostile::archive as hostile;
use crate::support::layouts::{HandLayout, gzip, zstd};
use crate::support::program::{plugin_build, ran};
use crate::support::sample::Sample;
use crate::support::tools;

fn write(sample: &Sample, path: &Path, tag: &str) -> Result<CopyReport, Error> {
    let writer = ArchiveWriter::new(path, &Silent)?;
    let options = CopyOptions { tags: vec![tag.parse().unwrap()], ..CopyOptions::default() };
    Ok(copy::copy(sample, &writer, sample.root(), &options, &Silent)?)
}

/// The names in a directory, hidden ones too.
fn names(dir: &Path) -> Vec<String> {
    let entries = walkdir::WalkDir::new(dir).min_depth(1).sort_by_file_name();
    entries.into_iter().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn the_same_content_is_the_same_archive_whatever_was_there_before() {
    let dir = tempfile::tempdir().unwrap();
    let (direct, detour) = (dir.path().join("direct.tar"), dir.path().join("detour.tar"));
    let (one, two) = (Sample::image("one", 70_000).with_referrer(), Sample::image("two", 3000));
    write(&one, &direct, "1.0").unwrap();
    write(&two, &direct, "2.0").unwrap();
    write(&Sample::image("old", 5000), &detour, "1.0").unwrap();
    write(&one, &detour, "1.0").unwrap();
    write(&two, &detour, "2.0").unwrap();
    assert_eq!(std::fs::read(&direct).unwrap(), std::fs::read(&detour).unwrap());
    assert_eq!(names(dir.path()), ["detour.tar", "direct.tar"]);
}

#[test]
fn writing_again_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    write(&Sample::image("again", 1000), &path, "1.0").unwrap();
    let before = std::fs::metadata(&path).unwrap().modified().unwrap();
    let report = write(&Sample::image("again", 1000), &path, "1.0").unwrap();
    assert!(report.outcomes.values().all(|outcome| *outcome == Outcome::Present), "{report:?}");
    assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), before);
}

#[test]
fn every_blob_and_referrer_comes_back_from_an_archive() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    let sample = Sample::image("back", 300_000).with_referrer();
    write(&sample, &path, "1.0").unwrap();
    let archive = Archive::open(&path).unwrap();
    let root = archive.resolve(&Selector::Only).unwrap();
    let writer = LayoutWriter::new(&dir.path().join("layout"), Obsolete::Keep, &Silent).unwrap();
    let options = CopyOptions { tags: vec!["1.0".parse().unwrap()], ..CopyOptions::default() };
    copy::copy(&archive, &writer, &root, &options, &Silent).unwrap();
    let layout = Layout::open(&dir.path().join("layout")).unwrap();
    assert_eq!(layout.blobs().unwrap(), archive.blobs().cloned().collect::<Vec<_>>());
    assert_eq!(layout.referrers(&root.digest).unwrap().len(), 1);
}

#[test]
fn a_manifest_that_is_called_a_blob_as_well_keeps_its_layers() {
    let dir = tempfile::tempdir().unwrap();
    let mut layout = HandLayout::new(&dir.path().join("theirs"));
    let victim = layout.image("linux/amd64", &[hostile::Archive::new().file("a", b"a").end()], Compression::Gzip);
    let blob = json!({"mediaType": "application/octet-stream", "digest": victim["digest"], "size": victim["size"]});
    layout.tag("victim", victim);
    let evil = layout.index(&[blob], &json!({}));
    layout.tag("evil", evil);
    for tag in ["victim", "evil"] {
        let (from, to) = (format!("oci:theirs:{tag}"), format!("oci-archive:a.tar:{tag}"));
        assert_eq!(ran(plugin_build(dir.path()).args(["copy", &from, &to])).code, 0);
    }
    let verified = ran(plugin_build(dir.path()).args(["verify", "oci-archive:a.tar:victim"]));
    assert_eq!(verified.code, 0, "{}", verified.stdout);
}

#[test]
fn many_writers_at_once_lose_no_tag() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("many.tar");
    std::thread::scope(|scope| {
        for number in 0..12 {
            let path = &path;
            scope.spawn(move || write(&Sample::image(&format!("w{number}"), 500), path, &format!("v{number}")).unwrap());
        }
    });
    assert_eq!(Archive::open(&path).unwrap().tags().unwrap().len(), 12);
}

#[test]
fn a_corrupt_blob_in_an_archive_is_found_and_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    let sample = Sample::of_platform("flip", "linux/amd64", 50_000);
    write(&sample, &path, "1.0").unwrap();
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(&path, &bad).unwrap();
    write(&sample, &path, "1.0").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), good);
}

#[test]
fn an_archive_cut_short_anywhere_is_refused_or_read_as_corrupt() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    write(&Sample::of_platform("cut", "linux/amd64", 2000), &path, "1.0").unwrap();
    let whole = std::fs::read(&path).unwrap();
    for length in (0..whole.len()).step_by(511) {
        std::fs::write(&path, &whole[..length]).unwrap();
        // Only the second zero block of the end may be missing.
        assert_eq!(Archive::open(&path).is_ok(), length >= whole.len() - 512, "{length} of {}", whole.len());
    }
}

#[test]
fn what_is_no_archive_is_called_what_it_is_and_never_waited_for() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let sample = Sample::of_platform("kinds", "linux/amd64", 1000);
    write(&sample, &dir.join("a.tar"), "1.0").unwrap();
    let whole = std::fs::read(dir.join("a.tar")).unwrap();
    std::fs::write(dir.join("a.tar.gz"), gzip(&whole)).unwrap();
    std::fs::write(dir.join("a.tar.zst"), zstd(&whole)).unwrap();
    std::fs::write(dir.join("notes"), "hello").unwrap();
    std::fs::create_dir(dir.join("dir")).unwrap();
    tools::stdout(Command::new("mkfifo").arg(dir.join("fifo")));
    for (name, said) in [
        ("a.tar.gz", "it is compressed with gzip"),
        ("a.tar.zst", "it is compressed with zstd"),
        ("notes", "cut short"),
        ("dir", "it is a directory"),
        ("fifo", "it is neither a file nor a directory"),
    ] {
        let before = std::fs::symlink_metadata(dir.join(name)).unwrap();
        for (from, to) in [
            (format!("oci-archive:{name}"), "oci:out".to_owned()),
            ("oci-archive:a.tar".to_owned(), format!("oci-archive:{name}")),
        ] {
            let run = ran(plugin_build(dir).args(["copy", &from, &to]));
            assert!(run.code == 1 && run.stderr.contains(said), "{from} to {to}: {}", run.stderr);
        }
        let after = std::fs::symlink_metadata(dir.join(name)).unwrap();
        assert_eq!((before.len(), before.file_type()), (after.len(), after.file_type()));
    }
    assert_eq!(names(dir), ["a.tar", "a.tar.gz", "a.tar.zst", "dir", "fifo", "notes"]);
}

#[test]
#[ignore = "needs skopeo"]
fn skopeo_reads_and_writes_the_same_archives() {
    let Some(skopeo) = tools::require("skopeo") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (dir.path().join("ours.tar"), dir.path().join("theirs.tar"));
    let sample = Sample::image("skopeo", 10_000);
    write(&sample, &ours, "1.0").unwrap();
    let run = |from: &str, to: &str| {
        let mut command = Command::new(&skopeo);
        tools::stdout(command.args(["--insecure-policy", "copy", "-q", "--all", "--preserve-digests", from, to]));
    };
    let layout = format!("oci:{}:1.0", dir.path().join("layout").display());
    run(&format!("oci-archive:{}:1.0", ours.display()), &layout);
    run(&layout, &format!("oci-archive:{}:1.0", theirs.display()));
    let archive = Archive::open(&theirs).unwrap();
    assert_eq!(archive.resolve(&Selector::Tag("1.0".to_owned())).unwrap().digest, sample.root().digest);
}
