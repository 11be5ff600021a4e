//! `build`, the main job, through the program itself; foreign tools judge what it wrote.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use plugin_oci::fs::{sorted_listing, stamps};
use serde_json::Value;

use crate::support::container::Container;
use crate::support::docker_registry::DockerRegistry;
use crate::support::program::{Ran, ok, plugin_build, ran, wait_until};
use crate::support::project::Project;
use crate::support::tools::{require, stdout};

const GREETER: &str = "oci:target/plugin-build/greeter:0.3.1";

fn greeter() -> Project {
    let project = Project::fixture("greeter");
    project.done(&["-q"]);
    project
}

/// One JSON object a line, sorted by their reason.
fn messages(stdout: &str, reason: &str) -> Vec<Value> {
    let objects = stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    objects.filter(|object| object["reason"] == reason).collect()
}

#[test]
fn stdout_is_exactly_the_reference_of_each_plugin() {
    let project = Project::fixture("greeter");
    let first = project.done(&["plugin-build"]);
    assert_eq!(first.stdout, format!("{GREETER}\n"));
    assert!(first.stderr.contains("Packaged greeter v0.3.1 (linux/amd64)"), "{}", first.stderr);
    let quiet = project.done(&["-q", "-t", "a", "-t", "b"]);
    assert_eq!(quiet.stdout, "oci:target/plugin-build/greeter:a\n");
    assert_eq!(quiet.stderr, "");
    let direct = project.done(&["build", "-q"]);
    assert_eq!(direct.stdout, first.stdout, "the word that cargo puts in front may be missing");
}

