//! Sends spans by OTLP: protobuf over HTTP/1.1, or gRPC.

use std::{error::Error, fmt, str::FromStr, time::Duration};

use bytes::Bytes;
use http::{Request, Uri, header::CONTENT_TYPE, uri::PathAndQuery};
use opentelemetry_proto::{
    tonic::collector::trace::v1::{
        ExportTraceServiceRequest, trace_service_client::TraceServiceClient,
    },
    transform::{
        common::tonic::ResourceAttributesWithSchema,
        trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{SpanData, SpanExporter},
};
use prost::Message;
use tokio::{runtime::Handle, time};
use tonic::{
    metadata::MetadataMap,
    transport::{Channel, ClientTlsConfig, Endpoint},
};

use super::super::{Level, log, startup::Exporter};
use crate::http_client::Client;

type Failure = Box<dyn Error + Send + Sync>;

/// Where OTLP is received by HTTP when the router does not say.
const HTTP_PATH: &str = "/v1/traces";

/// A receiver of spans.
pub struct Otlp {
    way: Way,
    headers: http::HeaderMap,
    resource: ResourceAttributesWithSchema,
    timeout: Duration,
    // Spans come from a thread that has no runtime.
    runtime: Handle,
}

#[derive(Clone)]
enum Way {
    Http(Box<Client>, Uri),
    Grpc(Channel),
}

impl Otlp {
    /// Prepares the connection, which is made when there is something to send. Within a tokio runtime only.
    ///
    /// # Errors
    /// When the router's settings cannot be followed.
    pub fn new(
        exporter: &Exporter,
        resource: &Resource,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let endpoint: Uri = exporter.endpoint.parse()?;
        let (scheme, authority) = match (endpoint.scheme_str(), endpoint.authority()) {
            (Some("https"), Some(authority)) => ("https", authority.as_str()),
            (Some("http"), Some(authority)) => ("http", authority.as_str()),
            _ => return Err("the endpoint is no URL of http or https".into()),
        };
        let uri = |path: &str| {
            Uri::builder()
                .scheme(scheme)
                .authority(authority)
                .path_and_query(path)
                .build()
        };
        let way = match exporter.exporter.as_str() {
            "" | "http" => {
                let path = if exporter.http_path.is_empty() {
                    HTTP_PATH
                } else {
                    &exporter.http_path
                };
                Way::Http(
                    Box::new(Client::new().with_timeout(timeout)),
                    uri(&rooted(path))?,
                )
            }
            "grpc" => {
                let mut channel = Endpoint::from(uri("/")?);
                if scheme == "https" {
                    channel = channel.tls_config(ClientTlsConfig::new().with_native_roots())?;
                }
                Way::Grpc(channel.timeout(timeout).connect_lazy())
            }
            other => return Err(format!("unknown exporter `{other}`").into()),
        };
        let mut headers = http::HeaderMap::new();
        for (name, value) in &exporter.headers {
            headers.insert(http::HeaderName::from_str(name)?, value.parse()?);
        }
        let resource = ResourceAttributesWithSchema::from(resource);
        Ok(Self {
            way,
            headers,
            resource,
            timeout,
            runtime: Handle::current(),
        })
    }
}

/// A path with its `/`.
fn rooted(path: &str) -> String {
    let slash = if path.starts_with('/') { "" } else { "/" };
    let path = format!("{slash}{path}");
    PathAndQuery::from_str(&path).map_or(path, |path| path.to_string())
}

impl fmt::Debug for Otlp {
    /// Headers hold tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Otlp").finish_non_exhaustive()
    }
}

impl SpanExporter for Otlp {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let message = ExportTraceServiceRequest { resource_spans };
        let (way, headers) = (self.way.clone(), self.headers.clone());
        let sending = time_limited(self.timeout, send(way, headers, message));
        let sent = match self.runtime.spawn(sending).await {
            Ok(sent) => sent,
            Err(error) => Err(error.into()),
        };
        sent.map_err(|error| {
            log(Level::Warn, "spans were lost", &[("error", &error)]);
            OTelSdkError::InternalFailure(error.to_string())
        })
    }
}

async fn time_limited(
    limit: Duration,
    sending: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    time::timeout(limit, sending).await?
}

async fn send(
    way: Way,
    headers: http::HeaderMap,
    message: ExportTraceServiceRequest,
) -> Result<(), Failure> {
    match way {
        Way::Http(client, uri) => {
            let mut request = Request::post(uri).body(Bytes::from(message.encode_to_vec()))?;
            *request.headers_mut() = headers;
            request
                .headers_mut()
                .insert(CONTENT_TYPE, "application/x-protobuf".parse()?);
            let status = client.send_unseen(request).await?.status();
            if status.is_success() {
                Ok(())
            } else {
                Err(format!("answered {status}").into())
            }
        }
        Way::Grpc(channel) => {
            let request = tonic::Request::from_parts(
                MetadataMap::from_headers(headers),
                tonic::Extensions::default(),
                message,
            );
            TraceServiceClient::new(channel).export(request).await?;
            Ok(())
        }
    }
}
