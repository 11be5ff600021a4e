//! The forms that other readers look for.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use plugin_oci::documents::json as strict;
use plugin_oci::progress::Silent;
use plugin_oci::signatures::keys::KeyFile;
use plugin_oci::stores::layout::{LayoutWriter, Obsolete};
use plugin_oci::values::epoch::Epoch;
use serde_json::{Value, json};

use super::scene::{IMAGE, Scene, image, state};
use crate::support::memory_registry::MemoryRegistry;
use crate::support::program::ran;

type Change = Box<dyn Fn(&mut Value, &mut Vec<u8>)>;

const ANNOTATION: &str = "dev.cosignproject.cosign/signature";

fn simple(scene: &Scene) {
    scene.done(&["sign", IMAGE, "--key", "one.key", "--format", "simplesigning", "--identity", "registry.example/a:1.0"]);
}

fn notation(scene: &Scene) {
    let made =
        ran(scene.command(&["keygen", "--output-key-prefix", "c", "--certificate", "Somebody, Inc."]).env("COSIGN_PASSWORD", ""));
    assert_eq!(made.code, 0, "{}", made.stderr);
    scene.done(&["sign", IMAGE, "--key", "c.key", "--format", "notation", "--certificate", "c.crt"]);
}

#[test]
fn the_classic_form_has_a_tag_for_the_image_and_each_platform_and_keeps_what_others_signed() {
    let scene = Scene::new();
    simple(&scene);
    let signed = state(&scene.path("images"));
    simple(&scene);
    assert_eq!(state(&scene.path("images")), signed);
    assert_eq!(scene.findings(IMAGE, &["--key", "one.pub"]), [""; 0]);
    let copied = scene.copied("copied");
    let index = copied.index();
    let entries = index["manifests"].as_array().unwrap();
    let tags: Vec<&str> =
        entries.iter().filter_map(|entry| entry["annotations"]["org.opencontainers.image.ref.name"].as_str()).collect();
    assert_eq!(tags.iter().filter(|tag| tag.starts_with("sha256-")).count(), 3, "{tags:?}");
    let tag = format!("sha256-{}.sig", scene.root.digest.hex());
    let entry = entries.iter().find(|entry| entry["annotations"]["org.opencontainers.image.ref.name"] == *tag).unwrap();
    let manifest = strict::parse(&copied.blob(entry)).unwrap();
    let layer = &manifest["layers"][0];
    assert_eq!(layer["mediaType"], "application/vnd.dev.cosign.simplesigning.v1+json");
    let payload = strict::parse(&copied.blob(layer)).unwrap();
    let critical = json!({
        "identity": { "docker-reference": "registry.example/a:1.0" },
        "image": { "docker-manifest-digest": scene.root.digest },
        "type": "cosign container image signature",
    });
    assert_eq!(payload, json!({ "critical": critical, "optional": null }));
    // Another key signs beside it, and both are good.
    scene.done(&["sign", IMAGE, "--key", "two.key", "--format", "simplesigning", "--identity", "registry.example/a:1.0"]);
    for key in ["one.pub", "two.pub"] {
        assert_eq!(scene.findings(IMAGE, &["--key", key]), [""; 0], "{key}");
    }
    // Where nothing says what it is called, it is not signed; a registry says so itself.
    let unnamed = scene.run(&["sign", IMAGE, "--key", "one.key", "--format", "simplesigning"]);
    assert_eq!(unnamed.code, 2, "{}", unnamed.stderr);
    let registry = MemoryRegistry::honest();
    let remote = format!("docker://{}:1.0", registry.repository("signed").name());
    image(&scene.path("fresh"), "fresh");
    scene.done(&["push", "oci:fresh:1.0", &remote]);
    for _ in 0..2 {
        scene.done(&["sign", &remote, "--key", "one.key", "--format", "simplesigning"]);
        scene.done(&["sign", &remote, "--key", "two.key", "--format", "simplesigning"]);
        scene.done(&["sign", &remote, "--key", "two.key"]);
    }
    for key in ["one.pub", "two.pub"] {
        assert_eq!(scene.findings(&remote, &["--key", key]), [""; 0], "{key}");
    }
}

