//! What comes out of each kind, before the tools that others move and start images with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::container::Container;
use crate::support::plugins::packed;
use crate::support::program::{plugin_build, ran};
use crate::support::project::Project;
use crate::support::second_compiler::packed_wasm;
use crate::support::tools::{require, stdout};

/// A kind, made from its template.
struct Row {
    kind: &'static str,
    layout: fn() -> Option<PathBuf>,
    /// The media type of what the tag names.
    root: &'static str,
    fate: Fate,
}

/// What becomes of an image in a container engine.
enum Fate {
    /// It is unpacked and says this line.
    Says(&'static str, &'static [&'static str]),
    /// It is unpacked and has this file, which begins so. A proxy loads it: it is no program that a runtime could start,
    /// and for its system, `wasip1`, umoci makes no bundle, only a root file system.
    Holds(&'static str, &'static [u8]),
    /// It is an artifact, not an image: no engine takes it.
    Artifact,
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

const ROWS: [Row; 5] = [
    Row {
        kind: "executable",
        layout: || Some(packed("executable", "phrases")),
        root: INDEX,
        fate: Fate::Says("Well begun is half done.", &[]),
    },
    Row {
        kind: "cosmo-router",
        layout: || Some(packed("cosmo-router", "greeter")),
        root: INDEX,
        fate: Fate::Says(
            "1|1|unix|/dev/shm/",
            &[
                "GRPC_DATASOURCE_PLUGIN=GRPC_DATASOURCE_PLUGIN",
                "PLUGIN_PROTOCOL_VERSIONS=1",
                "PLUGIN_UNIX_SOCKET_DIR=/dev/shm",
                "startup_config={}",
            ],
        ),
    },
    Row {
        kind: "proxy-wasm",
        layout: || packed_wasm("proxy-wasm", "header-rules"),
        root: MANIFEST,
        fate: Fate::Holds("plugin.wasm", b"\0asm"),
    },
    Row { kind: "wasm", layout: || packed_wasm("wasm", "word-count"), root: MANIFEST, fate: Fate::Artifact },
    Row { kind: "library", layout: || Some(packed("library", "colour-scale")), root: INDEX, fate: Fate::Artifact },
];

#[test]
#[ignore = "needs skopeo"]
fn the_image_of_every_kind_passes_our_verify_before_and_after_skopeo_copied_it() {
    let Some(skopeo) = require("skopeo") else { return };
    for Row { kind, layout, root, .. } in ROWS {
        let (Some(layout), dir) = (layout(), tempfile::tempdir().unwrap()) else { continue };
        let from = format!("oci:{}:0.1.0", layout.display());
        let before = verified(&from, dir.path());
        assert_eq!((before["kind"].as_str(), before["media_type"].as_str()), (Some(kind), Some(root)), "{before}");
        for how in [&["--all", "--preserve-digests"][..], &["--all"]] {
            let mut copy = Command::new(&skopeo);
            stdout(copy.args(["copy", "-q"]).args(how).args([&from, "oci:copied:1"]).current_dir(&dir));
            assert_eq!(verified("oci:copied:1", dir.path()), before, "{kind} {how:?}");
        }
    }
}

/// Verifies an image, also one of a router without its contract, which skopeo leaves behind; its digest, media type and kind.
fn verified(image: &str, dir: &Path) -> Value {
    let verify = ran(plugin_build(dir).args(["verify", image]));
    assert_eq!((verify.code, verify.stdout.as_str()), (0, ""), "{}", verify.stderr);
    let inspect = ran(plugin_build(dir).args(["inspect", "--no-files", "--message-format", "json", image]));
    let image: Value = serde_json::from_str(&inspect.stdout).unwrap();
    let kind = &image["annotations"]["dev.cargo-plugin-build.kind"];
    serde_json::json!({ "digest": image["digest"], "media_type": image["media_type"], "kind": kind })
}

#[test]
#[ignore = "needs umoci"]
fn every_image_is_unpacked_by_umoci_and_started_by_a_runtime_if_it_is_a_program() {
    for Row { kind, layout, fate, .. } in ROWS {
        if matches!(fate, Fate::Artifact) {
            continue;
        }
        let (Some(layout), dir) = (layout(), tempfile::tempdir().unwrap()) else { continue };
        match fate {
            Fate::Says(line, env) => {
                let Some(container) = Container::unpack(&layout, "0.1.0", &dir.path().join(kind)) else { return };
                container
                    .configure(|config| config["process"]["env"].as_array_mut().unwrap().extend(env.iter().map(|&e| e.into())));
                let said = container.run(|said| said.starts_with(line));
                assert!(said.lines().any(|said| said.starts_with(line)), "{kind}: {said}");
            }
            Fate::Holds(file, start) => {
                let Some(umoci) = require("umoci") else { return };
                let image = format!("{}:0.1.0", layout.display());
                stdout(Command::new(umoci).args(["raw", "unpack", "--image", &image, "root"]).current_dir(&dir));
                assert!(fs::read(dir.path().join("root").join(file)).unwrap().starts_with(start), "{kind}");
            }
            Fate::Artifact => {}
        }
    }
}

fn rewrite(project: &Project, path: &str, from: &str, to: &str) {
    let text = fs::read_to_string(project.root.join(path)).unwrap();
    project.write(path, &text.replace(from, to));
}

type Breach = (&'static str, fn(&Project), &'static [&'static str], &'static str);

#[test]
fn what_the_router_would_refuse_is_refused_before_compiling() {
    let nothing = |_: &Project| {};
    let breaches: [Breach; 8] = [
        ("entrypoint = ['/bin/sh']", nothing, &[], "starts a plugin by the path of its program"),
        ("bundle-libs = true", nothing, &[], "would never see a base or bundled libraries"),
        ("base = 'oci:base'", nothing, &[], "would never see a base or bundled libraries"),
        (
            "files = [{ from = 'assets/**', to = 'assets/' }]",
            |project| std::os::unix::fs::symlink("a.txt", project.root.join("assets/b.txt")).unwrap(),
            &[],
            "`assets/b.txt` is a symlink",
        ),
        ("", |project| fs::remove_file(project.root.join("src/schema.graphql")).unwrap(), &[], "contract's schema"),
        ("", |project| rewrite(project, "generated/mapping.json", "QueryP", "QueryX"), &[], "maps to rpc `QueryX`"),
        (
            "",
            |project| rewrite(project, "generated/service.proto", "(QueryPResponse)", "(stream QueryPResponse)"),
            &[],
            "streams",
        ),
        // The standard library for it is not asked for first.
        ("", nothing, &["--target", "riscv64gc-unknown-linux-gnu"], "does not run on `linux/riscv64`"),
    ];
    for (table, breach, args, says) in breaches {
        let project = Project::router_plugin(table);
        breach(&project);
        let refused = ran(plugin_build(&project.root).args(args));
        assert_eq!(refused.code, 2, "{says}: {}", refused.stderr);
        assert!(refused.stderr.contains(says), "{says}: {}", refused.stderr);
        assert!(!project.root.join("target").exists(), "{says}: something was compiled");
    }
}

#[test]
fn what_the_router_would_ignore_is_told() {
    let project = Project::router_plugin("args = ['-v']\nenv = { A = 'b' }\nuser = '5'\nworkdir = '/x'");
    let planned = ran(plugin_build(&project.root).args(["--dry-run"]));
    assert_eq!(planned.code, 0, "{}", planned.stderr);
    for key in ["args", "env", "user", "workdir"] {
        assert!(planned.stderr.contains(&format!("the Cosmo Router ignores `{key}` of `p`")), "{}", planned.stderr);
    }
    assert!(!ran(plugin_build(&Project::router_plugin("").root).args(["--dry-run"])).stderr.contains("ignores"));
}
