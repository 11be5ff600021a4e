//! The conversation with the router, which starts this program as a go-plugin over gRPC.
//!
//! In order: the router sets a cookie and its wishes in the environment; we listen, and say where in the first line of
//! stdout; it asks for our health, then calls the service; at last it calls `Shutdown`, and we exit with 0. Nothing
//! else may be written to stdout. Logs go to stderr, one JSON object a line, as its logger expects them.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fmt::Display,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    panic,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Deserialize;
use tokio::{net::TcpListener, sync::watch, time};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Response, Status,
    service::Routes,
    transport::{Server, server::Router},
};
use tonic_health::{ServingStatus, server::health_reporter};

use crate::controller::{
    Empty,
    grpc_controller_server::{GrpcController, GrpcControllerServer},
};

/// The largest message to accept, in bytes: as much as the router accepts from us. tonic's default is 4 MiB.
pub const MAX_MESSAGE_SIZE: usize = i32::MAX as usize;

/// Name and value of the environment variable by which the router identifies itself.
const COOKIE: &str = "GRPC_DATASOURCE_PLUGIN";
/// The version of the router's plugin protocol, and that of go-plugin's handshake line.
const PROTOCOL_VERSION: u32 = 1;
/// The name under which go-plugin asks for health.
const HEALTH_SERVICE: &str = "plugin";
/// How long calls in flight, and the connections they came by, may take to end. The router kills us after two seconds.
const GRACE: Duration = Duration::from_millis(1500);

/// What the router told us, and where we live.
#[derive(Debug, Clone)]
pub struct Host {
    /// The plugin's root directory: assets are found below it, wherever the working directory is.
    pub root: PathBuf,
    /// The router's settings for its plugins.
    pub startup: StartupConfig,
}

/// The variable `startup_config`; every part of it may be missing.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct StartupConfig {
    /// Where traces go. Absent: tracing is off.
    pub telemetry: Option<Telemetry>,
    /// What to do with the IP addresses of clients.
    pub ip_anonymization: Option<IpAnonymization>,
}

/// The router's telemetry settings.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Telemetry {
    /// Absent: tracing is off.
    pub tracing: Option<Tracing>,
}

/// How spans are sampled, linked and exported.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Tracing {
    /// Each receives every sampled span.
    pub exporters: Vec<Exporter>,
    /// Header formats: `tracecontext`, `b3`, `jaeger`, `baggage`, `datadog`.
    pub propagators: Vec<String>,
    /// The share of traces to keep, from 0 to 1.
    pub sampler: f64,
}

/// One OpenTelemetry receiver.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Exporter {
    /// Its URL.
    pub endpoint: String,
    /// `http` or `grpc`.
    pub exporter: String,
    /// How long spans are collected, in nanoseconds.
    pub batch_timeout: i64,
    /// How long one export may take, in nanoseconds.
    pub export_timeout: i64,
    /// Sent with every export.
    pub headers: BTreeMap<String, String>,
    /// Below the URL, for `http`.
    pub http_path: String,
}

/// How the IP addresses of clients are hidden.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct IpAnonymization {
    /// Whether at all.
    pub enabled: bool,
    /// `redact` or `hash`.
    pub method: String,
}

/// Runs the plugin to its end; `build` makes the service once the router is known.
pub fn run(build: impl FnOnce(&Host) -> Result<Routes, Box<dyn Error>>) -> ExitCode {
    if env::var(COOKIE).as_deref() != Ok(COOKIE) {
        eprintln!(
            "This program is a Cosmo Router plugin. The router starts it, from a directory below its `plugins.path` \
             or from an image; by itself it is of no use."
        );
        return ExitCode::FAILURE;
    }
    panic::set_hook(Box::new(|info| log(Level::Error, &info.to_string(), &[])));

    match prepare(build).and_then(|(routes, wishes)| serve(routes, &wishes)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log(Level::Error, "plugin failed", &[("error", &error)]);
            ExitCode::FAILURE
        }
    }
}

/// Everything that can fail before we listen.
fn prepare(
    build: impl FnOnce(&Host) -> Result<Routes, Box<dyn Error>>,
) -> Result<(Routes, Wishes), Box<dyn Error>> {
    let wishes = Wishes::from_environment()?;
    let startup = match env::var("startup_config") {
        Ok(json) if !json.is_empty() => {
            serde_json::from_str(&json).map_err(|error| format!("startup_config: {error}"))?
        }
        _ => StartupConfig::default(),
    };
    let host = Host {
        root: root()?,
        startup,
    };
    Ok((build(&host)?, wishes))
}

/// How the router wants to reach us.
#[derive(Debug)]
struct Wishes {
    #[cfg(unix)]
    socket_dir: PathBuf,
    ports: (u16, u16),
}

