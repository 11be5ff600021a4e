//! Who takes an image from elsewhere refuses one that is not trusted, before the disk is touched.

use plugin_oci::fs::sorted_listing;
use serde_json::Value;

use super::scene::{IMAGE, Scene};
use crate::support::memory_registry::MemoryRegistry;

#[test]
fn nothing_is_written_of_an_image_that_is_not_trusted() {
    let scene = Scene::signed();
    let registry = MemoryRegistry::honest();
    let repository = format!("{}:1.0", registry.repository("signed").name());
    scene.done(&["push", IMAGE, &repository]);
    let before = sorted_listing(scene.dir()).unwrap();
    let verbs: [&[&str]; 5] = [
        &["unpack", IMAGE, "unpacked"],
        &["install", IMAGE, "plugins"],
        &["run", IMAGE, "--cache-dir", "cache"],
        &["pull", &repository, "pulled"],
        &["unpack", &format!("docker://{repository}"), "unpacked"],
    ];
    for verb in verbs {
        let refused = scene.run(&[verb, &["--key", "two.pub"]].concat());
        assert_eq!(refused.code, 3, "{verb:?}: {}", refused.stderr);
        assert!(refused.stdout.contains("[signature-key]"), "{verb:?}: {}", refused.stdout);
        assert_eq!(sorted_listing(scene.dir()).unwrap(), before, "{verb:?}");
        let unusable = scene.run(&[verb, &["--key", "one.key"]].concat());
        assert_eq!((unusable.code, sorted_listing(scene.dir()).unwrap()), (2, before.clone()), "{verb:?}");
    }
    scene.done(&["install", IMAGE, "plugins", "--key", "one.pub"]);
    for (key, code) in [("one.pub", 0), ("two.pub", 3), ("one.key", 2)] {
        assert_eq!(scene.run(&["install", "--check", "plugins", "--key", key]).code, code, "{key}");
    }
    let pulled = scene.done(&["pull", &repository, "pulled", "--key", "one.pub"]);
    assert_eq!(pulled.trim(), "oci:pulled:1.0");
    assert_eq!(scene.findings("oci:pulled:1.0", &["--key", "one.pub", "--require", "sbom,signature"]), [""; 0]);
}

#[test]
fn what_is_installed_is_judged_again_by_what_was_kept_of_it() {
    let scene = Scene::signed();
    scene.done(&["sign", IMAGE, "--key", "two.key", "--format", "simplesigning", "--identity", "plugins.example/signed:1.0"]);
    let layer = {
        let image = scene.done(&["inspect", IMAGE, "--message-format", "json"]);
        let image: Value = serde_json::from_str(&image).unwrap();
        image["platforms"][0]["layers"][0]["digest"].as_str().unwrap().to_owned()
    };
    // What nobody asked for is kept all the same, as far as it is there.
    scene.done(&["install", IMAGE, "plain"]);
    scene.done(&["install", IMAGE, "plugins", "--key", "one.pub"]);
    std::fs::rename(scene.path("images"), scene.path("gone")).unwrap();
    let listed = |dir: &str| {
        let listed = scene.done(&["install", "--list", dir, "--message-format", "json"]);
        serde_json::from_str::<Value>(&listed).unwrap()["signed_by"].as_array().unwrap().clone()
    };
    assert_eq!((listed("plain").len(), listed("plugins").len()), (0, 1));
    assert!(scene.done(&["install", "--list", "plugins"]).trim().contains("  sha256:"), "the key is shown");
    for dir in ["plain", "plugins"] {
        for (key, code) in [("one.pub", 0), ("two.pub", 0)] {
            let checked = scene.run(&["install", "--check", dir, "--key", key]);
            assert_eq!(checked.code, code, "{dir} {key}: {}{}", checked.stdout, checked.stderr);
        }
        assert_eq!(scene.run(&["install", "--check", dir, "--key", "one.pub", "--require", "provenance"]).code, 3, "{dir}");
    }
    let evidence = walkdir::WalkDir::new(scene.path("plugins/.store")).into_iter().map(|entry| entry.unwrap().into_path());
    let evidence: Vec<_> = evidence.filter(|path| path.extension().is_some_and(|end| end == "evidence")).collect();
    let [evidence] = evidence.as_slice() else { panic!("{evidence:?}") };
    assert!(!evidence.join("blobs/sha256").join(layer.trim_start_matches("sha256:")).exists(), "no layer is kept twice");
    std::fs::remove_dir_all(evidence).unwrap();
    assert_eq!(scene.run(&["install", "--check", "plugins"]).code, 0);
    let refused = scene.run(&["install", "--check", "plugins", "--key", "one.pub"]);
    assert!(refused.code == 3 && refused.stdout.contains("[evidence-missing]"), "{}", refused.stdout);
    // What was signed since the first time is kept by the next, although nothing else changes.
    std::fs::rename(scene.path("gone"), scene.path("images")).unwrap();
    let again = scene.run(&["install", IMAGE, "plugins", "--key", "two.pub"]);
    assert!(again.code == 0 && again.stderr.contains("Fresh"), "{}", again.stderr);
    assert_eq!(scene.run(&["install", "--check", "plugins", "--key", "one.pub"]).code, 0);
}
