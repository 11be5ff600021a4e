//! One grammar for images: what one verb prints, every other takes; what is no image, or two, is told before anything is done.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::http_server::Reply;
use crate::support::layouts::system_base;
use crate::support::memory_registry::{MemoryRegistry, Quirks};
use crate::support::program::{done, plugin_build, ran, run};
use crate::support::project::Project;
use crate::support::sample::Sample;

/// Every verb that reads an image, with what is written after it; `{}` is the image, and what is made gets a name of its own.
const READERS: [&str; 13] = [
    "ls {}",
    "inspect {}",
    "verify {}",
    "diff {} {}",
    "copy {} oci:{n}-layout",
    "copy {} oci-archive:{n}.tar:1",
    "copy {} {host}/copied/n{n}:1",
    "copy --have {} {} oci:{n}-delta",
    "push {} {host}/pushed/n{n}:1",
    "pull {} {n}-pulled",
    "unpack {} {n}-unpacked",
    "install {} {n}-plugins",
    "run {} -- hello",
];

/// A package that says what it is given, and its digest once it is built.
fn program() -> Project {
    let project = Project::with_table("[package.metadata.plugin-build]\n");
    project.write("src/main.rs", "fn main() { println!(\"ran\"); }\n");
    project
}

fn digest_of(dir: &Path, image: &str) -> String {
    let printed = done(dir, &["inspect", "--no-files", image, "--message-format", "json"]);
    let object: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    object["digest"].as_str().unwrap().to_owned()
}

#[test]
fn what_a_verb_prints_every_other_takes() {
    let project = program();
    let dir = project.root.as_path();
    let registry = MemoryRegistry::honest();
    let host = registry.server.host();
    let built = done(dir, &["-q"]).trim().to_owned();
    let digest = digest_of(dir, &built);
    let path = built.strip_prefix("oci:").unwrap().to_owned();
    let directory = path.rsplit_once(':').unwrap().0.to_owned();
    let first_line = |text: String| text.lines().next().unwrap().to_owned();
    let in_registry = first_line(done(dir, &["push", &built, &format!("{host}/app")]));
    let printed = [
        built.clone(),
        in_registry.clone(),
        first_line(done(dir, &["inspect"])),
        first_line(done(dir, &["inspect", &in_registry])),
        first_line(done(dir, &["pull", &in_registry, "pulled"])),
        first_line(done(dir, &["pull", &in_registry, "oci:tagged:here"])),
        first_line(done(dir, &["copy", &built, "oci-archive:image.tar"])),
        // And what is not printed, but means the same: with and without tag, digest and the word before it.
        format!("{host}/app:0.1.0"),
        format!("{host}/app:0.1.0@{digest}"),
        format!("docker://{host}/app:0.1.0"),
        path,
        directory.clone(),
        format!("./{directory}:0.1.0@{digest}"),
        dir.join(&directory).display().to_string(),
        "image.tar".to_owned(),
        "./image.tar:0.1.0".to_owned(),
        "oci:pulled".to_owned(),
    ];
    for (number, image) in printed.iter().enumerate() {
        for (verb, words) in READERS.iter().enumerate() {
            let name = format!("{number}-{verb}");
            let line = words.replace("{host}", &host).replace("{n}", &name).replace("{}", image);
            let ran = run(dir, &line.split(' ').collect::<Vec<_>>());
            assert_eq!(ran.code, 0, "`{line}`: {}{}", ran.stdout, ran.stderr);
            match *words {
                "run {} -- hello" => assert_eq!(ran.stdout, "ran\n", "`{line}`"),
                "ls {}" => assert!(ran.stdout.contains(&digest), "`{line}`: {}", ran.stdout),
                _ => {}
            }
        }
        assert_eq!(digest_of(dir, image), digest, "{image}");
    }
}

#[test]
fn what_is_built_on_is_named_as_everything_else() {
    let project = program();
    let dir = project.root.as_path();
    system_base(&dir.join("base"));
    let registry = MemoryRegistry::honest();
    let pushed = done(dir, &["push", "base", &format!("{}/base:1", registry.server.host())]);
    let digests: Vec<String> = ["oci:base:1", "./base:1", "base:1", pushed.trim()]
        .iter()
        .map(|base| digest_of(dir, done(dir, &["-q", "--base", base]).trim()))
        .collect();
    assert_eq!(digests[0], digests[1]);
    assert_eq!(digests[0], digests[2]);
    assert!(digests[3].starts_with("sha256:"), "a base of a registry is named by its registry");
}

/// Runs each line, which must fail by exit code 2 before anything is compiled or sent; what is told, for a snapshot.
fn refused(dir: &Path, lines: &[&str]) -> String {
    let mut told = Vec::new();
    for line in lines {
        let ran = run(dir, &line.split(' ').collect::<Vec<_>>());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "`{line}`: {}", ran.stderr);
        told.push(format!("$ {line}\n{}\n", ran.stderr));
    }
    assert!(!dir.join("target").exists(), "something was compiled");
    told.concat()
}

