//! Every template: its package compiles, passes its own tests, and has nothing to complain about.

use crate::support::plugins::{cargo, package};

fn passes_its_own_tests(template: &str, name: &str) {
    cargo(&package(template, name), &["test", "--quiet"]);
}

#[test]
fn the_executable_passes_its_own_tests() {
    passes_its_own_tests("executable", "phrases");
}

#[test]
fn the_library_passes_its_own_tests() {
    passes_its_own_tests("library", "colour-scale");
}

#[test]
fn the_module_passes_its_own_tests_on_this_machine() {
    passes_its_own_tests("wasm", "word-count");
}

#[test]
fn the_filter_passes_its_own_tests_on_this_machine() {
    passes_its_own_tests("proxy-wasm", "header-rules");
}

#[test]
fn the_router_plugin_passes_its_own_tests() {
    passes_its_own_tests("cosmo-router", "greeter");
}

/// Names whose words protobuf's code generators would spell otherwise than Rust does, and names of the template's own
/// modules.
#[test]
#[ignore = "slow"]
fn the_router_plugin_compiles_under_awkward_names() {
    for name in ["a-b", "foo-2bar", "plugin", "service", "HTTP-cache", "greeting", "host"] {
        cargo(&package("cosmo-router", name), &["check", "--quiet", "--all-targets"]);
    }
}
