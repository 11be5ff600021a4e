//! `copy IMAGE docker-archive:FILE`, as a user types it.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use plugin_oci::values::digest::Digest;
use serde_json::{Value, json};

use crate::support::layouts::HandLayout;
use crate::support::program::{done, run};
use crate::support::project::copy;
use crate::support::tools::{require, stdout};

/// The entries of an archive: name, mode, content.
fn entries(path: &Path) -> Vec<(String, u32, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in tar::Archive::new(fs::File::open(path).unwrap()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 0));
        let mode = header.mode().unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        found.push((name, mode, content));
    }
    found
}

fn file<'e>(entries: &'e [(String, u32, Vec<u8>)], name: &str) -> &'e [u8] {
    &entries.iter().find(|(found, ..)| found == name).unwrap_or_else(|| panic!("no {name}")).2
}

fn scene() -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/layouts"), temp.path());
    temp
}

#[test]
fn an_image_becomes_what_docker_load_takes_with_the_same_bytes_each_time() {
    let temp = scene();
    let dir = temp.path();
    // However the layers were compressed, the tars are the same.
    let mut archives = Vec::new();
    for tag in ["gzip", "zstd", "none"] {
        let target = format!("docker-archive:{tag}.tar:plugins/keepsake:1.0");
        assert_eq!(done(dir, &["copy", &format!("oci:v1:{tag}"), &target]), format!("{target}\n"));
        let first = fs::read(dir.join(format!("{tag}.tar"))).unwrap();
        done(dir, &["copy", &format!("oci:v1:{tag}"), &target]);
        assert_eq!(fs::read(dir.join(format!("{tag}.tar"))).unwrap(), first, "{tag}");
        let found = entries(&dir.join(format!("{tag}.tar")));
        assert_eq!(found[0].0, "manifest.json");
        let list: Value = serde_json::from_slice(&found[0].2).unwrap();
        assert_eq!(list[0]["RepoTags"], json!(["plugins/keepsake:1.0"]));
        let config = file(&found, list[0]["Config"].as_str().unwrap());
        assert_eq!(list[0]["Config"], format!("{}.json", Digest::of(config).hex()), "its digest is the image's id");
        let config: Value = serde_json::from_slice(config).unwrap();
        let layers = list[0]["Layers"].as_array().unwrap();
        let diff_ids: Vec<String> =
            layers.iter().map(|name| Digest::of(file(&found, name.as_str().unwrap())).to_string()).collect();
        assert_eq!(json!(diff_ids), config["rootfs"]["diff_ids"]);
        // Readers before docker 1.10 go from here by the folders' own names.
        let repositories: Value = serde_json::from_slice(file(&found, "repositories")).unwrap();
        let mut at = repositories["plugins/keepsake"]["1.0"].as_str().map(str::to_owned);
        for name in layers.iter().rev() {
            let id = at.unwrap();
            assert_eq!(name, &format!("{id}/layer.tar"));
            assert_eq!(file(&found, &format!("{id}/VERSION")), b"1.0");
            let about: Value = serde_json::from_slice(file(&found, &format!("{id}/json"))).unwrap();
            assert_eq!(about["id"], id);
            at = about["parent"].as_str().map(str::to_owned);
        }
        assert_eq!(at, None);
        assert!(found.iter().all(|(name, mode, _)| *mode == if name.ends_with('/') { 0o755 } else { 0o644 }));
        let folders = [entries(&dir.join(format!("{tag}.tar")))].concat();
        archives.push(folders.into_iter().filter(|(name, ..)| name.ends_with("layer.tar")).collect::<Vec<_>>());
    }
    assert!(archives[0] == archives[1] && archives[1] == archives[2]);
    // Without a name, its own; several images are one archive, in which what they share lies once.
    assert_eq!(done(dir, &["copy", "oci:v1:gzip", "oci:v1:none", "docker-archive:two.tar"]).lines().count(), 2);
    let found = entries(&dir.join("two.tar"));
    let list: Value = serde_json::from_slice(&found[0].2).unwrap();
    assert_eq!((&list[0]["RepoTags"], &list[1]["RepoTags"]), (&json!(["keepsake:gzip"]), &json!(["keepsake:none"])));
    assert_eq!(found.iter().filter(|(name, ..)| name.ends_with("layer.tar")).count(), archives[0].len());
}

