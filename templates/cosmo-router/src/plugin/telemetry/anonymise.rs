//! Hides the addresses of clients in spans before they leave this process.

use opentelemetry::{Key, KeyValue, Value};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};
use std::{fmt::Write, time::Duration};

use super::super::startup::IpAnonymization;

/// Attributes with a client's address, in OpenTelemetry's older and newer conventions.
const SENSITIVE: [&str; 8] = [
    "client.address",
    "client.socket.address",
    "http.client_ip",
    "net.peer.ip",
    "net.sock.peer.addr",
    "network.peer.address",
    "server.socket.address",
    "source.address",
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Method {
    Keep,
    Redact,
    Hash,
}

impl Method {
    /// What the router calls neither `hash` nor `redact` is hidden too.
    fn of(asked: Option<&IpAnonymization>) -> Self {
        match asked {
            Some(asked) if asked.enabled && asked.method == "hash" => Self::Hash,
            Some(asked) if asked.enabled => Self::Redact,
            _ => Self::Keep,
        }
    }

    fn apply(self, value: &Value) -> Value {
        match self {
            Self::Keep => value.clone(),
            Self::Redact => "[REDACTED]".into(),
            Self::Hash => sha256(value.as_str().as_bytes()).into(),
        }
    }
}

/// In hexadecimal.
fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest
        .as_ref()
        .iter()
        .fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// An exporter that gets spans without addresses.
#[derive(Debug)]
pub struct Anonymising<E> {
    inner: E,
    method: Method,
}

impl<E> Anonymising<E> {
    /// Does as the router asks.
    pub fn new(inner: E, asked: Option<&IpAnonymization>) -> Self {
        let method = Method::of(asked);
        Self { inner, method }
    }

    fn hide(&self, attributes: &mut [KeyValue]) {
        let sensitive = |key: &Key| SENSITIVE.contains(&key.as_str());
        for attribute in attributes
            .iter_mut()
            .filter(|attribute| sensitive(&attribute.key))
        {
            attribute.value = self.method.apply(&attribute.value);
        }
    }
}

impl<E: SpanExporter> SpanExporter for Anonymising<E> {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        for span in &mut batch {
            self.hide(&mut span.attributes);
            for event in &mut span.events.events {
                self.hide(&mut event.attributes);
            }
        }
        self.inner.export(batch).await
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(enabled: bool, method: &str) -> Vec<String> {
        let method = method.to_owned();
        let asked = IpAnonymization { enabled, method };
        let mut attributes = ["http.client_ip", "net.sock.peer.addr", "url.full"]
            .map(|key| KeyValue::new(key, "10.0.0.1"));
        Anonymising::new((), Some(&asked)).hide(&mut attributes);
        attributes
            .iter()
            .map(|attribute| attribute.value.to_string())
            .collect()
    }

    #[test]
    fn addresses_are_hidden_as_the_router_asks() {
        assert_eq!(hidden(false, "redact"), ["10.0.0.1"; 3]);
        assert_eq!(
            hidden(true, "redact"),
            ["[REDACTED]", "[REDACTED]", "10.0.0.1"]
        );
        assert_eq!(hidden(true, "added later")[0], "[REDACTED]");
        // printf 10.0.0.1 | sha256sum
        let hash = "f5047344122f0dee9974ba6761e61c6b8649e1f3968d13a635ebbf7be53a3a0d";
        assert_eq!(hidden(true, "hash"), [hash, hash, "10.0.0.1"]);
    }
}
