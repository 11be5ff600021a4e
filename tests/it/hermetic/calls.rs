//! System calls that reach beyond namespaces and landlock.

#![cfg(target_arch = "x86_64")]

use super::scene::{CALLERS, SPY, Scene, report};
use crate::support::program::ran;

const LINES: [&str; 15] = [
    "call vsock",
    "call alg",
    "call keyctl",
    "call add_key",
    "call request_key",
    "call ptrace",
    "call io_uring_setup",
    "call bpf",
    "call userfaultfd",
    "call perf_event_open",
    "call unshare",
    "call open_by_handle_at",
    "call x32 keyctl",
    "stolen 1",
    "stolen 2",
];

#[test]
#[ignore = "needs namespaces"]
fn calls_that_no_build_needs_do_not_exist() {
    for caller in CALLERS {
        let Some(scene) = Scene::new(caller, &[("build.rs", SPY), ("spy.txt", &(LINES.join("\n") + "\n"))]) else { return };
        let hermetic = ran(&mut scene.build(&["--hermetic"]));
        assert_eq!(hermetic.code, 0, "{caller:?}: {}", hermetic.stderr);
        assert_eq!(report(&scene, "hermetic"), "", "{caller:?}");

        // The same without it, as far as this kernel knows them.
        let plain = ran(&mut scene.build(&["--target-dir", "target/plain"]));
        assert_eq!(plain.code, 0, "{caller:?}: {}", plain.stderr);
        let found = report(&scene, "plain");
        for line in ["call alg", "call ptrace", "call unshare", "stolen 1", "stolen 2"] {
            assert!(found.contains(line), "{caller:?} did not find {line}:\n{found}");
        }
    }
}

#[test]
#[ignore = "needs namespaces"]
fn sockets_of_the_sandbox_itself_still_work() {
    let script = "fn main() {\n    use std::net::{TcpListener, UdpSocket};\n    use std::os::unix::net::UnixStream;\n    \
                  UnixStream::pair().unwrap();\n    drop((TcpListener::bind(\"127.0.0.1:0\"), UdpSocket::bind(\"[::]:0\")));\n    \
                  std::thread::spawn(|| ()).join().unwrap();\n    \
                  assert!(std::process::Command::new(\"true\").status().unwrap().success());\n}\n";
    let Some(scene) = Scene::new(super::scene::Caller::Root, &[("build.rs", script)]) else { return };
    let built = ran(&mut scene.build(&["--hermetic"]));
    assert_eq!(built.code, 0, "{}", built.stderr);
}
