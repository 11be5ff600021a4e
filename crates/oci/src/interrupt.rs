//! What must happen when the user interrupts, or a limit is over: remove temporary files, stop children.
//!
//! Whatever holds something that would outlive the process registers an action here and keeps the returned guard as long
//! as it holds it. The command line's signal thread calls [`run_all`] and exits. After a SIGKILL nothing runs: temporary
//! files carry a lock of their own and the next run sweeps the unlocked ones.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Error, Failure};

type Action = Box<dyn FnMut() + Send>;

static ACTIONS: Mutex<(u64, BTreeMap<u64, Action>)> = Mutex::new((0, BTreeMap::new()));

/// Withdraws its action when dropped.
#[derive(Debug)]
#[must_use = "the action is withdrawn when this is dropped"]
pub struct Registration(u64);

impl Drop for Registration {
    fn drop(&mut self) {
        let action = lock().1.remove(&self.0);
        drop(action);
    }
}

/// Registers an action for the case of an interrupt.
pub fn on_interrupt(action: impl FnMut() + Send + 'static) -> Registration {
    let Ok(((), registration)) = making(|| Ok::<_, std::convert::Infallible>(()), |()| action);
    registration
}

/// Makes something that would outlive the process, and registers what undoes it; no interrupt comes between the two.
/// `make` registers nothing itself.
pub fn making<T, E, A: FnMut() + Send + 'static>(
    make: impl FnOnce() -> Result<T, E>,
    undo: impl FnOnce(&T) -> A,
) -> Result<(T, Registration), E> {
    let mut actions = lock();
    let made = make()?;
    actions.0 += 1;
    let key = actions.0;
    let undo = undo(&made);
    actions.1.insert(key, Box::new(undo));
    Ok((made, Registration(key)))
}

/// Does something that no action may run beside; after an interrupt, never. It registers nothing itself.
pub fn undisturbed<T>(work: impl FnOnce() -> T) -> T {
    let _actions = lock();
    work()
}

/// Runs every registered action, the newest first, and keeps the registry locked for ever: the process is about to exit,
/// and nothing new may be created behind the clean-up's back.
pub fn run_all() {
    let mut actions = lock();
    for (_, action) in actions.1.iter_mut().rev() {
        action();
    }
    std::mem::forget(actions);
}

fn lock() -> MutexGuard<'static, (u64, BTreeMap<u64, Action>)> {
    ACTIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The children that lead a process group, and whether a limit is over: then none may live.
static CHILDREN: Mutex<(bool, BTreeMap<u64, u32>)> = Mutex::new((false, BTreeMap::new()));

/// How long a child has to end by itself.
const GRACE: Duration = Duration::from_secs(2);
/// How often a group is looked at meanwhile.
const TICK: Duration = Duration::from_millis(20);

/// A child that leads a process group, stopped with it on an interrupt and when a limit is over.
#[derive(Debug)]
pub struct Child {
    key: u64,
    _registration: Registration,
}

impl Child {
    /// Watches over a process group.
    pub fn watch(pid: u32) -> Self {
        let registration = on_interrupt(move || stop(pid));
        let mut children = children();
        children.1.insert(registration.0, pid);
        let is_over = children.0;
        drop(children);
        if is_over {
            stop(pid);
        }
        Self { key: registration.0, _registration: registration }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        children().1.remove(&self.key);
    }
}

fn children() -> MutexGuard<'static, (bool, BTreeMap<u64, u32>)> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks a process group to end, and after a while makes it.
fn stop(pid: u32) {
    let wait = || {
        let end = Instant::now() + GRACE;
        while is_alive(pid) && Instant::now() < end {
            thread::sleep(TICK);
        }
    };
    ask_to_stop(pid);
    wait();
    #[cfg(unix)]
    if signal(pid, Some(nix::sys::signal::Signal::SIGKILL)) {
        wait();
    }
}

/// Asks a process group to end.
pub fn ask_to_stop(pid: u32) {
    #[cfg(unix)]
    signal(pid, Some(nix::sys::signal::Signal::SIGTERM));
    #[cfg(not(unix))]
    let _ = pid;
}

/// Whether somebody of a process group is left. Elsewhere than on Unix the console's own Ctrl-C reaches children.
fn is_alive(pid: u32) -> bool {
    #[cfg(unix)]
    return signal(pid, None);
    #[cfg(not(unix))]
    return pid == 0;
}

/// Whether there was somebody to send it to.
#[cfg(unix)]
fn signal(pid: u32, signal: Option<nix::sys::signal::Signal>) -> bool {
    i32::try_from(pid).is_ok_and(|pid| nix::sys::signal::killpg(nix::unistd::Pid::from_raw(pid), signal).is_ok())
}

/// Lets a child lead a process group of its own.
pub fn own_group(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(not(unix))]
    let _ = command;
}

/// Something took longer than it was given.
#[derive(Debug, thiserror::Error)]
#[error("not done within {}, the limit of {name}: everything that was started has been stopped", humantime::format_duration(*limit))]
pub struct Overdue {
    /// The limit.
    pub limit: Duration,
    /// What set it.
    pub name: &'static str,
}

impl Failure for Overdue {}

/// Does something within a limit, which `name` set. When that is over, every child is stopped, so that what waits for one fails and cleans up; if
/// that takes too long in turn, the process ends as on an interrupt, with exit code 1.
pub fn within<T>(name: &'static str, limit: Option<Duration>, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let Some(limit) = limit else { return work() };
    let (done, waiting) = mpsc::channel::<()>();
    let watch = thread::spawn(move || {
        if waiting.recv_timeout(limit) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        children().0 = true;
        let doomed: Vec<u32> = children().1.values().copied().collect();
        doomed.into_iter().for_each(stop);
        if waiting.recv_timeout(GRACE * 5) == Err(RecvTimeoutError::Timeout) {
            run_all();
            eprintln!("error: {}", Overdue { limit, name });
            std::process::exit(1);
        }
    });
    let result = work();
    drop(done);
    drop(watch.join());
    let is_over = std::mem::take(&mut children().0);
    if is_over && result.is_err() { Err(Overdue { limit, name }.into()) } else { result }
}
