//! Honest projects come out equal: sources that ask git, that reach beyond their workspace, that are laid out with links.
//!
//! Each is built, and verified from another directory, plain and hermetic.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::git::{commit, git};
use crate::support::namespaces;
use crate::support::program::{Ran, plugin_build, ran};
use crate::support::project::{Project, copy};

/// A build script that asks git, as many do.
const ASKING: &str = r#"fn main() {
    let told = std::process::Command::new("git").args(["describe", "--always", "--dirty", "--tags"]).output();
    let told = told.ok().filter(|output| output.status.success()).map(|output| String::from_utf8(output.stdout).unwrap());
    println!("cargo::rustc-env=REVISION={}", told.as_deref().unwrap_or("unknown").trim());
}
"#;

pub const TELLING: &str = "fn main() { println!(\"{}\", env!(\"REVISION\")); }\n";

pub fn built(dir: &Path, args: &[&str]) -> String {
    let built = ran(plugin_build(dir).args(["build", "-q", "--message-format", "json"]).args(args));
    assert_eq!(built.code, 0, "{}", built.stderr);
    let image = built.stdout.lines().find(|line| line.contains("\"plugin-image\"")).unwrap_or_default();
    let image: Value = serde_json::from_str(image).unwrap();
    image["digest"].as_str().unwrap().to_owned()
}

pub fn verified(dir: &Path, args: &[&str]) -> Ran {
    ran(plugin_build(dir).args(["verify", "--rebuild"]).args(args))
}

/// Plain, and in a sandbox where there is one.
fn ways() -> &'static [&'static [&'static str]] {
    if namespaces::are_there() { &[&[], &["--hermetic"]] } else { &[&[]] }
}

/// Builds in `here` and verifies in `there`, the same sources.
pub fn is_the_same(here: &Path, there: &Path) -> Vec<String> {
    let mut digests = Vec::new();
    for way in ways() {
        let image = tempfile::tempdir().unwrap();
        let layout = image.path().join("image");
        digests.push(built(here, &[&["-o", layout.to_str().unwrap()], *way].concat()));
        let image = format!("oci:{}", layout.display());
        for at in [here, there] {
            let same = verified(at, &[&[image.as_str()], *way].concat());
            assert_eq!(same.code, 0, "{way:?} in {}: {}{}", at.display(), same.stdout, same.stderr);
        }
    }
    digests
}

/// A program that tells its revision, in a repository.
fn asking() -> Project {
    let project = Project::with_table("");
    project.write("build.rs", ASKING);
    project.write("src/main.rs", TELLING);
    project.write(".gitignore", "target\n");
    // For the lock file; cargo would not ask git again.
    built(&project.root, &[]);
    fs::remove_dir_all(project.root.join("target")).unwrap();
    commit(&project.root, "First");
    git(&project.root, &["tag", "v1.0"]);
    project
}

fn told_by(project: &Path) -> String {
    let program = project.join("target/x86_64-unknown-linux-gnu/release/p");
    String::from_utf8(std::process::Command::new(program).output().unwrap().stdout).unwrap().trim().to_owned()
}

#[test]
#[ignore = "needs namespaces"]
fn a_build_script_that_asks_git_is_answered_alike() {
    let project = asking();
    let clone = project.root.with_file_name("a-clone-of-another-name");
    git(project.root.parent().unwrap(), &["clone", "-q", "project", "a-clone-of-another-name"]);
    let digests = is_the_same(&project.root, &clone);
    assert!(digests.iter().all(|digest| *digest == digests[0]), "plain and hermetic agree: {digests:?}");
    assert_eq!(told_by(&project.root), "v1.0");
    // A changed file is seen, and so is one that is ignored and tracked all the same.
    project.write("notes.log", "1\n");
    project.write(".gitignore", "target\n*.log\n");
    git(&project.root, &["add", "-f", ".gitignore", "notes.log"]);
    git(&project.root, &["commit", "-qm", "Second"]);
    is_the_same(&project.root, &project.root);
    assert!(!told_by(&project.root).contains("dirty"), "{}", told_by(&project.root));
    project.write("src/main.rs", &TELLING.replace("println!(\"", "println!(\"it is "));
    is_the_same(&project.root, &project.root);
    assert!(told_by(&project.root).contains("-dirty"), "{}", told_by(&project.root));
}

