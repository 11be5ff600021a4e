//! What this plugin does: one method for each operation of `src/schema.graphql`.

use std::{error::Error, fs};

use tonic::{Request, Response, Status};

use crate::{
    plugin::{Host, Level, log},
    proto::{
        Greeting, QueryHelloRequest, QueryHelloResponse,
        {{rpc}}_service_server::{{pascal}}Service,
    },
};

/// The plugin's state, shared by all calls.
#[derive(Debug)]
pub struct Plugin {
    salutation: String,
}

impl Plugin {
    /// Reads the assets once, before the first call.
    ///
    /// # Errors
    /// When an asset cannot be read.
    pub fn new(host: &Host) -> Result<Self, Box<dyn Error>> {
        let path = host.root.join("assets/greeting.txt");
        let text = fs::read_to_string(&path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Ok(Self {
            salutation: text.trim().to_owned(),
        })
    }
}

#[tonic::async_trait]
impl {{pascal}}Service for Plugin {
    async fn query_hello(
        &self,
        request: Request<QueryHelloRequest>,
    ) -> Result<Response<QueryHelloResponse>, Status> {
        let QueryHelloRequest { name } = request.into_inner();
        if name.is_empty() {
            return Err(Status::invalid_argument("name is empty"));
        }
        log(Level::Debug, "greeting", &[("length", &name.len())]);
        let text = format!("{}, {name}!", self.salutation);
        Ok(Response::new(QueryHelloResponse {
            hello: Some(Greeting { id: name, text }),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin() -> Plugin {
        Plugin {
            salutation: "Hello".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_name_is_greeted() {
        let request = Request::new(QueryHelloRequest { name: "Ana".into() });
        let answer = plugin().query_hello(request).await.unwrap().into_inner();
        let greeting = answer.hello.unwrap();
        assert_eq!(
            (greeting.id.as_str(), greeting.text.as_str()),
            ("Ana", "Hello, Ana!")
        );
    }

    #[tokio::test]
    async fn an_empty_name_is_refused() {
        let request = Request::new(QueryHelloRequest::default());
        let status = plugin().query_hello(request).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
    }
}
