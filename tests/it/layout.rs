//! Layouts under stress: many writers, a full disk, other people's content, removal.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use notify::{RecursiveMode, Watcher as _};
use plugin_oci::fs::sorted_listing;
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;
use serde_json::{Value, json};

use crate::support::hostile::archive::Archive;
use crate::support::layouts::HandLayout;
use crate::support::program::{plugin_build, ran};
use crate::support::project::Project;
use crate::support::tools::{require, skip};

/// Builds an image alone: what is counted here are its blobs and entries.
const BARE: [&str; 2] = ["--no-sbom", "--no-provenance"];

fn tags(project: &Project, store: &str) -> Vec<String> {
    let listed = project.done(&["ls", store]).stdout;
    listed.lines().filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

#[test]
fn sixteen_processes_that_tag_one_layout_leave_sixteen_tags() {
    let project = Project::fixture("greeter");
    project.done(&["-q", "-o", "shared", "-t", "first"]);
    let children: Vec<_> = (0..16)
        .map(|number| {
            let (tag, label) = (format!("t{number}"), format!("number={number}"));
            let mut command = plugin_build(&project.root);
            command.args(["-q", "-o", "shared", "-t", &tag, "--label", &label]);
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(tags(&project, "oci:shared").len(), 17);
    project.done(&["verify", "oci:shared"]);
    assert_eq!(leftovers(&project.root.join("shared")), Vec::<String>::new());
}

fn leftovers(layout: &Path) -> Vec<String> {
    let names = sorted_listing(layout).unwrap().into_iter().map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(".plugin-build-")).collect()
}

#[test]
#[ignore = "needs namespaces"]
fn a_full_disk_exits_with_1_and_leaves_the_index_as_it_was() {
    if require("unshare").is_none() {
        return;
    }
    let project = Project::fixture("greeter");
    project.done(&["-q", "-o", "small", "-t", "1"]);
    // Noise as an asset: too large for what the file system has left.
    fs::write(project.root.join("assets/noise"), noise(3_000_000)).unwrap();
    let script = r#"
        mkdir tight && mount -t tmpfs -o size=2m tmpfs tight && cp -r small tight/layout || exit 77
        sha256sum < tight/layout/index.json > before
        "$PROGRAM" -o tight/layout -t 2 2> said; code=$?
        sha256sum < tight/layout/index.json > after
        "$PROGRAM" verify oci:tight/layout 2>> said || exit 78
        find tight/layout -name '.plugin-build-*' > left
        exit $code
    "#;
    let mut shell = Command::new("unshare");
    shell.args(["-rm", "sh", "-c", script]).env("PROGRAM", env!("CARGO_BIN_EXE_cargo-plugin-build")).current_dir(&project.root);
    let code = shell.status().unwrap().code();
    if code == Some(77) {
        skip("no tmpfs can be mounted here");
        return;
    }
    let read = |name: &str| fs::read_to_string(project.root.join(name)).unwrap();
    assert_eq!(code, Some(1), "{}", read("said"));
    assert!(read("said").contains("No space left on device") && read("said").contains("free some space"), "{}", read("said"));
    assert_eq!(read("before"), read("after"));
    assert_eq!(read("left"), "", "temporary files stayed");
}

#[test]
fn other_peoples_tags_fields_and_files_survive() {
    let project = Project::fixture("greeter");
    project.done(&[&["-q", "-o", "shared", "-t", "theirs"][..], &BARE].concat());
    let index = project.root.join("shared/index.json");
    let mut document: Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    document["x-field"] = json!([1, 2]);
    document["manifests"][0]["x-entry"] = json!("kept");
    fs::write(&index, document.to_string()).unwrap();
    let orphan = Digest::of(b"orphan");
    fs::write(project.root.join("shared/blobs/sha256").join(orphan.hex()), b"orphan").unwrap();
    fs::write(project.root.join("shared/NOTES"), "mine").unwrap();

    project.done(&[&["-q", "-o", "shared", "-t", "ours", "--label", "a=b"][..], &BARE].concat());
    let after: Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    assert_eq!(after["x-field"], json!([1, 2]));
    assert_eq!(after["manifests"][0]["x-entry"], "kept");
    assert_eq!(after["manifests"].as_array().unwrap().len(), 2);
    assert!(project.root.join("shared/NOTES").exists());
    assert!(project.root.join("shared/blobs/sha256").join(orphan.hex()).exists(), "an orphan is left to gc");
    project.done(&["verify", "oci:shared"]);

    let collected = project.done(&["gc", "oci:shared"]);
    assert_eq!(collected.stdout.trim(), orphan.to_string());
    project.done(&["verify", "oci:shared"]);
}

#[test]
fn a_replaced_tag_keeps_its_blobs_outside_the_default_layout_until_gc() {
    let project = Project::fixture("greeter");
    let blobs = || sorted_listing(&project.root.join("out/blobs/sha256")).unwrap().len();
    project.done(&[&["-q", "-o", "out"][..], &BARE].concat());
    assert_eq!(blobs(), 5);
    let moved = project.done(&[&["-o", "out", "--label", "a=b"][..], &BARE].concat());
    assert!(moved.stderr.contains("Moved tag 0.3.1: sha256:"), "a moved tag is told: {}", moved.stderr);
    assert_eq!(blobs(), 8, "config, manifest and index are new, the old ones stay");
    project.done(&["gc", "oci:out"]);
    assert_eq!(blobs(), 5);
    project.done(&["verify", "oci:out"]);
}

#[test]
fn rm_drops_a_tag_and_only_what_no_other_tag_needs() {
    let project = Project::fixture("greeter");
    project.done(&[&["-q", "-o", "out", "-t", "a"][..], &BARE].concat());
    project.done(&[&["-q", "-o", "out", "-t", "b", "--label", "x=y"][..], &BARE].concat());
    let removed = project.done(&["rm", "oci:out:a"]);
    assert!(removed.stdout.starts_with("a@sha256:"), "{}", removed.stdout);
    assert_eq!(tags(&project, "oci:out"), ["b"]);
    project.done(&["verify", "oci:out"]);
    assert_eq!(sorted_listing(&project.root.join("out/blobs/sha256")).unwrap().len(), 5);
    let absent = project.run(&["rm", "oci:out:a"]);
    assert_eq!(absent.code, 1);
    assert!(absent.stderr.contains("has no `a`") && absent.stderr.contains("it has b"), "{}", absent.stderr);
}

#[test]
fn rm_drops_a_damaged_image_too_and_gc_what_is_left_of_it() {
    let project = Project::fixture("greeter");
    project.done(&["-q", "-o", "out", "-t", "sound"]);
    let blobs = || sorted_listing(&project.root.join("out/blobs/sha256")).unwrap();
    let before = blobs();
    project.done(&["-q", "-o", "out", "-t", "damaged", "--label", "x=y"]);
    let index: Value = serde_json::from_slice(&fs::read(project.root.join("out/index.json")).unwrap()).unwrap();
    let entry = index["manifests"].as_array().unwrap().iter().find(|entry| entry["annotations"].to_string().contains("damaged"));
    let digest = entry.unwrap()["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    fs::write(project.root.join("out/blobs/sha256").join(digest), "damaged").unwrap();

    let removed = project.done(&["rm", "oci:out:damaged"]);
    assert!(removed.stderr.contains("not all of tag `damaged` can be read"), "{}", removed.stderr);
    assert_eq!(tags(&project, "oci:out"), ["sound"]);
    project.done(&["gc", "oci:out"]);
    assert_eq!(blobs(), before);
    project.done(&["verify", "oci:out"]);
}

/// An image of one file.
fn image_of(layout: &HandLayout, text: &str) -> Value {
    layout.image("linux/amd64", &[Archive::new().file("a", text.as_bytes()).end()], Compression::Gzip)
}

/// The same content, called something else: a layer that is the manifest of another image, for example.
fn called(descriptor: &Value, media_type: &str) -> Value {
    json!({"mediaType": media_type, "digest": descriptor["digest"], "size": descriptor["size"]})
}

#[test]
fn an_image_that_calls_anothers_manifest_a_blob_cannot_make_gc_take_what_that_one_needs() {
    for inside_an_index in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut layout = HandLayout::new(&dir.path().join("shared"));
        let victim = image_of(&layout, "victim");
        let layer = called(&victim, "application/octet-stream");
        let evil = if inside_an_index {
            layout.index(&[layer], &json!({}))
        } else {
            layout.manifest("linux/amd64", &[Digest::of(b"any")], &[layer])
        };
        layout.tag("evil", evil);
        layout.tag("victim", victim);
        let collected = ran(plugin_build(dir.path()).args(["gc", "oci:shared"]));
        assert_eq!((collected.code, collected.stdout.as_str()), (0, ""), "{}", collected.stderr);
        assert_eq!(ran(plugin_build(dir.path()).args(["verify", "oci:shared:victim"])).code, 0);
    }
}

#[test]
fn an_image_that_calls_a_layer_a_manifest_can_be_removed_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut layout = HandLayout::new(&dir.path().join("theirs"));
    let layer = layout.blob(b"no manifest", "application/vnd.oci.image.manifest.v1+json");
    let evil = layout.manifest("linux/amd64", &[Digest::of(b"any")], &[layer]);
    layout.tag("evil", evil);
    for args in [&["copy", "oci:theirs:evil", "oci:shared:evil"][..], &["gc", "oci:shared"], &["rm", "oci:shared:evil"]] {
        let run = ran(plugin_build(dir.path()).args(args));
        assert_eq!(run.code, 0, "{args:?}: {}", run.stderr);
    }
    assert!(sorted_listing(&dir.path().join("shared/blobs/sha256")).unwrap().is_empty());
}

#[test]
fn what_lies_behind_a_linked_directory_of_blobs_is_not_removed() {
    for linked in ["blobs", "blobs/sha256"] {
        let dir = tempfile::tempdir().unwrap();
        let mut theirs = HandLayout::new(&dir.path().join("theirs"));
        let image = image_of(&theirs, "a");
        theirs.tag("1", image);
        let mut ours = HandLayout::new(&dir.path().join("ours"));
        let place = dir.path().join("ours").join(linked);
        fs::remove_dir_all(&place).unwrap();
        std::os::unix::fs::symlink(dir.path().join("theirs").join(linked), &place).unwrap();
        let image = image_of(&ours, "b");
        ours.tag("1", image);
        for args in [["gc", "oci:ours"], ["rm", "oci:ours:1"]] {
            let run = ran(plugin_build(dir.path()).args(args));
            assert!(run.code == 1 && run.stderr.contains("symbolic link"), "{linked} {args:?}: {}", run.stderr);
        }
        assert_eq!(ran(plugin_build(dir.path()).args(["verify", "oci:theirs"])).code, 0, "{linked}");
        assert_eq!(ran(plugin_build(dir.path()).args(["ls", "oci:ours"])).stdout.lines().count(), 1, "{linked}");
    }
}

#[test]
fn a_linked_lock_makes_no_file_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let mut layout = HandLayout::new(&dir.path().join("layout"));
    let image = image_of(&layout, "a");
    layout.tag("1", image);
    std::os::unix::fs::symlink("../made", dir.path().join("layout/.plugin-build.lock")).unwrap();
    let collected = ran(plugin_build(dir.path()).args(["gc", "oci:layout"]));
    assert_eq!(collected.code, 1, "{}", collected.stderr);
    assert_eq!(sorted_listing(dir.path()).unwrap(), ["layout"]);
}

