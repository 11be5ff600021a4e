//! The program that the router starts.

use std::process::ExitCode;

use tonic::service::Routes;

use ::{{snake}}::{
    plugin::{self, MAX_MESSAGE_SIZE},
    proto::{{rpc}}_service_server::{{pascal}}ServiceServer,
    service::Plugin,
};

fn main() -> ExitCode {
    plugin::run(|host| {
        let service = {{pascal}}ServiceServer::new(Plugin::new(host)?);
        Ok(Routes::new(
            service.max_decoding_message_size(MAX_MESSAGE_SIZE),
        ))
    })
}
