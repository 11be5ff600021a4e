//! Keys: their forms, and what is none.

use std::fs;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::scene::{IMAGE, Scene};
use crate::support::program::ran;
use crate::support::tools::require;

/// An encrypted key as cosign 2 wrote it; its password is `password`.
const COSIGN: &str = include_str!("../../../fixtures/keys/cosign.key");

#[test]
fn keys_are_written_for_their_owner_alone_and_never_replaced() {
    let scene = Scene::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(scene.path("one.key")).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let before = fs::read(scene.path("one.key")).unwrap();
    let again = ran(scene.command(&["keygen", "--output-key-prefix", "one"]).env("COSIGN_PASSWORD", ""));
    assert_eq!((again.code, fs::read(scene.path("one.key")).unwrap()), (2, before));
    // There is nobody to ask here.
    let asked = ran(&mut scene.command(&["keygen"]));
    assert_eq!(asked.code, 2);
    assert!(asked.stderr.contains("COSIGN_PASSWORD"), "{}", asked.stderr);
    assert!(!scene.path("cosign.key").exists());
}

#[test]
fn every_form_of_a_key_signs() {
    let scene = Scene::new();
    fs::write(scene.path("theirs.key"), COSIGN).unwrap();
    let sign = |key: &str, password: Option<&str>| {
        let mut command = scene.command(&["sign", IMAGE, "--key", key]);
        let signed = ran(command.envs(password.map(|password| ("COSIGN_PASSWORD", password))));
        let told = format!("{}{}", signed.stdout, signed.stderr);
        assert!(!told.contains("secret word"), "{told}");
        signed.code
    };
    for algorithm in ["ecdsa-p256", "ed25519"] {
        let mut made = scene.command(&["keygen", "--algorithm", algorithm, "--output-key-prefix", algorithm]);
        assert_eq!(ran(made.env("COSIGN_PASSWORD", "secret word")).code, 0);
        let key = format!("{algorithm}.key");
        assert!(fs::read_to_string(scene.path(&key)).unwrap().contains("ENCRYPTED"));
        assert_eq!([sign(&key, Some("secret word")), sign(&key, Some("wrong")), sign(&key, None)], [0, 2, 2], "{algorithm}");
        assert_eq!(scene.findings(IMAGE, &["--key", &format!("{algorithm}.pub")]), [""; 0], "{algorithm}");
    }
    assert_eq!([sign("theirs.key", Some("password")), sign("theirs.key", Some("wrong")), sign("theirs.key", None)], [0, 2, 2]);
    // What asks for all memory is refused before it gets any.
    let greedy = |from: &str, to: &str| {
        let lines: Vec<&str> = COSIGN.lines().collect();
        let json = STANDARD.decode(lines[1..lines.len() - 1].concat()).unwrap();
        let json = String::from_utf8(json).unwrap().replace(from, to);
        let text = format!("{}\n{}\n{}\n", lines[0], STANDARD.encode(json), lines[lines.len() - 1]);
        fs::write(scene.path("greedy.key"), text).unwrap();
        sign("greedy.key", Some("password"))
    };
    assert_eq!(greedy("65536", "1073741824"), 2);
    assert_eq!(greedy("\"p\":1", "\"p\":100000"), 2);
}

#[test]
fn what_is_no_key_is_told_as_a_wrong_argument() {
    let scene = Scene::signed();
    let certificate = ["keygen", "--output-key-prefix", "c", "--certificate", "Somebody, Inc."];
    assert_eq!(ran(scene.command(&certificate).env("COSIGN_PASSWORD", "")).code, 0);
    let write = |name: &str, text: &[u8]| fs::write(scene.path(name), text).unwrap();
    write("empty", b"");
    write("blank", b" \n\n");
    write("text", b"no key\n");
    write("binary", &[0xff, 0, 1]);
    write("cut", &fs::read(scene.path("one.pub")).unwrap()[..100]);
    write("expired", include_bytes!("../../../fixtures/keys/expired.crt"));
    write("rsa", include_bytes!("../../../fixtures/keys/rsa.pub"));
    write("p384", include_bytes!("../../../fixtures/keys/p384.pub"));
    for (file, words) in [
        ("empty", "it is empty"),
        ("blank", "it is empty"),
        ("text", "no key that can be read"),
        ("binary", "no key that can be read"),
        ("cut", "no key that can be read"),
        ("rsa", "neither ECDSA on P-256 nor Ed25519"),
        ("p384", "neither ECDSA on P-256 nor Ed25519"),
        ("expired", "valid from 2020-01-01T00:00:00Z until 2020-01-02T00:00:00Z"),
        ("one.key", "the public one is wanted"),
    ] {
        let verified = scene.run(&["verify", IMAGE, "--key", file]);
        assert_eq!(verified.code, 2, "{file}: {}", verified.stderr);
        assert!(verified.stderr.contains(words), "{file}: {}", verified.stderr);
    }
    for (file, words) in
        [("one.pub", "the private one is wanted"), ("c.crt", "the private one is wanted"), ("empty", "it is empty")]
    {
        let signed = scene.run(&["sign", IMAGE, "--key", file]);
        assert_eq!(signed.code, 2, "{file}: {}", signed.stderr);
        assert!(signed.stderr.contains(words), "{file}: {}", signed.stderr);
    }
    assert_eq!(scene.run(&["verify", IMAGE, "--key", "absent"]).code, 1);
    assert_eq!(scene.run(&["verify", IMAGE, "--require", "signature"]).code, 2);
    // A certificate that is valid stands for its key.
    scene.done(&["sign", IMAGE, "--key", "c.key"]);
    assert_eq!(scene.findings(IMAGE, &["--key", "c.crt"]), [""; 0]);
}

#[test]
#[ignore = "needs openssl"]
fn openssl_reads_our_keys_and_we_read_its() {
    if require("openssl").is_none() {
        return;
    }
    let scene = Scene::new();
    let openssl = |arguments: &[&str]| {
        let ran = ran(Command::new("openssl").args(arguments).current_dir(scene.dir()));
        assert_eq!(ran.code, 0, "openssl {arguments:?}: {}", ran.stderr);
        ran.stdout
    };
    for algorithm in ["ecdsa-p256", "ed25519"] {
        let mut made = scene.command(&["keygen", "--algorithm", algorithm, "--output-key-prefix", algorithm]);
        assert_eq!(ran(made.env("COSIGN_PASSWORD", "word")).code, 0);
        let public = openssl(&["pkey", "-in", &format!("{algorithm}.key"), "-passin", "pass:word", "-pubout"]);
        assert_eq!(public, fs::read_to_string(scene.path(&format!("{algorithm}.pub"))).unwrap());
    }
    openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-out", "sec1.key"]);
    openssl(&["pkcs8", "-topk8", "-in", "sec1.key", "-v2", "aes-256-cbc", "-passout", "pass:word", "-out", "pbkdf2.key"]);
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", "ed.key"]);
    for key in ["sec1", "ed", "pbkdf2"] {
        let file = format!("{key}.key");
        openssl(&["pkey", "-in", &file, "-passin", "pass:word", "-pubout", "-out", &format!("{key}.pub")]);
        let signed = ran(scene.command(&["sign", IMAGE, "--key", &file]).env("COSIGN_PASSWORD", "word"));
        assert_eq!(signed.code, 0, "{}", signed.stderr);
        assert_eq!(scene.findings(IMAGE, &["--key", &format!("{key}.pub")]), [""; 0]);
    }
}
