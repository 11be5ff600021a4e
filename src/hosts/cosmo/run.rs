//! Running a router's plugin: start, handshake, health, at most one call, stop.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::contract::Contract;
use crate::hosts::cosmo::process::{
    Api, GRACE, Handshake, HostError, Launch, Method, START_TIMEOUT, STARTUP_CONFIG, Seen, Session, Stopped, starter,
};
use plugin_oci::documents::{Config, Descriptor};
use plugin_oci::failure::{Class, Complaint, Error, Failure};
use plugin_oci::progress::Progress;
use plugin_oci::stores::Source;

/// A router's plugin that can be started.
#[derive(Debug)]
pub struct Router {
    root: Descriptor,
    dir: PathBuf,
    entrypoint: String,
}

/// What to do with it.
#[derive(Clone, Debug)]
pub struct Steps {
    /// How long each step may take.
    pub timeout: Duration,
    /// The value of `startup_config`.
    pub startup_config: String,
    pub call: Option<Call>,
    /// Where the directory for sockets is made.
    pub scratch: PathBuf,
}

impl Steps {
    /// The router's own: no call.
    pub fn new(scratch: PathBuf) -> Self {
        Self { timeout: START_TIMEOUT, startup_config: STARTUP_CONFIG.to_owned(), call: None, scratch }
    }
}

/// A call to make.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method: `Name`, `Service/Name` or `/package.Service/Name`.
    pub method: String,
    /// The request as JSON.
    pub request: String,
    /// The proto; the one attached to the image where absent.
    pub proto: Option<PathBuf>,
}

/// What a run found.
#[derive(Clone, Debug, Serialize)]
pub struct RouterReport {
    /// The image's root.
    pub digest: String,
    /// Where it was unpacked to, and its working directory.
    pub directory: PathBuf,
    /// What the plugin said of itself.
    pub handshake: Handshake,
    /// Where to reach it.
    pub endpoint: String,
    /// Its process.
    pub pid: u32,
    /// `SERVING`; anything else is an error.
    pub health: &'static str,
    /// The answer to the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Value>,
    /// How it ended; absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
    /// What else came out of it; absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<Seen>,
}

impl Router {
    /// Takes what was unpacked into a directory.
    pub fn new(root: Descriptor, dir: PathBuf, config: &Config, progress: &dyn Progress) -> Self {
        let line = config.command_line();
        if line.len() > 1 {
            let hint = Some("configure it by the environment or by a file beside the program".to_owned());
            progress.warn(format!("the router passes no arguments, and the image has {}", line[1..].join(" ")), hint);
        }
        Self { root, dir, entrypoint: line.into_iter().next().unwrap_or_default() }
    }

    /// Starts the plugin, asks for its health, and makes the call. Whatever is wrong with the call's words is found before
    /// the start.
    pub fn start<'a>(self, source: &dyn Source, steps: &Steps, progress: &'a dyn Progress) -> Result<Running<'a>, Error> {
        serde_json::from_str::<serde_json::Map<String, Value>>(&steps.startup_config).map_err(RouterError::StartupConfig)?;
        let call = steps.call.as_ref().map(|call| self.lower(source, call)).transpose()?;
        let launch = Launch {
            root: self.dir.clone(),
            entrypoint: self.entrypoint,
            startup_config: steps.startup_config.clone(),
            timeout: steps.timeout,
            grace: GRACE,
            scratch: steps.scratch.clone(),
            starter: starter(),
        };
        let mut session = Session::start(&launch, progress)?;
        let handshake = session.handshake().clone();
        let endpoint = handshake.address.to_string();
        progress.status("Started", format!("process {} at {endpoint}", session.id()));
        session.check_health()?;
        progress.status("Healthy", "the plugin is SERVING".to_owned());
        let answer = match call {
            Some((method, request)) => {
                let answer = method.answer(&session.call(&method.path(), request)?)?;
                progress.status("Called", method.path());
                Some(answer)
            }
            None => None,
        };
        let (digest, pid, health) = (self.root.digest.to_string(), session.id(), "SERVING");
        let (stopped, seen) = (None, None);
        let report = RouterReport { digest, directory: self.dir, handshake, endpoint, pid, health, answer, stopped, seen };
        Ok(Running { session, report, progress })
    }

    fn lower(&self, source: &dyn Source, call: &Call) -> Result<(Method, Vec<u8>), Error> {
        let api = match &call.proto {
            Some(path) if !path.is_file() => {
                return Err(Complaint::usage(format!("there is no proto at `{}`", path.display())).into());
            }
            Some(path) => Api::of_file(path)?,
            None => {
                let contract = Contract::of_image(source, &self.root)?.ok_or(RouterError::NoProto)?;
                Api::of_source("service.proto", &contract.proto)?
            }
        };
        let method = api.method(&call.method)?;
        let request = method.request(&call.request)?;
        Ok((method, request))
    }
}

/// A plugin that runs.
pub struct Running<'a> {
    session: Session<'a>,
    report: RouterReport,
    progress: &'a dyn Progress,
}

impl Running<'_> {
    /// What was found so far.
    pub fn report(&self) -> &RouterReport {
        &self.report
    }

    /// Leaves it running until it ends by itself (an error) or this process is interrupted.
    pub fn keep(mut self) -> Result<(), HostError> {
        self.session.keep(|| false)
    }

    /// Leaves it running until `done`; if it ends before, that is an error.
    pub fn keep_until(&mut self, done: impl FnMut() -> bool) -> Result<(), HostError> {
        self.session.keep(done)
    }

    /// Stops it as the router does.
    pub fn stop(mut self) -> RouterReport {
        let (stopped, seen) = self.session.stop();
        if stopped.graceful && stopped.success {
            self.progress.status("Stopped", "in order".to_owned());
        } else if stopped.graceful {
            let hint = Some("end with exit code 0 after `Shutdown`".to_owned());
            self.progress.warn(format!("the plugin ended with {} when told to stop", stopped.status), hint);
        } else {
            let text = format!(
                "the plugin did not stop and was killed after two seconds; it answered `Shutdown` with {}",
                stopped.answer
            );
            let hint = Some("serve plugin.GRPCController/Shutdown, and exit when it is called".to_owned());
            self.progress.warn(text, hint);
        }
        self.report.stopped = Some(stopped);
        self.report.seen = Some(seen);
        self.report
    }
}

/// Why a router's plugin is not started.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// A call needs a proto.
    #[error("no proto is attached to the image, and a call needs one")]
    NoProto,
    /// `startup_config` must be JSON, or every plugin fails over it.
    #[error("the startup configuration is not JSON")]
    StartupConfig(#[source] serde_json::Error),
}

impl Failure for RouterError {
    fn class(&self) -> Class {
        Class::Usage
    }
}
