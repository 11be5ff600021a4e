//! Nothing of an earlier build is in a later one, and a build in which nothing has changed costs none.

use std::fs;

use super::scene::{CALLERS, Caller, SPY, Scene, report, result};
use crate::support::program::{Ran, ran};

#[test]
#[ignore = "needs namespaces"]
fn what_an_earlier_build_left_is_gone() {
    for caller in CALLERS {
        let Some(scene) = Scene::new(caller, &[("build.rs", SPY)]) else { return };
        let planted = scene.project.root.join("target/hermetic/planted");
        scene.project.write("spy.txt", &format!("write {}\n", planted.display()));
        assert_eq!(ran(&mut scene.build(&["--hermetic"])).code, 0, "{caller:?}");
        assert_eq!(fs::read_to_string(&planted).unwrap(), "pwned", "{caller:?}");
        fs::write(&planted, "s3cret").unwrap();
        scene.project.write("spy.txt", &format!("read {}\n", planted.display()));
        assert_eq!(ran(&mut scene.build(&["--hermetic"])).code, 0, "{caller:?}");
        assert_eq!(report(&scene, "hermetic"), "", "{caller:?}");
        assert!(!planted.exists(), "{caller:?}");
    }
}

/// Replaces what was compiled of `dep` for whoever links it next.
const POISON: &str = r#"fn main() {
    let target = std::path::PathBuf::from(std::env::var("OUT_DIR").unwrap());
    let release = target.ancestors().nth(3).unwrap().to_owned();
    let host = release.parent().unwrap().join("x86_64-unknown-linux-gnu/release");
    let evil = std::path::Path::new("evil.rs");
    for deps in [release.join("deps"), host.join("deps")] {
        std::fs::create_dir_all(&deps).unwrap();
        std::fs::copy(evil, deps.join("libdep-0000000000000000.rlib")).unwrap();
    }
}
"#;

#[test]
#[ignore = "needs namespaces"]
fn a_library_that_an_earlier_script_replaced_is_compiled_again() {
    let Some(scene) = Scene::new(Caller::Root, &[("build.rs", POISON), ("evil.rs", "EVIL")]) else { return };
    assert_eq!(ran(&mut scene.build(&["--hermetic"])).code, 0);
    let planted = |scene: &Scene| {
        let files = walkdir::WalkDir::new(scene.project.root.join("target/hermetic")).into_iter().flatten();
        files.filter(|entry| entry.file_name() == "libdep-0000000000000000.rlib").count()
    };
    assert!(planted(&scene) > 0, "the test cannot fail");
    fs::remove_file(scene.project.root.join("build.rs")).unwrap();
    assert_eq!(ran(&mut scene.build(&["--hermetic"])).code, 0);
    assert_eq!(planted(&scene), 0);
}

/// Builds until the last build is known: sources that are as young as the build are not trusted to be the same.
fn until_known(scene: &Scene) -> Ran {
    let again = || ran(&mut scene.build(&["--hermetic", "--message-format", "json"]));
    let mut builds = std::iter::repeat_with(again).take(20);
    builds.find(|built| !built.stderr.contains("Compiling")).expect("nothing changes, and still it compiles")
}

#[test]
#[ignore = "needs namespaces"]
fn an_unchanged_build_compiles_nothing_and_gives_the_same() {
    // (The other caller's files are given to it anew before each build.)
    let Some(scene) = Scene::new(Caller::Root, &[("build.rs", "fn main() {}\n")]) else { return };
    let first = result(&ran(&mut scene.build(&["--hermetic", "--message-format", "json"])));
    let known = result(&until_known(&scene));
    assert_eq!(first["digest"], known["digest"]);

    // Whatever changes, it compiles again: an artifact, the sources, the environment.
    let artifact = scene.project.root.join("target/hermetic/x86_64-unknown-linux-gnu/release/p");
    let program = fs::read(&artifact).unwrap();
    fs::write(&artifact, [&program[..], b"EVIL"].concat()).unwrap();
    let again = ran(&mut scene.build(&["--hermetic", "--message-format", "json"]));
    assert!(again.stderr.contains("Compiling"), "{}", again.stderr);
    assert_eq!(result(&again)["digest"], first["digest"]);
    until_known(&scene);
    let other = ran(scene.build(&["--hermetic"]).env("CONST_RANDOM_SEED", "1"));
    assert!(other.stderr.contains("Compiling"), "{}", other.stderr);
    until_known(&scene);
    scene.project.write("src/main.rs", "fn main() { println!(\"other\"); }\n");
    let changed = ran(&mut scene.build(&["--hermetic", "--message-format", "json"]));
    assert_ne!(result(&changed)["digest"], first["digest"]);
}
