//! What the user says is what is built, and what nobody reads is told.

use std::fs;

use plugin_build::build::kinds::Kind;
use plugin_build::build::manifest::{BuildFlags, Plugin, load};
use plugin_oci::progress::Silent;
use plugin_oci::values::compression::Compression;
use serde_json::{Value, json};

use crate::support::layouts::HandLayout;
use crate::support::packed::Packed;
use crate::support::program::{done, plugin_build, ran, run};
use crate::support::project::Project;

fn only(project: &Project, flags: &BuildFlags) -> Plugin {
    project.load(flags).unwrap().plugins.remove(0)
}

#[test]
fn the_target_that_cargo_is_configured_for_is_built_wherever_it_suits_the_kind() {
    let library = |table: &str| {
        let project = Project::with_table(&format!("[lib]\ncrate-type = ['cdylib']\n\n{table}"));
        fs::remove_file(project.root.join("src/main.rs")).unwrap();
        project.write("src/lib.rs", "");
        project
    };
    let configured = |table: &str, targets: &str| {
        let project = library(table);
        // Not the package's own configuration, but one above it.
        project.write("../.cargo/config.toml", &format!("[build]\ntarget = {targets}\n"));
        project
    };
    let flags = BuildFlags::default();
    let host = load(&flags, &library("").env(), &Silent).unwrap().rustc.host;
    for (table, targets, kind, expected) in [
        ("", "'wasm32-unknown-unknown'", Kind::Wasm, "wasm32-unknown-unknown"),
        ("", "['wasm32-wasip2']", Kind::Wasm, "wasm32-wasip2"),
        ("[package.metadata.plugin-build]\nkind = 'wasm'", "'wasm32-wasip2'", Kind::Wasm, "wasm32-wasip2"),
        (
            "[package.metadata.plugin-build]\nkind = 'proxy-wasm'",
            "'wasm32-unknown-unknown'",
            Kind::ProxyWasm,
            "wasm32-unknown-unknown",
        ),
        (
            "[package.metadata.plugin-build]\nkind = 'wasm'",
            "['aarch64-unknown-linux-gnu', 'wasm32-wasip2']",
            Kind::Wasm,
            "wasm32-wasip2",
        ),
        // What does not suit the kind leaves it its own.
        ("[package.metadata.plugin-build]\nkind = 'proxy-wasm'", "'wasm32-wasip2'", Kind::ProxyWasm, "wasm32-wasip1"),
        ("[package.metadata.plugin-build]\nkind = 'wasm'", "'aarch64-unknown-linux-gnu'", Kind::Wasm, "wasm32-wasip1"),
        ("[package.metadata.plugin-build]\nkind = 'library'", "'wasm32-wasip2'", Kind::Library, &host),
        ("[package.metadata.plugin-build]\nkind = 'library'", "'host-tuple'", Kind::Library, &host),
        // The manifest is stronger.
        ("[package.metadata.plugin-build]\ntargets = ['wasm32-wasip1']", "'wasm32-wasip2'", Kind::Wasm, "wasm32-wasip1"),
    ] {
        let plugin = only(&configured(table, targets), &flags);
        assert_eq!((plugin.kind, plugin.targets.as_slice()), (kind, &[expected.to_owned()][..]), "{table} {targets}");
    }
    let project = configured("", "'wasm32-unknown-unknown'");
    let flag = BuildFlags { targets: vec!["wasm32-wasip2".to_owned()], ..BuildFlags::default() };
    assert_eq!(only(&project, &flag).targets, ["wasm32-wasip2"]);
    let mut env = project.env();
    env.set("CARGO_BUILD_TARGET", "wasm32-wasip2");
    assert_eq!(load(&flags, &env, &Silent).unwrap().plugins[0].targets, ["wasm32-wasip2"]);
    // No such standard library is here, and the program says which one it wants.
    let told = run(&project.root, &["build", "--dry-run"]).stderr;
    assert!(told.contains("wasm32-unknown-unknown") && !told.contains("wasip1") && told.contains("`-- -Zbuild-std`"), "{told}");
}

