//! What hermetic builds need of the system.

use std::process::Command;

use super::tools::{require, skip};

/// Whether everything that a hermetic build is made of may be made here, by the caller and by an ordinary user: asked by
/// `unshare`, not by us; where not, says so.
pub fn are_there() -> bool {
    let (Some(unshare), Some(setpriv)) = (require("unshare"), require("setpriv")) else { return false };
    let nested = "mount -t tmpfs tmpfs /mnt && mount -t proc proc /proc && unshare --user true";
    let namespaces = ["--user", "--map-root-user", "--mount", "--net", "--pid", "--fork", "--ipc", "--uts"];
    let ordinary = [setpriv.to_str().unwrap(), "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let as_root = super::tools::stdout(Command::new("id").arg("-u")).trim() == "0";
    for user in [&[][..], &ordinary].into_iter().take(if as_root { 2 } else { 1 }) {
        let words = [user, &[unshare.to_str().unwrap()], &namespaces, &["sh", "-c", nested]].concat();
        let trial = Command::new(words[0]).args(&words[1..]).output().unwrap();
        if !trial.status.success() {
            skip(&format!("no user namespaces here: {}", String::from_utf8_lossy(&trial.stderr)));
            return false;
        }
    }
    true
}
