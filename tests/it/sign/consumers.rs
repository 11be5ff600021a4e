//! Who takes an image from elsewhere refuses one that is not trusted, before the disk is touched.

use plugin_oci::fs::sorted_listing;

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
