//! `--hermetic`: what a build script can reach without it, and no longer with it; where it refuses; what it leaves.
//!
//! Everything runs as root and as an ordinary user, whoever runs the tests. Where the system has no user namespaces at
//! all (asked by `unshare`, not by us), the tests say so and return.

#![cfg(target_os = "linux")]

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::program::{Ran, ran};
use crate::support::project::Project;
use crate::support::tools::{require, stdout};

const NOBODY: u32 = 65534;

/// Who builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Root,
    Ordinary,
}

const CALLERS: [Caller; 2] = [Caller::Root, Caller::Ordinary];

/// A project with a home of its own, in a directory that its caller owns.
struct Scene {
    project: Project,
    caller: Caller,
    /// Whoever runs the tests is root.
    am_root: bool,
}

impl Scene {
    /// `None` where the system has no user namespaces.
    fn new(caller: Caller, files: &[(&str, &str)]) -> Option<Self> {
        let (unshare, setpriv) = (require("unshare")?, require("setpriv")?);
        drop(setpriv);
        let trial = Command::new(unshare).args(["--user", "--map-root-user", "--mount", "--net", "true"]).output().unwrap();
        if !trial.status.success() {
            eprintln!("skipped: no user namespaces here: {}", String::from_utf8_lossy(&trial.stderr));
            return None;
        }
        let project = Project::new(&[("Cargo.toml", MANIFEST), ("Cargo.lock", LOCK), ("src/main.rs", "fn main() {}\n")]);
        for (path, text) in files {
            project.write(path, text);
        }
        let am_root = stdout(Command::new("id").arg("-u")).trim() == "0";
        let scene = Self { project, caller, am_root };
        fs::create_dir_all(scene.home().join(".cargo")).unwrap();
        Some(scene)
    }

    /// The directory that holds everything.
    fn stage(&self) -> &Path {
        self.project.root.parent().unwrap()
    }

    fn home(&self) -> PathBuf {
        self.stage().join("home")
    }

    /// A command line in the project, as the caller.
    fn run(&self, words: &[&str]) -> Command {
        let mut toolchain = toolchain();
        let mut front: Vec<String> = Vec::new();
        match (self.caller, self.am_root) {
            (Caller::Root, false) => front.extend(["unshare", "--user", "--map-root-user"].map(str::to_owned)),
            (Caller::Ordinary, true) => {
                // The toolchain may lie in root's own directories: show it elsewhere.
                let shown = self.stage().join("toolchain");
                fs::create_dir_all(&shown).unwrap();
                let script =
                    "mount --bind \"$0\" \"$1\" && shift && exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"";
                front.extend(["unshare", "--mount", "sh", "-c", script].map(str::to_owned));
                front.extend([&toolchain, &shown].map(|path| path.display().to_string()));
                toolchain = shown;
                for entry in walkdir::WalkDir::new(self.stage()) {
                    chown(entry.unwrap().path(), Some(NOBODY), Some(NOBODY)).unwrap();
                }
                fs::set_permissions(self.stage(), fs::Permissions::from_mode(0o755)).unwrap();
            }
            _ => {}
        }
        front.extend(words.iter().map(|word| (*word).to_owned()));
        let mut command = Command::new(&front[0]);
        command.args(&front[1..]).current_dir(&self.project.root).env_clear();
        command.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", toolchain.join("bin").display()));
        command.env("CARGO", toolchain.join("bin/cargo")).env("HOME", self.home());
        command
    }

    /// Our program, where the caller can read it.
    fn program(&self) -> String {
        let copy = self.stage().join("cargo-plugin-build");
        if !copy.exists() {
            // By another process: while this one writes a program, no thread of it may start that.
            stdout(Command::new("cp").arg(env!("CARGO_BIN_EXE_cargo-plugin-build")).arg(&copy));
        }
        copy.display().to_string()
    }

    fn build(&self, args: &[&str]) -> Command {
        let program = self.program();
        let words: Vec<&str> = [program.as_str(), "build"].into_iter().chain(args.iter().copied()).collect();
        self.run(&words)
    }
}

const MANIFEST: &str = "[package]\nname = \"p\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n";
const LOCK: &str = "version = 4\n\n[[package]]\nname = \"p\"\nversion = \"0.1.0\"\n";
const SPY: &str = include_str!("../../fixtures/hostile/spy/build.rs");

