//! A client for other services by HTTP/1.1 and TLS: it repeats what failed, and its requests are part of the trace of the
//! call that made them.

use std::{error::Error, fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header::RETRY_AFTER};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore};
use tokio::time;

use crate::plugin::{Level, log, telemetry::Span};

/// The largest answer to accept, in bytes.
const MAX_ANSWER: usize = 16 << 20;
/// The longest pause that a server may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Keeps connections open between requests; clones share them.
#[derive(Debug, Clone)]
pub struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
    retries: u32,
    pause: Duration,
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// Trusts the system's certificates, of `SSL_CERT_FILE` or `SSL_CERT_DIR` where set; without any, `https` fails, and
    /// `http` does not. 30 seconds for a request, up to three more tries after pauses of 0.2, 0.4 and 0.8 seconds.
    #[must_use]
    pub fn new() -> Self {
        let connector = match HttpsConnectorBuilder::new().with_native_roots() {
            Ok(connector) => connector,
            Err(error) => {
                log(
                    Level::Warn,
                    "no certificates, and no https",
                    &[("error", &error)],
                );
                let config = ClientConfig::builder().with_root_certificates(RootCertStore::empty());
                HttpsConnectorBuilder::new().with_tls_config(config.with_no_client_auth())
            }
        };
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build(connector.https_or_http().enable_http1().build());
        Self {
            pool,
            timeout: Duration::from_secs(30),
            retries: 3,
            pause: Duration::from_millis(200),
        }
    }

    /// Tries once.
    #[must_use]
    pub fn without_retry(self) -> Self {
        Self { retries: 0, ..self }
    }

    /// Gives each try this long.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Asks for a URL; any status but 2xx is an error.
    ///
    /// # Errors
    /// As `send`, and for such a status.
    pub async fn get(&self, url: &str) -> Result<Response<Bytes>, HttpError> {
        let request = Request::get(url)
            .body(Bytes::new())
            .map_err(HttpError::of)?;
        let answer = self.send(request).await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(HttpError(
            format!("{url} answered {}", answer.status()).into(),
        ))
    }

    /// Sends a request as it is, once: for what must not be traced itself.
    ///
    /// # Errors
    /// As `send`.
    pub async fn send_unseen(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.once(request.map(Full::new)).await
    }

    /// Sends a request. Methods that may be repeated are, when there is no answer, or one of 429, 500, 502, 503 and 504.
    ///
    /// # Errors
    /// When the last try has no answer, or one of more than 16 MiB.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (mut parts, body) = request.into_parts();
        let span = Span::of_request(parts.method.as_str(), &parts.uri.to_string());
        span.inject(&mut parts.headers);
        let request = Request::from_parts(parts, Full::new(body));
        let result = span.around(self.tries(&request)).await;
        let status = result.as_ref().map(|answer| answer.status().as_u16());
        span.end_request(status.map_err(ToString::to_string));
        result
    }

    async fn tries(&self, request: &Request<Full<Bytes>>) -> Result<Response<Bytes>, HttpError> {
        let repeatable = request.method().is_idempotent() && request.method() != Method::CONNECT;
        let mut pause = self.pause;
        for _ in 0..if repeatable { self.retries } else { 0 } {
            let asked = match self.once(request.clone()).await {
                Ok(answer) if !is_passing(answer.status()) => return Ok(answer),
                Ok(answer) => retry_after(answer.headers()),
                Err(_) => None,
            };
            time::sleep(asked.unwrap_or(pause).min(MAX_PAUSE)).await;
            pause *= 2;
        }
        self.once(request.clone()).await
    }

    async fn once(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, HttpError> {
        let answer = async {
            let answer = self.pool.request(request).await.map_err(HttpError::of)?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, MAX_ANSWER)
                .collect()
                .await
                .map_err(HttpError)?;
            Ok(Response::from_parts(parts, body.to_bytes()))
        };
        time::timeout(self.timeout, answer)
            .await
            .map_err(HttpError::of)?
    }
}

/// Whether the same request may do better later.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504)
}

/// The pause that a server asks for, when it says it in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Why there is no answer.
#[derive(Debug)]
pub struct HttpError(Box<dyn Error + Send + Sync>);

impl HttpError {
    fn of(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for HttpError {
    /// With all causes: the first alone is "client error".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl Error for HttpError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Answers one connection after the other; gives its URL, and then the requests.
    async fn server(
        answers: &'static [&'static str],
    ) -> (String, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/word", listener.local_addr().unwrap());
        let requests = tokio::spawn(async move {
            let mut requests = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                let head = format!("HTTP/1.1 {answer}");
                stream.write_all(head.as_bytes()).await.unwrap();
                requests.push(String::from_utf8(request).unwrap());
            }
            requests
        });
        (url, requests)
    }

    fn client() -> Client {
        Client {
            pause: Duration::from_millis(1),
            ..Client::new()
        }
    }

    const BUSY: &str = "503 Service Unavailable\r\nretry-after: 0\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    const GOOD: &str = "200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nHi";

    #[tokio::test]
    async fn what_fails_for_now_is_repeated() {
        let (url, requests) = server(&[BUSY, "", GOOD]).await;
        let answer = client().get(&url).await.unwrap();
        assert_eq!(answer.body(), "Hi");
        let requests = requests.await.unwrap();
        assert!(
            requests
                .iter()
                .all(|request| request.starts_with("GET /word HTTP/1.1\r\n"))
        );
    }

    #[tokio::test]
    async fn what_may_not_be_repeated_is_not() {
        let (url, requests) = server(&[BUSY]).await;
        let request = Request::post(&url).body(Bytes::new()).unwrap();
        let answer = client().send(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(requests.await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn an_error_has_all_its_causes() {
        let error = client()
            .without_retry()
            .get("http://127.0.0.1:1/")
            .await
            .unwrap_err();
        assert!(
            error.to_string().to_lowercase().contains("refused"),
            "{error}"
        );
    }
}
