//! The contract of a router's plugin: one digest, one contract.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use plugin_build::hosts::cosmo::contract::Contract;
use plugin_oci::documents::Descriptor;
use plugin_oci::values::digest::Digest;
use serde_json::{Value, json};

use crate::support::memory_registry::{MemoryRegistry, Quirks};
use crate::support::packed::Packed;
use crate::support::program::{done, run};
use crate::support::project::Project;

const KEY: &str = "dev.cargo-plugin-build.cosmo-contract";

fn build(project: &Project) -> Value {
    done(&project.root, &["build", "-q", "-o", "out"]);
    inspected(&project.root, "oci:out:0.1.0")
}

fn inspected(dir: &Path, image: &str) -> Value {
    let printed = done(dir, &["inspect", "--no-files", "--message-format", "json", image]);
    serde_json::from_str(printed.lines().last().unwrap()).unwrap()
}

/// The contracts that are attached to an image.
fn attachments(image: &Value) -> Vec<&str> {
    let is_contract = |one: &&Value| one["artifact_type"] == Contract::ARTIFACT_TYPE;
    image["attachments"].as_array().unwrap().iter().filter(is_contract).map(|one| one["digest"].as_str().unwrap()).collect()
}

/// Attaches another contract to the image of a layout, as whoever may write to it can; its digest.
fn attach(layout: &Path, image: &Value, schema: &str) -> String {
    let size = fs::metadata(blob(layout, image["digest"].as_str().unwrap())).unwrap().len();
    let subject = image["digest"].as_str().unwrap().parse::<Digest>().unwrap();
    let subject = Descriptor::new("application/vnd.oci.image.index.v1+json", subject, size);
    let (proto, mapping) = (b"syntax = \"proto3\";".to_vec(), b"{}".to_vec());
    let attachment = Contract { schema: schema.into(), proto, mapping, lock: None }.attach(&subject);
    for (descriptor, bytes) in attachment.blobs.iter().chain([&(attachment.descriptor.clone(), attachment.manifest.clone())]) {
        fs::write(blob(layout, &descriptor.digest.to_string()), bytes).unwrap();
    }
    let mut index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let entry = serde_json::to_value(&attachment.descriptor).unwrap();
    index["manifests"].as_array_mut().unwrap().push(entry);
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    attachment.descriptor.digest.to_string()
}

fn blob(layout: &Path, digest: &str) -> std::path::PathBuf {
    layout.join("blobs").join(digest.replace(':', "/"))
}

/// Attaches contracts until one has a lower digest than the image's own.
fn attach_lower(layout: &Path, image: &Value) -> String {
    let own = attachments(image)[0].to_owned();
    (0..1000).map(|count| attach(layout, image, &format!("type Old{count}"))).find(|digest| *digest < own).unwrap()
}

#[test]
fn another_schema_is_another_image_with_one_contract() {
    let project = Project::router_plugin("");
    let first = build(&project);
    assert_eq!(build(&project)["digest"], first["digest"]);
    let file = |path: &str| Digest::of(&fs::read(project.root.join(path)).unwrap());
    let files = BTreeMap::from([
        ("mapping.json", file("generated/mapping.json")),
        ("schema.graphql", file("src/schema.graphql")),
        ("service.proto", file("generated/service.proto")),
        ("service.proto.lock.json", file("generated/service.proto.lock.json")),
    ]);
    let named = Digest::of(json!(files).to_string().as_bytes());
    assert_eq!(first["annotations"][KEY], named.to_string());

    project.schema("type Query { p: String! }\n");
    let second = build(&project);
    assert_ne!(second["digest"], first["digest"]);
    assert_eq!((attachments(&first).len(), attachments(&second).len()), (1, 1));
    let manifests = |image: &Value| image["images"][0]["digest"].clone();
    assert_eq!(manifests(&second), manifests(&first), "only the index tells the contract");
}

#[test]
fn only_the_contract_that_the_image_names_is_copied() {
    for no_referrers in [true, false] {
        let project = Project::router_plugin("");
        let image = build(&project);
        attach_lower(&project.root.join("out"), &image);
        let own = attachments(&image);
        let quirks = Quirks { no_referrers, ..Quirks::default() };
        let registry = MemoryRegistry::scripted(quirks, |_, _| None);
        let remote = format!("{}/p", registry.server.host());
        done(&project.root, &["push", "oci:out:0.1.0", &remote]);
        assert_eq!(attachments(&inspected(&project.root, &format!("docker://{remote}:0.1.0"))), own);
        done(&project.root, &["copy", "oci:out:0.1.0", "oci-archive:p.tar:1"]);
        assert_eq!(attachments(&inspected(&project.root, "oci-archive:p.tar:1")), own);
    }
}

