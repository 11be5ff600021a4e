//! A plugin that dies with its host, as the router's do: when the process that started it ends, however it ends, the
//! kernel sends it SIGTERM.
//!
//! A process can ask for that only itself. So this program starts itself by a hidden verb ([`VERB`]), asks, and becomes
//! the plugin: the same process, with the environment, working directory, streams and group that it was started with,
//! and nothing of ours. What the system says when it cannot become the plugin goes over stdout, as the only line there.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::hosts::cosmo::process::child::TICK;

/// The hidden verb.
pub const VERB: &str = "plugin-process";

/// Begins the line that says why the system refused; its error number follows.
const REFUSED: &str = "cargo-plugin-build: not started: ";

/// This program, as what [`Launch::starter`](super::Launch::starter) wants; `None` where the system has no such signal.
pub fn starter() -> Option<PathBuf> {
    // Whatever has become of its file.
    let this = PathBuf::from("/proc/self/exe");
    (cfg!(target_os = "linux") && this.exists()).then_some(this)
}

/// The command that starts `program`, through `starter` where there is one.
pub(super) fn command(starter: Option<&Path>, program: &Path) -> Command {
    let Some(starter) = starter else { return Command::new(program) };
    let mut command = Command::new(starter);
    command.arg(VERB).arg(std::process::id().to_string()).arg(program);
    command
}

/// Why the program was not started, where a first line says so.
pub(super) fn refusal(line: &str) -> Option<io::Error> {
    line.strip_prefix(REFUSED)?.parse().ok().map(io::Error::from_raw_os_error)
}

/// Becomes the plugin, to die with `parent`; returns only where that cannot be, after saying why.
#[cfg(target_os = "linux")]
pub fn become_plugin(parent: u32, program: &Path) {
    use std::io::Write as _;
    let bound = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM).map_err(io::Error::from);
    // A parent that died before it could be asked for sends nothing.
    if u32::try_from(nix::unistd::getppid().as_raw()) != Ok(parent) {
        return;
    }
    if let Err(error) = bound.and_then(|()| patiently(|| exec(program))) {
        let number = error.raw_os_error().unwrap_or_default();
        // Without a reader nobody is left to tell.
        drop(writeln!(io::stdout(), "{REFUSED}{number}"));
    }
}

/// Replaces this process. Not by `Command`, which would have a shell try what the kernel does not know.
#[cfg(target_os = "linux")]
fn exec(program: &Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt as _;
    // Rust's runtime ignores SIGPIPE, and what is ignored stays so; what is caught becomes the default again.
    signal_hook::flag::register(signal_hook::consts::SIGPIPE, std::sync::Arc::default())?;
    let name = std::ffi::CString::new(program.as_os_str().as_bytes())?;
    match nix::unistd::execv(&name, &[&name])? {}
}

/// Tries to start a file. One that was just written counts as busy while a child that some other thread has just forked
/// still holds a copy of the writing handle: that passes.
pub(super) fn patiently<T>(mut start: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..100 {
        match start() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => std::thread::sleep(TICK),
            started => return started,
        }
    }
    start()
}
