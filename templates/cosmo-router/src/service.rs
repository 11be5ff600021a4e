//! What this plugin does: one method for each operation of `src/schema.graphql`.

use std::{env, error::Error, fs};

use tonic::{Request, Response, Status};

use crate::{
    http_client::Client,
    plugin::{Host, Level, log},
    proto::{
        Greeting, ListOfString, LookupGreetingByIdRequest, LookupGreetingByIdResponse,
        QueryHelloRequest, QueryHelloResponse, Tone, {{rpc}}_service_server::{{pascal}}Service,
        list_of_string::List,
    },
};

/// The environment variable with the URL of a salutation to use instead of the asset's.
const SALUTATION_URL: &str = "SALUTATION_URL";
/// The header that the router must be told to forward (`headers.all.request` in its configuration) for a plugin to see it.
const LANGUAGE: &str = "accept-language";

/// The plugin's state, shared by all calls.
#[derive(Debug)]
pub struct Plugin {
    salutation: String,
    remote: Option<(Client, String)>,
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
        let remote = match env::var(SALUTATION_URL) {
            Ok(url) if !url.is_empty() => Some((Client::new(), url)),
            _ => None,
        };
        Ok(Self {
            salutation: text.trim().to_owned(),
            remote,
        })
    }

    /// The word to begin with. The request to the other service is part of the router's trace.
    async fn salutation(&self) -> Result<String, Status> {
        let Some((client, url)) = &self.remote else {
            return Ok(self.salutation.clone());
        };
        let answer = client.get(url).await.map_err(|error| {
            log(Level::Warn, "no salutation", &[("error", &error)]);
            Status::unavailable("no salutation")
        })?;
        Ok(String::from_utf8_lossy(answer.body()).trim().to_owned())
    }
}

#[tonic::async_trait]
impl {{pascal}}Service for Plugin {
    async fn query_hello(
        &self,
        request: Request<QueryHelloRequest>,
    ) -> Result<Response<QueryHelloResponse>, Status> {
        // Metadata are the headers of the call. The router adds its trace to them, and what it was told to forward.
        let language = request.metadata().get(LANGUAGE);
        let language = language
            .and_then(|value| value.to_str().ok())
            .unwrap_or("any")
            .to_owned();
        let message = request.into_inner();
        let (tone, name) = (message.tone(), message.name);
        if name.is_empty() {
            return Err(Status::invalid_argument("name is empty"));
        }
        log(
            Level::Debug,
            "greeting",
            &[("length", &name.len()), ("language", &language)],
        );
        let hello = greeting(&self.salutation().await?, name, tone);
        Ok(Response::new(QueryHelloResponse { hello: Some(hello) }))
    }

    /// The router asks for entities by their keys when other subgraphs refer to them. Each key has one answer, in the same
    /// order.
    async fn lookup_greeting_by_id(
        &self,
        request: Request<LookupGreetingByIdRequest>,
    ) -> Result<Response<LookupGreetingByIdResponse>, Status> {
        let salutation = self.salutation().await?;
        let keys = request.into_inner().keys.into_iter();
        let result = keys
            .map(|key| greeting(&salutation, key.id, Tone::Unspecified))
            .collect();
        Ok(Response::new(LookupGreetingByIdResponse { result }))
    }
}

/// A nullable field of the schema is an `Option`, but for a nullable enum, which has `Unspecified`.
fn greeting(salutation: &str, name: String, tone: Tone) -> Greeting {
    let mark = if tone == Tone::Warm { "!!!" } else { "!" };
    let also =
        (tone == Tone::Warm).then(|| vec![format!("Dear {name}"), format!("{name}, my friend")]);
    Greeting {
        text: format!("{salutation}, {name}{mark}"),
        id: name,
        tone: tone.into(),
        also: also.map(|items| ListOfString {
            list: Some(List { items }),
        }),
    }
}

#[cfg(test)]
mod tests {
    use tonic::{Code, service::Routes, transport::Channel};

    use super::*;
    use crate::{
        plugin::testing,
        proto::{
            LookupGreetingByIdRequestKey, {{rpc}}_service_client::{{pascal}}ServiceClient,
            {{rpc}}_service_server::{{pascal}}ServiceServer,
        },
    };

    async fn client(remote: Option<(Client, String)>) -> {{pascal}}ServiceClient<Channel> {
        let salutation = "Hello".to_owned();
        let service = {{pascal}}ServiceServer::new(Plugin { salutation, remote });
        {{pascal}}ServiceClient::new(testing::connect(Routes::new(service)).await)
    }

    #[tokio::test]
    async fn a_name_is_greeted_in_the_tone_that_was_asked_for() {
        let mut client = client(None).await;
        let mut hello = async |tone: Tone| {
            let request = QueryHelloRequest {
                name: "Ana".into(),
                tone: tone.into(),
            };
            let mut request = Request::new(request);
            request
                .metadata_mut()
                .insert(LANGUAGE, "en".parse().unwrap());
            client
                .query_hello(request)
                .await
                .unwrap()
                .into_inner()
                .hello
                .unwrap()
        };
        let plain = hello(Tone::Unspecified).await;
        assert_eq!(
            (plain.id.as_str(), plain.text.as_str()),
            ("Ana", "Hello, Ana!")
        );
        assert_eq!((plain.tone(), plain.also), (Tone::Unspecified, None));
        let warm = hello(Tone::Warm).await;
        assert_eq!(
            (warm.text.as_str(), warm.tone()),
            ("Hello, Ana!!!", Tone::Warm)
        );
        assert_eq!(
            warm.also.unwrap().list.unwrap().items,
            ["Dear Ana", "Ana, my friend"]
        );
    }

    #[tokio::test]
    async fn an_empty_name_is_refused() {
        let status = client(None)
            .await
            .query_hello(QueryHelloRequest::default())
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }

    #[tokio::test]
    async fn entities_come_in_the_order_of_their_keys() {
        let keys = ["Bo", "Ana"].map(|id| LookupGreetingByIdRequestKey { id: id.into() });
        let request = LookupGreetingByIdRequest { keys: keys.into() };
        let answer = client(None)
            .await
            .lookup_greeting_by_id(request)
            .await
            .unwrap()
            .into_inner();
        let ids: Vec<_> = answer
            .result
            .iter()
            .map(|greeting| greeting.id.as_str())
            .collect();
        assert_eq!(ids, ["Bo", "Ana"]);
    }

    #[tokio::test]
    async fn a_service_that_is_away_makes_the_call_unavailable() {
        let remote = Some((
            Client::new().without_retry(),
            "http://127.0.0.1:1/".to_owned(),
        ));
        let request = QueryHelloRequest {
            name: "Ana".into(),
            ..Default::default()
        };
        let status = client(remote).await.query_hello(request).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
    }
}
