//! Images as files for engines. What podman and containerd make of such a file is tried in `engines.rs`.

use super::pages::blocks;
use super::runner::Runner;
use crate::support::project::Project;

#[test]
fn an_image_becomes_the_file_that_engines_are_given() {
    let [copy] = &blocks("docs/src/recipes/engines.md", "# Load into docker, podman, kind or k3s", "sh")[..] else {
        panic!("one block")
    };
    let [load] = &blocks("docs/src/recipes/engines.md", "## Docker and podman", "sh")[..] else { panic!("one block") };
    let [clusters] = &blocks("docs/src/recipes/engines.md", "## Clusters", "sh")[..] else { panic!("one block") };
    let runner = Runner::of(Project::fixture("greeter"));
    let job = runner.job("here").installed();
    job.succeed("cargo plugin-build");
    job.succeed(copy);
    // Stand-ins that take these words alone, and say what the file lists.
    let list = "exec tar -xOf greeter.tar manifest.json";
    job.tool("docker", &[("load --input greeter.tar", list)], "exit 9");
    job.tool("podman", &[("load --input greeter.tar", list)], "exit 9");
    job.tool("kind", &[("load image-archive greeter.tar", list)], "exit 9");
    let import = [("k3s ctr images import greeter.tar", list), ("ctr --namespace k8s.io images import greeter.tar", list)];
    job.tool("sudo", &import, "exit 9");
    for line in load.lines().chain(clusters.lines()) {
        let listed: serde_json::Value = serde_json::from_str(&job.succeed(line).stdout).unwrap();
        assert_eq!(listed[0]["RepoTags"][0], "plugins/greeter:0.3.1", "{line}");
    }
}
