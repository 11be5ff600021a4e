//! Policies: containers-policy.json(5), cargo-deny's tables, and the user's own.

use std::fs;

use serde_json::{Value, json};

use super::scene::{IMAGE, Scene, image};
use crate::support::memory_registry::MemoryRegistry;
use crate::support::program::{Ran, ran};

fn verify(scene: &Scene, image: &str, policy: &Value) -> Ran {
    fs::write(scene.path("policy.json"), policy.to_string()).unwrap();
    scene.run(&["verify", image, "--policy", "policy.json"])
}

fn rules(ran: &Ran) -> Vec<String> {
    let words = ran.stdout.lines().filter_map(|line| Some(line.rsplit_once('[')?.1.trim_end_matches(']').to_owned()));
    words.collect()
}

#[test]
fn the_narrowest_scope_of_a_containers_policy_decides() {
    let scene = Scene::signed();
    let registry = MemoryRegistry::honest();
    let name = registry.repository("plugins/signed").name();
    let remote = format!("docker://{name}:1.0");
    scene.done(&["push", IMAGE, &remote]);
    let host = name.split('/').next().unwrap();
    let signed = |identity: Value| {
        let mut entry = json!({ "type": "sigstoreSigned", "keyPath": "one.pub" });
        if !identity.is_null() {
            entry["signedIdentity"] = identity;
        }
        json!([entry])
    };
    let policy =
        |scope: &str, entry: Value| json!({ "default": [{ "type": "reject" }], "transports": { "docker": { scope: entry } } });
    let accept = json!([{ "type": "insecureAcceptAnything" }]);
    // Scopes, from the narrowest to the widest.
    for scope in [format!("{name}:1.0"), name.clone(), format!("{host}/plugins"), host.to_owned(), String::new()] {
        let ran = verify(&scene, &remote, &policy(&scope, accept.clone()));
        assert_eq!(ran.code, 0, "{scope}: {}{}", ran.stdout, ran.stderr);
        assert_eq!(rules(&verify(&scene, IMAGE, &policy(&scope, accept.clone()))), ["rejected"], "{scope}");
    }
    for scope in [format!("{name}:2.0"), format!("{host}/plug"), "registry.example".to_owned()] {
        assert_eq!(rules(&verify(&scene, &remote, &policy(&scope, accept.clone()))), ["rejected"], "{scope}");
    }
    // A tag that is not said is the one that is taken, there and here.
    let of_one = |transport: &str, scope: &str| {
        let rejected = json!({ scope: [{ "type": "reject" }] });
        json!({ "default": accept.clone(), "transports": { transport: rejected } })
    };
    let layout = scene.path("images").canonicalize().unwrap();
    for (image, transport, scope) in
        [(format!("docker://{name}"), "docker", &name), ("oci:images".to_owned(), "oci", &layout.display().to_string())]
    {
        let ran = verify(&scene, &image, &of_one(transport, &format!("{scope}:1.0")));
        assert_eq!(rules(&ran), ["rejected"], "{image}: {}", ran.stderr);
        assert_eq!(verify(&scene, &image, &of_one(transport, &format!("{scope}:2.0"))).code, 0, "{image}");
    }
    // A bundle holds no name: where one is demanded, it is the classic form that counts.
    let by_name = policy(&name, signed(Value::Null));
    assert_eq!(rules(&verify(&scene, &remote, &by_name)), ["signature-identity"]);
    scene.done(&["sign", &remote, "--key", "one.key", "--format", "simplesigning", "--identity", "registry.example/other:1.0"]);
    assert_eq!(rules(&verify(&scene, &remote, &by_name)), ["signature-identity"]);
    let remap = json!({ "type": "remapIdentity", "prefix": name, "signedPrefix": "registry.example/other" });
    assert_eq!(verify(&scene, &remote, &policy(&name, signed(remap))).code, 0);
    let exact = json!({ "type": "exactReference", "dockerReference": "registry.example/other:1.0" });
    assert_eq!(verify(&scene, &remote, &policy(&name, signed(exact))).code, 0);
    scene.done(&["sign", &remote, "--key", "one.key", "--format", "simplesigning"]);
    // A digest is no tag, and no tag a digest.
    let pinned = format!("docker://{name}@{}", scene.root.digest);
    let exact = || policy(&name, signed(json!({ "type": "matchExact" })));
    assert_eq!(rules(&verify(&scene, &pinned, &exact())), ["signature-identity"]);
    assert_eq!(verify(&scene, &pinned, &policy(&name, signed(Value::Null))).code, 0);
    for identity in [Value::Null, json!({ "type": "matchExact" }), json!({ "type": "matchRepository" })] {
        let ran = verify(&scene, &remote, &policy(&name, signed(identity.clone())));
        assert_eq!(ran.code, 0, "{identity}: {}{}", ran.stdout, ran.stderr);
    }
    // What lies on a disk has no name; where none is demanded, its digest suffices.
    let local = |entry| json!({ "default": entry });
    assert_eq!(verify(&scene, IMAGE, &local(signed(Value::Null))).code, 0);
    assert_eq!(rules(&verify(&scene, IMAGE, &local(signed(json!({ "type": "matchRepository" }))))), ["signature-identity"]);
    assert_eq!(
        rules(&verify(&scene, IMAGE, &local(json!([{ "type": "sigstoreSigned", "keyPath": "two.pub" }]))))
            .first()
            .map(String::as_str),
        Some("signature-key")
    );
}

