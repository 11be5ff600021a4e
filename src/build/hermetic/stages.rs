//! The processes of a hermetic build.
//!
//! ```text
//! this program -> launcher -> init, pid 1 of the sandbox -> cargo -> rustc, build scripts ..
//! ```
//!
//! `unshare` works on a process of one thread, and a new pid namespace begins with the next child, so that two processes
//! of ours stand before cargo; both are this program again, by a hidden verb.
//!
//! - Each dies with its parent (`PR_SET_PDEATHSIG`), and with init the kernel ends all that is left in the sandbox:
//!   nothing outlives this program, not even when it is killed.
//! - Both start with an empty environment, no open files but the three standard ones, and init in a session of its own,
//!   without the terminal: into that one could type.
//! - Init enters a user namespace of its own before it starts cargo, in which the caller has its own id again. Cargo so
//!   has no authority over the sandbox's mounts and interfaces, as root neither.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{close, getegid, geteuid, sethostname, setsid};

use super::calls;
use super::confine::confine;
use super::identity::Identity;
use super::mounts;
use super::protocol::{Channel, Failure, Message, Order, Program, Step};
use super::supervise::Supervisor;
use super::view::View;
use plugin_oci::fs::sorted_listing;

/// This program, whatever has become of its file.
const SELF: &str = "/proc/self/exe";

/// The hidden verb.
pub const VERB: &str = "hermetic-stage";

/// The part that a process plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Enters the namespaces.
    Launcher,
    /// The first process inside.
    Init,
}

impl Stage {
    /// The word on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Launcher => "launcher",
            Self::Init => "init",
        }
    }

    /// Plays the part; to be called by a process of one thread, before it opens anything.
    pub fn play(self) -> ExitCode {
        close_files();
        let Ok(mut parent) = Channel::of_stdin() else { return ExitCode::FAILURE };
        let done = match self {
            Self::Launcher => launcher(&mut parent),
            Self::Init => init(&mut parent),
        };
        match done {
            Ok(code) => ExitCode::from(code),
            Err(failure) => {
                // Without a listener nobody is left to tell.
                let _ = parent.send(&Message::Failed(failure));
                ExitCode::FAILURE
            }
        }
    }
}

/// Starts a sandbox with the program in it, or with nothing for a trial, and gives the landlock ABI in force. The
/// program's stdout and stderr are pipes: whoever has the caller's terminal could read what is typed there. To be called by a thread that lives as long as the build: the sandbox dies
/// with it.
pub fn start(view: &View, network: bool, program: Option<Program>) -> Result<(Child, u32), Failure> {
    let ids = (geteuid().as_raw(), getegid().as_raw());
    let (mut channel, theirs) = Channel::pair()?;
    let mut command = own(Stage::Launcher, theirs.into());
    // As cargo outside: a signal for the group is for the build.
    command.process_group(0);
    let stream = || if program.is_some() { Stdio::piped() } else { Stdio::null() };
    command.stdout(stream()).stderr(stream());
    let mut child = command.spawn().map_err(Failure::at(Step::Process, Path::new(SELF)))?;
    drop(command);
    let order = Order { ids, view: view.clone(), network, program };
    let outer = Identity { inside: (0, 0), outside: ids, all: ids.0 == 0 };
    let talk = || {
        channel.expect_ready()?;
        channel.send(&Message::Order(Box::new(order)))?;
        channel.map_ids(|| outer.map(child.id()))?;
        channel.expect_started()
    };
    match talk() {
        Ok(landlock_abi) => Ok((child, landlock_abi)),
        Err(failure) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(failure)
        }
    }
}

fn own(stage: Stage, stdin: Stdio) -> Command {
    let mut command = Command::new(SELF);
    command.args([VERB, stage.as_str()]).env_clear().current_dir("/").stdin(stdin);
    command
}

/// Dies with the parent. To be called again after each new user namespace: the kernel forgets it when capabilities are
/// gained.
fn die_with_parent() -> Result<(), Failure> {
    set_pdeathsig(Signal::SIGKILL).map_err(Failure::of(Step::Process))
}

fn launcher(parent: &mut Channel) -> Result<u8, Failure> {
    die_with_parent()?;
    parent.send(&Message::Ready)?;
    let order = parent.expect_order()?;
    let namespaces = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    let network = if order.network { CloneFlags::empty() } else { CloneFlags::CLONE_NEWNET };
    unshare(namespaces | network).map_err(Failure::of(Step::Unshare))?;
    die_with_parent()?;
    parent.ask_for_ids()?;

    let supervisor = Supervisor::new()?;
    let (mut channel, theirs) = Channel::pair()?;
    let child = own(Stage::Init, theirs.into()).spawn().map_err(Failure::at(Step::Process, Path::new(SELF)))?;
    let ids = order.ids;
    channel.expect_ready()?;
    channel.send(&Message::Order(Box::new(order)))?;
    let inner = Identity { inside: ids, outside: (0, 0), all: ids.0 == 0 };
    channel.map_ids(|| inner.map(child.id()))?;
    let landlock_abi = channel.expect_started()?;
    parent.send(&Message::Started { landlock_abi })?;
    supervisor.wait(child.id())
}

fn init(parent: &mut Channel) -> Result<u8, Failure> {
    die_with_parent()?;
    setsid().map_err(Failure::of(Step::Process))?;
    parent.send(&Message::Ready)?;
    let order = parent.expect_order()?;
    umask(Mode::from_bits_truncate(0o022));
    sethostname("localhost").map_err(Failure::of(Step::Mount))?;
    // Not shared with the launcher, which needs the `/proc` outside to map ids.
    unshare(CloneFlags::CLONE_NEWNS).map_err(Failure::of(Step::Unshare))?;
    mounts::put_up(&order.view)?;

    unshare(CloneFlags::CLONE_NEWUSER).map_err(Failure::of(Step::Nest))?;
    die_with_parent()?;
    parent.ask_for_ids()?;
    let landlock_abi = confine(&order.view, order.network)?;
    calls::restrict()?;
    let Some(program) = order.program else {
        parent.send(&Message::Started { landlock_abi })?;
        return Ok(0);
    };
    let supervisor = Supervisor::new()?;
    let mut command = Command::new(&program.file);
    command.args(&program.args).env_clear().envs(&program.env).current_dir(&program.cwd).stdin(Stdio::null());
    let child = command.spawn().map_err(Failure::at(Step::Start, &program.file))?;
    // The pipe to the caller is cargo's alone.
    parent.send(&Message::Started { landlock_abi })?;
    supervisor.wait(child.id())
}

/// Closes what a careless parent left open: a log, a socket, another build's pipe.
fn close_files() {
    for name in sorted_listing(Path::new("/proc/self/fd")).unwrap_or_default() {
        if let Some(number) = name.to_str().and_then(|name| name.parse::<i32>().ok()).filter(|number| *number > 2) {
            // The listing's own is closed already.
            let _ = close(number);
        }
    }
}
