//! `login` and `logout`, and what must never be seen.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use plugin_oci::fs::sorted_listing;

use crate::support::docker_registry::{DockerRegistry, USER};
use crate::support::memory_registry::MemoryRegistry;
use crate::support::program::{Ran, plugin_build};
use crate::support::sample::Sample;
use crate::support::tools;

fn run_with_input(command: &mut Command, input: &str) -> Ran {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn program(dir: &Path) -> Command {
    let mut command = plugin_build(dir);
    command.env("HOME", dir).env_remove("DOCKER_CONFIG").env("DOCKER_CONFIG", dir.join("docker"));
    command
}

#[test]
#[ignore = "needs skopeo"]
fn a_password_opens_the_registry_for_us_and_skopeo_and_is_never_seen() {
    let Some(registry) = DockerRegistry::protected() else { return };
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    Sample::image("secret", 1000).to_layout(&dir.join("image"));
    let repository = format!("{}/secret", registry.host);
    let mut seen = String::new();
    let mut step = |code: i32, input: &str, arguments: &[&str]| {
        let run = run_with_input(program(dir).args(arguments), input);
        assert_eq!(run.code, code, "{arguments:?}: {}", run.stderr);
        seen.push_str(&run.stdout);
        seen.push_str(&run.stderr);
        run.stderr
    };
    let denied = step(1, "", &["push", "-vv", "oci:image", &repository]);
    assert!(denied.contains("was denied") && denied.contains(&format!("login {}", registry.host)), "{denied}");
    let refused = step(1, "not-the-password", &["login", "-vv", &registry.host, "-u", USER.0, "--password-stdin"]);
    assert!(refused.contains("wrong user or password") && !refused.contains("stored"), "nothing is stored yet: {refused}");
    assert!(!dir.join("docker").exists());
    step(0, &format!("{}\n", USER.1), &["login", "-vv", &registry.host, "-u", USER.0, "--password-stdin"]);
    step(0, "", &["push", "-vv", "oci:image", &repository]);
    step(0, "", &["pull", "-vv", &format!("{repository}:1.0"), "pulled"]);
    if let Some(skopeo) = tools::require("skopeo") {
        let mut command = Command::new(skopeo);
        command.args(["inspect", "--raw", "--tls-verify=false", "--authfile"]).arg(dir.join("docker/config.json"));
        tools::stdout(command.arg(format!("docker://{repository}:1.0")));
    }
    step(0, "", &["logout", "-vv", &registry.host]);
    step(1, "", &["logout", "-vv", &registry.host]);
    step(1, "", &["pull", "-vv", &format!("{repository}:1.0"), "again"]);
    let in_front = format!("{}:{}@{}", USER.0, USER.1, registry.host);
    for words in [&["push", "oci:image", &format!("{in_front}/secret")][..], &["login", &in_front, "-u", "x", "--password-stdin"]]
    {
        let told = step(2, "x", words);
        assert!(told.contains(&format!("login {}", registry.host)), "{told}");
    }
    for secret in [USER.1, "not-the-password", "cGx1Z2lu"] {
        assert!(!seen.contains(secret), "`{secret}` was shown:\n{seen}");
    }
    assert!(seen.contains("/v2/secret/"), "-vv shows requests");
}

#[cfg(unix)]
#[test]
fn eight_processes_that_log_in_and_out_at_once_lose_nothing() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let registries: Vec<MemoryRegistry> = std::iter::repeat_with(MemoryRegistry::honest).take(8).collect();
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    // A link, as dotfile managers make it; at first to a file that is not there yet.
    std::fs::create_dir(dir.join("real")).unwrap();
    symlink("real/auth.json", dir.join("auth.json")).unwrap();
    let all_at_once = |verb: &[&str]| {
        let children: Vec<_> = registries
            .iter()
            .map(|registry| {
                let mut command = program(dir);
                command.args(["-q", "--authfile", "auth.json"]).args(verb).arg(registry.server.host());
                let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
                // A process that needs no password may be gone already.
                let _ = child.stdin.take().unwrap().write_all(b"correct-horse");
                child
            })
            .collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{verb:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        assert!(dir.join("auth.json").is_symlink(), "{verb:?}");
        let metadata = std::fs::metadata(dir.join("real/auth.json")).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert_eq!(sorted_listing(&dir.join("real")).unwrap().len(), 1, "no lock file, no temporary file");
        let tree: serde_json::Value = serde_json::from_slice(&std::fs::read(dir.join("auth.json")).unwrap()).unwrap();
        tree["auths"].as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<String>>()
    };
    let hosts = registries.iter().map(|registry| registry.server.host());
    let hosts: std::collections::BTreeSet<String> = hosts.collect();
    for _ in 0..5 {
        assert_eq!(all_at_once(&["login", "-u", "me", "--password-stdin"]), hosts);
        assert!(all_at_once(&["logout"]).is_empty());
    }
}

#[test]
fn a_password_in_the_arguments_is_not_taken() {
    let temp = tempfile::tempdir().unwrap();
    let run = run_with_input(program(temp.path()).args(["login", "localhost:1", "-u", "me", "--password", "x"]), "");
    assert_eq!(run.code, 2);
}

#[cfg(unix)]
#[test]
#[ignore = "needs docker-registry"]
fn a_credential_helper_is_asked_and_its_answer_is_never_shown() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(registry) = DockerRegistry::protected() else { return };
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    Sample::image("helper", 1000).to_layout(&dir.join("image"));
    std::fs::create_dir_all(dir.join("docker")).unwrap();
    let helper = dir.join("docker-credential-test");
    let config = format!("{{\"credHelpers\":{{\"{}\":\"test\"}}}}", registry.host);
    std::fs::write(dir.join("docker/config.json"), config).unwrap();
    let push = |script: &str| {
        std::fs::write(&helper, format!("#!/bin/sh\nread host\n{script}\n")).unwrap();
        std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = program(dir);
        command.env("PATH", format!("{}:/bin:/usr/bin", dir.display()));
        run_with_input(command.args(["push", "-vv", "oci:image", &format!("{}/helper", registry.host)]), "")
    };
    let answer = format!("{{\"ServerURL\":\"'$host'\",\"Username\":\"{}\",\"Secret\":\"{}\"}}", USER.0, USER.1);
    let run = push(&format!("echo '{answer}'"));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let run = push("echo credentials not found in native keychain; exit 1");
    assert!(run.code == 1 && run.stderr.contains("was denied"), "{}", run.stderr);
    let run = push(&format!("echo '{answer}'; echo 'log in again' >&2; exit 1"));
    assert!(run.code == 1 && run.stderr.contains("`docker-credential-test` failed to get"), "{}", run.stderr);
    assert!(run.stderr.contains("log in again") && !run.stderr.contains(USER.1), "{}", run.stderr);
}