impl Wishes {
    fn from_environment() -> Result<Self, Box<dyn Error>> {
        let versions = env::var("PLUGIN_PROTOCOL_VERSIONS").unwrap_or_default();
        if !offers_our_version(&versions) {
            return Err(format!(
                "the host speaks plugin protocol {versions}, this plugin {PROTOCOL_VERSION}"
            )
            .into());
        }
        if env::var_os("PLUGIN_CLIENT_CERT").is_some() {
            return Err("the host demands mutual TLS, which this plugin does not speak".into());
        }
        let port = |key: &str, default: u16| match env::var(key) {
            Ok(text) => text
                .parse()
                .map_err(|error| format!("{key}={text}: {error}")),
            Err(_) => Ok(default),
        };
        Ok(Self {
            #[cfg(unix)]
            socket_dir: env::var_os("PLUGIN_UNIX_SOCKET_DIR")
                .filter(|path| !path.is_empty())
                .map_or_else(env::temp_dir, PathBuf::from),
            ports: (
                port("PLUGIN_MIN_PORT", 10_000)?,
                port("PLUGIN_MAX_PORT", 25_000)?,
            ),
        })
    }
}

/// Whether a comma-separated list of versions, empty for hosts that have but one, holds ours.
fn offers_our_version(versions: &str) -> bool {
    versions.is_empty()
        || versions
            .split(',')
            .any(|version| version.trim().parse() == Ok(PROTOCOL_VERSION))
}

/// The directory that was packed: above `bin/` in an image; the package when cargo runs us; else beside the program.
fn root() -> Result<PathBuf, Box<dyn Error>> {
    let program = env::current_exe()?;
    let directory = program
        .parent()
        .ok_or("this program lies in no directory")?;
    if directory.ends_with("bin") {
        return Ok(directory.parent().unwrap_or(Path::new("/")).to_owned());
    }
    Ok(env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| directory.to_owned(), PathBuf::from))
}

/// Listens, announces the address, and serves until the router asks us to stop.
#[tokio::main]
async fn serve(routes: Routes, wishes: &Wishes) -> Result<(), Box<dyn Error>> {
    let (stop, stopping) = watch::channel(false);
    let (reporter, health) = health_reporter();
    reporter
        .set_service_status(HEALTH_SERVICE, ServingStatus::Serving)
        .await;
    let controller = GrpcControllerServer::new(Controller { stop: stop.clone() });
    let server = Server::builder()
        .add_routes(routes)
        .add_service(health)
        .add_service(controller);
    tokio::spawn(stop_on_signal(stop));

    #[cfg(unix)]
    match Socket::bind(&wishes.socket_dir) {
        Ok((socket, listener)) => {
            announce("unix", &socket.path.display())?;
            let incoming = tokio_stream::wrappers::UnixListenerStream::new(listener);
            let drained = server.serve_with_incoming_shutdown(incoming, stopped(stopping.clone()));
            return bounded(drained, stopping).await;
        }
        // A read-only file system has no place for a socket; the router takes TCP as well.
        Err(error) => log(
            Level::Warn,
            "no unix socket, listening on TCP",
            &[
                ("directory", &wishes.socket_dir.display()),
                ("error", &error),
            ],
        ),
    }
    serve_tcp(server, wishes.ports, stopping).await
}

/// Serves on the first free port of the loopback device.
async fn serve_tcp(
    server: Router,
    (low, high): (u16, u16),
    stopping: watch::Receiver<bool>,
) -> Result<(), Box<dyn Error>> {
    for port in low..=high {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let Ok(listener) = TcpListener::bind(address).await else {
            continue;
        };
        announce("tcp", &address)?;
        let incoming = TcpListenerStream::new(listener);
        let drained = server.serve_with_incoming_shutdown(incoming, stopped(stopping.clone()));
        return bounded(drained, stopping).await;
    }
    Err(format!("no free port from {low} to {high}").into())
}

/// Writes the handshake line: go-plugin's version, ours, where we listen, and that we speak gRPC.
fn announce(network: &str, address: &dyn Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "1|{PROTOCOL_VERSION}|{network}|{address}|grpc")?;
    stdout.flush()
}

/// Waits for the server to drain, but after a stop no longer than the router would.
async fn bounded(
    drained: impl Future<Output = Result<(), tonic::transport::Error>>,
    stopping: watch::Receiver<bool>,
) -> Result<(), Box<dyn Error>> {
    let overdue = async {
        stopped(stopping).await;
        time::sleep(GRACE).await;
    };
    tokio::select! {
        result = drained => result.map_err(Into::into),
        () = overdue => {
            log(Level::Warn, "connections were still open at shutdown", &[]);
            Ok(())
        }
    }
}

/// Returns once a stop was asked for.
async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error means that every sender is gone, which asks for the same.
    let _ = stopping.wait_for(|&stop| stop).await;
}

