//! The pages that users read, and the blocks of code in them.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::tools::require;

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The README and every page of the book, relative to the repository.
pub fn pages() -> Vec<String> {
    let book = walkdir::WalkDir::new(root().join("docs/src")).sort_by_file_name().into_iter().map(Result::unwrap);
    let below = |path: PathBuf| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
    let book = book.map(walkdir::DirEntry::into_path).filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    std::iter::once("README.md".to_owned()).chain(book.map(below)).collect()
}

/// A page.
pub fn text(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// A block of code.
pub struct Block {
    /// The heading above it, as it is written.
    pub heading: String,
    /// The word after the fence.
    pub language: String,
    /// Its lines.
    pub text: String,
}

/// Every block of a page, in order.
pub fn every_block(page: &str) -> Vec<Block> {
    let text = text(page);
    let (mut lines, mut heading, mut found) = (text.lines(), String::new(), Vec::new());
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            let (heading, language) = (heading.clone(), language.to_owned());
            found.push(Block { heading, language, text: block.join("\n") + "\n" });
        } else if line.starts_with('#') {
            line.clone_into(&mut heading);
        }
    }
    found
}

/// The blocks in a language under a heading, up to the next heading of any level.
pub fn blocks(page: &str, heading: &str, language: &str) -> Vec<String> {
    let found = every_block(page).into_iter().filter(|block| block.heading == heading && block.language == language);
    let found: Vec<String> = found.map(|block| block.text).collect();
    assert!(!found.is_empty(), "{page} has no `{language}` under `{heading}`");
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
