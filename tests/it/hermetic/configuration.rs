//! What the sources' configuration of cargo reaches: nothing beyond the sandbox, before it is there or in it.
//!
//! Each case leaves a canary outside of the sources if it gets out, and does so without `--hermetic`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::scene::{CALLERS, Caller, MANIFEST, SPY, Scene, report};
use crate::support::program::ran;

const HOST: &str = "x86_64-unknown-linux-gnu";

/// A program that leaves the canary and goes on as the next word.
fn telling(canary: &str) -> String {
    format!("#!/bin/sh\necho ran 2>/dev/null >> {canary}\nexec \"$@\"\n")
}

/// A linker that leaves the canary.
fn linker(canary: &str) -> String {
    format!("#!/bin/sh\n{{ echo ran; cat \"${{0%/*}}/key\"; }} 2>/dev/null >> {canary}\nexec cc \"$@\"\n")
}

#[test]
#[ignore = "needs namespaces"]
fn no_configuration_of_the_sources_has_anything_run_outside() {
    let other = "[dependencies]\nq = { path = '../q' }\n";
    for (what, config) in [
        (
            "a shell with a start-up file",
            "[build]\nrustc-workspace-wrapper = 'bash'\n[env]\nBASH_ENV = 'STAGE/project/evil.sh'\n",
        ),
        ("a wrapper elsewhere", "[build]\nrustc-wrapper = 'STAGE/tools/wrap'\n"),
        ("a workspace's wrapper elsewhere", "[build]\nrustc-workspace-wrapper = 'STAGE/tools/wrap'\n"),
        ("a wrapper in the sources", "[build]\nrustc-workspace-wrapper = './wrap'\n"),
        ("a compiler in the sources", "[build]\nrustc = './compile'\n"),
        ("a compiler elsewhere", "[build]\nrustc = 'STAGE/tools/compile'\n"),
        ("a linker in the sources", "[target.HOST]\nlinker = './ld'\n"),
        ("a linker elsewhere", "[target.HOST]\nlinker = 'STAGE/tools/ld'\n"),
        ("a linker by a flag", "[build]\nrustflags = ['-Clinker=STAGE/tools/ld']\n"),
        ("a linker for a cfg", "[target.'cfg(unix)']\nlinker = 'STAGE/tools/ld'\n"),
        ("a file that is included", "include = ['more.toml']\n"),
        ("a file of flags", "[build]\nrustflags = ['@STAGE/project/flags']\n"),
    ] {
        let Some(scene) = Scene::new(Caller::Root, &[]) else { return };
        let (root, stage) = (&scene.project.root, scene.stage().display().to_string());
        let canary = format!("{stage}/canary");
        let write = |path: &str, text: &str| {
            scene.project.write(path, text);
            fs::set_permissions(root.join(path), fs::Permissions::from_mode(0o755)).unwrap();
        };
        let config = config.replace("STAGE", &stage).replace("HOST", HOST);
        write(".cargo/config.toml", &config);
        write(".cargo/more.toml", "[build]\nrustc-wrapper = './wrap'\n");
        write("flags", &format!("-Clinker={stage}/tools/ld"));
        write("evil.sh", &format!("echo ran >> {canary}\n"));
        for place in ["wrap", "../tools/wrap"] {
            write(place, &telling(&canary));
        }
        for place in ["compile", "../tools/compile"] {
            write(place, &telling(&canary).replace("exec", "exec rustc"));
        }
        for place in ["ld", "../tools/ld"] {
            write(place, &linker(&canary));
        }
        // A package beside the workspace has cargo ask the compiler even before the build.
        write("Cargo.toml", &format!("{MANIFEST}\n{other}"));
        write("../q/Cargo.toml", "[package]\nname = 'q'\nversion = '0.1.0'\n[workspace]\n");
        write("../q/src/lib.rs", "");
        write(
            "Cargo.lock",
            "version = 4\n\n[[package]]\nname = \"p\"\nversion = \"0.1.0\"\ndependencies = [\n \"q\",\n]\n\n[[package]]\nname = \"q\"\nversion = \"0.1.0\"\n",
        );
        write("../tools/key", "s3cret\n");
        let hermetic = ran(&mut scene.build(&["--hermetic", "--provenance"]));
        let told = fs::read_to_string(&canary).unwrap_or_default();
        assert_eq!(told, "", "{what}: {}", hermetic.stderr);
        assert!(!hermetic.stderr.contains("s3cret") && !hermetic.stdout.contains("s3cret"), "{what}: {}", hermetic.stderr);
        let plain = ran(&mut scene.build(&["--provenance"]));
        assert!(
            fs::read_to_string(&canary).is_ok_and(|told| told.contains("ran")),
            "{what}: the test cannot fail: {}",
            plain.stderr
        );
    }
}

