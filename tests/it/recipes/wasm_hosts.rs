//! Plugins of hosts that load WebAssembly: their packages say nothing but what they depend on.

use super::pages::{blocks, text};
use super::runner::{Job, Runner};
use crate::support::project::Project;
use crate::support::registry_cache::cargo_home;
use crate::support::second_compiler::{WASM_LD, available};

/// A package that depends on this crate, which is empty here, and exports a function.
fn guest(dependency: &str) -> Project {
    let manifest = format!(
        "[package]\nname = \"greet\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lib]\ncrate-type = [\"cdylib\"]\n\n[dependencies]\n\
         {dependency} = {{ path = \"{dependency}\" }}\n\n[profile.release]\npanic = \"abort\"\n\n[workspace]\n"
    );
    let crate_manifest = format!("[package]\nname = \"{dependency}\"\nversion = \"1.0.0\"\nedition = \"2024\"\n");
    let config = format!("[unstable]\nbuild-std = [\"core\"]\n\n[target.wasm32-unknown-unknown]\nlinker = {WASM_LD:?}\n");
    let source = "#![no_std]\n\n#[panic_handler]\nfn panic(_: &core::panic::PanicInfo<'_>) -> ! {\n    loop {}\n}\n\n\
                  #[unsafe(no_mangle)]\npub extern \"C\" fn greet() -> i32 {\n    0\n}\n";
    Project::new(&[
        ("Cargo.toml", &manifest),
        ("src/lib.rs", source),
        (".cargo/config.toml", &config),
        (&format!("{dependency}/Cargo.toml"), &crate_manifest),
        (&format!("{dependency}/src/lib.rs"), "#![no_std]\n"),
    ])
}

/// A job whose cargo is the second compiler's, which makes `core` from its sources; `None` where that is missing.
fn job(dependency: &str) -> Option<(Runner, Job)> {
    if !available(&[WASM_LD]) {
        return None;
    }
    let runner = Runner::of(guest(dependency));
    let job = runner.job("here").installed();
    job.tool("cargo", &[], "export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1\nexec /usr/bin/cargo \"$@\"");
    Some((runner, job))
}

#[test]
#[ignore = "needs rustc-web"]
fn a_plugin_of_extism_is_built_unpacked_and_called() {
    let [block] = &blocks("docs/src/recipes/wasm-hosts.md", "## Extism", "sh")[..] else { panic!("one block") };
    let Some((_runner, job)) = job("extism-pdk") else { return };
    job.tool("extism", &[("call unpacked/greet.wasm greet --input Ana", "head -c 4 unpacked/greet.wasm")], "exit 9");
    // The sources of the standard library name crates that only the developer's cargo has.
    let online = format!("export CARGO_HOME={}\nunset CARGO_NET_OFFLINE\n{block}", cargo_home().display());
    assert_eq!(job.succeed(&online).stdout, "oci:target/plugin-build/greet:0.1.0\nunpacked\n\0asm");
}

#[test]
#[ignore = "needs rustc-web"]
fn what_a_package_depends_on_tells_kind_and_target() {
    let [block] = &blocks("docs/src/recipes/wasm-hosts.md", "## A component", "sh")[..] else { panic!("one block") };
    let build = block.lines().next().unwrap();
    let page = text("docs/src/recipes/wasm-hosts.md");
    let rows: Vec<Vec<&str>> =
        page.lines().filter_map(|line| line.strip_prefix("| `")).map(|row| row.split('|').collect()).collect();
    assert_eq!(rows.len(), 6);
    for row in rows {
        let target = row[2].trim().trim_start_matches('`').split('`').next().unwrap();
        for name in row[0].split(", ").map(|name| name.trim().trim_matches('`')) {
            let Some((_runner, job)) = job(name) else { return };
            // The plan tells; a component would need a linker of its own.
            let plan = job.succeed(&format!("{build} --dry-run")).stdout;
            let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
            let kind = if name == "proxy-wasm" { name } else { "wasm" };
            assert_eq!(plan["images"][0]["kind"], kind, "{name}");
            assert_eq!(plan["images"][0]["targets"][0]["target"], target, "{name}");
        }
    }
}