#[test]
fn verify_warns_of_a_contract_that_is_missing_and_finds_another_or_one_out_of_reach() {
    let project = Project::router_plugin("");
    let image = build(&project);
    let found = |store: &str| {
        let ran = run(&project.root, &["verify", store, "--message-format", "json"]);
        let lines = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let rules = lines.filter_map(|line| line["rule"].as_str().map(str::to_owned));
        (ran.code, rules.filter(|rule| rule.starts_with("contract")).collect::<Vec<_>>())
    };
    assert_eq!(found("oci:out"), (0, Vec::new()));
    done(&project.root, &["copy", "--no-referrers", "oci:out:0.1.0", "oci:bare:1"]);
    for store in ["oci:bare", "oci:bare:1"] {
        let told = run(&project.root, &["verify", store]);
        assert_eq!((told.code, told.stdout.as_str()), (0, ""), "as other tools copy: {}", told.stderr);
        assert!(
            told.stderr.contains("and none is attached") && told.stderr.contains("cargo plugin-build copy"),
            "{}",
            told.stderr
        );
    }
    let needed = run(&project.root, &["contract", "oci:bare:1", "p"]);
    assert!(needed.code == 1 && needed.stderr.contains("is not attached to it"), "{}", needed.stderr);
    attach(&project.root.join("bare"), &image, "type Other");
    for store in ["oci:bare", "oci:bare:1"] {
        assert_eq!(found(store), (3, vec!["contract-other".to_owned()]));
    }
    attach_lower(&project.root.join("out"), &image);
    assert_eq!(found("oci:out:0.1.0"), (0, Vec::new()), "what others attach is nobody's fault");
    let schema = Digest::of(&fs::read(project.root.join("src/schema.graphql")).unwrap());
    fs::remove_file(blob(&project.root.join("out"), &schema.to_string())).unwrap();
    assert_eq!(found("oci:out:0.1.0"), (3, vec!["contract-unreachable".to_owned()]));
    fs::remove_file(blob(&project.root.join("out"), attachments(&image)[0])).unwrap();
    assert_eq!(found("oci:out:0.1.0"), (3, vec!["contract-unreachable".to_owned()]));
}

#[test]
fn joined_platforms_keep_their_contract() {
    let project = Project::router_plugin("");
    let image = build(&project);
    let dir = &project.root;
    // One platform is enough: what is made anew is the index and what is attached to it.
    done(dir, &["copy", "--into-index", "oci:out:0.1.0", "oci:joined:1"]);
    assert_eq!(inspected(dir, "oci:joined:1")["digest"], image["digest"]);
    done(dir, &["verify", "oci:joined"]);
    assert_eq!(attachments(&inspected(dir, "oci:joined:1")), attachments(&image));

    project.schema("type Query { p: String! }\n");
    done(dir, &["build", "-q", "-o", "other"]);
    let refused = run(dir, &["copy", "--into-index", "oci:out:0.1.0", "oci:other:0.1.0", "oci:mixed:1"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains(KEY), "{}", refused.stderr);
}

#[test]
fn a_call_takes_the_proto_that_the_image_names() {
    let project = Project::router_plugin("");
    let image = build(&project);
    attach_lower(&project.root.join("out"), &image);
    // The attached stranger has no service at all: with it the call's name would be unknown.
    let ran = run(&project.root, &["run", "oci:out:0.1.0", "--call", "QueryQ", "{}"]);
    assert!(ran.stderr.contains("QueryP"), "{}", ran.stderr);
    done(&project.root, &["copy", "--no-referrers", "oci:out:0.1.0", "oci:bare:1"]);
    attach(&project.root.join("bare"), &image, "type Other");
    let ran = run(&project.root, &["run", "oci:bare:1", "--call", "QueryP", "{}"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("is not attached to it (1 others are)"), "{}", ran.stderr);
}

#[test]
fn an_image_of_before_keeps_all_its_contracts() {
    let dir = tempfile::tempdir().unwrap();
    let contract = Contract { schema: b"type Query".to_vec(), proto: b"syntax".to_vec(), mapping: b"{}".to_vec(), lock: None };
    let packed = Packed::new("cosmo-router", "./bin/linux_amd64").file("bin/linux_amd64", 0o755, *b"#!/bin/sh\n");
    let image = Packed { contract: Some(contract), ..packed }.write(dir.path());
    attach(&dir.path().join("layout"), &inspected(dir.path(), &image), "type Query { a: Int }");
    let before = inspected(dir.path(), &image);
    assert_eq!(before["annotations"].get(KEY), None);
    assert_eq!(attachments(&before).len(), 2);
    done(dir.path(), &["copy", &image, "oci:copied:1.0"]);
    assert_eq!(attachments(&inspected(dir.path(), "oci:copied:1.0")), attachments(&before));
}
