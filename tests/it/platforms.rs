//! Several platforms in one image, and WebAssembly: made by a second compiler that has the standard libraries for them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::memory_registry::MemoryRegistry;
use crate::support::plugins::fixture_package;
use crate::support::program::{Ran, ok, plugin_build, ran};
use crate::support::project::Project;
use crate::support::second_compiler::{self, ARM, HOST, WASM_LD, available, is_recent, packed_wasm, second, target};
use crate::support::tools::{require, stdout};

fn last_object(ran: &Ran) -> Value {
    serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap()
}

#[test]
#[ignore = "needs qemu-aarch64"]
fn one_run_makes_one_index_over_two_machines_and_both_programs_greet() {
    let (true, Some(qemu)) = (second_compiler::is_there(), require("qemu-aarch64")) else { return };
    let project = Project::fixture("greeter");
    let args = ["--message-format", "json-progress", "--target", ARM, "--target", HOST, "-o", "out"];
    let built = ok(second(&project.root).args(args));
    let image = last_object(&built);
    let platforms: Vec<&str> = image["platforms"].as_array().unwrap().iter().map(|p| p["platform"].as_str().unwrap()).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"], "in sorted order, whatever the order of the flags");
    let layer = |platform: usize, layer: usize| image["platforms"][platform]["layers"][layer]["digest"].clone();
    assert_eq!(layer(0, 0), layer(1, 0), "the files are one blob for both");
    assert_ne!(layer(0, 1), layer(1, 1));
    let builds = built.stdout.lines().filter(|line| line.contains("spawned") && line.contains(" build ")).count();
    assert_eq!(builds, 1, "one cargo build for all: {}", built.stdout);
    ok(plugin_build(&project.root).args(["verify", "oci:out"]));

    ok(plugin_build(&project.root).args(["unpack", "--platform", "linux/arm64", "oci:out", "arm"]));
    let said = stdout(Command::new(qemu).arg(project.root.join("arm/greeter")));
    assert!(said.contains("greeting: Hello, world!"), "{said}");
    let absent = ran(plugin_build(&project.root).args(["unpack", "--platform", "linux/s390x", "oci:out", "no"]));
    assert_eq!(absent.code, 1);
    assert!(absent.stderr.contains("it has linux/amd64, linux/arm64"), "{}", absent.stderr);

    let other =
        ok(second(&project.root).args(["-q", "--message-format", "json", "--target", HOST, "--target", ARM, "-o", "again"]));
    assert_eq!(last_object(&other)["digest"], image["digest"]);
}

#[test]
fn a_target_without_its_standard_library_is_told_before_compiling() {
    let project = Project::fixture("greeter");
    let ran = ran(plugin_build(&project.root).args(["--target", "riscv64gc-unknown-linux-gnu"]));
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("rustup target add riscv64gc-unknown-linux-gnu"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("Compiling"), "{}", ran.stderr);
}

/// A packed wasm template, and what `inspect` tells of it; `None` where the compiler is missing.
fn wasm(template: &str, name: &str) -> Option<(PathBuf, Value)> {
    let layout = packed_wasm(template, name)?;
    let image = format!("oci:{}", layout.display());
    Some((layout, last_object(&ok(plugin_build(Path::new("/")).args(["inspect", "--message-format", "json", &image])))))
}

fn blob(layout: &Path, descriptor: &Value) -> Vec<u8> {
    std::fs::read(layout.join("blobs/sha256").join(&descriptor["digest"].as_str().unwrap()[7..])).unwrap()
}

