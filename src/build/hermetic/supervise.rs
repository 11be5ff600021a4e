//! Waiting for a program: signals go on to it, and whatever else ends is reaped, as the first process of a pid namespace
//! must.

use std::io;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use super::protocol::{Failure, Step};

/// Catches signals from its making on: made before the program starts, it misses nothing.
pub struct Supervisor(Signals);

impl Supervisor {
    /// Starts catching.
    pub fn new() -> Result<Self, Failure> {
        Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD]).map(Self).map_err(Failure::of(Step::Process))
    }

    /// Waits until the program ends; its exit code, as a shell tells it.
    pub fn wait(mut self, pid: u32) -> Result<u8, Failure> {
        let bad = || Failure::of(Step::Process)(io::Error::from(io::ErrorKind::InvalidInput));
        let pid = Pid::from_raw(i32::try_from(pid).map_err(|_| bad())?);
        loop {
            if let Some(code) = reap(pid).map_err(Failure::of(Step::Process))? {
                return Ok(code);
            }
            for signal in self.0.wait() {
                if signal != SIGCHLD {
                    // The program may have ended meanwhile.
                    let _ = kill(pid, Signal::try_from(signal).unwrap_or(Signal::SIGTERM));
                }
            }
        }
    }
}

/// Reaps whatever has ended; the exit code if the program is among it.
fn reap(pid: Pid) -> Result<Option<u8>, Errno> {
    loop {
        let (ended, code) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(ended, code)) => (ended, code),
            Ok(WaitStatus::Signaled(ended, signal, _)) => (ended, 128 + signal as i32),
            Ok(WaitStatus::StillAlive) => return Ok(None),
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(error) => return Err(error),
        };
        if ended == pid {
            return Ok(Some(u8::try_from(code).unwrap_or(u8::MAX)));
        }
    }
}
