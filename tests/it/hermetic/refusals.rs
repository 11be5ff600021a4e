//! It fails closed: where something is missing or exposed, the reason is told and nothing is built.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use plugin_oci::fs::sorted_listing;
use serde_json::json;

use super::scene::{CALLERS, Caller, MANIFEST, Scene};
use crate::support::http_server::{Answer, Handler, Reply, Request, Server};
use crate::support::program::ran;
use crate::support::tools::{require, stdout};

#[test]
#[ignore = "needs namespaces"]
fn without_user_namespaces_it_refuses_names_the_reason_and_builds_nothing() {
    for caller in CALLERS {
        let Some(scene) = Scene::new(caller, &[]) else { return };
        let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
        let program = scene.program();
        let words = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh", &program, "build", "--hermetic"];
        let refused = ran(&mut scene.run(&words));
        assert_eq!(refused.code, 1, "{caller:?}: {}", refused.stderr);
        assert!(refused.stderr.contains("/proc/sys/user/max_user_namespaces is 0"), "{}", refused.stderr);
        assert!(refused.stderr.contains("sysctl user.max_user_namespaces"), "{}", refused.stderr);
        assert_eq!(refused.stdout, "");
        assert!(!scene.project.root.join("target").exists(), "something was built");
    }
}

/// Lets a system call fail, by a filter as containers have: number, error, command.
#[cfg(target_arch = "x86_64")]
const DENY: &str = "
import ctypes, os, struct, sys
number, error = int(sys.argv[1]), int(sys.argv[2])
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50000 | error), (0x06, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *step) for step in steps))
class Filter(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ushort), ('code', ctypes.c_void_p)]
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Filter(len(steps), ctypes.addressof(code))), 0, 0) == 0
os.execv(sys.argv[3], sys.argv[3:])
";

#[cfg(target_arch = "x86_64")]
#[test]
#[ignore = "needs namespaces"]
fn it_fails_closed_whatever_is_missing() {
    let Some(python) = require("python3") else { return };
    let Some(scene) = Scene::new(Caller::Root, &[]) else { return };
    let (program, python) = (scene.program(), python.display().to_string());
    for (what, call, error, reason) in [
        ("unshare", "272", "1", "seccomp"),
        ("mount", "165", "1", "seccomp"),
        ("pivot_root", "155", "1", "seccomp"),
        ("landlock_create_ruleset", "444", "38", "landlock"),
        ("landlock_restrict_self", "446", "95", "landlock"),
        ("seccomp", "317", "1", "seccomp"),
    ] {
        let refused = ran(&mut scene.run(&[&python, "-c", DENY, call, error, &program, "build", "--hermetic"]));
        assert_eq!(refused.code, 1, "{what}: {}", refused.stderr);
        assert!(refused.stderr.contains("no hermetic build is possible here"), "{what}: {}", refused.stderr);
        assert!(refused.stderr.contains(reason) && refused.stderr.contains("help: "), "{what}: {}", refused.stderr);
        assert!(!scene.project.root.join("target").exists(), "{what}: something was built");
    }
}

