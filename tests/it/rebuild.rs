//! `verify --rebuild` through the program: the same sources give the same image, and what else there is is told.

mod refused;

use std::fs;
use std::path::Path;
use std::process::Command;

use plugin_oci::values::compression::Compression;
use serde_json::Value;

use crate::support::git::git_dependency;
use crate::support::layouts::{HandLayout, system_base};
use crate::support::memory_registry::MemoryRegistry;
use crate::support::namespaces;
use crate::support::program::{Ran, plugin_build, ran};
use crate::support::project::{Project, copy};
use crate::support::second_compiler::{self, ARM, HOST, second};
use crate::support::tools::{require, stdout};

fn built(project: &Project, args: &[&str]) {
    project.done(&[&["build", "-q"], args].concat());
}

/// What a rebuild reports.
fn report(ran: &Ran) -> Value {
    let last = ran.stdout.lines().last().unwrap_or_else(|| panic!("{}", ran.stderr));
    let report: Value = serde_json::from_str(last).unwrap();
    assert_eq!(report["reason"], "rebuilt", "{}", ran.stderr);
    report
}

fn rebuilt(project: &Project, args: &[&str]) -> (i32, Value) {
    let ran = ran(plugin_build(&project.root).args(["verify", "--rebuild", "--message-format", "json"]).args(args));
    (ran.code, report(&ran))
}

fn told(report: &Value) -> Vec<String> {
    let differences = report["differences"].as_array().unwrap().iter();
    differences.map(|d| format!("{}: {}", d["object"].as_str().unwrap(), d["message"].as_str().unwrap())).collect()
}

/// The layout `forged`: the image of `out`, whose manifest's annotations somebody changed.
fn forge(project: &Project, change: impl Fn(&mut Value)) {
    let read = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let from = project.root.join("out");
    let blob = |descriptor: &Value| from.join("blobs").join(descriptor["digest"].as_str().unwrap().replace(':', "/"));
    let index = read(&blob(&read(&from.join("index.json"))["manifests"][0]));
    let mut descriptor = index["manifests"][0].clone();
    let mut manifest = read(&blob(&descriptor));
    change(&mut manifest["annotations"]);

    let mut forged = HandLayout::new(&project.root.join("forged"));
    copy(&from.join("blobs"), &project.root.join("forged/blobs"));
    let made = forged.blob(manifest.to_string().as_bytes(), "application/vnd.oci.image.manifest.v1+json");
    (descriptor["digest"], descriptor["size"]) = (made["digest"].clone(), made["size"].clone());
    let root = forged.index(&[descriptor], &index["annotations"]);
    forged.tag("1", root);
}

#[test]
#[ignore = "slow"]
fn the_same_sources_give_the_same_digest_and_leave_nothing_behind() {
    let project = Project::fixture("greeter");
    built(&project, &["--provenance"]);
    let temporary = tempfile::tempdir().unwrap();
    let verified = ran(plugin_build(&project.root).args(["verify", "--rebuild"]).env("TMPDIR", temporary.path()));
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    assert!(verified.stderr.contains("Rebuilt") && verified.stderr.contains("the same digest"), "{}", verified.stderr);
    assert!(verified.stderr.contains("another/checkout"), "{}", verified.stderr);
    assert_eq!(walkdir::WalkDir::new(temporary.path()).into_iter().count(), 1, "the place is removed");
    let (code, report) = rebuilt(&project, &[]);
    assert_eq!((code, &report["tools"]), (0, &Value::from("same")));
    assert_eq!(report["digest"], report["rebuilt"]);
}

#[test]
fn an_image_is_compared_with_sources_that_lie_anywhere() {
    let project = Project::fixture("greeter");
    built(&project, &["-o", "out"]);
    let elsewhere = tempfile::tempdir().unwrap();
    let image = format!("oci:{}:0.3.1", project.root.join("out").display());
    let manifest = project.root.join("Cargo.toml");
    let mut verify = plugin_build(elsewhere.path());
    verify.args(["verify", "--rebuild", "--manifest-path"]).arg(&manifest).arg(&image);
    let verified = ran(&mut verify);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    let pointless = ran(plugin_build(elsewhere.path()).args(["verify", "--manifest-path"]).arg(&manifest).arg(&image));
    assert_eq!(pointless.code, 2, "{}", pointless.stderr);
}

