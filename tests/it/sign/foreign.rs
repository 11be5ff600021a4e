//! What other tools make of our signatures: they accept ours, and refuse another key, a flipped signature or payload, and another
//! image.

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plugin_oci::documents::json as strict;
use serde_json::{Value, json};

use super::scene::{IMAGE, Scene};
use crate::support::docker_registry::DockerRegistry;
use crate::support::ferro_registry::FerroRegistry;
use crate::support::npm;
use crate::support::program::ran;
use crate::support::tools::{optional, require};

const SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";

fn succeeds(command: &mut Command) -> bool {
    let ran = ran(command);
    eprintln!("{command:?}: {}\n{}{}", ran.code, ran.stdout, ran.stderr);
    ran.code == 0
}

/// Turns a bit in a place of a bundle that is base64.
fn flipped(bundle: &[u8], place: &str) -> Vec<u8> {
    let mut bundle = strict::parse(bundle).unwrap();
    let value = bundle.pointer_mut(place).unwrap();
    let mut bytes = STANDARD.decode(value.as_str().unwrap()).unwrap();
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    *value = STANDARD.encode(bytes).into();
    strict::to_canonical(&bundle)
}

#[test]
#[ignore = "needs cosign"]
fn cosign_reads_bundles_from_the_layout() {
    let Some(cosign) = optional("cosign") else { return };
    let scene = Scene::signed();
    let copied = scene.copied("copied");
    let bundle = copied.bundle(SIGNATURE);
    for (name, bytes) in [
        ("bundle", bundle.clone()),
        ("payload", flipped(&bundle, "/dsseEnvelope/payload")),
        ("signature", flipped(&bundle, "/dsseEnvelope/signatures/0/sig")),
    ] {
        fs::write(scene.path(name), bytes).unwrap();
    }
    let root = format!("images/blobs/sha256/{}", scene.root.digest.hex());
    let verify = |key: &str, bundle: &str, file: &str| {
        let words =
            ["verify-blob-attestation", "--key", key, "--bundle", bundle, "--type", SIGNATURE, "--insecure-ignore-tlog", file];
        succeeds(Command::new(&cosign).args(words).current_dir(scene.dir()))
    };
    assert!(verify("one.pub", "bundle", &root));
    for (key, bundle, file) in [
        ("two.pub", "bundle", root.as_str()),
        ("one.pub", "payload", &root),
        ("one.pub", "signature", &root),
        ("one.pub", "bundle", "one.pub"),
    ] {
        assert!(!verify(key, bundle, file), "{key} {bundle} {file}");
    }
}

#[test]
#[ignore = "needs npm"]
fn the_library_of_sigstore_verifies_every_bundle() {
    let packages = ["@sigstore/verify@3.1.1", "@sigstore/bundle@4.0.0", "@sigstore/protobuf-specs@0.5.2"];
    let Some((node, home)) = npm::installed(&packages) else { return };
    fs::write(home.join("verify.mjs"), include_str!("verify.mjs")).unwrap();
    let scene = Scene::signed();
    let accepts = |key: &str, bundle: &[u8]| {
        fs::write(scene.path("bundle"), bundle).unwrap();
        let words = [home.join("verify.mjs"), scene.path(key), scene.path("bundle")];
        succeeds(Command::new(&node).args(words).current_dir(scene.dir()))
    };
    let copied = scene.copied("copied");
    for predicate_type in [SIGNATURE, "https://spdx.dev/Document"] {
        let bundle = copied.bundle(predicate_type);
        assert!(accepts("one.pub", &bundle) && !accepts("two.pub", &bundle), "{predicate_type}");
        for place in ["/dsseEnvelope/payload", "/dsseEnvelope/signatures/0/sig"] {
            assert!(!accepts("one.pub", &flipped(&bundle, place)), "{predicate_type} {place}");
        }
    }
}

/// Signs in both forms at a registry, and lets cosign look.
fn at_registry(scene: &Scene, cosign: &Path, host: &str) {
    let remote = format!("{host}/plugins/signed:1.0");
    scene.done(&["push", IMAGE, &remote]);
    let image = format!("docker://{remote}");
    scene.done(&["sign", &image, "--key", "one.key", "--format", "simplesigning"]);
    for form in [&[][..], &["--new-bundle-format=false"]] {
        let verify = |key: &str| {
            let words = ["verify", "--key", key, "--insecure-ignore-tlog=true", "--allow-http-registry"];
            succeeds(Command::new(cosign).args(words).args(form).arg(&remote).current_dir(scene.dir()))
        };
        assert!(verify("one.pub") && !verify("two.pub"), "{host} {form:?}");
    }
    assert_eq!(scene.findings(&image, &["--key", "one.pub", "--require", "signature,sbom"]), [""; 0]);
}

