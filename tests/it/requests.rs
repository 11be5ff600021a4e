//! What an image may ask of the machine that checks it: whoever made it wrote its request.
//!
//! Each attack has a canary: a program that leaves a file when it runs, or a file that must stay as it is.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use plugin_oci::values::digest::Digest;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::support::git::{commit, git};
use crate::support::layouts::HandLayout;
use crate::support::namespaces;
use crate::support::program::{Ran, plugin_build, ran};
use crate::support::project::{Project, copy};

const REQUEST: &str = "dev.cargo-plugin-build.request";

/// A checkout, and an image of it that anybody may change.
struct Scene {
    project: Project,
    /// Lies in the checkout, as a downloaded artifact does.
    layout: &'static str,
    outside: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let project = Project::with_table("");
        project.write(".gitignore", "target\n");
        let built = ran(plugin_build(&project.root).args(["build", "-q", "-o", "honest"]));
        assert_eq!(built.code, 0, "{}", built.stderr);
        let scene = Self { project, layout: "image", outside: tempfile::tempdir().unwrap() };
        let honest = scene.outside.path().join("honest");
        fs::rename(scene.project.root.join("honest"), honest).unwrap();
        commit(&scene.project.root, "Sources");
        scene.write_program("canary", "touch RAN");
        scene
    }

    fn canary(&self) -> String {
        self.outside.path().join("canary").display().to_string()
    }

    fn ran_at(&self) -> std::path::PathBuf {
        self.outside.path().join("ran")
    }

    /// A script outside the checkout.
    fn write_program(&self, name: &str, line: &str) {
        let path = self.outside.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{}\nexec cc \"$@\"\n", line.replace("RAN", &self.ran_at().display().to_string())))
            .unwrap();
        assert!(Command::new("chmod").arg("+x").arg(path).status().unwrap().success());
    }

    /// Puts the image into the checkout, with these parts of its request changed.
    fn forge(&self, changes: &[(&str, Value)]) {
        let read = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
        let from = self.outside.path().join("honest");
        let blob = |descriptor: &Value| from.join("blobs").join(descriptor["digest"].as_str().unwrap().replace(':', "/"));
        let index = read(&blob(&read(&from.join("index.json"))["manifests"][0]));
        let mut descriptor = index["manifests"][0].clone();
        let mut manifest = read(&blob(&descriptor));
        let mut request: Value = serde_json::from_str(manifest["annotations"][REQUEST].as_str().unwrap()).unwrap();
        for (key, value) in changes {
            request[*key] = value.clone();
        }
        manifest["annotations"][REQUEST] = request.to_string().into();
        let to = self.project.root.join(self.layout);
        let _ = fs::remove_dir_all(&to);
        let mut forged = HandLayout::new(&to);
        copy(&from.join("blobs"), &to.join("blobs"));
        let made = forged.blob(manifest.to_string().as_bytes(), "application/vnd.oci.image.manifest.v1+json");
        (descriptor["digest"], descriptor["size"]) = (made["digest"].clone(), made["size"].clone());
        let root = forged.index(&[descriptor], &index["annotations"]);
        forged.tag("1", root);
    }

    fn verify(&self, more: &[&str]) -> Ran {
        ran(plugin_build(&self.project.root).args(["verify", "--rebuild", "oci:image"]).args(more))
    }

    /// Everything in the checkout but its products and the image, and in the directory outside.
    fn state(&self) -> BTreeMap<String, String> {
        let mut state = BTreeMap::new();
        for root in [self.project.root.as_path(), self.outside.path()] {
            let walk = walkdir::WalkDir::new(root)
                .into_iter()
                .filter_entry(|entry| entry.depth() != 1 || !["target", "image"].iter().any(|name| entry.file_name() == *name));
            for entry in walk.flatten().filter(|entry| entry.file_type().is_file()) {
                state.insert(entry.path().display().to_string(), Digest::of(&fs::read(entry.path()).unwrap()).to_string());
            }
        }
        state
    }
}

