//! Without any network: vendored on one side, built on the other.

use std::fs;

use super::pages::blocks;
use super::runner::Runner;
use crate::support::namespaces;

#[test]
#[ignore = "needs namespaces"]
fn what_was_vendored_here_is_built_there_to_the_digest_of_the_registry() {
    let [here, there] = &blocks("docs/src/recipes/air-gap.md", "# Air gap: without any network", "sh")[..] else {
        panic!("two blocks")
    };
    if !namespaces::are_there() {
        return;
    }
    let runner = Runner::new();
    let connected = runner.job("connected").installed();
    connected.succeed("cargo plugin-build -o ../image");
    connected.succeed(here);

    let isolated = runner.job("isolated").installed();
    fs::remove_dir_all(&isolated.dir).unwrap();
    fs::remove_dir_all(isolated.dir.with_file_name(".cargo")).unwrap();
    fs::create_dir(&isolated.dir).unwrap();
    fs::copy(connected.dir.with_file_name("sources.tar"), isolated.dir.join("sources.tar")).unwrap();
    let done = isolated.succeed(there);
    assert_eq!(done.stdout, "oci:../image:0.1.0\n");
    for told in ["Packaged p v0.1.0", "Verified oci:../image: ", "nothing wrong", "Rebuilt oci:../image: the same digest"] {
        assert!(done.stderr.contains(told), "{told}\n{}", done.stderr);
    }
    assert_eq!(isolated.digest("oci:image"), connected.digest("oci:../image"));
}

#[test]
#[ignore = "needs namespaces"]
fn a_hermetic_build_is_one_command() {
    let [block] = &blocks("docs/src/recipes/hermetic.md", "# Hermetic builds", "sh")[..] else { panic!("one block") };
    if !namespaces::are_there() {
        return;
    }
    let runner = Runner::new();
    let job = runner.job("build").installed();
    let done = job.succeed(block);
    assert_eq!(done.stdout, "oci:target/plugin-build/p:0.1.0\n");
}

#[test]
fn a_request_that_the_sources_do_not_have_is_given_again_or_taken() {
    let [block] = &blocks("docs/src/recipes/rebuild.md", "# Whose image is it: `verify --rebuild`", "sh")[..] else {
        panic!("one block")
    };
    let runner = Runner::new();
    let manifest = fs::read_to_string(runner.sources().join("Cargo.toml")).unwrap();
    runner.change("Cargo.toml", &format!("{manifest}\n[features]\nmetrics = []\n"));
    let job = runner.job("rebuild").installed();
    job.succeed("cargo plugin-build -F metrics --profile dev -o image");
    assert_eq!(job.run("cargo plugin-build verify --rebuild oci:image").code, 3);
    job.succeed(block);
}
