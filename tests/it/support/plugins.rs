//! Real plugins, compiled once: their packages lie below the target directory of these tests, and all share one more, so
//! that a second run, or a second plugin with the same dependencies, compiles next to nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use plugin_build::templates::{Name, Template};

use super::program::{plugin_build, ran};
use super::project::copy;
use super::tools::stdout;

/// Whether a missing tool is a failure.
#[expect(clippy::disallowed_methods, reason = "tests run in the developer's environment")]
pub fn in_ci() -> bool {
    std::env::var("CI").as_deref() == Ok("true")
}

/// What keeps the shared target directory small: nobody debugs these programs.
pub const LEAN: [(&str, &str); 1] = [("CARGO_PROFILE_DEV_DEBUG", "0")];

/// Where all of it is.
pub fn home() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugins")
}

/// The compiled program of `fixtures/plugins/<name>`.
pub fn fixture(name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/plugins").join(name);
    let mut files = BTreeMap::new();
    for entry in walkdir::WalkDir::new(&source) {
        let entry = entry.unwrap();
        let path = entry.path().strip_prefix(&source).unwrap().to_str().unwrap().to_owned();
        if entry.file_type().is_file() && !path.starts_with("target/") {
            files.insert(path, fs::read_to_string(entry.path()).unwrap());
        }
    }
    program(name, &files)
}

/// The compiled program of a package from a template.
pub fn template(template: &str, name: &str) -> PathBuf {
    let _ = package(template, name);
    build(name)
}

/// The compiled program of a package from a template whose files were changed.
pub fn edited(template: &str, name: &str, edit: impl FnOnce(&mut BTreeMap<String, String>)) -> PathBuf {
    let mut files = files(template, name);
    edit(&mut files);
    program(name, &files)
}

/// A package from a template, in a directory that stays.
pub fn package(template: &str, name: &str) -> PathBuf {
    write(name, &files(template, name))
}

fn files(template: &str, name: &str) -> BTreeMap<String, String> {
    let parsed: Name = name.parse().unwrap();
    let mut files: BTreeMap<String, String> = Template::named(template).unwrap().files(&parsed).unwrap().into_iter().collect();
    // It lies within the directory of another workspace.
    files.get_mut("Cargo.toml").unwrap().push_str("\n[workspace]\n");
    files
}

/// A package of a template, packed by our own program without optimisation; the layout, which has one tag.
pub fn packed(template: &str, name: &str) -> PathBuf {
    static PACKED: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut packed = PACKED.lock().unwrap_or_else(PoisonError::into_inner);
    let make = || {
        let (package, layout) = (package(template, name), home().join("layouts").join(name));
        let build = |more: &[&str]| {
            let mut command = plugin_build(&package);
            command.args(["build", "--quiet", "--profile", "dev", "--target-dir"]).arg(home().join("target")).envs(LEAN);
            ran(command.arg("--output").arg(&layout).args(more))
        };
        let offline = build(&["--offline"]);
        let built = if offline.code == 0 { offline } else { build(&[]) };
        assert_eq!(built.code, 0, "{template}: {}", built.stderr);
        layout
    };
    packed.entry(name.to_owned()).or_insert_with(make).clone()
}

/// A copy of `fixtures/plugins/<name>`, in a directory that stays.
pub fn fixture_package(name: &str) -> PathBuf {
    let package = home().join("source").join(name);
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/plugins").join(name), &package);
    package
}

/// cargo in a package, with the shared target directory and offline where that is possible.
pub fn cargo(package: &Path, arguments: &[&str]) {
    let command = |more: &[&str]| {
        #[expect(clippy::disallowed_methods, reason = "tests run in the developer's environment")]
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(package).args(arguments).args(more).env("CARGO_TARGET_DIR", home().join("target"));
        command.envs(LEAN).env("CARGO_INCREMENTAL", "0");
        for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_MANIFEST_DIR", "CARGO_BUILD_TARGET"] {
            command.env_remove(name);
        }
        command
    };
    let offline = command(&["--offline"]).output().unwrap();
    if !offline.status.success() {
        stdout(&mut command(&[]));
    }
}

fn program(name: &str, files: &BTreeMap<String, String>) -> PathBuf {
    write(name, files);
    build(name)
}

fn build(name: &str) -> PathBuf {
    // One at a time in this process, and one process at a time.
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let make = || {
        cargo(&home().join("source").join(name), &["build", "--quiet"]);
        home().join("target/debug").join(name)
    };
    built.entry(name.to_owned()).or_insert_with(make).clone()
}

/// Makes a package have these files, leaving alone those that are right: cargo compiles what is younger.
fn write(name: &str, files: &BTreeMap<String, String>) -> PathBuf {
    let package = home().join("source").join(name);
    fs::create_dir_all(&package).unwrap();
    let lock = File::create(home().join("source").join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    for (path, text) in files {
        let path = package.join(path);
        if fs::read_to_string(&path).ok().as_ref() != Some(text) {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }
    package
}
