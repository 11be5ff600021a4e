//! `unpack`: one platform of an image, to a new directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::hints::hint;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plugin_build::images::unpack::{UnpackOptions, Unpacked, unpack};
use plugin_oci::failure::Error;
use plugin_oci::fs::sorted_listing;
use plugin_oci::layers::unpack::ExtractOptions;
use plugin_oci::progress::Silent;
use plugin_oci::stores::Selector;
use plugin_oci::stores::layout::Layout;
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;
use serde_json::json;

use crate::support::hostile::archive::Archive;
use crate::support::layouts::{HandLayout, gzip};
use crate::support::program::plugin_build;
use crate::support::tools::{require, skip, stdout};

fn run(dir: &Path, platform: &str) -> Result<Unpacked, Error> {
    let layout = Layout::open(&dir.join("layout")).unwrap();
    let options = UnpackOptions {
        selector: Selector::Only,
        platform: platform.parse().unwrap(),
        target: dir.join("out"),
        extract: ExtractOptions::default(),
    };
    unpack(&layout, &options, &Silent)
}

fn tar(text: &str) -> Vec<u8> {
    Archive::new().file("which", text.as_bytes()).end()
}

#[test]
fn the_wanted_platform_is_unpacked_and_an_absent_one_names_those_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut layout = HandLayout::new(&dir.path().join("layout"));
    let amd = layout.image("linux/amd64", &[tar("amd")], Compression::Gzip);
    let arm = layout.image("linux/arm64", &[tar("arm")], Compression::Zstd);
    let index = layout.index(&[amd, arm], &json!({}));
    layout.tag("1", index);
    let error = run(dir.path(), "darwin/arm64").unwrap_err();
    assert!(hint(error.inner()).unwrap().contains("linux/amd64, linux/arm64"), "{error}");
    assert!(!dir.path().join("out").exists());
    let unpacked = run(dir.path(), "linux/arm64").unwrap();
    assert_eq!(fs::read(dir.path().join("out/which")).unwrap(), b"arm");
    assert_eq!((unpacked.report.counts.files, unpacked.report.layers.len()), (1, 1));
    assert!(run(dir.path(), "linux/arm64").is_err(), "the directory is there now");
}

#[test]
fn every_corrupt_blob_is_found_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut layout = HandLayout::new(&dir.path().join("layout"));
    let image = layout.image("linux/amd64", &[tar("one"), tar("two")], Compression::Gzip);
    let index = layout.index(&[image], &json!({}));
    layout.tag("1", index);
    let blobs = dir.path().join("layout/blobs/sha256");
    for name in sorted_listing(&blobs).unwrap() {
        let path = blobs.join(&name);
        let good = fs::read(&path).unwrap();
        let last_changed = [&good[..good.len() - 1], &[good[good.len() - 1] ^ 1]].concat();
        let bads = [good[1..].to_vec(), last_changed, [&good[..], b"x"].concat(), Vec::new()];
        for bad in bads {
            fs::write(&path, bad).unwrap();
            let error = run(dir.path(), "linux/amd64").unwrap_err();
            let text = error.to_string();
            assert!(text.contains("sha256:"), "{text}");
            assert_eq!(sorted_listing(dir.path()).unwrap(), ["layout"], "{text}");
        }
        fs::write(&path, good).unwrap();
    }
    run(dir.path(), "linux/amd64").unwrap();
}

#[test]
fn a_configuration_that_lies_about_its_layers_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [
        (vec![Digest::of(b"another tar")], 1, "diff id"),
        (vec![], 1, "names 0 diff ids"),
        (vec![Digest::of(&tar("x")), Digest::of(&tar("x"))], 1, "names 2 diff ids"),
    ];
    for (diff_ids, layers, expected) in cases {
        let mut layout = HandLayout::new(&dir.path().join("layout"));
        let blob = layout.blob(&gzip(&tar("x")), Compression::Gzip.layer_media_type());
        let manifest = layout.manifest("linux/amd64", &diff_ids, &vec![blob; layers]);
        layout.tag("1", manifest);
        let error = run(dir.path(), "linux/amd64").unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let mut layout = HandLayout::new(&dir.path().join("layout"));
    let blob = layout.blob(&gzip(&tar("x")), "application/vnd.oci.image.layer.v1.tar+br");
    let manifest = layout.manifest("linux/amd64", &[Digest::of(&tar("x"))], &[blob]);
    layout.tag("1", manifest);
    assert!(run(dir.path(), "linux/amd64").unwrap_err().to_string().contains("tar+br"));
    assert_eq!(sorted_listing(dir.path()).unwrap(), ["layout"]);
}