/// podman leaves no entry in the file for what it gives to a helper.
#[cfg(unix)]
#[test]
fn logging_out_empties_a_helper_that_no_entry_tells_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    std::fs::create_dir_all(dir.join("docker")).unwrap();
    std::fs::write(dir.join("docker/config.json"), r#"{"credHelpers":{"r.test":"test"},"credsStore":"absent"}"#).unwrap();
    std::fs::write(dir.join("kept"), r#"{"ServerURL":"r.test","Username":"me","Secret":"hunter2"}"#).unwrap();
    let helper = dir.join("docker-credential-test");
    let script =
        "#!/bin/sh\nread host\ncase $1 in\nerase) rm kept;;\nget) cat kept || { echo credentials not found; exit 1; };;\nesac\n";
    std::fs::write(&helper, script).unwrap();
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let logout = |host: &str| {
        let mut command = program(dir);
        run_with_input(command.env("PATH", format!("{}:/bin:/usr/bin", dir.display())).args(["logout", host]), "")
    };
    let run = logout("r.test");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(!dir.join("kept").exists());
    for host in ["r.test", "other.test"] {
        let run = logout(host);
        assert!(run.code == 1 && run.stderr.contains("there are no credentials"), "{}", run.stderr);
    }
}

/// Runs a command on a terminal of its own, and types a line after each text that it waits for.
#[cfg(unix)]
fn on_a_terminal(command: &mut Command, answers: &[(&str, &str)]) -> (i32, String) {
    use std::fs::File;
    use std::io::Read as _;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::OpenOptionsExt as _;

    use nix::fcntl::OFlag;

    // Both ends for nobody else: what other tests start would keep the terminal open.
    let master = nix::pty::posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
    nix::pty::grantpt(&master).unwrap();
    nix::pty::unlockpt(&master).unwrap();
    let slave = nix::pty::ptsname_r(&master).unwrap();
    let slave = File::options().read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits()).open(slave).unwrap();
    let side = || Stdio::from(slave.try_clone().unwrap());
    let mut child = command.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    drop(slave);
    let mut terminal = File::from(OwnedFd::from(master));
    let (mut shown, mut answers, mut buffer) = (String::new(), answers.iter(), [0; 4096]);
    let mut next = answers.next();
    // At the end of the last program on it, reading fails.
    while let Ok(count @ 1..) = terminal.read(&mut buffer) {
        shown.push_str(&String::from_utf8_lossy(&buffer[..count]));
        if let Some((question, answer)) = next.filter(|(question, _)| shown.ends_with(question)) {
            assert!(!question.is_empty());
            writeln!(terminal, "{answer}").unwrap();
            next = answers.next();
        }
    }
    (child.wait().unwrap().code().unwrap_or(-1), shown)
}

#[cfg(unix)]
#[test]
fn login_asks_on_a_terminal_and_shows_no_password() {
    use crate::support::http_server::Reply;
    use crate::support::memory_registry::Quirks;
    // `me:hunter2`
    let registry = MemoryRegistry::scripted(Quirks::default(), |request, _| {
        let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
        let known = request.header("authorization") == Some("Basic bWU6aHVudGVyMg==");
        (!known).then(|| Reply::new(401).header("WWW-Authenticate", "Basic realm=\"r\"").body(body).into())
    });
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let host = registry.server.host();
    let user = format!("User at {host}: ");
    let (code, shown) = on_a_terminal(program(dir).args(["login", &host]), &[(&user, "me"), ("Password: ", "hunter2")]);
    assert_eq!(code, 0, "{shown}");
    assert!(!shown.contains("hunter2") && shown.contains("docker/config.json"), "{shown}");
    let (code, shown) = on_a_terminal(program(dir).args(["login", &host, "-u", "me"]), &[("Password: ", "wrong-one")]);
    assert_eq!(code, 1, "{shown}");
    assert!(shown.contains(&format!("wrong user or password for {host} (401")) && !shown.contains("wrong-one"), "{shown}");

    let piped = ["login", &host, "-u", "me", "--password-stdin"];
    let (code, shown) = on_a_terminal(program(dir).args(piped), &[]);
    assert!(code == 2 && shown.contains("stdin is a terminal"), "{shown}");
    assert_eq!(run_with_input(program(dir).args(piped), "hunter2\n").code, 0);
    let run = run_with_input(program(dir).args(["login", &host]), "hunter2\n");
    assert!(run.code == 2 && run.stderr.contains("--password-stdin"), "{}", run.stderr);
}
