//! Parts of a workspace, and what of their attachments survives a join.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use plugin_oci::stores::layout::Layout;
use plugin_oci::stores::{Selector, Source as _, platform_images};
use serde_json::{Value, json};

use crate::support::memory_registry::{MemoryRegistry, Quirks};
use crate::support::program::{done, run};
use crate::support::project::Project;
use crate::support::sample::Sample;

const STATEMENT: &str = "application/vnd.in-toto+json";
const BOM: &str = "application/vnd.cyclonedx+json";

/// The packages of a plan, and where their images would go.
fn planned(project: &Project, arguments: &[&str]) -> BTreeSet<(String, String)> {
    let line = [&["--workspace", "--dry-run", "--offline", "-q", "-o", "out", "--message-format", "json"], arguments].concat();
    let told = run(&project.root, &line);
    assert_eq!(told.code, 0, "{}", told.stderr);
    let plan: Value = serde_json::from_str(told.stdout.lines().last().unwrap()).unwrap();
    let images = plan["images"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().replace(project.root.to_str().unwrap(), "");
    images.map(|image| (text(&image["package"]), text(&image["output"]))).collect()
}

#[test]
fn parts_are_the_whole_and_each_package_is_in_one() {
    let project = Project::fixture("trio");
    let whole = planned(&project, &[]);
    assert_eq!(whole.len(), 3);
    for kind in ["slice", "hash"] {
        for of in [2, 4] {
            let parts: Vec<_> =
                (1..=of).map(|part| planned(&project, &["--partition", &format!("{kind}:{part}/{of}")])).collect();
            assert_eq!(parts.iter().map(BTreeSet::len).sum::<usize>(), 3, "{kind} {of}");
            // Where an image lies does not depend on how many others the part has.
            assert_eq!(parts.into_iter().flatten().collect::<BTreeSet<_>>(), whole, "{kind} {of}");
        }
    }
    let empty = run(&project.root, &["--workspace", "--offline", "--partition", "slice:4/4", "--push", "registry.example/all/"]);
    assert_eq!((empty.code, empty.stdout.as_str()), (0, ""), "{}", empty.stderr);
    assert!(empty.stderr.contains("0 of 3 plugins (slice:4/4)"), "{}", empty.stderr);
    for (bad, said) in [("slice:0/2", "want slice:I/N or hash:I/N"), ("count:1/2", "want slice:I/N or hash:I/N")] {
        let told = run(&project.root, &["--workspace", "--partition", bad]);
        assert!(told.code == 2 && told.stderr.contains(said), "{}", told.stderr);
    }
    let told = run(&project.root, &["--workspace", "--offline", "--partition", "slice:1/3", "--push", "registry.example/one"]);
    assert!(told.code == 2 && told.stderr.contains("end it with a slash"), "{}", told.stderr);
}

/// The types of what refers to the index of `oci:joined`, and to the manifest of each platform in it.
fn attached(dir: &Path) -> (Vec<String>, Vec<Vec<String>>) {
    let layout = Layout::open(&dir.join("joined")).unwrap();
    let root = layout.resolve(&Selector::Only).unwrap();
    let types = |digest| {
        let found = layout.referrers(digest).unwrap();
        let mut types: Vec<String> = found.into_iter().map(|referrer| referrer.artifact_type.unwrap()).collect();
        types.sort();
        types
    };
    let images = platform_images(&layout, &root).unwrap();
    (types(&root.digest), images.iter().map(|image| types(&image.descriptor.digest)).collect())
}

#[test]
fn a_join_keeps_the_attachments_that_still_hold_and_names_the_others() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    for no_referrers in [false, true] {
        let registry = MemoryRegistry::scripted(Quirks { no_referrers, ..Quirks::default() }, |_, _| None);
        let image = |tag: &str| format!("docker://{}/plugins/merge:{tag}", registry.server.host());
        for platform in ["amd64", "arm64"] {
            let sample = Sample::of_platform("merge", &format!("linux/{platform}"), 1000);
            sample.to_layout(&dir.join(platform));
            let image = image(&format!("1.0-{platform}"));
            done(dir, &["copy", &format!("oci:{platform}"), &image]);
            let layout = Layout::open(&dir.join(platform)).unwrap();
            let manifest = platform_images(&layout, sample.root()).unwrap().remove(0).descriptor.digest;
            let subject =
                |digest: &plugin_oci::values::digest::Digest| json!({"name": "merge", "digest": {"sha256": digest.hex()}});
            let statement = json!({"_type": "x", "subject": [subject(&sample.root().digest), subject(&manifest)]});
            let alone = json!({"_type": "x", "subject": [subject(&sample.root().digest)]});
            for (name, kind, content) in [
                ("provenance.json", STATEMENT, statement.to_string()),
                ("alone.json", STATEMENT, alone.to_string()),
                ("bom.json", BOM, r#"{"bomFormat":"CycloneDX"}"#.to_owned()),
                ("bad.json", BOM, format!(r#"{{"of":"{}"}}"#, sample.root().digest.hex())),
                ("signature", "application/vnd.example.signature", "signed".to_owned()),
            ] {
                fs::write(dir.join(name), content).unwrap();
                done(dir, &["attach", &image, name, "--type", kind]);
            }
            fs::write(dir.join("scan.txt"), platform).unwrap();
            done(dir, &["attach", &image, "scan.txt", "--type", "text/x-scan", "--platform", &format!("linux/{platform}")]);
        }
        let told = run(dir, &["copy", "--into-index", &image("1.0-amd64"), &image("1.0-arm64"), &image("1.0")]);
        assert_eq!(told.code, 0, "{}", told.stderr);
        assert_eq!(told.stderr.matches("holds for").count(), 6, "{}", told.stderr);
        assert!(told.stderr.contains("application/vnd.example.signature sha256:"), "{}", told.stderr);
        assert!(told.stderr.contains("Kept application/vnd.in-toto+json of linux/arm64"), "{}", told.stderr);
        assert_eq!(registry.memory.tag("plugins/merge", "1.0").unwrap(), Sample::image("merge", 1000).root().digest);
        let _ = fs::remove_dir_all(dir.join("joined"));
        done(dir, &["copy", &image("1.0"), "oci:joined"]);
        let kept = vec![BOM.to_owned(), STATEMENT.to_owned(), "text/x-scan".to_owned()];
        assert_eq!(attached(dir), (Vec::new(), vec![kept.clone(), kept]));
    }
}