#[test]
#[ignore = "needs namespaces"]
fn no_program_of_the_sources_runs_before_the_sandbox() {
    let script = "#!/bin/sh\necho ran >> \"${0%/*}/ran.txt\"\nexec \"$@\"\n";
    let files = [("wrap.sh", script), (".cargo/config.toml", "[build]\nrustc-wrapper = \"./wrap.sh\"\n")];
    let Some(scene) = Scene::new(Caller::Root, &files) else { return };
    fs::set_permissions(scene.project.root.join("wrap.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    let built = ran(&mut scene.build(&["--hermetic"]));
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert!(!scene.project.root.join("ran.txt").exists());
    assert_eq!(ran(&mut scene.build(&[])).code, 0);
    assert!(scene.project.root.join("ran.txt").exists(), "the test cannot fail");
}

/// A program that tells that it ran, in the directory above its own.
const TELLING: &str = "#!/bin/sh\necho ran >> \"${0%/*}/../ran.txt\"\nexec \"$@\"\n";

fn executable(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
#[ignore = "needs namespaces"]
fn no_program_of_the_sources_takes_the_compilers_place_before_the_sandbox() {
    // So deep that the way up from there ends in the sources, and the way up from anywhere else at the root.
    let deep = format!("{}x.toml", "d/".repeat(12));
    let above = format!("[build]\nrustc-wrapper = '{}usr/bin/env'\n", "../".repeat(12));
    for (config, named) in [
        ("[env]\nPATH = { value = 'bin', relative = true, force = true }\n".to_owned(), "PATH"),
        (format!("include = ['{deep}']\n"), "include"),
    ] {
        // A package outside the workspace has cargo ask the compiler even before the build.
        let manifest = format!("{MANIFEST}\n[dependencies]\nq = {{ path = '../q' }}\n");
        let other = [("../q/Cargo.toml", "[package]\nname = 'q'\nversion = '0.1.0'\n[workspace]\n"), ("../q/src/lib.rs", "")];
        let programs = [("bin/rustc", TELLING), ("usr/bin/env", &TELLING.replace("/..", "/../.."))];
        let own = [("Cargo.toml", manifest.as_str()), (".cargo/config.toml", &config), (&format!(".cargo/{deep}"), &above)];
        let Some(scene) = Scene::new(Caller::Root, &[&other[..], &programs, &own].concat()) else { return };
        let root = &scene.project.root;
        fs::remove_file(root.join("Cargo.lock")).unwrap();
        for (program, _) in &programs {
            executable(&root.join(program));
        }
        let built = ran(&mut scene.build(&["--hermetic"]));
        assert!(!root.join("ran.txt").exists(), "{named}: it ran: {}", built.stderr);
        let plain = ran(&mut scene.build(&[]));
        assert!(root.join("ran.txt").exists(), "{named}: the test cannot fail: {}", plain.stderr);
    }
}

/// A registry that wants a token.
struct Closed;

impl Handler for Closed {
    fn answer(&self, _request: &Request) -> Answer {
        Reply::new(401).header("www-authenticate", "Cargo login_url=\"https://plugins.example/\"").into()
    }
}

#[test]
#[ignore = "needs namespaces"]
fn no_command_of_the_sources_is_run_for_a_token() {
    let server = Server::start(Arc::new(Closed));
    let provider = "credential-provider = ['cargo:token-from-stdout', 'sh', 'token.sh']";
    let config = format!("[registries.own]\nindex = 'sparse+http://{}/'\n{provider}\n", server.host());
    let manifest = format!("{MANIFEST}\n[dependencies]\nz = {{ version = '1', registry = 'own' }}\n");
    let files = [("Cargo.toml", manifest.as_str()), (".cargo/config.toml", &config), ("token.sh", "echo ran > ran.txt\n")];
    let Some(scene) = Scene::new(Caller::Root, &files) else { return };
    let told = scene.project.root.join("ran.txt");
    fs::remove_file(scene.project.root.join("Cargo.lock")).unwrap();
    let refused = ran(&mut scene.build(&["--hermetic"]));
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(!told.exists(), "it ran: {}", refused.stderr);
    let plain = ran(&mut scene.build(&[]));
    assert!(told.exists(), "the test cannot fail: {}", plain.stderr);
}

#[test]
#[ignore = "needs namespaces"]
fn no_link_leads_the_builds_writes_out_of_the_target_directory() {
    let script = "fn main() { drop(std::fs::write(\"target/hermetic/authorized_keys\", \"theirs\")); }\n";
    let Some(scene) = Scene::new(Caller::Root, &[("build.rs", script), ("target/kept", "")]) else { return };
    let keys = scene.home().join(".ssh");
    fs::create_dir_all(&keys).unwrap();
    std::os::unix::fs::symlink(&keys, scene.project.root.join("target/hermetic")).unwrap();
    let refused = ran(&mut scene.build(&["--hermetic"]));
    assert_eq!(sorted_listing(&keys).unwrap().len(), 0, "{}", refused.stderr);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("target/hermetic, is a link to"), "{}", refused.stderr);
}

#[test]
#[ignore = "needs namespaces"]
fn nothing_is_removed_or_written_where_a_link_of_the_sources_leads() {
    for link in ["target", "target/plugin-build"] {
        let Some(scene) = Scene::new(Caller::Root, &[("../mine/hermetic/kept", "mine\n")]) else { return };
        let mine = scene.stage().join("mine");
        let link = scene.project.root.join(link);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&mine, &link).unwrap();
        let refused = ran(&mut scene.build(&["--hermetic"]));
        assert_eq!(refused.code, 1, "{}: {}", link.display(), refused.stderr);
        assert_eq!(sorted_listing(&mine).unwrap(), ["hermetic"], "{}", link.display());
        assert!(mine.join("hermetic/kept").is_file(), "{}", link.display());
    }
}

#[test]
#[ignore = "needs namespaces"]
fn nothing_but_what_builds_left_is_removed() {
    let config = "[build]\ntarget-dir = 'src'\n";
    let Some(scene) = Scene::new(Caller::Root, &[(".cargo/config.toml", config), ("src/hermetic/mod.rs", "")]) else { return };
    let refused = ran(&mut scene.build(&["--hermetic"]));
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("src/hermetic is not empty, and no target directory"), "{}", refused.stderr);
    assert!(scene.project.root.join("src/hermetic/mod.rs").is_file());
}

