//! `diff` through the program: the cause of a difference, and only the cause.

use std::path::Path;
use std::process::Command;

use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;
use serde_json::{Value, json};

use crate::support::layouts::{HandLayout, gzip};
use crate::support::program::{Ran, plugin_build, ran};
use crate::support::project::Project;
use crate::support::tools::{require, require_file, stdout};

/// A file of a tar: path, content, mode, modification time, owner.
type File<'a> = (&'a str, &'a [u8], u32, u64, u64);

fn tar(files: &[File<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content, mode, mtime, uid) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(*mode);
        header.set_mtime(*mtime);
        header.set_uid(*uid);
        header.set_gid(0);
        builder.append_data(&mut header, path, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A layout with images tagged `a` and `b`, each a list of layers.
fn two(dir: &Path, a: &[Vec<u8>], b: &[Vec<u8>]) {
    let mut layout = HandLayout::new(dir);
    for (tag, tars) in [("a", a), ("b", b)] {
        let image = layout.image("linux/amd64", tars, Compression::Gzip);
        let index = layout.index(&[image], &json!({}));
        layout.tag(tag, index);
    }
}

fn diff(dir: &Path, args: &[&str]) -> Ran {
    ran(plugin_build(dir).args(["plugin-build", "diff", "--message-format", "json"]).args(args))
}

/// `object: message`, a line each.
fn told(ran: &Ran) -> Vec<String> {
    let objects = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let differences = objects.filter(|object| object["reason"] == "difference");
    differences.map(|d| format!("{}: {}", d["object"].as_str().unwrap(), d["message"].as_str().unwrap())).collect()
}

fn verdict(ran: &Ran) -> String {
    let last: Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
    last["verdict"].as_str().unwrap().to_owned()
}

fn told_of(a: &[Vec<u8>], b: &[Vec<u8>]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    two(&dir.path().join("l"), a, b);
    let found = diff(dir.path(), &["oci:l:a", "oci:l:b"]);
    assert_eq!(found.code, 3, "{}", found.stderr);
    assert_eq!(verdict(&found), "other-contents");
    told(&found)
}

#[test]
fn the_same_image_has_no_differences() {
    let dir = tempfile::tempdir().unwrap();
    let layer = vec![tar(&[("a", b"1", 0o644, 0, 0)])];
    two(&dir.path().join("l"), &layer, &layer);
    let same = diff(dir.path(), &["oci:l:a", "oci:l:b"]);
    assert_eq!((same.code, told(&same).len()), (0, 0), "{}", same.stderr);
    assert_eq!(verdict(&same), "same");
    let missing = diff(dir.path(), &["oci:l:a", "oci:l:c"]);
    assert_eq!(missing.code, 1, "{}", missing.stderr);
}

#[test]
fn each_fact_of_an_entry_is_told_by_its_name() {
    let of = |files: &[File<'_>]| vec![tar(files)];
    let plain: File<'_> = ("a/b", b"1", 0o644, 0, 0);
    let cases: [(&[File<'_>], &str); 6] = [
        (&[("a/b", b"1", 0o600, 0, 0)], "linux/amd64 > layer 1 > a/b: mode 0644 -> 0600"),
        (&[("a/b", b"1", 0o644, 7, 0)], "linux/amd64 > layer 1 > a/b: mtime 0 -> 7"),
        (&[("a/b", b"1", 0o644, 0, 7)], "linux/amd64 > layer 1 > a/b: owner 0:0 -> 7:0"),
        (&[("a/b", b"12", 0o644, 0, 0)], "linux/amd64 > layer 1 > a/b > line 1: 1 -> 12"),
        (&[], "linux/amd64 > layer 1: only in the first: file a/b (mode 0644, 1 bytes)"),
        (&[plain, ("c", b"", 0o644, 0, 0)], "linux/amd64 > layer 1: only in the second: file c (mode 0644, 0 bytes)"),
    ];
    for (changed, expected) in cases {
        assert_eq!(told_of(&of(&[plain]), &of(changed)), [expected]);
    }
}

#[test]
fn a_change_of_many_entries_is_one_difference() {
    let at = |time: u64| vec![tar(&["a", "b", "c", "d"].map(|path| (path, &b"1"[..], 0o644, time, 0)))];
    assert_eq!(told_of(&at(0), &at(9)), ["linux/amd64 > layer 1: mtime of 4 entries (a, b, c, ...): 0 -> 9"]);
}

#[test]
fn order_of_entries_and_of_layers_counts() {
    let (a, b): (File<'_>, File<'_>) = (("a", b"1", 0o644, 0, 0), ("b", b"2", 0o644, 0, 0));
    assert_eq!(told_of(&[tar(&[a, b])], &[tar(&[b, a])]), ["linux/amd64 > layer 1: the same entries in another order"]);
    let swapped = told_of(&[tar(&[a]), tar(&[b])], &[tar(&[b]), tar(&[a])]);
    assert_eq!(swapped.len(), 1);
    assert!(swapped[0].starts_with("linux/amd64 > layers: sha256:"), "{swapped:?}");
    let more = told_of(&[tar(&[a])], &[tar(&[b]), tar(&[a])]);
    assert_eq!(more.len(), 1);
    assert!(more[0].starts_with("linux/amd64 > layers: only in the second: layer 1 sha256:"), "{more:?}");
}

#[test]
fn other_compression_is_told_from_other_contents() {
    let dir = tempfile::tempdir().unwrap();
    let mut layout = HandLayout::new(&dir.path().join("l"));
    let tars = [tar(&[("a", b"1", 0o644, 0, 0)])];
    for (tag, compression) in [("a", Compression::Gzip), ("b", Compression::Zstd), ("c", Compression::None)] {
        let image = layout.image("linux/amd64", &tars, compression);
        let index = layout.index(&[image], &json!({}));
        layout.tag(tag, index);
    }
    for (other, words) in [("b", "gzip -> zstd"), ("c", "gzip -> none")] {
        let found = diff(dir.path(), &["oci:l:a", &format!("oci:l:{other}")]);
        assert_eq!((found.code, verdict(&found).as_str()), (3, "other-compression"), "{}", found.stderr);
        let told = told(&found);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("linux/amd64 > layer 1: same contents (diff id sha256:"), "{told:?}");
        assert!(told[0].ends_with(words), "{told:?}");
    }
    let human = ran(plugin_build(dir.path()).args(["diff", "oci:l:a", "oci:l:b"]));
    assert!(human.stderr.contains("same contents (diff ids equal), other compression"), "{}", human.stderr);
}

#[test]
fn descriptions_differ_by_their_keys() {
    let dir = tempfile::tempdir().unwrap();
    let mut layout = HandLayout::new(&dir.path().join("l"));
    let tars = [tar(&[("a", b"1", 0o644, 0, 0)])];
    let image = |layout: &HandLayout, platform: &str| layout.image(platform, &tars, Compression::Gzip);
    let amd64 = image(&layout, "linux/amd64");
    let arm64 = image(&layout, "linux/arm64");
    let first = layout.index(std::slice::from_ref(&amd64), &json!({"x": "1", "gone": "y", "j": r#"{"a":[1,2]}"#}));
    let second = layout.index(std::slice::from_ref(&amd64), &json!({"x": "2", "new": "z", "j": r#"{"a":[1,3]}"#}));
    let third = layout.index(&[arm64, amd64], &json!({"x": "1", "gone": "y", "j": r#"{"a":[1,2]}"#}));
    for (tag, index) in [("a", first), ("b", second), ("c", third)] {
        layout.tag(tag, index);
    }
    let described = diff(dir.path(), &["oci:l:a", "oci:l:b"]);
    assert_eq!((described.code, verdict(&described).as_str()), (3, "other-description"));
    assert_eq!(
        told(&described),
        [
            "index > annotation gone: only in the first: y",
            "index > annotation j > a[1]: 2 -> 3",
            "index > annotation new: only in the second: z",
            "index > annotation x: 1 -> 2",
        ]
    );
    let platforms = told(&diff(dir.path(), &["oci:l:a", "oci:l:c"]));
    assert_eq!(platforms.len(), 1, "{platforms:?}");
    assert!(platforms[0].starts_with("index: only in the second: linux/arm64 (sha256:"), "{platforms:?}");
    assert_eq!(diff(dir.path(), &["oci:l:a", "oci:l:c", "--platform", "linux/amd64"]).code, 0);
}

#[test]
#[ignore = "slow"]
fn programs_differ_by_section_symbol_and_leaked_path() {
    let dir = tempfile::tempdir().unwrap();
    let program = |name: &str, source: &str, prefix: &str| {
        let file = dir.path().join(prefix).join("main.rs");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, source).unwrap();
        let out = dir.path().join(name);
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition=2024", "-Copt-level=1", "-o"]).arg(&out).arg(&file);
        assert!(rustc.status().unwrap().success());
        std::fs::read(out).unwrap()
    };
    let source = "fn main() { println!(\"{}\", file!()); helper(); }\n\
                  #[inline(never)] #[unsafe(no_mangle)] fn helper() { println!(\"h\"); }\n";
    let more = source.replace("helper(); }", "helper(); added(); }")
        + "#[inline(never)] #[unsafe(no_mangle)] fn added() { println!(\"a\"); }\n";
    let plain = program("one", source, "home/ana/work");
    let leaked = program("two", source, "home/bob/work");
    let longer = program("three", &more, "home/ana/work");
    let of = |program: &[u8]| vec![tar(&[("greeter", program, 0o755, 0, 0)])];
    let paths = told_of(&of(&plain), &of(&leaked));
    assert!(paths[0].contains("ELF sections"), "{paths:?}");
    let leak = paths.iter().find(|told| told.contains("layer 1 > greeter > paths: ")).unwrap();
    assert!(leak.contains("home/ana/work/main.rs -> ") && leak.ends_with("home/bob/work/main.rs"), "{leak}");
    let symbols = told_of(&of(&plain), &of(&longer));
    let added = "linux/amd64 > layer 1 > greeter > symbols: only in the second: added";
    assert!(symbols.iter().any(|told| told == added), "{symbols:?}");
}

#[test]
fn a_build_of_changed_sources_differs_by_the_line_and_the_key() {
    let project = Project::fixture("greeter");
    let build = |tag: &str| {
        let built = ran(plugin_build(&project.root).args(["build", "-q", "-o", "out", "-t", tag]));
        assert_eq!(built.code, 0, "{}", built.stderr);
    };
    build("a");
    project.write("assets/greeting.txt", "Good evening\n");
    build("b");
    let found = diff(&project.root, &["oci:out:a", "oci:out:b"]);
    let told = told(&found);
    assert_eq!(found.code, 3);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("linux/amd64 > layer 1 > share/greeting.txt > line 1: "), "{told:?}");
}

#[test]
fn a_name_that_stands_for_a_hidden_path_is_no_leak() {
    let project = Project::with_table("");
    let build = |tag: &str, code: &str| {
        project.write("src/main.rs", &format!("fn main() {{ {code} }}\n"));
        let built = ran(plugin_build(&project.root).args(["build", "-q", "-o", "out", "-t", tag]));
        assert_eq!(built.code, 0, "{}", built.stderr);
    };
    // The one holds `/rustc/.../std/src/env.rs`, for a panic, and the other does not.
    build("a", "println!(\"{}\", [1, 2][std::env::args().count()]);");
    build("b", "println!(\"1\");");
    let found = diff(&project.root, &["oci:out:a", "oci:out:b"]);
    let told = told(&found);
    assert!(told[0].starts_with("linux/amd64 > layer 1 > p: "), "{told:?}");
    assert!(!told.iter().any(|told| told.contains("> paths: ")), "{told:?}");
}

/// A project whose greeting is not the same in `a` and `b`, built twice with what `command` adds.
fn built_twice(project: &Project, command: [&dyn Fn(&mut Command); 2]) {
    for (tag, special) in ["a", "b"].into_iter().zip(command) {
        project.write("src/main.rs", &format!("fn main() {{ println!(\"{tag}\"); }}\n"));
        let mut build = plugin_build(&project.root);
        build.args(["build", "-q", "-o", "out", "-t", tag]);
        special(&mut build);
        let built = ran(&mut build);
        assert_eq!(built.code, 0, "{}", built.stderr);
    }
}

fn without_provenance(build: &mut Command) {
    build.arg("--no-provenance");
}

fn with_provenance(build: &mut Command) {
    build.arg("--provenance");
}

fn tools(ran: &Ran) -> Value {
    let last: Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
    last["tools"].clone()
}

#[test]
fn another_linker_and_another_libc_are_told_before_anything_else() {
    let project = Project::with_table("");
    let script = "#!/bin/sh\ncase \"$1\" in --version) echo 'another linker 9.9';; -print-file-name=libc.a) echo \"$0\";; \
                  *) exec cc \"$@\";; esac\n";
    project.write("cc", script);
    assert!(Command::new("chmod").arg("+x").arg(project.root.join("cc")).status().unwrap().success());
    let other = |build: &mut Command| {
        with_provenance(build);
        build.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER", project.root.join("cc"));
    };
    built_twice(&project, [&with_provenance, &other]);
    let found = diff(&project.root, &["oci:out:a", "oci:out:b"]);
    assert_eq!((found.code, tools(&found)), (3, "other".into()), "{}", found.stderr);
    let told = told(&found);
    let linker = "toolchain > linker for x86_64-unknown-linux-gnu: other toolchain: ";
    assert!(told[0].starts_with(linker) && told[0].ends_with(" -> another linker 9.9"), "{told:?}");
    assert!(told[1].starts_with("toolchain > libc.a for x86_64-unknown-linux-gnu: other toolchain: sha256:"), "{told:?}");
    assert!(told.len() > 2 && told[2..].iter().all(|told| told.starts_with("linux/amd64 > ")), "{told:?}");
    let human = ran(plugin_build(&project.root).args(["diff", "oci:out:a", "oci:out:b"]));
    assert!(human.stdout.starts_with(linker) && human.stdout.contains("another linker 9.9 [toolchain]\n"), "{}", human.stdout);
    assert!(human.stderr.contains(": other toolchain, other contents"), "{}", human.stderr);
    let elsewhere = diff(&project.root, &["oci:out:a", "oci:out:b", "--platform", "linux/arm64"]);
    assert_eq!((elsewhere.code, self::told(&elsewhere).len()), (0, 0), "nothing of that platform differs: {}", elsewhere.stdout);
}

#[test]
#[ignore = "needs Debian's compiler"]
fn another_compiler_is_told_by_both_versions() {
    if !["/usr/bin/cargo", "/usr/bin/rustc"].iter().all(|path| require_file(path)) {
        return;
    }
    let project = Project::with_table("");
    let second = |build: &mut Command| {
        with_provenance(build);
        build.envs([("CARGO", "/usr/bin/cargo"), ("RUSTC", "/usr/bin/rustc")]);
    };
    built_twice(&project, [&with_provenance, &second]);
    let [here, there] = ["rustc", "/usr/bin/rustc"].map(|rustc| stdout(Command::new(rustc).arg("-V")));
    let found = diff(&project.root, &["oci:out:a", "oci:out:b"]);
    assert_eq!((found.code, tools(&found)), (3, "other".into()), "{}", found.stderr);
    assert_eq!(told(&found)[0], format!("toolchain > rustc: other toolchain: {} -> {}", here.trim(), there.trim()));
}

#[test]
#[ignore = "slow"]
fn that_the_toolchain_is_unknown_is_said_of_programs_only() {
    let unknown = "note: toolchain unknown: ";
    let project = Project::with_table("");
    built_twice(&project, [&with_provenance, &without_provenance]);
    let program = diff(&project.root, &["oci:out:a", "oci:out:b"]);
    assert_eq!((program.code, tools(&program)), (3, "unknown".into()));
    assert!(told(&program).iter().all(|told| !told.starts_with("toolchain")), "{}", program.stdout);
    let human = ran(plugin_build(&project.root).args(["diff", "oci:out:a", "oci:out:b"]));
    assert!(human.stderr.contains(unknown) && human.stderr.contains("--no-provenance"), "{}", human.stderr);

    two(&project.root.join("l"), &[tar(&[("a", b"1", 0o644, 0, 0)])], &[tar(&[("a", b"2", 0o644, 0, 0)])]);
    let text = ran(plugin_build(&project.root).args(["diff", "oci:l:a", "oci:l:b"]));
    assert_eq!(text.code, 3);
    assert!(!text.stderr.contains(unknown), "{}", text.stderr);
    let same = diff(&project.root, &["oci:out:a", "oci:out:a"]);
    assert_eq!((same.code, tools(&same)), (0, Value::Null), "without a difference there is nothing to explain");
}

#[test]
fn configuration_and_history_differ_by_their_keys() {
    let dir = tempfile::tempdir().unwrap();
    let mut layout = HandLayout::new(&dir.path().join("l"));
    let bytes = tar(&[("a", b"1", 0o644, 0, 0)]);
    let diff_id = Digest::of(&bytes);
    let mut image = |tag: &str, created: &str, user: &str, by: &[&str]| {
        let history: Vec<Value> = by.iter().map(|by| json!({"created": created, "created_by": by})).collect();
        let config = json!({
            "architecture": "amd64", "os": "linux", "created": created, "history": history,
            "config": {"User": user, "Env": ["A=1", format!("B={user}")]},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        });
        let config = layout.blob(config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json");
        let layer = layout.blob(&gzip(&bytes), "application/vnd.oci.image.layer.v1.tar+gzip");
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer]});
        let descriptor = layout.blob(manifest.to_string().as_bytes(), media_type);
        layout.tag(tag, descriptor);
    };
    image("a", "2020-01-01T00:00:00Z", "1", &["one"]);
    image("user", "2020-01-01T00:00:00Z", "2", &["one"]);
    image("time", "2021-01-01T00:00:00Z", "1", &["one"]);
    image("by", "2020-01-01T00:00:00Z", "1", &["two"]);
    image("more", "2020-01-01T00:00:00Z", "1", &["one", "two"]);
    for (other, expected) in [
        ("user", &["config > config.Env[1]: B=1 -> B=2", "config > config.User: 1 -> 2"][..]),
        ("time", &["config > created: 2020-01-01T00:00:00Z -> 2021-01-01T00:00:00Z"]),
        ("by", &["config > history > [0].created_by: one -> two"]),
        ("more", &["config > history: 1 entries -> 2 entries"]),
    ] {
        let found = diff(dir.path(), &["oci:l:a", &format!("oci:l:{other}")]);
        assert_eq!((found.code, verdict(&found).as_str()), (3, "other-description"), "{other}: {}", found.stderr);
        assert_eq!(told(&found), expected, "{other}");
        let human = ran(plugin_build(dir.path()).args(["diff", "oci:l:a", &format!("oci:l:{other}")]));
        let lines: Vec<&str> = human.stdout.lines().map(|line| line.rsplit_once(" [").unwrap().0).collect();
        assert_eq!((human.code, lines), (3, expected.to_vec()), "a person reads the same");
    }
}

#[test]
fn json_in_an_image_parts_at_its_key() {
    let of = |text: &[u8]| vec![tar(&[("etc/settings.json", text, 0o644, 0, 0)])];
    let told = told_of(&of(br#"{"a":{"b":[1,2]},"c":1}"#), &of(br#"{"a":{"b":[1,3]},"d":1}"#));
    let at = "linux/amd64 > layer 1 > etc/settings.json > ";
    let expected = ["a.b[1]: 2 -> 3", "c: only in the first: 1", "d: only in the second: 1"].map(|told| format!("{at}{told}"));
    assert_eq!(told, expected);
}

/// A library without any other: what every target can be compiled to, standard library or not.
const BARE: &str = "#![feature(no_core, lang_items)]\n#![no_core]\n#![crate_type = \"lib\"]\n\
    #[lang = \"pointee_sized\"] pub trait PointeeSized {}\n#[lang = \"meta_sized\"] pub trait MetaSized: PointeeSized {}\n\
    #[lang = \"sized\"] pub trait Sized: MetaSized {}\n#[lang = \"copy\"] pub trait Copy {}\n\
    #[unsafe(no_mangle)] pub extern \"C\" fn answer() -> u32 { 42 }\n";

#[test]
#[ignore = "needs lld-link-19"]
fn programs_of_other_systems_differ_by_sections_and_symbols() {
    let dir = tempfile::tempdir().unwrap();
    let more = format!("{BARE}#[unsafe(no_mangle)] pub extern \"C\" fn more() -> u32 {{ answer() }}\n");
    let compiled = |name: &str, target: &str, source: &str| {
        let [file, object] = ["rs", "o"].map(|extension| dir.path().join(name).with_extension(extension));
        std::fs::write(&file, source).unwrap();
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition=2024", "-Awarnings", "--emit=obj", "--target", target, "-o"]).arg(&object).arg(&file);
        stdout(rustc.env("RUSTC_BOOTSTRAP", "1"));
        object
    };
    let of = |path: &Path| vec![tar(&[("lib", &std::fs::read(path).unwrap(), 0o755, 0, 0)])];
    let apple = ["a", "b"].map(|name| compiled(name, "x86_64-apple-darwin", if name == "a" { BARE } else { &more }));
    let macho = told_of(&of(&apple[0]), &of(&apple[1]));
    assert!(macho[0].contains("Mach-O sections ") && macho[0].contains("__text"), "{macho:?}");
    assert!(macho.contains(&"linux/amd64 > layer 1 > lib > symbols: only in the second: _more".to_owned()), "{macho:?}");

    let Some(linker) = require("lld-link-19") else { return };
    let windows = ["c", "d"].map(|name| {
        let object = compiled(name, "x86_64-pc-windows-gnu", if name == "c" { BARE } else { &more });
        let library = dir.path().join(name).with_extension("dll");
        let mut link = Command::new(&linker);
        link.args(["/dll", "/noentry", "/export:answer"]).arg(format!("/out:{}", library.display()));
        stdout(link.arg(object));
        library
    });
    let pe = told_of(&of(&windows[0]), &of(&windows[1]));
    assert!(pe[0].contains("PE sections ") && pe[0].contains(".text"), "{pe:?}");
}

#[test]
fn what_the_sources_say_is_told_before_what_moved() {
    let project = crate::support::project::Project::with_table("");
    let source = "#[inline(never)]\nfn told(n: usize) -> String {\n    format!(\"WORD to {n} of you\")\n}\n\
                  fn main() {\n    println!(\"{}\", told(std::env::args().count()));\n}\n";
    let image = |word: &str, name: &str| {
        project.write("src/main.rs", &source.replace("WORD", word));
        let built = ran(plugin_build(&project.root).args(["build", "-q", "--no-provenance", "-o", name]));
        assert_eq!(built.code, 0, "{}", built.stderr);
    };
    image("good morning", "one");
    image("good evening and a very good night as well", "two");
    let told = ran(plugin_build(&project.root).args(["diff", "oci:one", "oci:two"]));
    let lines: Vec<&str> = told.stdout.lines().filter(|line| line.contains(" > p > ")).collect();
    assert!(
        lines.first().is_some_and(|line| line.contains("strings: "))
            && lines[0].contains("morning")
            && lines[0].contains("evening"),
        "{}",
        told.stdout
    );
    let symbols: Vec<&&str> = lines.iter().filter(|line| line.contains("[symbol]")).collect();
    assert!(symbols.iter().all(|line| line.contains("1p4told") || line.contains("1p4main")), "{}", told.stdout);
    let rebuilt = ran(plugin_build(&project.root).args(["verify", "--rebuild", "oci:one"]));
    assert_eq!(rebuilt.code, 3, "{}", rebuilt.stderr);
    assert!(rebuilt.stdout.lines().last().is_some_and(|line| line.contains("[toolchain-unknown]")), "{}", rebuilt.stdout);
}