#[test]
fn files_of_a_layout_that_never_end_are_not_waited_for() {
    for (name, target) in [("oci-layout", "zero"), ("oci-layout", "fifo"), ("index.json", "fifo")] {
        let dir = tempfile::tempdir().unwrap();
        let mut layout = HandLayout::new(&dir.path().join("layout"));
        let image = image_of(&layout, "a");
        layout.tag("1", image);
        assert!(Command::new("mkfifo").arg(dir.path().join("fifo")).status().unwrap().success());
        std::os::unix::fs::symlink("/dev/zero", dir.path().join("zero")).unwrap();
        let place = dir.path().join("layout").join(name);
        fs::remove_file(&place).unwrap();
        std::os::unix::fs::symlink(dir.path().join(target), place).unwrap();
        let script = r#"ulimit -v 2000000; exec timeout 10 "$0" ls oci:layout"#;
        let mut shell = Command::new("sh");
        shell.args(["-c", script, env!("CARGO_BIN_EXE_cargo-plugin-build")]).current_dir(dir.path());
        let listed = ran(&mut shell);
        assert!(
            listed.code == 1 && listed.stderr.contains("no regular file"),
            "{name} {target}: {} {}",
            listed.code,
            listed.stderr
        );
    }
}

#[test]
fn a_first_write_that_was_cut_off_anywhere_can_be_done_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut layout = HandLayout::new(&dir.path().join("from"));
    let image = image_of(&layout, "a");
    layout.tag("1", image);
    let copy = || ran(plugin_build(dir.path()).args(["copy", "oci:from:1", "oci:to:1"]));
    assert_eq!(copy().code, 0);
    let to = dir.path().join("to");
    // The order in which a first commit makes things, backwards.
    for gone in ["index.json", "oci-layout", "blobs/sha256", "blobs"] {
        let place = to.join(gone);
        if place.is_dir() {
            fs::remove_dir_all(&place).unwrap();
        } else {
            fs::remove_file(&place).unwrap();
        }
        let names = sorted_listing(&to).unwrap();
        fs::create_dir(dir.path().join("kept")).unwrap();
        assert!(Command::new("cp").args(["-a", "to/.", "kept"]).current_dir(dir.path()).status().unwrap().success());
        let again = copy();
        assert_eq!(again.code, 0, "with {names:?}: {}", again.stderr);
        assert_eq!(ran(plugin_build(dir.path()).args(["verify", "oci:to"])).code, 0, "with {names:?}");
        fs::remove_dir_all(&to).unwrap();
        fs::rename(dir.path().join("kept"), &to).unwrap();
    }
}