/// The toolchain that runs these tests.
#[expect(clippy::disallowed_methods, reason = "cargo tells its tests where it is")]
fn toolchain() -> PathBuf {
    let cargo = PathBuf::from(std::env::var_os("CARGO").unwrap());
    cargo.parent().unwrap().parent().unwrap().to_owned()
}

/// What the build script wrote down, wherever the build put it.
fn report(scene: &Scene, below: &str) -> String {
    let files = walkdir::WalkDir::new(scene.project.root.join("target").join(below)).into_iter().flatten();
    let reports = files.filter(|entry| entry.file_name() == "report.txt");
    reports.map(|entry| fs::read_to_string(entry.path()).unwrap()).collect::<Vec<_>>().concat()
}

/// The result, after all progress.
fn result(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap()
}

fn digest(ran: &Ran) -> String {
    result(ran)["digest"].as_str().unwrap().to_owned()
}

/// Sockets outside, and whether anything came.
struct Listeners {
    tcp: TcpListener,
    udp: UdpSocket,
    named: UnixListener,
    path: UnixListener,
    name: String,
}

impl Listeners {
    fn new(stage: &Path) -> Self {
        let name = format!("plugin-build-test-{}", stage.display());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listeners = Self {
            tcp: TcpListener::bind("127.0.0.1:0").unwrap(),
            udp: UdpSocket::bind("127.0.0.1:0").unwrap(),
            named: UnixListener::bind_addr(&address).unwrap(),
            path: UnixListener::bind(stage.join("agent")).unwrap(),
            name,
        };
        listeners.tcp.set_nonblocking(true).unwrap();
        listeners.udp.set_nonblocking(true).unwrap();
        listeners.named.set_nonblocking(true).unwrap();
        listeners.path.set_nonblocking(true).unwrap();
        listeners
    }

