//! A collector of our own gets the spans of a plugin that runs as the router runs it.

#![cfg(all(unix, feature = "telemetry"))]

mod host;

use std::time::Duration;

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::span::SpanKind,
};
use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
    time,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status, transport::Server};

use crate::host::{Plugin, TempDir, router_command};
use ::{{snake}}::{
    controller::{Empty, grpc_controller_client::GrpcControllerClient},
    proto::{QueryHelloRequest, {{rpc}}_service_client::{{pascal}}ServiceClient},
};

const TRACE: &str = "463ac35c9f6413ad48485a3953bb6124";
const PARENT: &str = "a2fb4a1d1a96d312";

/// Takes one request; its head, in lower case, and its body.
async fn request(listener: &TcpListener, answer: &str) -> (String, Vec<u8>) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.unwrap();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{answer}",
        answer.len()
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
    (head, body)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_and_what_it_asks_of_others_are_spans_of_the_routers_trace() {
    let sockets = TempDir::new("spans");
    let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // A batch that would be sent long after this test: the stop sends it.
    let startup = serde_json::json!({
        "telemetry": {"tracing": {
            "exporters": [{
                "endpoint": format!("http://{}", collector.local_addr().unwrap()), "exporter": "http",
                "batch_timeout": 3_600_000_000_000_u64, "headers": {"authorization": "Bearer of the router"},
                "http_path": "/traces/here",
            }],
            "propagators": ["tracecontext", "baggage"],
            "sampler": 1,
        }},
    });
    let mut command = router_command();
    // What is not encrypted needs no certificates.
    command.env("SSL_CERT_FILE", "/dev/null");
    command
        .env("startup_config", startup.to_string())
        .env("PLUGIN_UNIX_SOCKET_DIR", &sockets.0);
    command.env(
        "SALUTATION_URL",
        format!("http://{}/word", other.local_addr().unwrap()),
    );
    let mut plugin = Plugin::spawn(&mut command);
    let channel = plugin.connect().await;

    let mut client = {{pascal}}ServiceClient::new(channel.clone());
    let traced = |name: &str| {
        let mut call = Request::new(QueryHelloRequest {
            name: name.into(),
            ..Default::default()
        });
        let header = format!("00-{TRACE}-{PARENT}-01").parse().unwrap();
        call.metadata_mut().insert("traceparent", header);
        call
    };
    let word = tokio::spawn(async move { request(&other, "Ahoy").await });
    let answer = client
        .query_hello(traced("Ana"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.hello.unwrap().text, "Ahoy, Ana!");
    let refused = client.query_hello(traced("")).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);

    let stop =
        tokio::spawn(async move { GrpcControllerClient::new(channel).shutdown(Empty {}).await });
    let sent = time::timeout(Duration::from_secs(30), request(&collector, ""));
    let (head, body) = sent.await.expect("no spans");
    stop.await.unwrap().unwrap();
    assert!(plugin.wait().status.success());

    assert!(head.starts_with("post /traces/here "), "{head}");
    assert!(
        head.contains("authorization: bearer of the router"),
        "{head}"
    );
    let message = ExportTraceServiceRequest::decode(&body[..]).unwrap();
    let [resource] = &message.resource_spans[..] else {
        panic!("{message:?}")
    };
    let text = |key: &str| {
        let attributes = &resource.resource.as_ref().unwrap().attributes;
        let found = attributes.iter().find(|attribute| attribute.key == key);
        found.and_then(|found| found.value.clone()?.value)
    };
    assert_eq!(
        text("service.name"),
        Some(Value::StringValue("{{name}}".into()))
    );
    assert_eq!(text("wg.is_plugin"), Some(Value::BoolValue(true)));
    let spans: Vec<_> = resource
        .scope_spans
        .iter()
        .flat_map(|scope| &scope.spans)
        .collect();
    assert_eq!(spans.len(), 3, "{spans:?}");
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE));
    let calls: Vec<_> = spans
        .iter()
        .filter(|span| span.kind() == SpanKind::Server)
        .collect();
    assert!(calls.iter().all(|span| hex(&span.parent_span_id) == PARENT));
    let codes: Vec<_> = calls
        .iter()
        .map(|span| span.status.as_ref().unwrap().code)
        .collect();
    assert_eq!(codes, [0, 2], "unset, and an error");
    let asked = spans
        .iter()
        .find(|span| span.kind() == SpanKind::Client)
        .unwrap();
    assert_eq!(asked.parent_span_id, calls[0].span_id);

    let (head, _) = word.await.unwrap();
    let header = format!("traceparent: 00-{TRACE}-{}-01", hex(&asked.span_id));
    assert!(head.contains(&header), "{head}");
}

/// Passes on what it receives, with the token it came with.
struct Collector(mpsc::UnboundedSender<(String, ExportTraceServiceRequest)>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let token = request
            .metadata()
            .get("authorization")
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        self.0.send((token, request.into_inner())).unwrap();
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_are_sent_by_grpc_too_and_not_at_all_when_the_sampler_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (send, mut received) = mpsc::unbounded_channel();
    let service = Server::builder().add_service(TraceServiceServer::new(Collector(send)));
    tokio::spawn(service.serve_with_incoming(TcpListenerStream::new(listener)));
    for sampler in [0, 1] {
        let sockets = TempDir::new(&format!("grpc{sampler}"));
        let startup = serde_json::json!({"telemetry": {"tracing": {
            "exporters": [{
                "endpoint": endpoint, "exporter": "grpc", "batch_timeout": 1_000_000,
                "headers": {"authorization": format!("Bearer {sampler}")},
            }],
            "sampler": sampler,
        }}});
        let mut command = router_command();
        command.env("startup_config", startup.to_string());
        let mut plugin = Plugin::spawn(command.env("PLUGIN_UNIX_SOCKET_DIR", &sockets.0));
        let channel = plugin.connect().await;
        let name = "Ana".to_owned();
        let request = QueryHelloRequest {
            name,
            ..Default::default()
        };
        {{pascal}}ServiceClient::new(channel.clone())
            .query_hello(request)
            .await
            .unwrap();
        GrpcControllerClient::new(channel)
            .shutdown(Empty {})
            .await
            .unwrap();
        assert!(plugin.wait().status.success());
    }
    // Each plugin sends its last spans before it ends, so that the first has sent none.
    let (token, message) = received.recv().await.unwrap();
    assert_eq!(token, "Bearer 1");
    let spans = &message.resource_spans[0].scope_spans[0].spans;
    assert_eq!(
        spans[0].name,
        "Router Plugin - /service.{{pascal}}Service/QueryHello"
    );
    assert!(received.try_recv().is_err());
}