/// Waits until an unpacking below `dir` has begun, or the time is up.
fn wait_for_hidden_directory(dir: &Path) -> bool {
    let end = Instant::now() + Duration::from_mins(1);
    let is_there = || sorted_listing(dir).unwrap().iter().any(|name| name.to_string_lossy().starts_with(".plugin-build-unpack-"));
    while Instant::now() < end {
        if is_there() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

#[test]
#[ignore = "slow"]
fn an_interrupt_leaves_nothing_and_what_a_kill_leaves_goes_at_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut layout = HandLayout::new(&dir.path().join("layout"));
    let many = (0..20_000).fold(Archive::new(), |archive, number| archive.file(&format!("{}/{number}", number / 100), b"x"));
    let large = many.file("large", &vec![0; 200 << 20]).end();
    let image = layout.image("linux/amd64", &[large], Compression::Zstd);
    layout.tag("1", image);
    let start = |program: &mut Command| {
        let child =
            program.args(["unpack", "--platform", "linux/amd64", "--max-ratio", "1000000", "oci:layout:1", "out"]).spawn();
        child.unwrap()
    };
    // Often, for the first moments of a directory are short.
    let signals = [(Signal::SIGINT, Some(130), 1), (Signal::SIGTERM, Some(143), 1)].repeat(10);
    for (signal, code, left) in signals.into_iter().chain([(Signal::SIGKILL, None, 2)]) {
        let mut child = start(plugin_build(dir.path()).stderr(Stdio::null()));
        assert!(wait_for_hidden_directory(dir.path()));
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), code, "{signal}");
        assert_eq!(sorted_listing(dir.path()).unwrap().len(), left, "{signal}");
    }
    let mut child = start(plugin_build(dir.path()).stderr(Stdio::null()).stdout(Stdio::null()));
    assert!(child.wait().unwrap().success());
    assert_eq!(sorted_listing(dir.path()).unwrap(), ["layout", "out"]);
}

#[test]
#[ignore = "needs namespaces"]
fn a_full_disk_names_the_file_and_leaves_nothing_whatever_its_size() {
    let Some(unshare) = require("unshare") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut layout = HandLayout::new(&dir.path().join("layout"));
    let small = (0..500).fold(Archive::new(), |archive, number| archive.file(&format!("small/{number}"), &vec![1; 20_000])).end();
    let large = Archive::new().file("large", &vec![1; 10_000_000]).end();
    for (tag, tar) in [("small", small), ("large", large)] {
        let image = layout.image("linux/amd64", &[tar], Compression::Zstd);
        layout.tag(tag, image);
    }
    let script = r#"
        mkdir -p tight && mount -t tmpfs -o size=4m tmpfs tight || exit 77
        "$0" unpack --platform linux/amd64 --max-ratio 1000000 "oci:layout:$1" tight/out 2> said; code=$?
        ls -A tight > left
        exit $code
    "#;
    for tag in ["small", "large"] {
        let mut shell = Command::new(&unshare);
        shell.args(["-rm", "sh", "-c", script, env!("CARGO_BIN_EXE_cargo-plugin-build"), tag]).current_dir(dir.path());
        let code = shell.status().unwrap().code();
        if code == Some(77) {
            skip("no tmpfs can be mounted here");
            return;
        }
        let said = fs::read_to_string(dir.path().join("said")).unwrap();
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&format!("cannot write `{tag}")) && said.contains("No space left on device"), "{said}");
        assert_eq!(fs::read_to_string(dir.path().join("left")).unwrap(), "", "{said}");
    }
}

#[test]
fn modes_are_those_of_the_image_whatever_the_umask() {
    let dir = tempfile::tempdir().unwrap();
    let mut layout = HandLayout::new(&dir.path().join("layout"));
    let tar = Archive::new().dir_with("closed/", 0o555).file_with("closed/a/b", b"", 0o666).file_with("x", b"", 0o751).end();
    let image = layout.image("linux/amd64", &[tar], Compression::Gzip);
    layout.tag("1", image);
    for umask in ["000", "022", "077", "0777"] {
        let mut program = Command::new("sh");
        program.args(["-c", &format!("umask {umask}; exec \"$0\" unpack --platform linux/amd64 oci:layout:1 {umask}")]);
        stdout(program.arg(env!("CARGO_BIN_EXE_cargo-plugin-build")).current_dir(dir.path()));
        let mode = |path: &str| fs::metadata(dir.path().join(umask).join(path)).unwrap().permissions().mode() & 0o7777;
        let modes = ["", "closed", "closed/a", "closed/a/b", "x"].map(mode);
        assert_eq!(modes, [0o755, 0o555, 0o755, 0o666, 0o751], "umask {umask}");
    }
}

#[test]
#[ignore = "needs umoci"]
fn a_layer_of_umoci_insert_has_no_end_and_is_whole() {
    let Some(umoci) = require("umoci") else { return };
    let dir = tempfile::tempdir().unwrap();
    let here = |name: &str| dir.path().join(name);
    fs::create_dir_all(here("plugin/assets")).unwrap();
    fs::write(here("plugin/assets/a"), [1; 700]).unwrap();
    fs::write(here("plugin/b"), "last").unwrap();
    for args in [
        &["init", "--layout", "layout"][..],
        &["new", "--image", "layout:1"],
        &["insert", "--image", "layout:1", "plugin", "/plugin"],
    ] {
        stdout(Command::new(&umoci).args(args).current_dir(dir.path()));
    }
    stdout(plugin_build(dir.path()).args(["unpack", "oci:layout:1", "out"]));
    assert_eq!(fs::read(here("out/plugin/assets/a")).unwrap(), [1; 700]);
    assert_eq!(fs::read_to_string(here("out/plugin/b")).unwrap(), "last");
}
