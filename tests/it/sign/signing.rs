//! What `sign`, `attest` and `build --sign-key` write.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plugin_oci::documents::json;
use serde_json::{Value, json};

use super::scene::{IMAGE, Scene, image, state};
use crate::support::program::{plugin_build, ran};
use crate::support::project::Project;

const SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";

#[test]
fn signing_twice_changes_no_byte_and_the_image_keeps_its_digest() {
    let scene = Scene::new();
    let before = scene.done(&["ls", "oci:images"]);
    let first = scene.done(&["sign", IMAGE, "--key", "one.key"]);
    let signed = state(&scene.path("images"));
    assert_eq!(scene.done(&["sign", IMAGE, "--key", "one.key"]), first);
    assert_eq!(state(&scene.path("images")), signed);
    let digest = |text: &str| text.split_whitespace().nth(1).unwrap().to_owned();
    assert_eq!(digest(&scene.done(&["ls", "oci:images"])), digest(&before));
    // Elsewhere, at another time: the same bytes.
    let other = Scene { root: scene.root.clone(), temp: tempfile::tempdir().unwrap() };
    image(&other.path("images"), "signed");
    fs::copy(scene.path("one.key"), other.path("one.key")).unwrap();
    other.done(&["sign", IMAGE, "--key", "one.key"]);
    assert_eq!(state(&other.path("images")), signed);
}

#[test]
fn a_bundle_is_a_referrer_with_a_statement_about_the_image_and_a_hint_at_the_key() {
    let scene = Scene::signed();
    let copied = scene.copied("copied");
    let index = copied.index();
    let entries = index["manifests"].as_array().unwrap();
    let of = |predicate_type: &str| {
        let is_it = |entry: &&Value| entry["annotations"]["dev.sigstore.bundle.predicateType"] == predicate_type;
        let manifest = json::parse(&copied.blob(entries.iter().find(is_it).unwrap())).unwrap();
        let bundle = json::parse(&copied.blob(&manifest["layers"][0])).unwrap();
        let payload = STANDARD.decode(bundle["dsseEnvelope"]["payload"].as_str().unwrap()).unwrap();
        (manifest, bundle, json::parse(&payload).unwrap())
    };
    let (manifest, bundle, statement) = of(SIGNATURE);
    let media_type = "application/vnd.dev.sigstore.bundle.v0.3+json";
    assert_eq!((&manifest["artifactType"], &manifest["layers"][0]["mediaType"]), (&json!(media_type), &json!(media_type)));
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.empty.v1+json");
    assert_eq!(manifest["subject"]["digest"], json!(scene.root.digest));
    assert_eq!(manifest["annotations"]["dev.sigstore.bundle.content"], "dsse-envelope");
    assert_eq!(bundle["mediaType"], media_type);
    assert_eq!(bundle["dsseEnvelope"]["payloadType"], "application/vnd.in-toto+json");
    let pem = fs::read_to_string(scene.path("one.pub")).unwrap();
    let spki = STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap();
    let hash: Vec<u8> = {
        let digest = plugin_oci::values::digest::Digest::of(&spki);
        (0..32).map(|at| u8::from_str_radix(&digest.hex()[2 * at..2 * at + 2], 16).unwrap()).collect()
    };
    assert_eq!(bundle["verificationMaterial"]["publicKey"]["hint"], STANDARD.encode(hash));
    assert_eq!(statement["subject"], json!([{ "digest": { "sha256": scene.root.digest.hex() } }]));
    assert_eq!((&statement["predicateType"], &statement["predicate"]), (&json!(SIGNATURE), &json!({})));
    // The SBOM that is attached is signed as well.
    let (_, _, statement) = of("https://spdx.dev/Document");
    assert_eq!(statement["predicate"], json!({ "spdxVersion": "SPDX-2.3" }));
}

