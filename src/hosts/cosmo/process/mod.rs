//! Playing the Cosmo Router to a plugin: start, handshake, health, calls, stop.
//!
//! The router is a host of hashicorp/go-plugin, and what it does is done here in the same order:
//!
//! 1. It starts the program `(Entrypoint + Cmd)[0]`, joined to the directory that the image was unpacked to, with that
//!    directory as working directory and nothing in the environment but: the cookie
//!    `GRPC_DATASOURCE_PLUGIN=GRPC_DATASOURCE_PLUGIN`, by which a plugin knows that a host and no person started it;
//!    `PLUGIN_PROTOCOL_VERSIONS=1`; `PLUGIN_MIN_PORT=10000` and `PLUGIN_MAX_PORT=25000`; `PLUGIN_UNIX_SOCKET_DIR`, a short
//!    private directory for sockets; and `startup_config`, the router's settings as JSON. There are no arguments.
//! 2. Within a minute the plugin writes one line to stdout, before anything else: where it listens ([`Handshake`]).
//! 3. The host connects: gRPC over plaintext HTTP/2. The health of the service `plugin` must be SERVING.
//! 4. It calls unary methods of the plugin's service ([`Api`]).
//! 5. It calls `plugin.GRPCController/Shutdown`. The answer does not matter; a plugin that still runs two seconds later is
//!    killed.
//!
//! Stderr is the plugin's log ([`LogLine`]). What comes on stdout after the handshake is lost under the router, so it is
//! reported here.

mod api;
mod bound;
mod child;
mod error;
mod grpc;
mod handshake;
mod log;
mod session;
mod start;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use api::{Api, ApiError, Method};
#[cfg(target_os = "linux")]
pub use bound::become_plugin;
pub use bound::{VERB, starter};
pub use error::{HostError, Stage};
pub use handshake::{Address, Handshake};
pub use log::LogLine;
pub use session::Session;

/// How long the router waits for a handshake.
pub const START_TIMEOUT: Duration = Duration::from_mins(1);

/// How long the router waits for a plugin that it told to end, before it kills it.
pub const GRACE: Duration = Duration::from_secs(2);

/// What the router sends where nothing is configured: no tracing, and clients' addresses made unreadable.
pub const STARTUP_CONFIG: &str = r#"{"ip_anonymization":{"enabled":true,"method":"redact"}}"#;

/// What to start, and how.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The directory that the image was unpacked to, absolute.
    pub root: PathBuf,
    /// The entrypoint's first word: a path from the root.
    pub entrypoint: String,
    /// The value of `startup_config`.
    pub startup_config: String,
    /// How long each step may take: the handshake, health, a call.
    pub timeout: Duration,
    /// How long it may take to end after `Shutdown`.
    pub grace: Duration,
    /// Where the directory for sockets is made; its path must be short.
    pub scratch: PathBuf,
    /// This program, to start the plugin through, so that it dies with this process ([`starter`]); `None` starts it
    /// directly.
    pub starter: Option<PathBuf>,
}

impl Launch {
    /// The file of the plugin's program, spelled as the router does: without `.` in between.
    fn program(&self) -> PathBuf {
        self.root.join(self.entrypoint.trim_start_matches('/')).components().collect()
    }
}

/// What came out of a plugin besides answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Seen {
    /// Lines of the log, by level.
    pub logs: BTreeMap<&'static str, u64>,
    /// Lines on stdout after the handshake: the router drops them.
    pub stray: u64,
}

/// How a plugin ended when told to.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Stopped {
    /// Whether it ended by itself in time.
    pub graceful: bool,
    /// How it ended, in the system's words.
    pub status: String,
    /// Whether that is success.
    pub success: bool,
    /// How it answered `Shutdown`: `OK` or gRPC's name of the failure.
    #[serde(rename = "shutdown")]
    pub answer: String,
}
