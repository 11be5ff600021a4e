//! Every template: its package compiles, passes its own tests, and has nothing to complain about.

use crate::support::plugins::{cargo, home, package};
use crate::support::program::{plugin_build, ran};

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

#[test]
fn what_runs_on_this_machine_packs_and_verifies() {
    for (template, name) in [("executable", "phrases"), ("library", "colour-scale"), ("cosmo-router", "greeter")] {
        let (package, dir) = (package(template, name), tempfile::tempdir().unwrap());
        let build = |more: &[&str]| {
            let mut command = plugin_build(&package);
            command.args(["build", "--quiet", "--profile", "dev", "--target-dir"]).arg(home().join("target"));
            ran(command.arg("--output").arg(dir.path().join("layout")).args(more))
        };
        let offline = build(&["--offline"]);
        let built = if offline.code == 0 { offline } else { build(&[]) };
        assert_eq!(built.code, 0, "{template}: {}", built.stderr);
        let verified = ran(plugin_build(&package).arg("verify").arg(built.stdout.trim()));
        assert_eq!(verified.code, 0, "{template}: {}{}", verified.stdout, verified.stderr);
    }
}

/// Names whose words protobuf's code generators would spell otherwise than Rust does, and names of the template's own
/// modules.
#[test]
fn the_router_plugin_compiles_under_awkward_names() {
    for name in ["a-b", "foo-2bar", "plugin", "service", "HTTP-cache", "greeting"] {
        cargo(&package("cosmo-router", name), &["check", "--quiet", "--all-targets"]);
    }
}
