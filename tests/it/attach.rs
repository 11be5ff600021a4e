//! `attach`, `detach`, `rm` and the list of a registry's repositories, as a user types them.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::docker_registry::DockerRegistry;
use crate::support::memory_registry::{MemoryRegistry, Quirks};
use crate::support::program::{Ran, done, run};
use crate::support::sample::Sample;
use crate::support::tools;

const BOM: &str = "application/vnd.cyclonedx+json";

fn refused(dir: &Path, code: i32, arguments: &[&str]) -> String {
    let Ran { code: found, stdout, stderr } = run(dir, arguments);
    assert_eq!((found, stdout.as_str()), (code, ""), "{arguments:?}: {stderr}");
    stderr
}

/// The objects that a verb prints.
fn objects(dir: &Path, arguments: &[&str]) -> Vec<Value> {
    let text = done(dir, &[arguments, &["--message-format", "json"]].concat());
    let objects = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    objects.filter(|object| object["reason"] != "progress").collect()
}

fn types(dir: &Path, image: &str) -> Vec<String> {
    let [inspected] = &objects(dir, &["inspect", "--no-files", image])[..] else { panic!("one image") };
    let attached = inspected["attachments"].as_array().unwrap();
    attached.iter().map(|one| one["artifact_type"].as_str().unwrap().to_owned()).collect()
}

