//! Our own program, started as a user would start it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The program in `dir`, with nothing of the developer's environment but the way to tools.
#[expect(clippy::disallowed_methods, reason = "tests run in the developer's environment")]
pub fn plugin_build(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-plugin-build"));
    command.current_dir(dir).env_clear();
    for name in ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "TMPDIR"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command
}

/// What a run gave.
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// Results.
    pub stdout: String,
    /// Everything for people.
    pub stderr: String,
}

/// Runs a command to its end. Every object of ours that it prints is held against the published schema.
pub fn ran(command: &mut Command) -> Ran {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let ran = Ran { code: status.code().unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) };
    for line in ran.stdout.lines().filter(|line| line.starts_with('{') && line.contains("\"schema\":1")) {
        // What a program prints that we start is no object of ours.
        if let Ok(object) = serde_json::from_str::<Value>(line)
            && object["reason"].is_string()
        {
            let wrong = wrong(&object);
            assert!(wrong.is_empty(), "{command:?}: {wrong:?}: {line}");
        }
    }
    ran
}

/// What is wrong with an object by the published schema.
pub fn wrong(object: &Value) -> Vec<String> {
    static OF_REASONS: OnceLock<BTreeMap<String, jsonschema::Validator>> = OnceLock::new();
    let of_reasons = OF_REASONS.get_or_init(|| {
        let printed = plugin_build(Path::new("/")).args(["schema", "results"]).output().unwrap().stdout;
        let mut all: Value = serde_json::from_slice(&printed).unwrap();
        let definitions = all["$defs"].take();
        let each = all["oneOf"].as_array_mut().unwrap().iter_mut().map(|schema| {
            schema["$defs"] = definitions.clone();
            let reason = schema["properties"]["reason"]["const"].as_str().unwrap().to_owned();
            (reason, jsonschema::validator_for(schema).unwrap())
        });
        each.collect()
    });
    let Some(schema) = object["reason"].as_str().and_then(|reason| of_reasons.get(reason)) else {
        return vec!["no such reason".to_owned()];
    };
    schema.iter_errors(object).map(|error| format!("{}: {error:.300}", error.instance_path())).collect()
}

/// Runs a command that must succeed.
pub fn ok(command: &mut Command) -> Ran {
    let run = ran(command);
    assert_eq!(run.code, 0, "{command:?}: {}{}", run.stdout, run.stderr);
    run
}

/// Runs a command that must succeed: bytes that it, without those that it starts, asks the system to read, and its results.
#[cfg(target_os = "linux")]
pub fn bytes_read(command: &mut Command) -> (u64, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    let mut stdout = String::new();
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    let proc = Path::new("/proc").join(child.id().to_string());
    let has_ended = || fs::read_to_string(proc.join("stat")).unwrap().rsplit(')').next().unwrap().starts_with(" Z");
    wait_until("it ends", has_ended);
    let counted = fs::read_to_string(proc.join("io")).unwrap();
    assert!(child.wait().unwrap().success(), "{stdout}");
    let read = counted.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap();
    (read.parse().unwrap(), stdout)
}

/// Runs our program in a directory.
pub fn run(dir: &Path, arguments: &[&str]) -> Ran {
    let run = ran(plugin_build(dir).args(arguments));
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    run
}

/// Runs it where it must succeed; its results.
pub fn done(dir: &Path, arguments: &[&str]) -> String {
    ok(plugin_build(dir).args(arguments)).stdout
}

/// Waits for an event that nothing tells of.
pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_mins(1), "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
