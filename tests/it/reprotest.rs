//! Debian's `reprotest` builds a plugin twice and varies between the two whatever it knows: environment, path, kernel,
//! address layout, processors, clock, user, order of files, host, home, locale, programs, time zone and umask.
//!
//! Three of its variations need help:
//! - order of files: the other user mounts disorderfs, and `/dev/fuse` may be root's alone. Root makes a node of its own and
//!   shows it to this test only.
//! - clock: `faketime` and rustc's allocator wait for each other at the start. rustc goes without; cargo, build scripts
//!   and our program get the other time.
//! - user and host: reprotest calls `sudo -h localhost`, which sudo refuses since it lists privileges of other hosts only
//!   (CVE-2025-32462). A stand-in becomes the other user; for that these tests must run as root. A toolchain that only
//!   root may read is shown to the other user at another place.
//!
//! What this machine cannot do is left out, and counted as skipped: users without root, the order of files without FUSE, the
//! host without root and namespaces.

#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::namespaces;
use crate::support::project::copy;
use crate::support::tools::{require, skip, stdout};

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
        // Whatever the umask.
        stdout(Command::new("chmod").args(["-R", "a+rX"]).arg(&stage.dir));
        stage
    }

    fn program(&self, path: &str, script: &str) {
        fs::write(self.dir.join(path), script).unwrap();
        fs::set_permissions(self.dir.join(path), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// A command in which the stage has the toolchain, and root a node of FUSE that everybody may open: by mounts that only it
/// sees.
fn on_stage(stage: &Stage, is_root: bool) -> Command {
    let dir = stage.dir.display();
    let sysroot = stdout(Command::new("rustc").args(["--print", "sysroot"]));
    let node = format!("{dir}/fuse");
    let fuse = format!("{{ [ -e {node} ] || mknod -m 0666 {node} c 10 229; }} && mount --bind {node} /dev/fuse || :");
    let show = if is_root {
        format!("{fuse}; mount --bind \"$0\" \"$1\"")
    } else {
        "{ [ -e \"$1/bin\" ] || { rmdir \"$1\" && ln -s \"$0\" \"$1\"; }; }".to_owned()
    };
    let mut command = Command::new(if is_root { "unshare" } else { "sh" });
    command.args(if is_root { &["--mount", "sh", "-c"][..] } else { &["-c"] });
    command.arg(format!("{show} && shift && exec \"$@\"")).arg(sysroot.trim()).arg(stage.dir.join("toolchain"));
    command
}

/// Whether disorderfs can be mounted as reprotest will: on the stage, by the other user where there is one.
fn has_fuse(stage: &Stage, is_root: bool) -> bool {
    let Some(disorderfs) = require("disorderfs") else { return false };
    for name in ["from", "to"] {
        fs::create_dir(stage.dir.join(name)).unwrap();
        fs::set_permissions(stage.dir.join(name), fs::Permissions::from_mode(0o777)).unwrap();
    }
    if is_root {
        stdout(Command::new("chown").args(["nobody:nogroup"]).args(["from", "to"].map(|name| stage.dir.join(name))));
    }
    let mut trial = on_stage(stage, is_root);
    if is_root {
        trial.args(["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]);
    }
    let script = "\"$0\" -q \"$1\" \"$2\" && fusermount -u \"$2\"";
    trial.args(["sh", "-c", script]).arg(disorderfs).args(["from", "to"].map(|name| stage.dir.join(name)));
    let mounted = trial.output().unwrap();
    if !mounted.status.success() {
        skip(&format!("without another order of files, no FUSE here: {}", String::from_utf8_lossy(&mounted.stderr)));
    }
    mounted.status.success()
}

#[test]
#[ignore = "needs reprotest"]
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
        skip("without another user: these tests do not run as root");
        vary.push("-user_group");
        if !namespaces::are_there() {
            vary.push("-domain_host");
        }
    }
    if !has_fuse(&stage, is_root) {
        vary.push("-fileordering");
    }
    let build = format!(
        "RUSTC={dir}/rustc CARGO={dir}/toolchain/bin/cargo CARGO_HOME={dir}/cargo PATH={dir}/toolchain/bin:$PATH {dir}/program build -q -o image && \
         echo \"built by $(id -un) on $(hostname)\""
    );
    let mut reprotest = on_stage(&stage, is_root);
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
