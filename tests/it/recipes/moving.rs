//! Images on their way: other tools, deltas, platforms that join.

use std::fs;
use std::path::Path;
use std::process::Command;

use plugin_oci::values::compression::Compression;

use super::pages::blocks;
use super::runner::Runner;
use crate::delta::image;
use crate::support::docker_registry::DockerRegistry;
use crate::support::git::commit;
use crate::support::memory_registry::MemoryRegistry;
use crate::support::program::{plugin_build, ran};
use crate::support::project::Project;
use crate::support::sample::Sample;
use crate::support::tools::{require, skip, stdout};

fn digest(dir: &Path, image: &str) -> String {
    let listed = ran(plugin_build(dir).args(["inspect", "--message-format", "json", image]));
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    let object: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    object["digest"].as_str().unwrap().to_owned()
}

#[test]
fn platforms_join_to_the_digest_of_one_run() {
    let [block] = &blocks("docs/src/recipes/platforms.md", "# Several platforms", "sh")[..] else { panic!("one block") };
    let runner = Runner::of(Project::new(&[]));
    let job = runner.job("last").installed();
    for platform in ["amd64", "arm64"] {
        Sample::of_platform("merge", &format!("linux/{platform}"), 1000).to_layout(&job.dir.join("made"));
        job.succeed(&format!("cargo plugin-build copy oci:made:1.0 oci:{platform}:0.3.1"));
    }
    job.succeed(block);
    assert_eq!(digest(&job.dir, "oci:joined:0.3.1"), Sample::image("merge", 1000).root().digest.to_string());
}

#[test]
fn what_an_image_is_made_of_is_read_off_it() {
    let heading = &blocks("docs/src/recipes/sbom.md", "# What is in it: SBOM, provenance, advisories", "sh");
    let [block] = &heading[..] else { panic!("one block") };
    let runner = Runner::of(Project::fixture("greeter"));
    let job = runner.job("reader").installed();
    job.succeed("cargo plugin-build build -q -o image");
    job.succeed(block);
    let bill: serde_json::Value = serde_json::from_slice(&fs::read(job.dir.join("sbom.json")).unwrap()).unwrap();
    assert_eq!(bill["bomFormat"], "CycloneDX");
}

#[test]
#[ignore = "needs cargo-audit"]
fn advisories_are_looked_up_without_a_network() {
    let [block] = &blocks("docs/src/recipes/sbom.md", "## Known faults", "sh")[..] else { panic!("one block") };
    if Command::new("cargo-audit").arg("--version").output().is_err() {
        return skip("`cargo-audit` is not on PATH");
    }
    let runner = Runner::of(Project::fixture("greeter"));
    let job = runner.job("auditor").installed();
    fs::create_dir_all(job.dir.join("advisory-db/crates")).unwrap();
    commit(&job.dir.join("advisory-db"), "no advisories");
    job.succeed("cargo plugin-build build -q -o image");
    job.succeed(block);
}

#[test]
fn a_delta_brings_what_lacks() {
    let [block] = &blocks("docs/src/recipes/delta.md", "# Only what the other side lacks", "sh")[..] else { panic!("one block") };
    let runner = Runner::of(Project::new(&[]));
    let job = runner.job("both").installed();
    Sample::image("delta", 60_000).to_layout(&job.dir.join("what-they-have"));
    let new = Sample::of_platform("delta", "linux/amd64", 60_000);
    new.to_layout(&job.dir.join("made"));
    job.succeed("cargo plugin-build copy oci:made:1.0 oci:new:2.0");
    job.succeed(block);
    assert!(fs::metadata(job.dir.join("delta.tar")).unwrap().len() < 10_000);
    assert_eq!(digest(&job.dir, "oci:what-they-have:2.0"), new.root().digest.to_string());
}

