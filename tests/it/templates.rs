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

/// A second compiler, with the sources of its standard library, makes real modules of both wasm templates.
#[test]
#[ignore = "compiles a standard library: minutes"]
fn the_wasm_templates_become_modules() {
    use std::process::Command;

    use crate::support::tools::stdout;

    let tools = ["/usr/bin/cargo", "/usr/bin/rustc", "/usr/bin/wasm-ld-19"];
    if !tools.iter().all(|tool| std::path::Path::new(tool).is_file()) {
        eprintln!("skipped: no second compiler with wasm");
        return;
    }
    for (template, name, export) in
        [("wasm", "word-count", "count_words"), ("proxy-wasm", "header-rules", "proxy_on_context_create")]
    {
        let target = home().join("target-wasm");
        let mut command = Command::new(tools[0]);
        command.current_dir(package(template, name));
        command.args(["build", "--quiet", "--release", "--target", "wasm32-unknown-unknown", "-Zbuild-std=std,panic_abort"]);
        command.arg("--config").arg(format!("target.wasm32-unknown-unknown.linker=\"{}\"", tools[2]));
        command.env("RUSTC", tools[1]).env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_DIR", &target);
        for variable in ["CARGO", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTUP_TOOLCHAIN"] {
            command.env_remove(variable);
        }
        stdout(&mut command);
        let module = target.join("wasm32-unknown-unknown/release").join(format!("{}.wasm", name.replace('-', "_")));
        let bytes = std::fs::read(module).unwrap();
        let facts = plugin_build::executable::wasm::inspect(&bytes).unwrap();
        assert!(facts.exports.contains(&export.to_owned()), "{:?}", facts.exports);
    }
}
