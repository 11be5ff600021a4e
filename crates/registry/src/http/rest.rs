//! What is left of a request's body once the request is answered. Where a connection is closed with bytes of its client unread,
//! the client is reset, and often never sees why it was refused; so they are read, for a while, and thrown away. The answer says
//! that the connection ends, so that clients that look stop sending.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header;
use bytes::Bytes;
use futures_util::StreamExt as _;
use hyper::body::{Frame, SizeHint};

/// How long it is read for.
const LINGER: Duration = Duration::from_secs(30);
/// How long a client may be silent meanwhile.
const SILENCE: Duration = Duration::from_secs(5);

/// Sees to what nobody reads of a request, and knows of it.
pub(super) fn read_to_end(request: Request) -> (Request, Arc<AtomicBool>) {
    let is_left = Arc::new(AtomicBool::new(false));
    // Who waits for leave to send its body gets none.
    if request.headers().contains_key(header::EXPECT) || request.body().is_end_stream() {
        return (request, is_left);
    }
    (request.map(|body| Body::new(Rest { body: Some(body), is_left: is_left.clone() })), is_left)
}

/// A body that is read to its end, whoever lets go of it before.
struct Rest {
    body: Option<Body>,
    is_left: Arc<AtomicBool>,
}

impl HttpBody for Rest {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = std::task::ready!(Pin::new(body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        self.is_left.store(true, Ordering::Relaxed);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(LINGER, async {
                let mut pieces = body.into_data_stream();
                while let Ok(Some(Ok(_))) = tokio::time::timeout(SILENCE, pieces.next()).await {}
            }));
        }
    }
}
