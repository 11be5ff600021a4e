//! A Cosmo Router plugin.
//!
//! `service` answers the schema's operations: change that. `plugin` speaks with the router: leave it as it is.

pub mod http_client;
pub mod plugin;
pub mod service;

/// The messages and the service of `generated/service.proto`.
pub mod proto {
    #![allow(missing_docs, clippy::all, clippy::pedantic)]
    tonic::include_proto!("service");
}

/// The host's control protocol, `proto/controller.proto`.
pub mod controller {
    #![allow(missing_docs, clippy::all, clippy::pedantic)]
    tonic::include_proto!("plugin");
}