#[test]
fn a_delta_brings_what_changed() {
    let [carried] = &blocks("docs/src/recipes/delta.md", "## Only what changed", "sh")[..] else { panic!("one block") };
    let [pushed] = &blocks("docs/src/recipes/delta.md", "## From a registry", "sh")[..] else { panic!("one block") };
    let registry = MemoryRegistry::honest();
    let runner = Runner::of(Project::new(&[]));
    let job = runner.job("both").installed();
    image(&job.dir.join("what-they-have"), 1, Compression::Gzip);
    image(&job.dir.join("made"), 2, Compression::Gzip);
    let first = "registry.example/team/greeter:1.0";
    let before = format!(
        "cargo plugin-build copy oci:what-they-have docker://{first}\ncargo plugin-build pull {first} host\n\
         cargo plugin-build copy oci:made:2 oci:new:2.0\n"
    );
    for block in [&before, pushed, carried] {
        job.succeed(&block.replace("registry.example", &registry.server.host()));
    }
    assert!(fs::metadata(job.dir.join("delta.tar")).unwrap().len() < 14_000);
    for image in ["oci:host:2.0", "oci:what-they-have:2.0"] {
        assert_eq!(digest(&job.dir, image), digest(&job.dir, "oci:new:2.0"));
    }
}

#[test]
#[ignore = "needs skopeo and docker-registry"]
fn skopeo_pushes_what_we_build_with_every_platform_and_the_same_digest() {
    let [block] = &blocks("docs/src/recipes/push.md", "# Push with any tool", "sh")[..] else { panic!("one block") };
    let (Some(registry), Some(skopeo)) = (DockerRegistry::start(), require("skopeo")) else { return };
    let runner = Runner::of(Project::fixture("greeter"));
    let job = runner.job("reader").installed();
    // The registry speaks no TLS.
    let configuration = job.dir.with_file_name(".config/containers");
    fs::create_dir_all(&configuration).unwrap();
    let registries = format!("[[registry]]\nlocation = \"{}\"\ninsecure = true\n", registry.host);
    fs::write(configuration.join("registries.conf"), registries).unwrap();
    job.succeed(&block.replace("HOST", &registry.host));
    let mut there = Command::new(skopeo);
    there.args(["inspect", "--tls-verify=false", "--raw", &format!("docker://{}/plugins/greeter:0.3.1", registry.host)]);
    let raw = stdout(&mut there);
    let digest = digest(&job.dir, "oci:target/plugin-build/greeter:0.3.1");
    assert_eq!(plugin_oci::values::digest::Digest::of(raw.as_bytes()).to_string(), digest);
}

#[test]
fn a_version_is_installed_checked_and_taken_back() {
    let [block] = &blocks("docs/src/recipes/cosmo-router.md", "## Installed", "sh")[..] else { panic!("one block") };
    let runner = Runner::of(Project::fixture("greeter"));
    let job = runner.job("host").installed();
    job.succeed("cargo plugin-build -o greeter -t 1.0");
    fs::write(job.dir.join("assets/greeting.txt"), "Bonjour\n").unwrap();
    job.succeed("cargo plugin-build -o greeter -t 2.0");
    let greeting = || fs::read_to_string(job.dir.join("plugins/greeter/share/greeting.txt")).unwrap();
    let mut seen = Vec::new();
    for line in block.replace("hello", "greeter").lines() {
        job.succeed(line);
        seen.push(greeting() == "Bonjour\n");
    }
    assert_eq!(seen, [false, true, true, false]);
}

#[test]
#[ignore = "needs sccache"]
fn a_compiler_cache_changes_no_digest() {
    let [block] = &blocks("docs/src/recipes/cache.md", "# A shared compiler cache", "sh")[..] else { panic!("one block") };
    let Some(sccache) = require("sccache") else { return };
    let runner = Runner::of(Project::fixture("greeter"));
    let plain = runner.job("plain").installed();
    plain.succeed("cargo plugin-build");
    let image = "oci:target/plugin-build/greeter";
    for name in ["filling", "using"] {
        let job = runner.job(name).installed();
        let cached = |script: &str| {
            let mut shell = job.shell(script);
            // A server of its own: one that is there has another's cache.
            shell.env("SCCACHE_SERVER_PORT", "42918").env("SCCACHE_IDLE_TIMEOUT", "120");
            ran(shell.env("SCCACHE_DIR", runner.stage().join("sccache")))
        };
        let done = cached(block);
        assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
        cached(&format!("{} --stop-server", sccache.display()));
        assert_eq!(digest(&job.dir, image), digest(&plain.dir, image), "{name}");
    }
}
