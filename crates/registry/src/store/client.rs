//! How buckets are reached: over connections that read little at once, since each of many pulls has one, and what a connection has
//! read waits for whoever pulls.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::{Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector as Connector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpResponseBody, HttpService,
};
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};
use tower_service::Service;

/// What a connection reads at once, at most: 8 KiB, the least that hyper takes.
const PIECE: usize = 8 << 10;
/// How many connections wait for more to do.
const IDLE: usize = 64;
const IDLE_PATIENCE: Duration = Duration::from_secs(30);
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

type Boxed = Box<dyn Error + Send + Sync>;
type Pending<T> = Pin<Box<dyn Future<Output = Result<T, Boxed>> + Send>>;

/// Makes clients.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clients {
    /// How long to wait for an answer, and for each piece of it.
    pub(super) patience: Duration,
}

impl Connector for Clients {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let tls = ClientConfig::builder()
            .with_platform_verifier()
            .map_err(|error| object_store::Error::Generic { store: "the certificates of the system", source: Box::new(error) })?;
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT_PATIENCE.min(self.patience)));
        let ways = Ways { http, proxies: Arc::new(Matcher::from_env()) };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls.with_no_client_auth())
            .https_or_http()
            .enable_http1()
            .wrap_connector(ways);
        let mut builder = Client::builder(TokioExecutor::new());
        builder.http1_max_buf_size(PIECE).pool_timer(TokioTimer::new());
        builder.pool_max_idle_per_host(IDLE).pool_idle_timeout(IDLE_PATIENCE);
        Ok(HttpClient::new(Stores { client: builder.build(connector), patience: self.patience }))
    }
}

#[derive(Debug)]
struct Stores {
    client: Client<HttpsConnector<Ways>, HttpRequestBody>,
    patience: Duration,
}

impl HttpService for Stores {
    fn call<'service, 'answer>(
        &'service self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'answer>>
    where
        'service: 'answer,
    {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let answered = timeout(self.patience, self.client.request(Request::from_parts(head, body))).await;
            let response = answered.map_err(|error| HttpError::new(HttpErrorKind::Timeout, error))?;
            let response = response.map_err(|error| {
                let kind = if error.is_connect() { HttpErrorKind::Connect } else { kind(&error) };
                HttpError::new(kind, std::io::Error::other(causes(&error)))
            })?;
            Ok(response.map(|body| HttpResponseBody::new(Patient { body, patience: self.patience, waiting: None })))
        })
    }
}

/// What went wrong, as those who try again want to know it.
fn kind(error: &(dyn Error + 'static)) -> HttpErrorKind {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && (error.is_closed() || error.is_incomplete_message() || error.is_body_write_aborted())
        {
            return HttpErrorKind::Request;
        }
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return match error.kind() {
                std::io::ErrorKind::TimedOut => HttpErrorKind::Timeout,
                _ => HttpErrorKind::Interrupted,
            };
        }
        next = error.source();
    }
    HttpErrorKind::Unknown
}

/// An error and what caused it: which certificate is not trusted, which name is not known.
fn causes(error: &(dyn Error + 'static)) -> String {
    let (mut text, mut next) = (error.to_string(), error.source());
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// A body each of whose pieces comes in time, or an error does.
struct Patient {
    body: Incoming,
    patience: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Body for Patient {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.waiting = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| HttpError::new(kind(&error), error))));
        }
        let patience = self.patience;
        ready!(self.waiting.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(context));
        let error = std::io::Error::from(std::io::ErrorKind::TimedOut);
        Poll::Ready(Some(Err(HttpError::new(HttpErrorKind::Timeout, error))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Connections, through a proxy where the environment names one (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`).
#[derive(Clone, Debug)]
struct Ways {
    http: HttpConnector,
    proxies: Arc<Matcher>,
}

impl Service<Uri> for Ways {
    type Response = TokioIo<TcpStream>;
    type Error = Boxed;
    type Future = Pending<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Boxed>> {
        self.http.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let Some(proxy) = self.proxies.intercept(&to) else {
            let connecting = self.http.call(to);
            return Box::pin(async move { Ok(connecting.await?) });
        };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.http.clone());
        if let Some(credentials) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(credentials.clone());
        }
        Box::pin(async move { Ok(tunnel.call(to).await?) })
    }
}
