//! Several platforms in one image, and WebAssembly: made by a second compiler that has the standard libraries for them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::plugins::package;
use crate::support::program::{Ran, plugin_build, ran};
use crate::support::project::Project;
use crate::support::second_compiler::{self, ARM, HOST, second};
use crate::support::tools::{require, require_file, stdout};

fn ok(command: &mut Command) -> Ran {
    let ran = ran(command);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    ran
}

fn last_object(ran: &Ran) -> Value {
    serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap()
}

#[test]
fn one_run_makes_one_index_over_two_machines_and_both_programs_greet() {
    let (true, Some(qemu)) = (second_compiler::is_there(), require("qemu-aarch64")) else { return };
    let project = Project::fixture("greeter");
    let args = ["-q", "--message-format", "json", "--target", ARM, "--target", HOST, "-o", "out"];
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

/// Builds a wasm template; `None` where the compiler is missing. The standard library is compiled once for all.
fn wasm(template: &str, name: &str) -> Option<(PathBuf, Value)> {
    let needed = ["/usr/bin/cargo", "/usr/bin/rustc", "/usr/bin/wasm-ld-19", "/usr/lib/rustlib/src/rust/library/std/Cargo.toml"];
    if !needed.iter().all(|path| require_file(path)) {
        return None;
    }
    let dir = package(template, name);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("second-compiler");
    let mut command = second(&dir);
    command.args(["-q", "--message-format", "json", "-o", "out", "--target-dir"]).arg(target);
    let linker = "target.wasm32-unknown-unknown.linker=\"/usr/bin/wasm-ld-19\"";
    command.args(["--", "-Zbuild-std=std,panic_abort", "--config", linker]);
    let built = ok(&mut command);
    ok(plugin_build(&dir).args(["verify", "oci:out"]));
    let inspected = ok(plugin_build(&dir).args(["inspect", "--message-format", "json", "oci:out"]));
    assert_eq!(last_object(&built)["digest"], last_object(&inspected)["digest"]);
    Some((dir, last_object(&inspected)))
}

#[test]
fn a_module_is_a_cncf_artifact_of_one_raw_layer() {
    let Some((dir, image)) = wasm("wasm", "word-count") else { return };
    assert_eq!(image["media_type"], "application/vnd.oci.image.manifest.v1+json", "a lone manifest");
    let platform = &image["platforms"][0];
    assert_eq!(platform["artifact_type"], "application/vnd.wasm.config.v0+json");
    assert_eq!(platform["layers"].as_array().unwrap().len(), 1);
    assert_eq!(platform["layers"][0]["media_type"], "application/wasm");
    let digest = platform["layers"][0]["digest"].as_str().unwrap();
    let module = std::fs::read(dir.join("out/blobs/sha256").join(&digest[7..])).unwrap();
    assert_eq!(&module[..4], b"\0asm", "raw, not a tar");
    if let Some(skopeo) = require("skopeo") {
        let tag = "oci:out:0.1.0";
        stdout(Command::new(skopeo).args(["copy", "-q", tag, "oci:copied:1"]).current_dir(&dir));
        ok(plugin_build(&dir).args(["verify", "oci:copied:1"]));
    }
}

#[test]
fn a_filter_is_an_image_of_the_compat_variant() {
    let Some((dir, image)) = wasm("proxy-wasm", "header-rules") else { return };
    let platform = &image["platforms"][0];
    assert_eq!(image["media_type"], "application/vnd.oci.image.manifest.v1+json", "a lone manifest");
    assert_eq!(platform["annotations"]["module.wasm.image/variant"], "compat");
    assert_eq!(platform["config"]["rootfs"]["type"], "layers", "an ordinary image configuration");
    let last = platform["layers"].as_array().unwrap().last().unwrap();
    assert_eq!(last["media_type"], "application/vnd.oci.image.layer.v1.tar+gzip");
    let files = last["files"].to_string();
    assert!(files.contains("\"plugin.wasm\""), "{files}");
    if let Some(skopeo) = require("skopeo") {
        stdout(Command::new(skopeo).args(["copy", "-q", "oci:out:0.1.0", "oci:copied:1"]).current_dir(&dir));
    }
    let refused = ran(second(&dir).args(["--compression", "zstd", "-o", "zstd", "--", "-Zbuild-std=std,panic_abort"]));
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("must be compressed with gzip"), "{}", refused.stderr);
}
