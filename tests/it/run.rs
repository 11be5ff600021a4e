//! `run`, through the program.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use plugin_build::hosts::cosmo::contract::Contract;
use serde_json::{Value, json};

use crate::support::memory_registry::MemoryRegistry;
use crate::support::packed::Packed;
use crate::support::plugins;
use crate::support::program::{Ran, plugin_build, ran};

/// A directory with a layout and a cache in it.
struct Home {
    dir: tempfile::TempDir,
    image: String,
}

impl Home {
    fn new(packed: Packed) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let image = packed.write(dir.path());
        Self { dir, image }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = plugin_build(self.dir.path());
        command.args(["run", "--cache-dir"]).arg(self.cache()).arg(&self.image).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        ran(&mut self.command(arguments))
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// The one unpacked image.
    fn unpacked(&self) -> PathBuf {
        let names = plugin_oci::fs::sorted_listing(&self.cache()).unwrap();
        let mut dirs = names.into_iter().map(|name| self.cache().join(name)).filter(|path| path.is_dir());
        let only = dirs.next().unwrap();
        assert!(dirs.next().is_none());
        only
    }
}

fn program(script: &str) -> Packed {
    Packed::new("executable", "/bin/greet").file("bin/greet", 0o755, format!("#!/bin/sh\n{script}\n"))
}

fn misbehaving() -> Home {
    let binary = fs::read(plugins::fixture("misbehaving")).unwrap();
    let packed = Packed::new("cosmo-router", "./bin/plugin").file("bin/plugin", 0o755, binary);
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/plugins/misbehaving/service.proto");
    let proto = fs::read(proto).unwrap();
    let contract = Contract { schema: Vec::new(), proto, mapping: b"{}".to_vec(), lock: None };
    Home::new(Packed { contract: Some(contract), ..packed })
}

fn fault(name: &str) -> String {
    json!({ "fault": name }).to_string()
}

