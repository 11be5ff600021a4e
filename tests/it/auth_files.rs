//! Where credentials are looked for, as podman, skopeo and docker keep them, and what helpers and token servers answer.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::http_server::Reply;
use crate::support::memory_registry::{MemoryRegistry, Quirks};
use crate::support::program::{Ran, plugin_build, ran};
use crate::support::sample::Sample;

/// `u:p`.
const BASIC: &str = "dTpw";

/// A registry with an image that only `u` with the password `p` may see.
fn protected(dir: &Path) -> MemoryRegistry {
    let registry = MemoryRegistry::scripted(Quirks::default(), |request, _| {
        let known = request.header("authorization") == Some(&format!("Basic {BASIC}"));
        (!known).then(|| Reply::new(401).header("WWW-Authenticate", "Basic realm=\"r\"").into())
    });
    Sample::image("kept", 100).to_layout(&dir.join("image"));
    let file = dir.join("first.json");
    fs::write(&file, of(&registry.server.host()).to_string()).unwrap();
    let pushed = ran(program(dir).args(["push", "--authfile", "first.json", "oci:image"]).arg(name(&registry)));
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    registry
}

fn name(registry: &MemoryRegistry) -> String {
    format!("{}/r:1.0", registry.server.host())
}

fn of(key: &str) -> Value {
    json!({"auths": {key: {"auth": BASIC}}})
}

/// The program with a home of its own and nothing else.
fn program(dir: &Path) -> Command {
    let mut command = plugin_build(dir);
    command.env("HOME", dir.join("home"));
    command
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Looks at the image.
fn looks(registry: &MemoryRegistry, command: &mut Command) -> Ran {
    ran(command.args(["inspect", &format!("docker://{}", name(registry))]))
}

#[test]
fn credentials_are_found_kept_and_forgotten_where_other_tools_do() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let registry = protected(dir);
    let host = registry.server.host();
    let places: [(&str, Option<(&str, &str)>); 6] = [
        ("run/containers/auth.json", Some(("XDG_RUNTIME_DIR", "run"))),
        ("cfg/containers/auth.json", Some(("XDG_CONFIG_HOME", "cfg"))),
        ("home/.config/containers/auth.json", None),
        ("dk/config.json", Some(("DOCKER_CONFIG", "dk"))),
        ("home/.docker/config.json", None),
        ("named.json", Some(("REGISTRY_AUTH_FILE", "named.json"))),
    ];
    let with = |variable: Option<(&str, &str)>| {
        let mut command = program(dir);
        if let Some((name, value)) = variable {
            command.env(name, dir.join(value));
        }
        command
    };
    for (path, variable) in places {
        assert_eq!(looks(&registry, &mut with(variable)).code, 1, "{path}");
        write(&dir.join(path), &of(&host).to_string());
        let found = looks(&registry, &mut with(variable));
        assert_eq!(found.code, 0, "{path}: {}", found.stderr);
        let left = ran(with(variable).args(["logout", &host]));
        assert!(left.code == 0 && left.stderr.contains(path), "{path}: {}", left.stderr);
        assert_eq!(looks(&registry, &mut with(variable)).code, 1, "{path}");
        fs::remove_file(dir.join(path)).unwrap();
    }

    // What docker wrote long ago is read after all others and not written to, as skopeo has it.
    let old = json!({ format!("https://{host}/v1/"): { "auth": BASIC, "email": "u@example.com" }, "other.example": {} });
    write(&dir.join("home/.dockercfg"), &old.to_string());
    assert_eq!(looks(&registry, &mut program(dir)).code, 0);
    let script = format!("printf p | '{}' login {host} -u u --password-stdin", env!("CARGO_BIN_EXE_cargo-plugin-build"));
    let login = ran(Command::new("sh").args(["-c", &script]).env("HOME", dir.join("home")));
    assert!(login.code == 0 && login.stderr.contains(".docker/config.json"), "{}", login.stderr);
    let left = ran(program(dir).args(["logout", &host]));
    assert!(left.stderr.contains(".dockercfg") && left.stderr.contains(".docker/config.json"), "{}", left.stderr);
    assert_eq!(fs::read_to_string(dir.join("home/.dockercfg")).unwrap().trim(), "{\n  \"other.example\": {}\n}");
    assert_eq!(looks(&registry, &mut program(dir)).code, 1);

    // The first that has something for the host wins, and is where a new password goes.
    let wrong = json!({"auths": {&host: {"auth": "dTp4"}}}).to_string();
    write(&dir.join("home/.config/containers/auth.json"), &wrong);
    write(&dir.join("home/.docker/config.json"), &of(&host).to_string());
    assert_eq!(looks(&registry, &mut program(dir)).code, 1);
    let script = format!("printf p | '{}' login {host} -u u --password-stdin", env!("CARGO_BIN_EXE_cargo-plugin-build"));
    let login = ran(Command::new("sh").args(["-c", &script]).env("HOME", dir.join("home")));
    assert!(login.code == 0 && login.stderr.contains(".config/containers/auth.json"), "{}", login.stderr);
    assert_eq!(looks(&registry, &mut program(dir)).code, 0);
    let left = ran(program(dir).args(["logout", &host]));
    assert!(left.stderr.contains(".config/containers") && left.stderr.contains(".docker/config.json"), "{}", left.stderr);
}

