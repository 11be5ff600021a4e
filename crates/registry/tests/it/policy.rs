//! The policy: what may be pulled, and what a tag may be set to.

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plugin_oci::attachments::Attachment;
use plugin_oci::documents::{Descriptor, media_type};
use plugin_oci::signatures::keys::{Algorithm, Generated, generate};
use plugin_oci::signatures::{bundle, simple, statement};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::tag::Tag;
use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::server::{Pair, Place};
use crate::support::tools::{require, stdout};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A manifest that was made.
struct Made {
    bytes: Vec<u8>,
    descriptor: Descriptor,
}

impl Made {
    fn of(document: &Value) -> Self {
        let bytes = document.to_string().into_bytes();
        let media_type = document["mediaType"].as_str().unwrap();
        Self { descriptor: Descriptor::of(media_type, &bytes), bytes }
    }

    /// An image of one layer.
    fn image(name: &str, more: &[(&str, Value)]) -> Self {
        let mut document = json!({
            "schemaVersion": 2, "mediaType": media_type::MANIFEST,
            "config": Descriptor::of(media_type::CONFIG, b"{}"), "layers": [Descriptor::of(LAYER, b"layer")],
            "annotations": {"name": name},
        });
        for (key, value) in more {
            document[*key] = value.clone();
        }
        Self::of(&document)
    }