#[test]
fn a_program_takes_over_with_its_arguments_environment_and_exit_code() {
    let mut packed = program("echo \"$GREETING $*\"; read line; echo \"$line\"; pwd -P >&2; exit 5");
    packed.settings.execution.env = [("GREETING".to_owned(), "hello".to_owned())].into();
    packed.settings.execution.workdir = Some("/bin".to_owned());
    packed.settings.execution.args = vec!["default".to_owned()];
    let home = Home::new(packed);
    let mut child =
        home.command(&["--", "a b", "c"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"typed\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "hello a b c\ntyped\n");
    assert_eq!(output.status.code(), Some(5));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let workdir = home.unpacked().canonicalize().unwrap().join("bin");
    assert!(stderr.lines().any(|line| line == workdir.display().to_string()), "{stderr}");
    assert!(home.run(&[]).stdout.starts_with("hello default\n"));
}

type Change<'a> = &'a dyn Fn(&Path);

#[test]
fn what_was_unpacked_is_used_again_unless_it_changed() {
    let home = Home::new(program("cat \"${0%/bin/greet}/share/text\"").file("share/text", 0o644, "as packed\n"));
    let first = home.run(&[]);
    assert_eq!((first.code, first.stdout.as_str()), (0, "as packed\n"), "{}", first.stderr);
    let stamp = |path: &str| fs::metadata(home.unpacked().join(path)).map(|found| std::os::unix::fs::MetadataExt::ino(&found));
    let before = stamp("share/text").unwrap();
    assert_eq!(home.run(&[]).stdout, "as packed\n");
    assert_eq!(stamp("share/text").unwrap(), before, "nothing was unpacked again");

    let changes: [(&str, Change<'_>); 4] = [
        ("content", &|root| fs::write(root.join("share/text"), "otherwise\n").unwrap()),
        ("mode", &|root| plugin_oci::fs::set_mode(&root.join("share/text"), 0o600).unwrap()),
        ("one file more", &|root| fs::write(root.join("share/more"), "").unwrap()),
        ("one file less", &|root| fs::remove_file(root.join("share/text")).unwrap()),
    ];
    for (what, change) in changes {
        change(&home.unpacked());
        let again = home.run(&[]);
        assert_eq!((again.code, again.stdout.as_str()), (0, "as packed\n"), "{what}: {}", again.stderr);
        assert!(!home.unpacked().join("share/more").exists(), "{what}");
    }
    for name in plugin_oci::fs::sorted_listing(&home.cache()).unwrap() {
        if name.to_string_lossy().ends_with(".json") {
            fs::write(home.cache().join(name), "{}").unwrap();
        }
    }
    assert_eq!(home.run(&[]).stdout, "as packed\n");
}

#[test]
fn a_cache_that_others_may_write_is_refused() {
    let home = Home::new(program("echo no"));
    fs::create_dir(home.cache()).unwrap();
    plugin_oci::fs::set_mode(&home.cache(), 0o777).unwrap();
    let refused = home.run(&[]);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    assert!(refused.stderr.contains("only this user may write"), "{}", refused.stderr);
}

#[test]
fn kinds_that_are_no_programs_say_what_loads_them() {
    for (kind, loader) in [("wasm", "wasmtime"), ("proxy-wasm", "Envoy"), ("library", "dlopen")] {
        let home = Home::new(Packed::new(kind, "/x").file("x", 0o644, "x"));
        let refused = home.run(&[]);
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(refused.stderr.contains(loader), "{}", refused.stderr);
        assert!(!home.cache().exists(), "nothing was unpacked");
    }
}

#[test]
fn a_program_that_takes_over_takes_no_flags_for_hosts() {
    let home = Home::new(program("echo no"));
    for flags in [&["--call", "M", "{}"][..], &["--keep"], &["--timeout", "3s"], &["--startup-config", "{}"]] {
        let refused = home.run(flags);
        assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{flags:?}");
        assert!(refused.stderr.contains(&format!("leave out `{}`", flags[0])), "{}", refused.stderr);
    }
}

#[test]
fn a_router_plugin_is_started_called_and_stopped() {
    let binary = fs::read(plugins::template("cosmo-router", "greeter")).unwrap();
    let package = plugins::package("cosmo-router", "greeter");
    let read = |path: &str| fs::read(package.join(path)).unwrap();
    let contract = Contract {
        schema: read("src/schema.graphql"),
        proto: read("generated/service.proto"),
        mapping: read("generated/mapping.json"),
        lock: Some(read("generated/service.proto.lock.json")),
    };
    let packed = Packed::new("cosmo-router", "./bin/greeter").file("bin/greeter", 0o755, binary).file(
        "assets/greeting.txt",
        0o644,
        "Salut\n",
    );
    let home = Home::new(Packed { contract: Some(contract), ..packed });
    let plain = home.run(&[]);
    assert_eq!((plain.code, plain.stdout.as_str()), (0, ""), "{}", plain.stderr);
    for line in ["Unpacked sha256:", "Started process", "Healthy the plugin is SERVING", "Stopped in order"] {
        assert!(plain.stderr.contains(line), "{line}: {}", plain.stderr);
    }
    let called = home.run(&["--call", "QueryHello", r#"{"name":"Ana"}"#]);
    assert_eq!(called.code, 0, "{}", called.stderr);
    assert_eq!(called.stdout, "{\"hello\":{\"id\":\"Ana\",\"text\":\"Salut, Ana!\"}}\n");
    let json = home.run(&["--message-format", "json", "--call", "GreeterService/QueryHello", r#"{"name":"Ana"}"#]);
    let report: Value = json.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).next_back().unwrap();
    assert_eq!(report["reason"], "plugin-run");
    assert_eq!(report["schema"], 1);
    assert_eq!(report["health"], "SERVING");
    assert_eq!(report["answer"]["hello"]["id"], "Ana");
    assert_eq!(report["stopped"]["graceful"], true);
    let failed = home.run(&["--call", "QueryHello", "{}"]);
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    assert!(failed.stderr.contains("INVALID_ARGUMENT: name is empty"), "{}", failed.stderr);
}

#[test]
fn a_call_that_cannot_be_made_is_refused_before_the_start() {
    let home = misbehaving();
    for (arguments, says) in [
        (&["--call", "QueryEcoh", "{}"][..], "did you mean `QueryEcho`?"),
        (&["--call", "Watch", "{}"], "only unary methods"),
        (&["--call", "QueryEcho", r#"{"txt":""}"#], "the request is no service.Words"),
        (&["--call", "QueryEcho", "{}", "--proto", "nowhere.proto"], "there is no proto at"),
        (&["--startup-config", "x"], "is not JSON"),
        (&["--", "argument"], "without arguments"),
    ] {
        let refused = home.run(arguments);
        assert_eq!(refused.code, 2, "{arguments:?}: {}", refused.stderr);
        assert!(refused.stderr.contains(says), "{arguments:?}: {}", refused.stderr);
        assert!(!refused.stderr.contains("Started"), "{}", refused.stderr);
    }
    let bare = Home::new(Packed::new("cosmo-router", "./bin/plugin").file("bin/plugin", 0o755, "#!/bin/sh\n"));
    let refused = bare.run(&["--call", "QueryEcho", "{}"]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("--proto"), "{}", refused.stderr);
}

#[test]
fn each_way_to_fail_has_its_own_message_and_hint() {
    let home = misbehaving();
    for (name, message, hint) in [
        ("cookie", "did not recognise its host", "GRPC_DATASOURCE_PLUGIN"),
        ("exit", "no licence found", "no PATH"),
        ("say hello", "is no handshake: `hello`", "log to stderr"),
        ("1|1|unix|/s|netrpc", "speaks `netrpc`", "must be `grpc`"),
        ("dead-socket", "nobody listens at unix://", "after the socket is bound"),
        ("no-health", "does not tell its health: UNIMPLEMENTED", "tonic-health"),
        ("not-serving", "health is NOT_SERVING", "SERVING before the handshake"),
        ("crash", "ended with exit status: 9", ""),
    ] {
        let failed = home.run(&["--startup-config", &fault(name)]);
        assert_eq!(failed.code, 1, "{name}: {}", failed.stderr);
        assert!(failed.stderr.contains(message) && failed.stderr.contains(hint), "{name}: {}", failed.stderr);
        assert_eq!(failed.stdout, "", "{name}");
    }
    let failed = home.run(&["--startup-config", &fault("silent"), "--timeout", "300ms"]);
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    assert!(failed.stderr.contains("no handshake to stdout within 300ms"), "{}", failed.stderr);
}

#[test]
fn a_plugin_that_must_be_killed_is_a_warning_with_the_cure() {
    let warned = misbehaving().run(&["--startup-config", &fault("no-shutdown")]);
    assert_eq!(warned.code, 0, "{}", warned.stderr);
    assert!(warned.stderr.contains("was killed after two seconds"), "{}", warned.stderr);
    assert!(warned.stderr.contains("GRPCController/Shutdown"), "{}", warned.stderr);
}

#[test]
fn a_kept_plugin_answers_until_it_is_interrupted() {
    let home = misbehaving();
    let mut child = home.command(&["--keep"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let socket = PathBuf::from(line.trim().strip_prefix("unix://").unwrap());
    std::os::unix::net::UnixStream::connect(&socket).unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!socket.parent().unwrap().exists(), "the directory for sockets must be gone");
    assert!(std::os::unix::net::UnixStream::connect(&socket).is_err());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(stderr.contains("Healthy"), "{stderr}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_plugin_dies_with_us_even_when_we_are_killed() {
    let home = misbehaving();
    let mut child = home.command(&["--keep"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let socket = PathBuf::from(line.trim().strip_prefix("unix://").unwrap());
    std::os::unix::net::UnixStream::connect(&socket).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while std::os::unix::net::UnixStream::connect(&socket).is_ok() {
        assert!(std::time::Instant::now() < deadline, "the plugin lives on");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_kept_plugin_that_dies_is_an_error() {
    let home = misbehaving();
    let failed = home.run(&["--keep", "--call", "QueryEcho", r#"{"text":"die"}"#]);
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    assert!(failed.stderr.contains("ended with exit status: 11 while it was called"), "{}", failed.stderr);
}

#[test]
fn an_image_runs_from_a_registry_with_what_is_attached_to_it() {
    let (home, registry) = (misbehaving(), MemoryRegistry::honest());
    let remote = format!("docker://{}/{}:1.0", registry.repository("x").host, "team/misbehaving");
    let pushed = ran(plugin_build(home.dir.path()).args(["copy", &home.image, &remote]));
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    let remote = Home { image: remote, ..home };
    let called = remote.run(&["--call", "QueryEcho", r#"{"text":"far"}"#]);
    assert_eq!((called.code, called.stdout.as_str()), (0, "{\"text\":\"far\"}\n"), "{}", called.stderr);
}
