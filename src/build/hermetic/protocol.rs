//! What the processes of a hermetic build tell each other, as JSON lines over a socket that each has as its stdin.
//!
//! | from | to | message |
//! |---|---|---|
//! | child | parent | [`Message::Ready`]: its death is now bound to the parent's |
//! | parent | child | [`Message::Order`]: what to do |
//! | child | parent | [`Message::Unshared`]: it is in a new user namespace and wants its ids mapped |
//! | parent | child | [`Message::Mapped`] |
//! | child | parent | [`Message::Started`]: the build runs; or [`Message::Failed`] at any time |

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::view::View;

#[derive(Debug, Serialize, Deserialize)]
pub enum Message {
    /// The sender dies with the receiver.
    Ready,
    /// What to do.
    Order(Box<Order>),
    /// The sender is in a new user namespace without ids.
    Unshared,
    /// The receiver has its ids.
    Mapped,
    /// The program runs.
    Started {
        /// The landlock ABI in force.
        landlock_abi: u32,
    },
    /// It will not run.
    Failed(Failure),
}

/// What to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// The caller's user and group.
    pub ids: (u32, u32),
    /// The file system.
    pub view: View,
    /// Whether the caller's network stays.
    pub network: bool,
    /// What to run; nothing for a trial.
    pub program: Option<Program>,
}

/// A program to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Program {
    /// The file, absolute.
    pub file: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment, all of it.
    pub env: BTreeMap<String, String>,
    /// Its working directory.
    pub cwd: PathBuf,
}

/// A step on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Starting our own processes and talking to them.
    Process,
    /// Entering new namespaces.
    Unshare,
    /// Mapping ids into them.
    Map,
    /// Putting up the file system.
    Mount,
    /// Mounting `/proc`.
    Proc,
    /// Entering the user namespace inside.
    Nest,
    /// Leaving the caller's session keyring.
    Keyring,
    /// Applying landlock.
    Landlock,
    /// Restricting system calls.
    Calls,
    /// Starting the program.
    Start,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Process => "starting the sandbox",
            Self::Unshare => "entering new namespaces",
            Self::Map => "mapping user and group ids",
            Self::Mount => "mounting",
            Self::Proc => "mounting /proc",
            Self::Nest => "entering the inner user namespace",
            Self::Keyring => "leaving the session keyring",
            Self::Landlock => "applying landlock",
            Self::Calls => "restricting system calls",
            Self::Start => "starting the program",
        })
    }
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub step: Step,
    /// What it was about.
    pub path: Option<PathBuf>,
    /// The system's number.
    pub errno: Option<i32>,
    /// The system's words.
    pub detail: String,
}

impl Failure {
    /// For `map_err`.
    pub fn of<E: Into<io::Error>>(step: Step) -> impl FnOnce(E) -> Self {
        move |error| {
            let error = error.into();
            Self { step, path: None, errno: error.raw_os_error(), detail: error.to_string() }
        }
    }

    /// For `map_err`, with the path.
    pub fn at<E: Into<io::Error>>(step: Step, path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |error| Self { path: Some(path), ..Self::of(step)(error) }
    }

    /// Whether the system says "you may not".
    pub fn is_denied(&self) -> bool {
        self.errno.is_some_and(|errno| [Errno::EPERM, Errno::EACCES].contains(&Errno::from_raw(errno)))
    }

    /// Whether the system says "no more of these".
    pub fn is_exhausted(&self) -> bool {
        self.errno.is_some_and(|errno| [Errno::ENOSPC, Errno::EUSERS].contains(&Errno::from_raw(errno)))
    }
}

/// One end of a socket.
#[derive(Debug)]
pub struct Channel {
    reader: BufReader<UnixStream>,
}

impl Channel {
    /// An end for us, and one for the child's stdin.
    pub fn pair() -> Result<(Self, OwnedFd), Failure> {
        let (ours, theirs) = UnixStream::pair().map_err(Failure::of(Step::Process))?;
        Ok((Self { reader: BufReader::new(ours) }, theirs.into()))
    }

    /// The end that is our stdin.
    pub fn of_stdin() -> Result<Self, Failure> {
        let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(Failure::of(Step::Process))?;
        Ok(Self { reader: BufReader::new(UnixStream::from(stdin)) })
    }

    pub fn send(&mut self, message: &Message) -> Result<(), Failure> {
        let line = serde_json::to_string(message).map_err(Failure::of(Step::Process))? + "\n";
        self.reader.get_mut().write_all(line.as_bytes()).map_err(Failure::of(Step::Process))
    }

    /// Waits for a message. [`Message::Failed`] and the end of the other side are failures.
    pub fn receive(&mut self) -> Result<Message, Failure> {
        let ended = || io::Error::new(io::ErrorKind::UnexpectedEof, "the sandbox's process ended early");
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => Err(Failure::of(Step::Process)(ended())),
            Ok(_) => match serde_json::from_str(&line).map_err(Failure::of(Step::Process))? {
                Message::Failed(failure) => Err(failure),
                message => Ok(message),
            },
            Err(error) => Err(Failure::of(Step::Process)(error)),
        }
    }

    /// Waits for what must come next.
    pub fn expect<T>(&mut self, pick: impl FnOnce(Message) -> Option<T>) -> Result<T, Failure> {
        let odd = || io::Error::new(io::ErrorKind::InvalidData, "the sandbox's process says something unexpected");
        pick(self.receive()?).ok_or_else(|| Failure::of(Step::Process)(odd()))
    }

    /// Waits for [`Message::Ready`].
    pub fn expect_ready(&mut self) -> Result<(), Failure> {
        self.expect(|message| matches!(message, Message::Ready).then_some(()))
    }

    /// Waits for [`Message::Order`].
    pub fn expect_order(&mut self) -> Result<Order, Failure> {
        self.expect(|message| if let Message::Order(order) = message { Some(*order) } else { None })
    }

    /// Says [`Message::Unshared`] and waits for [`Message::Mapped`].
    pub fn ask_for_ids(&mut self) -> Result<(), Failure> {
        self.send(&Message::Unshared)?;
        self.expect(|message| matches!(message, Message::Mapped).then_some(()))
    }

    /// Waits for [`Message::Unshared`], maps the ids of `pid`, and says so.
    pub fn map_ids(&mut self, map: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        self.expect(|message| matches!(message, Message::Unshared).then_some(()))?;
        map()?;
        self.send(&Message::Mapped)
    }

    /// Waits for [`Message::Started`]: the landlock ABI.
    pub fn expect_started(&mut self) -> Result<u32, Failure> {
        self.expect(|message| if let Message::Started { landlock_abi } = message { Some(landlock_abi) } else { None })
    }
}