#[test]
#[ignore = "needs namespaces"]
fn worktrees_submodules_and_clones_that_borrow_are_checkouts_too() {
    let project = asking();
    let beside = |name: &str| project.root.with_file_name(name);
    git(&project.root, &["worktree", "add", "-q", beside("tree").to_str().unwrap(), "-b", "other"]);
    is_the_same(&beside("tree"), &project.root);
    git(project.root.parent().unwrap(), &["clone", "-q", "--shared", "project", "borrowing"]);
    is_the_same(&beside("borrowing"), &project.root);
    let above = Project::new(&[("README", "above\n")]);
    commit(&above.root, "Above");
    git(&above.root, &["submodule", "add", "-q", project.root.to_str().unwrap(), "plugins/p"]);
    git(&above.root, &["commit", "-qm", "With a plugin"]);
    is_the_same(&above.root.join("plugins/p"), &project.root);
}

#[test]
#[ignore = "slow"]
fn what_git_tracks_is_copied_to_the_letter() {
    use std::os::unix::fs::symlink;
    let project = asking();
    let root = &project.root;
    fs::write(root.with_file_name("beside.txt"), "beside\n").unwrap();
    // Links that leave the tree, lead nowhere, into products and to what is ignored, however they are written.
    let to_products = root.join("target/made").display().to_string();
    let absolute = root.join("src/main.rs").display().to_string();
    for (name, target) in [
        ("out", "../beside.txt"),
        ("far", "../../../../../../../../../../nowhere"),
        ("absolute", "/etc/hostname"),
        ("own", &absolute),
        ("dangling", "src/../no/such"),
        ("products", "target"),
        ("made", &to_products),
        ("docs", "./src/"),
    ] {
        symlink(target, root.join(name)).unwrap();
    }
    fs::create_dir_all(root.join("target")).unwrap();
    project.write("target/made", "tracked among products\n");
    project.write("notes.log", "tracked though ignored\n");
    project.write(".gitignore", "target\n*.log\nown\n");
    git(root, &["add", "-f", "."]);
    // A submodule with the same, in a directory that is ignored.
    let other = Project::new(&[(".gitignore", "*.log\n"), ("kept.log", "kept\n")]);
    symlink("../../outside", other.root.join("out")).unwrap();
    git(&other.root, &["init", "-q"]);
    git(&other.root, &["add", "-f", "."]);
    commit(&other.root, "Kept");
    project.write(".gitignore", "target\n*.log\nown\nparts\n");
    git(root, &["submodule", "add", "-q", "-f", other.root.to_str().unwrap(), "parts/other"]);
    git(root, &["commit", "-qam", "Links"]);
    git(root, &["tag", "v2.0"]);
    built(root, &[]);
    let same = verified(root, &[]);
    assert_eq!(same.code, 0, "{}{}", same.stdout, same.stderr);
    assert_eq!(told_by(root), "v2.0");
}

#[test]
#[ignore = "slow"]
fn a_link_that_git_tracks_leads_to_the_same_out_of_the_tree() {
    let project = asking();
    fs::write(project.root.with_file_name("beside.txt"), "beside").unwrap();
    std::os::unix::fs::symlink("../../beside.txt", project.root.join("src/out.txt")).unwrap();
    project.write("src/main.rs", "fn main() { println!(\"{} {}\", env!(\"REVISION\"), include_str!(\"out.txt\")); }\n");
    git(&project.root, &["add", "."]);
    git(&project.root, &["commit", "-qm", "Out"]);
    git(&project.root, &["tag", "v2.0"]);
    built(&project.root, &[]);
    let same = verified(&project.root, &[]);
    assert_eq!(same.code, 0, "{}{}", same.stdout, same.stderr);
    assert_eq!(told_by(&project.root), "v2.0 beside");
}

