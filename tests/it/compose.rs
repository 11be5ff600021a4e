//! The composer of the Cosmo Router, `wgc router compose`, on what we write, and we on what it writes.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::memory_registry::MemoryRegistry;
use crate::support::program::{self, Ran};
use crate::support::project::Project;
use crate::support::wgc::{ALONE, template, wgc};

struct Scene {
    registry: MemoryRegistry,
    project: Project,
    wgc: (PathBuf, PathBuf),
}

impl Scene {
    fn run(&self, arguments: &[&str]) -> Ran {
        program::run(&self.project.root, arguments)
    }

    fn done(&self, arguments: &[&str]) -> String {
        program::done(&self.project.root, arguments)
    }

    /// Builds, pushes, and writes the contract beside the graph.
    fn plugin(&self, project: &Project, name: &str) -> String {
        let manifest = project.root.join("Cargo.toml");
        self.done(&["build", "-q", "--manifest-path", manifest.to_str().unwrap(), "-o", name]);
        let repository = format!("{}/plugins/{name}", self.registry.server.host());
        let image = self.done(&["push", &format!("oci:{name}:0.1.0"), &repository]).trim().to_owned();
        self.done(&["contract", &format!("docker://{image}"), &format!("graph/{name}")]);
        image
    }

    /// The configuration of a graph of plugins and versions.
    fn compose(&self, plugins: &[(&str, &str)]) -> String {
        let plugin = |(name, version): &(&str, &str)| format!("  - plugin:\n      version: {version}\n      path: {name}\n");
        let graph: String = plugins.iter().map(plugin).collect();
        self.project.write("graph/graph.yaml", &format!("version: 1\nsubgraphs:\n{graph}"));
        let mut compose = Command::new(&self.wgc.0);
        compose.arg(&self.wgc.1).args(["router", "compose", "-i", "graph.yaml", "-o", "config.json"]);
        let output =
            compose.current_dir(self.project.root.join("graph")).env("HOME", &self.project.root).envs(ALONE).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
        fs::read_to_string(self.project.root.join("graph/config.json")).unwrap()
    }
}

#[test]
#[ignore = "needs npm"]
fn wgc_composes_what_contract_writes_and_set_names_the_images_in_it() {
    let Some(wgc) = wgc() else { return };
    let scene = Scene { registry: MemoryRegistry::honest(), project: Project::new(&[]), wgc };
    let first = template();
    let hello = scene.plugin(&first, "hello");
    let composed = scene.compose(&[("hello", "0.1.0")]);
    // What the other tests take for its output is its output.
    let sample: Value = serde_json::from_str(include_str!("../../fixtures/execution/wgc-0.112.7.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&composed).unwrap(), sample);
    scene.done(&["router", "set", "graph/config.json", &hello]);
    scene.done(&["router", "set", "--check", "graph/config.json", &hello]);

    let p = scene.plugin(&Project::router_plugin(""), "p");
    let composed = scene.compose(&[("hello", "0.1.0"), ("p", "0.9.0")]);
    let two = ["router", "set", "graph/config.json", &hello, &p];
    assert_eq!(scene.done(&two).lines().count(), 2);
    let set = fs::read_to_string(scene.project.root.join("graph/config.json")).unwrap();
    let hex = |image: &str| image.rsplit(':').next().unwrap().to_owned();
    let plugin = |name: &str, version: &str, image: Option<&str>| {
        let reference = image.map(|image| {
            format!(",\"imageReference\":{{\"repository\":\"plugins/{name}@sha256\",\"reference\":\"{}\"}}", hex(image))
        });
        format!("\"plugin\":{{\"name\":\"{name}\",\"version\":\"{version}\"{}}}", reference.unwrap_or_default())
    };
    let expected = composed
        .replace(&plugin("hello", "0.1.0", None), &plugin("hello", "0.1.0", Some(&hello)))
        .replace(&plugin("p", "0.9.0", None), &plugin("p", "0.1.0", Some(&p)));
    assert_eq!(set, expected);
    assert_eq!(composed, scene.compose(&[("hello", "0.1.0"), ("p", "0.8.0")]).replace("0.8.0", "0.9.0"), "a version is one word");

    // A schema that nobody composed.
    let schema = fs::read_to_string(first.root.join("src/schema.graphql")).unwrap();
    first.write("src/schema.graphql", &schema.replace("text: String!", "text: String!\n  more: Int"));
    let manifest = first.root.join("Cargo.toml");
    scene.done(&["build", "-q", "--generate", "--manifest-path", manifest.to_str().unwrap(), "-o", "hello"]);
    let repository = format!("{}/plugins/hello", scene.registry.server.host());
    let newer = scene.done(&["push", "oci:hello:0.1.0", &repository]);
    let refused = scene.run(&["router", "set", "graph/config.json", newer.trim(), &p]);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(refused.stdout.contains("[config-schema]"), "{}", refused.stdout);
    scene.done(&["contract", "--force", &format!("docker://{}", newer.trim()), "graph/hello"]);
    scene.compose(&[("hello", "0.1.0"), ("p", "0.1.0")]);
    scene.done(&["router", "set", "graph/config.json", newer.trim(), &p]);
}
