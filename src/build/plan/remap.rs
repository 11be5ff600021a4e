//! Which absolute paths are hidden from the compilers, behind which names.
//!
//! | path | name |
//! |---|---|
//! | the workspace | `/ws` |
//! | `CARGO_HOME` | `/cargo` |
//! | target and build directory, and those of a hermetic build in them | `/ws/target` |
//! | a vendor directory | `/cargo/registry/src/index.crates.io-1949cf8c6b5b557f`, crates.io's place in `CARGO_HOME` |
//! | a package from git or another registry, checked out or vendored | `/cargo/git/<name>-<version>` |
//! | a path dependency outside the workspace | `/cargo/path/<name>-<version>` |
//! | the standard library's sources | `/rustc/<commit>/...`, as where they are not installed |
//!
//! rustc takes the *last* prefix that matches, so the longer, more special path comes later; the target directory is
//! always named, also where it is inside the workspace. `--remap-path-scope=object` keeps diagnostics readable; it is
//! stable since 1.95. A path that is reached through a symlink is hidden under both its names.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::build::hermetic;
use crate::build::manifest::Workspace;
use crate::build::toolchain::cargo_home;
use crate::build::toolchain::rustc::Rustc;
use plugin_oci::environment::Environment;

/// Where crates.io's sources lie below `CARGO_HOME`; the hash is that of the index's URL.
const CRATES_IO: &str = "/cargo/registry/src/index.crates.io-1949cf8c6b5b557f";

/// A path and the name that takes its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remap {
    /// The absolute path.
    pub from: PathBuf,
    /// The name.
    pub to: String,
}

/// Every remap that applies, weakest first.
pub fn remaps(workspace: &Workspace, hermetic: bool, env: &Environment) -> Vec<Remap> {
    let mut remaps = Vec::new();
    let mut add = |from: &Path, to: &str| {
        let mut names = vec![from.to_owned()];
        names.extend(from.canonicalize().ok().filter(|real| real != from));
        for from in names {
            let remap = Remap { from, to: to.to_owned() };
            if !remaps.contains(&remap) {
                remaps.push(remap);
            }
        }
    };
    add(&workspace.root, "/ws");
    if let Some(home) = cargo_home(env) {
        add(&home, "/cargo");
    }
    add(&workspace.target_directory, "/ws/target");
    add(&workspace.build_directory, "/ws/target");
    if hermetic {
        add(&workspace.target_directory.join(hermetic::TARGET), "/ws/target");
        add(&workspace.build_directory.join(hermetic::TARGET), "/ws/target");
    }
    // A compiler that was not built from a git checkout names its sources by its version.
    let rustc = &workspace.rustc;
    let sources = rustc.commit_hash.clone().unwrap_or_else(|| rustc.release.to_string());
    add(&rustc.sysroot.join("lib/rustlib/src/rust"), &format!("/rustc/{sources}"));
    for directory in workspace.cargo_config.vendor_directories() {
        add(&directory, CRATES_IO);
    }
    for package in &workspace.foreign {
        let home = if package.is_path { "path" } else { "git" };
        add(&package.directory, &format!("/cargo/{home}/{}-{}", package.name, package.version));
    }
    // Stable: where two names are equally long, the order above decides.
    remaps.sort_by_key(|remap| remap.from.components().count());
    remaps
}

/// The flags for rustc.
pub fn rustflags(remaps: &[Remap], rustc: &Rustc) -> Vec<String> {
    let mut flags: Vec<String> =
        remaps.iter().map(|remap| format!("--remap-path-prefix={}={}", remap.from.display(), remap.to)).collect();
    if rustc.has_remap_scope() {
        flags.push("--remap-path-scope=object".to_owned());
    }
    flags
}

/// The flags for C compilers. They travel as words of one variable, so that a path with white space cannot be named.
pub fn cflags(remaps: &[Remap]) -> String {
    let words = remaps.iter().map(|remap| format!("-ffile-prefix-map={}={}", remap.from.display(), remap.to));
    words.filter(|word| !word.contains(char::is_whitespace)).collect::<Vec<_>>().join(" ")
}