#[test]
fn what_is_no_image_or_two_is_told_before_anything_is_done() {
    let project = program();
    let dir = project.root.as_path();
    fs::create_dir(dir.join("other")).unwrap();
    fs::write(dir.join("other/Cargo.toml"), "").unwrap();
    Sample::image("nine", 100).to_layout(&dir.join("layout"));
    Sample::image("nine", 100).to_layout(&dir.join("registry.example/both"));
    let digest = "sha256:".to_owned() + &"0".repeat(64);
    let digested = format!("push registry.example/app@{digest}");
    let lines = [
        "ls greter",
        "ls greter:0.1.0",
        "inspect a/b/c/d",
        "verify registry.example",
        "ls registry.example/both",
        "copy layout nowhere",
        "copy layout docker-daemon:nine:1",
        "inspect docker-archive:saved.tar",
        "copy layout registry.example/app:1.0.0+nine",
        "-t 1.0.0+nine",
        "inspect registry.example:5000",
        "verify https://registry.example/app",
        "--base alpine:3",
        "push localhost:5710",
        "push localhost",
        "push latest",
        "push layout",
        "push layout registry.example/app latest",
        "push registry.example/app oci:layout",
        "--push latest",
        "--push oci:layout",
        &digested,
        "copy layout registry.example/app@sha256:00",
        "pull registry.example/app registry.example/app",
        "install oci:layout",
        "install layout",
        "install registry.example/app",
        "install registry.example/app:1 registry.example/app:2",
        "install plugins oci:layout",
        "unpack layout oci:unpacked",
        "contract layout registry.example/contract:1",
        "router set registry.example/a:1 registry.example/b:1",
        "run --call Method {}",
    ];
    crate::snapshots::hold("refused_references", &refused(dir, &lines));
    let elsewhere = run(dir, &["push", "./other", "registry.example/app"]);
    assert_eq!(elsewhere.code, 1);
    assert!(elsewhere.stderr.contains("it has no `oci-layout` file") && elsewhere.stderr.contains("./other/Cargo.toml"));
    let unwritable = run(dir, &["-o", "/proc/layout"]);
    assert_eq!(unwritable.code, 1, "{}", unwritable.stderr);
    assert!(unwritable.stderr.contains("cannot write in `/proc`"), "{}", unwritable.stderr);
    assert!(!dir.join("target/release").exists() && !dir.join("oci:layout").exists());
}

#[test]
fn a_directory_may_be_called_like_a_registry() {
    let temp = tempfile::tempdir().unwrap();
    let layout = temp.path().join("layout");
    system_base(&layout);
    fs::create_dir_all(temp.path().join("router.d/plugins")).unwrap();
    done(temp.path(), &["install", "layout", "--name", "a", "router.d/plugins"]);
    done(temp.path(), &["install", "layout", "--name", "a", "./router.e/plugins"]);
    done(temp.path(), &["install", "layout", "--name", "a", "plugins"]);
}

#[test]
fn of_several_places_it_is_told_which_have_the_image() {
    let temp = tempfile::tempdir().unwrap();
    Sample::image("nine", 100).to_layout(&temp.path().join("layout"));
    let registry = MemoryRegistry::honest();
    let host = registry.server.host();
    let refusing = MemoryRegistry::scripted(Quirks::default(), |_, _| Some(Reply::new(403).into()));
    let places = [format!("{host}/a"), format!("{}/b", refusing.server.host()), format!("{host}/c:2")];
    let ran = run(temp.path(), &["push", "layout", &places[0], &places[1], &places[2]]);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.stdout.lines().count(), 1);
    let told = format!("error: pushed to {}; not pushed to {}, {}", places[0], places[1], places[2]);
    assert!(ran.stderr.contains(&told), "{}", ran.stderr);
}

#[test]
fn names_that_are_short_for_docker_hub_say_so() {
    let temp = tempfile::tempdir().unwrap();
    Sample::image("nine", 100).to_layout(&temp.path().join("layout"));
    for words in [["push", "layout", "me/app:1"], ["pull", "me/app:1", "dir"], ["copy", "docker://me/app:1", "oci:dir"]] {
        let mut command = plugin_build(temp.path());
        // No proxy is there: nothing gets out.
        command.args(words).env("HTTPS_PROXY", "http://127.0.0.1:1");
        let ran = ran(&mut command);
        assert_eq!(ran.code, 1, "{words:?}");
        assert!(ran.stderr.contains("me/app:1` is short for `docker.io/me/app:1`, of Docker Hub"), "{}", ran.stderr);
    }
}

#[test]
fn paths_are_told_as_they_are() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().canonicalize().unwrap();
    fs::create_dir_all(dir.join("work/here")).unwrap();
    for path in ["../../plugins", "./../../plugins", "../.././plugins"] {
        let absent = run(&dir.join("work/here"), &["install", "--check", path]);
        assert!(absent.stderr.contains(&format!("in `{}`", dir.join("plugins").display())), "{path}: {}", absent.stderr);
    }
}

#[test]
fn what_is_absent_is_told_in_one_way_and_with_the_tags_that_images_have() {
    let temp = tempfile::tempdir().unwrap();
    Sample::image("nine", 100).to_layout(&temp.path().join("layout"));
    let registry = MemoryRegistry::honest();
    let host = registry.server.host();
    for tag in ["2", &format!("sha256-{}", "0".repeat(64)), &format!("sha256-{}.sig", "0".repeat(64))] {
        done(temp.path(), &["copy", "layout", &format!("{host}/app:{tag}")]);
    }
    for verb in ["ls", "inspect", "verify"] {
        let absent = run(temp.path(), &[verb, &format!("{host}/app:3")]);
        assert!(absent.code == 1 && absent.stderr.ends_with("help: it has 2\n"), "{verb}: {}", absent.stderr);
        let nowhere = run(temp.path(), &[verb, "./nowhere"]);
        let told = "error: `./nowhere` is not an OCI image layout: there is no such directory\n";
        assert!(nowhere.code == 1 && nowhere.stderr == told, "{verb}: {}", nowhere.stderr);
    }
}
