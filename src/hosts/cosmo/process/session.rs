//! A conversation with a running plugin, from its handshake to its end.

use std::future::Future;
use std::time::Duration;

use tonic::transport::Channel;
use tonic::{Code, Status};

use super::grpc::{self, ConnectError, code_name};
use super::start::{read_handshake, spawn};
use super::watch::Watch;
use super::{Handshake, HostError, Launch, Seen, Stage, Stopped, log};
use crate::hosts::cosmo::process::child::TICK;
use plugin_oci::fs::TempDir;
use plugin_oci::progress::Progress;

/// The service that stands for the whole plugin in health checks.
const SERVICE: &str = "plugin";

/// A plugin that runs and has shaken hands. Dropping it kills the plugin.
pub struct Session<'a> {
    watch: Watch<'a>,
    handshake: Handshake,
    channel: Channel,
    runtime: tokio::runtime::Runtime,
    timeout: Duration,
    grace: Duration,
    _sockets: TempDir,
}

impl<'a> Session<'a> {
    /// Starts the plugin, waits for its handshake and connects.
    pub fn start(launch: &Launch, progress: &'a dyn Progress) -> Result<Self, HostError> {
        let timeout = launch.timeout;
        let sockets = TempDir::new_in(tempfile::Builder::new().prefix("plugin-"), &launch.scratch)?;
        let process = spawn(launch, sockets.path(), progress)?;
        let mut watch = Watch { process, seen: Seen::default(), progress };
        let handshake = read_handshake(&mut watch, launch)?;
        progress.detail(format!("handshake: {}", handshake.line));

        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(HostError::Runtime)?;
        let connection = watch.over(Stage::Connection, timeout, grpc::connect(&handshake.address));
        let channel = match runtime.block_on(connection)? {
            Ok(channel) => channel,
            Err(error) => {
                let address = handshake.address.to_string();
                let failed = match error {
                    ConnectError::Dial(source) => HostError::DeadSocket { address, source },
                    ConnectError::Http(reason) => HostError::NotHttp { address, reason },
                };
                return Err(watch.settled(Stage::Connection).unwrap_or(failed));
            }
        };
        Ok(Self { watch, handshake, channel, runtime, timeout, grace: launch.grace, _sockets: sockets })
    }

    /// What the plugin said of itself.
    pub fn handshake(&self) -> &Handshake {
        &self.handshake
    }

    /// The plugin's process.
    pub fn id(&self) -> u32 {
        self.watch.process.id()
    }

    /// Asks for health; anything but SERVING is an error.
    pub fn check_health(&mut self) -> Result<(), HostError> {
        let answer = self.converse(Stage::Health, |channel| grpc::health(channel, SERVICE))?;
        match answer {
            Ok(grpc::SERVING) => Ok(()),
            Ok(status) => Err(HostError::NotServing { status: grpc::status_name(status) }),
            // The health service is there, but has never heard of `plugin`.
            Err(status) if status.code() == Code::NotFound => {
                Err(HostError::NotServing { status: grpc::status_name(grpc::SERVICE_UNKNOWN) })
            }
            Err(status) => {
                let reason = format!("{}: {}", code_name(status.code()), log::printable(status.message(), 400));
                Err(HostError::NoHealth { reason, missing: status.code() == Code::Unimplemented })
            }
        }
    }

    /// Calls a unary method with the bytes of a request; the bytes of the answer.
    pub fn call(&mut self, method: &str, request: Vec<u8>) -> Result<Vec<u8>, HostError> {
        let path = method.to_owned();
        let answer = self.converse(Stage::Call, |channel| async move { grpc::unary(channel, &path, request).await })?;
        answer.map_err(|status| HostError::CallFailed {
            method: method.to_owned(),
            code: code_name(status.code()).to_owned(),
            message: log::printable(status.message(), 1000),
        })
    }

    /// Leaves it running until `done`; if it ends before, that is an error.
    pub fn keep(&mut self, mut done: impl FnMut() -> bool) -> Result<(), HostError> {
        while !done() {
            if let Some(died) = self.watch.died(Stage::Running) {
                return Err(died);
            }
            std::thread::sleep(TICK);
        }
        Ok(())
    }

    /// Stops it as the host does.
    pub fn stop(self) -> (Stopped, Seen) {
        let Self { mut watch, channel, runtime, grace, _sockets: sockets, .. } = self;
        let answer = runtime.block_on(watch.until_exit(grace, grpc::shutdown(channel)));
        // Hangs up, as the router does: servers wait for the connections that are left. The tasks that hold ours go with
        // the runtime.
        drop(runtime);
        let answer = match answer {
            Some(Ok(())) => "OK",
            Some(Err(status)) => code_name(status.code()),
            None => "no answer",
        };
        let ended = watch.wait(grace);
        if ended.is_none() {
            watch.process.kill();
        }
        // What it wrote last may still be on its way through the threads that read it.
        drop(watch.process.last_lines());
        watch.pump();
        let status = watch.process.exited();
        let stopped = Stopped {
            graceful: ended.is_some(),
            status: status.map_or_else(|| "unknown".to_owned(), |status| status.to_string()),
            success: ended.is_some_and(|status| status.success()),
            answer: answer.to_owned(),
        };
        let seen = std::mem::take(&mut watch.seen);
        drop((watch, sockets));
        (stopped, seen)
    }

    /// Has one exchange, while the plugin's output is read and its death noticed.
    fn converse<T, F>(&mut self, stage: Stage, exchange: impl FnOnce(Channel) -> F) -> Result<Result<T, Status>, HostError>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let exchange = self.watch.over(stage, self.timeout, exchange(self.channel.clone()));
        let answer = self.runtime.block_on(exchange)?;
        // A connection that broke is the first news of a death.
        let broken = |status: &Status| matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal);
        if answer.as_ref().is_err_and(broken)
            && let Some(died) = self.watch.settled(stage)
        {
            return Err(died);
        }
        Ok(answer)
    }
}
