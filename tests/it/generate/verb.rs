//! The verb `generate`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;

use plugin_oci::fs::sorted_listing;

use crate::support::program::{Ran, plugin_build, ran};
use crate::support::project::Project;

const SCHEMA: &str = "type Query {\n  hello(name: String!): Greeting!\n}\n\ntype Greeting {\n  id: ID!\n  text: String!\n}\n";
const FILES: [&str; 3] = ["generated/service.proto", "generated/mapping.json", "generated/service.proto.lock.json"];

fn project(schema: &str) -> Project {
    let project = Project::with_table("");
    project.write("src/schema.graphql", schema);
    project
}

fn generate(project: &Project, arguments: &[&str]) -> Ran {
    ran(plugin_build(&project.root).arg("generate").args(arguments))
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

#[test]
fn a_contract_is_written_once_and_again_only_where_it_changes() {
    let project = project(SCHEMA);
    let made = generate(&project, &[]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let paths: Vec<_> = FILES.iter().map(|file| project.root.join(file)).collect();
    let shown: Vec<String> = paths.iter().map(|path| format!("{}\n", path.display())).collect();
    assert_eq!(made.stdout, shown.concat());
    assert!(made.stderr.contains("Generated the contract of p (3 of 3 files changed)"), "{}", made.stderr);
    assert!(fs::read_to_string(&paths[0]).unwrap().contains("service PService {"));
    let before: Vec<u64> = paths.iter().map(|path| inode(path)).collect();
    let again = generate(&project, &[]);
    assert!(again.stderr.contains("Fresh the contract of p (0 of 3 files changed)"), "{}", again.stderr);
    assert_eq!(paths.iter().map(|path| inode(path)).collect::<Vec<_>>(), before);
    // Many editors and hooks end a text with a line end, which the other generator does not.
    let text = fs::read_to_string(&paths[1]).unwrap();
    project.write(FILES[1], &(text.clone() + "\n"));
    assert_eq!(generate(&project, &["--check"]).code, 0);
    assert!(generate(&project, &[]).stderr.contains("0 of 3 files"));
    project.write(FILES[1], &text);
    let before: Vec<u64> = paths.iter().map(|path| inode(path)).collect();
    // A description is in the proto alone.
    project.write("src/schema.graphql", &SCHEMA.replace("type Greeting", "\"What is said\" type Greeting"));
    let told = generate(&project, &["--message-format", "json"]);
    let result: serde_json::Value = serde_json::from_str(told.stdout.lines().last().unwrap()).unwrap();
    let changed: Vec<bool> = (0..3).map(|at| result["files"][at]["changed"].as_bool().unwrap()).collect();
    assert_eq!((result["reason"].as_str(), changed), (Some("contract-generated"), vec![true, false, false]));
    assert!(inode(&paths[0]) != before[0] && inode(&paths[1]) == before[1]);
}

#[test]
fn numbers_are_those_of_the_lock() {
    let project = project(SCHEMA);
    generate(&project, &[]);
    project.write("src/schema.graphql", &SCHEMA.replace("  id: ID!\n", "").replace("  text", "  more: Int!\n  text"));
    assert_eq!(generate(&project, &[]).code, 0);
    let proto = fs::read_to_string(project.root.join(FILES[0])).unwrap();
    assert!(proto.ends_with("message Greeting {\n  reserved 1;\n  string text = 2;\n  int32 more = 3;\n}"), "{proto}");
}

#[test]
fn a_check_names_the_first_difference_of_each_file_and_writes_nothing() {
    let project = project(SCHEMA);
    let missing = generate(&project, &["--check"]);
    assert_eq!(missing.code, 3, "{}", missing.stderr);
    assert!(missing.stdout.starts_with("generated/service.proto: there is no such file [missing]\n"), "{}", missing.stdout);
    assert!(!project.root.join("generated").exists());
    generate(&project, &[]);
    let current = generate(&project, &["--check"]);
    assert_eq!((current.code, current.stdout.as_str()), (0, ""), "{}", current.stderr);
    project.write("src/schema.graphql", &SCHEMA.replace("text: String!", "said: String!"));
    let before: Vec<u64> = FILES.iter().map(|file| inode(&project.root.join(file))).collect();
    let stale = generate(&project, &["--check"]);
    assert_eq!(stale.code, 3, "{}", stale.stderr);
    let lines = [
        "generated/service.proto: line 19 of message Greeting is `string id = 1;` and would be `reserved 2;` [stale]",
        "generated/mapping.json: `typeFieldMappings[Greeting].fieldMappings[text]` stands where `typeFieldMappings[Greeting].fieldMappings[said]` would [stale]",
        "generated/service.proto.lock.json: `messages.Greeting.fields.said` is missing [stale]",
    ];
    assert_eq!(stale.stdout.lines().collect::<Vec<_>>(), lines);
    assert!(stale.stderr.contains("Checked the contract of p is stale"), "{}", stale.stderr);
    assert_eq!(FILES.iter().map(|file| inode(&project.root.join(file))).collect::<Vec<_>>(), before);
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_leaves_the_files() {
    let project = project("type A {\n  b: B\n  c(x: [Int]): Int\n}\n");
    let refused = generate(&project, &[]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    for part in ["src/schema.graphql", "2:6: there is no type `B`", "3:3: `c` names no context", "help: define it"] {
        assert!(refused.stderr.contains(part), "{part} in {}", refused.stderr);
    }
    assert!(!project.root.join("generated").exists());
    project.write("src/schema.graphql", SCHEMA);
    project.write(FILES[2], "{\"version\": \"1.0.0\",\n \"messages\": 3}");
    let broken = generate(&project, &[]);
    assert_eq!(broken.code, 2, "{}", broken.stderr);
    assert!(broken.stderr.contains("service.proto.lock.json") && broken.stderr.contains("2:14"), "{}", broken.stderr);
    assert!(!project.root.join(FILES[0]).exists());
}

#[test]
fn warnings_have_places_too() {
    let project = project("type Query { a: [String] }\n");
    let warned = generate(&project, &[]);
    assert_eq!(warned.code, 0, "{}", warned.stderr);
    assert!(warned.stderr.contains("warning: src/schema.graphql:1:17: items of `[String]` may be null"), "{}", warned.stderr);
}

#[test]
fn a_package_without_a_schema_is_told_what_to_do() {
    let project = Project::with_table("");
    let refused = generate(&project, &[]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("no plugin of the Cosmo Router is selected, only p"), "{}", refused.stderr);
    assert!(refused.stderr.contains("src/schema.graphql"), "{}", refused.stderr);
}

#[test]
fn a_link_among_the_sources_does_not_lead_files_out_of_them() {
    let project = project(SCHEMA);
    let elsewhere = tempfile::tempdir().unwrap();
    symlink(elsewhere.path(), project.root.join("generated")).unwrap();
    let refused = generate(&project, &[]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("leads out of the workspace"), "{}", refused.stderr);
    assert!(sorted_listing(elsewhere.path()).unwrap().is_empty());
}

#[test]
fn the_template_has_the_contract_of_its_own_schema() {
    let home = tempfile::tempdir().unwrap();
    // The second has another name for the template, which code generators for Rust leave alone, than for the router.
    for name in ["my-greeter", "a-b"] {
        let made = ran(plugin_build(home.path()).args(["new", name, "--template", "cosmo-router"]));
        assert_eq!(made.code, 0, "{}", made.stderr);
        let checked = ran(plugin_build(&home.path().join(name)).args(["generate", "--check"]));
        assert_eq!((checked.code, checked.stdout.as_str()), (0, ""), "{}", checked.stderr);
    }
}

#[test]
fn a_proto_keeps_the_go_package_that_it_names() {
    let project = project(SCHEMA);
    generate(&project, &[]);
    let proto = fs::read_to_string(project.root.join(FILES[0])).unwrap();
    let named = proto.replace("package service;\n", "package service;\n\noption go_package = \"example.com/p\";\n");
    project.write(FILES[0], &named);
    let checked = generate(&project, &["--check"]);
    assert_eq!((checked.code, checked.stdout.as_str()), (0, ""), "{}", checked.stderr);
}

#[test]
fn a_service_keeps_the_name_that_its_mapping_gives_it() {
    let project = project(SCHEMA);
    project.write("generated/mapping.json", "{\"service\": \"OtherService\"}");
    assert_eq!(generate(&project, &[]).code, 0);
    assert!(fs::read_to_string(project.root.join(FILES[0])).unwrap().contains("service OtherService {"));
    project.write("generated/mapping.json", "{\"service\": \"Other {} Service\"}");
    assert_eq!(generate(&project, &[]).code, 0);
    assert!(fs::read_to_string(project.root.join(FILES[0])).unwrap().contains("service PService {"));
}

#[test]
fn what_is_no_schema_is_not_packed() {
    let project = Project::router_plugin("");
    for broken in ["not graphql at all {{{", "type Query { a: }", "type Query { a: Int"] {
        project.write("src/schema.graphql", broken);
        let refused = ran(plugin_build(&project.root).args(["build", "--dry-run"]));
        assert_eq!(refused.code, 2, "{broken}: {}", refused.stderr);
        assert!(refused.stderr.contains("src/schema.graphql` is no GraphQL schema"), "{}", refused.stderr);
    }
}
