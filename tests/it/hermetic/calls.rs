//! System calls that reach beyond namespaces and landlock.

#![cfg(target_arch = "x86_64")]

use super::scene::{CALLERS, SPY, Scene, report};
use crate::support::program::ran;
use crate::support::tools::skip;

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

/// A 32-bit program: `mov eax, 1; mov ebx, 7; int 0x80`, which ends it with 7.
fn of_32_bits() -> Vec<u8> {
    const CODE: &[u8] = b"\xb8\x01\0\0\0\xbb\x07\0\0\0\xcd\x80";
    const BASE: u32 = 0x0804_8000;
    let size = 52 + 32 + u32::try_from(CODE.len()).unwrap();
    let mut file = b"\x7fELF\x01\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend([2_u16, 3].map(u16::to_le_bytes).concat());
    file.extend([1, BASE + 52 + 32, 52, 0, 0].map(u32::to_le_bytes).concat());
    file.extend([52_u16, 32, 1, 0, 0, 0].map(u16::to_le_bytes).concat());
    file.extend([1, 0, BASE, BASE, size, size, 5, 4096].map(u32::to_le_bytes).concat());
    [&file, CODE].concat()
}

#[test]
#[ignore = "needs namespaces"]
fn a_call_of_a_32_bit_program_kills_it() {
    let script = format!(
        "const PROGRAM: &[u8] = &{:?};\nfn main() {{\n    use std::os::unix::{{fs::PermissionsExt, process::ExitStatusExt}};\n    \
         let path = std::env::var(\"OUT_DIR\").unwrap() + \"/program\";\n    std::fs::write(&path, PROGRAM).unwrap();\n    \
         std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();\n    \
         let ended = std::process::Command::new(&path).status().map(|status| (status.code(), status.signal()));\n    \
         println!(\"cargo::warning=it ended {{:?}}\", ended.ok());\n}}\n",
        of_32_bits()
    );
    let Some(scene) = Scene::new(super::scene::Caller::Root, &[("build.rs", &script)]) else { return };
    let plain = ran(&mut scene.build(&["--target-dir", "target/plain"]));
    assert_eq!(plain.code, 0, "{}", plain.stderr);
    if !plain.stderr.contains("it ended Some((Some(7), None))") {
        skip("this kernel starts no 32-bit programs");
        return;
    }
    let hermetic = ran(&mut scene.build(&["--hermetic"]));
    let killed = format!("it ended Some((None, Some({})))", nix::libc::SIGSYS);
    assert!(hermetic.code == 0 && hermetic.stderr.contains(&killed), "{}", hermetic.stderr);
}
