//! Blocks of code in the README, by the heading that they stand under.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::tools::require;

/// The README.
pub fn text() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// The blocks in a language under a heading, up to the next heading of any level.
pub fn blocks(heading: &str, language: &str) -> Vec<String> {
    let text = text();
    let mut lines = text.lines().skip_while(|line| *line != heading);
    assert!(lines.next().is_some(), "the README has no heading `{heading}`");
    let mut found = Vec::new();
    while let Some(line) = lines.next().filter(|line| !line.starts_with('#')) {
        let Some(word) = line.strip_prefix("```").filter(|word| !word.is_empty()) else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if word == language {
            found.push(block.join("\n") + "\n");
        }
    }
    found
}

/// A block of YAML as JSON, parsed by a program that knows YAML; `None` where there is none.
pub fn yaml(block: &str) -> Option<Value> {
    const PARSE: &str = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";
    let python = require("python3")?;
    let mut child = Command::new(python).args(["-c", PARSE]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(block.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "no YAML (or no python3-yaml):\n{block}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}
