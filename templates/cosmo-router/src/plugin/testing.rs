//! A service without a process or a socket, for tests: it is called by gRPC through memory.

use std::io;

use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tonic::{
    codegen::http::Uri,
    service::Routes,
    transport::{Channel, Endpoint, Server},
};
use tower::service_fn;

use super::calls;

/// Serves the routes as `run` does, for as long as the channel to them is open.
///
/// # Panics
/// When there is no memory to speak through.
pub async fn connect(routes: Routes) -> Channel {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let incoming = tokio_stream::once(Ok::<DuplexStream, io::Error>(theirs));
    let server = Server::builder().add_routes(calls::watched(routes));
    tokio::spawn(server.serve_with_incoming(incoming));
    let mut ours = Some(ours);
    let connector = service_fn(move |_: Uri| {
        let stream = ours.take().ok_or(io::ErrorKind::NotConnected);
        async move { Ok::<_, io::Error>(TokioIo::new(stream?)) }
    });
    let endpoint = Endpoint::from_static("http://memory");
    endpoint
        .connect_with_connector(connector)
        .await
        .expect("no connection in memory")
}
