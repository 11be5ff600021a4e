//! Plugins under the host that we play: one that works, and one for each way not to.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::hints::hint;
use plugin_build::hosts::cosmo::process::{Address, Api, HostError, Launch, STARTUP_CONFIG, Session, Stage};
use plugin_oci::progress::{LogLevel, Silent};
use serde_json::{Value, json};

use crate::support::plugins;
use crate::support::recorder::Recorder;

/// Long enough for a loaded machine, for what must happen.
const PATIENCE: Duration = Duration::from_mins(1);
/// Short, for what must not.
const HASTE: Duration = Duration::from_millis(300);

/// A plugin's root with one program in it.
struct Root(tempfile::TempDir);

impl Root {
    fn empty() -> Self {
        let root = Self(tempfile::tempdir().unwrap());
        fs::create_dir(root.0.path().join("bin")).unwrap();
        root
    }

    fn of_program(program: &Path) -> Self {
        let root = Self::empty();
        fs::copy(program, root.0.path().join("bin/program")).unwrap();
        root
    }

    fn of_bytes(bytes: &[u8], mode: u32) -> Self {
        let root = Self::empty();
        let path = root.0.path().join("bin/program");
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        root
    }

    fn of_script(script: &str) -> Self {
        Self::of_bytes(format!("#!/bin/sh\n{script}\n").as_bytes(), 0o755)
    }

    fn with_fault(fault: &str) -> (Self, Launch) {
        let root = Self::of_program(&plugins::fixture("misbehaving"));
        let launch = Launch { startup_config: json!({ "fault": fault }).to_string(), ..root.launch() };
        (root, launch)
    }

    fn launch(&self) -> Launch {
        Launch {
            root: self.0.path().to_owned(),
            entrypoint: "./bin/program".to_owned(),
            startup_config: STARTUP_CONFIG.to_owned(),
            timeout: PATIENCE,
            grace: PATIENCE,
            scratch: std::env::temp_dir(),
            // So that every test here is one of a plugin that was started as `run` starts it.
            starter: Some(env!("CARGO_BIN_EXE_cargo-plugin-build").into()),
        }
    }
}

/// Starts a plugin and asks for its health; the failure.
fn failure(launch: &Launch) -> HostError {
    let result = Session::start(launch, &Silent).and_then(|mut session| session.check_health());
    result.expect_err("something must be wrong")
}

fn failure_of(fault: &str) -> HostError {
    failure(&Root::with_fault(fault).1)
}

