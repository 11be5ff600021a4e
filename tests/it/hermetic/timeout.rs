//! `--timeout`: a build that hangs ends with all that it started, and leaves nothing half-written.

use std::fs;
use std::path::Path;

use super::scene::{CALLERS, Caller, Scene};
use crate::support::program::ran;

/// Hangs, with a child that ignores a polite end.
const HANGING: &str = "fn main() {\n    std::process::Command::new(\"sh\").args([\"-c\", \"trap '' TERM; sleep SECONDS; sleep SECONDS\"]).status().unwrap();\n}\n";

fn sleepers(seconds: &str) -> usize {
    let names = plugin_oci::fs::sorted_listing(Path::new("/proc")).unwrap();
    let pids = names.iter().filter_map(|name| name.to_str()?.parse::<u32>().ok());
    let line = |pid: u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    pids.map(line).filter(|line| line.starts_with("sleep") && line.contains(seconds)).count()
}

#[test]
#[ignore = "needs namespaces"]
fn a_build_that_hangs_ends_at_its_limit() {
    for (number, (caller, more)) in
        CALLERS.into_iter().flat_map(|caller| [(caller, &["--hermetic"][..]), (caller, &[])]).enumerate()
    {
        let seconds = format!("86398.{}{number}", std::process::id());
        let Some(scene) = Scene::new(caller, &[("build.rs", &HANGING.replace("SECONDS", &seconds))]) else { return };
        let ended = ran(&mut scene.build(&[&["--timeout", "8s"], more].concat()));
        assert_eq!(ended.code, 1, "{caller:?} {more:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("8s, the limit of `--timeout`"), "{caller:?} {more:?}: {}", ended.stderr);
        assert_eq!(sleepers(&seconds), 0, "{caller:?} {more:?}");
        assert!(!scene.project.root.join("target/plugin-build/p").exists(), "{caller:?} {more:?}: something was packed");
    }
}

#[test]
#[ignore = "needs namespaces"]
fn a_compiler_that_hangs_when_asked_ends_too() {
    let seconds = format!("86397.{}", std::process::id());
    let script = format!("#!/bin/sh\nexec sleep {seconds}\n");
    let files = [("hang", script.as_str()), (".cargo/config.toml", "[build]\nrustc = './hang'\n")];
    for more in [&["--hermetic"][..], &[]] {
        let Some(scene) = Scene::new(Caller::Root, &files) else { return };
        fs::set_permissions(scene.project.root.join("hang"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let ended = ran(&mut scene.build(&[&["--timeout", "4s"], more].concat()));
        assert_eq!(ended.code, 1, "{more:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("4s, the limit of `--timeout`"), "{more:?}: {}", ended.stderr);
        assert_eq!(sleepers(&seconds), 0, "{more:?}");
    }
}

#[test]
#[ignore = "needs namespaces"]
fn a_build_within_its_limit_is_as_without() {
    let Some(scene) = Scene::new(Caller::Root, &[]) else { return };
    let built = ran(&mut scene.build(&["--timeout", "1h"]));
    assert_eq!(built.code, 0, "{}", built.stderr);
    let wrong = ran(&mut scene.build(&["--timeout", "soon"]));
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
}