#[test]
fn verbs_that_only_read_ask_no_compiler_and_no_network_where_the_last_build_is() {
    let table =
        "[dependencies]\nno-such-crate-is-there = '1'\n\n[package.metadata.plugin-build]\ntargets = ['x86_64-unknown-none']\n";
    let project = Project::with_table(table);
    let program = |args: &[&str]| ran(plugin_build(&project.root).args(args).env("RUSTC", "/bin/false"));
    for verb in [&["inspect"][..], &["verify"], &["push", "--no-build", "localhost:1/a/b"], &["install", "--no-build", "plugins"]]
    {
        let told = program(verb);
        assert_eq!(told.code, 1, "{verb:?}: {}", told.stderr);
        let lines = "there is no layout at `[root]/target/plugin-build/p` yet";
        assert!(project.anonymous(&told.stderr).contains(lines), "{verb:?}: {}", told.stderr);
    }
    Packed::new("executable", "/p").file("p", 0o755, "p").write(&project.root);
    fs::create_dir_all(project.root.join("target/plugin-build")).unwrap();
    done(&project.root, &["copy", "oci:layout:1.0", "oci:target/plugin-build/p:0.1.0"]);
    for verb in [&["inspect"][..], &["install", "--no-build", "plugins", "--name", "p"]] {
        let done = program(verb);
        assert_eq!(done.code, 0, "{verb:?}: {}", done.stderr);
    }
    assert!(!project.root.join("Cargo.lock").exists(), "nothing was resolved");
}

#[test]
fn a_binary_is_found_in_the_member_that_has_it_and_its_file_has_its_name() {
    let member = |name: &str, more: &str| format!("[package]\nname = '{name}'\nversion = '0.1.0'\nedition = '2024'\n{more}\n");
    let other = "[[bin]]\nname = 'two'\npath = 'src/main.rs'\n";
    let project = Project::new(&[
        ("Cargo.toml", "[workspace]\nmembers = ['one', 'uu_two', 'three']\ndefault-members = ['one']\nresolver = '3'\n"),
        ("one/Cargo.toml", &member("one", "[package.metadata.plugin-build]")),
        ("one/src/main.rs", "fn main() {}"),
        ("uu_two/Cargo.toml", &member("uu_two", other)),
        ("uu_two/src/main.rs", "fn main() { println!(\"two\"); }"),
        ("three/Cargo.toml", &member("three", "")),
        ("three/src/main.rs", "fn main() {}"),
    ]);
    let told = run(&project.root, &["--bin", "two"]);
    assert_eq!(told.code, 2);
    assert!(
        told.stderr.contains("package `one` has no binary `two`") && told.stderr.contains("uu_two has it: `-p uu_two`"),
        "{}",
        told.stderr
    );
    let bin = |bin: &str| BuildFlags { workspace: true, bin: Some(bin.to_owned()), ..BuildFlags::default() };
    assert_eq!(only(&project, &bin("two")).package.name, "uu_two", "without a table: it is named");
    assert_eq!(only(&project, &bin("one")).package.name, "one");

    let entrypoint = |args: &[&str]| -> Value {
        let plan: Value = serde_json::from_str(&done(&project.root, &[&["--dry-run"][..], args].concat())).unwrap();
        plan["images"][0]["targets"][0]["place"]["entrypoint"].clone()
    };
    assert_eq!(entrypoint(&["-p", "uu_two"]), json!(["/two"]), "the only binary");
    assert_eq!(entrypoint(&["-p", "uu_two", "--bin", "two"]), json!(["/two"]));
    assert_eq!(entrypoint(&["-p", "uu_two", "--name", "uu_two"]), json!(["/uu_two"]), "somebody named it");
    assert_eq!(entrypoint(&["-p", "uu_two", "--name", "deux"]), json!(["/deux"]));
    let bad = run(&project.root, &["-p", "uu_two", "--name", "a/b"]);
    assert!(bad.code == 2 && bad.stderr.contains("bad value of `--name`: `a/b` is not a plain file name"), "{}", bad.stderr);
    let library = run(&project.root, &["-p", "three", "--kind", "library"]);
    assert!(library.code == 2 && library.stderr.contains("kind `library` wants a library"), "{}", library.stderr);

    // What flags decided, the flags say again; without them it is told.
    done(&project.root, &["-q", "-p", "uu_two", "--name", "deux"]);
    let image = "oci:target/plugin-build/uu_two:0.1.0";
    let again = |flags: &[&str]| run(&project.root, &[&["verify", "--rebuild", image, "-p", "uu_two"][..], flags].concat());
    let same = again(&["--name", "deux"]);
    assert_eq!(same.code, 0, "{}{}", same.stdout, same.stderr);
    let differs = again(&[]);
    assert_eq!(differs.code, 3, "{}", differs.stderr);
    assert!(differs.stdout.contains("the image was asked for deux, the sources say uu_two"), "{}", differs.stdout);
    assert_eq!(again(&["--accept-request"]).code, 0);
}