#[test]
#[ignore = "slow"]
fn the_template_starts_tells_its_health_answers_and_stops() {
    let root = Root::of_program(&plugins::template("cosmo-router", "greeter"));
    fs::create_dir(root.0.path().join("assets")).unwrap();
    fs::write(root.0.path().join("assets/greeting.txt"), "Good day\n").unwrap();
    let recorder = Recorder::default();
    let mut session = Session::start(&root.launch(), &recorder).unwrap();
    assert!(session.handshake().line.starts_with("1|1|unix|"), "{:?}", session.handshake());
    let Address::Unix(socket) = session.handshake().address.clone() else { panic!("a socket is possible here") };
    assert!(socket.exists());
    session.check_health().unwrap();

    let api = Api::of_file(&plugins::package("cosmo-router", "greeter").join("generated/service.proto")).unwrap();
    let method = api.method("QueryHello").unwrap();
    let request = method.request(r#"{"name": "Ana"}"#).unwrap();
    let answer = method.answer(&session.call(&method.path(), request).unwrap()).unwrap();
    assert_eq!(answer, json!({ "hello": { "id": "Ana", "text": "Good day, Ana!" } }));

    let refused = session.call(&method.path(), Vec::new()).unwrap_err();
    assert!(matches!(&refused, HostError::CallFailed { code, .. } if code == "INVALID_ARGUMENT"), "{refused}");

    let (stopped, seen) = session.stop();
    assert!(stopped.graceful && stopped.success, "{stopped:?}");
    assert_eq!(stopped.answer, "OK");
    assert_eq!(seen.stray, 0);
    assert!(recorder.logs().iter().any(|(level, text)| *level == LogLevel::Debug && text == "greeting language=any length=3"));
    assert!(!socket.parent().unwrap().exists(), "the directory for sockets must be gone");
}

#[test]
#[ignore = "slow"]
fn messages_beyond_four_megabytes_pass_both_ways() {
    let (_root, launch) = Root::with_fault("");
    let mut session = Session::start(&launch, &Silent).unwrap();
    let text = "x".repeat(3 << 20);
    let request = prost_bytes(&text);
    assert_eq!(session.call("/service.MisbehavingService/QueryEcho", request.clone()).unwrap(), request);
    assert!(session.stop().0.graceful);
}

/// Field 1 as a string.
fn prost_bytes(text: &str) -> Vec<u8> {
    let mut bytes = vec![0x0a];
    let mut length = text.len();
    while length >= 0x80 {
        bytes.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).unwrap());
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

#[test]
#[ignore = "slow"]
fn a_plugin_gets_the_routers_variables_and_directory_and_no_others() {
    let root = Root::of_script("env >&2; pwd -P >&2; echo \"$# arguments\" >&2; exit 4");
    let HostError::Died { lines, .. } = failure(&root.launch()) else { panic!("it dies") };
    for expected in [
        "GRPC_DATASOURCE_PLUGIN=GRPC_DATASOURCE_PLUGIN".to_owned(),
        "PLUGIN_PROTOCOL_VERSIONS=1".to_owned(),
        "PLUGIN_MIN_PORT=10000".to_owned(),
        "PLUGIN_MAX_PORT=25000".to_owned(),
        format!("startup_config={STARTUP_CONFIG}"),
        root.0.path().canonicalize().unwrap().display().to_string(),
        "0 arguments".to_owned(),
    ] {
        assert!(lines.contains(&expected), "{expected}: {lines:?}");
    }
    assert!(!lines.iter().any(|line| line.starts_with("HOME=") || line.starts_with("CARGO")), "{lines:?}");
}

#[test]
#[ignore = "slow"]
fn a_plugin_that_expects_another_cookie_is_told_from_one_that_dies() {
    let error = failure_of("cookie");
    assert!(matches!(error, HostError::Cookie { .. }), "{error}");
    assert!(hint(&error).unwrap().contains("GRPC_DATASOURCE_PLUGIN"));
    let error = failure_of("exit");
    let HostError::Died { stage: Stage::Handshake, status, lines } = &error else { panic!("{error}") };
    assert_eq!(status.code(), Some(7));
    assert_eq!(lines, &["no licence found"]);
    assert!(error.to_string().contains("no licence found"), "{error}");
}

#[test]
#[ignore = "slow"]
fn a_plugin_that_says_nothing_is_given_up_after_the_timeout() {
    let (_root, launch) = Root::with_fault("silent");
    let error = failure(&Launch { timeout: HASTE, ..launch });
    assert!(matches!(error, HostError::Silent { limit: HASTE, .. }), "{error}");
    let (_root, launch) = Root::with_fault("closed");
    let error = failure(&Launch { timeout: HASTE, ..launch });
    assert!(matches!(error, HostError::Closed { .. }), "{error}");
}

#[test]
#[ignore = "slow"]
fn a_first_line_that_is_no_handshake_is_shown() {
    for (line, shown) in [("say Listening on :8080", "Listening on :8080"), ("say \u{1b}[2J", "\\u{1b}[2J")] {
        let error = failure_of(line);
        assert!(matches!(&error, HostError::Garbage { line } if line == shown), "{error}");
        assert!(hint(&error).unwrap().contains("println"));
    }
}

#[test]
#[ignore = "slow"]
fn a_handshake_of_another_kind_is_refused_for_its_own_reason() {
    assert!(matches!(failure_of("2|1|unix|/s|grpc"), HostError::CoreVersion { .. }));
    assert!(matches!(failure_of("1|2|unix|/s|grpc"), HostError::AppVersion { .. }));
    assert!(matches!(failure_of("1|1|unix|/s|netrpc"), HostError::Protocol { .. }));
    assert!(matches!(failure_of("1|1|unix|/s"), HostError::Protocol { .. }));
    assert!(matches!(failure_of("1|1|unix|/s|grpc|MIIB"), HostError::Tls));
}

#[test]
#[ignore = "slow"]
fn a_socket_on_which_nobody_listens_is_named() {
    let error = failure_of("dead-socket");
    let HostError::DeadSocket { address, .. } = &error else { panic!("{error}") };
    assert!(address.starts_with("unix://"), "{address}");
    let error = failure_of("1|1|tcp|127.0.0.1:1|grpc");
    assert!(matches!(&error, HostError::DeadSocket { address, .. } if address == "tcp://127.0.0.1:1"), "{error}");
}

#[test]
#[ignore = "slow"]
fn a_plugin_without_health_is_told_from_one_that_is_not_serving() {
    let error = failure_of("no-health");
    assert!(matches!(error, HostError::NoHealth { missing: true, .. }), "{error}");
    let error = failure_of("not-http");
    assert!(matches!(error, HostError::NotHttp { .. } | HostError::NoHealth { missing: false, .. }), "{error}");
    let error = failure_of("not-serving");
    assert!(matches!(error, HostError::NotServing { status: "NOT_SERVING" }), "{error}");
    let error = failure_of("another-service");
    assert!(matches!(error, HostError::NotServing { status: "SERVICE_UNKNOWN" }), "{error}");
}

#[test]
#[ignore = "slow"]
fn a_plugin_that_takes_the_connection_and_never_answers_is_given_up() {
    let (_root, launch) = Root::with_fault("mute");
    let error = failure(&Launch { timeout: HASTE, ..launch });
    assert!(matches!(error, HostError::Timeout { stage: Stage::Health | Stage::Connection, .. }), "{error}");
}

#[test]
#[ignore = "slow"]
fn a_death_is_reported_with_its_stage_and_status() {
    let error = failure_of("crash");
    assert!(matches!(&error, HostError::Died { status, .. } if status.code() == Some(9)), "{error}");
    let (_root, launch) = Root::with_fault("");
    let mut session = Session::start(&launch, &Silent).unwrap();
    let error = session.call("/service.MisbehavingService/QueryEcho", prost_bytes("die")).unwrap_err();
    assert!(matches!(&error, HostError::Died { stage: Stage::Call, status, .. } if status.code() == Some(11)), "{error}");
}

#[test]
#[ignore = "slow"]
fn a_call_that_hangs_ends_with_the_timeout() {
    let (_root, launch) = Root::with_fault("");
    let mut session = Session::start(&Launch { timeout: Duration::from_secs(3), ..launch }, &Silent).unwrap();
    let error = session.call("/service.MisbehavingService/QueryEcho", prost_bytes("hang")).unwrap_err();
    assert!(matches!(error, HostError::Timeout { stage: Stage::Call, .. }), "{error}");
}

#[test]
#[ignore = "slow"]
fn a_method_that_the_plugin_lacks_fails_with_grpcs_own_word() {
    let (_root, launch) = Root::with_fault("");
    let mut session = Session::start(&launch, &Silent).unwrap();
    let error = session.call("/service.MisbehavingService/QueryNothing", Vec::new()).unwrap_err();
    assert!(matches!(&error, HostError::CallFailed { code, .. } if code == "UNIMPLEMENTED"), "{error}");
}

#[test]
#[ignore = "slow"]
fn a_plugin_that_does_not_stop_is_killed_and_said_to_be_so() {
    let (_root, launch) = Root::with_fault("no-shutdown");
    let launch = Launch { grace: HASTE, ..launch };
    let (stopped, _) = Session::start(&launch, &Silent).unwrap().stop();
    assert!(!stopped.graceful && !stopped.success, "{stopped:?}");
    assert_eq!(stopped.answer, "UNIMPLEMENTED");
    assert!(stopped.status.contains("SIGKILL"), "{stopped:?}");
    let (_root, launch) = Root::with_fault("lingers");
    let launch = Launch { grace: HASTE, ..launch };
    let (stopped, _) = Session::start(&launch, &Silent).unwrap().stop();
    assert!(!stopped.graceful && stopped.answer == "OK", "{stopped:?}");
    let (_root, launch) = Root::with_fault("bad-end");
    let (stopped, _) = Session::start(&launch, &Silent).unwrap().stop();
    assert!(stopped.graceful && !stopped.success, "{stopped:?}");
}

#[test]
#[ignore = "slow"]
fn what_a_plugin_writes_to_stdout_later_is_reported() {
    let (_root, launch) = Root::with_fault("stray");
    let recorder = Recorder::default();
    let mut session = Session::start(&launch, &recorder).unwrap();
    session.check_health().unwrap();
    let (stopped, seen) = session.stop();
    assert!(stopped.graceful);
    assert_eq!(seen.stray, 2);
    assert!(recorder.texts().iter().any(|text| text.contains("after its handshake: `one`")), "{:?}", recorder.texts());
}

#[test]
#[ignore = "slow"]
fn log_lines_come_with_the_level_that_the_router_gives_them() {
    let (_root, launch) = Root::with_fault("logs");
    let recorder = Recorder::default();
    let session = Session::start(&launch, &recorder).unwrap();
    let (_, seen) = session.stop();
    let logs = recorder.logs();
    assert!(logs.contains(&(LogLevel::Warn, "slow ms=12".to_owned())), "{logs:?}");
    assert!(logs.contains(&(LogLevel::Debug, "plain \\u{1b}[31mtext".to_owned())), "{logs:?}");
    assert!(logs.contains(&(LogLevel::Error, "[ERROR] prefixed".to_owned())), "{logs:?}");
    assert!(recorder.texts().iter().any(|text| text.contains("would crash at this line")), "{:?}", recorder.texts());
    assert_eq!(seen.logs["error"], 2);
}

#[test]
#[ignore = "slow"]
fn the_whole_process_group_goes_with_the_plugin() {
    let (_root, launch) = Root::with_fault("family");
    let recorder = Recorder::default();
    let (stopped, _) = Session::start(&launch, &recorder).unwrap().stop();
    assert!(stopped.graceful, "{stopped:?}");
    let logs = recorder.logs();
    let child = logs.iter().find_map(|(_, text)| text.strip_prefix("[INFO] child ")).unwrap();
    // Killed, though the kernel may take its time, and whoever inherited it too.
    let state = || fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    let is_gone = |state: String| state.is_empty() || state.contains(") Z ") || state.contains(") X ");
    let patience = Instant::now() + Duration::from_secs(10);
    while !is_gone(state()) {
        assert!(Instant::now() < patience, "{}", state());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "slow"]
fn what_cannot_be_executed_is_told_why() {
    let missing = Root::empty();
    assert!(matches!(failure(&missing.launch()), HostError::Missing { .. }));
    let plain = Root::of_bytes(b"#!/bin/sh\n", 0o644);
    assert!(matches!(failure(&plain.launch()), HostError::NotExecutable { .. }));
    let directory = Root::empty();
    fs::create_dir(directory.0.path().join("bin/program")).unwrap();
    assert!(matches!(failure(&directory.launch()), HostError::NotExecutable { .. }));
    let foreign = Root::of_bytes(b"\x7fELF\x02\x01\x01 not for this machine", 0o755);
    assert!(matches!(failure(&foreign.launch()), HostError::ExecFormat { .. }));
    let orphan = Root::of_bytes(b"#!/nonexistent/interpreter\n", 0o755);
    let error = failure(&orphan.launch());
    assert!(matches!(error, HostError::NoInterpreter { .. }), "{error}");
    assert!(hint(&error).unwrap().contains("statically"));
}

#[test]
#[ignore = "slow"]
fn a_plugin_starts_with_no_arguments_and_a_broken_pipe_ends_it() {
    let root = Root::of_script("echo \"$# $0\" >&2; grep SigIgn /proc/self/status >&2");
    let HostError::Died { lines, .. } = failure(&root.launch()) else { panic!("it ends before its handshake") };
    assert_eq!(lines[0], format!("0 {}", root.0.path().join("bin/program").display()));
    let ignored = u64::from_str_radix(lines[1].split_whitespace().last().unwrap(), 16).unwrap();
    assert_eq!(ignored & 1 << (nix::libc::SIGPIPE - 1), 0, "{lines:?}");
}

#[test]
#[ignore = "slow"]
fn an_entrypoint_that_leads_out_of_the_image_is_refused() {
    let root = Root::of_script("exit 0");
    for entrypoint in ["../../../../../../../../bin/sh", "bin/link"] {
        drop(std::os::unix::fs::symlink("/bin/sh", root.0.path().join("bin/link")));
        let error = failure(&Launch { entrypoint: entrypoint.to_owned(), ..root.launch() });
        assert!(matches!(error, HostError::Outside { .. }), "{error}");
    }
}

#[test]
#[ignore = "slow"]
fn the_fixtures_proto_finds_what_can_be_called() {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/plugins/misbehaving/service.proto");
    let api = Api::of_file(&proto).unwrap();
    let method = api.method("MisbehavingService/QueryEcho").unwrap();
    let bytes = method.request(r#"{"text": "hi"}"#).unwrap();
    assert_eq!(bytes, prost_bytes("hi"));
    assert_eq!(method.answer(&bytes).unwrap(), json!({ "text": "hi" }));
    assert_eq!(method.answer(&[]).unwrap(), Value::Object(serde_json::Map::new()));
    assert!(api.method("Watch").is_err());
}
