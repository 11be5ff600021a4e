//! The documents of the hostile catalogue, by every door that reads them.

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use plugin_oci::fs::sorted_listing;
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;
use serde_json::{Value, json};

use crate::support::hostile::archive::Archive;
use crate::support::hostile::documents::{Document, Good, all};
use crate::support::http_server::Reply;
use crate::support::layouts::{HandLayout, gzip};
use crate::support::memory_registry::{MemoryRegistry, Quirks};
use crate::support::program::{plugin_build, ran};

/// Credentials for the registries of these tests.
const AUTHORIZATION: &str = "Basic bWU6aHVudGVyMg==";

/// A layout of one image with one layer; descriptors of its configuration, layer and manifest.
fn good(dir: &Path) -> (HandLayout, [Value; 3]) {
    let layout = HandLayout::new(dir);
    let manifest = layout.image("linux/amd64", &[Archive::new().file("a", b"a").end()], Compression::Gzip);
    let hex = manifest["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    let inside: Value = serde_json::from_slice(&fs::read(dir.join("blobs/sha256").join(hex)).unwrap()).unwrap();
    (layout, [inside["config"].clone(), inside["layers"][0].clone(), manifest])
}

/// Serves this document at every tag, and blobs by the rules, to those who are known.
fn serving(document: &Document) -> MemoryRegistry {
    let (text, media_type) = (document.text.clone(), document.media_type);
    MemoryRegistry::scripted(Quirks::default(), move |request, _| {
        if request.header("authorization") != Some(AUTHORIZATION) {
            return Some(Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\"").into());
        }
        let wanted = request.is("GET HEAD", "/v2/r/manifests/1.0");
        wanted.then(|| Reply::new(200).header("Content-Type", media_type).body(text.clone()).into())
    })
}

/// What a hostile image says of itself is shown, and commands no terminal.
#[test]
fn what_an_image_says_of_itself_commands_no_terminal() {
    let commands = "\u{1b}[2J\u{9b}31m\u{7}\u{202e}";
    let dir = tempfile::tempdir().unwrap();
    let mut layout = HandLayout::new(&dir.path().join("layout"));
    let config = json!({
        "os": "linux", "architecture": format!("amd64{commands}"), "author": commands,
        "config": {"Env": [format!("A={commands}")], "Labels": {commands: commands}, "Entrypoint": [commands]},
        "rootfs": {"type": "layers", "diff_ids": []},
    });
    let config = layout.blob(config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json");
    for (tag, media_type) in [("good", String::new()), ("bad", commands.to_owned())] {
        let media_type = format!("application/vnd.oci.image.manifest.v1+json{media_type}");
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [],
            "annotations": {commands: commands, "dev.cargo-plugin-build.name": commands},
        });
        let manifest = layout.blob(manifest.to_string().as_bytes(), "application/vnd.oci.image.manifest.v1+json");
        layout.tag(tag, manifest);
    }
    for (arguments, shown) in [
        (&["ls", "oci:layout"][..], "json\\u{1b}"),
        (&["inspect", "oci:layout:good"], "env         A=\\u{1b}[2J\\u{9b}31m\\u{7}\\u{202e}"),
        (&["inspect", "oci:layout:bad"], "json\\u{1b}"),
        (&["verify", "oci:layout"], "json\\u{1b}"),
        (&["unpack", "oci:layout:good", "out"], "amd64\\u{1b}"),
        (&["install", "oci:layout:good", "plugins"], "\\u{1b}"),
        (&["copy", "oci:layout:good", "docker://127.0.0.1:1/x/"], "\\u{1b}"),
        (&["diff", "oci:layout:good", "oci:layout:bad"], "\\u{1b}"),
    ] {
        let run = ran(plugin_build(dir.path()).args(["-vv", "--color", "never"]).args(arguments));
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains(shown), "{arguments:?}: {said:?}");
        assert!(!said.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}'), "{arguments:?}: {said:?}");
    }
}

