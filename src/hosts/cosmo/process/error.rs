//! What can go wrong between a host and its plugin, each with the likely cause.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use plugin_oci::failure::Failure;
use plugin_oci::fs::FileError;

/// How far the conversation had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The process runs, and nothing was said yet.
    Handshake,
    /// The address is known.
    Connection,
    /// Health was asked for.
    Health,
    /// A method was called.
    Call,
    /// It was left running.
    Running,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Handshake => "before its handshake",
            Self::Connection => "while the host connected",
            Self::Health => "while it was asked for its health",
            Self::Call => "while it was called",
            Self::Running => "while it was left running",
        })
    }
}

/// Why a plugin does not work under its host.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The directory for sockets could not be made.
    #[error("{0}")]
    File(#[from] FileError),
    /// The system has no room for an event loop.
    #[error("failed to set up an event loop")]
    Runtime(#[source] std::io::Error),
    /// The program is not there.
    #[error("the entrypoint `{}` does not exist", path.display())]
    Missing { path: PathBuf },
    /// The program is one of this machine's.
    #[error("the entrypoint `{entrypoint}` leads out of the image, to `{}`", path.display())]
    Outside { entrypoint: String, path: PathBuf },
    /// The program's file may not be executed.
    #[error("the entrypoint `{}` is not an executable file", path.display())]
    NotExecutable { path: PathBuf },
    /// The file is there, but what it needs to start is not.
    #[error("the entrypoint `{}` cannot start: its interpreter or dynamic loader does not exist here", path.display())]
    NoInterpreter { path: PathBuf },
    /// The file is no program of this machine.
    #[error("the entrypoint `{}` is not a program that this machine can execute", path.display())]
    ExecFormat { path: PathBuf },
    /// The system refused to start it.
    #[error("failed to start `{}`", path.display())]
    Spawn { path: PathBuf, source: std::io::Error },
    /// It ended, saying that it is a plugin: it did not recognise the host.
    #[error("the plugin did not recognise its host and ended with {status}{}", last(lines))]
    Cookie {
        status: ExitStatus,
        /// The last lines of stderr.
        lines: Vec<String>,
    },
    /// It ended by itself.
    #[error("the plugin ended with {status} {stage}{}", last(lines))]
    Died {
        stage: Stage,
        status: ExitStatus,
        /// The last lines of stderr.
        lines: Vec<String>,
    },
    /// No line on stdout in time.
    #[error("the plugin wrote no handshake to stdout within {}{}", humantime::format_duration(*limit), last(lines))]
    Silent {
        /// How long it was waited for.
        limit: Duration,
        /// The last lines of stderr.
        lines: Vec<String>,
    },
    /// It closed stdout and runs on.
    #[error("the plugin closed stdout without a handshake{}", last(lines))]
    Closed {
        /// The last lines of stderr.
        lines: Vec<String>,
    },
    /// The first line is something else.
    #[error("the plugin's first line on stdout is no handshake: `{line}`")]
    Garbage { line: String },
    /// Another go-plugin.
    #[error("the plugin's handshake has core version {found}, the host's is 1")]
    CoreVersion { found: String },
    /// Another version of the router's plugin protocol.
    #[error("the plugin speaks version {found} of the plugin protocol, the host offers 1")]
    AppVersion { found: String },
    /// An unknown network.
    #[error("the plugin listens on network `{found}`, the host knows unix and tcp")]
    Network { found: String },
    /// Not gRPC.
    #[error("the plugin speaks `{found}`, the host only gRPC")]
    Protocol { found: String },
    #[error("the plugin's handshake has a certificate, and the host speaks no TLS")]
    Tls,
    /// Nobody listens at the address.
    #[error("nobody listens at {address}, where the plugin said it does")]
    DeadSocket { address: String, source: std::io::Error },
    /// Somebody listens, but it is no gRPC server.
    #[error("what listens at {address} does not speak HTTP/2: {reason}")]
    NotHttp { address: String, reason: String },
    /// No answer in time.
    #[error("the plugin did not answer within {} {stage}", humantime::format_duration(*limit))]
    Timeout {
        stage: Stage,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The health service is missing or broken.
    #[error("the plugin does not tell its health: {reason}")]
    NoHealth {
        reason: String,
        /// Whether the method is unknown to the plugin.
        missing: bool,
    },
    /// It says it is not ready.
    #[error("the plugin's health is {status}, not SERVING")]
    NotServing { status: &'static str },
    /// A method failed.
    #[error("{method} failed with {code}: {message}")]
    CallFailed {
        method: String,
        /// gRPC's name of the status.
        code: String,
        message: String,
    },
}

fn last(lines: &[String]) -> String {
    if lines.is_empty() {
        return "; it wrote nothing to stderr".to_owned();
    }
    format!("; the end of its stderr:\n    {}", lines.join("\n    "))
}

impl Failure for HostError {}
