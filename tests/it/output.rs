//! What a reader of stdout can rely on, and what the program says about itself.

use std::fs::{self, File};
use std::path::Path;

use plugin_oci::values::digest::Digest;
use serde_json::{Value, json};

use crate::support::program::{plugin_build, ran};

#[test]
#[cfg(target_os = "linux")]
fn a_result_that_stdout_does_not_take_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    for words in [&["man"][..], &["completions", "bash"], &["new", "--list"], &["new", "--list", "--message-format", "json"]] {
        let mut command = plugin_build(dir.path());
        let output = command.args(words).stdout(File::create("/dev/full").unwrap()).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?} {told}");
        assert!(told.contains("cannot write to stdout: No space left on device"), "{words:?} {told}");
    }
}

#[test]
#[cfg(unix)]
fn a_reader_that_goes_away_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = plugin_build(dir.path()).args(["completions", "bash"]).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
}

#[test]
fn a_misspelt_verb_is_answered_with_the_verb() {
    let dir = tempfile::tempdir().unwrap();
    for (word, verb) in [("bulid", "build"), ("verfy", "verify"), ("isntall", "install")] {
        let told = ran(plugin_build(dir.path()).args(["plugin-build", word]));
        assert_eq!(told.code, 2, "{}", told.stderr);
        assert!(told.stderr.contains(&format!("'{verb}'")), "{}", told.stderr);
    }
    let told = ran(plugin_build(dir.path()).arg("quux"));
    assert!(told.code == 2 && !told.stderr.contains("similar"), "{}", told.stderr);
}

#[test]
fn the_manual_has_a_page_for_every_verb_with_its_flags() {
    let dir = tempfile::tempdir().unwrap();
    let told = ran(plugin_build(dir.path()).arg("man"));
    assert_eq!(told.code, 0, "{}", told.stderr);
    let titles = told.stdout.lines().filter(|line| line.starts_with(".TH ")).count();
    let named = told.stdout.lines().filter(|line| line.starts_with("cargo\\-plugin\\-build\\-") && line.ends_with("(1)")).count();
    assert_eq!(titles, named + 1, "a page that is named is there");
    for flag in ["\\-\\-rebuild", "\\-\\-into\\-index", "\\-\\-rollback"] {
        assert!(told.stdout.contains(flag), "{flag}");
    }
}

#[test]
fn completions_offer_no_verb_that_only_the_program_itself_uses() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let told = ran(plugin_build(dir.path()).args(["completions", shell]));
        assert_eq!(told.code, 0, "{}", told.stderr);
        assert!(told.stdout.contains("inspect") && told.stdout.contains("into-index"), "{shell}");
        assert!(!told.stdout.contains("hermetic-stage") && !told.stdout.contains("plugin-process"), "{shell}");
    }
}

/// Writes a layout with one image whose every text is `text`, and whose layer is no archive.
fn layout_of_text(dir: &Path, tag: &str, text: &str) {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let put = |media_type: &str, bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    };
    let document = |value: &Value| value.to_string().into_bytes();
    let layer = put("application/vnd.oci.image.layer.v1.tar", format!("{text:x<9999}").as_bytes());
    let config = json!({
        "architecture": text, "os": "linux", "created": text, "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        "config": {"Entrypoint": [text], "Cmd": [text], "User": text, "WorkingDir": text, "Env": [text], "Labels": {text: text}},
    });
    let config = put("application/vnd.oci.image.config.v1+json", &document(&config));
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": [layer],
        "artifactType": text, "annotations": {text: text},
    });
    let mut root = put("application/vnd.oci.image.manifest.v1+json", &document(&manifest));
    root["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
    root["platform"] = json!({"architecture": text, "os": "linux"});
    fs::write(dir.join("index.json"), json!({"schemaVersion": 2, "manifests": [root]}).to_string()).unwrap();
}

#[test]
fn no_text_of_an_image_fills_the_terminal_or_commands_it() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let forged = "\u{1b}[2J\nerror: forged\u{202e}\r\u{200b}\u{9b}\u{7f}\u{2028}";
    let (long, lines) = ("t".repeat(100_000), forged.repeat(9_000));
    layout_of_text(&dir.join("a"), &long, &"a".repeat(450_000));
    layout_of_text(&dir.join("b"), &lines, &lines);
    fs::write(dir.join("file"), "").unwrap();
    for words in [
        &["ls", "oci:a"][..],
        &["ls", "oci:b"],
        &["inspect", "oci:a"],
        &["inspect", "oci:b"],
        &["inspect", "--no-files", "oci:a"],
        &["inspect", "--no-files", "oci:b"],
        &["verify", "oci:a"],
        &["verify", "oci:b"],
        &["diff", "oci:a", "oci:b"],
        &["unpack", "oci:a", "out"],
        &["unpack", "oci:b", "out"],
        &["install", "oci:a", "plugins"],
        &["install", "oci:b", "plugins"],
        &["copy", "oci:a", "oci:file"],
        &["copy", "oci:b", "oci:file"],
        &["push", "oci:b", "docker://127.0.0.1:1/r"],
        &["rm", "oci:b", "nothing"],
    ] {
        let told = ran(plugin_build(dir).args(words));
        assert!((0..=3).contains(&told.code), "{words:?}: {}", told.code);
        for text in [&told.stdout, &told.stderr] {
            assert!(text.len() < 40_000, "{words:?}: {} bytes", text.len());
            assert!(text.lines().all(|line| line.chars().count() < 5_000), "{words:?}");
            assert!(
                !text.contains(['\u{1b}', '\u{202e}', '\r', '\u{200b}', '\u{9b}', '\u{7f}', '\u{2028}']),
                "{words:?}: {text}"
            );
            assert!(text.lines().all(|line| !line.starts_with("error: forged")), "{words:?}: {text}");
        }
        // For programs it is data, and whole; a terminal obeys none of it.
        let json = ran(plugin_build(dir).args(words).args(["--message-format", "json"]));
        assert!((0..=3).contains(&json.code), "{words:?}: {}", json.code);
        for line in json.stdout.lines() {
            serde_json::from_str::<Value>(line).unwrap();
            assert!(!line.contains(['\u{1b}', '\u{202e}', '\r', '\u{200b}', '\u{9b}', '\u{7f}', '\u{2028}']), "{words:?}");
        }
        if words == ["ls", "oci:a"] {
            assert!(json.stdout.contains(&long));
        }
        if words == ["inspect", "--no-files", "oci:b"] {
            let value: Value = serde_json::from_str(&json.stdout).unwrap();
            assert_eq!(value["platforms"][0]["annotations"][&lines], lines);
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_result_that_is_no_json_is_an_error_and_not_null() {
    use std::os::unix::ffi::OsStrExt as _;
    let dir = tempfile::tempdir().unwrap();
    crate::support::project::copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/layouts"), dir.path());
    let target = std::ffi::OsStr::from_bytes(b"out\xff");
    let told = ran(plugin_build(dir.path()).args(["unpack", "oci:v1:gzip", "--message-format", "json"]).arg(target));
    assert_eq!(told.code, 1, "{} {}", told.stdout, told.stderr);
    assert!(told.stderr.contains("path contains invalid UTF-8 characters"), "{}", told.stderr);
    assert!(told.stdout.lines().all(|line| line.starts_with('{')), "{}", told.stdout);
}