#[test]
#[ignore = "needs namespaces"]
fn no_directory_is_shown_because_the_sources_call_it_vendored() {
    let script = "fn main() {\n    let key = std::fs::read_to_string(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/../home/.ssh/key\"));\n    \
                  println!(\"cargo::warning=read {key:?}\");\n}\n";
    for kind in ["directory", "local-registry"] {
        let config = format!("[source.theirs]\n{kind} = '../home/.ssh'\n");
        let files = [("build.rs", script), (".cargo/config.toml", config.as_str()), ("../home/.ssh/key", "s3cret")];
        let Some(scene) = Scene::new(Caller::Root, &files) else { return };
        let built = ran(&mut scene.build(&["--hermetic"]));
        assert_eq!(built.code, 0, "{kind}: {}", built.stderr);
        assert!(built.stderr.contains("read Err") && !built.stderr.contains("s3cret"), "{kind}: {}", built.stderr);
        let plain = ran(&mut scene.build(&[]));
        assert!(plain.stderr.contains("s3cret"), "{kind}: the test cannot fail: {}", plain.stderr);
    }
}

#[test]
#[ignore = "needs namespaces"]
fn the_home_directory_itself_is_no_workspace() {
    let Some(scene) = Scene::new(Caller::Root, &[]) else { return };
    let refused = ran(scene.build(&["--hermetic"]).env("HOME", &scene.project.root));
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("secrets"), "{}", refused.stderr);
    assert!(!scene.project.root.join("target").exists(), "something was built");
}

#[test]
#[ignore = "needs namespaces"]
fn a_path_of_this_machine_is_an_error_here_and_a_warning_elsewhere() {
    let leaking = "fn main() { println!(\"{}\", env!(\"CARGO_MANIFEST_DIR\")); }\n";
    let Some(scene) = Scene::new(Caller::Root, &[("src/main.rs", leaking)]) else { return };
    let refused = ran(&mut scene.build(&["--hermetic"]));
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    let told = format!("holds a path of this machine: {}", scene.project.root.display());
    assert!(refused.stderr.contains(&told) && refused.stderr.contains("env!(\"CARGO_MANIFEST_DIR\")"), "{}", refused.stderr);
    assert!(!scene.project.root.join("target/plugin-build/p").exists(), "something was packed");
    let warned = ran(&mut scene.build(&[]));
    assert_eq!(warned.code, 0, "{}", warned.stderr);
    assert!(warned.stderr.contains(&told), "{}", warned.stderr);
}