#[test]
fn a_table_that_nothing_would_read_is_told_with_its_line() {
    for (table, meant) in [
        ("package.metadata.plugin_build", "package"),
        ("package.metadata.cargo-plugin-build", "package"),
        ("package.metadata.PluginBuild", "package"),
        ("package.metadata.plugin-biuld", "package"),
        ("package.metadata.build-plugin", "package"),
        ("package.metadata.plugin.build", "package"),
        ("package.metadata.plugins-build", "package"),
        ("metadata.plugin-build", "package"),
        ("plugin-build", "package"),
        ("package.plugin-build", "package"),
        ("workspace.metadata.plugin_build", "workspace"),
        ("workspace.plugin-build", "workspace"),
        ("package.metadat.plugin-build", "package"),
        ("workspace.package.metadata.plugin-build", "workspace"),
    ] {
        let project = Project::with_table(&format!("[{table}]\nfiles = [{{ from = 'src' }}]\n"));
        let told = run(&project.root, &["--dry-run"]);
        assert_eq!(told.code, 2, "{table}: {}", told.stderr);
        let text = project.anonymous(&told.stderr);
        assert!(text.contains(&format!("[root]/Cargo.toml:8: nothing reads [{table}]")), "{text}");
        assert!(text.contains(&format!("did you mean [{meant}.metadata.plugin-build]?")), "{text}");
    }
    // Half a table is not read either.
    let beside =
        Project::with_table("[package.metadata.plugin-build]\nuser = '1'\n\n[package.metadata.plugin_build.env]\nA = '1'\n");
    let told = run(&beside.root, &["--dry-run"]).stderr;
    assert!(told.contains("Cargo.toml:11: nothing reads [package.metadata.plugin_build]"), "{told}");
    for (keys, told) in [
        ("passwd = [{ name = 'a', udi = 1 }]", "did you mean `uid`?"),
        ("passwd = { name = 'a' }", "want a list of tables: `passwd = [{ name = \"app\", uid = 1000 }]`"),
        ("contract = 'schema.graphql'", "want a table such as { schema = \"src/schema.graphql\" }"),
        ("license = 'MIT'", "the keys are annotations"),
    ] {
        let project = Project::with_table(&format!("[package.metadata.plugin-build]\n{keys}\n"));
        let refused = run(&project.root, &["--dry-run"]);
        assert!(refused.code == 2 && refused.stderr.contains(told), "{keys}: {}", refused.stderr);
    }
    // Of a member that would be passed over, too; but not what only resembles it, nor what others name.
    let project = Project::new(&[
        ("Cargo.toml", "[workspace]\nmembers = ['a', 'b']\nresolver = '3'\n"),
        ("a/Cargo.toml", "[package]\nname = 'a'\nversion = '0.1.0'\nedition = '2024'\n\n[package.metadata.plugin-build]\n"),
        ("a/src/main.rs", "fn main() {}"),
        ("b/Cargo.toml", "[package]\nname = 'b'\nversion = '0.1.0'\nedition = '2024'\n\n[package.metadata.plugin_build]\n"),
        ("b/src/main.rs", "fn main() {}"),
    ]);
    assert!(run(&project.root, &["--dry-run"]).stderr.contains("b/Cargo.toml:6: nothing reads [package.metadata.plugin_build]"));
    for table in [
        "[package.metadata.plugin-builder]\n",
        "[package.metadata.other.plugin-build]\n",
        "[profile.plugin-build]\ninherits = 'release'\n",
    ] {
        done(&Project::with_table(table).root, &["--dry-run"]);
    }
}

