//! Small packages in a directory of their own, and an environment with nothing of the caller's but the toolchain.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use plugin_build::build::manifest::{BuildFlags, Workspace, load};
use plugin_build::build::plan::{Plan, plan};
use plugin_build::hosts::cosmo::contract::directory;
use plugin_build::hosts::cosmo::generate::{Options, generate};
use plugin_oci::environment::Environment;
use plugin_oci::failure::Error;
use plugin_oci::progress::{Progress, Silent};
use serde_json::Value;

use crate::support::program::{self, Ran};

/// A project in a temporary directory.
pub struct Project {
    /// The project's directory; canonical.
    pub root: PathBuf,
    _keep: tempfile::TempDir,
}

impl Project {
    /// A copy of `fixtures/plugins/<name>`.
    pub fn fixture(name: &str) -> Self {
        let project = Self::new(&[]);
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/plugins").join(name), &project.root);
        project
    }

    /// A project of these files.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let keep = tempfile::tempdir().unwrap();
        let root = keep.path().canonicalize().unwrap().join("project");
        fs::create_dir_all(&root).unwrap();
        let project = Self { root, _keep: keep };
        for (path, text) in files {
            project.write(path, text);
        }
        project
    }

    /// A package `p` with one binary and this metadata table.
    pub fn with_table(table: &str) -> Self {
        let manifest = format!("[package]\nname = \"p\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n\n{table}");
        Self::new(&[("Cargo.toml", &manifest), ("src/main.rs", "fn main() {}\n")])
    }

    /// A plugin of the Cosmo Router with a whole contract, and these lines in its table.
    pub fn router_plugin(table: &str) -> Self {
        let project = Self::with_table(&format!("[package.metadata.plugin-build]\nkind = 'cosmo-router'\n{table}\n"));
        project.schema("type Query { p: String }\n");
        project.write("assets/a.txt", "a\n");
        project
    }

    /// Writes a schema, and the contract that goes with it.
    pub fn schema(&self, schema: &str) {
        self.write(directory::SCHEMA, schema);
        let lock = fs::read_to_string(self.root.join(directory::LOCK)).ok();
        let made = generate(schema, &Options::of_plugin("p"), lock.as_deref()).unwrap();
        for (path, text) in [(directory::PROTO, made.proto), (directory::MAPPING, made.mapping), (directory::LOCK, made.lock)] {
            self.write(path, &text);
        }
    }

    /// Writes a file.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The toolchain's variables, and the project as working directory.
    pub fn env(&self) -> Environment {
        let kept = ["PATH", "HOME", "CARGO", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];
        let vars = std::env::vars_os().filter(|(name, _)| kept.iter().any(|kept| name == kept));
        Environment::new(vars.collect::<Vec<(OsString, OsString)>>(), &self.root)
    }

    /// Runs the program here.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        program::run(&self.root, arguments)
    }

    /// Runs it where it must succeed.
    pub fn done(&self, arguments: &[&str]) -> Ran {
        program::ok(program::plugin_build(&self.root).args(arguments))
    }

    /// What `inspect` says of an image.
    pub fn inspected(&self, image: &str) -> Value {
        let told = self.done(&["inspect", "--message-format", "json", image]).stdout;
        serde_json::from_str(told.lines().last().unwrap()).unwrap()
    }

    /// Loads with these flags.
    pub fn load(&self, flags: &BuildFlags) -> Result<Workspace, Error> {
        load(flags, &self.env(), &Silent)
    }

    /// Loads and plans with these flags.
    pub fn plan(&self, flags: &BuildFlags) -> Plan {
        plan_in(flags, &self.env(), &Silent).unwrap()
    }

    /// A text without this machine's paths.
    pub fn anonymous(&self, text: &str) -> String {
        text.replace(&self.root.display().to_string(), "[root]")
    }
}

/// Loads and plans in an environment.
pub fn plan_in(flags: &BuildFlags, env: &Environment, progress: &dyn Progress) -> Result<Plan, Error> {
    plan(&load(flags, env, progress).unwrap(), flags, env, progress)
}

/// Copies a folder without its products.
pub fn copy(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from).into_iter().filter_entry(|entry| entry.file_name() != "target") {
        let entry = entry.unwrap();
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(target).unwrap();
        } else if entry.path_is_symlink() {
            symlink(fs::read_link(entry.path()).unwrap(), target).unwrap();
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
