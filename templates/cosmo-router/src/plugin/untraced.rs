//! What stands in for tracing when the feature `telemetry` is off: nothing is recorded.

use std::time::Duration;

use tonic::{Status, codegen::http::HeaderMap};

use super::StartupConfig;

/// Does nothing.
pub fn start(_: &StartupConfig) -> Telemetry {
    Telemetry
}

/// Nothing to stop.
#[derive(Debug)]
pub struct Telemetry;

impl Telemetry {
    /// Returns at once.
    pub async fn stop(self, _: Duration) {}
}

/// Records nothing.
#[derive(Debug)]
pub struct Span;

impl Span {
    /// Of a call from the router.
    pub fn of_call(_: &str, _: &HeaderMap) -> Self {
        Self
    }

    /// Of a request to somebody else.
    pub fn of_request(_: &str, _: &str) -> Self {
        Self
    }

    /// The future as it is.
    pub fn around<F: Future>(&self, future: F) -> F {
        future
    }

    /// Adds no header.
    pub fn inject(&self, _: &mut HeaderMap) {}

    /// Ends with a call's status.
    pub fn end_call(self, _: &Status) {}

    /// Ends with an HTTP status, or why there is none.
    pub fn end_request(self, _: Result<u16, String>) {}
}
