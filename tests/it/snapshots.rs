//! What users read, word for word: help, plans, listings, lines of JSON. A change of a text is seen in `snapshots/`, and
//! taken over with `INSTA_UPDATE=always`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::support::program::{plugin_build, ran};
use crate::support::project::{Project, copy};

/// Holds a text against the snapshot of that name.
pub fn hold(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// Runs the program with each of these words, in `dir`; what it printed, without the directory's name.
fn told(dir: &Path, lines: &[&[&str]]) -> String {
    let mut all = String::new();
    for words in lines {
        let run = ran(plugin_build(dir).args(*words));
        let _ = write!(all, "$ cargo plugin-build {}\nexit code {}\n", words.join(" "), run.code);
        for (stream, text) in [("stdout", run.stdout), ("stderr", run.stderr)] {
            // Blobs are copied at the same time, and one is not always the first.
            let mut lines: Vec<&str> = text.lines().collect();
            if words[0] == "copy" && words.contains(&"json") {
                lines.sort_unstable();
            }
            if !lines.is_empty() {
                let _ = write!(all, "{stream}:\n{}\n", lines.join("\n"));
            }
        }
        all.push('\n');
    }
    all.replace(&dir.display().to_string(), "[dir]")
}

#[test]
fn help_of_every_verb() {
    let dir = tempfile::tempdir().unwrap();
    let global = ran(plugin_build(dir.path()).arg("--help"));
    let (_, list) = global.stdout.split_once("Commands:\n").unwrap();
    let verbs = list.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
    hold("help", &told(dir.path(), &[&["--help"], &["-h"]]));
    let mut count = 0;
    for verb in verbs.filter(|verb| *verb != "help") {
        hold(&format!("help_{verb}"), &told(dir.path(), &[&[verb, "--help"], &[verb, "-h"]]));
        let page = ran(plugin_build(dir.path()).args(["man", verb])).stdout;
        assert!(page.contains(".SH \"EXAMPLES\""), "{verb}");
        count += 1;
    }
    assert_eq!(count, 34, "every verb is held");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "snapshots are taken over by a variable")]
fn published_schemas_are_what_the_program_prints() {
    let dir = tempfile::tempdir().unwrap();
    for what in ["configuration", "manifest", "results", "metadata"] {
        let printed = ran(plugin_build(dir.path()).args(["schema", what])).stdout;
        let schema: serde_json::Value = serde_json::from_str(&printed).unwrap();
        assert!(jsonschema::meta::is_valid(&schema), "{what}");
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/src/reference/{what}.schema.json"));
        if std::env::var_os("INSTA_UPDATE").is_some_and(|value| value == "always") {
            fs::write(&page, &printed).unwrap();
        }
        let published = fs::read_to_string(&page).unwrap_or_default();
        assert!(published == printed, "{}: take it over with INSTA_UPDATE=always", page.display());
    }
}

#[test]
fn what_is_said_of_the_images_of_format_1() {
    let dir = tempfile::tempdir().unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/layouts"), dir.path());
    let inspected: [&[&str]; 6] = [
        &["ls", "oci:v1"],
        &["inspect", "oci:v1:gzip"],
        &["inspect", "--no-files", "oci:v1:zstd"],
        &["inspect", "--platform", "wasip1/wasm", "oci:v1:filter"],
        &["verify", "oci:v1"],
        &["diff", "oci:v1:gzip", "oci:v1:zstd"],
    ];
    hold("of_format_1", &told(dir.path(), &inspected));
    let json: Vec<Vec<&str>> = inspected.iter().map(|words| [*words, &["--message-format", "json"]].concat()).collect();
    let json: Vec<&[&str]> = json.iter().map(Vec::as_slice).collect();
    hold("of_format_1_for_programs", &told(dir.path(), &json));
    let moved: [&[&str]; 11] = [
        &["copy", "oci:v1:gzip", "oci:copied", "--message-format", "json"],
        &["rm", "oci:copied:gzip", "--message-format", "json"],
        &["gc", "oci:copied", "--message-format", "json"],
        &["pull"],
        &["inspect", "oci:v1:absent"],
        &["inspect", "oci:absent"],
        &["inspect", "v1"],
        &["unpack", "oci:v1:gzip", "v1"],
        &["copy", "--all", "--into-index", "oci:v1", "oci:copied"],
        &["new", "--list"],
        &["new", "--list", "--message-format", "json"],
    ];
    hold("moved", &told(dir.path(), &moved));
}

#[test]
fn flags_of_other_tools_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    let lines: [&[&str]; 14] = [
        &["--debug"],
        &["--user", "app"],
        &["--env", "A=b"],
        &["--sbom"],
        &["push", "--insecure", "h.example/r"],
        &["+nightly"],
        &["--release", "--profile", "dev"],
        &["pish"],
        &["--bare"],
        &["copy", "--src-tls-verify=false", "a", "b"],
        &["verify", "--insecure-ignore-tlog", "a"],
        &["run", "--rm", "a"],
        &["images"],
        &["inspect", "--quux", "a"],
    ];
    hold("foreign_flags", &told(dir.path(), &lines));
}

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
fn a_plan_and_what_is_refused_before_one() {
    let project = Project::with_table("[package.metadata.plugin-build]\nfiles = [{ from = 'README', to = 'share/' }]\n");
    project.write("README", "text\n");
    let mut text = told(&project.root, &[&["--dry-run", "--offline"], &["--dry-run", "--offline", "--message-format", "json"]]);
    let rustc = |word: &[&str]| ran(std::process::Command::new("rustc").args(word).current_dir(&project.root)).stdout;
    let (about, sysroot) = (rustc(&["-vV"]), rustc(&["--print", "sysroot"]));
    text = text.replace(sysroot.trim(), "[sysroot]");
    for line in about.lines() {
        let (name, value) = line.split_once(": ").unwrap_or(("version", line));
        if value.contains(char::is_numeric) && name != "host" {
            text = text.replace(value, &format!("[{name}]"));
        }
    }
    let variable = |name: &str| project.env().text(name).map(str::to_owned);
    let home = variable("HOME").unwrap();
    text = text.replace(&variable("CARGO_HOME").unwrap_or_else(|| home + "/.cargo"), "[cargo home]");
    hold("plan", &text);
    project.write(
        "Cargo.toml",
        "[package]\nname = 'p'\nversion = '0.1.0'\n[workspace]\n[package.metadata.plugin-build]\nlables = {}\n",
    );
    fs::remove_file(project.root.join("README")).unwrap();
    let refused: [&[&str]; 4] = [&["--dry-run"], &["--dry-run", "-p", "q"], &["--push"], &["push", "docker://h/r"]];
    hold("refused", &told(&project.root, &refused));
}
