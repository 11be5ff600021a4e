//! What hermetic builds need of the system.

use std::process::Command;

use super::tools::require;

/// Whether an ordinary user may make namespaces here, asked by `unshare`, not by us; where not, says so.
pub fn are_there() -> bool {
    let Some(unshare) = require("unshare") else { return false };
    let trial = Command::new(unshare).args(["--user", "--map-root-user", "--mount", "--net", "true"]).output().unwrap();
    if !trial.status.success() {
        eprintln!("skipped: no user namespaces here: {}", String::from_utf8_lossy(&trial.stderr));
    }
    trial.status.success()
}
