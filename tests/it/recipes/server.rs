//! A registry with a server: the commands of the page, and that what it takes is what `publish` writes.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use super::pages::{blocks, text, yaml};
use super::runner::{Job, Runner};
use crate::support::program::{plugin_build, ran};
use crate::support::project::Project;
use crate::support::tools::{missing, stdout};
use crate::support::web;

const PAGE: &str = "docs/src/recipes/server.md";

/// The server, which the workspace builds beside the tool.
fn program() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_BIN_EXE_cargo-plugin-build")).with_file_name("plugin-registry");
    if !program.is_file() {
        missing("`plugin-registry` is not built");
        return None;
    }
    Some(program)
}

/// A machine with both programs and an image.
fn machine() -> Option<(Runner, Job)> {
    let program = program()?;
    let runner = Runner::of(Project::new(&[]));
    let job = runner.job("here").installed();
    job.tool("plugin-registry", &[], &format!("exec {} \"$@\"", program.display()));
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/layouts/v1");
    job.succeed(&format!("cargo plugin-build copy 'oci:{}:gzip' oci:image:0.3.1", kept.display()));
    Some((runner, job))
}

/// A server that a command of the page starts; stopped when dropped.
struct Served {
    child: Child,
    host: String,
}

impl Served {
    fn by(job: &Job, command: &str, variables: &[(&str, String)]) -> Self {
        let command = format!("exec {} --listen 127.0.0.1:0", command.trim());
        let mut shell = job.shell(&command);
        shell.envs(variables.iter().cloned());
        let mut child = shell.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let host = line.trim().rsplit_once("://").unwrap_or_else(|| panic!("{command}: {line}")).1.to_owned();
        Self { child, host }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the text between two words says.
fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    text.split_once(before).unwrap().1.split_once(after).unwrap().0
}

#[test]
#[ignore = "needs plugin-registry"]
fn services_and_containers_start_it_as_it_wants_to_be_started() {
    let Some((_runner, job)) = machine() else { return };
    let [unit] = &blocks(PAGE, "## As a service of systemd", "ini")[..] else { panic!("one block") };
    let start = between(unit, "ExecStart=/usr/local/bin/", "\n").replace("/var/lib/", "./");
    let served = Served::by(&job, &start.replace(" --listen 0.0.0.0:5000", ""), &[]);
    assert!(web::ask(&served.host, "GET", "/v2/").contains(" 200 "));
    assert!(job.dir.join("plugin-registry/_r/keys").is_file());
    let [compose] = &blocks("docs/src/recipes/server.md", "## As an image", "yaml")[..] else { panic!("one block") };
    let [deployment, service] = &blocks("docs/src/recipes/server.md", "## On Kubernetes", "yaml")[..] else {
        panic!("two blocks")
    };
    for block in [compose, deployment, service] {
        assert!(yaml(block).is_none_or(|value| value.is_object()), "{block}");
    }
    let arguments = between(deployment, "args: [", "]").replace(['"', ','], "").replace("/keys/keys", "keys");
    job.succeed("plugin-registry keygen keys");
    let refused = job.shell(&format!("plugin-registry {arguments} --no-such-flag")).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("'--no-such-flag'"), "all else is known: {said}");
}

#[test]
#[ignore = "needs crates.io, for crates of other platforms"]
fn its_image_is_built_by_this_tool() {
    let [build] = &blocks("docs/src/recipes/server.md", "## As an image", "sh")[..] else { panic!("one block") };
    let words: Vec<&str> = build.trim().strip_prefix("cargo plugin-build ").unwrap().split(' ').collect();
    let output = tempfile::tempdir().unwrap();
    let words: Vec<&str> = words.into_iter().filter(|word| !["-o", "registry"].contains(word)).collect();
    let mut plan = plugin_build(Path::new(env!("CARGO_MANIFEST_DIR")));
    let plan = ran(plan.args(words).args(["--dry-run", "-o"]).arg(output.path().join("image")));
    assert_eq!(plan.code, 0, "{}", plan.stderr);
    for wanted in ["plugin-registry", "5000", "/data", "\"certificates\": {"] {
        assert!(plan.stdout.contains(wanted) || plan.stderr.contains(wanted), "{wanted}: {}", plan.stdout);
    }
}

