//! What the reference lists is what there is: keys, verbs, and the fields of every object.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use plugin_build::build::manifest::config::Config;
use serde_json::Value;

use super::pages::text;
use crate::support::ferro_registry::FerroRegistry;
use crate::support::program::{plugin_build, ran};
use crate::support::project::Project;
use crate::support::wgc::template;

/// The rows of the table whose first column has this title: for each row, the words in backquotes in each cell.
fn table(page: &str, title: &str) -> Vec<Vec<BTreeSet<String>>> {
    let text = text(page);
    let rows = text.lines().skip_while(|line| !line.starts_with(&format!("| {title} |"))).skip(2);
    let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    let cells = |row: &str| row.trim_matches('|').split(" | ").map(words).collect();
    rows.take_while(|line| line.starts_with('|')).map(cells).collect()
}

fn first_column(page: &str, title: &str) -> BTreeSet<String> {
    table(page, title).into_iter().flat_map(|row| row[0].clone()).collect()
}

#[test]
fn every_key_of_the_configuration_has_a_row() {
    let schema = serde_json::to_value(Config::schema()).unwrap();
    let keys: BTreeSet<String> = schema["properties"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(first_column("docs/src/reference/configuration.md", "key"), keys);
}

#[test]
fn every_kind_has_a_row() {
    let listed = first_column("docs/src/reference/configuration.md", "kind");
    let rows = table("docs/src/reference/configuration.md", "key");
    let kinds = &rows.iter().find(|row| row[0].contains("kind")).unwrap()[1];
    assert_eq!(&listed, kinds);
    for kind in &listed {
        assert!(serde_json::from_value::<Config>(serde_json::json!({ "kind": kind })).is_ok(), "{kind}");
    }
    let refused = serde_json::from_value::<Config>(serde_json::json!({ "kind": "?" })).unwrap_err().to_string();
    assert_eq!(refused.matches('`').count() / 2, listed.len() + 1, "{refused}");
}

#[test]
fn every_verb_has_a_row() {
    let dir = tempfile::tempdir().unwrap();
    let help = ran(plugin_build(dir.path()).arg("--help")).stdout;
    let verbs = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let verbs: BTreeSet<String> = verbs.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect();
    assert_eq!(first_column("docs/src/reference/commands.md", "verb"), verbs);
}

/// Runs a verb, and keeps the fields of each object that it prints by their reason; `ran` holds them against the schema.
fn run(dir: &Path, words: &[&str], code: i32, seen: &mut BTreeMap<String, BTreeSet<String>>) {
    let ran = ran(plugin_build(dir).args(words).args(["--message-format", "json-progress"]).env("COSIGN_PASSWORD", ""));
    assert_eq!(ran.code, code, "{words:?}: {}{}", ran.stdout, ran.stderr);
    for line in ran.stdout.lines() {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{words:?}: {error}: {line}"));
        assert_eq!(object["schema"], 1, "{words:?}");
        let fields = object.as_object().unwrap().keys().filter(|key| !["reason", "schema"].contains(&key.as_str()));
        seen.entry(object["reason"].as_str().unwrap().to_owned()).or_default().extend(fields.cloned());
    }
}

/// What only plugins of a router have.
fn of_a_router(host: &str, seen: &mut BTreeMap<String, BTreeSet<String>>) {
    let project = template();
    let (dir, remote) = (project.root.as_path(), format!("{host}/plugins/hello"));
    project.write("config.json", include_str!("../../../fixtures/execution/wgc-0.112.7.json"));
    for (words, code) in [
        (&["build", "--output", "image"][..], 0),
        (&["push", "oci:image", &remote], 0),
        (&["contract", "oci:image", "hello"], 0),
        (&["router", "set", "config.json", &format!("{remote}:0.1.0")], 0),
        (&["router", "set", "config.json", "--rollback"], 0),
        (&["router", "set", "config.json", "--check", &format!("{remote}:0.1.0")], 3),
    ] {
        run(dir, words, code, seen);
    }
    project.write("src/schema.graphql", "type Query { other: Int }");
    run(dir, &["contract", "diff", "oci:image", "."], 3, seen);
}

#[test]
fn every_object_has_a_row_with_its_fields() {
    let mut listed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in table("docs/src/reference/json.md", "reason") {
        for reason in &row[0] {
            assert_eq!(listed.insert(reason.clone(), row[2].clone()), None, "{reason} has two rows");
        }
    }
    let project = Project::fixture("greeter");
    let registry = FerroRegistry::start();
    let remote = format!("{}/plugins/greeter", registry.host);
    let dir = project.root.as_path();
    let mut seen = BTreeMap::new();
    for (words, code) in [
        (&["build", "--dry-run"][..], 0),
        (&["build", "--output", "one"], 0),
        (&["build", "--output", "two", "--profile", "dev"], 0),
        (&["ls", "oci:one"], 0),
        (&["inspect", "oci:one"], 0),
        (&["sbom", "oci:one"], 0),
        (&["provenance", "oci:one"], 0),
        (&["diff", "oci:one", "oci:two"], 3),
        (&["verify", "oci:one"], 0),
        (&["verify", "--rebuild", "oci:two"], 3),
        (&["keygen", "--certificate", "Somebody"], 0),
        (&["sign", "oci:one", "--key", "cosign.key"], 0),
        (&["copy", "oci:one", "oci:three"], 0),
        (&["push", "oci:one", &remote], 0),
        (&["pull", &format!("{remote}:0.3.1"), "four"], 0),
        (&["unpack", "oci:one", "unpacked"], 0),
        (&["install", "oci:one", "plugins"], 0),
        (&["install", "--check", "plugins"], 0),
        (&["uninstall", "greeter", "plugins"], 0),
        (&["gc", "--cache", "--cache-dir", "cache"], 0),
        (&["attach", "oci:two", "Cargo.toml", "--type", "text/toml"], 0),
        (&["detach", "oci:two", "--type", "text/toml"], 0),
        (&["publish", "oci:two", "site"], 0),
        (&["unpublish", "greeter:0.3.1", "site"], 0),
        (&["rm", "oci:two:0.3.1"], 0),
        (&["gc", "oci:two"], 0),
        (&["inspect", "oci:absent"], 1),
        (&["man", "--output", "pages"], 0),
        (&["new", "--list"], 0),
        (&["new", "other"], 0),
    ] {
        run(dir, words, code, &mut seen);
    }
    for blob in walkdir::WalkDir::new(dir.join("three/blobs")).into_iter().map(Result::unwrap) {
        if blob.file_type().is_file() {
            fs::write(blob.path(), "x").unwrap();
        }
    }
    run(dir, &["verify", "oci:three"], 3, &mut seen);
    of_a_router(&registry.host, &mut seen);

    let undocumented = |(reason, fields): (&String, &BTreeSet<String>)| {
        let known = listed.get(reason).cloned().unwrap_or_default();
        let lacking: Vec<&String> = fields.iter().filter(|field| !known.contains(*field)).collect();
        (!lacking.is_empty() && reason != "progress").then(|| format!("{reason}: {lacking:?}"))
    };
    assert_eq!(seen.iter().filter_map(undocumented).collect::<Vec<_>>(), Vec::<String>::new());
    assert!(seen["progress"].contains("event"));
    // These need a password, a host's plugin or a catalogue: `login.rs`, `run.rs`, `dev.rs`, `generate` and `attach.rs`.
    let elsewhere =
        ["contract-generated", "logged-in", "logged-out", "plugin-renewed", "plugin-run", "plugin-running", "repository"];
    let elsewhere = elsewhere.map(str::to_owned);
    let reasons: BTreeSet<String> = seen.into_keys().chain(elsewhere).collect();
    assert_eq!(reasons, listed.into_keys().collect::<BTreeSet<String>>());
}