#[test]
fn each_region_of_the_classic_form_that_is_changed_has_its_own_finding() {
    let scene = Scene::new();
    simple(&scene);
    let tag = format!("sha256-{}.sig", scene.root.digest.hex());
    let is_it = |entry: &Value| entry["annotations"]["org.opencontainers.image.ref.name"] == *tag;
    let changes: [(&str, Change); 8] = [
        ("signature-invalid", Box::new(|_, payload| payload.push(b' '))),
        (
            "signature-invalid",
            Box::new(|manifest, _| {
                let value = &mut manifest["layers"][0]["annotations"][ANNOTATION];
                let mut bytes = STANDARD.decode(value.as_str().unwrap()).unwrap();
                *bytes.last_mut().unwrap() ^= 1;
                *value = STANDARD.encode(bytes).into();
            }),
        ),
        ("signature-truncated", Box::new(|manifest, _| manifest["layers"][0]["annotations"][ANNOTATION] = json!("MEUC"))),
        ("signature-malformed", Box::new(|manifest, _| manifest["layers"][0]["annotations"][ANNOTATION] = json!("!"))),
        ("signature-annotation", Box::new(|manifest, _| manifest["layers"][0]["annotations"] = json!({ "x": "y" }))),
        ("signature-media-type", Box::new(|manifest, _| manifest["layers"][0]["mediaType"] = json!("application/x"))),
        (
            "signature-duplicated",
            Box::new(|manifest, _| {
                let layers = manifest["layers"].as_array_mut().unwrap();
                layers.push(layers[0].clone());
            }),
        ),
        (
            "signature-subject",
            Box::new(|manifest, _| manifest["subject"]["digest"] = json!(format!("sha256:{}", "0".repeat(64)))),
        ),
    ];
    for (position, (rule, change)) in changes.into_iter().enumerate() {
        let name = format!("changed{position}");
        scene.copied(&name).change_of(is_it, change);
        let found = scene.findings(&format!("oci:{name}:1.0"), &["--key", "one.pub"]);
        let found: Vec<&String> = found.iter().filter(|rule| rule.starts_with("signature")).collect();
        assert!(!found.is_empty() && found.iter().all(|found| *found == rule), "change {position}: {found:?}, not {rule}");
    }
    // What the key signed of one platform is not said of the whole.
    let replayed = scene.copied("replayed");
    let stolen = std::cell::RefCell::new(None);
    let of_platform = |entry: &Value| {
        entry["annotations"]["org.opencontainers.image.ref.name"]
            .as_str()
            .is_some_and(|name| name.starts_with("sha256-") && name != tag)
    };
    replayed.change_of(of_platform, |manifest, payload| {
        *stolen.borrow_mut() = Some((manifest["layers"][0].clone(), payload.clone()));
    });
    let (layer, payload) = stolen.into_inner().unwrap();
    replayed.change_of(is_it, |manifest, own| {
        manifest["layers"][0] = layer;
        *own = payload;
    });
    assert!(scene.findings("oci:replayed:1.0", &["--key", "one.pub"]).contains(&"signature-replayed".to_owned()));
}

/// Changes a part of the envelope that is JSON in base64url.
fn part(name: &'static str, change: impl Fn(&mut Vec<u8>) + 'static) -> Change {
    Box::new(move |_, bytes| {
        let mut envelope = strict::parse(bytes).unwrap();
        let mut part = URL_SAFE_NO_PAD.decode(envelope[name].as_str().unwrap()).unwrap();
        change(&mut part);
        envelope[name] = URL_SAFE_NO_PAD.encode(part).into();
        *bytes = strict::to_canonical(&envelope);
    })
}

