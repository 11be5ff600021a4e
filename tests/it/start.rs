//! Whether a program can start in its image is decided before anything is packed: through the program, and its three ways
//! out.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::layouts::HandLayout;
use crate::support::program::{Ran, plugin_build, ran};
use crate::support::project::{Project, copy};

const MAIN: &str = "fn main() { println!(\"started\"); }\n";

/// Builds a program that wants its loader and libraries at hand.
fn dynamic(project: &Project, args: &[&str]) -> Command {
    let mut build = plugin_build(&project.root);
    build.arg("build").args(args).env("RUSTFLAGS", "-Ctarget-feature=-crt-static");
    build
}

fn ok(command: &mut Command) -> Ran {
    let ran = ran(command);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran
}

fn inspected(project: &Project, image: &str) -> Value {
    let inspected = ok(plugin_build(&project.root).args(["inspect", "--message-format", "json", image]));
    serde_json::from_str(inspected.stdout.lines().last().unwrap()).unwrap()
}

#[test]
fn a_dynamic_program_in_an_empty_image_is_refused_with_three_ways_out() {
    let project = Project::with_table("[package.metadata.plugin-build]\n");
    project.write("src/main.rs", MAIN);
    let refused = ran(&mut dynamic(&project, &[]));
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{}", refused.stderr);
    for named in ["/release/p cannot start", "the loader /lib64/ld-linux-x86-64.so.2", "libgcc_s.so.1", "libc.so.6"] {
        assert!(refused.stderr.contains(named), "{} does not name {named}", refused.stderr);
    }
    for way in ["link it statically", "build on a `base`", "`bundle-libs = true`"] {
        assert!(refused.stderr.contains(way), "{} does not offer {way}", refused.stderr);
    }
    assert!(!project.root.join("target/plugin-build").exists(), "something was packed");

    // The first way.
    ok(plugin_build(&project.root).args(["build", "-q"]));
    // The second.
    let mut base = HandLayout::new(&project.root.join("base"));
    let image = base.image("linux/amd64", &[], plugin_build::compression::Compression::Gzip);
    let index = base.index(&[image], &serde_json::json!({}));
    base.tag("1", index);
    ok(&mut dynamic(&project, &["-q", "--base", "oci:base:1", "-o", "on-base"]));
}

#[test]
fn bundled_libraries_are_a_layer_of_their_own_and_the_same_every_time() {
    let project = Project::with_table("[package.metadata.plugin-build]\nbundle-libs = true\n");
    project.write("src/main.rs", MAIN);
    let built = ok(&mut dynamic(&project, &["-o", "out"]));
    assert!(built.stderr.contains("/release/p needs glibc 2."), "{}", built.stderr);
    let image = inspected(&project, "oci:out");
    let platform = &image["platforms"][0];
    assert!(platform["annotations"]["dev.cargo-plugin-build.glibc"].as_str().unwrap().starts_with("2."), "{platform}");
    let layers = platform["layers"].as_array().unwrap();
    let paths = |layer: usize| -> Vec<&str> {
        let files = layers[layer]["files"].as_array().unwrap().iter();
        files.map(|file| file["path"].as_str().unwrap()).filter(|path| !path.ends_with('/')).collect()
    };
    let libraries = paths(0);
    for needed in ["ld-linux-x86-64.so.2", "libc.so.6", "libgcc_s.so.1"] {
        assert!(libraries.iter().any(|path| path.ends_with(needed)), "{libraries:?}");
    }
    assert!(!libraries.iter().any(|path| path.ends_with("libm.so.6")), "only what is needed: {libraries:?}");
    assert_eq!((layers.len(), paths(1)), (2, vec!["p"]));

    let elsewhere = Project::new(&[]);
    copy(&project.root, &elsewhere.root);
    drop(fs::remove_dir_all(elsewhere.root.join("out")));
    let mut again = Command::new("sh");
    again.args(["-c", "umask 077 && exec \"$@\"", "sh"]).current_dir(&elsewhere.root);
    let build = dynamic(&elsewhere, &["-q", "-o", "out"]);
    again.arg(build.get_program()).args(build.get_args()).env_clear();
    again.envs(build.get_envs().filter_map(|(name, value)| Some((name, value?))));
    ok(again.env("LD_LIBRARY_PATH", Path::new("/nowhere")));
    assert_eq!(inspected(&elsewhere, "oci:out")["digest"], image["digest"]);
    ok(plugin_build(&project.root).args(["verify", "oci:out"]));
}
