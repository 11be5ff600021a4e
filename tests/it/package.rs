//! What is published: everything that a user needs, nothing else, and it builds by itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::project::Project;
use crate::support::tools::stdout;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[expect(clippy::disallowed_methods, reason = "tests run in the developer's environment")]
fn cargo(dir: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap());
    command.current_dir(dir);
    command
}

/// What `cargo package` would pack.
fn listed(dir: &Path) -> BTreeSet<String> {
    stdout(cargo(dir).args(["package", "--list", "--allow-dirty", "--offline"]))
        .lines()
        .map(|line| line.replace('\\', "/"))
        .collect()
}

#[test]
fn every_source_template_and_licence_is_packed_and_no_test_is() {
    let listed = listed(root());
    let folders = ["src", "templates", "docs/src"];
    let files = folders.iter().flat_map(|folder| walkdir::WalkDir::new(root().join(folder)));
    let files = files.map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    let mut wanted: BTreeSet<String> =
        files.map(|entry| entry.path().strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/")).collect();
    let pages = ["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "README.md", "SECURITY.md"];
    wanted.extend(pages.map(str::to_owned));
    let lacking: Vec<_> = wanted.difference(&listed).collect();
    assert!(lacking.is_empty(), "{lacking:?}");
    let made_by_cargo = ["Cargo.lock", "Cargo.toml", "Cargo.toml.orig", ".cargo_vcs_info.json"];
    let more: Vec<_> = listed.difference(&wanted).filter(|path| !made_by_cargo.contains(&path.as_str())).collect();
    assert!(more.is_empty(), "{more:?}");
}

/// Names that are products elsewhere.
#[test]
fn no_folder_of_sources_is_hidden_by_its_name() {
    let paths = ["src/build/mod.rs", "src/target/mod.rs", "src/images/out/mod.rs", "templates/wasm/build/notes.txt"];
    let project = Project::with_table("");
    for path in paths {
        project.write(path, "");
    }
    fs::copy(root().join(".gitignore"), project.root.join(".gitignore")).unwrap();
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let include = manifest.lines().find(|line| line.starts_with("include = ")).unwrap();
    let ours = fs::read_to_string(project.root.join("Cargo.toml")).unwrap();
    project.write("Cargo.toml", &ours.replace("[package]\n", &format!("[package]\n{include}\n")));
    let listed = listed(&project.root);
    assert!(paths.iter().all(|path| listed.contains(*path)), "{listed:?}");

    stdout(Command::new("git").args(["init", "--quiet"]).current_dir(&project.root));
    stdout(Command::new("git").args(["-c", "core.excludesFile=/dev/null", "add", "."]).current_dir(&project.root));
    let tracked = stdout(Command::new("git").arg("ls-files").current_dir(&project.root));
    assert!(paths.iter().all(|path| tracked.lines().any(|line| line == *path)), "{tracked}");
}

#[test]
#[ignore = "slow: compiles the tool"]
fn what_is_packed_builds_by_itself() {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("package");
    stdout(cargo(root()).args(["package", "--workspace", "--allow-dirty", "--locked", "--no-verify", "--target-dir"]).arg(&home));
    let elsewhere = tempfile::tempdir().unwrap();
    let unpacked = |name: &str| {
        let name = format!("{name}-{}", env!("CARGO_PKG_VERSION"));
        let archive = home.join("package").join(&name).with_added_extension("crate");
        stdout(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(elsewhere.path()));
        elsewhere.path().join(name)
    };
    let (package, library) = (unpacked(env!("CARGO_PKG_NAME")), unpacked("plugin-oci"));
    // As from a registry that has both.
    let patch = format!("patch.crates-io.plugin-oci.path = '{}'", library.display());
    stdout(cargo(&package).args(["build", "--offline", "--config", &patch, "--target-dir"]).arg(&home));
    let version = stdout(Command::new(home.join("debug/cargo-plugin-build")).arg("--version"));
    assert_eq!(version.trim(), concat!("cargo plugin-build ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn binstall_looks_for_what_is_released() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let value = |key: &str| manifest.lines().find_map(|line| line.strip_prefix(&format!("{key} = "))).unwrap().trim_matches('"');
    let filled =
        |text: &str| text.replace("{ name }", "$name").replace("{ version }", "$version").replace("{ target }", "$target");
    let (url, inside) = (filled(value("pkg-url")), filled(value("bin-dir")));
    let folder = inside.split_once('/').unwrap().0;
    assert!(url.ends_with(&format!("/releases/download/v$version/{folder}.tgz")), "{url}");
    assert_eq!(value("pkg-fmt"), "tgz");
    let script = fs::read_to_string(root().join(".ci/release")).unwrap();
    assert!(script.contains(&format!("\nfolder={folder}\n")), "{folder}");
}
