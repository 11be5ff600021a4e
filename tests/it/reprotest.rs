//! Debian's `reprotest` builds a plugin twice and varies between the two whatever it knows: environment, path, kernel,
//! address layout, processors, clock, user, order of files, host, home, locale, programs, time zone and umask.
//!
//! Two of its variations need help:
//! - clock: `faketime` and rustc's allocator wait for each other at the start. rustc goes without; cargo, build scripts
//!   and our program get the other time.
//! - user and host: reprotest calls `sudo -h localhost`, which sudo refuses since it lists privileges of other hosts only
//!   (CVE-2025-32462). A stand-in becomes the other user; for that these tests must run as root. A toolchain that only
//!   root may read is shown to the other user at another place.
//!
//! What this machine cannot do is left out, and said: users without root, the order of files without FUSE, the host without
//! root and namespaces.

#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::namespaces;
use crate::support::project::{Project, copy};
use crate::support::tools::{require, stdout};

const SUDO: &str = "#!/bin/sh
user= group=
while :; do
  case \"$1\" in
    -h) shift 2;;
    -E) shift;;
    -u) user=$2; shift 2;;
    -g) group=$2; shift 2;;
    *) break;;
  esac
done
[ -z \"$user$group\" ] || exec setpriv --reuid \"${user:-root}\" --regid \"${group:-root}\" --clear-groups -- \"$@\"
exec \"$@\"
";

/// Directories that every user may write, and programs that every user may start.
struct Stage {
    dir: PathBuf,
    _keep: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let keep = tempfile::tempdir().unwrap();
        let dir = keep.path().canonicalize().unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        let stage = Self { dir, _keep: keep };
        for (name, mode) in [("toolchain", 0o755), ("cargo", 0o777), ("bin", 0o755), ("source", 0o755)] {
            fs::create_dir(stage.dir.join(name)).unwrap();
            fs::set_permissions(stage.dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/plugins/greeter"), &stage.dir.join("source"));
        // By another process: while this one writes a program, no thread of it may start that.
        stdout(Command::new("cp").arg(env!("CARGO_BIN_EXE_cargo-plugin-build")).arg(stage.dir.join("program")));
        stage.program("rustc", &format!("#!/bin/sh\nLD_PRELOAD= exec {}/toolchain/bin/rustc \"$@\"\n", stage.dir.display()));
        stage
    }

    fn program(&self, path: &str, script: &str) {
        fs::write(self.dir.join(path), script).unwrap();
        fs::set_permissions(self.dir.join(path), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Whether a file system of disorderfs can be mounted.
fn has_fuse() -> bool {
    let Some(disorderfs) = require("disorderfs") else { return false };
    let dirs = Project::new(&[("from/a", "")]);
    fs::create_dir(dirs.root.join("to")).unwrap();
    let mounted = Command::new(disorderfs).arg("-q").args([dirs.root.join("from"), dirs.root.join("to")]).output().unwrap();
    if !mounted.status.success() {
        eprintln!("without another order of files: no FUSE here: {}", String::from_utf8_lossy(&mounted.stderr));
        return false;
    }
    stdout(Command::new("fusermount").arg("-u").arg(dirs.root.join("to")));
    true
}

#[test]
fn reprotest_reports_reproducible() {
    let (Some(_), Some(_)) = (require("reprotest"), require("faketime")) else { return };
    let stage = Stage::new();
    let dir = stage.dir.display();
    let path = stdout(Command::new("sh").args(["-c", "printf %s \"$PATH\""]));
    let is_root = stdout(Command::new("id").arg("-u")).trim() == "0";
    let mut vary = vec!["+all"];
    if is_root {
        stage.program("bin/sudo", SUDO);
        vary.extend(["user_group.available+=nobody:nogroup", "domain_host.use_sudo=1"]);
    } else {
        eprintln!("without another user: these tests do not run as root");
        vary.push("-user_group");
        if !namespaces::are_there() {
            vary.push("-domain_host");
        }
    }
    if !has_fuse() {
        vary.push("-fileordering");
    }
    let build = format!(
        "RUSTC={dir}/rustc CARGO={dir}/toolchain/bin/cargo CARGO_HOME={dir}/cargo PATH={dir}/toolchain/bin:$PATH {dir}/program build -q -o image && \
         echo \"built by $(id -un) on $(hostname)\""
    );
    let sysroot = stdout(Command::new("rustc").args(["--print", "sysroot"]));
    let mut reprotest = Command::new("sh");
    // A mount that only this test sees.
    let show = if is_root { "mount --bind" } else { "rmdir \"$1\" && ln -s" };
    let script = format!("{show} \"$0\" \"$1\" && shift && exec \"$@\"");
    if is_root {
        reprotest = Command::new("unshare");
        reprotest.args(["--mount", "sh"]);
    }
    reprotest.args(["-c", &script, sysroot.trim()]).arg(stage.dir.join("toolchain"));
    reprotest.args(["env", &format!("PATH={dir}/bin:{path}"), "reprotest", "--no-diffoscope", "-v"]);
    reprotest.args(["--variations", &vary.join(","), "-c", &build, ".", "image/index.json image/blobs/sha256/*"]);
    // The other user cannot write to the developer's.
    let output = reprotest.env_remove("CARGO_TARGET_DIR").current_dir(stage.dir.join("source")).output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).join("\n");
    assert!(output.status.success(), "{text}");
    assert!(text.contains("Reproduction successful"), "{text}");
    assert_eq!(text.contains("on reprotest-capture-hostname"), !vary.contains(&"-domain_host"), "{text}");
    assert_eq!(text.contains("built by nobody on reprotest-capture-hostname"), is_root, "{text}");
}