#[test]
#[ignore = "needs namespaces"]
fn no_hook_no_token_and_no_log_of_a_repository_is_shown() {
    let project = asking();
    git(&project.root, &["remote", "add", "origin", "https://u:s3cret@plugins.example/p"]);
    fs::create_dir_all(project.root.join(".git/hooks")).unwrap();
    fs::write(project.root.join(".git/hooks/post-index-change"), "#!/bin/sh\ntouch ran.txt\n").unwrap();
    let spy = r#"fn main() {
    let mut seen = Vec::new();
    let mut next = vec![std::path::PathBuf::from(".git")];
    while let Some(at) = next.pop() {
        for entry in std::fs::read_dir(&at).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { next.push(path.clone()); }
            let text = std::fs::read(&path).unwrap_or_default();
            let secret = String::from_utf8_lossy(&text).contains("s3cret");
            if secret || path.ends_with("hooks") || path.ends_with("logs") { seen.push(path.display().to_string()); }
        }
    }
    println!("cargo::rustc-env=REVISION=seen:{}", seen.join(","));
}
"#;
    let plain = built(&project.root, &["-o", "out"]);
    git(&project.root, &["config", "core.fsmonitor", "touch ran.txt"]);
    project.write("build.rs", spy);
    let differs = verified(&project.root, &["oci:out"]);
    assert_eq!(differs.code, 3, "{} {}", plain, differs.stderr);
    assert!(!project.root.join("ran.txt").exists());
    if namespaces::are_there() {
        built(&project.root, &["--hermetic", "-o", "hermetic"]);
        let unpacked = ran(plugin_build(&project.root).args(["unpack", "-q", "oci:hermetic", "rootfs"]));
        assert_eq!(unpacked.code, 0, "{}", unpacked.stderr);
        let said = std::process::Command::new(project.root.join("rootfs/p")).output().unwrap().stdout;
        assert_eq!(String::from_utf8(said).unwrap().trim(), "seen:");
        let same = verified(&project.root, &["--hermetic", "oci:hermetic"]);
        assert_eq!(same.code, 0, "{}{}", same.stdout, same.stderr);
    }
}

#[test]
#[ignore = "needs namespaces"]
fn files_that_a_filter_of_the_user_made_are_as_git_left_them() {
    let project = asking();
    // As `core.autocrlf` of the user's own configuration would: what lies here is another text than what git stores.
    project.write(".gitattributes", "*.txt filter=shout\n");
    project.write("note.txt", "quiet\n");
    git(&project.root, &["config", "filter.shout.clean", "tr a-z A-Z"]);
    git(&project.root, &["add", "."]);
    git(&project.root, &["commit", "-qm", "Shouting"]);
    // Older than the index, or git looks into it.
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    fs::File::options().write(true).open(project.root.join("note.txt")).unwrap().set_modified(old).unwrap();
    git(&project.root, &["status"]);
    fs::write(project.root.join("src/touched"), "").unwrap();
    fs::remove_file(project.root.join("src/touched")).unwrap();
    is_the_same(&project.root, &project.root);
    assert!(!told_by(&project.root).contains("dirty"), "{}", told_by(&project.root));
}

/// What two build scripts of packages outside write, with names of files in it.
const GENERATOR: &str = r#"mod own { include!(concat!(env!("OUT_DIR"), "/own.rs")); }
pub fn write(name: &str) -> String {
    let out = std::env::var("OUT_DIR").unwrap();
    let text = "pub fn place() -> &'static str { file!() }\npub fn at(n: usize) -> u8 { [1, 2, 3][n] }\n\
                pub fn any<T: Copy + std::fmt::Debug>(n: T, i: usize) -> String { format!(\"{:?}\", [n][i]) }\n";
    std::fs::write(format!("{out}/{name}.rs"), format!("{text}pub const PLACE: usize = {};\n", own::place().len())).unwrap();
    out
}
"#;