#[test]
#[ignore = "needs plugin-registry"]
fn a_directory_is_pushed_to_and_pulled_from() {
    let [serve, client] = &blocks("docs/src/recipes/server.md", "# A registry of your own, with a server", "sh")[..] else {
        panic!("two blocks")
    };
    let Some((_runner, job)) = machine() else { return };
    let served = Served::by(&job, serve, &[]);
    job.succeed(&client.replace("localhost:5000", &served.host));
    let digest = |store: &str| job.succeed(&format!("cargo plugin-build ls {store}")).stdout;
    assert_eq!(digest("oci:pulled").split_whitespace().nth(1), digest("oci:image").split_whitespace().nth(1));

    // Byte for byte what is published, below `v2/` and in what web servers look at.
    job.succeed("cargo plugin-build publish --name greeter oci:image published");
    for folder in ["v2", "_r/types"] {
        let different = stdout(job.shell(&format!("diff -r images/{folder} published/{folder} || true")).arg("-"));
        assert_eq!(different, "", "{folder}");
    }
    drop(served);
    let served = Served::by(&job, "plugin-registry serve published", &[]);
    job.succeed(&format!("cargo plugin-build pull {}/greeter:0.3.1 again", served.host));
}

#[test]
#[ignore = "needs plugin-registry and SeaweedFS"]
fn a_bucket_has_replicas() {
    let [serve] = &blocks("docs/src/recipes/server.md", "## A bucket, and replicas", "sh")[..] else { panic!("one block") };
    let (Some((_runner, job)), Some(store)) = (machine(), web::seaweed()) else { return };
    let (keygen, serve) = serve.split_once('\n').unwrap();
    job.succeed(keygen);
    let variables = web::environment(&store);
    let replicas = [serve, serve].map(|serve| Served::by(&job, serve, &variables));
    job.succeed(&format!("cargo plugin-build push oci:image {}/greeter:0.3.1", replicas[0].host));
    job.succeed(&format!("cargo plugin-build pull {}/greeter:0.3.1 pulled", replicas[1].host));
    let head = web::ask(&store.host, "GET", "/plugins/v2/greeter/manifests/0.3.1").to_lowercase();
    assert!(head.contains("content-type: application/vnd.oci.image.index.v1+json\r\n"), "{head}");
    assert!(head.contains("cache-control: no-cache\r\n"), "{head}");
}

#[test]
#[ignore = "needs plugin-registry"]
fn a_tag_that_never_moves_does_not() {
    let [serve] = &blocks("docs/src/recipes/server.md", "## Tags that never move", "sh")[..] else { panic!("one block") };
    let Some((_runner, job)) = machine() else { return };
    let served = Served::by(&job, serve, &[]);
    job.succeed(&format!("cargo plugin-build push oci:image {}/greeter:v1", served.host));
    job.succeed(&format!("cargo plugin-build push oci:image {}/greeter:v1", served.host));
    job.succeed("cargo plugin-build copy --platform linux/amd64 oci:image:0.3.1 oci:lone:0.3.1");
    job.succeed(&format!("cargo plugin-build push oci:lone {}/greeter:latest", served.host));
    let moved = job.run(&format!("cargo plugin-build push oci:lone {}/greeter:v1", served.host));
    assert!(moved.code != 0 && moved.stderr.contains("409"), "{}", moved.stderr);
}

#[test]
#[ignore = "needs plugin-registry"]
fn what_nothing_reaches_goes_and_lists_are_made_anew() {
    let [collect, rebuild] = &blocks("docs/src/recipes/server.md", "## What nothing reaches", "sh")[..] else {
        panic!("two blocks")
    };
    let Some((_runner, job)) = machine() else { return };
    job.succeed("cargo plugin-build publish --name greeter oci:image images");
    assert_eq!(job.succeed(collect).stdout, "");
    let served = Served::by(&job, "plugin-registry serve images", &[]);
    job.succeed(&format!("cargo plugin-build push oci:image {}/other:1", served.host));
    let refused = job.run("cargo plugin-build gc images");
    assert!(refused.code != 0 && refused.stderr.contains("in use"), "{}", refused.stderr);
    // Beside a server one may publish, and what is published beside nobody may be removed.
    job.succeed("cargo plugin-build publish --name third oci:image images");
    fs::write(job.dir.join("images/_r/leases/publish-0"), "{}").unwrap();
    let refused = job.run(collect);
    assert!(refused.code != 0 && refused.stderr.contains("publish-0"), "{}", refused.stderr);
    fs::remove_file(job.dir.join("images/_r/leases/publish-0")).unwrap();
    fs::remove_file(job.dir.join("images/v2/greeter/manifests/0.3.1")).unwrap();
    assert_eq!(job.succeed(rebuild).stdout, "mended v2/greeter/tags/list\n");
    let told = job.succeed(&collect.replace("./images", "./images --wait 0s")).stdout;
    assert!(told.lines().count() > 6 && told.lines().all(|line| line.starts_with("condemned v2/greeter/")), "{told}");
}

