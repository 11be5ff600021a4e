//! `wgc`, the composer of the Cosmo Router, and a plugin to compose.
//!
//! It is installed once, into a folder of its own below the target directory: beside another `graphql` it fails.

use std::fs;
use std::path::{Path, PathBuf};

use super::npm;
use super::project::Project;

const VERSION: &str = "0.112.7";

/// What keeps it from asking the network: composing needs none.
pub const ALONE: [(&str, &str); 2] = [("DISABLE_UPDATE_CHECK", "true"), ("COSMO_TELEMETRY_DISABLED", "true")];

/// The script of `wgc`, and what runs it.
pub fn wgc() -> Option<(PathBuf, PathBuf)> {
    let (node, home) = npm::installed(&[&format!("wgc@{VERSION}")])?;
    Some((node, home.join("node_modules/wgc/dist/src/index.js")))
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
