//! The first commands that a reader copies.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::pages::{blocks, root};
use super::runner::Runner;
use crate::support::docker_registry::DockerRegistry;
use crate::support::program::ran;
use crate::support::project::{Project, copy};
use crate::support::tools::stdout;

/// A clone of this repository, as far as the main job needs it.
fn clone() -> Runner {
    let clone = Project::new(&[]);
    copy(&root().join("fixtures/plugins/greeter"), &clone.root.join("fixtures/plugins/greeter"));
    Runner::of(clone)
}

#[test]
fn one_command_installs_the_tool_and_does_the_main_job() {
    let [main, tests] = &blocks("README.md", "# cargo-plugin-build", "sh")[..] else { panic!("two blocks") };
    let [install] = &blocks("docs/src/start.md", "## What you need", "sh")[..] else { panic!("one block") };
    assert!(main.starts_with(install.trim_end()), "the README and the book install alike");
    let runner = clone();
    let job = runner.job("reader");
    let done = job.succeed(main);
    assert!(done.stdout.starts_with("oci:") && done.stdout.ends_with("/greeter:0.3.1\n"), "{}", done.stdout);
    job.succeed(&format!("cargo plugin-build verify {}", done.stdout));

    let script = root().join(tests.trim());
    assert_ne!(fs::metadata(&script).unwrap().permissions().mode() & 0o111, 0, "{}", script.display());
    stdout(Command::new("bash").arg("-n").arg(script));
}

#[test]
fn a_crate_that_exists_needs_no_configuration() {
    let [readme] = &blocks("README.md", "## A short tour", "sh")[..] else { panic!("one block") };
    let [page] = &blocks("docs/src/start.md", "## A crate that exists", "sh")[..] else { panic!("one block") };
    assert_eq!(readme, page);
    let manifest = "[package]\nname = \"mine\"\nversion = \"0.2.0\"\nedition = \"2024\"\n\n[workspace]\n";
    let sources = Project::new(&[("Cargo.toml", manifest), ("src/main.rs", "fn main() { println!(\"it ran\"); }\n")]);
    let runner = Runner::of(sources);
    let job = runner.job("reader").installed();
    let done = job.succeed(page);
    assert_eq!(done.stdout, "oci:target/plugin-build/mine:0.2.0\nit ran\n");
    // What depends on this machine is told once, and again when it is published.
    assert_eq!(done.stderr.matches("links this machine's libc").count(), 1, "{}", done.stderr);
    let again = job.run("cargo plugin-build --push 127.0.0.1:1/mine");
    assert!(again.stderr.contains("links this machine's libc"), "{}", again.stderr);
    let init = job.run("cargo plugin-build init");
    assert_eq!(init.code, 2);
    assert!(init.stderr.contains("a package needs nothing to be built"), "{}", init.stderr);

    let [dated] = &blocks("docs/src/faq.md", "## Why was my image created 56 years ago?", "sh")[..] else { panic!("one block") };
    crate::support::git::commit(&job.dir, "first");
    let image = job.succeed(dated).stdout;
    let seconds = job.succeed("git log -1 --format=%cI").stdout;
    let created = job.succeed(&format!("cargo plugin-build inspect {image}")).stdout;
    assert!(created.contains(&format!("created     {}", &seconds[..10])), "{seconds}{created}");
}

#[test]
fn json_is_one_object_a_line() {
    let [block] = &blocks("docs/src/reference/json.md", "# JSON output", "sh")[..] else { panic!("one block") };
    let runner = Runner::of(Project::fixture("greeter"));
    let done = runner.job("reader").installed().succeed(block);
    let objects: Vec<serde_json::Value> = done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(objects.iter().all(|object| object["schema"] == 1 && object["reason"].is_string()), "{objects:?}");
    let digest = |reason: &str| objects.iter().find(|object| object["reason"] == reason).unwrap()["digest"].clone();
    assert_eq!(digest("plugin-image"), digest("image"));
}