#[test]
fn a_directory_with_something_else_in_it_is_not_written_to() {
    let project = Project::fixture("greeter");
    project.write("out/thesis.txt", "years of work");
    let refused = project.run(&["-q", "-o", "out"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("is not an OCI image layout"), "{}", refused.stderr);
    assert_eq!(sorted_listing(&project.root.join("out")).unwrap().len(), 1);
}

#[test]
#[ignore = "slow"]
fn a_truncated_blob_under_the_right_name_is_found_and_rewritten() {
    let project = Project::fixture("greeter");
    project.done(&["-q", "-o", "out"]);
    let blobs = project.root.join("out/blobs/sha256");
    for name in sorted_listing(&blobs).unwrap() {
        let path = blobs.join(name);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let found = project.run(&["verify", "oci:out"]);
        assert_eq!(found.code, 3, "{}", path.display());
        project.done(&["-q", "-o", "out"]);
        assert_eq!(fs::read(&path).unwrap(), whole, "{}", path.display());
    }
    project.done(&["verify", "oci:out"]);
}

#[test]
fn modes_are_explicit_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt as _;
    let project = Project::fixture("greeter");
    let script = "umask 077; exec \"$PROGRAM\" -q -o deep/down/out";
    let mut shell = plugin_build(&project.root);
    let program = shell.get_program().to_owned();
    shell = {
        let mut command = Command::new("sh");
        command.args(["-c", script]).env("PROGRAM", program).current_dir(&project.root);
        command
    };
    assert!(shell.status().unwrap().success());
    for entry in walkdir::WalkDir::new(project.root.join("deep")) {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        let lock = entry.file_name() == ".plugin-build.lock";
        let wanted = if entry.file_type().is_dir() { 0o755 } else { 0o644 };
        assert!(lock || mode == wanted, "{} has {mode:o}", entry.path().display());
    }
}