#[test]
#[ignore = "needs namespaces"]
fn nothing_else_is_packed_because_a_build_script_speaks_for_cargo() {
    let host = "x86_64-unknown-linux-gnu";
    let made = format!("target/hermetic/{host}/release/made");
    for (path, make, told) in [
        (format!("target/hermetic/{host}/../../../../theirs"), "true", "theirs lies outside of the target directory"),
        // Whoever opens such a pipe waits for a writer.
        (made.clone(), "mkfifo", "release/made is no regular file"),
        (made, "ln -sf p", "release/made is no regular file"),
    ] {
        let Some(scene) = Scene::new(Caller::Root, &[]) else { return };
        let plain = ran(&mut scene.build(&["--target-dir", "target/plain"]));
        assert_eq!(plain.code, 0, "{}", plain.stderr);
        let theirs = scene.project.root.join(format!("target/plain/{host}/release/p"));
        fs::rename(theirs, scene.stage().join("theirs")).unwrap();
        let path = scene.project.root.join(path).display().to_string();
        let message = message(&scene, &path).to_string() + "\n";
        let script = format!(
            "fn main() {{\n    std::process::Command::new(\"sh\").args([\"-c\", {:?}]).status().unwrap();\n    \
             let out = format!(\"/proc/{{}}/fd/1\", std::os::unix::process::parent_id());\n    \
             std::fs::write(out, {message:?}).unwrap();\n}}\n",
            format!("{make} {path}"),
        );
        scene.project.write("build.rs", &script);
        let program = scene.program();
        let refused = ran(&mut scene.run(&["timeout", "60", &program, "build", "--hermetic"]));
        assert_eq!(refused.code, 1, "{make}: {}{}", refused.stdout, refused.stderr);
        assert!(refused.stderr.contains(told), "{make}: {}", refused.stderr);
    }
}

/// What cargo says of the program at `path`.
fn message(scene: &Scene, path: &str) -> serde_json::Value {
    let target = json!({
        "kind": ["bin"], "crate_types": ["bin"], "name": "p", "src_path": "/", "edition": "2024", "doc": true,
        "doctest": false, "test": true,
    });
    let profile = json!({
        "opt_level": "3", "debuginfo": 0, "debug_assertions": false, "overflow_checks": false, "test": false,
    });
    let id = format!("path+file://{}#p@0.1.0", scene.project.root.display());
    json!({
        "reason": "compiler-artifact", "package_id": id, "manifest_path": "/", "target": target, "profile": profile,
        "features": [], "filenames": [path], "executable": path, "fresh": false,
    })
}

#[test]
#[ignore = "needs cc"]
fn no_library_from_outside_is_packed_because_the_program_names_it() {
    if require("cc").is_none() {
        return;
    }
    let manifest = format!("{MANIFEST}\n[package.metadata.plugin-build]\nbundle-libs = true\n");
    // The program is linked with a stub of the library.
    let script = r#"fn main() {
    let out = std::env::var("OUT_DIR").unwrap();
    let stub = format!("{out}/libtheirs.so");
    let made = std::process::Command::new("cc").args(["-shared", "-x", "c", "/dev/null", "-o", &stub]).status();
    assert!(made.unwrap().success());
    let above = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    println!("cargo::rustc-link-search={out}");
    for arg in ["-Wl,--no-as-needed", "-ltheirs", &format!("-Wl,-rpath,{}", above.display())] {
        println!("cargo::rustc-link-arg-bins={arg}");
    }
}
"#;
    let Some(scene) = Scene::new(Caller::Root, &[("Cargo.toml", &manifest), ("build.rs", script)]) else { return };
    let theirs = scene.stage().join("libtheirs.so");
    stdout(Command::new("cc").args(["-shared", "-x", "c", "/dev/null", "-o"]).arg(&theirs));
    let refused = ran(&mut scene.build(&["--hermetic"]));
    assert_eq!(refused.code, 1, "{}{}", refused.stdout, refused.stderr);
    let told = format!("needs {}, which a hermetic build cannot see", theirs.display());
    assert!(refused.stderr.contains(&told), "{}", refused.stderr);
}
