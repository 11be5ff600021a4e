//! The conversation with the router, which starts this program as a go-plugin over gRPC.
//!
//! In order: the router sets a cookie and its wishes in the environment; we listen, and say where in the first line of
//! stdout; it asks for our health, then calls the service; at last it calls `Shutdown`, and we exit with 0. Nothing
//! else may be written to stdout. Logs go to stderr, one JSON object a line, as its logger expects them.

mod calls;
mod log;
mod panics;
#[cfg(unix)]
mod socket;
pub mod startup;
#[cfg(feature = "telemetry")]
pub(crate) mod telemetry;
#[cfg(not(feature = "telemetry"))]
#[path = "untraced.rs"]
pub(crate) mod telemetry;
#[cfg(test)]
pub(crate) mod testing;

pub use log::{Level, log};
pub use startup::{Host, StartupConfig};

use std::{
    env,
    error::Error,
    fmt::Display,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

#[cfg(unix)]
use socket::Socket;
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
const GRACE: Duration = Duration::from_millis(1200);
/// How long the last spans may take to be sent, after that.
const FLUSH: Duration = Duration::from_millis(500);

/// Runs the plugin to its end; `build` makes the service once the router is known.
pub fn run(build: impl FnOnce(&Host) -> Result<Routes, Box<dyn Error>>) -> ExitCode {
    if env::var(COOKIE).as_deref() != Ok(COOKIE) {
        eprintln!(
            "This program is a Cosmo Router plugin. The router starts it, from a directory below its `plugins.path` \
             or from an image; by itself it is of no use."
        );
        return ExitCode::FAILURE;
    }
    panics::log_all();

    let served = prepare(build)
        .and_then(|(routes, host, wishes)| serve(calls::watched(routes), &host.startup, &wishes));
    match served {
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
) -> Result<(Routes, Host, Wishes), Box<dyn Error>> {
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
    Ok((build(&host)?, host, wishes))
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

/// Serves, and sends the last spans.
#[tokio::main]
async fn serve(
    routes: Routes,
    startup: &StartupConfig,
    wishes: &Wishes,
) -> Result<(), Box<dyn Error>> {
    let telemetry = telemetry::start(startup);
    let result = serve_calls(routes, wishes).await;
    telemetry.stop(FLUSH).await;
    result
}

/// Listens, announces the address, and serves until the router asks us to stop.
async fn serve_calls(routes: Routes, wishes: &Wishes) -> Result<(), Box<dyn Error>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_version_must_be_among_those_offered() {
        assert!(offers_our_version(""));
        assert!(offers_our_version("1"));
        assert!(offers_our_version("2, 1"));
        assert!(!offers_our_version("2,11"));
    }
}