#[test]
fn the_form_of_notation_is_the_same_each_time_and_each_change_has_its_own_finding() {
    let scene = Scene::new();
    notation(&scene);
    let signed = state(&scene.path("images"));
    scene.done(&["sign", IMAGE, "--key", "c.key", "--format", "notation", "--certificate", "c.crt"]);
    assert_eq!(state(&scene.path("images")), signed);
    for key in ["c.pub", "c.crt"] {
        assert_eq!(scene.findings(IMAGE, &["--key", key]), [""; 0], "{key}");
    }
    assert_eq!(scene.findings(IMAGE, &["--key", "one.pub"]), ["signature-key"]);
    let is_it = |entry: &Value| entry["artifactType"] == "application/vnd.cncf.notary.signature";
    let changes: [(&str, Change); 9] = [
        ("signature-invalid", part("payload", |bytes| bytes.push(b' '))),
        ("signature-invalid", part("signature", |bytes| bytes[40] ^= 1)),
        ("signature-truncated", part("signature", |bytes| bytes.truncate(63))),
        (
            "signature-algorithm",
            part("protected", |bytes| {
                let text = String::from_utf8(std::mem::take(bytes)).unwrap();
                *bytes = text.replace("ES256", "PS256").into_bytes();
            }),
        ),
        ("signature-malformed", Box::new(|_, bytes| bytes[0] = b'[')),
        ("signature-truncated", Box::new(|_, bytes| bytes.truncate(100))),
        ("signature-media-type", Box::new(|manifest, _| manifest["layers"][0]["mediaType"] = json!("application/cose"))),
        (
            "signature-annotation",
            Box::new(|manifest, _| {
                manifest["annotations"]["io.cncf.notary.x509chain.thumbprint#S256"] = json!("[]");
            }),
        ),
        (
            "signature-malformed",
            Box::new(|_, bytes| {
                let mut envelope = strict::parse(bytes).unwrap();
                envelope["header"]["x5c"] = json!([]);
                *bytes = strict::to_canonical(&envelope);
            }),
        ),
    ];
    for (position, (rule, change)) in changes.into_iter().enumerate() {
        let name = format!("changed{position}");
        scene.copied(&name).change_of(is_it, change);
        assert_eq!(scene.findings(&format!("oci:{name}:1.0"), &["--key", "c.pub"]), [rule], "change {position}");
    }
    for (key, certificate) in [("one.key", "c.crt"), ("c.key", "one.pub")] {
        let refused = scene.run(&["sign", IMAGE, "--key", key, "--format", "notation", "--certificate", certificate]);
        assert_eq!(refused.code, 2, "{}", refused.stderr);
    }
    for flags in [&["--format", "notation"][..], &["--certificate", "c.crt"], &["--identity", "a/b"]] {
        let refused = scene.run(&[&["sign", IMAGE, "--key", "c.key"], flags].concat());
        assert_eq!(refused.code, 2, "{flags:?}: {}", refused.stderr);
    }
}

#[test]
fn a_certificate_that_has_ended_signs_nothing_and_what_it_signed_counts_no_more() {
    let scene = Scene::new();
    let texts = [
        ("ended.key", include_str!("../../../fixtures/keys/ended.key")),
        ("ended.pub", include_str!("../../../fixtures/keys/ended.pub")),
        ("ended.crt", include_str!("../../../fixtures/keys/ended.crt")),
    ];
    for (name, text) in &texts {
        std::fs::write(scene.path(name), text).unwrap();
    }
    let refused = scene.run(&["sign", IMAGE, "--key", "ended.key", "--format", "notation", "--certificate", "ended.crt"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("valid from 2020-06-01T00:00:00Z until 2020-07-01T00:00:00Z"), "{}", refused.stderr);

    // As it was signed then.
    let june = Epoch::parse("1591315200").unwrap();
    let file = |position: usize| KeyFile::of(texts[position].0, texts[position].1.as_bytes());
    let (key, chain) = (file(0).private(&[]).unwrap(), file(2).certificates(june.seconds()).unwrap());
    let signed = plugin_oci::signatures::notation::sign(&scene.root, &key, &chain, june).unwrap();
    signed.write(&LayoutWriter::new(&scene.path("images"), Obsolete::Keep, &Silent).unwrap()).unwrap();
    assert_eq!(scene.findings(IMAGE, &["--key", "ended.pub"]), ["signature-expired"]);
    // Another signature by the key is not spoilt by it.
    scene.done(&["sign", IMAGE, "--key", "ended.key"]);
    assert_eq!(scene.findings(IMAGE, &["--key", "ended.pub"]), [""; 0]);
}
