//! Connections.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::{Registry, Tls};

/// Everything before the body of a request, with its line: 16 KiB. So much of an answer waits for its client as well.
const HEAD: usize = 16 << 10;
const HEADERS: usize = 100;
/// How long a head may take, and how long a connection stays open without one.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);
/// How long requests may take to end once the server is to stop.
const GRACE: Duration = Duration::from_secs(30);
/// So many are served at once; more wait to be accepted.
const CONNECTIONS: usize = 4096;

/// A server that listens, and takes nothing yet.
pub struct Listening {
    listener: TcpListener,
}

/// Listens at an address.
pub async fn listen(address: SocketAddr) -> std::io::Result<Listening> {
    Ok(Listening { listener: TcpListener::bind(address).await? })
}

impl Listening {
    /// Where.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` ends; then the requests that have begun.
    pub async fn serve(self, registry: Arc<Registry>, tls: Option<Tls>, stop: impl Future<Output = ()>) {
        let (graceful, room) = (GracefulShutdown::new(), Arc::new(Semaphore::new(CONNECTIONS)));
        let mut stop = std::pin::pin!(stop);
        let keeping_up = tokio::spawn(registry.clone().keep_up());
        loop {
            let accepted = async {
                let permit = room.clone().acquire_owned().await;
                (self.listener.accept().await, permit)
            };
            let (accepted, permit) = tokio::select! {
                accepted = accepted => accepted,
                () = &mut stop => break,
            };
            let Ok((stream, client)) = accepted else {
                // Too many files are open: others have to close some.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            drop(stream.set_nodelay(true));
            let (registry, watcher) = (registry.clone(), graceful.watcher());
            match tls.clone() {
                None => drop(tokio::spawn(async move {
                    converse(stream, registry, client.ip(), watcher).await;
                    drop(permit);
                })),
                Some(Tls(acceptor)) => drop(tokio::spawn(async move {
                    // What goes wrong here is the client's business.
                    if let Ok(Ok(stream)) = tokio::time::timeout(HEAD_PATIENCE, acceptor.accept(stream)).await {
                        converse(stream, registry, client.ip(), watcher).await;
                    }
                    drop(permit);
                })),
            }
        }
        drop(self.listener);
        keeping_up.abort();
        drop(tokio::time::timeout(GRACE, graceful.shutdown()).await);
        registry.end().await;
    }
}

/// Answers what comes over a connection, until it or the server ends.
async fn converse<S>(stream: S, registry: Arc<Registry>, client: IpAddr, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let patience = HEAD_PATIENCE.min(registry.settings.patience);
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let registry = registry.clone();
        async move {
            let request = request.map(axum::body::Body::new);
            // What it took to answer is not kept while the answer is read.
            Ok::<_, std::convert::Infallible>(Box::pin(registry.answer(request, Some(client))).await)
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(patience).max_buf_size(HEAD).max_headers(HEADERS);
    // What goes wrong with a connection is its client's business.
    drop(watcher.watch(builder.serve_connection(TokioIo::new(stream), service)).await);
}