#[test]
#[ignore = "slow"]
fn two_hundred_kills_leave_each_tag_wholly_old_or_new() {
    let project = Project::fixture("greeter");
    fs::write(project.root.join("assets/large"), noise(400_000)).unwrap();
    project.done(&["-q", "-o", "shared", "-t", "moving", "--label", "n=0"]);
    project.done(&["-q", "-o", "shared", "-t", "still"]);
    let (mut current, mut moved) = ("0".to_owned(), 0);
    let mut all = 0;
    for round in 0..=200 {
        let wanted = round.to_string();
        let mut command = plugin_build(&project.root);
        command.args(["-q", "-o", "shared", "-t", "moving", "--label", &format!("n={wanted}")]).args(BARE);
        let moment = if round == 0 { usize::MAX } else { round % (2 * all) };
        let changes = kill_at_change(moment, command, &project.root.join("shared"));
        all = if round == 0 { changes } else { all };
        let now = label(&project.root.join("shared"), "moving");
        assert!(now == current || now == wanted, "round {round}: the tag is {now}, neither {current} nor {wanted}");
        moved += u32::from(now == wanted);
        current = now;
        if round % 50 == 0 {
            let verified = project.run(&["verify", "oci:shared"]);
            assert_eq!(verified.code, 0, "round {round}: {}", verified.stdout);
        }
    }
    assert!((10..=195).contains(&moved), "the kills did not hit: {moved} of 200 rounds moved the tag, with {all} changes each");
    assert_eq!(tags(&project, "oci:shared"), ["moving", "still"]);
    project.done(&["-q", "-o", "shared", "-t", "moving", "--label", "n=last"]);
    project.done(&["gc", "oci:shared"]);
    assert_eq!(leftovers(&project.root.join("shared")), Vec::<String>::new(), "the next run sweeps");
}