#[test]
#[ignore = "needs docker-registry"]
fn the_registry_of_the_tour_is_one_without_passwords() {
    let [block] = &blocks("docs/src/start.md", "## Five minutes", "sh")[..] else { panic!("one block") };
    if crate::support::tools::require("docker-registry").is_none() {
        return;
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let host = format!("localhost:{free}");
    let runner = Runner::of(Project::fixture("greeter"));
    let job = runner.job("reader").installed();
    let wait = format!("until (: > /dev/tcp/localhost/{free}) 2> /dev/null; do kill -0 $!; done");
    let script = format!(
        "{}trap \"kill $!\" EXIT\n{wait}\ncargo plugin-build push {host}/greeter\n",
        block.replace("localhost:5000", &host)
    );
    let done = job.succeed(&script);
    assert!(done.stdout.contains(&format!("{host}/greeter@sha256:")), "{}", done.stdout);
}

/// The lines after `$`, each with what is printed after it.
fn commands(console: &str) -> Vec<(&str, Vec<&str>)> {
    let mut found: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in console.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => found.push((command, Vec::new())),
            None => found.last_mut().unwrap().1.push(line),
        }
    }
    found
}

#[test]
fn the_short_tour_is_the_beginning_of_the_long_one() {
    let [short] = &blocks("README.md", "## A short tour", "console")[..] else { panic!("one block") };
    let [long] = &blocks("docs/src/start.md", "## Five minutes", "console")[..] else { panic!("one block") };
    let (short, long) = (commands(short), commands(long));
    assert_eq!(long.len(), 9, "the page says nine");
    assert!(short.iter().zip(&long).all(|(short, long)| short.0 == long.0) && short.len() > 3);
}

/// A line without what differs from machine to machine: digests, numbers, sockets.
fn plain(line: &str) -> String {
    let line = line.split_once("` profile").map_or(line, |(before, _)| before);
    let words = line.split_whitespace().map(|word| {
        if word.starts_with("unix://") {
            return "[socket]".to_owned();
        }
        let mut plain = String::new();
        for part in word.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '.') {
            let hexadecimal = part.bytes().filter(u8::is_ascii_hexdigit).count();
            let number = part.bytes().all(|b| !b.is_ascii_alphabetic());
            plain += if number || hexadecimal >= 12 { "[n]" } else { part };
        }
        plain
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
#[ignore = "slow: compiles a template; needs docker-registry"]
fn nine_commands_lead_from_nothing_to_an_installed_plugin() {
    let [tour] = &blocks("docs/src/start.md", "## Five minutes", "console")[..] else { panic!("one block") };
    let Some(registry) = DockerRegistry::start() else { return };
    let runner = Runner::of(Project::new(&[]));
    let job = runner.job("reader").installed();
    let tour = tour.replace("localhost:5000", &registry.host).replace("/tmp/tour", &job.dir.display().to_string());
    let lines = commands(&tour).into_iter().map(|(command, _)| format!("{command}\necho '$ done'\n"));
    let script: String = std::iter::once("exec 2>&1\n".to_owned()).chain(lines).collect();
    let mut shell = job.shell(&script);
    shell.env_remove("CARGO_NET_OFFLINE");
    // What a small program takes longer for is not at issue.
    shell.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    shell.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
    let theirs = std::env::vars_os().filter(|(name, _)| name == "CARGO_HOME" || name == "HOME");
    shell.envs(theirs);
    let done = ran(&mut shell);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    for ((command, told), printed) in commands(&tour).into_iter().zip(done.stdout.split("$ done\n")) {
        let mut printed = printed.lines().map(plain);
        for line in told.iter().filter(|line| !line.trim().is_empty() && line.trim() != "...") {
            assert!(printed.any(|other| other == plain(line)), "`{command}` does not print this here:\n{line}\n{}", done.stdout);
        }
    }
}
