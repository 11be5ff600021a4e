//! WebAssembly, made by a second compiler where this machine has one with the sources of its standard library.

use plugin_build::compile::check::check;
use plugin_build::compile::compile;
use plugin_build::executable::wasm::Form;
use plugin_build::plugin::BuildFlags;
use plugin_build::progress::Silent;

use crate::support::project::{Project, plan_in};

const LIBRARY: &str = "[lib]\ncrate-type = [\"cdylib\"]\n[profile.release]\npanic = \"abort\"\n[package.metadata.plugin-build]\n\
                       targets = [\"wasm32-unknown-unknown\"]\n";

#[test]
#[ignore = "compiles a standard library: minutes"]
fn a_wasm_module_is_compiled_and_understood() {
    let tools = ["/usr/bin/cargo", "/usr/bin/rustc", "/usr/bin/wasm-ld-19"];
    let project = Project::with_table(LIBRARY);
    std::fs::remove_file(project.root.join("src/main.rs")).unwrap();
    project.write("src/lib.rs", "#[unsafe(no_mangle)] pub extern \"C\" fn answer() -> i32 { 42 }");
    if !tools.iter().all(|tool| std::path::Path::new(tool).is_file()) {
        eprintln!("skipped: no second compiler with wasm");
        return;
    }
    let mut env = project.env();
    for (name, value) in [("CARGO", tools[0]), ("RUSTC", tools[1]), ("RUSTC_BOOTSTRAP", "1")] {
        env.set(name, value);
    }
    let linker = format!("target.wasm32-unknown-unknown.linker=\"{}\"", tools[2]);
    let cargo_args = ["-Zbuild-std=std,panic_abort".to_owned(), "--config".to_owned(), linker].to_vec();
    let flags = BuildFlags { quiet: true, offline: true, cargo_args, ..BuildFlags::default() };
    let plan = plan_in(&flags, &env, &Silent).unwrap();
    assert_eq!(plan.images[0].kind.as_str(), "wasm");
    assert_eq!(plan.images[0].targets[0].platform.to_string(), "wasip1/wasm");
    let artifacts = compile(&plan, &env, &Silent).unwrap();
    let checked = check(&plan, &artifacts, true, &env, &Silent).unwrap();
    let wasm = checked[0].executable.wasm.as_ref().unwrap();
    assert_eq!(wasm.form, Form::Module);
    assert!(wasm.exports.contains(&"answer".to_owned()), "{:?}", wasm.exports);
}
