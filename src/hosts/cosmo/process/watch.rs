//! What a plugin does by itself while its host waits for something: it logs, it writes where it should not, it dies.

use std::future::Future;
use std::pin::pin;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::{HostError, LogLine, Seen, Stage, log};
use crate::hosts::cosmo::process::child::{Process, TICK};
use plugin_oci::progress::{Event, Progress};

/// A process under watch.
pub(super) struct Watch<'a> {
    pub process: Process,
    pub seen: Seen,
    pub progress: &'a dyn Progress,
}

impl Watch<'_> {
    /// Passes on everything that has been read.
    pub fn pump(&mut self) {
        self.forward_logs();
        while let Ok(line) = self.process.stdout.try_recv() {
            if self.seen.stray == 0 {
                let hint = Some("log to stderr, and use no `println!`".to_owned());
                let text = format!("the plugin wrote to stdout after its handshake: `{}`", log::printable(&line, 200));
                self.progress.warn(text, hint);
            }
            self.seen.stray += 1;
        }
    }

    /// Passes on the log alone.
    pub fn forward_logs(&mut self) {
        while let Ok(line) = self.process.stderr.try_recv() {
            let line = LogLine::parse(&line);
            *self.seen.logs.entry(line.level.as_str()).or_default() += 1;
            if line.fatal {
                let hint = Some("`@level`, `@message` and `@timestamp` must be strings".to_owned());
                self.progress.warn(format!("the router would crash at this line of the plugin's log: {}", line.text), hint);
            } else {
                self.progress.event(Event::PluginLog { level: line.level, text: line.text });
            }
        }
    }

    /// The death, if it died.
    pub fn died(&mut self, stage: Stage) -> Option<HostError> {
        let status = self.process.exited();
        let died = status.map(|status| HostError::Died { stage, status, lines: self.process.last_lines() });
        self.pump();
        died
    }

    /// The death, if it died, after a moment in which a death can become known.
    pub fn settled(&mut self, stage: Stage) -> Option<HostError> {
        self.wait(Duration::from_millis(200))?;
        self.died(stage)
    }

    /// Waits for the end while its output is passed on.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            let ended = self.process.exited();
            self.pump();
            if ended.is_some() || start.elapsed() >= limit {
                return ended;
            }
            std::thread::sleep(TICK);
        }
    }

    /// Waits for `future`, but neither beyond `limit` nor beyond the plugin's death.
    pub async fn over<T>(&mut self, stage: Stage, limit: Duration, future: impl Future<Output = T>) -> Result<T, HostError> {
        let start = Instant::now();
        let mut future = pin!(future);
        loop {
            if let Ok(done) = tokio::time::timeout(TICK, future.as_mut()).await {
                self.pump();
                return Ok(done);
            }
            if let Some(died) = self.died(stage) {
                return Err(died);
            }
            if start.elapsed() >= limit {
                return Err(HostError::Timeout { stage, limit });
            }
        }
    }

    /// Waits for `future` until `limit` or the plugin's end, neither of which is an error.
    pub async fn until_exit<T>(&mut self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        let start = Instant::now();
        let mut future = pin!(future);
        while start.elapsed() < limit && self.process.exited().is_none() {
            if let Ok(done) = tokio::time::timeout(TICK, future.as_mut()).await {
                return Some(done);
            }
            self.pump();
        }
        None
    }
}
