//! The bytes are those of a plain build, from wherever the sources came.

use std::fs;
use std::path::Path;

use super::scene::{CALLERS, MANIFEST, Scene, digest, result};
use crate::support::program::ran;
use crate::support::registry_cache::{MAIN_WITH_ITOA, copy_itoa, lock_with_itoa};

#[test]
#[ignore = "needs namespaces"]
fn the_digest_is_that_of_a_plain_build() {
    for caller in CALLERS {
        let Some(scene) = Scene::new(caller, &[]) else { return };
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/plugins/buildscript");
        let mut files = walkdir::WalkDir::new(&fixture).into_iter().flatten().filter(|entry| entry.file_type().is_file());
        files
            .try_for_each(|entry| -> std::io::Result<()> {
                let to = scene.project.root.join(entry.path().strip_prefix(&fixture).unwrap());
                fs::create_dir_all(to.parent().unwrap())?;
                fs::copy(entry.path(), to).map(drop)
            })
            .unwrap();
        let plain = digest(&ran(&mut scene.build(&["--message-format", "json"])));
        let hermetic = ran(&mut scene.build(&["--hermetic", "--message-format", "json", "-o", "out"]));
        assert_eq!(digest(&hermetic), plain, "{caller:?}");
        let object = result(&hermetic);
        assert!(object["hermetic"]["landlock-abi"].as_u64().unwrap() > 0, "{object}");
        assert_eq!(object["hermetic"]["phases"].as_array().unwrap().last().unwrap()["network"], false);
    }
}

#[test]
#[ignore = "needs namespaces"]
fn fetched_and_vendored_sources_give_the_same_digest() {
    for caller in CALLERS {
        let manifest = MANIFEST.replace("\n[workspace]", "\n[dependencies]\nitoa = \"1\"\n\n[workspace]");
        let files = [("Cargo.toml", &*manifest), ("Cargo.lock", &lock_with_itoa()), ("src/main.rs", MAIN_WITH_ITOA)];
        let Some(scene) = Scene::new(caller, &files) else { return };
        copy_itoa(&scene.home().join(".cargo"));
        let json = |args: &[&str]| ran(scene.build(&["--message-format", "json"]).args(args));
        let plain = digest(&json(&[]));
        let fetched = json(&["--hermetic", "-o", "fetched"]);
        assert_eq!(digest(&fetched), plain, "{caller:?}");
        assert!(fetched.stdout.contains("{\"name\":\"fetch\",\"network\":true}"), "{}", fetched.stdout);

        let vendor = ran(&mut scene.run(&["cargo", "vendor", "--offline", "--locked", "--versioned-dirs"]));
        assert_eq!(vendor.code, 0, "{}", vendor.stderr);
        scene.project.write(".cargo/config.toml", &vendor.stdout);
        fs::remove_dir_all(scene.home().join(".cargo")).unwrap();
        let vendored = json(&["--hermetic", "-o", "vendored"]);
        assert_eq!(digest(&vendored), plain, "{caller:?}");
        assert!(!vendored.stdout.contains("\"name\":\"fetch\""), "{}", vendored.stdout);
    }
}

#[test]
#[ignore = "needs namespaces"]
fn the_digest_is_the_same_wherever_it_is_called() {
    let Some(scene) = Scene::new(CALLERS[0], &[]) else { return };
    let root = scene.project.root.display().to_string();
    let manifest = format!("{root}/Cargo.toml");
    let from = |directory: &Path, manifest: &str| {
        let output = scene.project.root.join("out").display().to_string();
        let args = ["--hermetic", "--message-format", "json", "-o", &output, "--manifest-path", manifest];
        digest(&ran(scene.build(&args).current_dir(directory)))
    };
    let here = from(&scene.project.root, "Cargo.toml");
    for (directory, manifest) in [("/", manifest.as_str()), (&root, &manifest), (&format!("{root}/src"), "../Cargo.toml")] {
        assert_eq!(from(Path::new(directory), manifest), here, "{directory}");
    }
    assert_eq!(from(scene.stage(), "project/Cargo.toml"), here);
}
