//! The header formats in which a trace goes from one process to the next.
//!
//! W3C's two are the SDK's own. B3: <https://github.com/openzipkin/b3-propagation>. Jaeger:
//! <https://www.jaegertracing.io/docs/1.76/client-libraries/#propagation-format>. Datadog: its tracers' `datadog` style, with
//! the upper half of a trace's identifier in `_dd.p.tid`.

use opentelemetry::{
    Context, SpanId, TraceFlags, TraceId,
    propagation::{Extractor, Injector, TextMapPropagator, text_map_propagator::FieldIter},
    trace::{SpanContext, TraceContextExt, TraceState},
};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};

/// The format of one of the router's names.
pub fn named(name: &str) -> Option<Box<dyn TextMapPropagator + Send + Sync>> {
    Some(match name {
        "tracecontext" => Box::new(TraceContextPropagator::new()),
        "baggage" => Box::new(BaggagePropagator::new()),
        "b3" => Box::new(Format::B3),
        "jaeger" => Box::new(Format::Jaeger),
        "datadog" => Box::new(Format::Datadog),
        _ => return None,
    })
}

/// Formats that name a span and whether it is sampled, and nothing else.
#[derive(Debug, Clone, Copy)]
enum Format {
    B3,
    Jaeger,
    Datadog,
}

impl TextMapPropagator for Format {
    fn inject_context(&self, context: &Context, injector: &mut dyn Injector) {
        let span = context.span().span_context().clone();
        if !span.is_valid() {
            return;
        }
        let (trace, id, sampled) = (span.trace_id(), span.span_id(), u8::from(span.is_sampled()));
        match self {
            Self::B3 => {
                injector.set("b3", format!("{trace}-{id}-{sampled}"));
                injector.set("x-b3-traceid", trace.to_string());
                injector.set("x-b3-spanid", id.to_string());
                injector.set("x-b3-sampled", sampled.to_string());
            }
            Self::Jaeger => injector.set("uber-trace-id", format!("{trace}:{id}:0:{sampled}")),
            Self::Datadog => {
                let number = u128::from_be_bytes(trace.to_bytes());
                let (upper, lower) = (number >> 64, number & u128::from(u64::MAX));
                injector.set("x-datadog-trace-id", lower.to_string());
                injector.set(
                    "x-datadog-parent-id",
                    u64::from_be_bytes(id.to_bytes()).to_string(),
                );
                injector.set("x-datadog-sampling-priority", sampled.to_string());
                if upper != 0 {
                    injector.set("x-datadog-tags", format!("_dd.p.tid={upper:016x}"));
                }
            }
        }
    }

    fn extract_with_context(&self, context: &Context, extractor: &dyn Extractor) -> Context {
        let found = match self {
            Self::B3 => b3(extractor),
            Self::Jaeger => jaeger(extractor),
            Self::Datadog => datadog(extractor),
        };
        match found {
            Some((trace, id, sampled)) => {
                let flags = TraceFlags::default().with_sampled(sampled);
                let span = SpanContext::new(trace, id, flags, true, TraceState::default());
                if span.is_valid() {
                    context.with_remote_span_context(span)
                } else {
                    context.clone()
                }
            }
            None => context.clone(),
        }
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&[])
    }
}

type Found = Option<(TraceId, SpanId, bool)>;

fn b3(headers: &dyn Extractor) -> Found {
    if let Some(single) = headers.get("b3") {
        let mut parts = single.split('-');
        let (trace, id) = (
            TraceId::from_hex(parts.next()?).ok()?,
            SpanId::from_hex(parts.next()?).ok()?,
        );
        return Some((trace, id, matches!(parts.next(), Some("1" | "d"))));
    }
    let trace = TraceId::from_hex(headers.get("x-b3-traceid")?).ok()?;
    let id = SpanId::from_hex(headers.get("x-b3-spanid")?).ok()?;
    let sampled = matches!(headers.get("x-b3-sampled"), Some("1" | "true"))
        || headers.get("x-b3-flags") == Some("1");
    Some((trace, id, sampled))
}