#[test]
fn flags_about_features_that_are_not_there_change_no_digest() {
    let project = Project::with_table("");
    let digest = |args: &[&str]| -> Value {
        let built = done(&project.root, &[&["-q", "--message-format", "json"][..], args].concat());
        serde_json::from_str::<Value>(built.lines().last().unwrap()).unwrap()["digest"].clone()
    };
    let plain = digest(&[]);
    assert_eq!(digest(&["--no-default-features"]), plain);
    assert_eq!(digest(&["--all-features"]), plain);
    assert_eq!(run(&project.root, &["verify", "--rebuild", "--no-default-features"]).code, 0);
    project.write("Cargo.toml", &(fs::read_to_string(project.root.join("Cargo.toml")).unwrap() + "[features]\ndefault = []\n"));
    assert_ne!(digest(&["--no-default-features"]), plain, "it has a default feature");
}

#[test]
fn the_best_of_several_arms_is_taken_and_versions_of_windows_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut layout = HandLayout::new(&dir.path().join("l"));
    let mut images = Vec::new();
    for (number, (platform, variant, version)) in [
        ("linux/arm", Some("v5"), None),
        ("linux/arm", Some("v6"), None),
        ("linux/arm", Some("v7"), None),
        ("windows/amd64", None, Some("10.0.17763.5")),
        ("windows/amd64", None, Some("10.0.20348.9")),
    ]
    .into_iter()
    .enumerate()
    {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(1);
        tar.append_data(&mut header, "which", number.to_string().as_bytes()).unwrap();
        let mut image = layout.image(platform, &[tar.into_inner().unwrap()], Compression::Gzip);
        if let Some(variant) = variant {
            image["platform"]["variant"] = json!(variant);
        }
        if let Some(version) = version {
            image["platform"]["os.version"] = json!(version);
        }
        images.push(image);
    }
    let index = layout.index(&images, &json!({}));
    layout.tag("1", index);
    for (platform, expected) in [
        ("linux/arm", "2"),
        ("linux/arm/v8", "2"),
        ("linux/arm/v7", "2"),
        ("linux/arm/v6", "1"),
        ("linux/arm/v5", "0"),
        ("windows(10.0.20348)/amd64", "4"),
        ("windows(10.0.17763.5)/amd64", "3"),
    ] {
        let to = format!("out-{}", platform.replace('/', "_"));
        done(dir.path(), &["unpack", "--platform", platform, "oci:l:1", &to]);
        assert_eq!(fs::read_to_string(dir.path().join(to).join("which")).unwrap(), expected, "{platform}");
    }
    let told = run(dir.path(), &["unpack", "--platform", "windows/amd64", "oci:l:1", "w"]);
    assert_eq!(told.code, 2, "{}", told.stderr);
    for part in ["several images for platform windows/amd64", "windows(10.0.17763.5)/amd64", "windows(10.0.20348.9)/amd64"] {
        assert!(told.stderr.contains(part), "{part}: {}", told.stderr);
    }
    let shown = done(dir.path(), &["inspect", "--platform", "linux/arm", "oci:l:1"]);
    assert!(shown.contains("linux/arm/v7") && !shown.contains("v6"), "{shown}");
    assert!(done(dir.path(), &["inspect", "oci:l:1"]).contains("windows(10.0.17763.5)/amd64"));
    // Joined anew, each keeps its version.
    done(dir.path(), &["copy", "oci:l:1", "oci:m:1", "--into-index"]);
    let joined = done(dir.path(), &["inspect", "oci:m:1"]);
    assert!(joined.contains("windows(10.0.20348.9)/amd64") && joined.contains("windows(10.0.17763.5)/amd64"), "{joined}");
}
