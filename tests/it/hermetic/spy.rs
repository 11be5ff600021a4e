//! What a build script reaches: sockets, secrets, the terminal, files; and no longer under `--hermetic`.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

use super::scene::{CALLERS, Caller, SPY, Scene, report};
use crate::support::program::ran;
use crate::support::tools::require;

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
        ("../project/other/clone/.git/config", "[http]\n\textraheader = s3cret\n"),
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
        format!("read {stage}/project/other/clone/.git/config"),
        format!("write {stage}/outside.txt"),
        format!("write {stage}/home/.bashrc"),
        format!("write {stage}/project/src/more.rs"),
        format!("write {stage}/project/target/more"),
    ];
    scene.project.write("spy.txt", &(lines.join("\n") + "\n"));
    lines
}

#[test]
#[ignore = "needs namespaces"]
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
#[ignore = "needs script"]
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
        assert!(hermetic.stdout.contains("\u{1b}["), "{caller:?}: cargo's colours are gone: {}", hermetic.stdout);
        assert_eq!(build("--target-dir target/plain").code, 0);
        assert_eq!(report(&scene, "plain"), "terminal stderr: opened\n", "{caller:?}");
    }
}

#[test]
#[ignore = "needs namespaces"]
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
#[ignore = "needs namespaces"]
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
