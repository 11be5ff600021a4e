//! The action: its steps are run as a runner runs them, with the inputs of the page.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use super::pages::{blocks, root, yaml};
use super::runner::{Job, Runner};
use crate::support::memory_registry::MemoryRegistry;
use crate::support::program::{Ran, ran};
use crate::support::project::Project;
use crate::support::tools::require;

/// A text with the values of its expressions.
fn expanded(text: &Value, values: &BTreeMap<String, String>) -> String {
    let mut text = text.as_str().unwrap().to_owned();
    for (name, value) in values {
        text = text.replace(&format!("${{{{ {name} }}}}"), value);
    }
    assert!(!text.contains("${{"), "{text}");
    text
}

/// Runs a step that must succeed; what it wrote into `GITHUB_OUTPUT`.
fn step(job: &Job, step: &Value, values: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let (ran, found) = tried(job, step, values);
    assert_eq!(ran.code, 0, "{step}\n{}{}", ran.stdout, ran.stderr);
    found
}

/// Runs a step; what it wrote into `GITHUB_OUTPUT`.
fn tried(job: &Job, step: &Value, values: &BTreeMap<String, String>) -> (Ran, BTreeMap<String, String>) {
    let mut shell = job.shell(&expanded(&step["run"], values));
    for (name, value) in step["env"].as_object().into_iter().flatten() {
        shell.env(name, expanded(value, values));
    }
    if step["working-directory"].is_string() {
        shell.current_dir(job.dir.join(expanded(&step["working-directory"], values)));
    }
    let output = job.dir.join("../output");
    fs::write(&output, "").unwrap();
    let ran = ran(shell.env("GITHUB_OUTPUT", &output));
    let (text, mut found) = (fs::read_to_string(&output).unwrap(), BTreeMap::from([("stdout".to_owned(), ran.stdout.clone())]));
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some((name, end)) = line.split_once("<<") {
            let value: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
            found.insert(name.to_owned(), value.join("\n"));
        } else if let Some((name, value)) = line.split_once('=') {
            found.insert(name.to_owned(), value.to_owned());
        }
    }
    (ran, found)
}

fn action() -> Value {
    yaml(&fs::read_to_string(root().join("action.yml")).unwrap()).unwrap()
}

/// Runs the action with these inputs; its outputs.
fn act(job: &Job, with: &Value) -> BTreeMap<String, String> {
    let action = action();
    assert_eq!(action["runs"]["using"], "composite");
    let mut values = BTreeMap::from([
        ("github.action_path".to_owned(), root().display().to_string()),
        ("runner.temp".to_owned(), job.dir.join("../temp").display().to_string()),
    ]);
    for (name, input) in action["inputs"].as_object().unwrap() {
        let given = with.get(name).unwrap_or(&input["default"]);
        values.insert(format!("inputs.{name}"), given.as_str().unwrap().to_owned());
    }
    for name in with.as_object().into_iter().flatten().map(|(name, _)| name) {
        assert!(action["inputs"].get(name).is_some(), "the action has no input `{name}`");
    }
    for one in action["runs"]["steps"].as_array().unwrap() {
        assert_eq!(one["shell"], "bash");
        let found = step(job, one, &values);
        if let Some(id) = one["id"].as_str() {
            values.extend(found.into_iter().map(|(name, value)| (format!("steps.{id}.outputs.{name}"), value)));
        }
    }
    let outputs = action["outputs"].as_object().unwrap().iter();
    outputs.map(|(name, output)| (name.clone(), expanded(&output["value"], &values))).collect()
}

#[test]
#[ignore = "needs python3 and jq"]
fn the_action_builds_pushes_and_says_what() {
    let [block] = &blocks("docs/src/recipes/ci.md", "## The action", "yaml")[..] else { panic!("one block") };
    if require("jq").is_none() {
        return;
    }
    let registry = MemoryRegistry::honest();
    let Some(workflow) = yaml(&block.replace("registry.example", &registry.server.host())) else { return };
    let runner = Runner::of(Project::fixture("trio"));
    let job = runner.job("plugins");
    let steps = workflow["jobs"]["plugins"]["steps"].as_array().unwrap();
    let with = &steps[1]["with"];
    assert!(steps[1]["uses"].as_str().unwrap().ends_with(&format!("/cargo-plugin-build@v{}", env!("CARGO_PKG_VERSION"))));
    let outputs = act(&job, with);
    let values: BTreeMap<String, String> =
        outputs.into_iter().map(|(name, value)| (format!("steps.plugins.outputs.{name}"), value)).collect();
    assert_eq!(step(&job, &steps[2], &values)["stdout"], "alpha\ntrio-beta\ngamma\n");
    step(&job, &steps[3], &values);
    let images: Vec<&str> = values["steps.plugins.outputs.images"].lines().collect();
    assert_eq!(images.len(), 3, "{images:?}");
    let digest = registry.memory.tag("plugins/gamma", "1.2.0").unwrap();
    assert!(images.contains(&format!("{}/plugins/gamma@{digest}", registry.server.host()).as_str()), "{images:?}");
    // Without a place to push to nothing is, and words stay together as they were quoted.
    let only = act(&job, &serde_json::json!({ "args": "-p alpha", "working-directory": "beta" }));
    assert_eq!(only["images"], "");
    let results: Value = serde_json::from_str(&fs::read_to_string(&only["metadata"]).unwrap()).unwrap();
    assert_eq!(results["results"].as_array().unwrap().len(), 1);
    // A quote without an end is an error, and no fewer words.
    let mut last = action()["runs"]["steps"][1].clone();
    last["env"] = serde_json::json!({ "ARGS": "--workspace 'x", "PUSH": "", "RESULTS": "results" });
    last["working-directory"] = Value::Null;
    let (refused, found) = tried(&job, &last, &BTreeMap::new());
    assert!(refused.code != 0 && refused.stdout.is_empty() && found.len() == 1, "{}{}", refused.stdout, refused.stderr);
    let annotated = job.succeed("cargo plugin-build inspect oci:target/plugin-build/gamma");
    assert!(annotated.stdout.contains("org.example.built-by = a job"), "{}", annotated.stdout);
}
