//! Errors of hosts.

use std::time::Duration;

use plugin_build::hosts::cosmo::agreement::{Difference, File, What};
use plugin_build::hosts::cosmo::contract::ContractError;
use plugin_build::hosts::cosmo::contract::directory::DirectoryError;
use plugin_build::hosts::cosmo::dev::sources::SourcesError;
use plugin_build::hosts::cosmo::dev::touch::TouchError;
use plugin_build::hosts::cosmo::execution::ExecutionError;
use plugin_build::hosts::cosmo::generate::{self, Position, Problem};
use plugin_build::hosts::cosmo::generated::{GenerateError, MoreWarnings};
use plugin_build::hosts::cosmo::process::{ApiError, HostError, Stage};
use plugin_build::hosts::cosmo::rules::CosmoError;
use plugin_build::hosts::cosmo::run::RouterError;
use plugin_oci::fs::FileError;
use plugin_oci::stores::StoreError;

use super::{errors, hold, list, path, refused, s, status};

#[test]
fn of_the_cosmo_router() {
    let bad_json = || serde_json::from_str::<u8>("\"\"").unwrap_err();
    let file = FileError { what: "write", path: path("/some/file"), source: std::io::ErrorKind::StorageFull.into() };
    let limit = Duration::from_secs(5);
    let all = errors![
        HostError::File(file),
        HostError::Runtime(refused()),
        HostError::Missing { path: path("/a") },
        HostError::Outside { entrypoint: s("/a"), path: path("/b") },
        HostError::NotExecutable { path: path("/a") },
        HostError::NoInterpreter { path: path("/a") },
        HostError::ExecFormat { path: path("/a") },
        HostError::Spawn { path: path("/a"), source: refused() },
        HostError::Cookie { status: status(), lines: list(&["a line"]) },
        HostError::Died { stage: Stage::Handshake, status: status(), lines: Vec::new() },
        HostError::Died { stage: Stage::Connection, status: status(), lines: Vec::new() },
        HostError::Silent { limit, lines: list(&["a line"]) },
        HostError::Closed { lines: Vec::new() },
        HostError::Garbage { line: s("hello") },
        HostError::CoreVersion { found: s("2") },
        HostError::AppVersion { found: s("2") },
        HostError::Network { found: s("udp") },
        HostError::Protocol { found: s("netrpc") },
        HostError::Tls,
        HostError::DeadSocket { address: s("127.0.0.1:1"), source: refused() },
        HostError::NotHttp { address: s("127.0.0.1:1"), reason: s("it closed") },
        HostError::Timeout { stage: Stage::Health, limit },
        HostError::Timeout { stage: Stage::Call, limit },
        HostError::Died { stage: Stage::Running, status: status(), lines: Vec::new() },
        HostError::NoHealth { reason: s("unimplemented"), missing: true },
        HostError::NoHealth { reason: s("it closed"), missing: false },
        HostError::NotServing { status: "NOT_SERVING" },
        HostError::CallFailed { method: s("a.B/C"), code: s("Internal"), message: s("no") },
        ApiError::NotText { name: s("a.proto") },
        ApiError::Compile { name: s("a.proto"), reason: s("1:1: no") },
        ApiError::Unknown { wanted: s("x"), name: s("a.proto"), nearest: Some(s("B/X")), available: list(&["B/X"]) },
        ApiError::Unknown { wanted: s("x"), name: s("a.proto"), nearest: None, available: list(&["B/X", "B/Y"]) },
        ApiError::Unknown { wanted: s("x"), name: s("a.proto"), nearest: None, available: Vec::new() },
        ApiError::Ambiguous { wanted: s("X"), paths: [s("A/X"), s("B/X")] },
        ApiError::Streaming { method: s("B/X") },
        ApiError::Request { method: s("B/X"), message: s("M"), source: bad_json() },
        ApiError::Answer { method: s("B/X"), message: s("M"), reason: s("cut short") },
        CosmoError::Platform("linux/s390x".parse().unwrap()),
        CosmoError::System,
        CosmoError::Link(s("a")),
        CosmoError::Entrypoint(list(&["/a", "b"])),
        CosmoError::Missing { what: "proto", path: path("generated/service.proto") },
        CosmoError::Unreadable { path: path("mapping.json"), detail: s("it is no JSON") },
        CosmoError::NoService { service: s("S"), proto: path("a.proto") },
        CosmoError::Streaming { rpc: s("X"), proto: path("a.proto") },
        CosmoError::Unmapped { rpc: s("X"), proto: path("a.proto"), mapping: path("mapping.json") },
        CosmoError::Unserved { rpc: s("X"), proto: path("a.proto"), mapping: path("mapping.json") },
        CosmoError::Stale {
            schema: path("src/schema.graphql"),
            proto: path("service.proto"),
            mapping: path("mapping.json"),
            differences: vec![
                Difference { part: s("A.b"), file: File::Mapping, what: What::Missing },
                Difference { part: s("A.c"), file: File::Proto, what: What::Gone },
                Difference {
                    part: s("A.d"),
                    file: File::Proto,
                    what: What::Changed { found: s("string"), wanted: s("repeated string") },
                },
            ],
        },
        RouterError::NoProto,
        RouterError::StartupConfig(bad_json()),
        ContractError::Store(StoreError::MissingBlob { store: s("oci:dir"), digest: s("sha256:abc") }),
        ContractError::Incomplete { store: s("oci:dir"), title: "service.proto" },
    ];
    hold("of_the_cosmo_router", all);
}

