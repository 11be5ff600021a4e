//! Against Debian's docker-registry.

use std::process::Command;

use crate::hints::hint;
use plugin_oci::documents;
use plugin_oci::environment::Environment;
use plugin_oci::progress::{Outcome, Silent};
use plugin_oci::stores::copy;
use plugin_oci::stores::registry::{Client, Repository, Settings};
use plugin_oci::stores::{Selector, Source, read_document};
use plugin_oci::values::reference::RegistryReference;
use plugin_oci::values::tag::Tag;

use super::{client, password, pull, push, settings, tagged};
use crate::support::docker_registry::{DockerRegistry, USER};
use crate::support::sample::Sample;
use crate::support::tools;

#[test]
#[ignore = "needs docker-registry"]
fn what_is_pushed_is_pulled_with_the_same_digests_and_referrers() {
    let Some(registry) = DockerRegistry::start() else { return };
    let client = client();
    let reference = RegistryReference::parse(&format!("{}/plugins/greeter", registry.host)).unwrap();
    let sample = Sample::image("greeter", 300_000).with_referrer();
    let pushed =
        copy::copy(&sample, &Repository::new(&client, &reference).writing(), sample.root(), &tagged("1.0"), &Silent).unwrap();
    assert!(pushed.outcomes.values().all(|outcome| *outcome == Outcome::Copied), "{pushed:?}");
    assert_eq!(pushed.tags.len(), 1);

    let (_dir, layout) = pull(&client, &reference).unwrap();
    let source = Repository::new(&client, &reference);
    let root = source.resolve(&Selector::Tag("1.0".to_owned())).unwrap();
    assert_eq!((&root.digest, root.size), (&sample.root().digest, sample.root().size));
    let referrers = layout.referrers(&root.digest).unwrap();
    assert_eq!(referrers.len(), 1);
    assert_eq!(referrers[0].artifact_type.as_deref(), Some("application/spdx+json"));
    for blob in layout.blobs().unwrap() {
        assert!(pushed.outcomes.contains_key(&blob), "{blob} came from nowhere");
    }
    assert_eq!(source.tag_names().unwrap(), ["1.0".parse().unwrap(), Tag::of_referrers(&root.digest)]);
}

#[test]
#[ignore = "needs docker-registry"]
fn a_second_push_sends_no_blob_and_moves_no_tag() {
    let Some(registry) = DockerRegistry::start() else { return };
    let reference = RegistryReference::parse(&format!("{}/twice", registry.host)).unwrap();
    let sample = Sample::image("twice", 50_000).with_referrer();
    push(&client(), &sample, &reference).unwrap();
    let (uploads, writes) = (registry.uploads(), registry.requests(&["\"PUT "]).len());
    assert!(uploads >= sample.layers_and_configs().len());
    let second = push(&client(), &sample, &reference).unwrap();
    assert_eq!((registry.uploads(), registry.requests(&["\"PUT "]).len()), (uploads, writes));
    assert!(second.outcomes.values().all(|outcome| *outcome == Outcome::Present), "{second:?}");
    assert!(second.tags.is_empty() && second.bytes == 0);
}

#[test]
#[ignore = "needs docker-registry"]
fn a_blob_of_another_repository_is_mounted_without_its_bytes() {
    let Some(registry) = DockerRegistry::start() else { return };
    let client = client();
    let sample = Sample::image("mounted", 50_000);
    let first = RegistryReference::parse(&format!("{}/one", registry.host)).unwrap();
    push(&client, &sample, &first).unwrap();
    let uploads = registry.uploads();
    let second = RegistryReference::parse(&format!("{}/two/deep", registry.host)).unwrap();
    let source = Repository::new(&client, &first);
    let report =
        copy::copy(&source, &Repository::new(&client, &second).writing(), sample.root(), &tagged("1.0"), &Silent).unwrap();
    assert_eq!(registry.uploads(), uploads);
    let mounted = report.outcomes.values().filter(|outcome| **outcome == Outcome::Mounted).count();
    assert_eq!(mounted, sample.layers_and_configs().len());
}

