//! `dev`: a change of the sources is installed, and the router is told; errors leave what was there; nothing outlives it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::plugins;
use crate::support::program::{plugin_build, ran};
use crate::support::project::Project;

/// Long enough for a machine that does other things as well.
const PATIENCE: Duration = Duration::from_mins(2);

const CONFIG: &str = "{\n  \"engineConfig\": { \"version\": \"not this\", \"ratio\": 1.50 },\n  \"version\": \"5f1c-41\"\n}\n";

/// A `dev` that runs, stopped when a test fails.
struct Dev {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

fn lines(reader: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (send, lines) = mpsc::channel();
    thread::spawn(move || BufReader::new(reader).lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    lines
}

impl Dev {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout: ChildStdout = child.stdout.take().unwrap();
        let stderr: ChildStderr = child.stderr.take().unwrap();
        Self { child, stdout: lines(stdout), stderr: lines(stderr) }
    }

    /// For a router: whose configuration and plugins lie in `router/`.
    fn for_router(project: &Project) -> Self {
        project.write("router/config.json", CONFIG);
        let mut command = plugin_build(&project.root);
        command.args(["dev", "--offline", "--message-format", "json"]);
        Self::start(command.args(["--router-config", "router/config.json", "--plugins", "router/plugins"]))
    }

    /// The next result. Errors, which are objects too, are read from stderr.
    fn result(&self) -> Value {
        loop {
            let line = self.stdout.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no result: {:#?}", self.told()));
            let result: Value = serde_json::from_str(&line).unwrap();
            if result["reason"] != "error" {
                return result;
            }
        }
    }

    /// Everything on stderr up to a line with this word.
    fn until(&self, word: &str) -> String {
        let mut told = String::new();
        loop {
            let line = self.stderr.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no `{word}`: {told}"));
            told += &line;
            told += "\n";
            if line.split_whitespace().next() == Some(word) {
                return told;
            }
        }
    }

    fn told(&self) -> Vec<String> {
        self.stderr.try_iter().collect()
    }

    /// Ctrl-C.
    fn interrupt(&mut self) -> ExitStatus {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn version(project: &Project) -> String {
    let text = fs::read_to_string(project.root.join("router/config.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let version = document["version"].as_str().unwrap().to_owned();
    assert_eq!(text, CONFIG.replace("5f1c-41", &version), "nothing else changes");
    version
}

fn installed(project: &Project) -> PathBuf {
    project.root.join("router/plugins/p").canonicalize().unwrap()
}

fn greets(project: &Project, word: &str) {
    project.write("src/main.rs", &format!("fn main() {{ println!(\"{word}\"); }}\n"));
}

/// What the installed program says.
fn says(project: &Project) -> String {
    let bin = project.root.join("router/plugins/p/bin");
    let program = plugin_oci::fs::sorted_listing(&bin).unwrap().remove(0);
    ran(&mut Command::new(bin.join(program))).stdout.trim_end().to_owned()
}

#[test]
fn a_change_is_installed_and_the_routers_configuration_gets_another_version() {
    let project = Project::router_plugin("");
    greets(&project, "one");
    let mut dev = Dev::for_router(&project);
    let first = dev.result();
    assert_eq!((first["reason"].as_str(), first["changed"].as_bool()), (Some("plugin-renewed"), Some(true)));
    assert_eq!((says(&project).as_str(), version(&project)), ("one", first["router_config_version"].as_str().unwrap().into()));

    greets(&project, "two");
    let second = dev.result();
    assert_ne!(first["digest"], second["digest"]);
    assert_eq!((says(&project).as_str(), version(&project)), ("two", second["router_config_version"].as_str().unwrap().into()));
    let digits = second["digest"].as_str().unwrap().trim_start_matches("sha256:");
    assert_eq!(version(&project), format!("5f1c-41-dev.{}", &digits[..12]));

    // A change that gives the same plugin is none for the router.
    let before = fs::metadata(project.root.join("router/config.json")).unwrap().modified().unwrap();
    project.write("src/main.rs", "fn main() { println!(\"two\"); } \n");
    let third = dev.result();
    assert_eq!((&third["digest"], &third["changed"]), (&second["digest"], &Value::Bool(false)));
    assert_eq!(fs::metadata(project.root.join("router/config.json")).unwrap().modified().unwrap(), before);
    assert_eq!(dev.interrupt().code(), Some(130));
}

#[test]
fn an_error_is_told_and_the_plugin_before_it_stays() {
    let project = Project::router_plugin("");
    greets(&project, "one");
    let mut dev = Dev::for_router(&project);
    dev.result();
    dev.until("Watching");
    let (before, there) = (version(&project), installed(&project));

    project.write("src/main.rs", "fn main() { let x: u32 = \"no number\"; }\n");
    let told = dev.until("Kept");
    assert!(told.contains("mismatched types") && told.contains("src/main.rs"), "{told}");
    project.write("src/schema.graphql", "type Query {");
    let told = dev.until("Kept");
    assert!(told.contains("schema.graphql"), "{told}");
    let manifest = fs::read_to_string(project.root.join("Cargo.toml")).unwrap();
    project.write("Cargo.toml", &manifest.replace("kind = ", "knd = "));
    let told = dev.until("Kept");
    assert!(told.contains("did you mean `kind`"), "{told}");
    assert_eq!((version(&project), installed(&project)), (before, there));

    project.write("Cargo.toml", &manifest);
    dev.until("Kept");
    // What is made of the schema is made anew, whatever lies there.
    project.write("generated/mapping.json", "{");
    project.write("src/schema.graphql", "type Query { p: String q: Int }\n");
    greets(&project, "two");
    // The first of these two changes may be a build of its own.
    while says(&project) != "two" {
        dev.result();
    }
    let mapping = fs::read_to_string(project.root.join("generated/mapping.json")).unwrap();
    assert!(mapping.contains("QueryQ"), "{mapping}");
    assert_eq!(dev.interrupt().code(), Some(130));
}

#[test]
fn what_git_ignores_and_what_is_built_is_no_change() {
    let project = Project::router_plugin("");
    project.write(".gitignore", "/target\n/router\n*.log\n");
    greets(&project, "one");
    let mut dev = Dev::for_router(&project);
    dev.result();
    dev.until("Watching");
    project.write("src/x.log", "1");
    project.write("target/x", "1");
    project.write("router/plugins/x", "1");
    greets(&project, "two");
    let told = dev.until("Changed");
    assert!(told.trim_end().ends_with("Changed src/main.rs"), "{told}");
    dev.result();
    assert_eq!(dev.interrupt().code(), Some(130));
}

#[test]
fn an_interrupt_ends_a_compilation_too() {
    let project = Project::router_plugin("");
    let pid = project.root.join("pid");
    let build = "fn main() { std::fs::write(\"pid\", std::process::id().to_string()).unwrap(); loop { std::thread::park(); } }\n";
    project.write("build.rs", build);
    let mut dev = Dev::for_router(&project);
    let script = awaited(|| fs::read_to_string(&pid).ok().filter(|text| !text.is_empty()));
    assert_eq!(dev.interrupt().code(), Some(130));
    awaited(|| (!Path::new("/proc").join(&script).exists()).then_some(()));
}

#[test]
fn a_wrong_configuration_is_told_before_anything_is_built() {
    let project = Project::router_plugin("");
    for (config, says) in [("{}", "it has no `version`"), ("version: 1", "no execution configuration")] {
        project.write("config.json", config);
        let mut command = plugin_build(&project.root);
        let refused = ran(command.args(["dev", "--offline", "--router-config", "config.json", "--plugins", "plugins"]));
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(refused.stderr.contains(says) && refused.stderr.contains("wgc router compose"), "{}", refused.stderr);
    }
    assert!(!project.root.join("target").exists() && !project.root.join("plugins").exists());
    let other = ran(plugin_build(&Project::fixture("greeter").root).args(["dev", "--offline"]));
    assert_eq!(other.code, 2, "{}", other.stderr);
    assert!(other.stderr.contains("is of kind executable"), "{}", other.stderr);
}

/// What can only be looked at, not waited for.
fn awaited<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "slow: compiles a template"]
fn without_a_router_the_process_is_restarted_and_goes_with_us() {
    let package = plugins::package("cosmo-router", "restarted");
    let service = package.join("src/service.rs");
    let text = fs::read_to_string(&service).unwrap();
    let mut command = plugin_build(&package);
    command.envs(plugins::LEAN).args(["dev", "--message-format", "json", "--target-dir"]).arg(plugins::home().join("target"));
    let mut dev = Dev::start(command.arg("--output").arg(plugins::home().join("layouts/restarted")));
    let alive = |process: &Value| Path::new("/proc").join(process["pid"].to_string()).exists();
    let first = dev.result();
    assert_eq!((first["reason"].as_str(), first["health"].as_str()), (Some("plugin-running"), Some("SERVING")));
    assert!(alive(&first));

    fs::write(&service, text.replace("{salutation}, ", "{salutation}? ")).unwrap();
    let second = dev.result();
    assert!(!alive(&first) && alive(&second) && first["digest"] != second["digest"]);

    fs::write(&service, "no Rust").unwrap();
    dev.until("Kept");
    assert!(alive(&second), "what ran goes on");

    // The restart after a death needs no other change than the cure.
    kill(Pid::from_raw(second["pid"].as_i64().unwrap().try_into().unwrap()), Signal::SIGKILL).unwrap();
    dev.until("error:");
    fs::write(&service, text).unwrap();
    let third = dev.result();
    assert!(alive(&third));
    let directory = PathBuf::from(third["directory"].as_str().unwrap());
    assert!(directory.exists());
    assert_eq!(dev.interrupt().code(), Some(130));
    awaited(|| (!alive(&third)).then_some(()));
    assert!(!directory.exists());
}

#[test]
fn what_is_generated_need_not_be_there() {
    let project = Project::router_plugin("");
    greets(&project, "one");
    fs::remove_dir_all(project.root.join("generated")).unwrap();
    let mut dev = Dev::for_router(&project);
    assert_eq!(dev.result()["reason"], "plugin-renewed");
    assert!(project.root.join("generated/mapping.json").is_file());
    assert_eq!(dev.interrupt().code(), Some(130));
}
