//! Layouts and archives as other tools make them: what can be read is, and of what cannot be the reason is told.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use plugin_oci::documents::MANIFEST_LIMIT;
use plugin_oci::values::compression::Compression;
use serde_json::{Value, json};

use crate::support::layouts::{HandLayout, gzip, zstd};
use crate::support::program::{Ran, done, run};
use crate::support::sample::Sample;

/// A tar of one file that says what it is for.
fn tar_of(text: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(text.len() as u64);
    header.set_mode(0o755);
    header.set_mtime(0);
    tar.append_data(&mut header, "hello", text.as_bytes()).unwrap();
    tar.into_inner().unwrap()
}

fn image(layout: &HandLayout, platform: &str) -> Value {
    layout.image(platform, &[tar_of(platform)], Compression::Gzip)
}

fn index(layout: &Path, entries: &[Value]) {
    fs::write(layout.join("index.json"), json!({"schemaVersion": 2, "manifests": entries}).to_string()).unwrap();
}

/// The platforms in an index.json itself, without names; what refers to one of them is no image.
fn flat(dir: &Path) -> [Value; 2] {
    let layout = HandLayout::new(dir);
    let images = ["linux/amd64", "linux/arm64"].map(|platform| image(&layout, platform));
    let empty = layout.blob(b"{}", "application/vnd.oci.empty.v1+json");
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let attached = json!({
        "schemaVersion": 2, "mediaType": media_type, "artifactType": "a/b", "config": empty, "layers": [], "subject": images[0],
    });
    let attached = layout.blob(attached.to_string().as_bytes(), media_type);
    index(dir, &[images[0].clone(), images[1].clone(), attached]);
    images
}

fn told(ran: &Ran, code: i32, parts: &[&str]) {
    assert_eq!(ran.code, code, "{}{}", ran.stdout, ran.stderr);
    for part in parts {
        assert!(ran.stderr.contains(part), "{part} is not in {}", ran.stderr);
    }
}

#[test]
fn platforms_that_an_index_lists_itself_are_listed_named_and_chosen() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let images = flat(&dir.join("flat"));
    let digests = images.each_ref().map(|image| image["digest"].as_str().unwrap());

    let lines = done(dir, &["ls", "oci:flat"]);
    for (digest, platform) in digests.iter().zip(["linux/amd64", "linux/arm64"]) {
        assert!(lines.lines().any(|line| line.starts_with(&format!("-  {digest}")) && line.contains(platform)), "{lines}");
    }
    assert_eq!(lines.matches("+a/b").count(), 1, "{lines}");
    let objects = done(dir, &["ls", "oci:flat", "--message-format", "json"]);
    let first: Value = serde_json::from_str(objects.lines().next().unwrap()).unwrap();
    assert_eq!((&first["tag"], &first["digest"]), (&json!(""), &images[0]["digest"]));

    let both = [digests[0], digests[1], "linux/arm64", "--platform", "oci:flat@"];
    told(&run(dir, &["inspect", "oci:flat"]), 2, &both);
    told(&run(dir, &["copy", "oci:flat", "oci:out:1"]), 2, &both);
    assert_eq!(done(dir, &["inspect", &format!("oci:flat@{}", digests[1])]).matches("linux/arm64").count(), 1);
    told(&run(dir, &["unpack", "oci:flat", "none", "--platform", "linux/s390x"]), 1, &["linux/amd64, linux/arm64"]);
    for (at, platform) in ["linux/amd64", "linux/arm64"].into_iter().enumerate() {
        let out = format!("out{at}");
        done(dir, &["unpack", "oci:flat", &out, "--platform", platform]);
        assert_eq!(fs::read_to_string(dir.join(out).join("hello")).unwrap(), platform);
    }
    done(dir, &["copy", "oci:flat", "oci:one:1", "--platform", "linux/arm64"]);
    assert!(done(dir, &["ls", "oci:one"]).contains(digests[1]));
    done(dir, &["copy", "--all", "oci:flat", "oci-archive:all.tar"]);
    assert_eq!(done(dir, &["ls", "oci-archive:all.tar"]), lines);

    // Two for one platform are two images.
    let layout = HandLayout::new(&dir.join("twice"));
    let twice = ["a", "b"].map(|text| layout.image("linux/amd64", &[tar_of(text)], Compression::None));
    index(&dir.join("twice"), &twice);
    told(&run(dir, &["unpack", "oci:twice", "none", "--platform", "linux/amd64"]), 2, &["2 images without a tag"]);
    index(&dir.join("twice"), &[]);
    told(&run(dir, &["inspect", "oci:twice"]), 1, &["holds no image"]);
}

