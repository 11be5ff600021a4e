//! Completions: what the program offers, and what real shells make of it on a terminal.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::program::done;
use crate::support::sample::Sample;
use crate::support::tools::{require, stdout};

/// A directory with a layout of two tags, an archive and a directory.
fn scene() -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    Sample::image("nine", 400).to_layout(&dir.join("layout"));
    done(dir, &["copy", "oci:layout:1.0", "oci:layout:2.0"]);
    fs::create_dir(dir.join("lower")).unwrap();
    fs::write(dir.join("lower/image.tar"), "").unwrap();
    fs::write(dir.join(".hidden"), "").unwrap();
    temp
}

/// The words that may stand where the last of these is.
fn offered(dir: &Path, words: &[&str]) -> Vec<String> {
    let text = done(dir, &[&["complete", "--"], words].concat());
    text.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

#[test]
fn verbs_flags_values_and_what_lies_on_the_disk_are_offered() {
    let temp = scene();
    let dir = temp.path();
    let cases: [(&[&str], &[&str]); 20] = [
        (&["insp"], &["inspect"]),
        (&["ver"], &["verify"]),
        (&["-v", "insp"], &["inspect"]),
        (&["ls", "--message-format", "json"], &["json", "json-progress"]),
        (&["ls", "--message-format=json-"], &["--message-format=json-progress"]),
        (&["verify", "--rebu"], &["--rebuild"]),
        (&["--hermet"], &["--hermetic"]),
        (&["ls", "--hermet"], &[]),
        (&["contract", "di"], &["diff"]),
        (&["new", "hello", "--template", "cos"], &["cosmo-router"]),
        (&["--platform", "linux/am"], &["linux/amd64"]),
        (&["inspect", "oci:"], &["oci:layout", "oci:layout:1.0", "oci:layout:2.0", "oci:lower/"]),
        (&["inspect", "oci:layout:2"], &["oci:layout:2.0"]),
        (&["inspect", "layout:2"], &["layout:2.0"]),
        (&["copy", "oci:layout:1.0", "oci-archive:lower/"], &["oci-archive:lower/image.tar"]),
        (&["attach", "oci:layout", "lower/im"], &["lower/image.tar"]),
        (&["attach", "oci:layout", "."], &[".hidden"]),
        (&["inspect", "--", "oci:layout"], &[]),
        (&["hermetic-st"], &[]),
        (&["inspect", "oci:nowhere/x"], &[]),
    ];
    for (words, expected) in cases {
        assert_eq!(offered(dir, words), expected, "{words:?}");
    }
    let verbs = offered(dir, &[""]);
    assert!(["build", "help", "push"].iter().all(|verb| verbs.iter().any(|offered| offered == verb)), "{verbs:?}");
    assert!(!verbs.iter().any(|verb| verb == "complete" || verb == "plugin-process"), "{verbs:?}");
    assert_eq!(done(dir, &["complete"]), "");
}

/// What a shell makes of lines that end in a TAB.
fn typed(shell: &Path, arguments: &[&str], setup: &str, dir: &Path, lines: &[&str]) -> Option<Vec<Vec<String>>> {
    let python = require("python3")?;
    let bin = dir.join("bin");
    fs::create_dir_all(&bin).unwrap();
    let _ = symlink(env!("CARGO_BIN_EXE_cargo-plugin-build"), bin.join("cargo-plugin-build"));
    let argv: Vec<String> = [shell.to_str().unwrap()].iter().chain(arguments).map(|argument| (*argument).to_owned()).collect();
    let env = json!({
        "PATH": format!("{}:/usr/bin:/bin", bin.display()), "HOME": dir, "TERM": "dumb", "LANG": "C.UTF-8", "XDG_CONFIG_HOME": dir.join("config"),
    });
    let asked = json!({ "argv": argv, "env": env, "setup": format!("cd {}; {setup}", dir.display()), "typed": lines });
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/complete.py");
    let told: Value = serde_json::from_str(&stdout(Command::new(python).arg(driver).arg(asked.to_string()))).unwrap();
    Some(serde_json::from_value(told).unwrap())
}

const TYPED: [(&str, &[&str]); 7] = [
    ("cargo-plugin-build insp", &["cargo-plugin-build", "inspect"]),
    ("cargo plugin-build insp", &["cargo", "plugin-build", "inspect"]),
    ("cargo plugin-build verify --rebu", &["cargo", "plugin-build", "verify", "--rebuild"]),
    ("cargo plugin-build new x --template cos", &["cargo", "plugin-build", "new", "x", "--template", "cosmo-router"]),
    ("cargo plugin-build inspect oci:layout:2", &["cargo", "plugin-build", "inspect", "oci:layout:2.0"]),
    (
        "cargo-plugin-build copy oci:layout:1.0 oci-archive:lower/im",
        &["cargo-plugin-build", "copy", "oci:layout:1.0", "oci-archive:lower/image.tar"],
    ),
    ("cargo-plugin-build ls --message-format json-", &["cargo-plugin-build", "ls", "--message-format", "json-progress"]),
];

/// Holds what a shell completes against what it should.
fn completes(shell: &str, arguments: &[&str], setup: &str) {
    let Some(program) = require(shell) else { return };
    let temp = scene();
    let lines: Vec<&str> = TYPED.iter().map(|(line, _)| *line).collect();
    let Some(told) = typed(&program, arguments, setup, temp.path(), &lines) else { return };
    for ((line, expected), found) in TYPED.iter().zip(told) {
        assert_eq!(found, *expected, "{shell}: {line}");
    }
}

#[test]
#[ignore = "needs bash on a terminal"]
fn bash_completes() {
    completes("bash", &["--norc", "--noprofile", "-i"], "PS1='> '; source <(cargo-plugin-build completions bash)");
}

#[test]
#[ignore = "needs bash-completion"]
fn bash_completes_beside_what_else_it_has() {
    let before = "_cargo() { COMPREPLY=(of-cargo); }; complete -F _cargo cargo";
    let setup = format!(
        "PS1='> '; source /usr/share/bash-completion/bash_completion; {before}; source <(cargo-plugin-build completions bash)"
    );
    completes("bash", &["--norc", "--noprofile", "-i"], &setup);
    let Some(bash) = require("bash") else { return };
    let temp = scene();
    let Some(told) = typed(&bash, &["--norc", "--noprofile", "-i"], &setup, temp.path(), &["cargo of-"]) else { return };
    assert_eq!(told, [["cargo", "of-cargo"]], "what cargo has stays with cargo");
}

#[test]
#[ignore = "needs zsh"]
fn zsh_completes() {
    let setup = "bindkey -e; PS1='> '; autoload -Uz compinit; compinit -u -D; source <(cargo-plugin-build completions zsh)";
    completes("zsh", &["-f", "-i"], setup);
}

#[test]
#[ignore = "needs zsh"]
fn zsh_completes_by_its_path_and_when_cargo_hands_over() {
    // As the function of cargo's own does for a subcommand that it does not know.
    let cargo = "_cargo() { local curcontext=$curcontext; shift words; ((CURRENT--)); _call_function ret _cargo-${words[1]} }";
    let setup = format!(
        "bindkey -e; PS1='> '; mkdir -p functions; cargo-plugin-build completions zsh > functions/_cargo-plugin-build; \
         fpath=($PWD/functions $fpath); {cargo}; autoload -Uz compinit; compinit -u -D; compdef _cargo cargo"
    );
    completes("zsh", &["-f", "-i"], &setup);
}

#[test]
#[ignore = "needs fish"]
fn fish_completes() {
    let setup = "function fish_prompt; echo '> '; end; cargo-plugin-build completions fish | source";
    completes("fish", &["--no-config", "-i"], setup);
}
