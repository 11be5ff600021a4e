//! Base images: what was theirs stays theirs, byte for byte.

use std::fs;
use std::path::{Path, PathBuf};

use plugin_oci::values::digest::Digest;
use serde_json::{Value, json};

use crate::support::memory_registry::MemoryRegistry;
use crate::support::program::{Ran, plugin_build, ran};
use crate::support::project::Project;
use crate::support::sample::Sample;

/// A layout with one image `1` of Docker's media types for linux/amd64, and fields that nobody knows.
fn docker_base(at: &Path) -> Vec<u8> {
    let blobs = at.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        (digest.to_string(), bytes.len())
    };
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(5);
    header.set_mode(0o644);
    header.set_mtime(1_234_567_890);
    tar.append_data(&mut header, "etc/base", &b"base\n"[..]).unwrap();
    let layer = tar.into_inner().unwrap();
    let (layer_digest, layer_size) = put(&layer);
    let config = json!({
        "architecture": "amd64", "os": "linux", "x-unknown": {"kept": true}, "docker_version": "1",
        "config": {"Env": ["PATH=/usr/bin:/bin"], "Cmd": ["sh"], "Labels": {"base": "yes"}, "OnBuild": ["keep"]},
        "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
        "history": [
            {"created": "2020-01-01T00:00:00Z", "created_by": "ADD base"},
            {"created": "2020-01-01T00:00:00Z", "created_by": "CMD sh", "empty_layer": true}
        ],
    });
    let (config_digest, config_size) = put(config.to_string().as_bytes());
    let docker = |kind: &str| format!("application/vnd.docker.{kind}");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": docker("distribution.manifest.v2+json"),
        "config": {"mediaType": docker("container.image.v1+json"), "digest": config_digest, "size": config_size},
        "layers": [{"mediaType": docker("image.rootfs.diff.tar"), "digest": layer_digest, "size": layer_size}],
    });
    let (digest, size) = put(manifest.to_string().as_bytes());
    let index = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": docker("distribution.manifest.v2+json"), "digest": digest, "size": size,
        "annotations": {"org.opencontainers.image.ref.name": "1"},
    }]});
    fs::write(at.join("index.json"), index.to_string()).unwrap();
    fs::write(at.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    layer
}

fn build(project: &Project, args: &[&str]) -> Ran {
    // On a base the default is dynamic, and these bases have no loader.
    ran(plugin_build(&project.root).args(args).env("RUSTFLAGS", "-Ctarget-feature=+crt-static"))
}

