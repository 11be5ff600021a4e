//! Against a real registry that has the referrers API, through the program.

use std::path::Path;
use std::process::Command;

use plugin_oci::stores::layout::Layout;
use serde_json::Value;

use crate::support::ferro_registry::FerroRegistry;
use crate::support::program::done;
use crate::support::project::Project;
use crate::support::sample::Sample;
use crate::support::tools;

/// What `inspect` says of an image: all its digests, those of its attachments included.
fn inspected(dir: &Path, image: &str) -> Value {
    let printed = done(dir, &["inspect", "--no-files", "--message-format", "json", image]);
    serde_json::from_str(printed.lines().last().unwrap()).unwrap()
}

fn attachments(image: &Value) -> Vec<&str> {
    image["attachments"].as_array().unwrap().iter().map(|one| one["artifact_type"].as_str().unwrap()).collect()
}

/// The first word of each line of `ls`.
fn tags(dir: &Path, store: &str) -> Vec<String> {
    done(dir, &["ls", store]).lines().filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
}

/// The referrers API was asked and answered, and the tag that stands in for it was neither read nor written.
fn assert_the_api_served(registry: &FerroRegistry) {
    let asked = registry.requests("GET", "/referrers/sha256:");
    assert!(!asked.is_empty() && asked.iter().all(|seen| seen.status == 200), "{asked:?}");
    assert_eq!(registry.requests("GET HEAD PUT", "/manifests/sha256-").len(), 0);
}

#[test]
fn a_plugin_is_pushed_copied_and_pulled_with_its_contract_and_provenance() {
    let registry = FerroRegistry::start();
    let project = Project::router_plugin("");
    let dir = project.root.as_path();
    let first = format!("{}/plugins/p", registry.host);
    let built = done(dir, &["build", "-q", "--provenance", "--push", &first]);
    let local = inspected(dir, built.lines().next().unwrap());
    assert_eq!(attachments(&local).len(), 3, "contract, SBOM and provenance: {local}");
    let remote = inspected(dir, &format!("docker://{first}:0.1.0"));
    assert_eq!(remote["digest"], local["digest"]);
    assert_eq!(remote["attachments"], local["attachments"]);
    assert_eq!(tags(dir, &format!("docker://{first}")), ["0.1.0"], "no tag stands in for the API");

    let sent = registry.blob_bytes();
    let (second, bare) = (format!("docker://{}/copied", registry.host), format!("docker://{}/bare", registry.host));
    done(dir, &["copy", &format!("docker://{first}:0.1.0"), &format!("{second}:2")]);
    done(dir, &["copy", "--no-referrers", &format!("docker://{first}:0.1.0"), &format!("{bare}:3")]);
    assert_eq!(registry.blob_bytes(), sent, "this registry's repositories share their blobs");
    let copied = inspected(dir, &format!("{second}:2"));
    assert_eq!((&copied["digest"], &copied["attachments"]), (&local["digest"], &local["attachments"]));
    let left = inspected(dir, &format!("{bare}:3"));
    assert_eq!((&left["digest"], attachments(&left).len()), (&local["digest"], 0));

    done(dir, &["pull", &format!("{}/copied:2", registry.host), "pulled"]);
    let pulled = inspected(dir, "oci:pulled:2");
    assert_eq!((&pulled["digest"], &pulled["attachments"]), (&local["digest"], &local["attachments"]));
    done(dir, &["pull", "--no-referrers", &format!("{first}:0.1.0"), "without"]);
    assert_eq!(attachments(&inspected(dir, "oci:without:0.1.0")).len(), 0);
    done(dir, &["verify", "oci:pulled"]);
    assert_the_api_served(&registry);
}

#[test]
fn a_second_push_sends_no_byte_of_a_blob_and_writes_no_manifest() {
    let registry = FerroRegistry::start();
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let sample = Sample::image("twice", 50_000).with_referrer();
    sample.to_layout(&dir.join("image"));
    let repository = format!("{}/twice", registry.host);
    done(dir, &["push", "oci:image", &repository]);
    let writes = || registry.requests("POST PATCH PUT", "/v2/twice/").len();
    let (sent, written) = (registry.blob_bytes(), writes());
    // Three layers, and what is small.
    assert!((150_000..152_000).contains(&sent), "{sent}");
    assert_eq!(done(dir, &["push", "oci:image", &repository]).trim_end(), format!("{repository}@{}", sample.root().digest));
    assert_eq!((registry.blob_bytes(), writes()), (sent, written));
    assert_the_api_served(&registry);
}

#[test]
fn a_referrer_that_comes_later_joins_those_that_are_there() {
    let registry = FerroRegistry::start();
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    Sample::image("later", 1000).to_layout(&dir.join("without"));
    Sample::image("later", 1000).with_referrer().to_layout(&dir.join("with"));
    let repository = format!("{}/later", registry.host);
    let remote = format!("docker://{repository}:1.0");
    done(dir, &["push", "oci:without", &repository]);
    assert_eq!(attachments(&inspected(dir, &remote)).len(), 0);
    for _ in 0..2 {
        done(dir, &["push", "oci:with", &repository]);
        assert_eq!(attachments(&inspected(dir, &remote)), ["application/spdx+json"]);
    }
    assert_the_api_served(&registry);
}