#[test]
#[ignore = "needs docker-registry"]
fn a_password_opens_a_protected_registry_and_its_absence_is_told_with_a_hint() {
    let Some(registry) = DockerRegistry::protected() else { return };
    let reference = RegistryReference::parse(&format!("{}/locked", registry.host)).unwrap();
    let sample = Sample::image("locked", 1000);
    let error = push(&client(), &sample, &reference).unwrap_err();
    assert!(error.to_string().contains("was denied (401"), "{error}");
    assert!(hint(error.inner()).unwrap().contains(&format!("login {}", registry.host)), "{:?}", hint(error.inner()));

    let error = client().offering(&registry.host, password(USER.0, "hunter2")).check_login(&registry.host).unwrap_err();
    assert!(!format!("{error:?} {error}").contains("hunter2"));

    let known = client().offering(&registry.host, password(USER.0, USER.1));
    known.check_login(&registry.host).unwrap();
    push(&known, &sample, &reference).unwrap();
}

#[test]
#[ignore = "needs skopeo"]
fn skopeo_and_this_tool_read_each_other_in_the_same_registry() {
    let (Some(registry), Some(skopeo)) = (DockerRegistry::start(), tools::require("skopeo")) else { return };
    let client = client();
    let ours = RegistryReference::parse(&format!("{}/ours", registry.host)).unwrap();
    let sample = Sample::image("ours", 10_000);
    push(&client, &sample, &ours).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let layout = format!("oci:{}:1.0", dir.path().display());
    let theirs = RegistryReference::parse(&format!("{}/theirs", registry.host)).unwrap();
    let skopeo = |from: &str, to: &str| {
        let mut command = Command::new(&skopeo);
        command.args(["copy", "-q", "--all", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false"]);
        tools::stdout(command.arg("--insecure-policy").args([from, to]))
    };
    skopeo(&format!("docker://{}:1.0", ours.name()), &layout);
    skopeo(&layout, &format!("docker://{}:1.0", theirs.name()));
    let back = Repository::new(&client, &theirs).resolve(&Selector::Tag("1.0".to_owned())).unwrap();
    assert_eq!(back.digest, sample.root().digest);
    let (_, bytes) = read_document(&Repository::new(&client, &theirs), &back).unwrap();
    assert_eq!(bytes.len() as u64, back.size);
    assert!(documents::media_type::is_index(&back.media_type));
}

#[test]
#[ignore = "needs openssl"]
fn a_registry_with_its_own_authority_is_trusted_when_that_is_named_and_not_before() {
    let Some(openssl) = tools::require("openssl") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let mut command = Command::new(openssl);
    command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=test registry"]);
    command.args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]);
    tools::stdout(command.arg("-keyout").arg(&key).arg("-out").arg(&certificate));
    let Some(registry) = DockerRegistry::encrypted(&certificate, &key) else { return };
    let reference = RegistryReference::parse(&format!("{}/tls", registry.host)).unwrap();
    let sample = Sample::image("tls", 200_000);

    let error = push(&client(), &sample, &reference).unwrap_err();
    assert!(error.to_string().contains("TLS failed"), "{error}");
    assert!(hint(error.inner()).unwrap().contains("--tls-ca"));
    // It is never talked to without encryption instead.
    assert!(registry.requests(&["HTTP/1.1"]).is_empty());

    let settings = Settings { authorities: vec![certificate.clone()], ..settings() };
    let named = Client::new(settings, &Environment::default(), &Silent);
    push(&named, &sample, &reference).unwrap();
    pull(&named, &reference).unwrap();

    let variable = Environment::new([("SSL_CERT_FILE".into(), certificate.into())], "/");
    pull(&Client::new(super::settings(), &variable, &Silent), &reference).unwrap();
}