/// A plugin beside the packages that it is made of, each with a build script: of one it includes what that generated.
fn generating(root: &Path, profile: &str) -> PathBuf {
    let manifest = |name: &str, more: &str| format!("[package]\nname='{name}'\nversion='0.1.0'\nedition='2024'\n{more}");
    let own = "fn main() { std::fs::write(std::env::var(\"OUT_DIR\").unwrap() + \"/own.rs\", \"pub fn place() -> &'static str { file!() }\").unwrap(); }\n";
    let with = "[build-dependencies]\ngenerator={path='../generator'}\n";
    let p = format!("[dependencies]\nq={{path='../q'}}\n{with}[workspace]\n[profile.release]\n{profile}\n");
    let main = "mod own { include!(concat!(env!(\"OUT_DIR\"), \"/p.rs\")); }\n\
                mod theirs { include!(concat!(env!(\"Q_OUT\"), \"/q.rs\")); }\n\
                fn main() {\n    let n = std::env::args().count() - 1;\n    \
                println!(\"{} {} {}\", own::place(), theirs::place(), q::place());\n    \
                println!(\"{} {} {}\", own::at(n), theirs::at(n), q::at(n));\n    \
                println!(\"{} {} {} {}\", own::any(n, n), theirs::any(n, n), q::any(n, n), own::PLACE + theirs::PLACE);\n}\n";
    for (path, text) in [
        ("p/Cargo.toml", manifest("p", &p).as_str()),
        (
            "p/build.rs",
            "fn main() {\n    println!(\"cargo::rustc-link-arg=-L{}\", generator::write(\"p\"));\n    println!(\"cargo::rustc-env=Q_OUT={}\", std::env::var(\"DEP_Q_OUT\").unwrap());\n}\n",
        ),
        ("p/src/main.rs", main),
        ("q/Cargo.toml", &manifest("q", &format!("links='q'\n{with}"))),
        ("q/build.rs", "fn main() { println!(\"cargo::metadata=OUT={}\", generator::write(\"q\")); }\n"),
        ("q/src/lib.rs", "include!(concat!(env!(\"OUT_DIR\"), \"/q.rs\"));\n"),
        ("generator/Cargo.toml", &manifest("generator", "")),
        ("generator/build.rs", own),
        ("generator/src/lib.rs", GENERATOR),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root.join("p")
}

/// The digests of that plugin in two directories, each way.
fn generated(profile: &str) -> (Vec<String>, PathBuf, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let places = ["a", "another/longer/place"].map(|place| generating(&root.join(place), profile));
    let digests = places.iter().flat_map(|place| ways().iter().map(|way| built(place, &[&["-o", "out"], *way].concat())));
    (digests.collect(), places[0].clone(), dir)
}

#[test]
#[ignore = "needs namespaces"]
fn what_build_scripts_of_packages_outside_generate_does_not_tell_where_they_lie() {
    for profile in ["", "debug=true\nstrip=false\nlto='thin'"] {
        let (digests, place, _keep) = generated(profile);
        assert!(digests.iter().all(|digest| *digest == digests[0]), "{profile}: {digests:?}");
        let told = told_by(&place);
        assert!(told.contains("/ws/target/x86_64-unknown-linux-gnu/release/build/q-"), "{told}");
        // Each directory keeps a name of its own.
        let names: std::collections::BTreeSet<&str> = told.lines().next().unwrap().split(' ').collect();
        assert_eq!(names.len(), 2, "{told}");
    }
}

/// An SDK whose examples are workspaces of their own, below it and beside each other.
fn sdk() -> Project {
    let manifest = |name: &str, more: &str| format!("[package]\nname='{name}'\nversion='0.1.0'\nedition='2024'\n{more}");
    Project::new(&[
        ("Cargo.toml", &manifest("sdk", "")),
        ("src/lib.rs", "pub fn told<T: std::fmt::Debug>(what: T) -> String { format!(\"{what:?} {}\", file!()) }\n"),
        ("examples/kit/Cargo.toml", &manifest("kit", "[dependencies]\nsdk={path='../..'}\n")),
        ("examples/kit/src/lib.rs", "pub fn told() -> String { sdk::told([1u8, 2]) }\n"),
        ("examples/body/Cargo.toml", &manifest("body", "[dependencies]\nsdk={path='../..'}\nkit={path='../kit'}\n[workspace]\n")),
        ("examples/body/src/main.rs", "fn main() { println!(\"{} {}\", sdk::told(std::env::args().count()), kit::told()); }\n"),
        (".gitignore", "target\n"),
    ])
}

#[test]
#[ignore = "needs namespaces"]
fn an_sdks_examples_that_reach_above_and_beside_their_workspace() {
    let project = sdk();
    let example = |root: &Path| root.join("examples/body");
    let elsewhere = tempfile::tempdir().unwrap();
    let there = elsewhere.path().canonicalize().unwrap().join("a/longer/name/of/the/sdk");
    copy(&project.root, &there);
    let digests = is_the_same(&example(&project.root), &example(&there));
    assert!(digests.iter().all(|digest| *digest == digests[0]), "plain and hermetic agree: {digests:?}");
    commit(&project.root, "The SDK");
    is_the_same(&example(&project.root), &example(&project.root));
}

#[test]
#[ignore = "needs namespaces"]
fn workspaces_and_members_that_are_reached_through_links() {
    let manifest = |name: &str, more: &str| format!("[package]\nname='{name}'\nversion='0.1.0'\nedition='2024'\n{more}");
    let project = Project::new(&[
        (
            "ws/Cargo.toml",
            &manifest(
                "p",
                "[workspace]\nmembers=['crates/*']\n[dependencies]\nq={path='crates/q'}\n[package.metadata.plugin-build]\n",
            ),
        ),
        ("ws/src/main.rs", "fn main() { println!(\"{}\", q::place()); }\n"),
        ("elsewhere/q/Cargo.toml", &manifest("q", "")),
        ("elsewhere/q/src/lib.rs", "pub fn place() -> &'static str { file!() }\n"),
    ]);
    fs::create_dir_all(project.root.join("ws/crates")).unwrap();
    symlink("../../elsewhere/q", project.root.join("ws/crates/q")).unwrap();
    symlink(project.root.join("ws"), project.root.join("linked")).unwrap();
    let digests = is_the_same(&project.root.join("ws"), &project.root.join("linked"));
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
    // By an absolute link.
    fs::remove_file(project.root.join("ws/crates/q")).unwrap();
    symlink(project.root.join("elsewhere/q"), project.root.join("ws/crates/q")).unwrap();
    is_the_same(&project.root.join("linked"), &project.root.join("ws"));
}

fn findings(dir: &Path, args: &[&str]) -> Vec<String> {
    let told = verified(dir, args);
    assert_eq!(told.code, 3, "{}{}", told.stdout, told.stderr);
    assert!(!told.stderr.contains("warning"), "{}", told.stderr);
    told.stdout.lines().map(str::to_owned).collect()
}

fn rule(line: &str) -> &str {
    line.rsplit_once('[').unwrap().1.trim_end_matches(']')
}

#[test]
#[ignore = "slow"]
fn a_known_hazard_is_the_first_finding() {
    let clock = "use std::time::{SystemTime, UNIX_EPOCH};\nfn main() {\n    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();\n    \
                 println!(\"cargo::rustc-env=REVISION={} {:?}\", now.as_secs(), now);\n}\n";
    let project = Project::with_table("");
    project.write("src/main.rs", TELLING);
    project.write("build.rs", clock);
    built(&project.root, &["-o", "out"]);
    assert_eq!(rule(&findings(&project.root, &["oci:out"])[0]), "clock");

    let asking = asking();
    built(&asking.root, &["-o", "out"]);
    fs::remove_dir_all(asking.root.join(".git")).unwrap();
    let found = findings(&asking.root, &["oci:out"]);
    assert_eq!(rule(&found[0]), "git-absent", "{found:?}");
}

#[test]
fn a_seed_counts_only_in_the_graph_of_what_is_built() {
    let manifest = |name: &str, more: &str| format!("[package]\nname='{name}'\nversion='0.1.0'\nedition='2024'\n{more}");
    let project = Project::new(&[
        ("Cargo.toml", "[workspace]\nmembers=['one','two','const-random']\nresolver='3'\n"),
        ("one/Cargo.toml", &manifest("one", "[target.'cfg(windows)'.dependencies]\nconst-random={path='../const-random'}\n")),
        ("one/src/main.rs", "fn main() {}\n"),
        ("two/Cargo.toml", &manifest("two", "[build-dependencies]\nconst-random={path='../const-random'}\n")),
        ("two/src/main.rs", "fn main() {}\n"),
        ("two/build.rs", "fn main() {}\n"),
        ("const-random/Cargo.toml", &manifest("const-random", "")),
        ("const-random/src/lib.rs", ""),
    ]);
    let warned = |package: &str| {
        let built = ran(plugin_build(&project.root).args(["build", "-p", package]));
        assert_eq!(built.code, 0, "{}", built.stderr);
        built.stderr.contains("const-random draws a new seed")
    };
    built(&project.root, &["-p", "one"]);
    assert!(!warned("one"), "it is of another target");
    assert!(warned("two"));
}

#[test]
fn the_image_is_no_part_of_the_sources_wherever_it_lies() {
    let project = Project::with_table("");
    project.write(
        "src/main.rs",
        "fn main() { println!(\"{}\", include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/image/index.json\")).len()); }\n",
    );
    project.write("image/index.json", "{}");
    let outside = tempfile::tempdir().unwrap();
    let layout = outside.path().join("out");
    built(&project.root, &["-o", layout.to_str().unwrap()]);
    let moved = |to: PathBuf| {
        let _ = fs::remove_dir_all(&to);
        copy(&layout, &to);
    };
    moved(project.root.join("image"));
    for image in ["oci:image", "oci:linked/image"] {
        let _ = symlink(&project.root, project.root.with_file_name("linked"));
        let refused = ran(plugin_build(&project.root).args(["verify", "--rebuild"]).arg(image.replace("linked", "../linked")));
        assert_eq!(refused.code, 1, "{image}: {}", refused.stderr);
        assert!(refused.stderr.contains("image/index.json"), "the compiler misses it: {}", refused.stderr);
    }
}

#[test]
#[ignore = "needs namespaces"]
fn sources_show_no_repository_of_others_by_naming_it() {
    if !namespaces::are_there() {
        return;
    }
    let others = Project::new(&[("secret.txt", "s3cret\n")]);
    commit(&others.root, "Of others");
    let theirs = others.root.join(".git");
    let spy = "fn main() {\n    let told = std::process::Command::new(\"git\").args([\"log\", \"--all\", \"--format=%s\"]).output();\n    \
               let told = told.map(|output| String::from_utf8(output.stdout).unwrap()).unwrap_or_default();\n    \
               let seen = [\"HEAD\", \"objects\"].iter().any(|part| std::path::Path::new(\"THEIRS\").join(part).exists());\n    \
               println!(\"cargo::rustc-env=REVISION={seen} {}\", told.trim());\n}\n";
    for way in ["file", "link", "alternates", "commondir"] {
        let project = asking();
        project.write("build.rs", &spy.replace("THEIRS", theirs.to_str().unwrap()));
        let dot_git = project.root.join(".git");
        match way {
            "file" | "link" => fs::remove_dir_all(&dot_git).unwrap(),
            "alternates" => fs::write(dot_git.join("objects/info/alternates"), theirs.join("objects").to_str().unwrap()).unwrap(),
            _ => fs::write(dot_git.join("commondir"), theirs.to_str().unwrap()).unwrap(),
        }
        match way {
            "file" => fs::write(&dot_git, format!("gitdir: {}\n", theirs.display())).unwrap(),
            "link" => symlink(&theirs, &dot_git).unwrap(),
            _ => {}
        }
        built(&project.root, &["--hermetic", "-o", "out"]);
        let unpacked = ran(plugin_build(&project.root).args(["unpack", "-q", "oci:out", "rootfs"]));
        assert_eq!(unpacked.code, 0, "{}", unpacked.stderr);
        let said = std::process::Command::new(project.root.join("rootfs/p")).output().unwrap().stdout;
        let said = String::from_utf8(said).unwrap();
        assert!(said.starts_with("false") && !said.contains("Of others"), "{way}: {said}");
    }
}
