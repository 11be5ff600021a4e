//! A real go-plugin host in Go, `tests/go-host`, as the judge of plugins and of the host that we play: both must agree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::packed::Packed;
use crate::support::plugins;
use crate::support::program::{plugin_build, ran};
use crate::support::tools::{require, skip, stdout};

/// The host, compiled once; `None` where Go or its libraries are missing.
pub fn go_host() -> Option<&'static Path> {
    static HOST: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        let go = require("go")?;
        let libraries = Path::new("/usr/share/gocode");
        if !libraries.join("src/github.com/hashicorp/go-plugin").is_dir() {
            let reason = "the Debian package golang-github-hashicorp-go-plugin-dev must be installed when CI=true";
            assert!(!plugins::in_ci(), "{reason}");
            skip(&format!("no go-plugin below {}", libraries.display()));
            return None;
        }
        let home = plugins::home();
        fs::create_dir_all(&home).unwrap();
        // Several processes may run these tests at once.
        let (program, fresh) = (home.join("go-host"), home.join(format!("go-host-{}", std::process::id())));
        let mut command = Command::new(go);
        command.args(["build", "-o"]).arg(&fresh).arg("main.go");
        command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go-host"));
        command.env("GO111MODULE", "off").env("GOPATH", libraries).env("GOCACHE", home.join("go-cache")).env("GOFLAGS", "");
        stdout(&mut command);
        fs::rename(&fresh, &program).unwrap();
        Some(program)
    };
    HOST.get_or_init(build).as_deref()
}

