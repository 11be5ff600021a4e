//! Runs the program as a user would.

use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_{{name}}"))
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn a_number_prints_that_phrase() {
    let output = run(&["2"]);
    assert!(output.status.success());
    assert_eq!(output.stdout, b"Many hands make light work.\n");
}

#[test]
fn no_number_prints_all_phrases() {
    let output = run(&[]);
    assert!(output.status.success());
    let phrases = include_bytes!("../assets/phrases.txt");
    assert_eq!(output.stdout, phrases);
}

#[test]
fn nonsense_fails_and_prints_nothing_on_stdout() {
    for arguments in [&["x"][..], &["0"], &["9"], &["1", "2"]] {
        let output = run(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}