#[test]
#[ignore = "needs namespaces"]
fn no_image_names_a_program_or_a_file() {
    let scene = Scene::new();
    let canary = scene.canary();
    // What a downloaded layout may hold.
    let evil =
        format!("[build]\nrustc-workspace-wrapper = '{canary}'\nrustc-wrapper = '{canary}'\n[env]\nBASH_ENV = '{canary}'\n");
    let flags = format!("-Clinker={canary}\n");
    let printed = scene.outside.path().join("printed");
    let printed = printed.to_str().unwrap();
    fs::write(printed, "as it was\n").unwrap();
    let registry = "registries.own.index='sparse+http://127.0.0.1:9/'";
    let attacks = [
        ("cargo-args", json!(["--config", "image/evil.toml"])),
        ("cargo-args", json!(["--config=image/evil.toml"])),
        ("cargo-args", json!(["-v", "--config=image/evil.toml"])),
        ("cargo-args", json!(["--config", format!("build.rustc-wrapper='{canary}'")])),
        ("cargo-args", json!(["--config", format!("env.LD_PRELOAD='{canary}'")])),
        ("cargo-args", json!(["--config", "include='image/evil.toml'"])),
        ("cargo-args", json!(["--config", registry])),
        ("cargo-args", json!(["--config", format!("registry.global-credential-providers=['{canary}']")])),
        ("cargo-args", json!(["--config", format!("target.x86_64-unknown-linux-gnu.linker='{canary}'")])),
        ("cargo-args", json!(["--target-dir", "/"])),
        ("rustflags", json!(["--cfg", "@image/flags"])),
        ("rustflags", json!(["@image/flags"])),
        ("rustflags", json!([format!("--print=cfg={printed}")])),
        ("rustflags", json!(["--print", format!("cfg={printed}")])),
        ("rustflags", json!([format!("-Clinker={canary}")])),
        ("rustflags", json!(["-Clink-arg=image/evil.o"])),
        ("rustflags", json!(["-Clink-arg=@image/flags"])),
        ("rustflags", json!([format!("--emit=dep-info={printed}")])),
        ("rustflags", json!([format!("-Zself-profile={printed}")])),
        ("profile-keys", json!({ "opt-level=3\nRUSTC_WRAPPER": canary.as_str() })),
        ("profile-keys", json!({ "codegen-backend": canary.as_str() })),
        ("profile-keys", json!({ "rustflags": [format!("-Clinker={canary}")] })),
        ("target", json!("image/evil.json")),
        ("target", json!("evil.json")),
        ("package", json!("file:///tmp")),
        ("features", json!(["--config=image/evil.toml"])),
        ("profile", json!("../x")),
        ("features", json!(["x".repeat(2 << 20)])),
        ("features", json!(["a\0b"])),
        ("another-key", json!(1)),
    ];
    let before = scene.state();
    let ways = if namespaces::are_there() {
        &[&[][..], &["--accept-request"], &["--hermetic"]][..]
    } else {
        &[&[][..], &["--accept-request"]]
    };
    for (key, value) in &attacks {
        scene.forge(&[(key, value.clone())]);
        let image = scene.project.root.join("image");
        fs::write(image.join("evil.toml"), &evil).unwrap();
        fs::write(image.join("flags"), &flags).unwrap();
        for way in ways {
            let refused = scene.verify(way);
            let shown = value.to_string().chars().take(80).collect::<String>();
            assert!([1, 3].contains(&refused.code), "{key} {shown} {way:?}: {}{}", refused.stdout, refused.stderr);
            assert!(!scene.ran_at().exists(), "{key} {shown} {way:?} ran: {}", refused.stderr);
            assert!(
                !refused.stderr.contains("Rebuilding") && !refused.stderr.contains("rustup"),
                "{key} {shown}: {}",
                refused.stderr
            );
            assert!(refused.stderr.len() < 4096, "{key} {shown}: {} bytes", refused.stderr.len());
        }
    }
    assert_eq!(scene.state(), before);
}

#[test]
#[ignore = "needs namespaces"]
fn the_same_digest_by_a_request_of_others_is_no_success() {
    let scene = Scene::new();
    let root = &scene.project.root;
    scene.project.write("src/main.rs", "unsafe extern \"C\" { fn told() -> i32; }\n#[cfg(evil)]\nfn main() { println!(\"{}\", unsafe { told() }); }\n#[cfg(not(evil))]\nfn main() {}\n");
    commit(root, "A way in");
    let build = |flags: &str| {
        let built = ran(plugin_build(root).args(["build", "-q", "-o", "image"]).env("RUSTFLAGS", flags));
        assert_eq!(built.code, 0, "{}", built.stderr);
    };
    build("");
    scene.project.write("image/evil.c", "int told(void) { return 666; }\n");
    assert!(Command::new("cc").args(["-c", "-o", "image/evil.o", "image/evil.c"]).current_dir(root).status().unwrap().success());
    let flags = "--cfg=evil -Clink-arg=image/evil.o";
    build(flags);
    let ways = if namespaces::are_there() { &[&[][..], &["--hermetic"]][..] } else { &[&[][..]] };
    for way in ways {
        let told = scene.verify(&[&["--message-format", "json"], *way].concat());
        assert_eq!(told.code, 3, "{}{}", told.stdout, told.stderr);
        let report: Value = serde_json::from_str(told.stdout.lines().last().unwrap()).unwrap();
        assert_eq!(report["differences"][0]["rule"], "request-differs", "{report}");
        assert_eq!(report["refused"], json!(["-Clink-arg=image/evil.o"]), "{report}");
    }
    // Not even where the checker says the same: the file is nobody's.
    let given = ran(plugin_build(root).args(["verify", "--rebuild", "oci:image"]).env("RUSTFLAGS", flags));
    assert_eq!(given.code, 1, "{}{}", given.stdout, given.stderr);
    assert!(given.stderr.contains("image/evil.o`, which is no file that the checkout tracks"), "{}", given.stderr);

    // A request that only changes code is repeated, told, and no success either.
    build("-Copt-level=0");
    let told = scene.verify(&[]);
    assert_eq!(told.code, 3, "{}", told.stderr);
    assert!(told.stderr.contains("the same digest, but by a request that the sources do not have"), "{}", told.stderr);
    assert_eq!(scene.verify(&["--accept-request"]).code, 0);
}

