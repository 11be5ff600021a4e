//! Keys that are elsewhere: a command signs.

use super::scene::{IMAGE, Scene, state};
use crate::support::program::ran;
use crate::support::tools::require;

#[test]
fn what_a_command_gives_is_held_against_the_key_before_anything_is_written() {
    let scene = Scene::new();
    let before = state(&scene.path("images"));
    for (command, words) in [
        ("exit 7", "exit status: 7"),
        ("cat", "no signature by the key"),
        ("true", "no signature by the key"),
        ("cat >/dev/null; echo MEUCIQ==", "no signature by the key"),
        ("no-such-program-anywhere", "exit status: 127"),
        ("sleep 600", "not done within"),
    ] {
        let signed = scene.run(&["sign", IMAGE, "--key", "one.pub", "--signer", command, "--timeout", "2s"]);
        assert_eq!(signed.code, 1, "{command}: {}", signed.stderr);
        assert!(signed.stderr.contains(words), "{command}: {}", signed.stderr);
        assert_eq!(state(&scene.path("images")), before, "{command}");
    }
    let refused = scene.run(&["sign", IMAGE, "--key", "one.key", "--signer", "cat"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    // It is told nothing that it need not know.
    let mut told = scene.command(&["sign", IMAGE, "--key", "one.pub", "--signer", "echo ${COSIGN_PASSWORD:-nothing} >told; cat"]);
    assert_eq!(ran(told.env("COSIGN_PASSWORD", "secret word")).code, 1);
    assert_eq!(std::fs::read_to_string(scene.path("told")).unwrap(), "nothing\n");
}

#[test]
#[ignore = "needs openssl"]
fn a_command_signs_in_every_form_and_what_it_signed_is_not_signed_again() {
    if require("openssl").is_none() {
        return;
    }
    let scene = Scene::new();
    let command = "openssl dgst -sha256 -sign one.key";
    for (form, command) in [("der", command.to_owned()), ("base64", format!("{command} | base64"))] {
        let sign = ["sign", IMAGE, "--key", "one.pub", "--signer", &command];
        scene.done(&sign);
        let signed = state(&scene.path("images"));
        // Each time another signature, as such keys make them: the first stays.
        scene.done(&sign);
        assert_eq!(state(&scene.path("images")), signed, "{form}");
        let simple = [&sign[..], &["--format", "simplesigning", "--identity", "registry.example/a"]].concat();
        scene.done(&simple);
        assert_eq!(scene.findings(IMAGE, &["--key", "one.pub", "--require", "signature,sbom"]), [""; 0], "{form}");
    }
}
