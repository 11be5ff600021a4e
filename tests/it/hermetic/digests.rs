//! The bytes are those of a plain build, from wherever the sources came.

use std::fs;
use std::path::{Path, PathBuf};

use super::scene::{CALLERS, MANIFEST, Scene, digest, result};
use crate::support::program::ran;

#[test]
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
fn fetched_and_vendored_sources_give_the_same_digest() {
    for caller in CALLERS {
        let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
        let itoa = lock.split("[[package]]\n").find(|package| package.starts_with("name = \"itoa\"")).unwrap();
        let lock = format!(
            "version = 4\n\n[[package]]\n{}\n\n[[package]]\nname = \"p\"\nversion = \"0.1.0\"\ndependencies = [\n \"itoa\",\n]\n",
            itoa.trim_end()
        );
        let manifest = MANIFEST.replace("\n[workspace]", "\n[dependencies]\nitoa = \"1\"\n\n[workspace]");
        let main = "fn main() { println!(\"{}\", itoa::Buffer::new().format(1)); }\n";
        let Some(scene) = Scene::new(caller, &[("Cargo.toml", &manifest), ("Cargo.lock", &lock), ("src/main.rs", main)]) else {
            return;
        };
        copy_registry(&scene.home().join(".cargo"));
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

/// What the developer's cargo has of `itoa`, so that nothing needs a network.
#[expect(clippy::disallowed_methods, reason = "tests run in the developer's environment")]
fn copy_registry(to: &Path) {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cargo"));
    for entry in walkdir::WalkDir::new(home.join("registry")).into_iter().flatten() {
        let relative = entry.path().strip_prefix(&home).unwrap();
        let text = relative.to_string_lossy();
        let wanted =
            text.contains("itoa-1") || text.contains("/it/oa/") || text.ends_with("config.json") && text.contains("index/");
        if wanted && entry.file_type().is_file() && (text.contains("/cache/") || text.contains("/index/"))
            || text.ends_with("/.cargo-index-lock")
        {
            let file = to.join(relative);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::copy(entry.path(), file).unwrap();
        }
    }
}