#[test]
fn a_docker_typed_base_is_retyped_and_its_bytes_are_kept() {
    let project = Project::fixture("options");
    let layer = docker_base(&project.root.join("base"));
    let ran = build(&project, &["--bin", "options", "--base", "oci:base:1", "-o", "out", "-t", "1"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let verify = build(&project, &["verify", "oci:out"]);
    assert_eq!(verify.code, 0, "{}", verify.stdout);

    let image = project.inspected("oci:out:1");
    let platform = &image["platforms"][0];
    let layers = platform["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2, "the base's layer, then the artifact");
    assert_eq!(layers[0]["digest"], Digest::of(&layer).to_string());
    assert_eq!(layers[0]["media_type"], "application/vnd.oci.image.layer.v1.tar");
    let config = &platform["config"];
    assert_eq!(config["x-unknown"], json!({"kept": true}));
    assert_eq!(config["config"]["Env"], json!(["PATH=/usr/bin:/bin"]));
    assert_eq!(config["config"]["OnBuild"], json!(["keep"]));
    assert_eq!(config["config"]["Labels"]["base"], "yes");
    assert_eq!(config["config"]["Cmd"], Value::Null, "the base's command belongs to the base's entrypoint");
    assert_eq!(config["history"][0]["created_by"], "ADD base");
    assert_eq!(config["history"][1]["empty_layer"], true);
    assert_eq!(config["history"].as_array().unwrap().len(), 3);
    assert_eq!(platform["annotations"]["org.opencontainers.image.base.name"], "base:1");
    let stored = fs::read(project.root.join("out/blobs/sha256").join(Digest::of(&layer).hex())).unwrap();
    assert_eq!(stored, layer, "byte for byte");
    assert!(!image.to_string().contains("vnd.docker"), "{image}");
}

#[test]
fn a_base_without_the_platform_tells_which_it_has() {
    let project = Project::fixture("options");
    docker_base(&project.root.join("base"));
    let manifest: PathBuf = project.root.join("base/index.json");
    let blobs = project.root.join("base/blobs/sha256");
    // The same image, but its configuration says arm64.
    let mut index: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    let read = |digest: &Value| fs::read(blobs.join(&digest.as_str().unwrap()[7..])).unwrap();
    let put = |bytes: &[u8]| {
        fs::write(blobs.join(Digest::of(bytes).hex()), bytes).unwrap();
        (json!(Digest::of(bytes)), json!(bytes.len()))
    };
    let mut document: Value = serde_json::from_slice(&read(&index["manifests"][0]["digest"])).unwrap();
    let mut config: Value = serde_json::from_slice(&read(&document["config"]["digest"])).unwrap();
    config["architecture"] = json!("arm64");
    (document["config"]["digest"], document["config"]["size"]) = put(config.to_string().as_bytes());
    let (digest, size) = put(document.to_string().as_bytes());
    index["manifests"][0]["digest"] = digest;
    index["manifests"][0]["size"] = size;
    fs::write(&manifest, index.to_string()).unwrap();

    let ran = build(&project, &["--bin", "options", "--base", "oci:base:1", "-o", "out"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("no image for platform linux/amd64") && ran.stderr.contains("linux/arm64"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("Compiling"), "it is told before anything is compiled: {}", ran.stderr);
    assert!(!project.root.join("out").exists());
}

#[test]
fn an_image_of_ours_can_be_a_base() {
    let project = Project::fixture("greeter");
    assert_eq!(build(&project, &["-q", "-o", "first"]).code, 0);
    let second = build(&project, &["-q", "-o", "second", "-t", "on-top", "--base", "oci:first:0.3.1"]);
    assert_eq!(second.code, 0, "{}", second.stderr);
    let image = project.inspected("oci:second:on-top");
    let annotations = &image["platforms"][0]["annotations"];
    let base = project.inspected("oci:first:0.3.1");
    assert_eq!(annotations["org.opencontainers.image.base.digest"], base["platforms"][0]["manifest"]);
    assert_eq!(image["annotations"]["org.opencontainers.image.base.digest"], base["digest"]);
    assert_eq!(build(&project, &["verify", "oci:second"]).code, 0);
}

#[test]
fn a_base_in_a_registry_is_fetched_once_by_digest_and_only_what_is_needed() {
    let project = Project::fixture("options");
    let registry = MemoryRegistry::honest();
    let base = Sample::image("base", 20_000);
    base.to_layout(&project.root.join("base"));
    let name = format!("{}/bases/small", registry.server.host());
    assert_eq!(build(&project, &["push", "oci:base:1.0", &name]).code, 0);
    let tag = format!("docker://{name}:1.0");
    let pinned = format!("{tag}@{}", base.root().digest);
    let with = |reference: &str, more: &[&str]| {
        build(&project, &[&["--bin", "options", "-o", "out", "-t", "1", "--base", reference], more].concat())
    };

    let offline = with(&pinned, &["--offline"]);
    assert!(offline.code == 1 && offline.stderr.contains("`--offline` forbids to fetch it"), "{}", offline.stderr);
    let first = with(&tag, &[]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert!(first.stderr.contains("is named by tag") && first.stderr.contains(&pinned), "{}", first.stderr);
    // One configuration and two layers of one platform.
    assert_eq!(registry.memory.count("GET", "/blobs/"), 3);
    let locked = with(&tag, &["--locked"]);
    assert!(locked.code == 2 && locked.stderr.contains("`--locked` forbids"), "{}", locked.stderr);

    let again = with(&pinned, &[]);
    assert!(again.code == 0 && !again.stderr.contains("is named by tag"), "{}", again.stderr);
    assert_eq!(registry.memory.count("GET", "/blobs/"), 3);
    drop(registry);
    let offline = with(&pinned, &["--offline"]);
    assert_eq!((offline.code, &offline.stdout), (0, &again.stdout), "{}", offline.stderr);
    // The base's layers are no tars: nobody looks into them.
    let inspected = build(&project, &["inspect", "--no-files", "--message-format", "json", "oci:out:1"]);
    let image: Value = serde_json::from_str(inspected.stdout.lines().last().unwrap()).unwrap();
    let annotations = &image["annotations"];
    assert_eq!(annotations["org.opencontainers.image.base.name"], format!("{name}:1.0"));
    assert_eq!(annotations["org.opencontainers.image.base.digest"], json!(base.root().digest));
}
