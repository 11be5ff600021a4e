//! What every call to the service passes through: its span, and the net below its panics.

use std::{
    convert::Infallible,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use tonic::{
    Code, Status,
    codegen::{Service, http},
    service::Routes,
};
use tower_layer::Layer;

use super::{panics, telemetry::Span};

/// The same routes, watched.
pub fn watched(routes: Routes) -> Routes {
    Routes::from(routes.into_axum_router().layer(Watch))
}

#[derive(Debug, Clone, Copy)]
struct Watch;

impl<S> Layer<S> for Watch {
    type Service = Watched<S>;

    fn layer(&self, inner: S) -> Watched<S> {
        Watched { inner }
    }
}

#[derive(Debug, Clone)]
struct Watched<S> {
    inner: S,
}

impl<S, Asked, Answer> Service<http::Request<Asked>> for Watched<S>
where
    S: Service<http::Request<Asked>, Response = http::Response<Answer>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    Asked: Send + 'static,
    Answer: Default + Send,
{
    type Response = http::Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Asked>) -> Self::Future {
        // The clone may not be ready yet; what was polled is.
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let span = Span::of_call(request.uri().path(), request.headers());
            let answer = async move { inner.call(request).await };
            let Some(answer) = panics::caught(span.around(answer)).await else {
                let status = Status::internal("internal server error");
                span.end_call(&status);
                return Ok(status.into_http());
            };
            let answer = answer?;
            // An answer without a message has its status in front; with a message, it is good.
            let status = Status::from_header_map(answer.headers());
            span.end_call(&status.unwrap_or_else(|| Status::new(Code::Ok, "")));
            Ok(answer)
        })
    }
}

#[cfg(test)]
mod tests {
    use tonic::{Request, Response};

    use super::super::testing;
    use super::*;
    use crate::controller::{
        Empty,
        grpc_controller_client::GrpcControllerClient,
        grpc_controller_server::{GrpcController, GrpcControllerServer},
    };

    /// Panics at each call, after having waited.
    struct Panics;

    #[tonic::async_trait]
    impl GrpcController for Panics {
        async fn shutdown(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
            tokio::task::yield_now().await;
            panic!("on purpose")
        }
    }

    #[tokio::test]
    async fn a_handler_that_panics_answers_internal_and_the_next_call_is_served() {
        let routes = Routes::new(GrpcControllerServer::new(Panics));
        let mut client = GrpcControllerClient::new(testing::connect(routes).await);
        for _ in 0..2 {
            let status = client.shutdown(Empty {}).await.unwrap_err();
            assert_eq!(status.code(), Code::Internal);
            assert_eq!(
                status.message(),
                "internal server error",
                "the panic's own words are for the log"
            );
        }
    }
}
