//! From images in a registry to the configuration of a router.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::pages::blocks;
use super::runner::Runner;
use crate::support::memory_registry::MemoryRegistry;
use crate::support::wgc::{ALONE, template, wgc};

#[test]
#[ignore = "needs npm"]
fn a_graph_is_composed_of_images_and_names_them() {
    let [first, workspace] = &blocks("docs/src/recipes/cosmo-router.md", "## The graph and its images", "sh")[..] else {
        panic!("two blocks")
    };
    let Some((node, script)) = wgc() else { return };
    let registry = MemoryRegistry::honest();
    let sources = template();
    let manifest = fs::read_to_string(sources.root.join("Cargo.toml")).unwrap();
    sources.write("Cargo.toml", &manifest.replacen("0.1.0", "1.0.0", 1));
    sources.write("graph/graph.yaml", "version: 1\nsubgraphs:\n  - plugin:\n      version: 0.0.1\n      path: hello\n");
    let runner = Runner::of(sources);
    let job = runner.job("composer").installed();
    let wrapper = job.dir.with_file_name("bin").join("wgc");
    let alone = ALONE.map(|(name, value)| format!("{name}={value}")).join(" ");
    fs::write(&wrapper, format!("#!/bin/sh\n{alone} exec {} {} \"$@\"\n", node.display(), script.display())).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    let here = |block: &str| block.replace("HOST", &registry.server.host());
    job.succeed(&here("cargo plugin-build build --push HOST/plugins/hello"));
    job.succeed(&here(first));
    let config = || fs::read_to_string(job.dir.join("config.json")).unwrap();
    let set = config();
    assert!(set.contains("\"version\":\"1.0.0\",\"imageReference\":{\"repository\":\"plugins/hello@sha256\""), "{set}");
    job.succeed(&here(workspace));
    assert_eq!(config(), set);
}
