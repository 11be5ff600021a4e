//! A lower bound on speed, below TLS, so that it holds for every byte of a connection in either direction.
//!
//! Threat: *a peer that trickles*. Each byte ends the wait of [`Timeouts::stall`](super::Timeouts::stall), so that a blob
//! at one byte a minute would hold a connection for ever. What counts is the time spent in waiting for the peer, not what
//! the caller does between: a slow disk is no slow peer. Waiting for the head of an answer is bounded as a whole elsewhere:
//! a registry may hash a large upload before it answers. Of a body, content alone counts as well ([`PacedBody`]).

use std::io;
use std::time::{Duration, Instant};

use ureq::Timeout;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// The slowest that a peer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor {
    /// Bytes a second; zero lets any peer pass.
    pub speed: u64,
    /// Over how much time of waiting.
    pub time: Duration,
}

impl Default for Floor {
    fn default() -> Self {
        Self { speed: 1024, time: Duration::from_mins(1) }
    }
}

/// A peer that is slower than that.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{host} moved {moved} bytes in {:.1} seconds, less than {speed} a second", waited.as_secs_f32())]
pub struct TooSlow {
    /// The peer.
    host: String,
    /// Bytes of either direction.
    moved: u64,
    /// The time of waiting for them.
    waited: Duration,
    /// Bytes a second that are asked for.
    speed: u64,
}

/// What an [`io::Error`] of a connection holds, where it is that.
pub(super) fn too_slow(error: &io::Error) -> Option<&TooSlow> {
    let inner = error.get_ref()?;
    let wrapped = inner.downcast_ref::<ureq::Error>().and_then(|error| match error {
        ureq::Error::Io(error) => too_slow(error),
        _ => None,
    });
    inner.downcast_ref::<TooSlow>().or(wrapped)
}

/// Adds the bound to whatever connection comes before it.
#[derive(Debug)]
pub(super) struct PaceConnector(pub(super) Floor);

impl<In: Transport> Connector<In> for PaceConnector {
    type Out = Paced<In>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Paced<In>>, ureq::Error> {
        let host = details.uri.authority().map(ToString::to_string).unwrap_or_default();
        Ok(chained.map(|inner| Paced { inner, pace: Pace::new(host, self.0) }))
    }
}

/// How fast a peer was, since the last time that it was fast enough.
#[derive(Debug)]
struct Pace {
    host: String,
    floor: Floor,
    moved: u64,
    waited: Duration,
}

impl Pace {
    const fn new(host: String, floor: Floor) -> Self {
        Self { host, floor, moved: 0, waited: Duration::ZERO }
    }

    fn note(&mut self, moved: usize, since: Instant) -> io::Result<()> {
        self.moved += moved as u64;
        self.waited += since.elapsed();
        if self.waited < self.floor.time {
            return Ok(());
        }
        let (moved, waited) = (std::mem::take(&mut self.moved), std::mem::take(&mut self.waited));
        let speed = self.floor.speed;
        if u128::from(moved) * 1000 >= u128::from(speed) * waited.as_millis() {
            return Ok(());
        }
        Err(io::Error::other(TooSlow { host: self.host.clone(), moved, waited, speed }))
    }
}

/// The body of an answer, of which only content counts: what a peer wraps it in, the extensions of chunks above all, moves
/// nothing.
pub(super) struct PacedBody<R> {
    inner: R,
    pace: Pace,
}

impl<R: io::Read> PacedBody<R> {
    pub(super) const fn new(inner: R, host: String, floor: Floor) -> Self {
        Self { inner, pace: Pace::new(host, floor) }
    }
}

impl<R: io::Read> io::Read for PacedBody<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let since = Instant::now();
        let count = self.inner.read(buffer)?;
        if count > 0 {
            self.pace.note(count, since)?;
        }
        Ok(count)
    }
}

/// A connection whose waits are counted.
#[derive(Debug)]
pub(super) struct Paced<T> {
    inner: T,
    pace: Pace,
}

impl<T> Paced<T> {
    fn note(&mut self, moved: usize, since: Instant, timeout: NextTimeout) -> Result<(), ureq::Error> {
        if timeout.reason == Timeout::RecvResponse {
            return Ok(());
        }
        self.pace.note(moved, since).map_err(ureq::Error::Io)
    }
}

impl<T: Transport> Transport for Paced<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let since = Instant::now();
        self.inner.transmit_output(amount, timeout)?;
        self.note(amount, since, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let (since, before) = (Instant::now(), self.inner.buffers().input().len());
        let more = self.inner.await_input(timeout)?;
        let moved = self.inner.buffers().input().len().saturating_sub(before);
        self.note(moved, since, timeout)?;
        Ok(more)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}
