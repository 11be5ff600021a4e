//! Every way in which a signature can be wrong, each with a finding of its own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::scene::{Changed, IMAGE, Scene, image};

const SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";

/// Changes the bundle as JSON.
fn of_bundle(change: impl Fn(&mut Value)) -> impl Fn(&mut Value, &mut Vec<u8>) {
    move |_, bytes| {
        let mut bundle = serde_json::from_slice(bytes).unwrap();
        change(&mut bundle);
        *bytes = plugin_oci::documents::json::to_canonical(&bundle);
    }
}

/// Changes bytes that are base64 in a place of the bundle.
fn decoded(place: &'static str, change: impl Fn(&mut Vec<u8>)) -> impl Fn(&mut Value, &mut Vec<u8>) {
    of_bundle(move |bundle| {
        let value = bundle.pointer_mut(place).unwrap();
        let mut bytes = STANDARD.decode(value.as_str().unwrap()).unwrap();
        change(&mut bytes);
        *value = STANDARD.encode(bytes).into();
    })
}

const PAYLOAD: &str = "/dsseEnvelope/payload";
const SIG: &str = "/dsseEnvelope/signatures/0/sig";

type Change = Box<dyn Fn(&mut Value, &mut Vec<u8>)>;

#[test]
fn each_region_that_is_changed_has_its_own_finding() {
    let scene = Scene::signed();
    let manifest = |change: fn(&mut Value)| -> Change { Box::new(move |manifest, _| change(manifest)) };
    let set = |place: &'static str, value: Value| -> Change {
        Box::new(of_bundle(move |bundle| *bundle.pointer_mut(place).unwrap() = value.clone()))
    };
    let raw = |change: fn(&mut Vec<u8>)| -> Change { Box::new(move |_, bundle| change(bundle)) };
    let changes: Vec<(&str, Change)> = vec![
        // The payload, wherever a bit of it turns.
        ("signature-invalid", Box::new(decoded(PAYLOAD, |bytes| bytes[0] ^= 1))),
        ("signature-invalid", Box::new(decoded(PAYLOAD, |bytes| *bytes.last_mut().unwrap() ^= 1))),
        ("signature-invalid", Box::new(decoded(PAYLOAD, |bytes| bytes.push(b' ')))),
        ("signature-invalid", set("/dsseEnvelope/payloadType", json!("application/vnd.in-toto+jsom"))),
        ("signature-malformed", set(PAYLOAD, json!("!"))),
        // The signature.
        ("signature-invalid", Box::new(decoded(SIG, |bytes| *bytes.last_mut().unwrap() ^= 1))),
        ("signature-algorithm", Box::new(decoded(SIG, |bytes| bytes[0] ^= 1))),
        ("signature-algorithm", Box::new(decoded(SIG, |bytes| *bytes = vec![7; 64]))),
        ("signature-truncated", Box::new(decoded(SIG, |bytes| bytes.truncate(bytes.len() - 1)))),
        ("signature-truncated", Box::new(decoded(SIG, Vec::clear))),
        ("signature-malformed", set(SIG, json!("!"))),
        ("signature-missing", set("/dsseEnvelope/signatures", json!([]))),
        (
            "signature-duplicated",
            Box::new(of_bundle(|bundle| {
                let signatures = bundle["dsseEnvelope"]["signatures"].as_array_mut().unwrap();
                signatures.push(signatures[0].clone());
            })),
        ),
        // What it says of the key.
        ("signature-key-id", set("/verificationMaterial/publicKey/hint", json!("AAAA"))),
        ("signature-malformed", set("/verificationMaterial", json!({ "certificate": { "rawBytes": "" } }))),
        // Media types.
        ("signature-media-type", set("/mediaType", json!("application/vnd.dev.sigstore.bundle.v0.2+json"))),
        ("signature-media-type", manifest(|manifest| manifest["artifactType"] = json!("application/x"))),
        ("signature-media-type", manifest(|manifest| manifest["layers"][0]["mediaType"] = json!("application/x"))),
        ("signature-media-type", manifest(|manifest| manifest["config"]["mediaType"] = json!("application/x"))),
        // Annotations.
        ("signature-annotation", manifest(|manifest| manifest["annotations"]["dev.sigstore.bundle.content"] = json!("x"))),
        (
            "signature-annotation",
            manifest(|manifest| {
                manifest["annotations"]["dev.sigstore.bundle.predicateType"] = json!("https://spdx.dev/Document");
            }),
        ),
        ("signature-annotation", manifest(|manifest| drop(manifest.as_object_mut().unwrap().remove("annotations")))),
        // What the manifest refers to.
        ("signature-subject", manifest(|manifest| manifest["subject"]["size"] = json!(1))),
        (
            "signature-subject",
            manifest(|manifest| {
                manifest["subject"]["mediaType"] = json!("application/vnd.oci.image.manifest.v1+json");
            }),
        ),
        // Its shape.
        (
            "signature-duplicated",
            manifest(|manifest| {
                let layers = manifest["layers"].as_array_mut().unwrap();
                layers.push(layers[0].clone());
            }),
        ),
        ("signature-malformed", manifest(|manifest| manifest["layers"] = json!([]))),
        ("signature-truncated", raw(|bundle| bundle.truncate(bundle.len() / 2))),
        ("signature-malformed", raw(|bundle| bundle[0] = b'[')),
        ("signature-malformed", raw(|bundle| bundle.splice(1..1, *b"\"a\":1,\"a\":2,").for_each(drop))),
        ("signature-malformed", raw(|bundle| bundle.splice(1..1, *b"\"MediaType\":\"\",").for_each(drop))),
        (
            "signature-purpose",
            Box::new(of_bundle(|bundle| {
                let bundle = bundle.as_object_mut().unwrap();
                bundle.remove("dsseEnvelope");
                bundle.insert("messageSignature".to_owned(), json!({}));
            })),
        ),
    ];
    for (position, (rule, change)) in changes.into_iter().enumerate() {
        let name = format!("changed{position}");
        scene.copied(&name).change(SIGNATURE, change);
        let found = scene.findings(&format!("oci:{name}:1.0"), &["--key", "one.pub"]);
        assert!(found.contains(&rule.to_owned()), "change {position}: {found:?}, not {rule}");
        assert!(found.iter().all(|found| found == rule), "change {position}: {found:?}, not {rule} alone");
    }
}

