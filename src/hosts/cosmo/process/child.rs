//! The plugin's process: in a process group of its own, with both output streams read by threads.
//!
//! Whatever becomes of this program, no plugin is left: dropping kills the group, and an interrupt tells the plugin to
//! end (SIGTERM, what the router's death sends), waits as long as the router does for a stop, then kills. A SIGKILL of
//! this program is answered by the kernel, where it can be asked to ([`super::bound`]).
//!
//! The group is killed while its leader is dead but not yet reaped: until then its number belongs to no one else.

use std::collections::VecDeque;
use std::io::{self, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::GRACE;
use super::log::{printable, read_line};
use plugin_oci::interrupt::{self, Registration};

/// How often a running process is looked at.
pub(super) const TICK: Duration = Duration::from_millis(10);
/// How many of the last lines of stderr go into a report of a death.
const LAST_LINES: usize = 10;

/// A child process and its output.
pub(super) struct Process {
    child: Arc<Mutex<Watched>>,
    pub stdout: Receiver<String>,
    pub stderr: Receiver<String>,
    last: Arc<Mutex<VecDeque<String>>>,
    _cleanup: Registration,
}

impl Process {
    /// Starts the command with stdin empty and the rest piped.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        // Registered before there is a child, and the lock held until there is one: no interrupt comes between.
        let shared = Arc::new(Mutex::new(Watched { child: None, status: None }));
        let doomed = Arc::clone(&shared);
        let cleanup = interrupt::on_interrupt(move || terminate(&doomed));
        let mut watched = lock(&shared);
        let child = watched.child.insert(command.spawn()?);
        let last = Arc::new(Mutex::new(VecDeque::new()));
        let stdout = lines(child.stdout.take(), |_| {});
        let seen = Arc::clone(&last);
        let stderr = lines(child.stderr.take(), move |line| {
            let mut last = lock(&seen);
            if last.len() == LAST_LINES {
                last.pop_front();
            }
            last.push_back(printable(line, 400));
        });
        drop(watched);
        Ok(Self { child: shared, stdout, stderr, last, _cleanup: cleanup })
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        lock(&self.child).child.as_ref().map_or(0, Child::id)
    }

    /// How it ended, if it did.
    pub fn exited(&self) -> Option<ExitStatus> {
        lock(&self.child).poll()
    }

    /// Waits for the end.
    pub fn wait(&self, limit: Duration) -> Option<ExitStatus> {
        wait(limit, || self.exited())
    }

    /// Kills the whole group and reaps its leader.
    pub fn kill(&self) {
        lock(&self.child).kill();
    }

    /// The last lines of stderr, once the stream has ended or a moment has passed (a grandchild may hold it).
    pub fn last_lines(&self) -> Vec<String> {
        // The reading thread holds the other one.
        wait(Duration::from_millis(200), || (Arc::strong_count(&self.last) == 1).then_some(()));
        lock(&self.last).iter().cloned().collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// For an interrupt: the gentle way, then the other.
fn terminate(child: &Mutex<Watched>) {
    lock(child).terminate();
    wait(GRACE, || lock(child).poll());
    lock(child).kill();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait<T>(limit: Duration, mut done: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let found = done();
        if found.is_some() || start.elapsed() >= limit {
            return found;
        }
        thread::sleep(TICK);
    }
}

/// Reads lines in a thread, so that the process never blocks on a full pipe.
fn lines(stream: Option<impl Read + Send + 'static>, mut seen: impl FnMut(&str) + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    if let Some(stream) = stream {
        thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            while let Ok(Some(line)) = read_line(&mut reader) {
                seen(&line);
                // Nobody listens any more, but the stream must still be drained.
                drop(sender.send(line));
            }
        });
    }
    receiver
}

/// The child until it is reaped, then how it ended.
struct Watched {
    child: Option<Child>,
    status: Option<ExitStatus>,
}

impl Watched {
    fn poll(&mut self) -> Option<ExitStatus> {
        if self.has_exited() {
            self.kill();
        }
        self.status
    }

    /// Whether the leader is dead and not reaped.
    #[cfg(target_os = "linux")]
    fn has_exited(&mut self) -> bool {
        use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
        self.pid().is_some_and(|pid| !matches!(waitid(Id::Pid(pid), flags), Ok(WaitStatus::StillAlive)))
    }

    /// Elsewhere it cannot be seen without reaping it, and its group is left alone.
    #[cfg(not(target_os = "linux"))]
    fn has_exited(&mut self) -> bool {
        let status = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
        if status.is_some() {
            (self.status, self.child) = (status, None);
        }
        false
    }

    fn kill(&mut self) {
        #[cfg(unix)]
        if let Some(group) = self.pid() {
            // Fails only where no member is left.
            let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        }
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            self.status = child.wait().ok();
        }
    }

    fn terminate(&mut self) {
        #[cfg(unix)]
        if let Some(pid) = self.pid() {
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        }
    }

    #[cfg(unix)]
    fn pid(&self) -> Option<nix::unistd::Pid> {
        i32::try_from(self.child.as_ref()?.id()).ok().map(nix::unistd::Pid::from_raw)
    }
}
