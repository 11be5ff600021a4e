//! The host's side of the wire: gRPC over plaintext HTTP/2, message bytes in, message bytes out.
//!
//! The functions of this module wait on a runtime that belongs to the caller, so that nothing outside is asynchronous.

use std::io;

use hyper_util::rt::TokioIo;
use prost::Message;
use prost::bytes::{Buf as _, BufMut as _};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Status};

use super::handshake::Address;

/// The router takes and sends messages of any size that gRPC can hold.
const MESSAGE_LIMIT: usize = i32::MAX as usize;

/// Why there is no connection.
pub(super) enum ConnectError {
    /// Nobody listens.
    Dial(io::Error),
    /// Somebody does, but speaks something else.
    Http(String),
}

/// Connects now.
pub(super) async fn connect(address: &Address) -> Result<Channel, ConnectError> {
    let mut first = Some(dial(address).await.map_err(ConnectError::Dial)?);
    let target = address.clone();
    let connector = tower::service_fn(move |_: Uri| {
        let (ready, target) = (first.take(), target.clone());
        async move {
            match ready {
                Some(stream) => Ok(stream),
                None => dial(&target).await,
            }
        }
    });
    // The authority is a formality where there is no name.
    let endpoint = Endpoint::from_static("http://plugin");
    endpoint.connect_with_connector(connector).await.map_err(|error| ConnectError::Http(last_cause(&error)))
}

type Stream = TokioIo<Box<dyn Both>>;

/// What a socket is to HTTP/2.
trait Both: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Both for T {}

async fn dial(address: &Address) -> io::Result<Stream> {
    let stream: Box<dyn Both> = match address {
        #[cfg(unix)]
        Address::Unix(path) => Box::new(tokio::net::UnixStream::connect(path).await?),
        #[cfg(not(unix))]
        Address::Unix(_) => return Err(io::ErrorKind::Unsupported.into()),
        Address::Tcp(address) => Box::new(tokio::net::TcpStream::connect(address).await?),
    };
    Ok(TokioIo::new(stream))
}

fn last_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

/// Calls a unary method with the bytes of a request.
pub(super) async fn unary(channel: Channel, method: &str, request: Vec<u8>) -> Result<Vec<u8>, Status> {
    let path = PathAndQuery::try_from(method).map_err(|error| Status::invalid_argument(error.to_string()))?;
    let mut client = Grpc::new(channel).max_decoding_message_size(MESSAGE_LIMIT).max_encoding_message_size(MESSAGE_LIMIT);
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    Ok(client.unary(Request::new(request), path, Bytes).await?.into_inner())
}

/// `grpc.health.v1.Health/Check` for a service.
pub(super) async fn health(channel: Channel, service: &str) -> Result<i32, Status> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = unary(channel, "/grpc.health.v1.Health/Check", request.encode_to_vec()).await?;
    let answer = HealthCheckResponse::decode(answer.as_slice()).map_err(|error| Status::internal(error.to_string()))?;
    Ok(answer.status)
}

/// `plugin.GRPCController/Shutdown`: an empty message each way.
pub(super) async fn shutdown(channel: Channel) -> Result<(), Status> {
    unary(channel, "/plugin.GRPCController/Shutdown", Vec::new()).await.map(drop)
}

/// grpc-proto, `grpc/health/v1/health.proto`.
#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// Of the same file; `status` is `ServingStatus`.
#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// `ServingStatus.SERVING`.
pub(super) const SERVING: i32 = 1;

/// `ServingStatus.SERVICE_UNKNOWN`.
pub(super) const SERVICE_UNKNOWN: i32 = 3;

/// The name of a `ServingStatus`.
pub(super) const fn status_name(status: i32) -> &'static str {
    match status {
        0 => "UNKNOWN",
        SERVING => "SERVING",
        2 => "NOT_SERVING",
        SERVICE_UNKNOWN => "SERVICE_UNKNOWN",
        _ => "a status of an unknown number",
    }
}

/// gRPC's own name of a status.
pub(super) const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Passes message bytes through.
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut message = vec![0; from.remaining()];
        from.copy_to_slice(&mut message);
        Ok(Some(message))
    }
}