#[test]
#[ignore = "needs Debian's compiler"]
fn a_module_is_a_cncf_artifact_of_one_raw_layer() {
    let Some((layout, image)) = wasm("wasm", "word-count") else { return };
    assert_eq!(image["media_type"], "application/vnd.oci.image.manifest.v1+json", "a lone manifest");
    let platform = &image["platforms"][0];
    assert_eq!(platform["platform"], "wasip1/wasm");
    assert_eq!(platform["artifact_type"], "application/vnd.wasm.config.v0+json");
    assert_eq!(platform["layers"].as_array().unwrap().len(), 1);
    assert_eq!(platform["layers"][0]["media_type"], "application/wasm");
    assert_eq!(&blob(&layout, &platform["layers"][0])[..4], b"\0asm", "raw, not a tar");
    assert_eq!(platform["config"]["os"], "wasip1");
    assert!(platform["config"].get("component").is_none(), "{platform}");
}

#[test]
#[ignore = "needs Debian's compiler"]
fn a_filter_is_an_image_of_the_compat_variant() {
    let Some((layout, image)) = wasm("proxy-wasm", "header-rules") else { return };
    let platform = &image["platforms"][0];
    assert_eq!(image["media_type"], "application/vnd.oci.image.manifest.v1+json", "a lone manifest");
    assert_eq!(platform["annotations"]["module.wasm.image/variant"], "compat");
    assert_eq!(platform["config"]["rootfs"]["type"], "layers", "an ordinary image configuration");
    let last = platform["layers"].as_array().unwrap().last().unwrap();
    assert_eq!(last["media_type"], "application/vnd.oci.image.layer.v1.tar+gzip");
    let files = last["files"].to_string();
    assert!(files.contains("\"plugin.wasm\""), "{files}");
    let dir = layout.parent().unwrap();
    let refused = ran(second(dir).args(["--compression", "zstd", "-o", "zstd", "--", "-Zbuild-std=std,panic_abort"]));
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("must be compressed with gzip"), "{}", refused.stderr);
}

/// The component of `fixtures/plugins/tally`, packed; `None` where a tool is missing.
fn component() -> Option<PathBuf> {
    let sysroot = stdout(Command::new("rustc").args(["--print", "sysroot"]));
    let linker = format!("{}/lib/rustlib/{HOST}/bin/wasm-component-ld", sysroot.trim());
    if !available(&[WASM_LD, &linker]) {
        return None;
    }
    let dir = fixture_package("tally");
    let settings = [
        format!("target.wasm32-wasip2.linker={linker:?}"),
        // Nothing of the C library for this target, which the compiler does not bring.
        format!("target.wasm32-wasip2.rustflags=['-Clink-self-contained=no', '-Clink-arg=--wasm-ld-path={WASM_LD}']"),
    ];
    let mut command = second(&dir);
    command.args(["-q", "--target", "wasm32-wasip2", "-o", "out", "--target-dir"]).arg(target("tally"));
    command.args(["--", "-Zbuild-std=core,panic_abort"]);
    ok(command.args(settings.iter().flat_map(|setting| ["--config", setting])));
    Some(dir.join("out"))
}

