//! Links and includes of the sources lead to nothing of others: what they name is shown, or written, only where it really is
//! theirs.

use std::fs;
use std::os::unix::fs::symlink;

use super::scene::{Caller, Scene};
use crate::support::program::ran;

/// Says what it can read of a file.
const READING: &str = "fn main() {\n    println!(\"cargo::warning=read {:?}\", std::fs::read_to_string(\"FILE\"));\n}\n";
const SECRET: &str = "[auth]\nword = \"s3cret\"\n";

/// A scene in a repository, whose build script reads `file`.
fn scene(file: &str) -> Option<Scene> {
    let scene = Scene::new(Caller::Root, &[("../home/.app/key.toml", SECRET), ("../home/.app/HEAD", SECRET)])?;
    let file = file.replace("KEY", scene.home().join(".app/key.toml").to_str().unwrap());
    scene.project.write("build.rs", &READING.replace("FILE", &file));
    scene.project.write(".git/HEAD", "ref: refs/heads/main\n");
    scene.project.write(".git/objects/info/packs", "");
    scene.project.write(".git/refs/heads/.keep", "");
    Some(scene)
}

fn shows_nothing(scene: &Scene, case: &str) {
    let built = ran(&mut scene.build(&["--hermetic"]));
    assert!(built.code == 1 || built.stderr.contains("read Err"), "{case}: {}", built.stderr);
    assert!(!built.stderr.contains("s3cret"), "{case}: {}", built.stderr);
}

#[test]
#[ignore = "needs namespaces"]
fn no_part_of_a_repository_is_a_link_to_anything() {
    for part in ["HEAD", "index", "info", "objects", "packed-refs", "refs", "shallow", "modules", "config", "reftable"] {
        let Some(scene) = scene("KEY") else { return };
        let path = scene.project.root.join(".git").join(part);
        let _ = fs::remove_dir_all(&path);
        let _ = fs::remove_file(&path);
        symlink(scene.home().join(".app"), &path).unwrap();
        shows_nothing(&scene, part);
    }
    let Some(scene) = scene("KEY") else { return };
    fs::create_dir(scene.project.root.join(".git/modules")).unwrap();
    symlink(scene.home().join(".app"), scene.project.root.join(".git/modules/theirs")).unwrap();
    shows_nothing(&scene, "a submodule");
}

#[test]
#[ignore = "needs namespaces"]
fn no_manifest_above_is_a_link_to_anything() {
    let Some(scene) = scene("KEY") else { return };
    let manifest = "[package]\nname = \"q\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    scene.project.write("../beside/q/Cargo.toml", manifest);
    scene.project.write("../beside/q/src/lib.rs", "");
    symlink(scene.home().join(".app/key.toml"), scene.stage().join("beside/Cargo.toml")).unwrap();
    scene.project.write("../.git/HEAD", "");
    let own = fs::read_to_string(scene.project.root.join("Cargo.toml")).unwrap();
    scene.project.write("Cargo.toml", &format!("{own}\n[dependencies]\nq = {{ path = \"../beside/q\" }}\n"));
    let lock = "version = 4\n\n[[package]]\nname = \"p\"\nversion = \"0.1.0\"\ndependencies = [\"q\"]\n\n[[package]]\nname = \"q\"\nversion = \"0.1.0\"\n";
    scene.project.write("Cargo.lock", lock);
    fs::remove_dir_all(scene.project.root.join(".git")).unwrap();
    shows_nothing(&scene, "a manifest above");
}

#[test]
#[ignore = "needs namespaces"]
fn no_configuration_is_read_from_where_a_link_or_an_include_leads() {
    for (way, file) in [("link", ".cargo/config.toml"), ("include", ".cargo/config.toml"), ("nested", ".cargo/config.toml")] {
        let Some(scene) = scene(file) else { return };
        let key = scene.home().join(".app/key.toml");
        let config = scene.project.root.join(".cargo/config.toml");
        fs::create_dir_all(config.parent().unwrap()).unwrap();
        match way {
            "link" => symlink(&key, &config).unwrap(),
            "include" => fs::write(&config, format!("include = ['{}']\n", key.display())).unwrap(),
            _ => {
                fs::write(&config, "include = ['more.toml']\n").unwrap();
                symlink(&key, config.with_file_name("more.toml")).unwrap();
            }
        }
        // Where the sandbox shows the file itself, there is nothing to hand in; from below it is.
        scene.project.write("ws/Cargo.toml", &fs::read_to_string(scene.project.root.join("Cargo.toml")).unwrap());
        scene.project.write("ws/Cargo.lock", &fs::read_to_string(scene.project.root.join("Cargo.lock")).unwrap());
        scene.project.write("ws/src/main.rs", "fn main() {}\n");
        scene.project.write("ws/build.rs", &READING.replace("FILE", config.to_str().unwrap()));
        fs::remove_file(scene.project.root.join("Cargo.toml")).unwrap();
        let built = ran(scene.build(&["--hermetic"]).current_dir(scene.project.root.join("ws")));
        assert!(!built.stderr.contains("s3cret") && !built.stdout.contains("s3cret"), "{way}: {}", built.stderr);
        assert!(built.code == 1 || built.stderr.contains("read Err"), "{way}: {}", built.stderr);
    }
}

#[test]
#[ignore = "needs namespaces"]
fn no_layout_is_written_where_a_link_of_the_sources_leads() {
    let Some(scene) = scene("KEY") else { return };
    let mine = scene.stage().join("mine");
    fs::create_dir(&mine).unwrap();
    fs::create_dir_all(scene.project.root.join("target/plugin-build")).unwrap();
    symlink(&mine, scene.project.root.join("target/plugin-build/p")).unwrap();
    let refused = ran(&mut scene.build(&["--hermetic"]));
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("target/plugin-build/p, is a link to"), "{}", refused.stderr);
    assert_eq!(plugin_oci::fs::sorted_listing(&mine).unwrap().len(), 0);
}

#[test]
#[ignore = "needs namespaces"]
fn a_line_without_an_end_in_cargos_messages_is_refused() {
    let script = "use std::io::Write;\nfn main() {\n    let own = std::fs::read_link(\"/proc/self\").unwrap();\n    \
                  for pid in std::fs::read_dir(\"/proc\").unwrap().flatten() {\n        \
                  let path = pid.path();\n        \
                  if path.ends_with(&own) || !std::fs::read_to_string(path.join(\"comm\")).unwrap_or_default().starts_with(\"cargo\") { continue; }\n        \
                  let Ok(mut out) = std::fs::OpenOptions::new().write(true).open(path.join(\"fd/1\")) else { continue };\n        \
                  let block = vec![b'x'; 1 << 20];\n        for _ in 0..40 { if out.write_all(&block).is_err() { break; } }\n    }\n}\n";
    let Some(scene) = Scene::new(Caller::Root, &[("build.rs", script)]) else { return };
    let ended = ran(&mut scene.build(&["--hermetic"]));
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("a line of more than 16 MiB"), "{}", ended.stderr);
}