#[test]
fn all_tags_come_and_go_with_what_refers_to_each() {
    let registry = FerroRegistry::start();
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    for (name, size) in [("one", 1000), ("two", 2000)] {
        Sample::image("all", size).with_referrer().to_layout(&dir.join(name));
        done(dir, &["push", &format!("oci:{name}"), &format!("{}/all:{name}", registry.host)]);
    }
    let all = format!("docker://{}/all", registry.host);
    done(dir, &["copy", "--all", &all, "oci:layout"]);
    assert_eq!(tags(dir, "oci:layout"), ["one", "two"]);
    done(dir, &["copy", "--all", "oci:layout", &format!("docker://{}/again", registry.host)]);
    done(dir, &["copy", "--all", &all, &format!("docker://{}/third", registry.host)]);
    for repository in ["all", "again", "third"] {
        let store = format!("docker://{}/{repository}", registry.host);
        assert_eq!(tags(dir, &store), ["one", "two"]);
        for name in ["one", "two"] {
            let (wanted, found) = (inspected(dir, &format!("oci:{name}:1.0")), inspected(dir, &format!("{store}:{name}")));
            assert_eq!((&found["digest"], &found["attachments"]), (&wanted["digest"], &wanted["attachments"]));
        }
    }
    assert_the_api_served(&registry);
}

#[test]
fn a_blob_goes_in_one_request_or_in_as_many_as_a_limit_makes_it() {
    const LARGEST: usize = 100_000;
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let sample = Sample::image("parts", 400_000).with_referrer();
    sample.to_layout(&dir.join("image"));
    // The empty descriptor's `{}` is there without being sent.
    let sent = sample.layers_and_configs().len() - 1;
    let (free, limited) = (FerroRegistry::start(), FerroRegistry::limited(LARGEST));
    for registry in [&free, &limited] {
        done(dir, &["push", "oci:image", &format!("{}/parts", registry.host)]);
        let to = format!("pulled-{}", registry.host.replace(':', "-"));
        done(dir, &["pull", &format!("{}/parts:1.0", registry.host), &to]);
        let blobs = |name: &str| Layout::open(&dir.join(name)).unwrap().blobs().unwrap();
        assert_eq!(blobs(&to), blobs("image"));
        assert_the_api_served(registry);
    }
    let monolithic = free.requests("PUT", "/blobs/uploads/");
    assert_eq!(monolithic.iter().filter(|seen| seen.bytes > 0 && seen.status == 201).count(), sent);
    assert_eq!(free.requests("PATCH", "/").len(), 0);

    assert_eq!(limited.blob_bytes(), free.blob_bytes());
    let (large, refused): (Vec<_>, Vec<_>) =
        limited.requests("PATCH PUT", "/blobs/uploads/").into_iter().partition(|seen| seen.status != 413);
    assert!(!refused.is_empty() && refused.iter().all(|seen| seen.bytes > LARGEST), "{refused:?}");
    assert!(large.iter().all(|seen| seen.bytes <= LARGEST && [201, 202].contains(&seen.status)), "{large:?}");
    assert!(limited.requests("PATCH", "/blobs/uploads/").len() >= 3 * 4, "three layers of more than four parts each");
}

#[test]
#[ignore = "needs skopeo"]
fn skopeo_takes_our_images_from_there_and_brings_them_back_with_the_same_digests() {
    let Some(skopeo) = tools::require("skopeo") else { return };
    // Two: within one registry it would find every blob in place.
    let (from, to) = (FerroRegistry::start(), FerroRegistry::start());
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let sample = Sample::image("ours", 20_000).with_referrer();
    sample.to_layout(&dir.join("image"));
    done(dir, &["push", "oci:image", &format!("{}/ours", from.host)]);
    let ours = format!("docker://{}/ours:1.0", from.host);
    let (theirs, direct) = (format!("docker://{}/theirs:1.0", to.host), format!("docker://{}/direct:1.0", to.host));
    for (from, to) in [(ours.as_str(), "oci:theirs:1.0"), ("oci:theirs:1.0", &theirs), (&ours, &direct)] {
        let mut command = Command::new(&skopeo);
        command.current_dir(dir).args(["--insecure-policy", "copy", "-q", "--all", "--preserve-digests"]);
        tools::stdout(command.args(["--src-tls-verify=false", "--dest-tls-verify=false", from, to]));
        let (from, to) = (inspected(dir, from), inspected(dir, to));
        assert_eq!((&to["digest"], &to["platforms"]), (&from["digest"], &from["platforms"]));
    }
    // It leaves referrers behind; what it brought is ours to the last blob.
    done(dir, &["pull", "--no-referrers", &format!("{}/ours:1.0", from.host), "from-ours"]);
    let blobs = |name: &str| Layout::open(&dir.join(name)).unwrap().blobs().unwrap();
    for name in ["theirs", "direct"] {
        done(dir, &["pull", &format!("{}/{name}:1.0", to.host), &format!("from-{name}")]);
        assert_eq!(blobs(&format!("from-{name}")), blobs("from-ours"), "{name}");
    }
}
