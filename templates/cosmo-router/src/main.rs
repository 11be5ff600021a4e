//! The program that the router starts.

use std::process::ExitCode;

use tonic::service::Routes;

use {{snake}}::{
    plugin::{self, MAX_MESSAGE_SIZE},
    proto::{{snake}}_service_server::{{pascal}}ServiceServer,
    service::{{pascal}},
};

fn main() -> ExitCode {
    plugin::run(|host| {
        let service = {{pascal}}ServiceServer::new({{pascal}}::new(host)?);
        Ok(Routes::new(
            service.max_decoding_message_size(MAX_MESSAGE_SIZE),
        ))
    })
}