/// What the host says of a plugin: `key=value` lines, and whether all of them were good.
fn judged(host: &Path, root: &Path, program: &str, arguments: &[&str]) -> (bool, Vec<String>) {
    let output = Command::new(host)
        .arg("-plugin")
        .arg(root.join(program))
        .arg("-cwd")
        .arg(root)
        .args(["-startup-config", r#"{"ip_anonymization":{"enabled":true,"method":"redact"}}"#])
        .args(arguments)
        .output()
        .unwrap();
    let lines = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    (output.status.success(), lines)
}

pub fn has(lines: &[String], line: &str) -> bool {
    lines.iter().any(|found| found == line)
}

/// A message with one string in field 1, in hexadecimal.
pub fn request(text: &str) -> String {
    let head = format!("0a{:02x}", text.len());
    text.bytes().fold(head, |hex, byte| hex + &format!("{byte:02x}"))
}

fn greeter() -> Packed {
    Packed::new("cosmo-router", "./bin/greeter")
        .file("bin/greeter", 0o755, fs::read(plugins::template("cosmo-router", "greeter")).unwrap())
        .file("assets/greeting.txt", 0o644, "Hello\n")
}

/// Unpacks the image by running it under the host that we play; where it lies.
fn unpacked(packed: Packed, dir: &Path) -> PathBuf {
    let image = packed.write(dir);
    let cache = dir.join("cache");
    let run = ran(plugin_build(dir).args(["run", "--cache-dir"]).arg(&cache).arg(image));
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("Stopped in order"), "{}", run.stderr);
    let names = plugin_oci::fs::sorted_listing(&cache).unwrap();
    names.into_iter().map(|name| cache.join(name)).find(|path| path.is_dir()).unwrap()
}

#[test]
#[ignore = "needs go"]
fn both_hosts_start_call_and_stop_the_template() {
    let Some(host) = go_host() else { return };
    let dir = tempfile::tempdir().unwrap();
    let root = unpacked(greeter(), dir.path());
    let call = ["-method", "/service.GreeterService/QueryHello", "-request", &request("Ana")];
    let (good, lines) = judged(host, &root, "bin/greeter", &call);
    assert!(good, "{lines:?}");
    for line in ["handshake=ok", "network=unix", "health=SERVING", "graceful=true", "exit_code=0"] {
        assert!(has(&lines, line), "{line}: {lines:?}");
    }
    // QueryHelloResponse { hello: Greeting { id: "Ana", text: "Hello, Ana!" } }
    let greeting = format!("{}12{}", request("Ana"), &request("Hello, Ana!")[2..]);
    assert!(has(&lines, &format!("response=0a{:02x}{greeting}", greeting.len() / 2)), "{lines:?}");
}

/// A message of one field that holds others, in hexadecimal; shorter than 128 bytes each.
fn repeated(messages: &[String]) -> String {
    messages.iter().fold(String::new(), |hex, message| hex + &format!("0a{:02x}{message}", message.len() / 2))
}

/// A string as another field than the first, in hexadecimal.
fn field(number: u8, text: &str) -> String {
    format!("{:02x}{}", number << 3 | 2, &request(text)[2..])
}

#[test]
#[ignore = "needs go"]
fn a_host_looks_entities_up_in_the_order_of_their_keys() {
    let Some(host) = go_host() else { return };
    let dir = tempfile::tempdir().unwrap();
    let root = unpacked(greeter(), dir.path());
    let keys = repeated(&[request("Bo"), request("Ana")]);
    let call = ["-method", "/service.GreeterService/LookupGreetingById", "-request", &keys];
    let (good, lines) = judged(host, &root, "bin/greeter", &call);
    assert!(good, "{lines:?}");
    let entity = |name: &str| request(name) + &field(2, &format!("Hello, {name}!"));
    assert!(has(&lines, &format!("response={}", repeated(&[entity("Bo"), entity("Ana")]))), "{lines:?}");
}

#[test]
#[ignore = "needs go"]
fn a_host_passes_enums_and_gets_nullable_lists_and_null() {
    let Some(host) = go_host() else { return };
    let dir = tempfile::tempdir().unwrap();
    let root = unpacked(greeter(), dir.path());
    let ask = |tone: &str| {
        let call = ["-method", "/service.GreeterService/QueryHello", "-request", &(request("Ana") + tone)];
        let (good, lines) = judged(host, &root, "bin/greeter", &call);
        assert!(good, "{lines:?}");
        lines.iter().find_map(|line| line.strip_prefix("response=")).unwrap().to_owned()
    };
    // Field 2 of the request and 3 of the greeting are the enum; 4 is a message with a message with the list.
    let list = repeated(&[repeated(&["Dear Ana", "Ana, my friend"].map(|text| request(text)[4..].to_owned()))]);
    let also = format!("22{:02x}{list}", list.len() / 2);
    let warm = request("Ana") + &field(2, "Hello, Ana!!!") + "1802" + &also;
    assert_eq!(ask("1002"), repeated(&[warm]));
    let plain = request("Ana") + &field(2, "Hello, Ana!");
    assert_eq!(ask("1001"), repeated(&[plain.clone() + "1801"]), "the list is null");
    assert_eq!(ask("1000"), repeated(&[plain]), "the enum is null too");
}

#[test]
#[ignore = "needs go"]
fn a_handler_that_panics_is_an_internal_error_with_its_stack_in_the_log_and_the_plugin_lives_on() {
    let Some(host) = go_host() else { return };
    let dir = tempfile::tempdir().unwrap();
    let binary = fs::read(plugins::edited("cosmo-router", "panicking", panic_on_request)).unwrap();
    let packed = Packed::new("cosmo-router", "./bin/panicking");
    let packed = packed.file("bin/panicking", 0o755, binary).file("assets/greeting.txt", 0o644, "Hello\n");
    let root = unpacked(packed, dir.path());
    let mut command = Command::new(host);
    command.arg("-logs").arg("-plugin").arg(root.join("bin/panicking")).args(["-failing", &request("panic")]);
    let output = command.args(["-method", "/service.PanickingService/QueryHello", "-request", &request("Ana")]).output().unwrap();
    let (lines, log) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{lines}\n{log}");
    for line in ["failed=Internal", "graceful=true", "exit_code=0"] {
        assert!(lines.lines().any(|found| found == line), "{line}: {lines}");
    }
    assert!(lines.contains(&request("Hello, Ana!")[2..]), "{lines}");
    let entry = log.lines().position(|line| line.contains("[ERROR]") && line.contains("panic")).expect(&log);
    let entry = log.lines().skip(entry).collect::<Vec<_>>().join("\n");
    for part in ["asked for it", "src/service.rs", "plugin_stack", "query_hello"] {
        assert!(entry.contains(part), "{part}: {entry}");
    }
}

/// Makes the template's handler panic when it is told to.
fn panic_on_request(files: &mut std::collections::BTreeMap<String, String>) {
    let service = files.get_mut("src/service.rs").unwrap();
    let check = "        if name.is_empty() {\n";
    assert_eq!(service.matches(check).count(), 1);
    *service = service.replace(check, &format!("        assert_ne!(name, \"panic\", \"asked for it\");\n{check}"));
}

#[test]
#[ignore = "needs go"]
fn both_hosts_find_the_assets_of_a_plugin_whose_directory_is_read_only() {
    let Some(host) = go_host() else { return };
    let dir = tempfile::tempdir().unwrap();
    let root = unpacked(greeter(), dir.path());
    for path in ["bin", "assets", ""] {
        plugin_oci::fs::set_mode(&root.join(path), 0o555).unwrap();
    }
    let call = ["-method", "/service.GreeterService/QueryHello", "-request", &request("Ana")];
    let (good, lines) = judged(host, &root, "bin/greeter", &call);
    assert!(good, "{lines:?}");
    for path in ["", "assets", "bin"] {
        plugin_oci::fs::set_mode(&root.join(path), 0o755).unwrap();
    }
}

#[test]
#[ignore = "needs go"]
fn both_hosts_pass_large_messages() {
    let Some(host) = go_host() else { return };
    let dir = tempfile::tempdir().unwrap();
    let root = unpacked(greeter(), dir.path());
    let call = ["-method", "/service.GreeterService/QueryHello", "-fill", "9000000"];
    let (good, lines) = judged(host, &root, "bin/greeter", &call);
    assert!(good, "{lines:?}");
}

#[test]
#[ignore = "needs go"]
fn both_hosts_refuse_the_same_plugins() {
    let Some(host) = go_host() else { return };
    let dir = tempfile::tempdir().unwrap();
    let binary = fs::read(plugins::fixture("misbehaving")).unwrap();
    let image = Packed::new("cosmo-router", "./bin/plugin").file("bin/plugin", 0o755, binary).write(dir.path());
    let cache = dir.path().join("cache");
    let ours = |fault: &str| {
        let mut command = plugin_build(dir.path());
        command.args(["run", "--timeout", "3s", "--startup-config", fault, "--cache-dir"]).arg(&cache).arg(&image);
        ran(&mut command)
    };
    for (name, good, graceful) in [
        ("", true, true),
        ("stray", true, true),
        ("no-shutdown", false, false),
        ("cookie", false, false),
        ("exit", false, false),
        ("say hello", false, false),
        ("1|1|unix|/s|netrpc", false, false),
        ("2|1|unix|/s|grpc", false, false),
        ("1|2|unix|/s|grpc", false, false),
        ("dead-socket", false, false),
        ("no-health", false, false),
        ("not-serving", false, false),
    ] {
        let fault = serde_json::json!({ "fault": name }).to_string();
        let ours = ours(&fault);
        let stopped = ours.code == 0 && !ours.stderr.contains("was killed");
        assert_eq!(stopped, good && graceful, "{name}: {}", ours.stderr);
        let root = plugin_oci::fs::sorted_listing(&cache).unwrap();
        let root = root.into_iter().map(|name| cache.join(name)).find(|path| path.is_dir()).unwrap();
        let arguments = ["-startup-config", &fault, "-socket-dir", dir.path().to_str().unwrap(), "-start-timeout", "3s"];
        let (theirs, lines) = judged(host, &root, "bin/plugin", &arguments);
        drop(fs::remove_file(dir.path().join("s")));
        assert_eq!(theirs, good, "{name}: {lines:?}");
    }
}