#[test]
#[ignore = "needs plugin-registry, openssl and curl"]
fn it_is_looked_after_by_tls() {
    let [serve] = &blocks("docs/src/recipes/server.md", "## Looking after it", "sh")[..] else { panic!("one block") };
    let Some((_runner, job)) = machine() else { return };
    job.succeed(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=x -addext subjectAltName=IP:127.0.0.1 \
         -keyout key.pem -out cert.pem 2>openssl.log",
    );
    let served = Served::by(&job, serve, &[]);
    let ask = |path: &str| job.succeed(&format!("curl --silent --fail --cacert cert.pem https://{}{path}", served.host)).stdout;
    assert_eq!((ask("/healthz"), ask("/readyz"), ask("/v2/")), (String::new(), String::new(), "{}".to_owned()));
    assert!(ask("/metrics").contains("plugin_registry_requests_total{method=\"GET\",code=\"200\"} 1"));
}

#[test]
#[ignore = "needs plugin-registry"]
fn what_is_signed_is_pushed_and_pulled() {
    let [serve, client] = &blocks("docs/src/recipes/server.md", "## Only what is signed", "sh")[..] else { panic!("two blocks") };
    let [policy] = &blocks("docs/src/recipes/server.md", "## Only what is signed", "toml")[..] else { panic!("one block") };
    let Some((_runner, job)) = machine() else { return };
    fs::write(job.dir.join("policy.toml"), policy).unwrap();
    let (keygen, client) = client.split_once('\n').unwrap();
    job.succeed(&format!("export COSIGN_PASSWORD=\n{keygen}"));
    let served = Served::by(&job, serve, &[]);
    let client = format!("export COSIGN_PASSWORD=\n{}", client.replace("localhost:5000", &served.host));
    let (sign, push) = client.split_once("cargo plugin-build push").unwrap();
    let push = format!("cargo plugin-build push{push}");
    assert!(job.run(&push).code != 0, "it is not signed");
    job.succeed(sign);
    job.succeed(&push);
}

#[test]
#[ignore = "needs plugin-registry"]
fn images_of_other_registries_are_pulled() {
    let [block] = &blocks("docs/src/recipes/server.md", "## Images of other registries", "sh")[..] else { panic!("one block") };
    let Some((_runner, job)) = machine() else { return };
    let upstream = Served::by(&job, "plugin-registry serve upstream", &[]);
    job.succeed(&format!("cargo plugin-build push oci:image {}/plugins/greeter:0.3.1", upstream.host));
    let (serve, client) = block.trim().split_once('\n').unwrap();
    let served = Served::by(&job, &serve.replace("registry.example.com", &upstream.host), &[]);
    let client = client.replace("localhost:5000", &served.host);
    job.succeed(&client);
    drop(upstream);
    job.succeed(&client.replace("pulled", "again"));
}

#[test]
#[ignore = "needs plugin-registry"]
fn what_is_done_is_told() {
    let [serve] = &blocks("docs/src/recipes/server.md", "## Who did what", "sh")[..] else { panic!("one block") };
    let Some((_runner, job)) = machine() else { return };
    job.succeed("plugin-registry keygen keys");
    let served = Served::by(&job, serve, &[]);
    job.succeed(&format!("cargo plugin-build push oci:image {}/greeter:0.3.1", served.host));
    let log = job.succeed("cat audit.jsonl").stdout;
    let told: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(told.iter().any(|line| line["act"] == "set-tag" && line["tag"] == "0.3.1" && line["outcome"] == "done"), "{log}");
}

#[test]
#[ignore = "needs plugin-registry"]
fn a_token_opens_what_it_says() {
    let [serve, client] = &blocks("docs/src/recipes/server.md", "## Tokens", "sh")[..] else { panic!("two blocks") };
    let Some((_runner, job)) = machine() else { return };
    let (make, serve) = serve.trim().rsplit_once('\n').unwrap();
    job.succeed(make);
    let served = Served::by(&job, serve, &[]);
    let client = client.replace("localhost:5000", &served.host);
    job.succeed(&client);
    job.succeed(&format!("cargo plugin-build pull {}/plugins/greeter:0.3.1 pulled", served.host));
    assert!(job.run(&client.replace("plugins/greeter", "other/greeter")).code != 0);
    job.succeed(&format!("cargo plugin-build logout {}", served.host));
    assert!(job.run(&format!("cargo plugin-build pull {}/plugins/greeter:0.3.1 again", served.host)).code != 0);
}

/// The test of the book takes the server's flags on trust.
#[test]
#[ignore = "needs plugin-registry"]
fn the_flags_of_the_page_are_the_server_s() {
    let Some(program) = program() else { return };
    let verbs = ["serve", "keygen", "token", "revoke", "gc", "rebuild"]
        .map(|verb| stdout(std::process::Command::new(&program).args([verb, "--help"])));
    let ours = ran(plugin_build(Path::new("/")).arg("man")).stdout.replace("\\-", "-");
    let help = verbs.concat() + &ours;
    for word in text(PAGE).split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')) {
        assert!(!word.starts_with("--") || help.contains(word), "{word}: {help}");
    }
    assert!(fs::metadata(&program).unwrap().is_file() && ran(std::process::Command::new(&program).arg("x")).code != 0);
}