#[test]
fn keys_are_read_as_each_tool_writes_them() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let registry = protected(dir);
    let host = registry.server.host();
    let look = |content: &str| {
        write(&dir.join("file"), content);
        looks(&registry, program(dir).args(["--authfile", "file"])).code
    };
    for key in ["HOST", "HOST/", "HOST/v2/", "HOST/v1/", "http://HOST", "https://HOST/v2/", "https://HOST/v1", "HOST/r"] {
        assert_eq!(look(&of(&key.replace("HOST", &host)).to_string()), 0, "{key}");
    }
    for key in ["HOST/other", "HOST/v3/", "x.HOST", "HOST0"] {
        assert_eq!(look(&of(&key.replace("HOST", &host)).to_string()), 1, "{key}");
    }
    assert_eq!(look(&format!("\u{feff}{}", of(&host))), 0, "a byte order mark");
    // What is written exactly so comes before what is taken for the same.
    let both = json!({"auths": {format!("https://{host}/v1/"): {"auth": "dTp4"}, &host: {"auth": BASIC}}});
    assert_eq!(look(&both.to_string()), 0);
}

/// A helper that answers with a script, and a file that names it.
fn helper(dir: &Path, script: &str) -> PathBuf {
    let path = dir.join("bin/docker-credential-test");
    write(&path, &format!("#!/bin/sh\nread -r given\n{script}\n"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_helper_that_has_nothing_is_passed_by_and_one_that_fails_is_heard() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let registry = protected(dir);
    let host = registry.server.host();
    let open = MemoryRegistry::honest();
    let pushed = ran(program(dir).args(["push", "oci:image"]).arg(name(&open)));
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    let with = |script: &str, file: &Value| {
        helper(dir, script);
        write(&dir.join("file"), &file.to_string());
        let mut command = program(dir);
        command.env("PATH", format!("{}:/bin:/usr/bin", dir.join("bin").display())).args(["--authfile", "file"]);
        command
    };
    let own = json!({"credHelpers": {&host: "test"}});
    let store = json!({"credsStore": "test"});
    let mut own_and_auth = of(&host);
    own_and_auth["credHelpers"] = own["credHelpers"].clone();
    for nothing in [
        "echo '{\"ServerURL\":\"x\",\"Username\":\"\",\"Secret\":\"\"}'",
        "echo '{}'",
        ":",
        "echo credentials not found in native keychain; exit 1",
        "echo credentials not found in native keychain >&2; exit 1",
    ] {
        for file in [&own, &store] {
            let told = looks(&registry, &mut with(nothing, file));
            assert!(told.code == 1 && told.stderr.contains("was denied"), "{nothing}: {}", told.stderr);
        }
        assert_eq!(looks(&registry, &mut with(nothing, &own_and_auth)).code, 0, "{nothing}");
        assert_eq!(looks(&open, &mut with(nothing, &store)).code, 0, "{nothing}");
    }
    for file in [&own, &store] {
        let found = looks(&registry, &mut with("echo '{\"Username\":\"u\",\"Secret\":\"p\"}'", file));
        assert_eq!(found.code, 0, "{}", found.stderr);
        for said in ["echo 'token expired, run: sso login'", "echo 'token expired, run: sso login' >&2"] {
            let told = looks(&registry, &mut with(&format!("{said}; exit 1"), file));
            assert_eq!(told.code, 1);
            let sentence = "`docker-credential-test` failed to get (exit status: 1): token expired, run: sso login";
            assert!(told.stderr.contains(sentence), "{}", told.stderr);
        }
        let loud = "printf '\\033[31mred\\n'; head -c 100000 /dev/zero | tr '\\0' x; exit 3";
        let told = looks(&registry, &mut with(loud, file));
        assert!(told.stderr.contains("[31mred xxx") && !told.stderr.contains('\u{1b}'), "{}", told.stderr);
        assert!(told.stderr.len() < 1000, "{}", told.stderr.len());
        // Whatever looks like an answer, or holds the password, is not shown.
        let told = looks(&registry, &mut with("echo '{\"Username\":\"u\",\"Secret\":\"hunter2\"}'; exit 1", file));
        assert!(told.code == 1 && !told.stderr.contains("hunter2"), "{}", told.stderr);
    }
    let mut storing = with("echo \"cannot keep $(echo $given | cut -d, -f2-)\" | tr -d '{}'; exit 1", &own);
    let mut login = Command::new("sh");
    let words: Vec<&str> = storing.get_args().filter_map(|word| word.to_str()).collect();
    let script = format!(
        "printf p4ssw0rd | '{}' login {host} -u u --password-stdin {}",
        env!("CARGO_BIN_EXE_cargo-plugin-build"),
        words.join(" ")
    );
    login.args(["-c", &script]).current_dir(dir).env("PATH", format!("{}:/bin:/usr/bin", dir.join("bin").display()));
    storing.arg("--help");
    let told = ran(&mut login);
    assert!(told.code == 1 && !told.stderr.contains("p4ssw0rd"), "{}", told.stderr);
}

#[test]
fn token_servers_are_understood_however_they_write_their_answers() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    for answer in [
        r#"{"token":"T"}"#,
        r#"{"access_token":"T"}"#,
        r#"{"token":"","access_token":"T"}"#,
        r#"{"token":"T","access_token":""}"#,
        r#"{"token":null,"access_token":"T","expires_in":null}"#,
        r#"{"token":"T","expires_in":0}"#,
        r#"{"token":"T","expires_in":-1}"#,
        r#"{"token":"T","expires_in":300.5}"#,
        r#"{"token":"T","expires_in":"300"}"#,
        r#"{"token":"T","expires_in":"soon"}"#,
        r#"{"token":"T","expires_in":1e300}"#,
    ] {
        let registry = behind_tokens(answer, &Arc::default());
        Sample::image("token", 100).to_layout(&dir.join("image"));
        let pushed = ran(program(dir).args(["push", "oci:image"]).arg(name(&registry)));
        assert_eq!(pushed.code, 0, "{answer}: {}", pushed.stderr);
    }
    let registry = behind_tokens(r#"{"token":"","access_token":""}"#, &Arc::default());
    let told = looks(&registry, &mut program(dir));
    assert!(told.code == 1 && told.stderr.contains("holds no token"), "{}", told.stderr);
}

fn behind_tokens(answer: &str, refused: &Arc<AtomicUsize>) -> MemoryRegistry {
    let (answer, refused) = (answer.to_owned(), refused.clone());
    MemoryRegistry::scripted(Quirks::default(), move |request, _| {
        if request.path == "/token" {
            return Some(Reply::new(200).body(answer.clone()).into());
        }
        let known = request.header("authorization") == Some("Bearer T");
        let challenge = format!("Bearer realm=\"http://{}/token\",service=\"s\"", request.header("host")?);
        (!known).then(|| {
            refused.fetch_add(1, Ordering::SeqCst);
            Reply::new(401).header("WWW-Authenticate", challenge).into()
        })
    })
}

#[test]
fn requests_at_once_wait_for_the_one_token() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    Sample::image("many", 100_000).with_referrer().to_layout(&dir.join("image"));
    let refused = Arc::default();
    let registry = behind_tokens(r#"{"token":"T","expires_in":300}"#, &refused);
    let pushed = ran(program(dir).args(["push", "oci:image"]).arg(name(&registry)));
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    assert_eq!((refused.load(Ordering::SeqCst), registry.memory.count("GET", "/token")), (1, 1));
    let pulled = ran(program(dir).args(["pull", &name(&registry), "pulled"]));
    assert_eq!(pulled.code, 0, "{}", pulled.stderr);
    assert_eq!((refused.load(Ordering::SeqCst), registry.memory.count("GET", "/token")), (2, 2));
}
