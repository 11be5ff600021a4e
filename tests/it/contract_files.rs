//! `contract`: files for `wgc router compose`, and what of their change breaks others.

use std::fs;
use std::os::unix::fs::symlink;

use plugin_build::hosts::cosmo::contract::{Contract, diff};
use serde_json::Value;

use crate::support::memory_registry::MemoryRegistry;
use crate::support::packed::Packed;
use crate::support::program::{done, run};
use crate::support::project::Project;

const FILES: [&str; 4] =
    ["src/schema.graphql", "generated/service.proto", "generated/mapping.json", "generated/service.proto.lock.json"];

#[test]
fn an_image_gives_its_contract_back_where_wgc_looks() {
    let project = Project::router_plugin("name = 'hello'");
    let dir = &project.root;
    done(dir, &["build", "-q", "-o", "out"]);
    let printed = done(dir, &["contract", "oci:out:0.1.0", "subgraphs/hello"]);
    assert_eq!(printed.lines().count(), 4);
    for file in FILES {
        assert_eq!(fs::read(dir.join("subgraphs/hello").join(file)).unwrap(), fs::read(dir.join(file)).unwrap());
    }
    let told = run(dir, &["contract", "oci:out:0.1.0", "subgraphs/hello", "--message-format", "json"]);
    let lines = told.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert_eq!(lines.filter(|line| line["reason"] == "contract-file").count(), 4, "{}", told.stderr);
    assert!(!told.stderr.contains("warning"), "{}", told.stderr);
    let other = run(dir, &["contract", "oci:out:0.1.0", "subgraphs/other"]);
    assert!(other.stderr.contains("this one will be `other`, not `hello`"), "{}", other.stderr);
    assert_eq!(plugin_oci::fs::sorted_listing(&dir.join("subgraphs")).unwrap(), ["hello", "other"]);
}

