//! What a reader of stdout can rely on, and what the program says about itself.

use std::fs::File;

use crate::support::program::{plugin_build, ran};

#[test]
#[cfg(target_os = "linux")]
fn a_result_that_stdout_does_not_take_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    for words in [&["man"][..], &["completions", "bash"], &["new", "--list"], &["new", "--list", "--message-format", "json"]] {
        let mut command = plugin_build(dir.path());
        let output = command.args(words).stdout(File::create("/dev/full").unwrap()).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?} {told}");
        assert!(told.contains("cannot write to stdout: No space left on device"), "{words:?} {told}");
    }
}

#[test]
#[cfg(unix)]
fn a_reader_that_goes_away_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = plugin_build(dir.path()).args(["completions", "bash"]).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
}

#[test]
fn a_misspelt_verb_is_answered_with_the_verb() {
    let dir = tempfile::tempdir().unwrap();
    for (word, verb) in [("bulid", "build"), ("verfy", "verify"), ("isntall", "install")] {
        let told = ran(plugin_build(dir.path()).args(["plugin-build", word]));
        assert_eq!(told.code, 2, "{}", told.stderr);
        assert!(told.stderr.contains(&format!("'{verb}'")), "{}", told.stderr);
    }
    let told = ran(plugin_build(dir.path()).arg("quux"));
    assert!(told.code == 2 && !told.stderr.contains("similar"), "{}", told.stderr);
}

#[test]
fn the_manual_has_a_page_for_every_verb_with_its_flags() {
    let dir = tempfile::tempdir().unwrap();
    let told = ran(plugin_build(dir.path()).arg("man"));
    assert_eq!(told.code, 0, "{}", told.stderr);
    let titles = told.stdout.lines().filter(|line| line.starts_with(".TH ")).count();
    let named = told.stdout.lines().filter(|line| line.starts_with("cargo\\-plugin\\-build\\-") && line.ends_with("(1)")).count();
    assert_eq!(titles, named + 1, "a page that is named is there");
    for flag in ["\\-\\-rebuild", "\\-\\-into\\-index", "\\-\\-rollback"] {
        assert!(told.stdout.contains(flag), "{flag}");
    }
}

#[test]
fn completions_offer_no_verb_that_only_the_program_itself_uses() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let told = ran(plugin_build(dir.path()).args(["completions", shell]));
        assert_eq!(told.code, 0, "{}", told.stderr);
        assert!(told.stdout.contains("inspect") && told.stdout.contains("into-index"), "{shell}");
        assert!(!told.stdout.contains("hermetic-stage") && !told.stdout.contains("plugin-process"), "{shell}");
    }
}