#[test]
fn of_the_routers_files() {
    let config = || path("config.json");
    let schema = || path("src/schema.graphql");
    let at = Position { line: 2, column: 3 };
    let mut all = errors![
        ContractError::Absent { store: s("oci:dir"), named: s("sha256:abc"), others: 1 },
        DirectoryError::Differs { paths: vec![path("a"), path("b")] },
        DirectoryError::InTheWay { path: path("a") },
        SourcesError::Watch { path: path("src"), source: notify::Error::new(notify::ErrorKind::MaxFilesWatch) },
        SourcesError::Ended,
        TouchError::NotAConfig { path: config(), reason: s("it has no version") },
        ExecutionError::NoFile { path: path("/") },
        ExecutionError::Link { path: config() },
        ExecutionError::Changed { path: config() },
        ExecutionError::Unknown { path: config(), name: s("a"), known: list(&["b", "c"]) },
        ExecutionError::Twice(s("a")),
        ExecutionError::Registries { first: s("a.example"), second: s("b.example") },
        ExecutionError::Kind { image: s("oci:dir"), kind: s("executable") },
        ExecutionError::NotInRegistry { image: s("oci:dir") },
        ExecutionError::NoName { image: s("oci:dir") },
        ExecutionError::NoContract { image: s("oci:dir") },
        ExecutionError::NoPrevious { path: path("config.json.previous") },
        ExecutionError::Composed { path: config() },
        CosmoError::Schema {
            path: schema(),
            source: generate::Error::Schema(vec![Problem::new(at, "expected a type", "write one")])
        },
        GenerateError::NoPlugin { selected: list(&["a", "b"]) },
        GenerateError::Outside { directory: path("src/generated"), real: path("/elsewhere") },
        GenerateError::Engine { path: schema(), source: generate::Error::Proto(s("`A` is there twice")) },
        CosmoError::Schema { path: schema(), source: generate::Error::Lock { at, message: s("missing field") } },
        CosmoError::Schema { path: schema(), source: generate::Error::Size { what: "the schema", limit: 4 << 20 } },
        CosmoError::Schema { path: schema(), source: generate::Error::Proto(s("`A` is there twice")) },
    ];
    all.push(("MoreWarnings", MoreWarnings { schema: s("src/schema.graphql"), count: 3 }.into()));
    hold("of_the_routers_files", all);
}