    fn index(children: &[&Self]) -> Self {
        let children: Vec<Value> = children.iter().map(|child| json!(child.descriptor)).collect();
        Self::of(&json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": children}))
    }

    fn digest(&self) -> String {
        self.descriptor.digest.to_string()
    }

    fn push(&self, client: &Client, reference: &str) -> Answer {
        for blob in [&b"{}"[..], b"layer"] {
            client.push_blob("a", &Digest::of(blob).to_string(), blob);
        }
        client.push_manifest("a", reference, &self.descriptor.media_type, &self.bytes)
    }
}

/// Brings an attachment; its digest.
fn attach(client: &Client, attachment: &Attachment, tag: Option<&str>) -> String {
    for (descriptor, bytes) in &attachment.blobs {
        client.push_blob("a", &descriptor.digest.to_string(), bytes);
    }
    let digest = attachment.descriptor.digest.to_string();
    client.push_manifest("a", tag.unwrap_or(&digest), media_type::MANIFEST, &attachment.manifest).is(201);
    digest
}

fn signed(image: &Made, key: &Generated) -> Attachment {
    bundle::sign(&statement::signature(&image.descriptor.digest), statement::SIGNATURE, &image.descriptor, &key.key).unwrap()
}

/// A key, whose public half is `NAME.pub`.
fn key(dir: &Path, name: &str) -> Generated {
    use plugin_oci::signatures::keys::Signer as _;
    let key = generate(Algorithm::P256, b"").unwrap();
    fs::write(dir.join(format!("{name}.pub")), key.key.public().to_pem()).unwrap();
    key
}

/// A place with a policy of one key.
fn place() -> (Place, Generated, String) {
    let place = Place::directory();
    let key = key(place.dir.path(), "release");
    let policy = place.dir.path().join("policy.toml");
    fs::write(&policy, "[images]\nkeys = [\"release.pub\"]\n").unwrap();
    (place, key, policy.display().to_string())
}

fn manifest(reference: &str) -> String {
    format!("/v2/a/manifests/{reference}")
}

#[test]
fn only_what_the_key_has_signed_is_pulled() {
    let (place, key, policy) = place();
    let pair = Pair::of(&place, &["--policy", &policy]);
    let client = &pair.client;
    let (amd, arm) = (Made::image("amd", &[]), Made::image("arm", &[]));
    let index = Made::index(&[&amd, &arm]);
    for child in [&amd, &arm] {
        child.push(client, &child.digest()).is(201);
    }
    index.push(client, "1.0").is(201);
    let all = [manifest("1.0"), manifest(&index.digest()), manifest(&amd.digest()), manifest(&arm.digest())];
    let is_refused = || {
        for path in &all {
            for _ in 0..2 {
                let refused = client.get(path).is(403);
                assert_eq!(refused.code(), "DENIED");
                let message = refused.json()["errors"][0]["message"].as_str().unwrap().to_owned();
                assert!(message.contains("it is not signed") || message.contains("not the one"), "{message}");
                client.head(path).is(403);
            }
        }
    };
    is_refused();
    // The other key's.
    let other = self::key(place.dir.path(), "other");
    attach(client, &signed(&index, &other), None);
    client.get(&all[0]).is(403);
    let signature = attach(client, &signed(&index, &key), None);
    for path in all.iter().rev() {
        for _ in 0..2 {
            client.get(path).is(200);
            client.head(path).is(200);
        }
    }
    // Which everybody may look at.
    client.get(&manifest(&signature)).is(200);
    client.get(&format!("/v2/a/referrers/{}", index.digest())).is(200);
    // What another image refers to is not its own; and what says that it is a signature, or refers to what is signed, still runs.
    let subject = ("subject", json!(index.descriptor));
    let kind = ("artifactType", json!(bundle::MEDIA_TYPE));
    let evil = Made::image("evil", &[subject.clone(), kind.clone()]);
    let empty = ("config", json!(Descriptor::of(media_type::EMPTY, b"{}")));
    let hollow = Made::image("hollow", &[subject.clone(), kind, empty.clone()]);
    let notes = ("layers", json!([Descriptor::of("text/plain", b"layer")]));
    let attached = Made::image("notes", &[subject, empty.clone(), notes.clone()]);
    let lone = Made::image("lone", &[empty, notes]);
    let mixed = Made::index(&[&amd, &evil]);
    for made in [&evil, &hollow, &attached, &lone, &mixed] {
        made.push(client, &made.digest()).is(201);
    }
    for refused in [&evil, &hollow, &lone, &mixed] {
        client.get(&manifest(&refused.digest())).is(403);
    }
    client.get(&manifest(&attached.digest())).is(200);
    // Engines unpack what they get, whatever it is called.
    for kind in ["application/vnd.in-toto+json", simple::MEDIA_TYPE, bundle::MEDIA_TYPE, "text/spdx"] {
        let disguised = Made::image(kind, &[("layers", json!([Descriptor::of(kind, b"layer")]))]);
        disguised.push(client, &disguised.digest()).is(201);
        client.get(&manifest(&disguised.digest())).is(403);
    }
    // A tag that stands for the signatures of something, and holds an image.
    let tag = Tag::of_signatures(&index.descriptor.digest).to_string();
    evil.push(client, &tag).is(201);
    client.get(&manifest(&tag)).is(403);
    let list = Tag::of_referrers(&index.descriptor.digest).to_string();
    mixed.push(client, &list).is(201);
    client.get(&manifest(&list)).is(403);
}

#[test]
fn a_signature_by_name_is_for_that_name() {
    let (place, key, _) = place();
    let policy = place.dir.path().join("policy.json");
    let entry = json!([{"type": "sigstoreSigned", "keyPath": "release.pub"}]);
    let scopes = json!({"registry.example.com/a": entry, "registry.example.com/b": [{"type": "insecureAcceptAnything"}]});
    fs::write(&policy, json!({"default": [{"type": "reject"}], "transports": {"docker": scopes}}).to_string()).unwrap();
    let policy = policy.display().to_string();
    let nameless = place.command("serve").args(["--listen", "127.0.0.1:0", "--policy", &policy]).output().unwrap();
    assert!(!nameless.status.success() && String::from_utf8(nameless.stderr).unwrap().contains("--policy-host"));
    let pair = Pair::of(&place, &["--policy", &policy, "--policy-host", "registry.example.com"]);
    let client = &pair.client;
    let image = Made::image("one", &[]);
    image.push(client, "1.0").is(201);
    image.push(client, "2.0").is(201);
    let attachment = simple::sign(&image.descriptor, "registry.example.com/a:1.0", &key.key, &[]).unwrap();
    let tag = Tag::of_signatures(&image.descriptor.digest).to_string();
    attach(client, &attachment, Some(&tag));
    client.get(&manifest(&tag)).is(200);
    for (reference, status) in [("1.0", 200), (&image.digest(), 200), ("2.0", 403)] {
        // Whatever name a client asks under.
        client.send("GET", &manifest(reference), &[("Host", "other.example.com")], b"").is(status);
        client.get(&manifest(reference)).is(status);
    }
    for (name, status) in [("b", 200), ("c", 403)] {
        for blob in [&b"{}"[..], b"layer"] {
            client.push_blob(name, &Digest::of(blob).to_string(), blob);
        }
        client.push_manifest(name, "1.0", media_type::MANIFEST, &image.bytes).is(201);
        client.get(&format!("/v2/{name}/manifests/1.0")).is(status);
    }
}

#[test]
fn a_tag_is_set_to_what_is_signed() {
    let (place, key, policy) = place();
    let pair = Pair::of(&place, &["--policy", &policy, "--policy-at", "push"]);
    let client = &pair.client;
    let image = Made::image("one", &[]);
    assert_eq!(image.push(client, "1.0").is(403).code(), "DENIED");
    client.get(&manifest(&image.digest())).is(404);
    image.push(client, &image.digest()).is(201);
    client.get(&manifest(&image.digest())).is(200);
    image.push(client, "1.0").is(403);
    client.get(&manifest("1.0")).is(404);
    attach(client, &signed(&image, &key), None);
    image.push(client, "1.0").is(201);
    // The signature may come first, and by its tag.
    let image = Made::image("two", &[]);
    let attachment = simple::sign(&image.descriptor, "anything/a", &key.key, &[]).unwrap();
    attach(client, &attachment, Some(&Tag::of_signatures(&image.descriptor.digest)));
    image.push(client, "2.0").is(201);
    client.get(&manifest("2.0")).is(200);
}

#[test]
fn a_policy_that_cannot_be_applied_accepts_nothing() {
    let (place, key, policy) = place();
    for wrong in ["", "[images]\nkeys = []\n", "[images]\nkeys = [\"none.pub\"]\n", "[other]\n", "{\"default\": []}"] {
        fs::write(place.dir.path().join("wrong"), wrong).unwrap();
        let mut command = place.command("serve");
        command
            .args(["--listen", "127.0.0.1:0", "--policy-host", "x.example.com", "--policy"])
            .arg(place.dir.path().join("wrong"));
        assert!(!command.output().unwrap().status.success(), "{wrong}");
    }
    let server = place.serve(&["--policy", &policy]);
    let client = Client::new(vec![server.host.clone()]);
    let image = Made::image("one", &[]);
    image.push(&client, "1.0").is(201);
    attach(&client, &signed(&image, &key), None);
    fs::write(&policy, "").unwrap();
    client.get(&manifest("1.0")).is(503);
    fs::write(&policy, "[images]\nkeys = [\"release.pub\"]\n").unwrap();
    client.get(&manifest("1.0")).is(200);
    // More beside it than anybody reads.
    let image = Made::image("two", &[]);
    image.push(&client, "2.0").is(201);
    let large = Attachment::builder(bundle::MEDIA_TYPE, &image.descriptor).layer(bundle::MEDIA_TYPE, vec![b' '; 9 << 20], []);
    attach(&client, &large.finish(), None);
    client.get(&manifest("2.0")).is(403);
    assert!(server.peak() < 64 << 10, "{} KiB", server.peak());
}

#[test]
#[ignore = "needs cosign, crane and skopeo"]
fn cosign_signs_between_a_push_by_digest_and_the_tag() {
    let (Some(cosign), Some(crane), Some(skopeo)) = (require("cosign"), require("crane"), require("skopeo")) else { return };
    let (place, _, policy) = place();
    let dir = place.dir.path();
    stdout(Command::new(&cosign).arg("generate-key-pair").env("COSIGN_PASSWORD", "").current_dir(dir));
    fs::rename(dir.join("cosign.pub"), dir.join("release.pub")).unwrap();
    let server = place.serve(&["--policy", &policy, "--policy-at", "pull,push", "--anonymous", "team/*"]);
    let token = stdout(place.alone("token").args(["--repo", "*", "--pull", "--push"]));
    let login = json!({"auths": {&server.host: {"auth": STANDARD.encode(format!("ci:{}", token.trim()))}}});
    fs::create_dir(dir.join("pusher")).unwrap();
    fs::write(dir.join("pusher/config.json"), login.to_string()).unwrap();
    let pusher = dir.join("pusher");
    let layout = format!("oci:{}/../../fixtures/layouts/v1:gzip", env!("CARGO_MANIFEST_DIR"));
    let raw = stdout(Command::new(&skopeo).args(["inspect", "--raw", &layout]));
    let image = format!("{}/team/greeter@{}", server.host, Digest::of(raw.as_bytes()));
    let copy = |to: &str| {
        let words = ["copy", "--all", "--preserve-digests", "--dest-tls-verify=false", "--dest-authfile"];
        Command::new(&skopeo).args(words).arg(pusher.join("config.json")).args([&layout, to]).output().unwrap().status.success()
    };
    assert!(!copy(&format!("docker://{}/team/greeter:1.0", server.host)), "it is not signed");
    assert!(copy(&format!("docker://{image}")));
    let flags = "--key cosign.key --tlog-upload=false --use-signing-config=false --yes --allow-http-registry";
    let mut sign = Command::new(&cosign);
    sign.arg("sign")
        .args(flags.split(' '))
        .arg(&image)
        .env("COSIGN_PASSWORD", "")
        .env("HOME", dir)
        .env("DOCKER_CONFIG", &pusher)
        .current_dir(dir);
    let outcome = sign.output().unwrap();
    assert!(outcome.status.success(), "{}", String::from_utf8_lossy(&outcome.stderr));
    stdout(Command::new(&crane).args(["tag", "--insecure", &image, "1.0"]).env("DOCKER_CONFIG", &pusher));
    stdout(
        Command::new(&crane)
            .args(["pull", "--insecure", "--platform", "linux/amd64", &format!("{}/team/greeter:1.0", server.host)])
            .arg(dir.join("x.tar")),
    );
}
