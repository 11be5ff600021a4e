//! Nothing outlives a hermetic build.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::scene::{Caller, Scene, report};
use crate::support::program::wait_until;
use crate::support::tools::stdout;

#[test]
#[ignore = "needs namespaces"]
fn nothing_outlives_a_build_that_is_killed() {
    for (caller, signal) in
        [(Caller::Root, "TERM"), (Caller::Ordinary, "TERM"), (Caller::Root, "KILL"), (Caller::Ordinary, "INT")]
    {
        let Some(scene) = Scene::new(caller, &[]) else { return };
        let seconds = format!("86399.{}{}", std::process::id(), signal.len() + usize::from(caller == Caller::Root) * 10);
        let script = "use std::process::Command;\nfn main() {\n  Command::new(\"setsid\").args([\"sleep\", SECONDS]).spawn().unwrap();\n  \
                      std::fs::write(std::path::Path::new(&std::env::var(\"OUT_DIR\").unwrap()).join(\"report.txt\"), \"on\").unwrap();\n  \
                      Command::new(\"sleep\").arg(SECONDS).status().unwrap();\n}\n";
        scene.project.write("build.rs", &script.replace("SECONDS", &format!("\"{seconds}\"")));
        let mut child = scene.build(&["--hermetic"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_until("the build script runs", || report(&scene, "hermetic") == "on" && sleepers(&seconds) == 2);
        // `unshare`, `sh` and `setpriv` have each become the next: the child is our program.
        let started = descendants(child.id());
        assert!(started.len() >= 5, "launcher, init, cargo, the build script, its child: {started:?}");
        stdout(Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]));
        let status = child.wait().unwrap();
        assert!(!status.success());
        wait_until("all processes are gone", || started.iter().all(|pid| parent(*pid).is_none()) && sleepers(&seconds) == 0);
    }
}

/// How many processes sleep that long.
fn sleepers(seconds: &str) -> usize {
    let line = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    processes().iter().map(line).filter(|line| line.starts_with("sleep") && line.contains(seconds)).count()
}

/// The processes below a process.
fn descendants(pid: u32) -> Vec<u32> {
    let all = processes();
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(above) = found.get(at).copied() {
        found.extend(all.iter().filter(|pid| parent(**pid) == Some(above)));
        at += 1;
    }
    found.split_off(1)
}

/// The parent of a living process.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    fields.next()?.parse().ok().filter(|_| state != "Z")
}

fn processes() -> Vec<u32> {
    let names = plugin_oci::fs::sorted_listing(Path::new("/proc")).unwrap();
    names.iter().filter_map(|name| name.to_str()?.parse().ok()).collect()
}