#[test]
#[ignore = "slow"]
fn a_file_that_the_checker_names_is_one_of_the_checkout() {
    let scene = Scene::new();
    let root = &scene.project.root;
    scene.project.write("own.toml", "[profile.release]\nopt-level = 1\n");
    let build = ran(plugin_build(root).args(["build", "-q", "--no-revision", "-o", "image", "--", "--config", "own.toml"]));
    assert_eq!(build.code, 0, "{}", build.stderr);
    let verify = || scene.verify(&["--", "--config", "own.toml"]);
    let untracked = verify();
    assert_eq!(untracked.code, 1, "{}{}", untracked.stdout, untracked.stderr);
    assert!(untracked.stderr.contains("own.toml`, which is no file that the checkout tracks"), "{}", untracked.stderr);
    git(root, &["add", "own.toml"]);
    git(root, &["commit", "-qm", "Own"]);
    let tracked = verify();
    assert_eq!(tracked.code, 0, "{}{}", tracked.stdout, tracked.stderr);
    let unasked = scene.verify(&[]);
    assert_eq!(unasked.code, 3, "{}{}", unasked.stdout, unasked.stderr);
}

#[test]
#[ignore = "slow"]
fn who_checks_may_say_which_package_is_meant() {
    let workspace = Project::new(&[
        ("Cargo.toml", "[workspace]\nmembers = ['one', 'two']\nresolver = '3'\n"),
        (
            "Cargo.lock",
            "version = 4\n[[package]]\nname = \"one\"\nversion = \"0.1.0\"\n[[package]]\nname = \"two\"\nversion = \"0.1.0\"\n",
        ),
        ("one/Cargo.toml", "[package]\nname = 'one'\nversion = '0.1.0'\nedition = '2024'\n"),
        ("one/src/main.rs", "fn main() {}\n"),
        ("two/Cargo.toml", "[package]\nname = 'two'\nversion = '0.1.0'\nedition = '2024'\n"),
        ("two/src/main.rs", "fn main() {}\n"),
    ]);
    let built = ran(plugin_build(&workspace.root).args(["build", "-q", "-p", "two", "-o", "image"]));
    assert_eq!(built.code, 0, "{}", built.stderr);
    for (more, code) in [(&[][..], 0), (&["-p", "two"], 0), (&["-p", "t*@0.1.0"], 0), (&["-p", "one"], 3)] {
        let told = ran(plugin_build(&workspace.root).args(["verify", "--rebuild", "oci:image"]).args(more));
        assert_eq!(told.code, code, "{more:?}: {}{}", told.stdout, told.stderr);
        let differs = told.stdout.contains("request > package: the image was asked for two, the sources say one");
        assert_eq!(differs, code == 3, "{}", told.stdout);
    }
}

#[test]
#[ignore = "slow"]
fn nothing_is_taken_from_a_directory_in_the_image() {
    let scene = Scene::new();
    scene.forge(&[]);
    let image = scene.project.root.join("image");
    let canary = scene.canary();
    fs::create_dir_all(image.join(".cargo")).unwrap();
    fs::write(image.join(".cargo/config.toml"), format!("[build]\nrustc-wrapper = '{canary}'\nrustc = '{canary}'\n")).unwrap();
    fs::create_dir_all(image.join("src")).unwrap();
    fs::write(image.join("Cargo.toml"), "[package]\nname='p'\nversion='0.1.0'\nedition='2024'\n[workspace]\n").unwrap();
    fs::write(image.join("src/main.rs"), "fn main() {}\n").unwrap();
    fs::write(image.join("Cargo.lock"), "version = 4\n[[package]]\nname = \"p\"\nversion = \"0.1.0\"\n").unwrap();
    let own = scene.project.root.join("Cargo.toml");
    for (dir, args) in [
        (image.clone(), vec!["oci:."]),
        (image.clone(), vec!["oci:.", "--manifest-path", own.to_str().unwrap()]),
        (image.join("src"), vec!["oci:.."]),
        (scene.project.root.clone(), vec!["oci:image", "--manifest-path", "image/Cargo.toml"]),
    ] {
        let refused = ran(plugin_build(&dir).args(["verify", "--rebuild"]).args(&args));
        assert_eq!(refused.code, 1, "{args:?}: {}{}", refused.stdout, refused.stderr);
        assert!(refused.stderr.contains("lies in the image that is checked"), "{args:?}: {}", refused.stderr);
        assert!(!scene.ran_at().exists(), "{args:?}");
    }
}