    /// The kinds of sockets that something came to.
    fn reached(&self) -> Vec<&'static str> {
        let mut reached = Vec::new();
        match self.tcp.accept() {
            Ok((mut stream, _)) => {
                let mut text = String::new();
                stream.set_nonblocking(false).unwrap();
                stream.read_to_string(&mut text).unwrap();
                assert_eq!(text, "s3cret");
                reached.push("tcp");
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        reached.extend(self.udp.recv_from(&mut [0; 64]).is_ok().then_some("udp"));
        reached.extend(self.named.accept().is_ok().then_some("abstract"));
        reached.extend(self.path.accept().is_ok().then_some("socket"));
        reached
    }
}

/// Everything that a build script might want, laid out; `spy.txt` names it.
fn tempt(scene: &Scene, listeners: &Listeners) -> Vec<String> {
    let home = scene.home();
    for (path, text) in [
        (".netrc", "machine h.example login u password s3cret\n"),
        (".cargo/credentials.toml", "[registry]\ntoken = \"s3cret\"\n"),
        (".cargo/config.toml", "[registries.own]\nindex = \"sparse+https://r.example/\"\ntoken = \"s3cret\"\n"),
        (".ssh/id_ed25519", "s3cret\n"),
        ("../outside.txt", "s3cret\n"),
        ("../project/.git/config", "[core]\n\tbare = false\n[http]\n\textraheader = s3cret\n"),
    ] {
        fs::create_dir_all(home.join(path).parent().unwrap()).unwrap();
        fs::write(home.join(path), text).unwrap();
    }
    let stage = scene.stage().display();
    let lines = vec![
        format!("tcp {}", listeners.tcp.local_addr().unwrap()),
        format!("udp {}", listeners.udp.local_addr().unwrap()),
        format!("abstract {}", listeners.name),
        format!("socket {stage}/agent"),
        "variable MY_TOKEN".to_owned(),
        "environ MY_TOKEN".to_owned(),
        format!("read {stage}/home/.netrc"),
        format!("read {stage}/home/.cargo/credentials.toml"),
        format!("read {stage}/home/.cargo/config.toml"),
        format!("read {stage}/home/.ssh/id_ed25519"),
        format!("read {stage}/outside.txt"),
        format!("read {stage}/project/.git/config"),
        format!("write {stage}/outside.txt"),
        format!("write {stage}/home/.bashrc"),
        format!("write {stage}/project/src/more.rs"),
        format!("write {stage}/project/target/more"),
    ];
    scene.project.write("spy.txt", &(lines.join("\n") + "\n"));
    lines
}

#[test]
fn no_packet_and_no_secret_leaves_a_hermetic_build() {
    for caller in CALLERS {
        let Some(scene) = Scene::new(caller, &[("build.rs", SPY)]) else { return };
        let listeners = Listeners::new(scene.stage());
        let lines = tempt(&scene, &listeners);

        let hermetic = ran(scene.build(&["--hermetic"]).env("MY_TOKEN", "s3cret"));
        assert_eq!(hermetic.code, 0, "{caller:?}: {}", hermetic.stderr);
        // It may believe to have written, into memory that is gone.
        let found = report(&scene, "hermetic");
        assert!(found.lines().all(|line| line.starts_with("write ")), "{caller:?} found:\n{found}");
        assert_eq!(listeners.reached(), [] as [&str; 0], "{caller:?}");
        assert_eq!(fs::read_to_string(scene.stage().join("outside.txt")).unwrap(), "s3cret\n");
        for absent in ["home/.bashrc", "project/src/more.rs", "project/target/more"] {
            assert!(!scene.stage().join(absent).exists(), "{caller:?} wrote {absent}");
        }

        // The same without it, so that the test can fail.
        let plain = ran(scene.build(&["--target-dir", "target/plain"]).env("MY_TOKEN", "s3cret"));
        assert_eq!(plain.code, 0, "{caller:?}: {}", plain.stderr);
        let found = report(&scene, "plain");
        for line in &lines {
            assert!(found.contains(&format!("{line}: ")), "{caller:?} did not find {line}:\n{found}");
        }
        assert_eq!(listeners.reached(), ["tcp", "udp", "abstract", "socket"], "{caller:?}");
    }
}

#[test]
fn a_terminal_is_out_of_reach() {
    if require("script").is_none() {
        return;
    }
    for caller in CALLERS {
        let Some(scene) = Scene::new(caller, &[("build.rs", SPY), ("spy.txt", "terminal stderr\n")]) else { return };
        let program = scene.program();
        let build = |args: &str| ran(&mut scene.run(&["script", "-qec", &format!("{program} build {args}"), "/dev/null"]));
        let hermetic = build("--hermetic");
        assert_eq!(hermetic.code, 0, "{caller:?}: {}", hermetic.stdout);
        assert_eq!(report(&scene, "hermetic"), "", "{caller:?}");
        assert_eq!(build("--target-dir target/plain").code, 0);
        assert_eq!(report(&scene, "plain"), "terminal stderr: opened\n", "{caller:?}");
    }
}

#[test]
fn an_earlier_build_taints_no_hermetic_one() {
    let Some(scene) = Scene::new(Caller::Root, &[("build.rs", SPY)]) else { return };
    fs::write(scene.stage().join("outside.txt"), "s3cret\n").unwrap();
    scene.project.write("spy.txt", &format!("read {}/outside.txt\n", scene.stage().display()));
    assert_eq!(ran(&mut scene.build(&[])).code, 0);
    assert!(report(&scene, "").contains("s3cret"));
    assert_eq!(ran(&mut scene.build(&["--hermetic"])).code, 0);
    assert_eq!(report(&scene, "hermetic"), "");
}

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

#[test]
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
    ] {
        let refused = ran(&mut scene.run(&[&python, "-c", DENY, call, error, &program, "build", "--hermetic"]));
        assert_eq!(refused.code, 1, "{what}: {}", refused.stderr);
        assert!(refused.stderr.contains("no hermetic build is possible here"), "{what}: {}", refused.stderr);
        assert!(refused.stderr.contains(reason) && refused.stderr.contains("help: "), "{what}: {}", refused.stderr);
        assert!(!scene.project.root.join("target").exists(), "{what}: something was built");
    }
}

