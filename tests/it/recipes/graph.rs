//! From images in a registry to the configuration of a router.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::pages::blocks;
use super::runner::Runner;
use crate::support::memory_registry::MemoryRegistry;
use crate::support::project::Project;
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

/// What a router reads is there, and Ctrl-C ends it.
#[test]
fn a_change_reaches_a_router() {
    let [block] = &blocks("docs/src/recipes/cosmo-router.md", "## While you write: `dev`", "sh")[..] else { panic!("one block") };
    let project = Project::router_plugin("");
    project.write("router/config.json", "{\"version\":\"1\"}");
    let runner = Runner::of(project);
    let job = runner.job("author").installed();
    job.succeed(&format!(
        "({}) & dev=$!\ntrap 'kill $dev 2>/dev/null || :' EXIT\n\
         timeout 300 sh -ec \"until grep -q 1-dev. router/config.json; do kill -0 $dev; sleep 0.1; done\"\n\
         test -d router/plugins/p\nkill -INT $dev\nwait $dev || test $? = 130",
        block.trim().replace("cargo plugin-build dev", "exec cargo-plugin-build dev --offline"),
    ));
}