#[test]
#[ignore = "needs cosign, docker-registry"]
fn cosign_reads_both_forms_from_registries_with_and_without_an_api_for_referrers() {
    let Some(cosign) = optional("cosign") else { return };
    let Some(registry) = DockerRegistry::start() else { return };
    at_registry(&Scene::signed(), &cosign, &registry.host);
    at_registry(&Scene::signed(), &cosign, &FerroRegistry::start().host);
}

#[test]
#[ignore = "needs skopeo-sigstore, docker-registry"]
fn skopeo_takes_the_image_and_each_platform_by_its_policy() {
    let Some(skopeo) = optional("skopeo-sigstore") else { return };
    let Some(registry) = DockerRegistry::start() else { return };
    let scene = Scene::new();
    let remote = format!("docker://{}/plugins/signed:1.0", registry.host);
    scene.done(&["push", IMAGE, &remote]);
    fs::create_dir(scene.path("registries.d")).unwrap();
    let attachments = format!("docker:\n  {}:\n    use-sigstore-attachments: true\n", registry.host);
    fs::write(scene.path("registries.d/x.yaml"), attachments).unwrap();
    let copy = |key: &str, all: &[&str]| {
        let entry = json!([{ "type": "sigstoreSigned", "keyPath": scene.path(key) }]);
        let policy: Value =
            json!({ "default": [{ "type": "reject" }], "transports": { "docker": { registry.host.as_str(): entry } } });
        fs::write(scene.path("policy.json"), policy.to_string()).unwrap();
        let _ = fs::remove_dir_all(scene.path("out"));
        let words = [
            "--policy",
            "policy.json",
            "--registries.d",
            "registries.d",
            "copy",
            "--src-tls-verify=false",
            "--remove-signatures",
        ];
        succeeds(Command::new(&skopeo).args(words).args(all).args([remote.as_str(), "oci:out:1.0"]).current_dir(scene.dir()))
    };
    let all: [&[&str]; 2] = [&[], &["--all"]];
    assert!(all.iter().all(|all| !copy("one.pub", all)), "it is not signed yet");
    scene.done(&["sign", &remote, "--key", "one.key", "--format", "simplesigning"]);
    assert!(all.iter().all(|all| copy("one.pub", all) && !copy("two.pub", all)));
    // We judge by the same policy as they do.
    copy("one.pub", &[]);
    assert_eq!(scene.findings(&remote, &["--policy", "policy.json"]), [""; 0]);
}

#[test]
#[ignore = "needs notation"]
fn notation_reads_the_layout_as_it_is() {
    let Some(notation) = optional("notation") else { return };
    let scene = Scene::new();
    for name in ["mine", "other"] {
        scene.keygen(&["--output-key-prefix", name, "--certificate", "Somebody, Inc."]);
    }
    scene.done(&["sign", IMAGE, "--key", "mine.key", "--format", "notation", "--certificate", "mine.crt"]);
    let verify = |certificate: &str| {
        let config = scene.path("config/notation");
        let _ = fs::remove_dir_all(&config);
        fs::create_dir_all(config.join("truststore/x509/ca/store")).unwrap();
        fs::copy(scene.path(certificate), config.join("truststore/x509/ca/store/a.crt")).unwrap();
        let policy = json!({ "version": "1.0", "trustPolicies": [{
            "name": "p", "registryScopes": ["*"], "signatureVerification": { "level": "strict" },
            "trustStores": ["ca:store"], "trustedIdentities": ["*"],
        }] });
        fs::write(config.join("trustpolicy.json"), policy.to_string()).unwrap();
        let image = format!("images@{}", scene.root.digest);
        let mut command = Command::new(&notation);
        command.args(["verify", "--oci-layout", &image, "--scope", "registry.example/a"]).current_dir(scene.dir());
        succeeds(command.env("XDG_CONFIG_HOME", scene.path("config")).env("NOTATION_EXPERIMENTAL", "1"))
    };
    assert!(verify("mine.crt") && !verify("other.crt"));
}

#[test]
#[ignore = "needs openssl"]
fn openssl_reads_the_signature_of_an_envelope() {
    let Some(openssl) = require("openssl") else { return };
    let scene = Scene::signed();
    let bundle = strict::parse(&scene.copied("copied").bundle(SIGNATURE)).unwrap();
    let envelope = &bundle["dsseEnvelope"];
    let payload = STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    let kind = envelope["payloadType"].as_str().unwrap();
    let mut signed = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    signed.extend(payload);
    fs::write(scene.path("signed"), &signed).unwrap();
    fs::write(scene.path("sig"), STANDARD.decode(envelope["signatures"][0]["sig"].as_str().unwrap()).unwrap()).unwrap();
    let verify = |key: &str| {
        let words = ["dgst", "-sha256", "-verify", key, "-signature", "sig", "signed"];
        succeeds(Command::new(&openssl).args(words).current_dir(scene.dir()))
    };
    assert!(verify("one.pub") && !verify("two.pub"));
}
