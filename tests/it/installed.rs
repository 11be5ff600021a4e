//! What a host has: listed, moved forward and back, told by either digest, and removed without a trace.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use plugin_oci::fs::sorted_listing;

use crate::support::hostile::archive::Archive;
use crate::support::layouts::HandLayout;
use crate::support::program::{done, run};
use plugin_build::images::run::workdir;
use plugin_oci::values::compression::Compression;

/// A layout with two versions of each of these plugins, for linux/amd64.
fn layout(dir: &Path, names: &[&str]) {
    let mut layout = HandLayout::new(&dir.join("layout"));
    for (name, version) in names.iter().flat_map(|name| ["1.0.0", "2.0.0", "3.0.0"].map(|version| (name, version))) {
        let program = Archive::new().dir("bin/").file_with("bin/linux_amd64", version.as_bytes(), 0o755).end();
        let image = layout.image("linux/amd64", &[program], Compression::Gzip);
        let annotations = json!({
            "dev.cargo-plugin-build.name": name, "dev.cargo-plugin-build.kind": "cosmo-router",
            "org.opencontainers.image.version": version, "org.opencontainers.image.licenses": "MIT",
        });
        let index = layout.index(&[image], &annotations);
        layout.tag(&format!("{name}-{version}"), index);
    }
}

fn objects(text: &str, reason: &str) -> Vec<Value> {
    let objects = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    objects.filter(|object| object["reason"] == reason).collect()
}

#[test]
fn a_plugin_is_listed_moved_forward_and_back_and_removed() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    layout(dir, &["a", "b"]);
    assert_eq!(done(dir, &["install", "--list", "plugins"]), "");
    done(dir, &["install", "layout:a-1.0.0", "plugins"]);
    let moved = run(dir, &["install", "layout:a-2.0.0", "./other/../plugins"]);
    assert!(moved.stderr.contains("Installed a from 1.0.0 (sha256:"), "{}", moved.stderr);
    assert!(moved.stderr.contains(" to 2.0.0 (sha256:") && moved.stderr.contains("), linux/amd64"), "{}", moved.stderr);
    assert_eq!(moved.stdout.trim(), dir.canonicalize().unwrap().join("plugins/a").display().to_string());

    let listed = done(dir, &["install", "--list", "plugins"]);
    let words: Vec<&str> = listed.trim().split("  ").collect();
    let image = &objects(&done(dir, &["ls", "layout:a-2.0.0", "--message-format", "json"]), "image")[0];
    assert_eq!(words, ["a", "2.0.0", image["digest"].as_str().unwrap(), "linux/amd64", "oci:layout", "MIT", "-"]);
    let history = objects(&done(dir, &["install", "--history", "plugins", "--message-format", "json"]), "installed");
    assert_eq!(history.iter().map(|entry| entry["version"].clone()).collect::<Vec<_>>(), [json!("2.0.0"), json!("1.0.0")]);
    assert_eq!(history[0]["previous"], history[1]["digest"]);

    // Either digest is the image's, and no other.
    for key in ["digest", "manifest"] {
        done(dir, &["install", "--check", "plugins", "--digest", history[0][key].as_str().unwrap()]);
        assert_eq!(run(dir, &["install", "--check", "plugins", "--digest", history[1][key].as_str().unwrap()]).code, 3);
    }

    let back = run(dir, &["install", "--rollback", "plugins"]);
    assert!(back.stderr.contains("Restored a from 2.0.0 (sha256:") && back.stderr.contains(" to 1.0.0"), "{}", back.stderr);
    done(dir, &["install", "layout:a-3.0.0", "plugins"]);
    done(dir, &["install", "layout:a-2.0.0", "plugins"]);
    let history = objects(&done(dir, &["install", "--history", "plugins", "--message-format", "json"]), "installed");
    let told: Vec<(&str, bool)> =
        history.iter().map(|entry| (entry["version"].as_str().unwrap(), entry["is_kept"].as_bool().unwrap())).collect();
    assert_eq!(told, [("2.0.0", true), ("3.0.0", true), ("1.0.0", false), ("2.0.0", false)], "the last one first");
    done(dir, &["install", "layout:b-1.0.0", "--copy", "plugins"]);
    let which = run(dir, &["install", "--rollback", "plugins"]);
    assert_eq!(which.code, 2);
    assert!(which.stderr.contains("several plugins are installed: a, b") && which.stderr.contains("--name"), "{}", which.stderr);

    let removed = run(dir, &["uninstall", "b", "plugins"]);
    assert!(removed.code == 0 && removed.stderr.contains("Removed b 1.0.0 (sha256:"), "{}", removed.stderr);
    assert!(!dir.join("plugins/b").exists() && !dir.join("plugins/.store/b").exists());
    assert_eq!(run(dir, &["uninstall", "b", "plugins"]).code, 1);
    done(dir, &["uninstall", "a", "plugins"]);
    assert_eq!(sorted_listing(&dir.join("plugins")).unwrap().len(), 0, "nothing is left");
    fs::create_dir(dir.join("plugins/mine")).unwrap();
    assert_eq!(run(dir, &["uninstall", "mine", "plugins"]).code, 1);
    assert!(dir.join("plugins/mine").exists(), "what this tool did not install stays");
}

#[test]
fn a_record_of_an_earlier_version_is_read() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    layout(dir, &["a"]);
    done(dir, &["install", "layout:a-1.0.0", "plugins"]);
    let path = dir.join("plugins/.store/a/installed.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record["current"].as_object_mut().unwrap().remove("image").unwrap();
    fs::write(&path, record.to_string()).unwrap();
    assert!(done(dir, &["install", "--list", "plugins"]).starts_with("a  -  sha256:"));
    let again = run(dir, &["install", "layout:a-1.0.0", "plugins"]);
    assert!(again.code == 0 && again.stderr.contains("Fresh a 1.0.0"), "{}", again.stderr);
}

#[test]
fn what_ran_is_kept_for_the_last_images_and_cleared_when_asked() {
    let temp = tempfile::tempdir().unwrap();
    let cache = temp.path().join("cache");
    let mut layout = HandLayout::new(&temp.path().join("layout"));
    for number in 0..18 {
        let script = format!("#!/bin/sh\necho {number}\n");
        let program = Archive::new().file_with("p", script.as_bytes(), 0o755).end();
        let image = layout.image("linux/amd64", &[program], Compression::Gzip);
        layout.tag(&number.to_string(), image);
    }
    let run = |number: usize| {
        let image = format!("layout:{number}");
        done(temp.path(), &["run", &image, "--cache-dir", "cache", "--", "/p"])
    };
    let roots = || sorted_listing(&cache).unwrap().iter().filter(|name| cache.join(name).is_dir()).count();
    for number in 0..18 {
        run(number);
    }
    assert_eq!(roots(), 16);
    let told = done(temp.path(), &["gc", "--cache", "--cache-dir", "cache", "--message-format", "json"]);
    assert_eq!(objects(&told, "cache-cleared")[0]["cleared"], 16);
    assert_eq!(sorted_listing(&cache).unwrap().len(), 0);
    assert_eq!(workdir::clear(&temp.path().join("none")).unwrap(), 0);
}
