//! Programs that carry the list of their crates, read by the library that scanners read it with.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use auditable_info::{Limits, audit_info_from_file};
use auditable_serde::DependencyKind;
use serde_json::Value;

use crate::support::program::{done, plugin_build, ran};
use crate::support::project::Project;
use crate::support::tools::stdout;

/// Names of the crates that a program lists, by kind.
fn listed(program: &Path, kind: DependencyKind) -> BTreeSet<String> {
    let list = audit_info_from_file(program, Limits::default()).unwrap();
    assert_eq!(list.packages.iter().filter(|package| package.root).map(|root| root.name.as_str()).collect::<Vec<_>>(), ["p"]);
    list.packages.into_iter().filter(|package| package.kind == kind).map(|package| package.name).collect()
}

/// Those of an image's bill that have a scope.
fn billed(project: &Project, image: &str, scope: &str) -> BTreeSet<String> {
    let table: Value = serde_json::from_str(&done(&project.root, &["sbom", image, "--message-format", "json"])).unwrap();
    let parts = table["parts"].as_array().unwrap().iter();
    let crates = parts.filter(|part| part["scope"] == scope && part["purl"].as_str().unwrap().starts_with("pkg:cargo/"));
    crates.map(|part| part["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_program_carries_the_list_of_its_crates() {
    let table = "[dependencies]\nitoa='=1.0.19'\nserde={version='=1.0.229',features=['derive']}\n\
                 [build-dependencies]\nryu='=1.0.23'\n[package.metadata.plugin-build]\nauditable=true\n";
    let manifest = format!("[package]\nname='p'\nversion='0.1.0'\nedition='2024'\n{table}");
    let source = [("build.rs", "fn main() {}\n"), ("src/main.rs", "fn main() { println!(\"here\"); }\n")];
    let project = Project::new(&[[("Cargo.toml", manifest.as_str())].as_slice(), &source].concat());
    let digest = |out: &str, more: &[&str]| {
        let built = ran(plugin_build(&project.root).args(["build", "-q", "--message-format", "json", "-o", out]).args(more));
        assert_eq!(built.code, 0, "{}", built.stderr);
        let lines = built.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut digests = lines.filter_map(|line| line["digest"].as_str().map(str::to_owned));
        digests.next().unwrap()
    };
    let first = digest("out", &[]);
    done(&project.root, &["unpack", "oci:out", "root"]);
    let program = project.root.join("root/p");
    assert_eq!(listed(&program, DependencyKind::Runtime), billed(&project, "oci:out", "required"));
    assert_eq!(listed(&program, DependencyKind::Build), billed(&project, "oci:out", "excluded"));
    assert!(
        listed(&program, DependencyKind::Build).contains("ryu") && listed(&program, DependencyKind::Runtime).contains("itoa")
    );
    assert_eq!(stdout(&mut Command::new(&program)), "here\n");

    // The same bytes again, without attachments too, and the program that cargo made is as cargo made it.
    assert_eq!(digest("out", &[]), first);
    assert_eq!(digest("bare", &["--no-sbom", "--no-provenance"]), first);
    project.write("Cargo.toml", &manifest.replace("auditable=true", ""));
    assert_ne!(digest("without", &[]), first);
    done(&project.root, &["unpack", "oci:without", "bare-root"]);
    assert!(audit_info_from_file(&project.root.join("bare-root/p"), Limits::default()).is_err());
}