#[test]
#[ignore = "needs Debian's compiler"]
fn a_component_is_told_from_a_module_and_says_what_it_needs_and_offers() {
    let Some(layout) = component() else { return };
    let (home, registry) = (tempfile::tempdir().unwrap(), MemoryRegistry::honest());
    let run = |args: &[&str]| ok(plugin_build(home.path()).args(args));
    let remote = format!("{}/team/tally", registry.repository("x").host);
    let pushed = run(&["push", &format!("oci:{}", layout.display()), &remote]).stdout;
    run(&["pull", &format!("{remote}:0.1.0"), "pulled"]);
    run(&["verify", "oci:pulled"]);
    let image = last_object(&run(&["inspect", "--message-format", "json", "oci:pulled"]));
    assert_eq!(pushed.trim(), format!("{remote}@{}", image["digest"].as_str().unwrap()));
    assert_eq!(image["media_type"], "application/vnd.oci.image.manifest.v1+json", "a lone manifest");
    let platform = &image["platforms"][0];
    assert_eq!(platform["platform"], "wasip2/wasm");
    let config = &platform["config"];
    assert_eq!((&config["architecture"], &config["os"]), (&"wasm".into(), &"wasip2".into()));
    assert_eq!(config["layerDigests"], serde_json::json!([platform["layers"][0]["digest"]]));
    let component = serde_json::json!({
        "imports": ["example:tally/clock@0.1.0"],
        "exports": ["example:tally/counter@0.1.0"],
    });
    assert_eq!(config["component"], component);
    let told = run(&["inspect", "oci:pulled"]).stdout;
    for line in ["wasip2/wasm", "  imports     example:tally/clock@0.1.0", "  exports     example:tally/counter@0.1.0"] {
        assert!(told.lines().any(|told| told == line), "{line}: {told}");
    }

    // The one raw layer becomes a file that a runtime can be given.
    let unpacked = run(&["unpack", "oci:pulled", "unpacked"]);
    assert!(unpacked.stderr.contains("(wasip2/wasm)"), "{}", unpacked.stderr);
    let installed = run(&["install", "oci:pulled", "plugins"]);
    assert!(
        installed.stderr.contains("Installed tally 0.1.0 (") && installed.stderr.contains("), wasip2/wasm"),
        "{}",
        installed.stderr
    );
    assert!(home.path().join("plugins/tally/tally.wasm").is_file());
    assert_eq!(
        std::fs::read(home.path().join("unpacked/tally.wasm")).unwrap(),
        blob(&layout, &platform["layers"][0]),
        "the component, byte for byte"
    );
}

#[test]
#[ignore = "needs x86_64-w64-mingw32-gcc"]
fn a_program_and_a_library_for_windows_have_the_names_that_windows_wants() {
    if !available(&[]) || require("x86_64-w64-mingw32-gcc").is_none() || !is_recent() {
        return;
    }
    let dir = fixture_package("chime");
    let build = |args: &[&str]| {
        let mut command = second(&dir);
        command.args(["--target", "x86_64-pc-windows-gnu", "-o", "out", "--target-dir"]).arg(target("chime"));
        ran(command.args(args).args(["--", "-Zbuild-std=core,panic_abort"]))
    };
    let platform = || {
        ok(plugin_build(&dir).args(["verify", "oci:out"]));
        let inspected = ok(plugin_build(&dir).args(["inspect", "--message-format", "json", "oci:out"]));
        let platform = last_object(&inspected)["platforms"][0].clone();
        assert_eq!(platform["platform"], "windows/amd64");
        platform
    };
    let undecided = build(&[]);
    assert_eq!(undecided.code, 2, "{}", undecided.stderr);
    assert!(undecided.stderr.contains("could be `executable` or `library`"), "{}", undecided.stderr);

    let program = build(&["--bin", "chime"]);
    assert_eq!(program.code, 0, "{}", program.stderr);
    assert!(!program.stderr.contains("holds a path of this machine"), "{}", program.stderr);
    let found = platform();
    assert_eq!(found["config"]["config"]["Entrypoint"], serde_json::json!(["/chime.exe"]));
    assert_eq!(found["layers"][0]["files"][0]["path"], "chime.exe");

    let manifest = dir.join("Cargo.toml");
    let table = "\n[package.metadata.plugin-build]\nkind = \"library\"\n";
    std::fs::write(&manifest, std::fs::read_to_string(&manifest).unwrap() + table).unwrap();
    let library = build(&["--features", "leak"]);
    assert_eq!(library.code, 0, "{}", library.stderr);
    let leak = format!("chime.dll holds a path of this machine: {}", dir.display());
    assert!(library.stderr.contains(&leak), "{}", library.stderr);
    let found = platform();
    assert_eq!(found["layers"][0]["files"][0]["path"], "chime.dll");
    let exports = plugin_oci::values::digest::Digest::of(b"chime_count\nchime_source").to_string();
    assert_eq!(found["annotations"]["dev.cargo-plugin-build.exports"], exports, "the library exports what it says, and no more");
}
