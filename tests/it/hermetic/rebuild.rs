//! `verify --rebuild --hermetic`: an independent second builder that can be trusted as little as the first.

use super::scene::{CALLERS, Caller, Scene};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::support::program::{plugin_build, ran};

/// Puts what it can read of the builder's environment into the program.
const LEAKING: &str = "fn main() {\n    println!(\"cargo::rustc-env=SEEN={}\", std::env::var(\"MY_TOKEN\").is_ok());\n}\n";
const MAIN: &str = "fn main() { println!(\"{}\", env!(\"SEEN\")); }\n";

#[test]
#[ignore = "needs namespaces"]
fn a_second_build_sees_no_more_than_the_first() {
    for caller in CALLERS {
        let Some(scene) = Scene::new(caller, &[("build.rs", LEAKING), ("src/main.rs", MAIN)]) else { return };
        let first = ran(scene.build(&["--hermetic", "-q", "-o", "out"]).env("MY_TOKEN", "s3cret"));
        assert_eq!(first.code, 0, "{caller:?}: {}", first.stderr);
        let program = scene.program();
        let again = |more: &[&str]| {
            let words = [&[program.as_str(), "verify", "--rebuild", "oci:out"], more].concat();
            ran(scene.run(&words).env("MY_TOKEN", "s3cret").env("TMPDIR", scene.stage()))
        };
        let hermetic = again(&["--hermetic"]);
        assert_eq!(hermetic.code, 0, "{caller:?}: {}{}", hermetic.stdout, hermetic.stderr);
        assert!(hermetic.stderr.contains("the same digest"), "{caller:?}: {}", hermetic.stderr);
        let plain = again(&[]);
        assert_eq!(plain.code, 3, "{caller:?}: the test cannot fail: {}", plain.stderr);
    }
}

#[test]
#[ignore = "needs namespaces"]
fn where_the_system_refuses_nothing_is_compared() {
    for caller in CALLERS {
        let Some(scene) = Scene::new(caller, &[]) else { return };
        assert_eq!(ran(&mut scene.build(&["-q", "-o", "out"])).code, 0);
        let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
        let program = scene.program();
        let verify = [program.as_str(), "verify", "--rebuild", "--hermetic", "oci:out"];
        let words = [&["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"], &verify[..]].concat();
        let refused = ran(&mut scene.run(&words));
        assert_eq!(refused.code, 1, "{caller:?}: {}", refused.stderr);
        assert!(refused.stderr.contains("/proc/sys/user/max_user_namespaces is 0"), "{}", refused.stderr);
    }
    let pointless = ran(plugin_build(Path::new(".")).args(["verify", "--hermetic", "oci:out"]));
    assert_eq!(pointless.code, 2, "{}", pointless.stderr);
}

#[test]
#[ignore = "needs namespaces"]
fn the_sources_are_asked_nothing_outside_of_the_sandbox() {
    let script = "#!/bin/sh\necho ran >> \"${0%/*}/ran.txt\"\nexec rustc \"$@\"\n";
    let Some(scene) = Scene::new(Caller::Root, &[("compile.sh", script)]) else { return };
    fs::set_permissions(scene.project.root.join("compile.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(ran(&mut scene.build(&["-q", "-o", "out"])).code, 0);
    scene.project.write(".cargo/config.toml", "[build]\nrustc = './compile.sh'\n");
    let told = scene.project.root.join("ran.txt");
    let program = scene.program();
    let again = |more: &[&str]| ran(&mut scene.run(&[&[program.as_str(), "verify", "--rebuild", "oci:out"], more].concat()));
    let hermetic = again(&["--hermetic"]);
    assert!(!told.exists(), "it ran: {}", hermetic.stderr);
    let plain = again(&[]);
    assert!(told.exists(), "the test cannot fail: {}", plain.stderr);
}