/// Words that a request of ours has, words that it must not have, and texts of no sense.
fn word() -> impl Strategy<Value = String> {
    let harmless =
        ["-Copt-level=1", "--cfg", "x", "-Dwarnings", "-C", "panic=abort", "--config", "profile.release.lto=true", "-v", "-Z"];
    let evil = [
        "@image/flags",
        "image/evil.toml",
        "--config=image/evil.toml",
        "-Clinker=CANARY",
        "linker=CANARY",
        "-Clink-arg=-wrapper",
        "build.rustc='CANARY'",
        "build.rustc-wrapper='CANARY'",
        "env.BASH_ENV='CANARY'",
        "--print=cfg=PRINTED",
        "cfg=PRINTED",
        "target.'cfg(all())'.linker='CANARY'",
        "include='image/evil.toml'",
        "-Zunstable-options",
        "script",
        "--manifest-path",
        "image/Cargo.toml",
        "-vCimage",
        "CANARY",
        "--",
        "\u{1f}-Clinker=CANARY",
        "-L",
        "image",
        "--extern",
        "--emit=link=PRINTED",
    ];
    prop_oneof![
        3 => prop::sample::select(harmless.map(str::to_owned).to_vec()),
        3 => prop::sample::select(evil.map(str::to_owned).to_vec()),
        1 => (prop::sample::select(harmless.to_vec()), prop::sample::select(evil.to_vec())).prop_map(|(one, other)| format!("{one}{other}")),
        1 => "[-@a-z=./\u{0}\n '\"{}\\[\\]]{0,12}",
    ]
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => prop::sample::select(vec!["opt-level", "lto", "codegen-backend", "rustflags", "build-override.opt-level", "panic", "debug"])
            .prop_map(str::to_owned),
        1 => "[a-zA-Z=.\n-]{0,12}",
    ]
}

/// Parts of a request, at least one of them changed.
fn changes() -> impl Strategy<Value = Vec<(&'static str, Value)>> {
    let words = || prop::collection::vec(word(), 1..4).prop_map(|words| json!(words));
    let keys =
        prop::collection::btree_map(key(), prop_oneof![word().prop_map(Value::from), Just(json!(1)), Just(json!(true))], 1..3);
    let names = || prop::sample::select(vec!["q", "../p", "-p", "@p", "p/x", "x.json", "a b", ""]).prop_map(Value::from);
    let one = prop_oneof![
        4 => words().prop_map(|words| ("rustflags", words)),
        4 => words().prop_map(|words| ("cargo-args", words)),
        2 => keys.prop_map(|keys| ("profile-keys", json!(keys))),
        1 => words().prop_map(|words| ("features", words)),
        1 => (prop::sample::select(vec!["package", "bin", "profile", "target", "builder"]), names()),
    ];
    prop::collection::vec(one, 1..3)
}

#[test]
#[ignore = "slow"]
fn three_hundred_requests_start_no_program_and_change_nothing() {
    let scene = Scene::new();
    let (canary, printed) = (scene.canary(), scene.outside.path().join("printed").display().to_string());
    fs::write(&printed, "as it was\n").unwrap();
    let before = scene.state();
    let real = |value: &Value| -> Value {
        let text = value.to_string().replace("CANARY", &canary).replace("PRINTED", &printed);
        serde_json::from_str(&text).unwrap()
    };
    let mut runner = TestRunner::new_with_rng(
        Config { cases: 300, failure_persistence: None, max_shrink_iters: 20, ..Config::default() },
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let outcome = runner.run(&changes(), |changes| {
        let changes: Vec<(&str, Value)> = changes.iter().map(|(key, value)| (*key, real(value))).collect();
        scene.forge(&changes);
        let image = scene.project.root.join("image");
        fs::write(image.join("evil.toml"), format!("[build]\nrustc-wrapper = '{canary}'\n")).unwrap();
        fs::write(image.join("flags"), format!("-Clinker={canary}\n")).unwrap();
        let told = scene.verify(&["-q"]);
        // 2: no package of that name.
        prop_assert!([1, 2, 3].contains(&told.code), "{changes:?}: {}{}", told.stdout, told.stderr);
        prop_assert!(!scene.ran_at().exists(), "{changes:?} ran: {}", told.stderr);
        prop_assert_eq!(scene.state(), before.clone(), "{:?}", changes);
        Ok(())
    });
    outcome.unwrap();
}
