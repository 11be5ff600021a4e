//! What the router tells a plugin at its start, in the variable `startup_config`.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

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

#[cfg(test)]
mod tests {
    use super::*;

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
