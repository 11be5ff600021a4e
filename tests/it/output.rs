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
    let sections = ["EXAMPLES", "EXIT STATUS", "ENVIRONMENT", "FILES", "CONFIGURATION"];
    assert!(sections.iter().all(|section| told.stdout.contains(&format!(".SH \"{section}\""))));
    let one = ran(plugin_build(dir.path()).args(["man", "build"]));
    assert!(one.code == 0 && one.stdout.matches(".TH ").count() == 1 && one.stdout.contains("bundle\\-libs"), "{}", one.stdout);
    assert_eq!(ran(plugin_build(dir.path()).args(["man", "bulid"])).code, 2);
    let written = ran(plugin_build(dir.path()).args(["man", "--output", "pages"]));
    assert_eq!(written.stdout.lines().count(), titles);
    assert!(dir.path().join("pages/cargo-plugin-build-contract-diff.1").is_file(), "{}", written.stdout);
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
        // Those of bash, zsh and fish ask the program: `complete.rs`.
        let asks = told.stdout.contains("cargo-plugin-build complete -- ");
        assert!(asks || told.stdout.contains("inspect") && told.stdout.contains("into-index"), "{shell}");
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

#[test]
fn an_error_is_an_object_too() {
    let dir = tempfile::tempdir().unwrap();
    for (words, code, object) in [
        (&["inspect", "oci:absent"][..], 1, Some("absent")),
        (&["copy", "oci:a"], 2, None),
        (&["ls", "--no-such-flag"], 2, Some("--no-such-flag")),
    ] {
        let told = ran(plugin_build(dir.path()).args(["--message-format", "json"]).args(words));
        assert_eq!(told.code, code, "{}", told.stderr);
        let [line] = told.stdout.lines().collect::<Vec<_>>()[..] else { panic!("{words:?}: {}", told.stdout) };
        let error: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&error["reason"], &error["code"]), (&Value::from("error"), &Value::from(code)), "{line}");
        assert!(told.stderr.contains(error["message"].as_str().unwrap()), "{line}: {}", told.stderr);
        if let Some(object) = object {
            assert_eq!(error["object"], object, "{line}");
        }
        assert!(error["cause"].is_array() && error.get("hint").is_some(), "{line}");
        // For people nothing of it is on stdout.
        assert_eq!(ran(plugin_build(dir.path()).args(words)).stdout, "");
    }
}

#[test]
fn what_was_pushed_is_listed_by_digest_and_kept_with_all_results() {
    use crate::support::memory_registry::MemoryRegistry;
    let dir = tempfile::tempdir().unwrap();
    crate::support::project::copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/layouts"), dir.path());
    let registry = MemoryRegistry::honest();
    let repository = format!("{}/plugins/keepsake", registry.server.host());
    let push = ["push", "oci:v1:gzip", &repository, "--image-refs", "told/refs", "--metadata-file", "told/all.json"];
    let told = ran(plugin_build(dir.path()).args(push));
    assert_eq!(told.code, 0, "{}", told.stderr);
    let digest = registry.memory.tag("plugins/keepsake", "gzip").unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("told/refs")).unwrap(), format!("{repository}@{digest}\n"));
    let kept = || serde_json::from_str::<Value>(&fs::read_to_string(dir.path().join("told/all.json")).unwrap()).unwrap();
    assert_eq!(kept()["results"][0]["image"], format!("{repository}@{digest}"));
    let schema = ran(plugin_build(dir.path()).args(["schema", "metadata"])).stdout;
    assert!(jsonschema::is_valid(&serde_json::from_str(&schema).unwrap(), &kept()), "{}", kept());
    // What fails says so there, too.
    let told = ran(plugin_build(dir.path()).args(["ls", "oci:absent", "--metadata-file", "told/all.json"]));
    assert_eq!((told.code, &kept()["results"][0]["reason"]), (1, &Value::from("error")));
}

#[test]
#[ignore = "needs jq"]
fn jq_reads_every_line() {
    let Some(jq) = crate::support::tools::require("jq") else { return };
    let dir = tempfile::tempdir().unwrap();
    crate::support::project::copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/layouts"), dir.path());
    let mut all = String::new();
    for words in [
        &["ls", "oci:v1"][..],
        &["inspect", "oci:v1:gzip"],
        &["diff", "oci:v1:gzip", "oci:v1:zstd"],
        &["verify", "oci:v1"],
        &["copy", "oci:v1:gzip", "oci:copied"],
        &["rm", "oci:copied:gzip"],
        &["gc", "oci:copied"],
        &["unpack", "oci:v1:gzip", "unpacked"],
        &["new", "--list"],
        &["inspect", "oci:absent"],
        &["ls", "--no-such-flag"],
    ] {
        all += &ran(plugin_build(dir.path()).args(words).args(["--message-format", "json"])).stdout;
    }
    fs::write(dir.path().join("all"), &all).unwrap();
    let mut count = std::process::Command::new(jq);
    count
        .args(["-es", "all(has(\"reason\") and .schema == 1 and .reason != \"progress\") and length > 10"])
        .arg(dir.path().join("all"));
    assert_eq!(crate::support::tools::stdout(&mut count).trim(), "true", "{all}");
}