/// A layout `start` with the image `1.0` of two platforms, and a file to attach.
fn scene() -> (tempfile::TempDir, String) {
    let temp = tempfile::tempdir().unwrap();
    let sample = Sample::image("nine", 4_000);
    sample.to_layout(&temp.path().join("start"));
    fs::write(temp.path().join("bom.json"), r#"{"bomFormat":"CycloneDX"}"#).unwrap();
    fs::write(temp.path().join("notes.txt"), "it works\n").unwrap();
    (temp, sample.root().digest.to_string())
}

#[test]
fn a_file_is_attached_and_detached_in_every_store_and_the_image_stays_as_it_is() {
    let (temp, digest) = scene();
    let dir = temp.path();
    let with_api = MemoryRegistry::honest();
    let without = MemoryRegistry::scripted(Quirks { no_referrers: true, ..Quirks::default() }, |_, _| None);
    let mut made = Vec::new();
    for store in [
        "oci:layout".to_owned(),
        "oci-archive:image.tar".to_owned(),
        format!("docker://{}/a", with_api.server.host()),
        format!("docker://{}/a", without.server.host()),
    ] {
        let image = format!("{store}:1.0");
        done(dir, &["copy", "oci:start:1.0", &image]);
        let attach = ["attach", &image, "bom.json", "--type", BOM];
        let [attached] = &objects(dir, &attach)[..] else { panic!("one attachment") };
        assert_eq!((&attached["reason"], &attached["subject"]), (&Value::from("attached"), &Value::from(digest.as_str())));
        made.push(attached["digest"].clone());
        // The same again is the same attachment.
        assert_eq!(objects(dir, &attach)[0]["digest"], attached["digest"], "{store}");
        done(dir, &["attach", &image, "notes.txt", "bom.json", "--type", "text/x-notes", "--annotation", "a=b"]);
        let mut found = types(dir, &image);
        found.sort_unstable();
        assert_eq!(found, [BOM, "text/x-notes"], "{store}");
        // It goes along, and its files come out again under their names.
        let copied = format!("oci:copied{}", made.len());
        done(dir, &["copy", &image, &copied]);
        assert_eq!(types(dir, &copied).len(), 2);
        assert_eq!(objects(dir, &["ls", &copied])[0]["digest"], digest.as_str());
        if store.starts_with("oci-archive:") {
            let told = refused(dir, 2, &["detach", &image, "--type", BOM]);
            assert!(told.contains("an archive is written as a whole"), "{told}");
            continue;
        }
        let told = refused(dir, 1, &["detach", &image, "--type", "text/plain"]);
        assert!(told.contains("nothing that is attached") && told.contains("text/plain"), "{told}");
        let [gone] = &objects(dir, &["detach", &image, "--type", BOM])[..] else { panic!("one attachment") };
        assert_eq!((&gone["reason"], &gone["digest"]), (&Value::from("detached"), &attached["digest"]));
        assert_eq!(types(dir, &image), ["text/x-notes"], "{store}");
        // By digest as well, and then nothing is left of it.
        let [inspected] = &objects(dir, &["inspect", "--no-files", &image])[..] else { panic!("one image") };
        let other = inspected["attachments"][0]["digest"].as_str().unwrap().to_owned();
        done(dir, &["detach", &image, &other]);
        assert!(types(dir, &image).is_empty());
        if store.starts_with("oci:") {
            assert_eq!(done(dir, &["gc", "oci:layout"]), "", "nothing was left behind");
        }
    }
    assert!(made.iter().all(|digest| *digest == made[0]), "one attachment wherever the image lies");
}

#[test]
fn a_platform_has_attachments_of_its_own() {
    let (temp, _) = scene();
    let dir = temp.path();
    done(dir, &["attach", "oci:start:1.0", "bom.json", "--type", BOM, "--platform", "linux/arm64"]);
    assert!(types(dir, "oci:start:1.0").is_empty(), "the index has none");
    done(dir, &["copy", "oci:start:1.0", "oci-archive:out.tar"]);
    done(dir, &["detach", "oci:start:1.0", "--type", BOM, "--platform", "linux/arm64"]);
    done(dir, &["copy", "oci-archive:out.tar", "oci:back"]);
    done(dir, &["detach", "oci:back", "--type", BOM, "--platform", "linux/arm64"]);
}

#[test]
fn what_cannot_be_attached_is_told_before_anything_is_written() {
    let (temp, _) = scene();
    let dir = temp.path();
    fs::create_dir(dir.join("other")).unwrap();
    fs::write(dir.join("other/bom.json"), "{}").unwrap();
    for (code, words, said) in [
        (2, &["attach", "oci:start:1.0", "bom.json", "--type", "sbom"][..], "is no media type"),
        (2, &["attach", "oci:start:1.0", "bom.json", "--type", "a/b", "--media-type", "a b/c"], "is no media type"),
        (2, &["attach", "oci:start:1.0", "bom.json", "other/bom.json", "--type", BOM], "two files are called `bom.json`"),
        (1, &["attach", "oci:start:1.0", "absent.json", "--type", BOM], "absent.json"),
        (1, &["attach", "oci:start:2.0", "bom.json", "--type", BOM], "has no `2.0`"),
        (1, &["attach", "oci:absent", "bom.json", "--type", BOM], "is not an OCI image layout"),
        (2, &["detach", "oci:start:1.0"], "nothing says which attachments"),
    ] {
        let told = refused(dir, code, words);
        assert!(told.contains(said), "{words:?}: {told}");
    }
    assert!(types(dir, "oci:start:1.0").is_empty());
}

#[test]
fn a_tag_goes_alone_and_a_digest_with_all_that_belongs_to_it() {
    let (temp, digest) = scene();
    let dir = temp.path();
    for no_referrers in [false, true] {
        let registry = MemoryRegistry::scripted(Quirks { no_referrers, ..Quirks::default() }, |_, _| None);
        let repository = format!("docker://{}/team/a", registry.server.host());
        for tag in ["1.0", "1", "latest"] {
            done(dir, &["copy", "oci:start:1.0", &format!("{repository}:{tag}")]);
        }
        done(dir, &["attach", &format!("{repository}:1.0"), "bom.json", "--type", BOM]);
        let tags = || registry.memory.tag("team/a", "1.0").into_iter().chain(registry.memory.tag("team/a", "latest")).count();
        assert_eq!(done(dir, &["rm", &format!("{repository}:1")]), format!("1@{digest}\n"));
        assert!(registry.memory.tag("team/a", "1").is_none() && tags() == 2);
        let told = refused(dir, 1, &["rm", &format!("{repository}:1")]);
        assert!(told.contains("has no `1`") && told.contains("latest"), "{told}");
        assert_eq!(done(dir, &["rm", &format!("{repository}@{digest}")]), format!("{digest}\n"));
        assert_eq!(tags(), 0);
        // Neither attachments nor the list that stands for the API are left.
        assert_eq!(done(dir, &["ls", &format!("docker://{}", registry.server.host())]), "");
        refused(dir, 1, &["rm", &format!("{repository}@{digest}")]);
        let told = refused(dir, 2, &["rm", &repository]);
        assert!(told.contains("names no tag"), "{told}");
    }
    done(dir, &["copy", "oci:start:1.0", "oci:two:1.0"]);
    done(dir, &["copy", "oci:start:1.0", "oci:two:latest"]);
    done(dir, &["attach", "oci:two:1.0", "bom.json", "--type", BOM]);
    assert_eq!(done(dir, &["rm", &format!("oci:two@{digest}")]), format!("{digest}\n"));
    assert_eq!(done(dir, &["ls", "oci:two"]) + &done(dir, &["gc", "oci:two"]), "");
    refused(dir, 1, &["rm", &format!("oci:two@{digest}")]);
}

#[test]
fn where_tags_cannot_be_removed_alone_no_other_tag_is_lost() {
    let (temp, digest) = scene();
    let dir = temp.path();
    let registry = MemoryRegistry::scripted(Quirks { no_tag_removal: true, ..Quirks::default() }, |_, _| None);
    let image = |tag: &str| format!("docker://{}/a:{tag}", registry.server.host());
    done(dir, &["copy", "oci:start:1.0", &image("1.0")]);
    done(dir, &["copy", "oci:start:1.0", &image("latest")]);
    let told = refused(dir, 1, &["rm", &image("1.0")]);
    assert!(told.contains("removes no single tag, and latest name") && told.contains(&format!("/a@{digest}")), "{told}");
    assert!(registry.memory.tag("a", "1.0").is_some() && registry.memory.tag("a", "latest").is_some());
    done(dir, &["copy", "oci:start:1.0", &format!("docker://{}/b:1.0", registry.server.host())]);
    done(dir, &["rm", &format!("docker://{}/b:1.0", registry.server.host())]);
    assert!(registry.memory.tag("b", "1.0").is_none());
    let registry = MemoryRegistry::scripted(Quirks { no_removal: true, ..Quirks::default() }, |_, _| None);
    let image = format!("docker://{}/a:1.0", registry.server.host());
    done(dir, &["copy", "oci:start:1.0", &image]);
    let told = refused(dir, 1, &["rm", &image]);
    assert!(
        told.contains("does not remove") && told.contains("/a:1.0 (405") && told.contains("storage.delete.enabled"),
        "{told}"
    );
}

#[test]
fn a_registry_lists_its_repositories_where_it_has_a_catalogue() {
    let (temp, _) = scene();
    let dir = temp.path();
    let registry = MemoryRegistry::honest();
    let host = registry.server.host();
    for name in ["team/b", "team/a", "other"] {
        done(dir, &["copy", "oci:start:1.0", &format!("docker://{host}/{name}:1.0")]);
    }
    let listed = |words: &str| done(dir, &["ls", words]);
    assert_eq!(listed(&format!("docker://{host}")), format!("{host}/other\n{host}/team/a\n{host}/team/b\n"));
    assert_eq!(listed(&format!("docker://{host}/team/")), format!("{host}/team/a\n{host}/team/b\n"));
    assert_eq!(objects(dir, &["ls", &format!("docker://{host}/")])[0]["repository"], format!("{host}/other"));
    let without = MemoryRegistry::scripted(Quirks::default(), |request, _| {
        request.path.ends_with("/_catalog").then(|| crate::support::http_server::Reply::new(404).into())
    });
    let told = refused(dir, 1, &["ls", &format!("docker://{}", without.server.host())]);
    assert!(told.contains("does not list its repositories") && told.contains("ls docker://HOST/REPO"), "{told}");
}

#[test]
#[ignore = "needs docker-registry"]
fn dockers_own_registry_removes_and_lists() {
    let (temp, digest) = scene();
    let dir = temp.path();
    let Some(registry) = DockerRegistry::removing() else { return };
    let image = |tag: &str| format!("docker://{}/team/a:{tag}", registry.host);
    done(dir, &["copy", "oci:start:1.0", &image("1.0")]);
    done(dir, &["attach", &image("1.0"), "bom.json", "--type", BOM]);
    assert_eq!(types(dir, &image("1.0")), [BOM]);
    assert_eq!(done(dir, &["ls", &format!("docker://{}", registry.host)]), format!("{}/team/a\n", registry.host));
    done(dir, &["detach", &image("1.0"), "--type", BOM]);
    assert!(types(dir, &image("1.0")).is_empty());
    done(dir, &["copy", "oci:start:1.0", &image("latest")]);
    let told = refused(dir, 1, &["rm", &image("1.0")]);
    assert!(told.contains("removes no single tag, and latest name"), "{told}");
    done(dir, &["rm", &format!("docker://{}/team/a@{digest}", registry.host)]);
    refused(dir, 1, &["inspect", &image("latest")]);
    let Some(plain) = DockerRegistry::start() else { return };
    let image = format!("docker://{}/a:1.0", plain.host);
    done(dir, &["copy", "oci:start:1.0", &image]);
    assert!(refused(dir, 1, &["rm", &image]).contains("does not remove"));
    // Another tool reads what was attached.
    if let Some(skopeo) = tools::require("skopeo") {
        done(dir, &["attach", &image, "bom.json", "--type", BOM]);
        let list = format!("docker://{}/a:{}", plain.host, digest.replace(':', "-"));
        let raw = tools::stdout(std::process::Command::new(skopeo).args(["inspect", "--tls-verify=false", "--raw", &list]));
        assert!(raw.contains(BOM), "{raw}");
    }
}