#[test]
fn what_a_policy_asks_that_is_not_judged_is_told_as_a_wrong_argument() {
    let scene = Scene::signed();
    let by_name =
        |name: Value| json!({ "default": [{ "type": "sigstoreSigned", "keyPath": "one.pub", "signedIdentity": name }] });
    for policy in [
        json!({ "default": [{ "type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k.gpg" }] }),
        json!({ "default": [{ "type": "sigstoreSigned", "fulcio": { "caPath": "/x" } }] }),
        json!({ "default": [{ "type": "sigstoreSigned", "keyPath": "one.pub", "rekorPublicKeyPath": "/x" }] }),
        json!({ "default": [{ "type": "sigstoreSigned", "keyPath": "one.pub", "signedIdentity": { "type": "new" } }] }),
        json!({ "default": [{ "type": "sigstoreSigned", "keyPath": "one.pub", "unknown": 1 }] }),
        json!({ "default": [{ "type": "sigstoreSigned", "keyPath": "one.pub", "keyPaths": ["two.pub"] }] }),
        json!({ "default": [{ "type": "sigstoreSigned", "keyPath": "one.key" }] }),
        json!({ "default": [{ "type": "sigstoreSigned" }] }),
        // What is written beside it would not be kept.
        json!({ "default": [{ "type": "insecureAcceptAnything", "keyPath": "one.pub" }] }),
        json!({ "default": [{ "type": "reject", "keyPath": "one.pub" }] }),
        json!({ "default": [{ "type": "insecureAcceptAnything" }], "transports": { "oci": [{ "type": "reject" }] } }),
        by_name(json!({ "type": "matchRepository", "dockerRepository": "registry.example/a" })),
        by_name(json!({ "type": "exactRepository", "dockerRepository": "registry.example/a", "prefix": "x" })),
        by_name(json!({ "type": "exactReference", "dockerReference": "registry.example/a" })),
        by_name(json!({ "type": "exactReference", "reference": "registry.example/a:1" })),
        by_name(json!("matchExact")),
        json!({ "default": [] }),
        json!({ "default": [{}], "other": 1 }),
        json!({}),
        json!([]),
    ] {
        let ran = verify(&scene, IMAGE, &policy);
        assert_eq!(ran.code, 2, "{policy}: {}{}", ran.stdout, ran.stderr);
    }
    for text in [
        "",
        "[other]\n",
        "[images]\nkeys = []\n",
        "[images]\nkey = 'one.pub'\n",
        "[bans]\ndeny = ['x@nonsense']\n",
        "[licenses]\nallow = ['Nonsense']\n",
        "[images]\nkeys = ['one.pub']\n[ban]\ndeny = ['x']\n",
        "[images]\nkeys = ['one.pub']\n[licences]\nallow = ['MIT']\n",
        "[bans]\ndenied = ['x']\n",
        "[bans]\nmultiple-versions = 'denny'\n",
        "[licenses]\nalow = ['MIT']\n",
        "[licenses]\ncopyleft = 'deny'\n",
        "[licenses]\ndeny = ['GPL-3.0-only']\n",
    ] {
        fs::write(scene.path("policy.toml"), text).unwrap();
        let ran = scene.run(&["verify", IMAGE, "--policy", "policy.toml"]);
        assert_eq!(ran.code, 2, "{text}: {}{}", ran.stdout, ran.stderr);
    }
    assert_eq!(scene.run(&["verify", IMAGE, "--policy", "absent"]).code, 1);
}

