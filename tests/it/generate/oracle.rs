//! The router's own generator, installed once and run over many schemas at a time.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use plugin_build::hosts::cosmo::generate::Position;
use serde::{Deserialize, Serialize};

use crate::support::npm;

/// The packages that it is made of. `wgc` 0.112.7 brings these versions.
const PACKAGES: [&str; 2] = ["@wundergraph/protographic@0.20.1", "graphql@16.9.0"];

/// A schema to generate from.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    pub schema: String,
    pub plugin: String,
    pub go_package: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Outcome {
    pub proto: Option<String>,
    pub mapping: Option<String>,
    pub lock: Option<String>,
    /// Errors of validation.
    #[serde(default)]
    pub refused: Vec<String>,
    /// Warnings of validation.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// An error of generation.
    pub failed: Option<String>,
}

impl Outcome {
    /// The proto, if it compiles.
    pub fn sound_proto(&self) -> Result<&str, String> {
        let Some(proto) = &self.proto else {
            return Err(self.failed.clone().unwrap_or_else(|| self.refused.join("\n")));
        };
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("service.proto");
        fs::write(&file, proto).unwrap();
        protox::compile([&file], [dir.path()]).map(|_| proto.as_str()).map_err(|error| error.to_string())
    }

    /// Where it warns.
    pub fn warned(&self) -> Vec<Position> {
        sorted(&self.warnings)
    }

    /// Where it refuses.
    pub fn refused(&self) -> Vec<Position> {
        sorted(&self.refused)
    }
}

fn sorted(messages: &[String]) -> Vec<Position> {
    let number = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap();
    let place = |message: &String| {
        let (line, rest) = message.rsplit_once(" at line ").unwrap().1.split_once(", column ").unwrap();
        Position { line: number(line), column: number(rest) }
    };
    let mut places: Vec<Position> = messages.iter().map(place).collect();
    places.sort();
    places
}

/// The generator, if this machine has what it takes.
pub struct Oracle {
    node: PathBuf,
    home: PathBuf,
}

impl Oracle {
    /// Installs it below the target directory, once.
    pub fn open() -> Option<Self> {
        let (node, home) = npm::installed(&PACKAGES)?;
        fs::write(home.join("oracle.mjs"), include_str!("oracle.mjs")).unwrap();
        Some(Self { node, home })
    }

    /// What it makes of schemas and their successors.
    pub fn run(&self, cases: &[Vec<Step>]) -> Vec<Vec<Outcome>> {
        let mut child = Command::new(&self.node)
            .arg("oracle.mjs")
            .current_dir(&self.home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = serde_json::to_vec(cases).unwrap();
        let writer = std::thread::spawn(move || stdin.write_all(&input).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.status.success(), "{}", output.status);
        serde_json::from_slice(&output.stdout).unwrap()
    }
}
