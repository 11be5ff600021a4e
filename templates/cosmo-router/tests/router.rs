//! Starts the program as the router does, and talks to it over gRPC.

mod host;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tonic::transport::Channel;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::host::{PROGRAM, Plugin, TempDir, router_command};
use ::{{snake}}::{
    controller::{Empty, grpc_controller_client::GrpcControllerClient},
    plugin::MAX_MESSAGE_SIZE,
    proto::{QueryHelloRequest, {{rpc}}_service_client::{{pascal}}ServiceClient},
};

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn the_router_starts_calls_and_stops_the_plugin() {
    let sockets = TempDir::new("whole");
    let mut plugin = Plugin::start(&sockets.0);
    assert_eq!(plugin.handshake[..3], ["1", "1", "unix"]);
    assert_eq!(plugin.handshake[4], "grpc");
    let socket = PathBuf::from(&plugin.handshake[3]);
    assert!(socket.starts_with(&sockets.0) && socket.exists());

    let channel = plugin.connect().await;
    assert_eq!(health(channel.clone()).await, ServingStatus::Serving);

    let mut service =
        {{pascal}}ServiceClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE_SIZE);
    let request = QueryHelloRequest {
        name: "Ana".into(),
        ..Default::default()
    };
    let greeting = service
        .query_hello(request)
        .await
        .unwrap()
        .into_inner()
        .hello
        .unwrap();
    assert_eq!(
        (greeting.id.as_str(), greeting.text.as_str()),
        ("Ana", "Hello, Ana!")
    );

    let name = "x".repeat(9 << 20);
    let request = QueryHelloRequest {
        name: name.clone(),
        ..Default::default()
    };
    let greeting = service
        .query_hello(request)
        .await
        .unwrap()
        .into_inner()
        .hello
        .unwrap();
    assert!(
        greeting.id == name,
        "a message above tonic's 4 MiB must pass unchanged"
    );

    GrpcControllerClient::new(channel)
        .shutdown(Empty {})
        .await
        .unwrap();
    let output = plugin.wait();
    assert!(output.status.success(), "{output:?}");
    assert!(
        output.stdout.is_empty(),
        "nothing may follow the handshake on stdout"
    );
    for line in String::from_utf8(output.stderr).unwrap().lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(
            entry["@level"].is_string() && entry["@message"].is_string(),
            "{line}"
        );
    }
    assert!(!socket.exists(), "the socket's file must be gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_place_for_a_socket_the_plugin_listens_on_tcp() {
    let mut plugin = Plugin::start(Path::new("/dev/null/none"));
    assert_eq!(plugin.handshake[..3], ["1", "1", "tcp"]);
    let channel = plugin.connect().await;
    assert_eq!(health(channel.clone()).await, ServingStatus::Serving);
    GrpcControllerClient::new(channel)
        .shutdown(Empty {})
        .await
        .unwrap();
    assert!(plugin.wait().status.success());
}

#[test]
fn a_user_who_starts_the_plugin_is_told_what_it_is() {
    let output = Command::new(PROGRAM)
        .env_remove("GRPC_DATASOURCE_PLUGIN")
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8(output.stderr).unwrap().contains("plugin"));
}

#[test]
fn a_host_of_another_protocol_is_refused() {
    let output = router_command()
        .env("PLUGIN_PROTOCOL_VERSIONS", "2,3")
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("protocol 2,3")
    );
}

#[test]
fn every_rpc_of_the_service_is_in_the_mapping() {
    let proto = include_str!("../generated/service.proto");
    let mapping = include_str!("../generated/mapping.json");
    let mapping: serde_json::Value = serde_json::from_str(mapping).unwrap();
    let service = mapping["service"].as_str().unwrap();
    assert!(
        proto.contains(&format!("service {service} {{")),
        "{service}"
    );

    let mut mapped: Vec<&str> = Vec::new();
    for (list, key) in [
        ("operationMappings", "mapped"),
        ("entityMappings", "rpc"),
        ("resolveMappings", "rpc"),
    ] {
        let entries = mapping[list].as_array().into_iter().flatten();
        mapped.extend(entries.filter_map(|entry| entry[key].as_str()));
    }
    mapped.sort_unstable();
    let mut declared: Vec<&str> = proto
        .lines()
        .filter_map(|line| line.trim().strip_prefix("rpc ")?.split('(').next())
        .collect();
    declared.sort_unstable();
    assert_eq!(declared, mapped);
}

async fn health(channel: Channel) -> ServingStatus {
    let request = HealthCheckRequest {
        service: "plugin".into(),
    };
    HealthClient::new(channel)
        .check(request)
        .await
        .unwrap()
        .into_inner()
        .status()
}