#[test]
fn several_tags_of_one_image_name_one_image_and_rm_wants_to_know_which() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let mut layout = HandLayout::new(&dir.join("l"));
    let only = image(&layout, "linux/amd64");
    layout.tag("1.0", only.clone());
    layout.tag("latest", only.clone());
    done(dir, &["unpack", "oci:l", "out", "--platform", "linux/amd64"]);
    done(dir, &["inspect", "oci:l"]);
    told(&run(dir, &["rm", "oci:l"]), 2, &["has 2 tags", "1.0, latest"]);
    layout.tag("other", image(&layout, "linux/arm64"));
    told(&run(dir, &["inspect", "oci:l"]), 2, &["has 3 tags"]);
}

#[test]
fn blobs_that_are_links_are_told_with_what_makes_them_files() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    flat(&dir.join("l"));
    fs::rename(dir.join("l/blobs/sha256"), dir.join("cas")).unwrap();
    fs::create_dir(dir.join("l/blobs/sha256")).unwrap();
    for name in plugin_oci::fs::sorted_listing(&dir.join("cas")).unwrap() {
        symlink(dir.join("cas").join(&name), dir.join("l/blobs/sha256").join(&name)).unwrap();
    }
    told(&run(dir, &["unpack", "oci:l", "out"]), 1, &["symbolic link", "cp -rL"]);
    assert!(run(dir, &["verify", "oci:l"]).stdout.contains("symbolic link"));
    assert!(std::process::Command::new("cp").args(["-rL", "l", "copy"]).current_dir(dir).status().unwrap().success());
    done(dir, &["verify", "oci:copy"]);

    // Linked directories are fine: what is in them are files.
    fs::remove_dir_all(dir.join("copy/blobs/sha256")).unwrap();
    symlink("../../cas", dir.join("copy/blobs/sha256")).unwrap();
    symlink("copy", dir.join("linked")).unwrap();
    done(dir, &["unpack", "oci:linked", "out", "--platform", "linux/amd64"]);
}

#[test]
fn a_member_of_the_wrong_shape_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let mut layout = HandLayout::new(&dir.join("l"));
    let config = layout.blob(b"{}", "application/vnd.oci.empty.v1+json");
    for (member, value, at) in [
        ("layers", json!(null), "`layers`"),
        ("layers", json!([{"mediaType": "a/b", "digest": config["digest"], "size": "2"}]), "`layers[0].size`"),
        ("config", json!(7), "`config`"),
        ("annotations", json!({"a": null}), "`annotations.a`"),
    ] {
        let mut manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": []});
        manifest[member] = value;
        layout.tag("1", layout.blob(manifest.to_string().as_bytes(), media_type));
        told(&run(dir, &["inspect", "oci:l:1"]), 1, &[at]);
        assert!(run(dir, &["verify", "oci:l:1"]).stdout.contains(at));
        index(&dir.join("l"), &[]);
        layout = HandLayout::new(&dir.join("l"));
    }
}