/// Kills a program as soon as it is seen to have made so many changes below a directory; one that makes fewer is left alone.
/// How many were seen.
fn kill_at_change(number: usize, mut command: Command, dir: &Path) -> usize {
    let (sender, changes) = channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // What a killed one left is swept, and how much that is differs.
        let kind = event.unwrap().kind;
        if kind.is_create() || kind.is_modify() {
            let _ = sender.send(());
        }
    })
    .unwrap();
    watcher.watch(dir, RecursiveMode::Recursive).unwrap();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut seen = 0;
    while seen < number {
        let is_seen = changes.recv_timeout(Duration::from_millis(20)).is_ok();
        seen += usize::from(is_seen);
        if !is_seen && child.try_wait().unwrap().is_some() {
            return seen;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    seen
}

/// The label `n` of the image that a tag names, read with every digest checked.
fn label(layout: &Path, tag: &str) -> String {
    use plugin_oci::stores::layout::Layout;
    use plugin_oci::stores::{Selector, Source as _, platform_images, read_config};
    let layout = Layout::open(layout).unwrap();
    let root = layout.resolve(&Selector::Tag(tag.to_owned())).unwrap();
    let image = platform_images(&layout, &root).unwrap().remove(0);
    let config = read_config(&layout, &image.manifest.config).unwrap();
    for layer in &image.manifest.layers {
        assert!(layout.is_sound(layer).unwrap(), "{} is not sound", layer.digest);
    }
    config.tree()["config"]["Labels"]["n"].as_str().unwrap().to_owned()
}

/// Bytes that no compressor makes smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u64;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        u8::try_from(state & 0xff).unwrap()
    };
    std::iter::repeat_with(&mut byte).take(length).collect()
}