#[test]
fn json_tells_all_and_the_metadata_file_tells_the_same() {
    let project = Project::fixture("greeter");
    let ran = project.done(&["--message-format", "json", "--metadata-file", "told/out.json"]);
    let images = messages(&ran.stdout, "plugin-image");
    let [image] = images.as_slice() else { panic!("{}", ran.stdout) };
    assert_eq!(image["schema"], 1);
    assert_eq!(image["tags"], serde_json::json!(["0.3.1"]));
    let layers = image["platforms"][0]["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2, "files, then the artifact");
    for layer in layers {
        let digest = layer["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let blob = fs::metadata(project.root.join("target/plugin-build/greeter/blobs/sha256").join(digest)).unwrap();
        assert_eq!(blob.len(), layer["size"].as_u64().unwrap());
        assert!(layer["diff_id"].as_str().unwrap().starts_with("sha256:"));
    }
    // One document, which is the same whatever stdout carries; what is being done is told where it is asked for.
    let file = || serde_json::from_str::<Value>(&fs::read_to_string(project.root.join("told/out.json")).unwrap()).unwrap();
    assert_eq!(file(), serde_json::json!({"schema": 1, "results": images}));
    assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
    project.done(&["--metadata-file", "told/out.json"]);
    assert_eq!(file(), serde_json::json!({"schema": 1, "results": images}));
    for (words, tells) in [
        (&["--message-format", "json-progress"][..], true),
        (&["--message-format", "json", "-v"], true),
        (&["--message-format", "json-progress", "-q"], false),
    ] {
        assert_eq!(!messages(&project.done(words).stdout, "progress").is_empty(), tells, "{words:?}");
    }
}

#[test]
fn an_unchanged_rebuild_compresses_and_writes_nothing() {
    let project = greeter();
    let layout = project.root.join("target/plugin-build/greeter");
    let before = times(&layout);
    let again = project.done(&["--message-format", "json-progress"]);
    let events = messages(&again.stdout, "progress");
    let count = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert_eq!((count("compressed"), count("wrote"), count("removed"), count("tag-moved")), (0, 0, 0, 0), "{}", again.stdout);
    assert!(count("blob-finished") >= 3, "the events are there to be counted: {}", again.stdout);
    assert_eq!(times(&layout), before, "a modification time moved");

    project.write("assets/greeting.txt", "Good morning\n");
    let changed = project.done(&["--message-format", "json-progress"]);
    let events = messages(&changed.stdout, "progress");
    let compressed = events.iter().filter(|event| event["event"] == "compressed").count();
    assert_eq!(compressed, 1, "only the layer with the changed file is made again");
    assert_eq!(blobs(&layout).len(), 5 + 5, "what only the replaced tag reached is gone, its attachments too");
}

#[test]
fn an_unchanged_library_is_not_compressed_again_and_a_changed_one_is() {
    let project = Project::fixture("cdylib");
    project.done(&["-q"]);
    let layout = project.root.join("target/plugin-build/checksum");
    let compressed = || {
        let again = project.done(&["--message-format", "json-progress"]);
        messages(&again.stdout, "progress").iter().filter(|event| event["event"] == "compressed").count()
    };
    let before = times(&layout);
    assert_eq!((compressed(), times(&layout)), (0, before));
    let source = fs::read_to_string(project.root.join("src/lib.rs")).unwrap();
    let more = "\n#[unsafe(no_mangle)]\npub extern \"C\" fn checksum_more() -> u32 {\n    7\n}\n";
    project.write("src/lib.rs", &(source + more));
    assert_eq!(compressed(), 1);
    assert_eq!(compressed(), 0);
}

#[test]
fn what_is_decided_here_is_no_argument_for_cargo() {
    let project = Project::with_table("");
    for (flag, way_out) in [
        ("--target-dir=other", "`--target-dir` is not for cargo to decide\n\nhelp: give it before `--`"),
        ("--release", "the profile unless `--profile`"),
        ("--message-format", "`--message-format json`, before `--`"),
    ] {
        let refused = project.run(&["--", flag]);
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(refused.stderr.contains(way_out), "{}", refused.stderr);
    }
}

#[test]
fn a_link_that_hosts_would_not_install_is_not_packed() {
    let project = Project::with_table("[package.metadata.plugin-build]\nfiles = [{ from = 'assets/**' }]\n");
    project.write("assets/deep/file", "");
    std::os::unix::fs::symlink("deep/../deep/file", project.root.join("assets/link")).unwrap();
    let refused = project.run(&["-q"]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("`link` to `deep/../deep/file` has `..` after a name"), "{}", refused.stderr);
}

#[test]
fn one_platform_taken_out_of_its_index_is_still_a_sound_image() {
    let project = greeter();
    for words in [&["copy", "-q", "--platform", "linux/amd64", GREETER, "oci:lone"][..], &["verify", "oci:lone"]] {
        let ran = ran(plugin_build(&project.root).args(words));
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    }
}

#[test]
fn an_edit_that_keeps_size_and_modification_time_is_noticed() {
    let project = greeter();
    let asset = project.root.join("assets/greeting.txt");
    let text = fs::read_to_string(&asset).unwrap();
    let modified = fs::metadata(&asset).unwrap().modified().unwrap();
    let built = || ok(plugin_build(&project.root).args(["-q", "--message-format", "json"]).env(stamps::VARIABLE, "-1"));
    let before = built();
    let hints = project.root.join("target/plugin-build/.hints");
    assert!(!sorted_listing(&hints).unwrap().is_empty(), "the facts are kept for the next run");
    let again = built();
    let image = |ran: &Ran| messages(&ran.stdout, "plugin-image")[0]["digest"].clone();
    assert_eq!(image(&before), image(&again));

    fs::write(&asset, text.to_uppercase()).unwrap();
    fs::File::options().write(true).open(&asset).unwrap().set_modified(modified).unwrap();
    let after = built();
    assert_ne!(image(&before), image(&after));
    project.done(&["verify"]);
}

#[test]
fn a_toolchains_compiler_is_asked_again_only_when_it_was_replaced() {
    let project = Project::fixture("greeter");
    let toolchain = project.root.with_file_name("toolchain");
    fs::create_dir_all(toolchain.join("lib/rustlib")).unwrap();
    let cargo = Path::new(env!("CARGO"));
    install_proxy(&toolchain, cargo, "cargo");
    install_proxy(&toolchain, &cargo.with_file_name("rustc"), "rustc");
    // cargo finds its compiler by PATH.
    #[expect(clippy::disallowed_methods, reason = "tests run in the developer's environment")]
    let path = std::env::var_os("PATH").unwrap();
    let path = std::env::join_paths([toolchain.join("bin")].into_iter().chain(std::env::split_paths(&path))).unwrap();
    let started = || {
        let mut command = plugin_build(&project.root);
        command.args(["build", "--message-format", "json-progress"]).env("CARGO", toolchain.join("bin/cargo"));
        command.env(stamps::VARIABLE, "-1"); // else a fresh compiler's answers are not kept
        let ran = ran(command.env("PATH", &path));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let events = messages(&ran.stdout, "progress").into_iter().filter(|event| event["event"] == "spawned");
        events.map(|event| event["command"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (_first, _second, third) = (started(), started(), started());
    let [metadata, build] = third.as_slice() else { panic!("{third:?}") };
    assert!(metadata.contains("cargo metadata") && build.contains("cargo build"), "{third:?}");

    install_proxy(&toolchain, &cargo.with_file_name("rustc"), "rustc");
    let replaced = started();
    assert_eq!(replaced.iter().filter(|command| command.contains("bin/rustc ")).count(), 2, "{replaced:?}");
}

/// A program that starts another, under its own name in a toolchain's `bin`.
fn install_proxy(toolchain: &Path, program: &Path, name: &str) {
    let proxy = toolchain.join("bin").join(name);
    fs::create_dir_all(proxy.parent().unwrap()).unwrap();
    let _ = fs::remove_file(&proxy);
    fs::write(&proxy, format!("#!/bin/sh\nexec '{}' \"$@\"\n", program.display())).unwrap();
    fs::set_permissions(&proxy, fs::Permissions::from_mode(0o755)).unwrap();
}

fn times(dir: &Path) -> BTreeMap<String, SystemTime> {
    let entries = walkdir::WalkDir::new(dir).into_iter().map(Result::unwrap);
    entries.map(|entry| (entry.path().display().to_string(), entry.metadata().unwrap().modified().unwrap())).collect()
}

fn blobs(layout: &Path) -> Vec<String> {
    let entries = walkdir::WalkDir::new(layout.join("blobs/sha256")).min_depth(1).sort_by_file_name();
    entries.into_iter().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
#[ignore = "needs skopeo"]
fn skopeo_reads_and_copies_the_image() {
    let Some(skopeo) = require("skopeo") else { return };
    let project = greeter();
    let inspected = stdout(Command::new(&skopeo).args(["inspect", GREETER]).current_dir(&project.root));
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(inspected["Labels"]["example.plugins.team"], "hospitality");
    assert_eq!(inspected["Os"], "linux");
    stdout(Command::new(&skopeo).args(["copy", "-q", "--all", GREETER, "oci:copied:1"]).current_dir(&project.root));
    let tag =
        |layout: &str| stdout(plugin_build(&project.root).args(["ls", layout])).split_whitespace().nth(1).unwrap().to_owned();
    assert_eq!(tag("oci:copied"), tag("oci:target/plugin-build/greeter"), "the digest came through");
}

#[test]
#[ignore = "needs oci-image-tool"]
fn the_reference_validator_finds_nothing_wrong() {
    let Some(tool) = require("oci-image-tool") else { return };
    let project = Project::fixture("greeter");
    // Of two entries without the name, one after the other, it takes one for an entry that has it.
    project.done(&["-q", "--no-sbom", "--no-provenance"]);
    let mut command = Command::new(tool);
    command.args(["validate", "--type", "image", "--ref", "name=0.3.1", "target/plugin-build/greeter"]);
    stdout(command.current_dir(&project.root));
}

#[test]
#[ignore = "needs umoci"]
fn an_unpacked_bundle_runs_and_greets() {
    let project = greeter();
    let layout = project.root.join("target/plugin-build/greeter");
    let Some(container) = Container::unpack(&layout, "0.3.1", &project.root.join("greeter")) else { return };
    let said = container.run(|_| false);
    assert!(said.contains("greeting: Hello, world!") && said.contains("mood: cheerful"), "{said}");
}

#[test]
fn our_own_readers_agree_with_what_was_built() {
    let project = greeter();
    let verify = project.done(&["verify"]);
    assert!(verify.stdout.is_empty() && verify.stderr.contains("nothing wrong"), "{}{}", verify.stdout, verify.stderr);
    let listed = project.done(&["ls", "oci:target/plugin-build/greeter"]);
    assert!(listed.stdout.starts_with("0.3.1  sha256:") && listed.stdout.contains("linux/amd64"), "{}", listed.stdout);
    assert_eq!(project.done(&["ls"]).stdout, listed.stdout, "the layout that build writes is meant");
    let inspected = project.done(&["inspect", GREETER]);
    for line in ["0644        6 B  share/greeting.txt", "entrypoint  [\"/greeter\"]", "env         GREETER_MOOD=cheerful"] {
        assert!(inspected.stdout.contains(line), "{}", inspected.stdout);
    }
}

#[test]
fn a_compile_error_leaves_the_layout_as_it_was() {
    let project = greeter();
    let layout = project.root.join("target/plugin-build/greeter");
    let before = times(&layout);
    project.write("src/main.rs", "fn main() { nonsense }\n");
    let broken = project.run(&[]);
    assert_eq!(broken.code, 1);
    assert!(broken.stderr.contains("cannot find value `nonsense`"), "{}", broken.stderr);
    assert_eq!(broken.stdout, "");
    assert_eq!(times(&layout), before);
}

#[test]
fn an_interrupt_stops_cargo_and_leaves_the_layout_as_it_was() {
    let project = greeter();
    let layout = project.root.join("target/plugin-build/greeter");
    let before = times(&layout);
    let script =
        "fn main() { std::fs::write(\"started\", \"\").unwrap(); std::thread::sleep(std::time::Duration::from_secs(600)); }\n";
    project.write("build.rs", script);
    let started = project.root.join("started");
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut child = plugin_build(&project.root).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_until("the build script runs", || started.exists());
        fs::remove_file(&started).unwrap();
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(code), "{signal}");
        assert_eq!(times(&layout), before, "{signal}");
    }
}

#[test]
fn bad_flags_and_metadata_exit_with_2_and_name_the_object() {
    let project = Project::fixture("greeter");
    let cases: [(&[&str], &str); 5] = [
        (&["-t", "no good"], "`no good` is not a valid tag"),
        (&["-o", "a:b"], "has a `:`"),
        (&["--platform", "linux"], "is not a platform"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&["verify", "greeter"], "`greeter` names no image"),
    ];
    for (args, text) in cases {
        let ran = project.run(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(text), "{args:?}: {}", ran.stderr);
    }
    for epoch in ["abc", "-1", "", "9223372036854775808"] {
        let ran = ran(plugin_build(&project.root).env("SOURCE_DATE_EPOCH", epoch));
        assert_eq!(ran.code, 2, "{epoch}: {}", ran.stderr);
        assert!(ran.stderr.contains("SOURCE_DATE_EPOCH"), "{}", ran.stderr);
    }
    let absent = project.run(&["verify", "oci:nowhere"]);
    assert_eq!(absent.code, 1, "what is absent is not wrong: {}", absent.stderr);
}

#[test]
fn the_epoch_is_the_only_time_in_the_image() {
    let project = Project::fixture("greeter");
    let ran = ran(plugin_build(&project.root).env("SOURCE_DATE_EPOCH", "86400"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let inspected = project.done(&["inspect", GREETER, "--message-format", "json"]);
    let config = &messages(&inspected.stdout, "inspected")[0]["platforms"][0]["config"];
    assert_eq!(config["created"], "1970-01-02T00:00:00Z");
    assert_eq!(config["history"][1]["created"], "1970-01-02T00:00:00Z");
    project.done(&["verify", GREETER]);
}

#[test]
fn a_dry_run_prints_the_plan_and_does_nothing() {
    let project = Project::fixture("greeter");
    let ran = project.done(&["--dry-run"]);
    let plan: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(plan["images"][0]["name"], "greeter");
    assert!(plan["invocations"][0]["args"].to_string().contains("--remap-path-prefix"), "{}", ran.stdout);
    assert!(!project.root.join("target").exists());
}

#[test]
fn a_workspace_gives_one_image_for_each_of_its_plugins() {
    let project = Project::fixture("trio");
    let ran = project.done(&["--workspace", "-o", "out", "-v"]);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", ran.stdout);
    for (line, package) in lines.iter().zip(["alpha", "beta", "gamma"]) {
        assert!(line.starts_with(&format!("oci:out/{package}:")), "{line}");
    }
    assert!(ran.stderr.contains("tool"), "the member that is no plugin is named at -v: {}", ran.stderr);
    project.done(&["verify", "oci:out/beta"]);
}

#[test]
fn one_changed_plugin_of_many_is_the_only_one_packed_again() {
    let project = Project::fixture("trio");
    project.done(&["--workspace", "-q"]);
    let layout = |name: &str| times(&project.root.join("target/plugin-build").join(name));
    let before = ["alpha", "beta", "gamma"].map(layout);
    let source = fs::read_to_string(project.root.join("beta/src/main.rs")).unwrap();
    project.write("beta/src/main.rs", &source.replace("fn main() {", "fn main() {\n    println!(\"changed\");"));
    let again = project.done(&["--workspace", "--message-format", "json-progress"]);
    let events = messages(&again.stdout, "progress");
    let compressed: Vec<_> = events.iter().filter(|event| event["event"] == "compressed").collect();
    assert_eq!(compressed.len(), 1, "{}", again.stdout);
    let [alpha, beta, gamma] = ["alpha", "beta", "gamma"].map(layout);
    assert_eq!((&alpha, &gamma), (&before[0], &before[2]), "the others' layouts are untouched");
    assert_ne!(beta, before[1]);
}

#[test]
fn one_of_two_binaries_is_chosen_and_features_reach_it() {
    let project = Project::fixture("options");
    let ran = project.done(&["--bin", "options-admin", "-F", "whisper", "--no-default-features"]);
    assert_eq!(ran.stdout, "oci:target/plugin-build/options:2.0.0-rc.1_build.5\n");
}

#[test]
fn every_compression_verifies_and_runs_through_its_own_tool() {
    let project = Project::fixture("greeter");
    for compression in ["gzip", "zstd", "none"] {
        let out = format!("out-{compression}");
        project.done(&["-q", "--compression", compression, "-o", &out]);
        let verify = project.run(&["verify", &format!("oci:{out}")]);
        assert_eq!(verify.code, 0, "{}", verify.stdout);
    }
    let digest = |compression: &str| {
        let out = project.done(&["inspect", "--message-format", "json", &format!("oci:out-{compression}")]).stdout;
        messages(&out, "inspected")[0]["platforms"][0]["layers"][1]["diff_id"].clone()
    };
    assert_eq!(digest("gzip"), digest("zstd"));
    assert_eq!(digest("gzip"), digest("none"));
}

#[test]
#[ignore = "needs docker-registry"]
fn a_build_is_pushed_under_its_own_tags_or_the_one_given() {
    let Some(registry) = DockerRegistry::start() else { return };
    let project = Project::fixture("greeter");
    let repository = format!("{}/plugins/greeter", registry.host);
    let ran = project.done(&["-q", "-t", "a", "-t", "b", "--push", &repository]);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines[0], "oci:target/plugin-build/greeter:a");
    assert!(lines[1].starts_with(&format!("{repository}@sha256:")), "{}", ran.stdout);
    project.done(&["-q", "--push", &format!("{repository}:given")]);
    let tags = project.done(&["ls", &format!("docker://{repository}")]).stdout;
    let tags: Vec<&str> = tags.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(tags, ["a", "b", "given"]);
    let trio = Project::fixture("trio");
    let refused = trio.run(&["--workspace", "--push", &repository]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("end it with a slash"), "{}", refused.stderr);
    let below = format!("{}/all/", registry.host);
    let pushed = trio.done(&["-q", "--workspace", "--push", &below]);
    assert!(pushed.stdout.contains("/all/trio-beta@sha256:"), "{}", pushed.stdout);
}

#[test]
fn an_output_that_is_no_layout_is_told_before_anything_is_compiled() {
    let project = Project::fixture("greeter");
    for (output, reason) in [("Cargo.toml", "it is no directory"), ("src", "it has no `oci-layout` file")] {
        let told = ran(plugin_build(&project.root).args(["build", "-o", output]));
        assert_eq!(told.code, 1, "{}", told.stderr);
        assert!(told.stderr.contains("is not an OCI image layout") && told.stderr.contains(reason), "{}", told.stderr);
        assert!(!project.root.join("target").exists(), "cargo was started: {}", told.stderr);
    }
}

#[test]
fn no_path_is_in_two_layers_and_none_differs_from_another_only_in_case() {
    for (to, told) in [("p", "`p` would be in the image twice"), ("p/", "`p/x` would lie below `p`, which is not a directory")] {
        let project = Project::with_table(&format!("[package.metadata.plugin-build]\nfiles = [{{ from = 'x', to = '{to}' }}]\n"));
        project.write("x", "");
        let refused = ran(plugin_build(&project.root).arg("build"));
        assert_eq!(refused.code, 2, "{to}: {}{}", refused.stdout, refused.stderr);
        assert!(refused.stderr.contains(told), "{to}: {}", refused.stderr);
        assert!(!project.root.join("target/plugin-build/p/index.json").exists());
    }
    let project = Project::with_table("[package.metadata.plugin-build]\nfiles = [{ from = 'x', to = 'P' }]\n");
    project.write("x", "");
    let warned = ran(plugin_build(&project.root).arg("build"));
    assert_eq!(warned.code, 0, "{}", warned.stderr);
    assert!(warned.stderr.contains("`P` and `p` differ only in case"), "{}", warned.stderr);
}