#[test]
fn crates_of_the_sbom_are_held_against_the_tables_of_cargo_deny() {
    let scene = Scene::new();
    let component = |name: &str, version: &str, licence: Value| json!({ "type": "library", "name": name, "version": version, "purl": format!("pkg:cargo/{name}@{version}"), "licenses": licence });
    let sbom = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.6", "components": [
            component("good", "1.0.0", json!([{ "expression": "MIT OR GPL-3.0-only" }])),
            { "type": "application", "name": "parts", "components": [
                component("bad", "0.9.1", json!([{ "license": { "id": "MIT" } }])),
            ] },
            component("odd", "1.0.0", json!([{ "expression": "GPL-3.0-only" }])),
            component("odd", "2.0.0", json!([{ "expression": "Apache-2.0 WITH LLVM-exception" }])),
            component("mute", "1.0.0", json!([])),
            { "type": "file", "name": "no crate" },
        ],
    });
    fs::write(scene.path("bom.json"), sbom.to_string()).unwrap();
    scene.done(&["attach", IMAGE, "bom.json", "--type", "application/vnd.cyclonedx+json"]);
    let found = |policy: &str| {
        fs::write(scene.path("deny.toml"), policy).unwrap();
        let ran = scene.run(&["verify", IMAGE, "--policy", "deny.toml"]);
        let mut lines: Vec<String> = ran
            .stdout
            .lines()
            .map(|line| {
                let (object, rest) = line.split_once(": ").unwrap();
                format!("{object} {}", rest.rsplit_once('[').unwrap().1.trim_end_matches(']'))
            })
            .collect();
        lines.sort();
        assert_eq!(ran.code, if lines.is_empty() { 0 } else { 3 }, "{policy}: {}{}", ran.stdout, ran.stderr);
        lines
    };
    assert_eq!(found("[bans]\ndeny = ['other', { crate = 'bad', version = '<0.9' }]\n"), [""; 0]);
    assert_eq!(found("[bans]\ndeny = [{ crate = 'bad@0.9.1', reason = 'old' }]\n"), ["bad 0.9.1 crate-banned"]);
    assert_eq!(found("[bans]\nmultiple-versions = 'deny'\n"), ["odd crate-versions"]);
    assert_eq!(found("[bans]\nmultiple-versions = 'deny'\nskip = ['odd@1.0.0']\n"), [""; 0]);
    assert_eq!(
        found("[graph]\nall-features = true\n[licenses]\nallow = ['MIT']\n"),
        ["mute 1.0.0 crate-licence", "odd 1.0.0 crate-licence", "odd 2.0.0 crate-licence"]
    );
    let allowed = "[licenses]\nallow = ['MIT', 'Apache-2.0 WITH LLVM-exception']\nexceptions = [{ crate = 'odd', allow = ['GPL-3.0-only'] }]\n";
    assert_eq!(found(allowed), ["mute 1.0.0 crate-licence"]);
    // With keys, the SBOM must be theirs.
    let keys = "[images]\nkeys = ['one.pub']\n";
    assert!(found(&format!("{keys}[bans]\n")).iter().any(|line| line.ends_with("signature-missing")));
    scene.done(&["sign", IMAGE, "--key", "one.key"]);
    assert_eq!(found(&format!("{keys}[bans]\n")), [""; 0]);
    // What the key signed counts, whether or not somebody has taken what is attached away.
    let banned = format!("{keys}[bans]\ndeny = ['bad']\n[advisories]\nyanked = 'deny'\n");
    assert_eq!(found(&banned), ["bad 0.9.1 crate-banned"]);
    scene.done(&["detach", IMAGE, "--type", "application/vnd.cyclonedx+json"]);
    scene.done(&["detach", IMAGE, "--type", "application/spdx+json"]);
    assert_eq!(found(&banned), ["bad 0.9.1 crate-banned"]);
    let bare = Scene::new();
    image(&bare.path("bare"), "bare");
    bare.done(&["detach", "oci:bare:1.0", "--type", "application/spdx+json"]);
    fs::write(bare.path("deny.toml"), "[bans]\n").unwrap();
    assert_eq!(rules(&bare.run(&["verify", "oci:bare:1.0", "--policy", "deny.toml"])), ["attachment-missing"]);
}

#[test]
fn the_users_own_policy_is_kept_by_whatever_takes_an_image_from_elsewhere() {
    let scene = Scene::signed();
    image(&scene.path("unsigned"), "unsigned");
    let dir = scene.path("config/cargo-plugin-build");
    fs::create_dir_all(&dir).unwrap();
    fs::copy(scene.path("one.pub"), dir.join("one.pub")).unwrap();
    let with = |name: &str, text: &str| {
        drop(fs::remove_file(dir.join("policy.toml")));
        fs::write(dir.join(name), text).unwrap();
    };
    let run = |words: &[&str]| {
        let _ = fs::remove_dir_all(scene.path("out"));
        ran(scene.command(words).env("XDG_CONFIG_HOME", scene.path("config"))).code
    };
    with("policy.toml", "[images]\nkeys = ['one.pub']\n");
    for verb in
        [&["unpack", "oci:unsigned:1.0", "out"][..], &["install", "oci:unsigned:1.0", "out"], &["verify", "oci:unsigned:1.0"]]
    {
        assert_eq!(run(verb), 3, "{verb:?}");
        assert_eq!(run(&[verb, &["--insecure-policy"]].concat()), 0, "{verb:?}");
    }
    assert_eq!(run(&["unpack", IMAGE, "out"]), 0);
    with("policy.json", &json!({ "default": [{ "type": "reject" }] }).to_string());
    assert_eq!(run(&["unpack", IMAGE, "out"]), 3);
    assert_eq!(run(&["unpack", IMAGE, "out", "--key", "one.pub"]), 3, "what the user asks always is asked too");
    assert_eq!(run(&["unpack", IMAGE, "out", "--key", "one.pub", "--insecure-policy"]), 0);
    with("policy.json", "nonsense");
    assert_eq!(run(&["unpack", IMAGE, "out"]), 2);
}