#[test]
fn what_docker_cannot_load_is_told_and_nothing_is_written() {
    let temp = scene();
    let dir = temp.path();
    fs::write(dir.join("precious.txt"), "x".repeat(1000)).unwrap();
    fs::write(dir.join("short.txt"), "x").unwrap();
    let mut layout = HandLayout::new(&dir.join("broken"));
    let artifact = layout.blob(b"{}", "application/vnd.oci.empty.v1+json");
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "artifactType": "a/b", "config": artifact, "layers": []});
    let manifest = layout.blob(manifest.to_string().as_bytes(), media_type);
    layout.tag("artifact", manifest);
    let layer = layout.blob(b"not what it says", "application/vnd.oci.image.layer.v1.tar");
    let lying = layout.manifest("linux/amd64", &[Digest::of(b"something else")], &[layer]);
    layout.tag("lying", lying);
    for (code, source, target, said) in [
        (2, "oci:v1:gzip", "docker-archive:precious.txt", "is no docker archive that could be replaced"),
        (2, "oci:v1:gzip", "docker-archive:short.txt", "is no docker archive that could be replaced"),
        (2, "oci:v1:gzip", "docker-archive:", "empty path"),
        (2, "oci:v1:gzip", "docker-archive:new.tar:Upper/Case:1", "is not a repository reference"),
        (2, "oci:v1:gzip", "docker-archive:new.tar:no-tag", "is not a repository reference"),
        (2, "oci:broken:artifact", "docker-archive:new.tar", "cannot go into a docker archive"),
        (1, "oci:broken:lying", "docker-archive:new.tar", "diff id"),
    ] {
        let told = run(dir, &["copy", source, target]);
        assert_eq!((told.code, told.stdout.as_str()), (code, ""), "{source} {target}: {}", told.stderr);
        assert!(told.stderr.contains(said), "{source} {target}: {}", told.stderr);
    }
    let told = run(dir, &["copy", "oci:v1:gzip", "oci:v1:none", "docker-archive:new.tar:a:1"]);
    assert!(told.code == 2 && told.stderr.contains("names one tag"), "{}", told.stderr);
    assert!(!dir.join("new.tar").exists() && fs::read(dir.join("short.txt")).unwrap() == b"x");
}

#[test]
#[ignore = "needs skopeo"]
fn skopeo_reads_a_docker_archive_and_finds_the_same_image() {
    let Some(skopeo) = require("skopeo") else { return };
    let temp = scene();
    let dir = temp.path();
    done(dir, &["copy", "oci:v1:zstd", "docker-archive:image.tar:plugins/keepsake:1.0"]);
    let archive = format!("docker-archive:{}", dir.join("image.tar").display());
    let config = stdout(Command::new(&skopeo).args(["inspect", "--config", "--raw", &archive]));
    let inspected: Value = serde_json::from_str(&done(dir, &["inspect", "oci:v1:zstd", "--message-format", "json"])).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&config).unwrap(), inspected["platforms"][0]["config"]);
    let tags = stdout(Command::new(&skopeo).args(["list-tags", &archive]));
    assert!(tags.contains("plugins/keepsake:1.0"), "{tags}");
    // And the way back: the layers are tars that anybody reads.
    let back = format!("oci:{}:back", dir.join("back").display());
    stdout(Command::new(&skopeo).args(["--insecure-policy", "copy", "--quiet", &archive, &back]));
    done(dir, &["verify", "oci:back"]);
    done(dir, &["unpack", "oci:back", "unpacked"]);
    done(dir, &["unpack", "oci:v1:zstd", "original"]);
    stdout(Command::new("diff").args(["-r"]).arg(dir.join("unpacked")).arg(dir.join("original")));
}
