//! Kernels that know less of landlock than this one: what the first version knew is required, the rest taken where it is.
//!
//! Everything later is kept out by something else, too: truncation by read-only mounts, TCP and abstract sockets by the
//! network namespace, signals by the pid namespace.

#![cfg(target_arch = "x86_64")]

use std::fs;

use super::scene::{Caller, SPY, Scene, report, result};
use crate::support::program::ran;
use crate::support::tools::require_file;

/// Lets the kernel claim a landlock ABI: a filter asks this process, which answers the question for the version and none
/// other. What a ruleset then leaves out, the kernel treats as it did when it knew no better.
const OLD_KERNEL: &str = "
import ctypes, fcntl, os, select, socket, struct, sys
abi = int(sys.argv[1])
here, there = socket.socketpair()
child = os.fork()
if child == 0:
    steps = [(0x20, 0, 0, 0), (0x15, 0, 3, 444), (0x20, 0, 0, 32), (0x15, 0, 1, 1), (0x06, 0, 0, 0x7fc00000), (0x06, 0, 0, 0x7fff0000)]
    code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *step) for step in steps))
    class Filter(ctypes.Structure):
        _fields_ = [('length', ctypes.c_ushort), ('code', ctypes.c_void_p)]
    libc = ctypes.CDLL(None)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    listener = libc.syscall(317, 1, 8, ctypes.byref(Filter(len(steps), ctypes.addressof(code))))
    assert listener >= 0, 'no listener'
    socket.send_fds(there, [b'.'], [listener])
    os.close(listener)
    os.execv(sys.argv[2], sys.argv[2:])
there.close()
_, [listener], _, _ = socket.recv_fds(here, 1, 1)
poll = select.poll()
poll.register(listener, select.POLLIN)
while all(event & select.POLLIN for _, event in poll.poll()):
    question = bytearray(80)
    fcntl.ioctl(listener, 0xc0502100, question)
    fcntl.ioctl(listener, 0xc0182101, struct.pack('QqiI', struct.unpack_from('Q', question)[0], abi, 0, 0))
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
";

#[test]
#[ignore = "needs namespaces"]
fn every_older_version_gives_the_same_image_and_no_way_out() {
    // The system's: another one may be out of reach for another user.
    let python = "/usr/bin/python3";
    if !require_file(python) {
        return;
    }
    for (caller, versions) in [(Caller::Root, 1..=1), (Caller::Ordinary, 1..=6)] {
        let spy = "write src/more.rs\nwrite target/more\nread ../outside.txt\n";
        let Some(scene) = Scene::new(caller, &[("build.rs", SPY), ("spy.txt", spy)]) else { return };
        fs::write(scene.stage().join("outside.txt"), "s3cret\n").unwrap();
        let program = scene.program();
        let plain = result(&ran(&mut scene.build(&["--message-format", "json", "--target-dir", "../plain"])));
        fs::remove_file(scene.project.root.join("src/more.rs")).expect("a plain build writes it");
        for abi in versions {
            let number = abi.to_string();
            let args = ["build", "--hermetic", "--message-format", "json", "-o", "out"];
            let words = [&[python, "-c", OLD_KERNEL, &number, &program], &args[..]].concat();
            let built = result(&ran(&mut scene.run(&words)));
            assert_eq!(built["hermetic"]["landlock-abi"], abi, "{caller:?}: {built}");
            assert_eq!(built["digest"], plain["digest"], "{caller:?}, ABI {abi}");
            let found = report(&scene, "hermetic");
            assert!(!found.contains("s3cret"), "{caller:?}, ABI {abi}: {found}");
            for absent in ["src/more.rs", "target/more"] {
                assert!(!scene.project.root.join(absent).exists(), "{caller:?}, ABI {abi}: wrote {absent}");
            }
            fs::remove_dir_all(scene.project.root.join("target/hermetic")).unwrap();
        }
    }
}