#[test]
fn other_content_is_left_unless_it_is_to_be_overwritten() {
    let project = Project::router_plugin("name = 'hello'");
    let dir = &project.root;
    done(dir, &["build", "-q", "-o", "out"]);
    done(dir, &["contract", "oci:out:0.1.0", "hello"]);
    let proto = dir.join("hello/generated/service.proto");
    let schema = dir.join("hello/src/schema.graphql");
    fs::write(&proto, "mine").unwrap();
    fs::remove_file(&schema).unwrap();
    let refused = run(dir, &["contract", "oci:out:0.1.0", "hello"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("hello/generated/service.proto` would be overwritten"), "{}", refused.stderr);
    assert!(!schema.exists() && fs::read(&proto).unwrap() == b"mine", "all or nothing");
    done(dir, &["contract", "oci:out:0.1.0", "hello", "--force"]);
    assert!(schema.exists() && fs::read(&proto).unwrap() != b"mine");

    for path in ["hello/generated/service.proto", "hello/src"] {
        let path = dir.join(path);
        let elsewhere = dir.join("elsewhere");
        fs::create_dir_all(&elsewhere).unwrap();
        if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.unwrap();
        symlink(&elsewhere, &path).unwrap();
        let refused = run(dir, &["contract", "oci:out:0.1.0", "hello", "--force"]);
        assert_eq!(refused.code, 1, "{}", refused.stderr);
        assert_eq!(plugin_oci::fs::sorted_listing(&elsewhere).unwrap(), Vec::<std::ffi::OsString>::new());
        fs::remove_file(&path).unwrap();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
    }
}

#[test]
fn numbers_of_another_contract_do_not_stay() {
    let dir = tempfile::tempdir().unwrap();
    let contract = Contract { schema: b"type Query".to_vec(), proto: b"syntax".to_vec(), mapping: b"{}".to_vec(), lock: None };
    let image = Packed { contract: Some(contract), ..Packed::new("cosmo-router", "./bin/x") }.write(dir.path());
    let lock = dir.path().join("hello/generated/service.proto.lock.json");
    fs::create_dir_all(lock.parent().unwrap()).unwrap();
    fs::write(&lock, "{}").unwrap();
    let refused = run(dir.path(), &["contract", &image, "hello"]);
    assert!(refused.code == 1 && refused.stderr.contains("lock.json"), "{}", refused.stderr);
    done(dir.path(), &["contract", &image, "hello", "--force"]);
    assert!(!lock.exists());
    let without = Packed::new("cosmo-router", "./bin/x").write(&dir.path().join("without"));
    let told = run(dir.path(), &["contract", &without, "x"]);
    assert!(told.code == 1 && told.stderr.contains("no contract is attached"), "{}", told.stderr);
}

#[test]
fn a_contract_elsewhere_is_told_since_wgc_reads_fixed_places() {
    let project = Project::router_plugin("contract = { schema = 'api/schema.graphql' }");
    project.write("api/schema.graphql", "type Query { p: String }\n");
    let same = run(&project.root, &["build", "-o", "out"]);
    assert!(same.code == 0 && !same.stderr.contains("wgc router compose"), "{}", same.stderr);
    project.schema("type Query { p: String q: Int }\n");
    project.write("api/schema.graphql", "type Query { p: String q: Int }\n");
    project.write("src/schema.graphql", "type Query { p: String }\n");
    let told = run(&project.root, &["build", "-o", "out"]);
    assert_eq!(told.code, 0, "{}", told.stderr);
    assert!(told.stderr.contains("`wgc router compose` reads `src/schema.graphql`"), "{}", told.stderr);
    assert!(told.stderr.contains("cargo plugin-build contract IMAGE DIR"), "{}", told.stderr);
    done(&project.root, &["contract", "oci:out:0.1.0", "p"]);
    assert_eq!(fs::read(project.root.join("p/src/schema.graphql")).unwrap(), b"type Query { p: String q: Int }\n");
}

/// A contract of a schema's and a proto's definitions.
fn contract(schema: &str, proto: &str) -> Contract {
    let proto = format!("syntax = \"proto3\";\npackage service;\nimport \"google/protobuf/wrappers.proto\";\n{proto}");
    Contract { schema: schema.into(), proto: proto.into(), mapping: b"{}".to_vec(), lock: None }
}

#[test]
fn every_break_of_a_schema_is_named_with_its_place() {
    let old = "type Query { a(x: Int): String b: [Int!]! c(x: Int y: Int): String d(x: Int! = 3): Int gone: Int }\ntype Gone { a: Int }\nenum E { A B }\n\
               union U = Query | Gone2\ntype Gone2 { a: Int }\ninput I { a: Int }\ntype Turned { a: Int }\nextend type Query { later: Int }\n";
    let cases = [
        (old, Vec::new()),
        ("gone: Int", vec![("Query.gone", "field-removed")]),
        ("later: Int", vec![("Query.later", "field-removed")]),
        ("type Gone { a: Int }", vec![("Gone", "type-removed")]),
    ];
    for (cut, expected) in cases {
        let new =
            if cut == old { old.to_owned() } else { old.replace(cut, if cut.contains("later") { "other: Int" } else { "" }) };
        assert_eq!(found(&contract(old, ""), &contract(&new, "")), expected_of("schema.graphql", &expected), "{cut}");
    }
    for (from, to, place, rule) in [
        ("a(x: Int): String", "a(x: Int): String!", "Query.a", "nullability-changed"),
        ("a(x: Int): String", "a(x: Int): Int", "Query.a", "type-changed"),
        ("b: [Int!]!", "b: [Int]!", "Query.b", "nullability-changed"),
        ("b: [Int!]!", "b: Int", "Query.b", "type-changed"),
        ("a(x: Int)", "a", "Query.a(x:)", "argument-removed"),
        ("a(x: Int)", "a(x: Int!)", "Query.a(x:)", "nullability-changed"),
        ("a(x: Int)", "a(x: Int z: Int!)", "Query.a(z:)", "argument-required"),
        ("enum E { A B }", "enum E { A }", "E.B", "value-removed"),
        ("union U = Query | Gone2", "union U = Query", "U = Gone2", "member-removed"),
        ("input I { a: Int }", "input I { a: Int b: Int! }", "I.b", "input-required"),
        ("x: Int! = 3", "x: Int!", "Query.d(x:)", "argument-required"),
        ("type Turned { a: Int }", "interface Turned { a: Int }", "Turned", "kind-changed"),
    ] {
        let breaks = found(&contract(old, ""), &contract(&old.replace(from, to), ""));
        assert_eq!(breaks, expected_of("schema.graphql", &[(place, rule)]), "{to}");
    }
    for (from, to) in [
        ("a(x: Int)", "a(x: Int z: Int)"),
        ("a(x: Int)", "a(x: Int z: Int! = 3)"),
        ("gone: Int", "\"\"\"said\"\"\" gone: Int # and said\n new: Int"),
        ("enum E { A B }", "enum E { A B C }"),
        ("a(x: Int): String", "a(x:Int):String@deprecated"),
    ] {
        assert_eq!(found(&contract(old, ""), &contract(&old.replace(from, to), "")), Vec::new(), "{to}");
    }
}

#[test]
fn every_break_of_a_proto_is_named_with_its_place() {
    let old = "service S { rpc A(M) returns (M) {} rpc B(M) returns (N) {} }\nmessage M { string a = 1; int32 b = 2; repeated string c = 3; }\n\
               message N { google.protobuf.StringValue a = 1; M m = 2; enum E { X = 0; Y = 1; } }\n";
    for (from, to, expected) in [
        ("", "", &[][..]),
        ("rpc A(M) returns (M) {}", "", &[("service.S.A", "rpc-removed")]),
        ("rpc A(M)", "rpc A(N)", &[("service.S.A", "rpc-changed")]),
        ("int32 b = 2;", "reserved 2;", &[("service.M.b", "field-removed")]),
        ("int32 b = 2;", "", &[("service.M.b", "field-removed"), ("service.M.b", "number-not-reserved")]),
        ("int32 b = 2;", "int32 other = 2;", &[("service.M.b", "field-removed"), ("service.M.other", "number-reused")]),
        ("int32 b = 2;", "int32 b = 4; reserved 2;", &[("service.M.b", "number-changed")]),
        ("int32 b = 2;", "int32 b = 4;", &[("service.M.b", "number-changed"), ("service.M.b", "number-not-reserved")]),
        ("int32 b = 2;", "int64 b = 2;", &[("service.M.b", "type-changed")]),
        ("int32 b = 2;", "optional int32 b = 2;", &[("service.M.b", "nullability-changed")]),
        ("google.protobuf.StringValue a", "string a", &[("service.N.a", "nullability-changed")]),
        ("repeated string c", "string c", &[("service.M.c", "type-changed")]),
        ("M m = 2;", "N m = 2;", &[("service.N.m", "type-changed")]),
        ("Y = 1;", "reserved 1;", &[("service.N.Y", "value-removed")]),
        ("service S {", "service T {", &[("service.S", "service-removed")]),
        ("int32 b = 2;", "int32 b = 2; string d = 4;", &[]),
    ] {
        let breaks = found(&contract("", old), &contract("", &old.replacen(from, to, 1)));
        let breaks: Vec<_> =
            breaks.into_iter().map(|(place, rule)| (place.replace("service.N.E.", "service.N."), rule)).collect();
        assert_eq!(breaks, expected_of("service.proto", expected), "{to}");
    }
}

fn found(old: &Contract, new: &Contract) -> Vec<(String, &'static str)> {
    diff::breaks(old, new).unwrap().into_iter().map(|found| (found.object, found.rule)).collect()
}

fn expected_of(file: &str, places: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
    places.iter().map(|(place, rule)| (format!("{file}: {place}"), *rule)).collect()
}

#[test]
fn diff_compares_images_and_directories() {
    let project = Project::router_plugin("");
    let dir = &project.root;
    done(dir, &["build", "-q", "-o", "old"]);
    let same = run(dir, &["contract", "diff", "oci:old:0.1.0", "."]);
    assert_eq!((same.code, same.stdout.as_str()), (0, ""), "{}", same.stderr);
    project.write("src/schema.graphql", "type Query { p: String! }\n");
    let differs = run(dir, &["contract", "diff", "oci:old:0.1.0", "."]);
    assert_eq!(differs.code, 3);
    let line = "schema.graphql: Query.p: its type was `String` and is `String!` [nullability-changed]\n";
    assert_eq!(differs.stdout, line);
    let json = run(dir, &["contract", "diff", "oci:old:0.1.0", ".", "--message-format", "json"]);
    let lines: Vec<Value> = json.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found = lines.iter().find(|line| line["reason"] == "contract-break").unwrap();
    assert_eq!((&found["rule"], &found["object"]), (&"nullability-changed".into(), &"schema.graphql: Query.p".into()));
    assert_eq!(lines.last().unwrap()["breaks"].as_array().unwrap().len(), 1);
    project.write("src/schema.graphql", "type Query {\n  p: \n}\n");
    let malformed = run(dir, &["contract", "diff", "oci:old:0.1.0", "."]);
    assert!(malformed.code == 1 && malformed.stderr.contains("`schema.graphql` of the second contract"), "{}", malformed.stderr);
}

#[test]
fn a_push_tells_what_moving_its_tag_breaks_and_may_be_denied() {
    let registry = MemoryRegistry::honest();
    let repository = format!("{}/p", registry.server.host());
    let project = Project::router_plugin("");
    let dir = &project.root;
    done(dir, &["build", "-q", "-o", "out"]);
    let first = run(dir, &["push", "--deny-breaking", "oci:out:0.1.0", &repository]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let digest = first.stdout.trim().to_owned();
    assert_eq!(run(dir, &["push", "--deny-breaking", "oci:out:0.1.0", &repository]).code, 0);

    project.schema("type Query { q: String }\n");
    done(dir, &["build", "-q", "-o", "out"]);
    let writes = || registry.memory.count("POST PATCH PUT", "/v2/");
    let before = writes();
    let elsewhere = format!("{}/elsewhere", registry.server.host());
    let denied = run(dir, &["push", "--deny-breaking", "oci:out:0.1.0", &elsewhere, &repository]);
    assert_eq!(denied.code, 3, "{}", denied.stderr);
    assert!(denied.stderr.contains("Query.p: the field is gone [field-removed]"), "{}", denied.stderr);
    assert_eq!((writes(), denied.stdout.as_str()), (before, ""), "nothing is pushed, to none of the repositories");

    let warned = run(dir, &["push", "oci:out:0.1.0", &repository]);
    assert_eq!(warned.code, 0);
    assert!(warned.stderr.contains("warning: ") && warned.stderr.contains("[field-removed]"), "{}", warned.stderr);
    assert_ne!(warned.stdout.trim(), digest);
    let foreign = Packed::new("cosmo-router", "./bin/x").write(&dir.join("foreign"));
    done(dir, &["copy", &foreign, &format!("docker://{elsewhere}:0.1.0")]);
    let unknown = run(dir, &["push", "--deny-breaking", "oci:out:0.1.0", &elsewhere]);
    assert!(unknown.code == 0 && unknown.stderr.contains("an image without a contract"), "{}", unknown.stderr);
    let other = run(dir, &["push", "--deny-breaking", "oci:out:0.1.0", &format!("{repository}:new")]);
    assert_eq!(other.code, 0, "a new tag moves nothing: {}", other.stderr);
}
