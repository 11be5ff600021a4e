//! `new` and `init`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::support::program::{plugin_build, ran};

/// Everything below a directory, by path.
fn snapshot(dir: &Path) -> BTreeMap<String, String> {
    let files = walkdir::WalkDir::new(dir).sort_by_file_name().into_iter().map(Result::unwrap);
    let below = |path: &Path| path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
    files.map(|entry| (below(entry.path()), fs::read_to_string(entry.path()).unwrap_or_default())).collect()
}

#[test]
fn a_new_package_has_the_name_of_its_directory() {
    let home = tempfile::tempdir().unwrap();
    let made = ran(plugin_build(home.path()).args(["new", "deep/my-greeter", "--template", "cosmo-router"]));
    assert_eq!(made.code, 0, "{}", made.stderr);
    let package = home.path().join("deep/my-greeter");
    assert_eq!(made.stdout, format!("{}\n", package.display()));
    assert!(made.stderr.contains("Created `my-greeter` from template `cosmo-router`"), "{}", made.stderr);
    assert!(fs::read_to_string(package.join("Cargo.toml")).unwrap().contains("name = \"my-greeter\""));
    assert!(fs::read_to_string(package.join("generated/service.proto")).unwrap().contains("service MyGreeterService {"));
    assert_eq!(fs::read_to_string(package.join(".gitignore")).unwrap(), "/target\n/router\n");
    let beside: Vec<_> = snapshot(&home.path().join("deep")).into_keys().filter(|path| path.contains("plugin-build")).collect();
    assert!(beside.is_empty(), "{beside:?}");
}

#[test]
fn the_templates_are_listed_with_what_they_make() {
    let home = tempfile::tempdir().unwrap();
    let listed = ran(plugin_build(home.path()).args(["new", "--list"]));
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    for kind in ["executable", "cosmo-router", "wasm", "proxy-wasm", "library"] {
        assert!(listed.stdout.lines().any(|line| line.split_whitespace().next() == Some(kind)), "{}", listed.stdout);
    }
    assert!(snapshot(home.path()).len() == 1);
}

#[test]
fn new_refuses_a_directory_with_something_in_it_and_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let package = home.path().join("greeter");
    fs::create_dir(&package).unwrap();
    fs::write(package.join("notes.txt"), "mine").unwrap();
    let before = snapshot(home.path());
    let refused = ran(plugin_build(home.path()).args(["new", "greeter"]));
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("is not empty") && refused.stderr.contains("init"), "{}", refused.stderr);
    assert_eq!(snapshot(home.path()), before);
    let file = ran(plugin_build(home.path()).args(["new", "greeter/notes.txt", "--name", "x"]));
    assert_eq!(file.code, 2, "{}", file.stderr);
    assert_eq!(snapshot(home.path()), before);
}

#[test]
fn init_keeps_what_is_there_and_names_what_is_in_the_way() {
    let home = tempfile::tempdir().unwrap();
    let package = home.path().join("greeter");
    fs::create_dir(&package).unwrap();
    fs::write(package.join("README.md"), "mine").unwrap();
    fs::write(package.join("src"), "no directory").unwrap();
    let before = snapshot(home.path());
    let refused = ran(plugin_build(&package).args(["init"]));
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("`README.md`, `src`"), "{}", refused.stderr);
    assert_eq!(snapshot(home.path()), before);

    fs::rename(package.join("README.md"), package.join("NOTES.md")).unwrap();
    fs::remove_file(package.join("src")).unwrap();
    let made = ran(plugin_build(&package).args(["init"]));
    assert_eq!(made.code, 0, "{}", made.stderr);
    assert_eq!(fs::read_to_string(package.join("NOTES.md")).unwrap(), "mine");
    assert!(fs::read_to_string(package.join("Cargo.toml")).unwrap().contains("name = \"greeter\""));
}

#[test]
fn names_that_cargo_refuses_are_refused_before_anything_is_made() {
    let home = tempfile::tempdir().unwrap();
    for (arguments, says) in [
        (&["new", "1st"][..], "starts with a digit"),
        (&["new", "fn"], "keyword"),
        (&["new", "x", "--name", "../y"], "neither an ASCII letter"),
        (&["new", "tonic", "--template", "cosmo-router"], "depends on a package of that name"),
        (&["new", "x", "--template", "docker"], "there is no template `docker`"),
    ] {
        let refused = ran(plugin_build(home.path()).args(arguments));
        assert_eq!(refused.code, 2, "{arguments:?}: {}", refused.stderr);
        assert!(refused.stderr.contains(says), "{arguments:?}: {}", refused.stderr);
    }
    assert_eq!(snapshot(home.path()).len(), 1);
}

#[test]
fn a_package_inside_a_workspace_is_told_so() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("Cargo.toml"), "[workspace]\nmembers = []\n").unwrap();
    let made = ran(plugin_build(home.path()).args(["new", "plugins/greeter"]));
    assert_eq!(made.code, 0, "{}", made.stderr);
    assert!(made.stderr.contains("note: add it to the members of the workspace"), "{}", made.stderr);
}
