//! `wgc`, the composer of the Cosmo Router, and a plugin to compose.
//!
//! It is installed once, into a folder of its own below the target directory: beside another `graphql` it fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::project::Project;
use super::tools::{require, skip};

const VERSION: &str = "0.112.7";

/// What keeps it from asking the network: composing needs none.
pub const ALONE: [(&str, &str); 2] = [("DISABLE_UPDATE_CHECK", "true"), ("COSMO_TELEMETRY_DISABLED", "true")];

/// The script of `wgc`, and what runs it.
pub fn wgc() -> Option<(PathBuf, PathBuf)> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let (npm, node) = (require("npm")?, require("node")?);
    let _alone = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("wgc-{VERSION}"));
    let script = home.join("node_modules/wgc/dist/src/index.js");
    if !home.join("installed").exists() {
        fs::create_dir_all(&home).unwrap();
        fs::write(home.join("package.json"), r#"{"private": true}"#).unwrap();
        let package = format!("wgc@{VERSION}");
        let mut install = Command::new(npm);
        install.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--save-exact", &package]).current_dir(&home);
        let output = install.output().unwrap();
        if !output.status.success() {
            skip(&format!("npm cannot install {package}: {}", String::from_utf8_lossy(&output.stderr)));
            return None;
        }
        fs::write(home.join("installed"), "").unwrap();
    }
    Some((node, script))
}

/// The plugin of `fixtures/execution`, `hello`, with next to no program.
pub fn template() -> Project {
    let project = Project::router_plugin("name = 'hello'");
    for path in ["src/schema.graphql", "generated/service.proto", "generated/mapping.json", "generated/service.proto.lock.json"] {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/execution/hello").join(path);
        project.write(path, &fs::read_to_string(kept).unwrap());
    }
    project
}