/// Go's parser, and so most other tools, read each of these as what stands beside it.
#[test]
fn a_configuration_that_is_another_to_other_readers_is_refused() {
    let diff_ids = r#"["sha256:0000000000000000000000000000000000000000000000000000000000000000"]"#;
    for (place, name, value) in [
        ("", "Config", r#"{"Entrypoint":["/other"]}"#),
        ("", "rootF\u{17f}", r#"{"type":"layers","diff_ids":[]}"#),
        ("", "OS", r#""windows""#),
        ("config", "entrypoint", r#"["/other"]"#),
        ("config", "user", r#""root""#),
        ("rootfs", "Diff_ids", diff_ids),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut layout = HandLayout::new(&dir.path().join("layout"));
        let mut config = json!({
            "os": "linux", "architecture": "amd64", "config": {"Entrypoint": ["/a"], "Labels": {"User": "x", "user": "y"}},
            "rootfs": {"type": "layers", "diff_ids": []},
        });
        let good = config.clone();
        let object = if place.is_empty() { &mut config } else { &mut config[place] };
        object[name] = serde_json::from_str(value).unwrap();
        for (tag, config) in [("good", good), ("bad", config)] {
            let config = layout.blob(config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json");
            let manifest = json!({"schemaVersion": 2, "config": config, "layers": []});
            let manifest = layout.blob(manifest.to_string().as_bytes(), "application/vnd.oci.image.manifest.v1+json");
            layout.tag(tag, manifest);
        }
        let run = |arguments: &[&str]| ran(plugin_build(dir.path()).args(arguments));
        assert_eq!(run(&["verify", "oci:layout:good"]).code, 0);
        for (arguments, code) in [(&["verify", "oci:layout:bad"][..], 3), (&["unpack", "oci:layout:bad", "out"], 1)] {
            let run = run(arguments);
            let said = format!("{}{}", run.stdout, run.stderr);
            assert!(run.code == code && said.contains("to some readers"), "{name}: {arguments:?}: {} {said}", run.code);
        }
    }
}

#[test]
#[ignore = "slow"]
fn no_document_of_the_catalogue_is_believed() {
    let elsewhere = MemoryRegistry::honest();
    let scene = tempfile::tempdir().unwrap();
    let dir = scene.path();
    fs::create_dir(dir.join("sentinel")).unwrap();
    fs::write(dir.join("sentinel/file"), "untouched").unwrap();
    let (_, [config, layer, manifest]) = good(&dir.join("good"));
    let (config, layer, manifest) = (config.to_string(), layer.to_string(), manifest.to_string());
    let good_parts = Good { config: &config, layer: &layer, manifest: &manifest };
    let cases = all(&good_parts, &format!("http://{}/v2/r/blobs/foreign", elsewhere.server.alias()));
    assert!(cases.len() >= 40, "{}", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let scene = dir.join("scene");
        let work = scene.join("work");
        fs::create_dir_all(&work).unwrap();
        fs::create_dir(scene.join("plugins")).unwrap();
        let (mut layout, _) = good(&scene.join("layout"));
        let root = layout.blob(case.text.as_bytes(), case.media_type);
        layout.tag("1.0", root);
        let (honest, evil) = (MemoryRegistry::honest(), serving(case));
        let entry = format!(r#"{{"auths":{{"{}":{{"auth":"{}"}}}}}}"#, evil.server.host(), &AUTHORIZATION[6..]);
        fs::write(scene.join("auth.json"), entry).unwrap();
        let (pushed, pulled) = (format!("{}/r:1.0", honest.server.host()), format!("{}/r:1.0", evil.server.host()));
        let remote = format!("docker://{pulled}");
        let platform = ["--platform", "linux/amd64"];
        let doors: [&[&str]; 9] = [
            &["verify", "oci:layout"],
            &[&["unpack", "oci:layout", "work/out"], &platform[..]].concat(),
            &[&["install", "oci:layout", "plugins", "--name", "x"], &platform[..]].concat(),
            &["copy", "oci:layout", "oci:work/layout"],
            &["copy", "oci:layout", "oci-archive:work/archive.tar"],
            &["push", "oci:layout", &pushed],
            &["pull", &pulled, "work/pulled"],
            &[&["unpack", &remote, "work/out"], &platform[..]].concat(),
            &["verify", &remote],
        ];
        for door in doors {
            let run = ran(plugin_build(&scene).args(["--authfile", "auth.json", "-vv"]).args(door));
            let said = format!("{}{}", run.stdout, run.stderr);
            let verb = door[0];
            let code = if verb == "verify" { 3 } else { 1 };
            if run.code != code || !said.contains(case.told) || said.contains("hunter2") || said.contains("panicked") {
                wrong.push(format!("{}: `{}` ended with {}: {said}", case.sentence, door.join(" "), run.code));
            }
            let left = [sorted_listing(&work).unwrap(), sorted_listing(&scene.join("plugins")).unwrap()].concat();
            if !left.is_empty() {
                wrong.push(format!("{}: `{}` left {left:?}", case.sentence, door.join(" ")));
            }
        }
        if honest.memory.tag("r", "1.0").is_some() {
            wrong.push(format!("{}: it was pushed", case.sentence));
        }
        for request in honest.memory.log().iter().chain(&evil.memory.log()) {
            let own = request.path.starts_with("/v2/r/") && !request.path.contains("..") && !request.query.contains_key("x");
            if !own {
                wrong.push(format!("{}: {} was asked for", case.sentence, request.path));
            }
        }
        fs::remove_dir_all(&scene).unwrap();
    }
    assert!(elsewhere.memory.log().is_empty(), "{:?}", elsewhere.memory.log());
    assert_eq!(fs::read(dir.join("sentinel/file")).unwrap(), b"untouched");
    assert_eq!(sorted_listing(&dir.join("sentinel")).unwrap().len(), 1);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const BYTES: &str = "application/octet-stream";

#[test]
fn what_one_image_says_of_a_blob_spares_no_other_image_the_check() {
    let tar = Archive::new().file("a", b"a").end();
    let gzipped = Compression::Gzip.layer_media_type();
    for lie in ["harmless elsewhere", "diff id", "size", "platform", "manifest", "data"] {
        let dir = tempfile::tempdir().unwrap();
        let mut layout = HandLayout::new(&dir.path().join("layout"));
        let mut layer = layout.blob(&gzip(&tar), gzipped);
        let honest = layout.manifest("linux/amd64", &[Digest::of(&tar)], &[layer.clone()]);
        let as_bytes =
            |descriptor: &Value| json!({"mediaType": BYTES, "digest": descriptor["digest"], "size": descriptor["size"]});
        let children = match lie {
            "harmless elsewhere" => {
                let evil = Archive::new().file("../a", b"a").end();
                let layer = layout.blob(&gzip(&evil), gzipped);
                [as_bytes(&layer), layout.manifest("linux/amd64", &[Digest::of(&evil)], &[layer])]
            }
            "diff id" => [honest, layout.manifest("linux/arm64", &[Digest::of(b"another")], &[layer])],
            "size" => {
                layer["size"] = json!(1);
                [honest, layout.manifest("linux/arm64", &[Digest::of(&tar)], &[layer])]
            }
            "platform" => {
                let mut again = honest.clone();
                again["platform"]["architecture"] = json!("arm64");
                [honest, again]
            }
            "manifest" => {
                let broken = layout.manifest("linux/amd64", &[Digest::of(b"another")], &[layer]);
                [as_bytes(&broken), broken]
            }
            _ => {
                let digest = honest["digest"].as_str().unwrap().trim_start_matches("sha256:");
                let path = dir.path().join("layout/blobs/sha256").join(digest);
                let mut with_data = honest.clone();
                with_data["data"] = json!(BASE64_STANDARD.encode(fs::read(&path).unwrap()));
                fs::write(&path, "").unwrap();
                [with_data.clone(), with_data]
            }
        };
        let index = layout.index(&children, &json!({}));
        layout.tag("1", index);
        for image in ["oci:layout", "oci:layout:1"] {
            let verified = ran(plugin_build(dir.path()).args(["verify", image]));
            assert_eq!(verified.code, 3, "{lie}: {image}: {}{}", verified.stdout, verified.stderr);
        }
    }
}

#[test]
#[ignore = "slow"]
fn an_index_that_lists_the_same_index_again_and_again_is_read_in_bounded_time_and_memory() {
    let dir = tempfile::tempdir().unwrap();
    let mut layout = HandLayout::new(&dir.path().join("layout"));
    let image = layout.image("linux/amd64", &[Archive::new().file("a", b"a").end()], Compression::Gzip);
    let root = (0..3).fold(image, |child, _| layout.index(&vec![child; 2000], &json!({})));
    layout.tag("1", root);
    let absent = format!("oci:layout@{}", Digest::of(b"absent"));
    for arguments in [
        &["ls", "oci:layout"][..],
        &["inspect", "oci:layout:1"],
        &["verify", "oci:layout:1"],
        &["unpack", "--platform", "linux/amd64", "oci:layout:1", "out"],
        &["install", "--name", "x", "oci:layout:1", "plugins"],
        &["diff", "oci:layout:1", "oci:layout:1"],
        &["copy", "oci:layout:1", "oci:copy:1"],
        &["inspect", &absent],
        &["gc", "oci:layout"],
    ] {
        let script = "ulimit -v 2000000; exec timeout 60 \"$0\" \"$@\"";
        let mut shell = Command::new("sh");
        shell.args(["-c", script, env!("CARGO_BIN_EXE_cargo-plugin-build")]).args(arguments).current_dir(dir.path());
        let run = ran(&mut shell);
        assert!([0, 1, 3].contains(&run.code), "{arguments:?} ended with {}: {}", run.code, run.stderr);
    }
}

#[test]
fn the_largest_size_that_a_document_can_state_is_refused_like_any_other_wrong_one() {
    for media_type in
        ["application/wasm", Compression::Gzip.layer_media_type(), BYTES, "application/vnd.oci.image.manifest.v1+json"]
    {
        let dir = tempfile::tempdir().unwrap();
        let mut layout = HandLayout::new(&dir.path().join("layout"));
        let mut blob = layout.blob(b"", media_type);
        blob["size"] = json!(u64::MAX);
        let mut other = layout.blob(b"x", media_type);
        other["size"] = json!(u64::MAX);
        let blobs = [blob, other];
        let nested = media_type.contains("manifest");
        let root = if nested {
            layout.index(&blobs, &json!({}))
        } else {
            layout.manifest("linux/amd64", &[Digest::of(b""), Digest::of(b"")], &blobs)
        };
        layout.tag("1", root);
        for arguments in [
            &["verify", "oci:layout:1"][..],
            &["unpack", "--platform", "linux/amd64", "oci:layout:1", "out"],
            &["install", "--name", "x", "oci:layout:1", "plugins"],
            &["copy", "oci:layout:1", "oci:copy:1"],
            &["copy", "oci:layout:1", "oci-archive:copy.tar:1"],
        ] {
            let run = ran(plugin_build(dir.path()).args(arguments));
            let code = if arguments[0] == "verify" { 3 } else { 1 };
            assert_eq!(run.code, code, "{media_type} {arguments:?}: {}", run.stderr);
        }
        ran(plugin_build(dir.path()).args(["inspect", "oci:layout:1"]));
    }
}