#[test]
#[ignore = "needs namespaces"]
fn a_flag_that_has_the_compiler_write_a_file_writes_none_outside() {
    for caller in CALLERS {
        for flag in ["--print=cfg=VICTIM", "--emit=dep-info=VICTIM", "-Zself-profile=VICTIM"] {
            let Some(scene) = Scene::new(caller, &[]) else { return };
            let victim = scene.home().join(".bashrc");
            fs::write(&victim, "mine\n").unwrap();
            let flag = flag.replace("VICTIM", &victim.display().to_string());
            scene.project.write(".cargo/config.toml", &format!("[build]\nrustflags = ['{flag}']\n"));
            drop(ran(&mut scene.build(&["--hermetic"])));
            assert_eq!(fs::read_to_string(&victim).unwrap(), "mine\n", "{caller:?}: {flag}");
            drop(ran(&mut scene.build(&[])));
            let is_mine = fs::read_to_string(&victim).unwrap() == "mine\n";
            assert!(!is_mine || !flag.starts_with("--print"), "{caller:?}: the test cannot fail: {flag}");
        }
    }
}

#[test]
#[ignore = "needs namespaces"]
fn naming_a_linker_makes_no_directory_readable_unless_the_caller_names_it() {
    for caller in CALLERS {
        let Some(scene) = Scene::new(caller, &[("build.rs", SPY)]) else { return };
        let tools = scene.stage().join("deploy");
        scene.project.write("../deploy/deploy.sh", "#!/bin/sh\nexec cc \"$@\"\n");
        scene.project.write("../deploy/key", "s3cret\n");
        fs::set_permissions(tools.join("deploy.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        scene.project.write("spy.txt", &format!("read {}/key\n", tools.display()));
        let config = format!("[target.{HOST}]\nlinker = '{}/deploy.sh'\n", tools.display());
        scene.project.write(".cargo/config.toml", &config);
        let refused = ran(&mut scene.build(&["--hermetic"]));
        assert_eq!(refused.code, 1, "{caller:?}: {}", refused.stderr);
        assert!(refused.stderr.contains("would make a directory readable"), "{caller:?}: {}", refused.stderr);
        assert!(refused.stderr.contains("CARGO_TARGET_<TRIPLE>_LINKER"), "{caller:?}: {}", refused.stderr);
        // The caller's own word is enough, and says that the directory is harmless.
        let variable = "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER";
        let built = ran(scene.build(&["--hermetic"]).env(variable, tools.join("deploy.sh")));
        assert_eq!(built.code, 0, "{caller:?}: {}", built.stderr);
        assert!(report(&scene, "hermetic").contains("s3cret"), "{caller:?}");
        fs::write(scene.home().join(".cargo/config.toml"), &config).unwrap();
        assert_eq!(ran(&mut scene.build(&["--hermetic"])).code, 0, "{caller:?}");
    }
}

#[test]
#[ignore = "needs namespaces"]
fn no_package_of_others_is_shown_because_a_manifest_names_it() {
    let theirs = "[package]\nname = 'theirs'\nversion = '0.1.0'\n[workspace]\n";
    let manifest = format!("{MANIFEST}\n[dependencies]\ntheirs = {{ path = '../../theirs' }}\n");
    let files = [("Cargo.toml", manifest.as_str()), ("../../theirs/Cargo.toml", theirs), ("../../theirs/src/lib.rs", "")];
    // One directory deeper, so that the other package is not beside it.
    let Some(scene) = Scene::new(Caller::Root, &[]) else { return };
    for (path, text) in files {
        scene.project.write(&format!("deep/{path}"), text);
    }
    scene.project.write("deep/src/main.rs", "fn main() {}\n");
    scene.project.write("deep/.git/HEAD", "");
    let refused = ran(scene.build(&["--hermetic"]).current_dir(scene.project.root.join("deep")));
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("is not of these sources"), "{}", refused.stderr);
}

#[test]
#[ignore = "needs namespaces"]
fn no_directory_with_a_secret_is_shown_because_it_holds_packages_too() {
    for (kind, entry) in [("directory", "pkg/.cargo-checksum.json"), ("local-registry", "index/config.json")] {
        let theirs = tempfile::tempdir().unwrap();
        let place = theirs.path().canonicalize().unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(place.join(entry).parent().unwrap()).unwrap();
        fs::write(place.join(entry), "{}").unwrap();
        fs::write(place.join("key"), "s3cret\n").unwrap();
        let config = format!("[source.theirs]\n{kind} = '{}'\n", place.display());
        let spy = format!("read {}/key\n", place.display());
        let files = [("build.rs", SPY), ("spy.txt", &spy), (".cargo/config.toml", &config)];
        let Some(scene) = Scene::new(Caller::Root, &files) else { return };
        let built = ran(&mut scene.build(&["--hermetic"]));
        assert_eq!(built.code, 0, "{kind}: {}", built.stderr);
        assert_eq!(report(&scene, "hermetic"), "", "{kind}");
        assert_eq!(ran(&mut scene.build(&["--target-dir", "target/plain"])).code, 0);
        assert!(report(&scene, "plain").contains("s3cret"), "{kind}: the test cannot fail");
    }
}

#[test]
#[ignore = "needs namespaces"]
fn a_configuration_without_an_end_is_refused() {
    for theirs in ["/dev/zero", "../pipe"] {
        let config = format!("include = ['{theirs}']\n");
        let Some(scene) = Scene::new(Caller::Root, &[(".cargo/config.toml", &config)]) else { return };
        let made = std::process::Command::new("mkfifo").arg(scene.project.root.join("pipe")).status();
        assert!(made.unwrap().success());
        let refused = ran(&mut scene.build(&["--hermetic"]));
        assert_eq!(refused.code, 1, "{theirs}: {}", refused.stderr);
        assert!(refused.stderr.contains("it is no regular file"), "{theirs}: {}", refused.stderr);
    }
}

#[test]
#[ignore = "needs namespaces"]
fn the_sources_choose_no_directory_to_write_to() {
    for key in ["target-dir", "build-dir"] {
        let Some(scene) = Scene::new(Caller::Root, &[]) else { return };
        let theirs = scene.home().join("theirs");
        scene.project.write(".cargo/config.toml", &format!("[build]\n{key} = '{}'\n", theirs.display()));
        let refused = ran(&mut scene.build(&["--hermetic"]));
        assert_eq!(refused.code, 1, "{key}: {}", refused.stderr);
        assert!(refused.stderr.contains("is not of these sources"), "{key}: {}", refused.stderr);
        assert!(!theirs.exists(), "{key}");
        // The caller may.
        fs::rename(scene.project.root.join(".cargo/config.toml"), scene.home().join(".cargo/config.toml")).unwrap();
        let built = ran(&mut scene.build(&["--hermetic"]));
        assert_eq!(built.code, 0, "{key}: {}", built.stderr);
    }
}

/// A manager of toolchains as far as it is asked: the path of a `rust-toolchain.toml`, else the one installed.
const MANAGER: &str = "#!/bin/sh\n[ \"$1 $2\" = 'which rustc' ] || exit 9\nif [ -f rust-toolchain.toml ]; then\n  \
    sed -n \"s/^path = '\\(.*\\)'/\\1\\/bin\\/rustc/p\" rust-toolchain.toml\nelse\n  echo \"$RUSTUP_HOME/toolchains/own/bin/rustc\"\nfi\n";

#[test]
#[ignore = "needs namespaces"]
fn the_sources_bring_no_toolchain() {
    let Some(scene) = Scene::new(Caller::Root, &[]) else { return };
    let stage = scene.stage().display().to_string();
    let canary = scene.stage().join("canary");
    let proxies = scene.stage().join("proxies");
    for (name, text) in [
        ("rustup", MANAGER.to_owned()),
        ("rustc", format!("#!/bin/sh\nexec \"$({stage}/proxies/rustup which rustc)\" \"$@\"\n")),
        ("cargo", "#!/bin/sh\nexit 9\n".to_owned()),
    ] {
        scene.project.write(&format!("../proxies/{name}"), &text);
        fs::set_permissions(proxies.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = scene.build(&["--hermetic"]);
    let toolchain = command.get_envs().find(|(name, _)| *name == "CARGO").and_then(|(_, value)| value).unwrap().to_owned();
    let toolchain = std::path::Path::new(&toolchain).ancestors().nth(2).unwrap().to_owned();
    fs::create_dir_all(scene.stage().join("rustup/toolchains")).unwrap();
    std::os::unix::fs::symlink(&toolchain, scene.stage().join("rustup/toolchains/own")).unwrap();
    let path = format!("{}:/usr/bin:/bin", proxies.display());
    let run = |command: &mut std::process::Command| {
        ran(command.env_remove("CARGO").env("PATH", &path).env("RUSTUP_HOME", scene.stage().join("rustup")))
    };
    let built = run(&mut command);
    assert_eq!(built.code, 0, "what the manager has is taken: {}", built.stderr);
    scene.project.write("bin/rustc", &telling(&canary.display().to_string()));
    fs::set_permissions(scene.project.root.join("bin/rustc"), fs::Permissions::from_mode(0o755)).unwrap();
    scene.project.write("rust-toolchain.toml", &format!("[toolchain]\npath = '{stage}/project'\n"));
    let refused = run(&mut scene.build(&["--hermetic"]));
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("the sources choose the toolchain"), "{}", refused.stderr);
    assert!(!canary.exists(), "it ran");
}