fn jaeger(headers: &dyn Extractor) -> Found {
    let value = headers
        .get("uber-trace-id")?
        .replace("%3A", ":")
        .replace("%3a", ":");
    let mut parts = value.split(':');
    let (trace, id) = (
        TraceId::from_hex(parts.next()?).ok()?,
        SpanId::from_hex(parts.next()?).ok()?,
    );
    let flags = u8::from_str_radix(parts.nth(1)?, 16).ok()?;
    Some((trace, id, flags & 1 == 1))
}

fn datadog(headers: &dyn Extractor) -> Found {
    let lower: u64 = headers.get("x-datadog-trace-id")?.parse().ok()?;
    let id: u64 = headers.get("x-datadog-parent-id")?.parse().ok()?;
    let tags = headers.get("x-datadog-tags").unwrap_or_default();
    let upper = tags
        .split(',')
        .find_map(|tag| tag.trim().strip_prefix("_dd.p.tid="));
    let upper = upper
        .and_then(|text| u64::from_str_radix(text, 16).ok())
        .unwrap_or(0);
    let priority: i32 = headers
        .get("x-datadog-sampling-priority")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let trace = u128::from(upper) << 64 | u128::from(lower);
    Some((TraceId::from(trace), SpanId::from(id), priority > 0))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const TRACE: &str = "463ac35c9f6413ad48485a3953bb6124";
    const SPAN: &str = "a2fb4a1d1a96d312";

    fn extracted(name: &str, headers: &[(&str, &str)]) -> SpanContext {
        let owned = headers
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()));
        let headers: HashMap<String, String> = owned.collect();
        named(name)
            .unwrap()
            .extract_with_context(&Context::new(), &headers)
            .span()
            .span_context()
            .clone()
    }

    #[test]
    fn what_a_format_writes_it_reads() {
        for sampled in [true, false] {
            let flags = TraceFlags::default().with_sampled(sampled);
            let (trace, id) = (
                TraceId::from_hex(TRACE).unwrap(),
                SpanId::from_hex(SPAN).unwrap(),
            );
            let span = SpanContext::new(trace, id, flags, true, TraceState::default());
            let context = Context::new().with_remote_span_context(span.clone());
            for name in ["tracecontext", "b3", "jaeger", "datadog"] {
                let mut headers = HashMap::new();
                let format = named(name).unwrap();
                format.inject_context(&context, &mut headers);
                let back = format.extract_with_context(&Context::new(), &headers);
                assert_eq!(back.span().span_context(), &span, "{name}: {headers:?}");
            }
        }
    }

    #[test]
    fn formats_are_read_as_others_write_them() {
        for (name, headers) in [
            (
                "b3",
                &[(
                    "b3",
                    "463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-1-05e3ac9a4f6e3b90",
                )][..],
            ),
            (
                "b3",
                &[
                    ("x-b3-traceid", TRACE),
                    ("x-b3-spanid", SPAN),
                    ("x-b3-sampled", "1"),
                ],
            ),
            (
                "jaeger",
                &[(
                    "uber-trace-id",
                    "463ac35c9f6413ad48485a3953bb6124:a2fb4a1d1a96d312:0:3",
                )],
            ),
            (
                "datadog",
                &[
                    ("x-datadog-trace-id", "5208512171318403364"),
                    ("x-datadog-parent-id", "11744061942159299346"),
                    ("x-datadog-sampling-priority", "2"),
                    ("x-datadog-tags", "_dd.p.dm=-4,_dd.p.tid=463ac35c9f6413ad"),
                ],
            ),
        ] {
            let span = extracted(name, headers);
            let found = (
                span.trace_id().to_string(),
                span.span_id().to_string(),
                span.is_sampled(),
            );
            assert_eq!(found, (TRACE.to_owned(), SPAN.to_owned(), true), "{name}");
        }
    }

    #[test]
    fn nonsense_names_no_span() {
        for (name, header, value) in [
            ("b3", "b3", "0"),
            ("b3", "b3", "x-y-z"),
            ("jaeger", "uber-trace-id", "::::"),
            ("jaeger", "uber-trace-id", "0:0:0:1"),
            ("datadog", "x-datadog-trace-id", "-1"),
        ] {
            assert!(
                !extracted(name, &[(header, value)]).is_valid(),
                "{name}: {value}"
            );
        }
        assert!(named("added later").is_none());
    }
}
