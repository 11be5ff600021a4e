//! Starts the program as the router does, and talks to it over gRPC.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use ::{{snake}}::{
    controller::{Empty, grpc_controller_client::GrpcControllerClient},
    plugin::MAX_MESSAGE_SIZE,
    proto::{QueryHelloRequest, {{rpc}}_service_client::{{pascal}}ServiceClient},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_{{name}}");
const PATIENCE: Duration = Duration::from_secs(30);

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
    let request = QueryHelloRequest { name: "Ana".into() };
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
    let request = QueryHelloRequest { name: name.clone() };
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

fn router_command() -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .env("GRPC_DATASOURCE_PLUGIN", "GRPC_DATASOURCE_PLUGIN")
        .env("PLUGIN_PROTOCOL_VERSIONS", "1")
        .env("PLUGIN_MIN_PORT", "10000")
        .env("PLUGIN_MAX_PORT", "25000")
        .env(
            "startup_config",
            r#"{"ip_anonymization":{"enabled":true,"method":"redact"}}"#,
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A running plugin, killed when a test fails.
struct Plugin {
    child: Child,
    handshake: Vec<String>,
    stdout: mpsc::Receiver<String>,
    stderr: Option<thread::JoinHandle<Vec<u8>>>,
}

impl Plugin {
    fn start(sockets: &Path) -> Self {
        let mut child = router_command()
            .env("PLUGIN_UNIX_SOCKET_DIR", sockets)
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let stderr = thread::spawn(move || {
            let mut bytes = Vec::new();
            stderr.read_to_end(&mut bytes).unwrap();
            bytes
        });
        let (lines, stdout) = mpsc::channel();
        let reader = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            reader
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| lines.send(line))
        });
        let first = stdout.recv_timeout(PATIENCE).expect("no handshake");
        let handshake = first.split('|').map(str::to_owned).collect();
        Self {
            child,
            handshake,
            stdout,
            stderr: Some(stderr),
        }
    }

    async fn connect(&self) -> Channel {
        let uri = match self.handshake[2].as_str() {
            "unix" => format!("unix://{}", self.handshake[3]),
            _ => format!("http://{}", self.handshake[3]),
        };
        Endpoint::from_shared(uri).unwrap().connect().await.unwrap()
    }

    fn wait(&mut self) -> Output {
        let start = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if start.elapsed() > PATIENCE => panic!("the plugin does not stop"),
                None => thread::sleep(Duration::from_millis(10)),
            }
        };
        let stdout = self.stdout.iter().collect::<String>().into_bytes();
        let stderr = self.stderr.take().unwrap().join().unwrap();
        Output {
            status,
            stdout,
            stderr,
        }
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(unix)]
/// A short directory of its own, removed when dropped.
struct TempDir(PathBuf);

#[cfg(unix)]
impl TempDir {
    fn new(purpose: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("{{name}}-{}-{purpose}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

#[cfg(unix)]
impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
