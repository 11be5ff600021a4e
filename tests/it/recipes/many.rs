//! Many plugins in many jobs: parts of a workspace, and platforms that join in a registry.

use std::collections::BTreeMap;

use serde_json::Value;

use super::pages::{blocks, yaml};
use super::runner::{Job, Runner};
use crate::support::memory_registry::MemoryRegistry;
use crate::support::project::Project;
use crate::support::sample::Sample;

/// What a registry has for each plugin of the fixture.
fn pushed(registry: &MemoryRegistry) -> BTreeMap<&'static str, Option<String>> {
    let digest = |name: &'static str| {
        let found = registry.memory.tag(&format!("plugins/{name}"), "1.2.0");
        (name, found.map(|digest| digest.to_string()))
    };
    ["alpha", "trio-beta", "gamma"].into_iter().map(digest).collect()
}

fn here(text: &str, registry: &MemoryRegistry) -> String {
    text.replace("registry.example", &registry.server.host())
}

/// Runs scripts at the same time, each as a job of its own.
fn side_by_side(jobs: &[(Job, String)]) {
    std::thread::scope(|scope| {
        for (job, script) in jobs {
            scope.spawn(|| job.succeed(script));
        }
    });
}

#[test]
fn parts_of_a_workspace_meet_in_a_registry_as_one_build_would_have_pushed_them() {
    let [block] = &blocks("docs/src/recipes/many.md", "# Many plugins, many jobs", "sh")[..] else { panic!("one block") };
    let runner = Runner::of(Project::fixture("trio"));
    let (whole, parts) = (MemoryRegistry::honest(), MemoryRegistry::honest());
    let script = |part: &str, registry: &MemoryRegistry| here(&block.replace("slice:1/2", part), registry);
    let mut jobs = vec![(runner.job("whole").installed(), script("slice:1/1", &whole))];
    for part in ["1/2", "2/2"] {
        jobs.push((runner.job(&part.replace('/', "-")).installed(), script(&format!("slice:{part}"), &parts)));
    }
    side_by_side(&jobs);
    assert_eq!(pushed(&parts), pushed(&whole));
    assert!(pushed(&whole).values().all(Option::is_some));
}

#[test]
#[ignore = "needs python3"]
fn the_jobs_of_both_pages_push_all_plugins() {
    let [matrix] = &blocks("docs/src/recipes/many.md", "## A matrix of GitHub Actions", "yaml")[..] else { panic!("one block") };
    let [cluster] = &blocks("docs/src/recipes/many.md", "## A Job of Kubernetes", "yaml")[..] else { panic!("one block") };
    let (Some(matrix), Some(cluster)) = (yaml(matrix), yaml(cluster)) else { return };
    let runner = Runner::of(Project::fixture("trio"));
    let (by_matrix, by_cluster) = (MemoryRegistry::honest(), MemoryRegistry::honest());
    let mut jobs = Vec::new();
    let build = &matrix["jobs"]["build"];
    for part in build["strategy"]["matrix"]["part"].as_array().unwrap() {
        let steps = build["steps"].as_array().unwrap().iter().filter_map(|step| step["run"].as_str());
        let script = steps.collect::<Vec<_>>().join("\n").replace("${{ matrix.part }}", &part.to_string());
        jobs.push((runner.job(&format!("matrix-{part}")), here(&script, &by_matrix)));
    }
    let spec = &cluster["spec"];
    assert_eq!((&spec["completionMode"], &spec["completions"]), (&Value::from("Indexed"), &spec["parallelism"]));
    let command = spec["template"]["spec"]["containers"][0]["command"].as_array().unwrap();
    assert_eq!(command[..2], [Value::from("sh"), Value::from("-c")]);
    for index in 0..spec["completions"].as_u64().unwrap() {
        let script = format!("export JOB_COMPLETION_INDEX={index}\n{}", here(command[2].as_str().unwrap(), &by_cluster));
        jobs.push((runner.job(&format!("pod-{index}")).installed(), script));
    }
    side_by_side(&jobs);
    assert_eq!(pushed(&by_matrix), pushed(&by_cluster));
    assert!(pushed(&by_matrix).values().all(Option::is_some));
}

#[test]
fn platforms_join_in_the_registry() {
    let [block] = &blocks("docs/src/recipes/many.md", "## Platforms apart", "sh")[..] else { panic!("one block") };
    let registry = MemoryRegistry::honest();
    let runner = Runner::of(Project::new(&[]));
    let job = runner.job("last").installed();
    for name in ["trio-alpha", "trio-beta"] {
        for platform in ["amd64", "arm64"] {
            let layout = job.dir.join(format!("{name}-{platform}"));
            Sample::of_platform(name, &format!("linux/{platform}"), 1000).to_layout(&layout);
            let push = format!(
                "cargo plugin-build copy oci:{name}-{platform} docker://registry.example/plugins/{name}:1.2.0-{platform}"
            );
            job.succeed(&here(&push, &registry));
        }
    }
    let before = registry.memory.count("POST PATCH", "/blobs/uploads");
    job.succeed(&here(block, &registry));
    assert_eq!(registry.memory.count("POST PATCH", "/blobs/uploads"), before, "no layer moves");
    for name in ["trio-alpha", "trio-beta"] {
        let joined = registry.memory.tag(&format!("plugins/{name}"), "1.2.0");
        assert_eq!(joined.as_ref(), Some(&Sample::image(name, 1000).root().digest));
    }
}
