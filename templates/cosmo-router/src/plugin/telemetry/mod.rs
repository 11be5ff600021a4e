//! Traces, as the router's `startup_config` asks for them: sampled as it samples, part of its own traces, sent where it
//! sends its own, with the addresses of clients hidden as it hides them.

mod anonymise;
mod export;
mod propagate;

use std::{error::Error, time::Duration};

use opentelemetry::{
    Context, InstrumentationScope, KeyValue,
    global::{self, BoxedSpan},
    propagation::{Extractor, Injector, TextMapCompositePropagator},
    trace::{
        FutureExt, SpanBuilder, SpanKind, Status as SpanStatus, TraceContextExt, Tracer,
        WithContext,
    },
};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider},
};
use tonic::{Code, Status, codegen::http::HeaderMap};

use self::{anonymise::Anonymising, export::Otlp};
use super::{
    Level, StartupConfig, log,
    startup::{Exporter, Tracing},
};

/// As long as the router's SDK for Go collects spans when it is not told.
const BATCH_TIMEOUT: Duration = Duration::from_secs(10);
/// As long as the router's SDK for Go lets an export take when it is not told.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(30);
/// The name under which our own spans are found.
const SCOPE: &str = concat!("cosmo-router-plugin/", env!("CARGO_PKG_NAME"));

/// Begins to record, if the router wants it. Within a tokio runtime only. What cannot be used is logged, and left out.
pub fn start(startup: &StartupConfig) -> Telemetry {
    let tracing = startup
        .telemetry
        .as_ref()
        .and_then(|telemetry| telemetry.tracing.as_ref());
    let Some(tracing) = tracing else {
        return Telemetry { provider: None };
    };
    let known = tracing.propagators.iter().filter_map(|name| {
        let propagator = propagate::named(name);
        if propagator.is_none() {
            log(Level::Warn, "unknown trace propagator", &[("name", name)]);
        }
        propagator
    });
    global::set_text_map_propagator(TextMapCompositePropagator::new(known.collect()));
    let provider = provider(tracing, startup);
    if let Some(provider) = &provider {
        global::set_tracer_provider(provider.clone());
    }
    Telemetry { provider }
}

fn provider(tracing: &Tracing, startup: &StartupConfig) -> Option<SdkTracerProvider> {
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(tracing.sampler)));
    let mut builder = SdkTracerProvider::builder()
        .with_resource(resource())
        .with_sampler(sampler);
    let mut any = false;
    for exporter in &tracing.exporters {
        match processor(exporter, startup) {
            Ok(processor) => {
                builder = builder.with_span_processor(processor);
                any = true;
            }
            Err(error) => {
                log(
                    Level::Warn,
                    "no traces",
                    &[("endpoint", &exporter.endpoint), ("error", &error)],
                );
            }
        }
    }
    any.then(|| builder.build())
}

fn processor(
    exporter: &Exporter,
    startup: &StartupConfig,
) -> Result<BatchSpanProcessor, Box<dyn Error + Send + Sync>> {
    let timeout = nanoseconds(exporter.export_timeout).unwrap_or(EXPORT_TIMEOUT);
    let otlp = Otlp::new(exporter, &resource(), timeout)?;
    let config = BatchConfigBuilder::default()
        .with_scheduled_delay(nanoseconds(exporter.batch_timeout).unwrap_or(BATCH_TIMEOUT))
        .with_max_export_batch_size(512)
        .with_max_queue_size(2048)
        .build();
    let exporter = Anonymising::new(otlp, startup.ip_anonymization.as_ref());
    Ok(BatchSpanProcessor::builder(exporter)
        .with_batch_config(config)
        .build())
}

fn nanoseconds(number: i64) -> Option<Duration> {
    u64::try_from(number)
        .ok()
        .filter(|&number| number > 0)
        .map(Duration::from_nanos)
}