#[test]
fn other_sources_are_told_down_to_the_line() {
    let project = Project::fixture("greeter");
    built(&project, &["--no-provenance"]);
    project.write("assets/greeting.txt", "Good evening\n");
    let (code, report) = rebuilt(&project, &[]);
    assert_eq!((code, &report["verdict"], &report["tools"]), (3, &"other-contents".into(), &"unknown".into()));
    let told = told(&report);
    assert!(told[0].starts_with("linux/amd64 > layer 1 > share/greeting.txt > line 1: "), "{told:?}");
    assert!(told[1].starts_with("toolchain: the image does not say"), "{told:?}");
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
#[ignore = "slow"]
fn another_linker_is_named_first() {
    let project = Project::fixture("greeter");
    project.write("cc", "#!/bin/sh\ncase \"$1\" in --version) echo 'another linker 9.9';; *) exec cc \"$@\";; esac\n");
    assert!(Command::new("chmod").arg("+x").arg(project.root.join("cc")).status().unwrap().success());
    let mut build = plugin_build(&project.root);
    build.args(["build", "-q", "--provenance"]);
    build.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER", project.root.join("cc"));
    let first = ran(&mut build);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let (code, report) = rebuilt(&project, &[]);
    assert_eq!((code, &report["tools"]), (0, &"other".into()), "the linker's name makes no difference to the bytes");
    project.write("src/main.rs", "fn main() {}\n");
    let (code, report) = rebuilt(&project, &[]);
    assert_eq!(code, 3);
    assert!(
        told(&report)[0].starts_with("toolchain > linker for x86_64-unknown-linux-gnu: other toolchain: another linker 9.9 -> ")
    );
}

#[test]
#[ignore = "slow"]
fn what_was_given_on_the_command_line_is_given_again() {
    let project = Project::fixture("options");
    let mut build = plugin_build(&project.root);
    build.args(["build", "-q", "-F", "whisper", "--no-default-features", "--profile", "dev", "--bin", "options"]);
    build.args(["--compression", "zstd", "--annotation", "org.example.revision=7", "--label", "a=b"]);
    build.env("SOURCE_DATE_EPOCH", "1700000000").env("RUSTFLAGS", "-Copt-level=1").env("CARGO_PROFILE_DEV_PANIC", "abort");
    let first = ran(&mut build);
    assert_eq!(first.code, 0, "{}", first.stderr);
    // What the sources do not say, the image asks for.
    let (code, report) = rebuilt(&project, &[]);
    assert_eq!((code, &report["verdict"]), (3, &"same".into()), "{:?}", told(&report));
    let asked: Vec<Value> = report["differences"].as_array().unwrap().iter().map(|told| told["object"].clone()).collect();
    let parts = ["features", "no-default-features", "profile", "rustflags", "profile-keys > panic"];
    assert_eq!(asked, parts.map(|part| Value::from(format!("request > {part}"))), "{:?}", told(&report));
    assert!(report["differences"].as_array().unwrap().iter().all(|told| told["rule"] == "request-differs"));
    let (code, report) = rebuilt(&project, &["--accept-request"]);
    assert_eq!((code, &report["request_accepted"]), (0, &true.into()), "{:?}", told(&report));
    // Or it is given here, too.
    let mut verify = plugin_build(&project.root);
    verify.args(["verify", "--rebuild", "-q", "-F", "whisper", "--no-default-features", "--profile", "dev"]);
    let same = ran(verify.env("RUSTFLAGS", "-Copt-level=1").env("CARGO_PROFILE_DEV_PANIC", "abort"));
    assert_eq!(same.code, 0, "{}{}", same.stdout, same.stderr);
    let taken = ["annotation org.example.revision", "label a", "time 2023-11-14T22:13:20Z"];
    assert_eq!(report["taken"], serde_json::json!(taken));
}

#[test]
#[ignore = "slow"]
fn keys_of_a_profile_that_variables_set_are_set_again() {
    let project = Project::with_table("");
    let mut build = plugin_build(&project.root);
    build.args(["build", "-q"]);
    // The last is one of the profile `release-small`, and could be one of `release`.
    for name in ["BUILD_OVERRIDE_OPT_LEVEL", "BUILD_OVERRIDE_CODEGEN_UNITS", "SMALL_OPT_LEVEL"] {
        build.env(format!("CARGO_PROFILE_RELEASE_{name}"), "1");
    }
    let first = ran(&mut build);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let same = project.run(&["verify", "--rebuild", "-q", "--accept-request"]);
    assert_eq!(same.code, 0, "{}{}", same.stdout, same.stderr);
    let told = project.run(&["verify", "--rebuild", "-q"]);
    assert_eq!(told.code, 3, "{}", told.stdout);
    assert!(
        told.stdout.contains("build-override-opt-level: the image was asked for 1, the sources say nothing"),
        "{}",
        told.stdout
    );
}

#[test]
#[ignore = "slow"]
fn what_the_user_has_set_here_does_not_reach_there() {
    let project = Project::fixture("greeter");
    built(&project, &[]);
    let mut verify = plugin_build(&project.root);
    verify.args(["verify", "--rebuild", "-q", "oci:target/plugin-build/greeter:0.3.1"]);
    verify.env("RUSTFLAGS", "--cfg=other -Copt-level=0").env("CARGO_PROFILE_RELEASE_DEBUG", "true");
    verify.env("SOURCE_DATE_EPOCH", "9").env("CARGO_TARGET_DIR", "other").env("RUSTC_WRAPPER", "/nowhere");
    let verified = ran(&mut verify);
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
}

#[test]
fn flags_with_absolute_paths_and_foreign_images_cannot_be_rebuilt() {
    let project = Project::fixture("buildscript");
    let flag = format!("-L{}", project.root.display());
    let first = ran(plugin_build(&project.root).args(["build", "-q"]).env("RUSTFLAGS", flag));
    assert_eq!(first.code, 0, "{}", first.stderr);
    let refused = project.run(&["verify", "--rebuild", "-q"]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("absolute paths: -L/ws"), "{}", refused.stderr);

    let mut layout = HandLayout::new(&project.root.join("foreign"));
    let image = layout.image("linux/amd64", &[], Compression::Gzip);
    let index = layout.index(&[image], &serde_json::json!({}));
    layout.tag("1", index);
    let refused = project.run(&["verify", "--rebuild", "-q", "oci:foreign:1"]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("does not say how it was built"), "{}", refused.stderr);
}

#[test]
fn ignored_files_that_are_packed_by_name_and_packages_outside_come_along() {
    let project = Project::new(&[
        (
            "inner/Cargo.toml",
            "[package]\nname='p'\nversion='0.1.0'\nedition='2024'\n[workspace]\n[dependencies]\nq={path='../q'}\n\
         [package.metadata.plugin-build]\nfiles=[{from='made/it.txt'}]\n",
        ),
        ("inner/src/main.rs", "fn main() { println!(\"{}\", q::Q); }\n"),
        ("inner/.gitignore", "made\nsecret\n"),
        ("inner/made/it.txt", "made\n"),
        ("inner/secret/key", "s3cret\n"),
        ("q/Cargo.toml", "[package]\nname='q'\nversion='0.1.0'\nedition='2024'\n"),
        ("q/src/lib.rs", "pub const Q: &str = \"q\";\n"),
    ]);
    let inner = project.root.join("inner");
    let first = ran(plugin_build(&inner).args(["build", "-q"]));
    assert_eq!(first.code, 0, "{}", first.stderr);
    let verified = ran(plugin_build(&inner).args(["verify", "--rebuild", "--message-format", "json"]));
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
    assert!(fs::metadata(inner.join("secret/key")).is_ok());
}

#[test]
fn provenance_names_the_tools_and_is_the_same_every_time() {
    let project = Project::with_table("");
    let repository = git_dependency(&project.root.join("../orbit"));
    let manifest = fs::read_to_string(project.root.join("Cargo.toml")).unwrap();
    project.write("Cargo.toml", &format!("{manifest}[dependencies]\norbit = {{ git = '{repository}' }}\n"));
    let cargo = tempfile::tempdir().unwrap();
    let built = || {
        let built = ran(plugin_build(&project.root).args(["build", "-q", "--provenance"]).env("CARGO_HOME", cargo.path()));
        assert_eq!(built.code, 0, "{}", built.stderr);
    };
    let statement = |dir: &Path| {
        let layout = dir.join("target/plugin-build/p");
        let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
        let entries = index["manifests"].as_array().unwrap().clone();
        let of_type = |entry: &&Value| entry["artifactType"] == "application/vnd.in-toto+json";
        let blob = |digest: &Value| {
            let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
            serde_json::from_slice::<Value>(&fs::read(layout.join("blobs/sha256").join(hex)).unwrap()).unwrap()
        };
        let manifest = blob(&entries.iter().find(of_type).unwrap()["digest"]);
        blob(&manifest["layers"][0]["digest"])
    };
    built();
    let first = statement(&project.root);
    let definition = &first["predicate"]["buildDefinition"];
    let toolchain = &definition["internalParameters"]["toolchain"];
    assert!(toolchain["rustc"].as_str().unwrap().starts_with("rustc "));
    let linker = &toolchain["linkers"]["x86_64-unknown-linux-gnu"];
    assert!(linker["libc"].as_str().unwrap().starts_with("sha256:") && linker["version"].is_string(), "{linker}");
    let request = &definition["externalParameters"]["requests"]["linux/amd64"];
    assert_eq!(request["package"], "p");
    let dependencies = definition["resolvedDependencies"].as_array().unwrap();
    let [orbit, lock] = dependencies.as_slice() else { panic!("{dependencies:?}") };
    assert_eq!(lock["name"], "Cargo.lock");
    assert!(orbit["uri"].as_str().unwrap().starts_with("pkg:cargo/orbit@0.2.0?vcs_url=git%2Bfile:"), "{orbit}");
    assert_eq!(orbit["digest"]["gitCommit"].as_str().unwrap().len(), 40, "{orbit}");
    let text = first.to_string();
    assert!(!text.contains(&project.root.display().to_string()), "{text}");
    built();
    assert_eq!(statement(&project.root), first);
}

#[test]
#[ignore = "slow"]
fn a_path_that_the_code_asks_for_is_found_and_named() {
    let project = Project::with_table("");
    project.write("src/main.rs", "fn main() { println!(\"{}\", env!(\"CARGO_MANIFEST_DIR\")); }\n");
    built(&project, &[]);
    let (code, report) = rebuilt(&project, &[]);
    assert_eq!((code, &report["verdict"]), (3, &"other-contents".into()));
    let told = told(&report);
    let leak = told.iter().find(|told| told.contains("> paths: ")).unwrap_or_else(|| panic!("{told:?}"));
    assert!(leak.contains(&project.root.display().to_string()) || leak.contains("another/checkout"), "{told:?}");
}

#[test]
#[ignore = "slow"]
fn a_base_that_was_given_to_build_is_given_again() {
    let project = Project::fixture("greeter");
    system_base(&project.root.join("base"));
    built(&project, &["--base", "oci:base:1", "--target", "x86_64-unknown-linux-gnu", "-o", "out"]);
    let refused = project.run(&["verify", "--rebuild", "-q", "oci:out:0.3.1"]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("builds on `base:1`") && refused.stderr.contains("--base"), "{}", refused.stderr);
    let same = project.run(&["verify", "--rebuild", "-q", "--base", "oci:base:1", "oci:out:0.3.1"]);
    assert_eq!(same.code, 0, "{}{}", same.stdout, same.stderr);
}

#[test]
fn members_of_the_workspace_that_lie_beside_it_come_along() {
    let project = Project::new(&[
        (
            "ws/Cargo.toml",
            "[package]\nname='p'\nversion='0.1.0'\nedition='2024'\n[workspace]\nmembers=['../beside']\n\
             [package.metadata.plugin-build]\n",
        ),
        ("ws/src/main.rs", "fn main() {}\n"),
        ("beside/Cargo.toml", "[package]\nname='q'\nversion='0.1.0'\nedition='2024'\nworkspace='../ws'\n"),
        ("beside/src/lib.rs", ""),
    ]);
    let ws = project.root.join("ws");
    let first = ran(plugin_build(&ws).args(["build", "-q"]));
    assert_eq!(first.code, 0, "{}", first.stderr);
    let verified = ran(plugin_build(&ws).args(["verify", "--rebuild", "-q"]));
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
}

#[test]
#[ignore = "needs Debian's compiler"]
fn platforms_that_were_asked_for_differently_are_built_one_after_the_other() {
    if !second_compiler::is_there() {
        return;
    }
    let project = Project::fixture("options");
    for (target, layout, more) in [
        (HOST, "amd64", &["-F", "whisper", "--annotation", "org.example.revision=7"][..]),
        (ARM, "arm64", &["--profile", "dev", "--compression", "zstd", "--annotation", "org.example.revision=7"]),
    ] {
        let mut build = second(&project.root);
        build.args(["build", "-q", "--bin", "options", "--target", target, "-o", layout]).args(more);
        // Line numbers would make a change of one platform one of both.
        let built = ran(build.env("CARGO_PROFILE_DEV_DEBUG", "false"));
        assert_eq!(built.code, 0, "{}", built.stderr);
    }
    let merged =
        ran(plugin_build(&project.root).args(["copy", "--into-index", "oci:amd64", "oci:arm64", "oci:all:2.0.0-rc.1_build.5"]));
    assert_eq!(merged.code, 0, "{}", merged.stderr);
    let verify =
        || ran(second(&project.root).args(["verify", "--rebuild", "--accept-request", "--message-format", "json", "oci:all"]));
    let same = verify();
    assert_eq!(same.code, 0, "{}{}", same.stdout, same.stderr);
    assert_eq!(report(&same)["taken"], serde_json::json!(["annotation org.example.revision"]));

    // What only one of them has in it is told of that one.
    let main = fs::read_to_string(project.root.join("src/main.rs")).unwrap();
    let whispering = "fn main() {\n    #[cfg(feature = \"whisper\")]\n    println!(\"psst\");";
    project.write("src/main.rs", &main.replace("fn main() {", whispering));
    let other = verify();
    assert_eq!(other.code, 3, "{}", other.stderr);
    let told = told(&report(&other));
    assert!(told.iter().any(|told| told.starts_with("linux/amd64 > layer ")), "{told:?}");
    assert!(told.iter().all(|told| !told.starts_with("linux/arm64")), "{told:?}");
}

#[test]
fn a_base_of_a_registry_is_the_one_that_its_tag_named_then() {
    let first = Project::fixture("greeter");
    built(&first, &["-o", "out"]);
    built(&first, &["-o", "later", "--label", "later=yes"]);
    let registry = MemoryRegistry::honest();
    let name = format!("{}/bases/greeter:1", registry.server.host());
    let push = |image: &str| {
        let pushed = first.run(&["push", "-q", image, &name]);
        assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    };
    push("oci:out:0.3.1");
    let project = Project::with_table(&format!("[package.metadata.plugin-build]\nbase = 'docker://{name}'\n"));
    // The base has no loader.
    project.write(".cargo/config.toml", "[build]\nrustflags = ['-Ctarget-feature=+crt-static']\n");
    built(&project, &["-o", "out"]);
    let same = project.run(&["verify", "--rebuild", "oci:out"]);
    assert_eq!(same.code, 0, "{}{}", same.stdout, same.stderr);
    // The tag names another: whoever made the image says which it was.
    push("oci:later:0.3.1");
    let told = project.run(&["verify", "--rebuild", "oci:out"]);
    assert_eq!(told.code, 3, "{}{}", told.stdout, told.stderr);
    assert!(told.stdout.contains("request > base: ") && told.stderr.contains("the same digest, but"), "{}", told.stdout);
    let taken = project.run(&["verify", "--rebuild", "--accept-request", "oci:out"]);
    assert_eq!(taken.code, 0, "{}{}", taken.stdout, taken.stderr);
}

#[test]
#[ignore = "needs namespaces"]
fn a_base_that_sources_or_checker_pin_is_no_images_to_choose() {
    let bases = Project::fixture("greeter");
    built(&bases, &["-o", "good"]);
    built(&bases, &["-o", "evil", "--label", "evil=yes"]);
    let registry = MemoryRegistry::honest();
    let name = format!("{}/bases/greeter", registry.server.host());
    let push = |tag: &str| {
        let pushed = bases.run(&["push", "-q", &format!("oci:{tag}:0.3.1"), &format!("{name}:{tag}")]);
        assert_eq!(pushed.code, 0, "{}", pushed.stderr);
        format!("docker://{}", pushed.stdout.trim())
    };
    let (good, evil) = (push("good"), push("evil"));
    let project = Project::with_table(&format!("[package.metadata.plugin-build]\nbase = '{good}'\n"));
    project.write(".cargo/config.toml", "[build]\nrustflags = ['-Ctarget-feature=+crt-static']\n");
    let ways = if namespaces::are_there() { &[&[][..], &["--hermetic"]][..] } else { &[&[][..]] };
    for way in ways {
        built(&project, &[&["-o", "honest"], *way].concat());
        built(&project, &[&["-o", "chosen", "--base", &evil], *way].concat());
        let same = project.run(&[&["verify", "--rebuild", "oci:honest"], *way].concat());
        assert_eq!(same.code, 0, "{way:?}: {}{}", same.stdout, same.stderr);
        for more in [&[][..], &["--base", &good], &["--accept-request"]] {
            let told = project.run(&[&["verify", "--rebuild", "oci:chosen"], *way, more].concat());
            assert_eq!(told.code, 3, "{way:?} {more:?}: {}{}", told.stdout, told.stderr);
            assert!(told.stdout.contains("request > base: "), "{way:?} {more:?}: {}", told.stdout);
        }
        let given = project.run(&[&["verify", "--rebuild", "oci:chosen", "--base", &evil], *way].concat());
        assert_eq!(given.code, 0, "{way:?}: {}{}", given.stdout, given.stderr);
    }
}

#[test]
fn a_base_is_fetched_from_no_repository_that_the_sources_do_not_name() {
    let project = Project::with_table("");
    built(&project, &["-o", "out"]);
    forge(&project, |annotations| {
        annotations["org.opencontainers.image.base.name"] = "plugins.example/base-of-another:1".into();
        annotations["org.opencontainers.image.base.digest"] = format!("sha256:{}", "0".repeat(64)).into();
    });
    let manifest = fs::read_to_string(project.root.join("Cargo.toml")).unwrap();
    let table = "[package.metadata.plugin-build]\nbase = 'docker://plugins.example/base:1'\n";
    project.write("Cargo.toml", &(manifest + table));
    let refused = project.run(&["verify", "--rebuild", "oci:forged"]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    let told = "builds on `plugins.example/base-of-another:1`, which the sources do not name";
    assert!(refused.stderr.contains(told), "{}", refused.stderr);
}

#[test]
#[ignore = "needs skopeo"]
fn an_image_that_was_compressed_anew_has_the_same_contents() {
    let Some(skopeo) = require("skopeo") else { return };
    let project = Project::fixture("greeter");
    built(&project, &["-o", "out"]);
    let mut copy = Command::new(skopeo);
    copy.args(["copy", "-q", "--all", "--dest-compress", "--dest-compress-format", "zstd", "oci:out:0.3.1", "oci:other:0.3.1"]);
    stdout(copy.current_dir(&project.root));
    let verified = project.run(&["verify", "--rebuild", "oci:other"]);
    assert_eq!(verified.code, 3, "{}", verified.stderr);
    assert!(verified.stdout.contains("[canonical-json]"), "what skopeo wrote is no document of ours: {}", verified.stdout);
    assert!(verified.stderr.contains("same contents (diff ids equal), other compression"), "{}", verified.stderr);
    let other = "layer 2: same contents (diff id sha256:";
    assert!(verified.stdout.contains(other), "{}", verified.stdout);

    let blobs = project.root.join("other/blobs/sha256");
    let name = plugin_oci::fs::sorted_listing(&blobs).unwrap().remove(0);
    fs::write(blobs.join(name), "damaged").unwrap();
    let damaged = project.run(&["verify", "--rebuild", "oci:other"]);
    assert_eq!(damaged.code, 3, "{}", damaged.stderr);
    assert!(!damaged.stderr.contains("Rebuilding"), "bytes that are not those of their digests are not looked into");
}