#[test]
fn archives_that_are_none_are_told_apart() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let archive = |name: &str, entries: &[(&str, tar::EntryType, &[u8])]| {
        let mut tar = tar::Builder::new(fs::File::create(dir.join(name)).unwrap());
        for (path, kind, content) in entries {
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o644);
            header.set_entry_type(*kind);
            if *kind == tar::EntryType::Regular {
                header.set_size(content.len() as u64);
                tar.append_data(&mut header, path, *content).unwrap();
            } else {
                header.set_size(0);
                tar.append_link(&mut header, path, String::from_utf8_lossy(content).as_ref()).unwrap();
            }
        }
        tar.finish().unwrap();
    };
    let regular = tar::EntryType::Regular;
    let (marker, empty): (&[u8], &[u8]) = (br#"{"imageLayoutVersion":"1.0.0"}"#, br#"{"schemaVersion":2,"manifests":[]}"#);
    archive("docker.tar", &[("manifest.json", regular, b"[]"), ("c.json", regular, b"{}")]);
    archive("below.tar", &[("some/l/oci-layout", regular, marker), ("some/l/index.json", regular, empty)]);
    for (kind, name) in [(tar::EntryType::Link, "hard.tar"), (tar::EntryType::Symlink, "symbolic.tar")] {
        archive(name, &[("oci-layout", regular, marker), ("other", regular, empty), ("index.json", kind, b"other")]);
    }
    archive("none.tar", &[("a", regular, b"")]);
    let plain = fs::read(dir.join("none.tar")).unwrap();
    let packed: [(&str, Vec<u8>, &[&str]); 6] = [
        ("gzip.tar", gzip(&plain), &["compressed with gzip", "gunzip"]),
        ("zstd.tar", zstd(&plain), &["compressed with zstd", "unzstd"]),
        ("xz.tar", b"\xfd7zXZ\0\0\x04rest".to_vec(), &["compressed with xz", "unxz"]),
        ("bzip2.tar", b"BZh91AY&SY".to_vec(), &["compressed with bzip2"]),
        ("lz4.tar", b"\x04\x22\x4d\x18rest".to_vec(), &["compressed with lz4"]),
        ("zip.tar", b"PK\x03\x04rest".to_vec(), &["compressed with zip"]),
    ];
    for (name, bytes, _) in &packed {
        fs::write(dir.join(name), bytes).unwrap();
    }
    let others: [(&str, &[&str]); 5] = [
        ("docker.tar", &["docker archive", "skopeo copy docker-archive:"]),
        ("below.tar", &["`some/l`"]),
        ("hard.tar", &["hard link", "pack a file instead"]),
        ("symbolic.tar", &["symbolic link", "pack a file instead"]),
        ("none.tar", &["it has no `oci-layout` file"]),
    ];
    for (name, parts) in others.into_iter().chain(packed.iter().map(|(name, _, parts)| (*name, *parts))) {
        told(&run(dir, &["ls", &format!("oci-archive:{name}")]), 1, parts);
    }
}

/// What no reader of ours would take is not written, and the way out is open.
#[test]
fn an_index_that_nobody_could_read_again_is_not_written() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    Sample::image("new", 1000).to_layout(&dir.join("new"));
    Sample::image("old", 1000).to_layout(&dir.join("full"));
    let path = dir.join("full/index.json");
    let mut tree: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    tree["x-others"] = json!("");
    let room = usize::try_from(MANIFEST_LIMIT).unwrap() - tree.to_string().len();
    tree["x-others"] = json!("x".repeat(room - 100));
    fs::write(&path, tree.to_string()).unwrap();
    done(dir, &["copy", "oci:full", "oci-archive:full.tar"]);
    let before = fs::read(&path).unwrap();

    let refused = run(dir, &["copy", "oci:new", "oci:full:2.0"]);
    told(&refused, 1, &["full/index.json would have", "`rm`"]);
    assert!(fs::read(&path).unwrap() == before);
    done(dir, &["ls", "oci:full"]);
    // What takes the place of another tag fits.
    done(dir, &["copy", "oci:new", "oci:full:1.0"]);
    done(dir, &["rm", "oci:full:1.0"]);
    done(dir, &["copy", "oci:new", "oci:full:2.0"]);

    let mut tar = tar::Builder::new(fs::File::create(dir.join("full.tar")).unwrap());
    tar.append_dir_all(".", dir.join("full")).unwrap();
    tar.into_inner().unwrap().flush().unwrap();
    let before = fs::read(dir.join("full.tar")).unwrap();
    told(&run(dir, &["copy", "oci:new", "oci-archive:full.tar:3.0"]), 1, &["full.tar", "would have"]);
    assert!(fs::read(dir.join("full.tar")).unwrap() == before);
}