/// Who we are. `OTEL_*` variables are the router's own, and are not asked.
fn resource() -> Resource {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let attributes = [
        KeyValue::new("service.name", env!("CARGO_PKG_NAME")),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("wg.is_plugin", true),
        KeyValue::new("process.pid", i64::from(std::process::id())),
        KeyValue::new("os.type", std::env::consts::OS),
        KeyValue::new("host.name", host.trim().to_owned()),
        KeyValue::new("telemetry.sdk.language", "rust"),
        KeyValue::new("telemetry.sdk.name", "opentelemetry"),
    ];
    Resource::builder_empty()
        .with_attributes(attributes)
        .build()
}

/// The recording, which must be stopped for the last spans to be sent.
#[derive(Debug)]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Sends what was not sent yet, in at most this time.
    pub async fn stop(self, limit: Duration) {
        let Some(provider) = self.provider else {
            return;
        };
        // It blocks, and what it waits for needs this runtime.
        let stopping = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(limit));
        if let Ok(Err(error)) = stopping.await {
            log(
                Level::Warn,
                "the last spans were lost",
                &[("error", &error)],
            );
        }
    }
}

/// A span, current in the future that it is around.
#[derive(Debug)]
pub struct Span {
    context: Context,
}

impl Span {
    /// Of a call from the router, whose span is in the headers.
    pub fn of_call(path: &str, headers: &HeaderMap) -> Self {
        let parent = global::get_text_map_propagator(|all| all.extract(&Headers(headers)));
        let (service, method) = path
            .trim_start_matches('/')
            .split_once('/')
            .unwrap_or(("", path));
        let attributes = [
            KeyValue::new("rpc.system", "grpc"),
            KeyValue::new("rpc.service", service.to_owned()),
            KeyValue::new("rpc.method", method.to_owned()),
        ];
        Self::new(
            format!("Router Plugin - {path}"),
            SpanKind::Server,
            attributes,
            &parent,
        )
    }

    /// Of a request to somebody else, from within a call.
    pub fn of_request(method: &str, url: &str) -> Self {
        let attributes = [
            KeyValue::new("http.request.method", method.to_owned()),
            KeyValue::new("url.full", url.to_owned()),
        ];
        Self::new(
            method.to_owned(),
            SpanKind::Client,
            attributes,
            &Context::current(),
        )
    }

    fn new(
        name: String,
        kind: SpanKind,
        attributes: impl IntoIterator<Item = KeyValue>,
        parent: &Context,
    ) -> Self {
        let tracer = global::tracer_with_scope(InstrumentationScope::builder(SCOPE).build());
        let builder = SpanBuilder::from_name(name)
            .with_kind(kind)
            .with_attributes(attributes);
        let span: BoxedSpan = tracer.build_with_context(builder, parent);
        Self {
            context: parent.with_span(span),
        }
    }

    /// The future, with this span as the current one.
    pub fn around<F: Future>(&self, future: F) -> WithContext<F> {
        future.with_context(self.context.clone())
    }

    /// Names this span in the headers of a request, in each of the router's formats.
    pub fn inject(&self, headers: &mut HeaderMap) {
        global::get_text_map_propagator(|all| {
            all.inject_context(&self.context, &mut HeadersMut(headers));
        });
    }

    /// Ends with a call's status.
    pub fn end_call(self, status: &Status) {
        let span = self.context.span();
        span.set_attribute(KeyValue::new(
            "rpc.grpc.status_code",
            i64::from(i32::from(status.code())),
        ));
        if status.code() != Code::Ok {
            span.set_status(SpanStatus::error(status.message().to_owned()));
        }
        span.end();
    }

    /// Ends with an HTTP status, or why there is none.
    pub fn end_request(self, status: Result<u16, String>) {
        let span = self.context.span();
        match status {
            Ok(status) => {
                span.set_attribute(KeyValue::new(
                    "http.response.status_code",
                    i64::from(status),
                ));
                if status >= 400 {
                    span.set_status(SpanStatus::error(""));
                }
            }
            Err(error) => span.set_status(SpanStatus::error(error)),
        }
        span.end();
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (key.parse::<http::HeaderName>(), value.parse()) {
            self.0.insert(name, value);
        }
    }
}
