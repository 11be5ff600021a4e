//! Jobs of continuous integration: a hermetic build, and an independent second builder that agrees, or tells why not.

use serde_json::Value;

use super::pages::{blocks, text, yaml};
use super::runner::{Job, Runner};
use crate::support::namespaces;
use crate::support::project::copy;

/// What an action does, as far as jobs here need it: the checkout is there, and an artifact moves by its name.
fn uses(step: &Value, job: &Job, store: &std::path::Path) {
    let with = |key: &str| step["with"][key].as_str().unwrap();
    match step["uses"].as_str().unwrap() {
        "actions/checkout@v4" => assert!(job.dir.join("Cargo.toml").is_file()),
        "actions/upload-artifact@v4" => copy(&job.dir.join(with("path")), &store.join(with("name"))),
        "actions/download-artifact@v4" => copy(&store.join(with("name")), &job.dir.join(with("path"))),
        other => panic!("nobody here knows `{other}`"),
    }
}

fn github(runner: &Runner, workflow: &Value, name: &str) -> Vec<(String, i32, String)> {
    let job = runner.job(name);
    let store = runner.stage().join("artifacts");
    let mut done = Vec::new();
    for step in workflow["jobs"][name]["steps"].as_array().unwrap() {
        if step["uses"].is_string() {
            uses(step, &job, &store);
            continue;
        }
        let run = step["run"].as_str().unwrap();
        let ran = job.run(run);
        done.push((run.to_owned(), ran.code, ran.stdout + &ran.stderr));
        if ran.code != 0 {
            break;
        }
    }
    done
}

fn succeeded(done: &[(String, i32, String)]) {
    for (run, code, text) in done {
        assert_eq!(*code, 0, "{run}\n{text}");
    }
}

#[test]
#[ignore = "needs python3"]
fn github_actions_builds_in_one_job_and_rebuilds_in_another() {
    let [block] = &blocks("docs/src/recipes/ci.md", "## GitHub Actions", "yaml")[..] else { panic!("one block") };
    let Some(workflow) = yaml(block) else { return };
    if !namespaces::are_there() {
        return;
    }
    assert_eq!(workflow["jobs"].as_object().unwrap().keys().collect::<Vec<_>>(), ["build", "rebuild"]);
    assert_eq!(workflow["jobs"]["rebuild"]["needs"], "build");
    let runner = Runner::with_base();
    succeeded(&github(&runner, &workflow, "build"));
    let done = github(&runner, &workflow, "rebuild");
    succeeded(&done);
    assert!(done.last().unwrap().2.contains("the same digest"), "{done:?}");
}

#[test]
#[ignore = "needs python3"]
fn a_second_job_with_other_sources_fails_and_tells_what_differs() {
    let [block] = &blocks("docs/src/recipes/ci.md", "## GitHub Actions", "yaml")[..] else { panic!("one block") };
    let Some(workflow) = yaml(block) else { return };
    if !namespaces::are_there() {
        return;
    }
    let runner = Runner::with_base();
    succeeded(&github(&runner, &workflow, "build"));
    runner.change("src/main.rs", "fn main() { println!(\"other\"); }\n");
    let done = github(&runner, &workflow, "rebuild");
    let (run, code, text) = done.last().unwrap();
    assert_eq!(*code, 3, "{run}\n{text}");
    assert!(text.contains("linux/amd64 > layer 2 > p: "), "{text}");
}

#[test]
#[ignore = "needs namespaces"]
fn gitlab_ci_does_the_same() {
    let [block] = &blocks("docs/src/recipes/ci.md", "## GitLab CI", "yaml")[..] else { panic!("one block") };
    let Some(pipeline) = yaml(block) else { return };
    if !namespaces::are_there() {
        return;
    }
    let runner = Runner::with_base();
    let script = |name: &str| -> String {
        let lines = pipeline[name]["script"].as_array().unwrap().iter();
        lines.map(|line| line.as_str().unwrap().to_owned() + "\n").collect()
    };
    let (build, rebuild) = (runner.job("build"), runner.job("rebuild"));
    build.succeed(&script("build"));
    assert_eq!(pipeline["rebuild"]["needs"], serde_json::json!(["build"]));
    for path in pipeline["build"]["artifacts"]["paths"].as_array().unwrap() {
        let path = path.as_str().unwrap();
        copy(&build.dir.join(path), &rebuild.dir.join(path));
    }
    let done = rebuild.succeed(&script("rebuild"));
    assert!(done.stderr.contains("the same digest"), "{}", done.stderr);
    let least = env!("CARGO_PKG_RUST_VERSION");
    for job in ["build", "rebuild"] {
        assert_eq!(pipeline[job]["image"], format!("rust:{least}"), "the oldest compiler that we support");
    }
    for page in ["README.md", "docs/src/start.md", "docs/src/stability.md"] {
        assert!(text(page).contains(&format!("Rust {least} or later")), "{page}");
    }
}