#[test]
fn homes_inside_the_workspace_are_covered() {
    let config = "[build]\nrustflags = [\"--cfg\", \"kept\"]\n[registries.own]\nindex = \"sparse+https://r.example/\"\ntoken = \"s3cret\"\n";
    let files = [
        ("build.rs", SPY),
        ("src/main.rs", "#[cfg(kept)]\nfn main() {}\n"),
        ("home/.netrc", "s3cret\n"),
        (".cargo/credentials.toml", "[registry]\ntoken = \"s3cret\"\n"),
        (".cargo/config.toml", config),
        ("spy.txt", "read home/.netrc\nread .cargo/credentials.toml\nread .cargo/config.toml\n"),
    ];
    for caller in CALLERS {
        let Some(scene) = Scene::new(caller, &files) else { return };
        let root = &scene.project.root;
        let build = |args: &[&str]| ran(scene.build(args).env("HOME", root.join("home")).env("CARGO_HOME", root.join(".cargo")));
        let hermetic = build(&["--hermetic"]);
        assert_eq!(hermetic.code, 0, "{caller:?}: {}", hermetic.stderr);
        assert_eq!(report(&scene, "hermetic"), "", "{caller:?}");
        assert_eq!(build(&["--target-dir", "target/plain"]).code, 0);
        assert_eq!(report(&scene, "plain").lines().count(), 3, "{caller:?}");
    }
}

#[test]
fn no_program_of_the_sources_runs_before_the_sandbox() {
    let script = "#!/bin/sh\necho ran >> \"${0%/*}/ran.txt\"\nexec \"$@\"\n";
    let files = [("wrap.sh", script), (".cargo/config.toml", "[build]\nrustc-wrapper = \"./wrap.sh\"\n")];
    let Some(scene) = Scene::new(Caller::Root, &files) else { return };
    fs::set_permissions(scene.project.root.join("wrap.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    let refused = ran(&mut scene.build(&["--hermetic"]));
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("`build.rustc-wrapper` names"), "{}", refused.stderr);
    assert!(!scene.project.root.join("ran.txt").exists());
    assert_eq!(ran(&mut scene.build(&[])).code, 0);
    assert!(scene.project.root.join("ran.txt").exists(), "the test cannot fail");
}

#[test]
fn the_provenance_tells_and_the_image_does_not() {
    let Some(scene) = Scene::new(Caller::Root, &[]) else { return };
    let built = result(&ran(&mut scene.build(&["--hermetic", "--provenance", "--message-format", "json", "-o", "out"])));
    let files = walkdir::WalkDir::new(scene.project.root.join("out/blobs")).into_iter().flatten();
    let texts = files.filter_map(|entry| fs::read_to_string(entry.path()).ok().filter(|text| text.contains("landlock-abi")));
    let [text] = &texts.collect::<Vec<_>>()[..] else { panic!("one blob should tell: {built}") };
    let statement: Value = serde_json::from_str(text).unwrap();
    let told = &statement["predicate"]["buildDefinition"]["internalParameters"]["hermetic"];
    assert_eq!(told["writable"], serde_json::json!(["target", "temporary"]));
    assert_eq!(told["phases"], serde_json::json!([{ "name": "build", "network": false }]));
    assert!(!text.contains(&scene.stage().display().to_string()), "{text}");
}

#[test]
fn the_home_directory_itself_is_no_workspace() {
    let Some(scene) = Scene::new(Caller::Root, &[]) else { return };
    let refused = ran(scene.build(&["--hermetic"]).env("HOME", &scene.project.root));
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("secrets"), "{}", refused.stderr);
    assert!(!scene.project.root.join("target").exists(), "something was built");
}

#[test]
fn a_dry_run_tells_the_sandbox_and_makes_nothing() {
    let Some(scene) = Scene::new(Caller::Root, &[]) else { return };
    let dry = ran(scene.build(&["--hermetic", "--dry-run", "--message-format", "json"]).env("MY_TOKEN", "s3cret"));
    let plan = result(&dry);
    assert_eq!(plan["hermetic"]["env"]["HOME"], "/homeless");
    assert!(plan["invocations"][0]["args"].as_array().unwrap().contains(&"--frozen".into()));
    assert!(!dry.stdout.contains("s3cret"));
    assert!(!scene.project.root.join("target").exists());
}

#[test]
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
    let names = plugin_build::fs::sorted_listing(Path::new("/proc")).unwrap();
    names.iter().filter_map(|name| name.to_str()?.parse().ok()).collect()
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_mins(1), "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