#[test]
fn one_bit_of_what_lies_in_the_store_is_a_finding_wherever_it_is() {
    let scene = Scene::signed();
    let copied = scene.copied("flipped");
    let index = copied.index();
    let signatures = index["manifests"].as_array().unwrap().iter().filter(|entry| entry["artifactType"].is_string());
    for entry in signatures.cloned().collect::<Vec<Value>>() {
        let manifest: Value = serde_json::from_slice(&copied.blob(&entry)).unwrap();
        for descriptor in [&entry, &manifest["layers"][0]] {
            let path = scene.path("flipped/blobs/sha256").join(&descriptor["digest"].as_str().unwrap()[7..]);
            let before = std::fs::read(&path).unwrap();
            let mut flipped = before.clone();
            let middle = flipped.len() / 2;
            flipped[middle] ^= 1;
            std::fs::write(&path, flipped).unwrap();
            assert!(!scene.findings("oci:flipped:1.0", &["--key", "one.pub"]).is_empty());
            std::fs::write(&path, before).unwrap();
        }
    }
    assert_eq!(scene.findings("oci:flipped:1.0", &["--key", "one.pub"]), [""; 0]);
}

#[test]
fn what_is_missing_or_by_another_or_of_another_image_is_told() {
    let scene = Scene::new();
    assert_eq!(scene.findings(IMAGE, &["--key", "one.pub"]), ["signature-missing"]);
    scene.done(&["sign", IMAGE, "--key", "two.key"]);
    let rules = scene.findings(IMAGE, &["--key", "one.pub"]);
    assert!(!rules.is_empty() && rules.iter().all(|rule| rule == "signature-key"), "{rules:?}");
    // One of several keys suffices, and what another signed is nobody's fault.
    assert_eq!(scene.findings(IMAGE, &["--key", "one.pub", "--key", "two.pub"]), [""; 0]);
    scene.done(&["sign", IMAGE, "--key", "one.key"]);
    assert_eq!(scene.findings(IMAGE, &["--key", "one.pub"]), [""; 0]);
    // A signed SBOM alone is no signature.
    let copied = scene.copied("purpose");
    copied.remove(SIGNATURE);
    copied.remove(SIGNATURE);
    assert!(scene.findings("oci:purpose:1.0", &["--key", "one.pub"]).contains(&"signature-purpose".to_owned()));
}

#[test]
fn a_signature_of_another_image_and_one_that_stands_twice_are_told() {
    let scene = Scene::signed();
    let donor = Scene::new();
    for name in ["one.key", "one.pub"] {
        std::fs::copy(scene.path(name), donor.path(name)).unwrap();
    }
    image(&donor.path("other"), "another");
    donor.done(&["sign", "oci:other:1.0", "--key", "one.key"]);
    let other = Changed::at(&donor.path("other"));
    let stolen = other.bundle(SIGNATURE);
    // In place of the image's own, and beside it.
    scene.copied("replayed").change(SIGNATURE, |_, bundle| bundle.clone_from(&stolen));
    assert_eq!(scene.findings("oci:replayed:1.0", &["--key", "one.pub"]), ["signature-replayed"]);
    let beside = scene.copied("beside");
    beside.add(SIGNATURE, |_, bundle| bundle.clone_from(&stolen));
    assert_eq!(scene.findings("oci:beside:1.0", &["--key", "one.pub"]), ["signature-replayed"]);
    let twice = scene.copied("twice");
    twice.add(SIGNATURE, |manifest, _| manifest["annotations"]["x"] = json!("y"));
    assert_eq!(scene.findings("oci:twice:1.0", &["--key", "one.pub"]), ["signature-duplicated"]);
    // An SBOM that was exchanged for another after it was signed.
    let exchanged = scene.copied("exchanged");
    exchanged.exchange("application/spdx+json", br#"{"spdxVersion":"SPDX-2.2"}"#);
    assert_eq!(scene.findings("oci:exchanged:1.0", &["--key", "one.pub", "--require", "sbom"]), ["attachment-other"]);
}