/// Takes SIGTERM as `Shutdown`: on Linux the router has it sent to us when it dies. A Ctrl-C is for the router alone,
/// which then stops us in its own order.
async fn stop_on_signal(stop: watch::Sender<bool>) {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut terminate), Ok(mut interrupt)) = (
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
        ) else {
            return stop.closed().await;
        };
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => break,
            }
        }
        stop.send_replace(true);
    }
    stop.closed().await;
}

/// The host's control service.
#[derive(Debug)]
struct Controller {
    stop: watch::Sender<bool>,
}

#[tonic::async_trait]
impl GrpcController for Controller {
    async fn shutdown(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        self.stop.send_replace(true);
        Ok(Response::new(Empty {}))
    }
}

/// A bound socket's file, removed when dropped.
#[cfg(unix)]
#[derive(Debug)]
struct Socket {
    path: PathBuf,
}

#[cfg(unix)]
impl Socket {
    /// Binds a fresh name in `directory`, for this user only. Names are short: a socket's path has about 100 bytes.
    fn bind(directory: &Path) -> io::Result<(Self, tokio::net::UnixListener)> {
        use std::{fs, os::unix::fs::PermissionsExt};
        let process = std::process::id();
        for attempt in 0..100_u32 {
            let path = directory.join(format!("plugin-{process}-{attempt}"));
            match tokio::net::UnixListener::bind(&path) {
                Ok(listener) => {
                    let socket = Self { path };
                    fs::set_permissions(&socket.path, fs::Permissions::from_mode(0o600))?;
                    return Ok((socket, listener));
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }
}

#[cfg(unix)]
impl Drop for Socket {
    fn drop(&mut self) {
        // The router removes what is left of its own directory.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// How loud a log line is. The router shows those at or above its own level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// Writes one line to the router's log. Never fails: there is no one left to tell.
pub fn log(level: Level, message: &str, fields: &[(&str, &dyn Display)]) {
    let mut line = entry(level, message, fields, SystemTime::now());
    line.push('\n');
    // One write for the whole line, so that lines of several threads do not mix.
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

/// One object as hclog reads it: the keys with `@` are its own, and must be strings.
fn entry(level: Level, message: &str, fields: &[(&str, &dyn Display)], now: SystemTime) -> String {
    let level = match level {
        Level::Trace => "trace",
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    let mut object: BTreeMap<&str, String> = fields
        .iter()
        .map(|&(key, value)| (key, value.to_string()))
        .collect();
    object.insert("@level", level.to_owned());
    object.insert("@message", message.to_owned());
    object.insert("@timestamp", timestamp(now));
    serde_json::to_string(&object).unwrap_or_default()
}

/// UTC with microseconds, as in `2024-02-29T12:00:00.000000Z`.
fn timestamp(now: SystemTime) -> String {
    let elapsed = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, micros) = (elapsed.as_secs(), elapsed.subsec_micros());
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    // Years are counted from March, so that a leap day is the last of its year; 400 years have 146097 days.
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = era * 400 + year_of_era + carry;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_is_one_object_with_string_level_and_message() {
        let now = UNIX_EPOCH + Duration::from_micros(1_709_208_000_000_001);
        let line = entry(Level::Warn, "two\nlines", &[("count", &3)], now);
        assert_eq!(
            line,
            r#"{"@level":"warn","@message":"two\nlines","@timestamp":"2024-02-29T12:00:00.000001Z","count":"3"}"#
        );
    }

    #[test]
    fn timestamps_are_right_around_leap_days_and_centuries() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, "2000-02-28T23:59:59.000000Z"),
            (951_868_799, "2000-02-29T23:59:59.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000000Z"),
        ] {
            assert_eq!(
                timestamp(UNIX_EPOCH + Duration::from_secs(seconds)),
                expected
            );
        }
    }

    #[test]
    fn the_protocol_version_must_be_among_those_offered() {
        assert!(offers_our_version(""));
        assert!(offers_our_version("1"));
        assert!(offers_our_version("2, 1"));
        assert!(!offers_our_version("2,11"));
    }

    #[test]
    fn startup_config_is_read_whole_and_in_parts() {
        let json = r#"{
            "telemetry": {"tracing": {"exporters": [{"endpoint": "http://collector:4318", "exporter": "http",
                "batch_timeout": 10000000000, "headers": {"a": "b"}}], "propagators": ["b3"], "sampler": 0.5}},
            "ip_anonymization": {"enabled": true, "method": "redact"},
            "added_later": 1
        }"#;
        let config: StartupConfig = serde_json::from_str(json).unwrap();
        let tracing = config.telemetry.unwrap().tracing.unwrap();
        assert_eq!(tracing.propagators, ["b3"]);
        assert_eq!(tracing.exporters[0].batch_timeout, 10_000_000_000);
        assert!(config.ip_anonymization.unwrap().enabled);
        assert_eq!(
            serde_json::from_str::<StartupConfig>("{}").unwrap(),
            StartupConfig::default()
        );
    }
}
