//! From a file to a handshake.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use super::bound::{self, patiently};
use super::watch::Watch;
use super::{Handshake, HostError, Launch, Stage, handshake};
use crate::hosts::cosmo::process::child::{Process, TICK};
use plugin_oci::progress::{Event, Progress};

/// Name and value of the cookie.
const COOKIE: &str = "GRPC_DATASOURCE_PLUGIN";

/// Starts the process in the router's way.
pub(super) fn spawn(launch: &Launch, sockets: &Path, progress: &dyn Progress) -> Result<Process, HostError> {
    let path = launch.program();
    check_executable(&path)?;
    check_inside(launch, &path)?;
    let mut command = bound::command(launch.starter.as_deref(), &path);
    command
        .current_dir(&launch.root)
        .env_clear()
        .env(COOKIE, COOKIE)
        .env("PLUGIN_MIN_PORT", "10000")
        .env("PLUGIN_MAX_PORT", "25000")
        .env("PLUGIN_PROTOCOL_VERSIONS", handshake::VERSION)
        .env("PLUGIN_UNIX_SOCKET_DIR", sockets)
        .env("startup_config", &launch.startup_config);
    progress.event(Event::Spawned { command: path.display().to_string() });
    patiently(|| Process::start(&mut command)).map_err(|source| not_started(path, source))
}

fn not_started(path: PathBuf, source: io::Error) -> HostError {
    match source.kind() {
        io::ErrorKind::NotFound => HostError::NoInterpreter { path },
        io::ErrorKind::PermissionDenied => HostError::NotExecutable { path },
        _ if is_exec_format(&source) => HostError::ExecFormat { path },
        _ => HostError::Spawn { path, source },
    }
}

fn is_exec_format(error: &io::Error) -> bool {
    #[cfg(unix)]
    let code = nix::errno::Errno::ENOEXEC as i32;
    #[cfg(not(unix))]
    let code = 193; // ERROR_BAD_EXE_FORMAT
    error.raw_os_error() == Some(code)
}

/// The router would start whatever the path leads to; an image that starts a program of the host's is none to try.
fn check_inside(launch: &Launch, path: &Path) -> Result<(), HostError> {
    let missing = |_| HostError::Missing { path: path.to_owned() };
    let found = path.canonicalize().map_err(missing)?;
    if found.starts_with(launch.root.canonicalize().map_err(missing)?) {
        return Ok(());
    }
    Err(HostError::Outside { entrypoint: launch.entrypoint.clone(), path: found })
}

fn check_executable(path: &Path) -> Result<(), HostError> {
    let Ok(found) = path.metadata() else { return Err(HostError::Missing { path: path.to_owned() }) };
    #[cfg(unix)]
    let executable = std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o111 != 0;
    #[cfg(not(unix))]
    let executable = true;
    if found.is_file() && executable { Ok(()) } else { Err(HostError::NotExecutable { path: path.to_owned() }) }
}

/// Waits for the first line.
pub(super) fn read_handshake(watch: &mut Watch<'_>, launch: &Launch) -> Result<Handshake, HostError> {
    let (limit, start) = (launch.timeout, Instant::now());
    loop {
        let line = watch.process.stdout.recv_timeout(TICK);
        watch.forward_logs();
        match line {
            Ok(line) => {
                let refused = bound::refusal(&line).map(|source| not_started(launch.program(), source));
                return refused.map_or_else(|| Handshake::parse(&line), Err);
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) if start.elapsed() < limit => {}
            Err(RecvTimeoutError::Timeout) => {
                return Err(HostError::Silent { limit, lines: watch.process.last_lines() });
            }
        }
    }
    // Stdout has ended: as a rule because the process has, which takes a moment to show.
    let ended = watch.process.wait(Duration::from_secs(1).min(limit));
    let lines = watch.process.last_lines();
    watch.forward_logs();
    Err(match ended {
        Some(status) if says_it_is_a_plugin(&lines) => HostError::Cookie { status, lines },
        Some(status) => HostError::Died { stage: Stage::Handshake, status, lines },
        None => HostError::Closed { lines },
    })
}

/// Whether the last words are those by which plugins send people away.
fn says_it_is_a_plugin(lines: &[String]) -> bool {
    let text = lines.join(" ").to_lowercase();
    text.contains("not meant to be executed directly")
        || text.contains("magic cookie")
        || (text.contains("this") && text.contains("is a") && text.contains("plugin"))
}
