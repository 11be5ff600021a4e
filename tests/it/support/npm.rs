//! Programs in JavaScript from the npm registry.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tools::{require, skip};

/// `node`, and the folder where these packages are installed, once, below the target directory, named by the first. Where they
/// cannot be had, the test is to return.
pub fn installed(packages: &[&str]) -> Option<(PathBuf, PathBuf)> {
    let (npm, node) = (require("npm")?, require("node")?);
    let name = packages[0].trim_start_matches('@').replace(['/', '@'], "-");
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&home).unwrap();
    let lock = fs::File::create(home.join(".lock")).unwrap();
    lock.lock().unwrap();
    if !home.join(".installed").exists() {
        fs::write(home.join("package.json"), r#"{"private": true}"#).unwrap();
        let mut install = Command::new(npm);
        install.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--save-exact"]).args(packages);
        let output = install.current_dir(&home).output().unwrap();
        if !output.status.success() {
            skip(&format!("npm cannot install {packages:?}: {}", String::from_utf8_lossy(&output.stderr)));
            return None;
        }
        fs::write(home.join(".installed"), "").unwrap();
    }
    Some((node, home))
}