#[test]
fn what_is_attested_is_no_signature_and_what_is_required_must_be_what_was_signed() {
    let scene = Scene::new();
    fs::write(scene.path("vex.json"), "{\"b\": 1, \"a\": 2}").unwrap();
    let attest = ["attest", IMAGE, "--predicate", "vex.json", "--type", "openvex", "--key", "one.key"];
    scene.done(&attest);
    let signed = state(&scene.path("images"));
    scene.done(&attest);
    assert_eq!(state(&scene.path("images")), signed);
    assert_eq!(scene.findings(IMAGE, &["--key", "one.pub"]), ["signature-purpose"]);
    assert_eq!(scene.findings(IMAGE, &["--key", "one.pub", "--require", "sbom"]), ["signature-purpose"]);
    assert_eq!(scene.findings(IMAGE, &["--require", "sbom"]), [""; 0]);
    assert_eq!(scene.findings(IMAGE, &["--require", "sbom,provenance"]), ["attachment-missing"]);
    scene.done(&["sign", IMAGE, "--key", "one.key"]);
    assert_eq!(scene.findings(IMAGE, &["--key", "one.pub", "--require", "sbom,signature"]), [""; 0]);
    assert_eq!(scene.findings(IMAGE, &["--key", "one.pub", "--require", "provenance"]), ["signature-purpose"]);
    for (kind, file) in [("openvex", "absent.json"), ("word", "vex.json"), ("openvex", "one.pub")] {
        let ran = scene.run(&["attest", IMAGE, "--predicate", file, "--type", kind, "--key", "one.key"]);
        assert_eq!(ran.code, if file == "absent.json" { 1 } else { 2 }, "{}", ran.stderr);
    }
}

#[test]
fn what_is_attached_and_is_no_sbom_or_about_another_image_is_not_what_is_required() {
    let statement = |digest: &str| {
        json!({
            "_type": "https://in-toto.io/Statement/v1", "subject": [{ "digest": { "sha256": digest } }],
            "predicateType": "https://slsa.dev/provenance/v1", "predicate": {},
        })
    };
    let scene = Scene::new();
    let own = scene.root.digest.hex();
    for (kind, what, content, rule) in [
        ("application/vnd.cyclonedx+json", "sbom", "garbage".to_owned(), "attachment-malformed"),
        ("application/vnd.cyclonedx+json", "sbom", "{\"bomFormat\": \"Other\"}".to_owned(), "attachment-malformed"),
        ("application/spdx+json", "sbom", "[]".to_owned(), "attachment-malformed"),
        ("application/vnd.in-toto+json", "provenance", "{".to_owned(), "attachment-malformed"),
        ("application/vnd.in-toto+json", "provenance", statement(&"0".repeat(64)).to_string(), "attachment-other"),
        ("application/vnd.in-toto+json", "provenance", statement(own).to_string(), ""),
    ] {
        fs::write(scene.path("file"), &content).unwrap();
        let attached = scene.done(&["attach", IMAGE, "file", "--type", kind]);
        let found = scene.findings(IMAGE, &["--require", what]);
        assert_eq!(found, [rule].into_iter().filter(|rule| !rule.is_empty()).collect::<Vec<_>>(), "{content}");
        scene.done(&["detach", IMAGE, attached.trim().rsplit_once('@').unwrap().1]);
    }
}

#[test]
fn a_build_signs_what_it_built_and_prints_what_it_always_prints() {
    let project = Project::with_table("[package.metadata.plugin-build]\n");
    let made = ran(plugin_build(&project.root).args(["keygen"]).env("COSIGN_PASSWORD", ""));
    assert_eq!(made.code, 0, "{}", made.stderr);
    let build = |more: &[&str]| {
        let ran = ran(plugin_build(&project.root).args(["build", "--offline", "--provenance"]).args(more));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stdout
    };
    let plain = build(&[]);
    let digest = || ran(plugin_build(&project.root).args(["ls", plain.trim().rsplit_once(':').unwrap().0])).stdout;
    let before = digest();
    assert_eq!(build(&["--sign-key", "cosign.key"]), plain);
    let signed = digest();
    assert_eq!(before.split_whitespace().nth(1), signed.split_whitespace().nth(1));
    assert_eq!(build(&["--sign-key", "cosign.key"]), plain);
    assert_eq!(digest(), signed);
    let verify = |require: &str| {
        ran(plugin_build(&project.root).args(["verify", plain.trim(), "--key", "cosign.pub", "--require", require]))
    };
    let verified = verify("signature,provenance");
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
    // A key that cannot be used is told before anything is compiled.
    let refused = ran(plugin_build(&project.root).args(["build", "--sign-key", "cosign.pub"]));
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(!refused.stderr.contains("Compiling"), "{}", refused.stderr);
}
