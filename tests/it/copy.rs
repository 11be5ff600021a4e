//! `copy`, `push` and `pull`, as a user types them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use plugin_oci::fs::sorted_listing;
use plugin_oci::stores::layout::Layout;
use plugin_oci::stores::open::source;
use plugin_oci::stores::{Selector, Source};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::reference::Reference;

use crate::support::docker_registry::DockerRegistry;
use crate::support::http_server::Answer;
use crate::support::memory_registry::{MemoryRegistry, Quirks};
use crate::support::program::{done, plugin_build, ran, run};
use crate::support::sample::Sample;
use crate::support::tools;

/// Runs what must fail with this exit code; its stderr.
fn refused(dir: &Path, code: i32, arguments: &[&str]) -> String {
    let run = run(dir, arguments);
    assert_eq!((run.code, run.stdout.as_str()), (code, ""), "{arguments:?}: {}", run.stderr);
    run.stderr
}

fn tags(dir: &Path, reference: &str) -> BTreeMap<String, Digest> {
    let path = reference.replacen(':', &format!(":{}/", dir.display()), 1);
    let store = source(&path.parse::<Reference>().unwrap()).unwrap();
    store.tags().unwrap().into_iter().map(|tagged| (tagged.tag, tagged.root.digest)).collect()
}

#[test]
#[ignore = "needs docker-registry"]
fn every_store_copies_to_every_store_with_the_same_digests() {
    let Some(registry) = DockerRegistry::start() else { return };
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let sample = Sample::image("nine", 40_000).with_referrer();
    sample.to_layout(&dir.join("start"));
    let digest = sample.root().digest.to_string();
    let kinds =
        |name: &str| [format!("oci:{name}"), format!("oci-archive:{name}.tar"), format!("docker://{}/{name}", registry.host)];
    for (kind, first) in kinds("first").into_iter().enumerate() {
        let first = format!("{first}:1.0");
        done(dir, &["copy", "oci:start:1.0", &first]);
        for second in kinds(&format!("second{kind}")) {
            let second = format!("{second}:2.0");
            let printed = done(dir, &["copy", &first, &second]);
            let wanted = match second.strip_prefix("docker://") {
                Some(name) => format!("{}@{digest}", name.trim_end_matches(":2.0")),
                None => second.clone(),
            };
            assert_eq!(printed.trim_end(), wanted);
            let end = format!("oci:end{kind}{}", second.len());
            done(dir, &["copy", &second, &format!("{end}:1.0")]);
            let path = dir.join(end.trim_start_matches("oci:"));
            let layout = Layout::open(&path).unwrap();
            assert_eq!(layout.blobs().unwrap(), Layout::open(&dir.join("start")).unwrap().blobs().unwrap(), "{first} {second}");
            assert_eq!(layout.referrers(&sample.root().digest).unwrap().len(), 1);
        }
    }
}

#[test]
fn several_sources_join_by_name_and_part_again_below_a_prefix() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let (one, two) = (Sample::image("one", 1000), Sample::image("two", 1000));
    one.to_layout(&dir.join("one"));
    two.to_layout(&dir.join("two"));
    done(dir, &["copy", "oci:one", "--no-clobber", "oci:two", "oci-archive:joined.tar"]);
    let joined = tags(dir, "oci-archive:joined.tar");
    assert_eq!(joined.keys().collect::<Vec<_>>(), ["one:1.0", "two:1.0"]);
    assert_eq!(joined["two:1.0"], two.root().digest);

    let registry = MemoryRegistry::honest();
    let host = registry.server.host();
    let error = refused(dir, 2, &["copy", "--all", "oci-archive:joined.tar", &format!("docker://{host}/team/plugins")]);
    assert!(error.contains("several names: one, two") && error.contains("slash"), "{error}");
    let printed = done(dir, &["copy", "--all", "oci-archive:joined.tar", &format!("docker://{host}/team/plugins/")]);
    let wanted =
        [format!("{host}/team/plugins/one@{}", one.root().digest), format!("{host}/team/plugins/two@{}", two.root().digest)];
    assert_eq!(printed.lines().collect::<Vec<_>>(), wanted);
    assert_eq!(registry.memory.tag("team/plugins/one", "1.0").as_ref(), Some(&one.root().digest));
    // One of the joined images has a plain tag again.
    done(dir, &["copy", "oci-archive:joined.tar:two:1.0", &format!("docker://{host}/lone")]);
    assert_eq!(registry.memory.tag("lone", "1.0").as_ref(), Some(&two.root().digest));
}

#[test]
#[ignore = "needs docker-registry"]
fn all_tags_go_and_referrer_lists_are_no_images() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let Some(registry) = DockerRegistry::start() else { return };
    let sample = Sample::image("all", 1000).with_referrer();
    sample.to_layout(&dir.join("a"));
    let repository = format!("docker://{}/all", registry.host);
    for tag in ["1.0", "2.0", "latest"] {
        done(dir, &["push", "oci:a", &format!("{}:{tag}", repository.trim_start_matches("docker://"))]);
    }
    done(dir, &["copy", "--all", &repository, "oci:b"]);
    assert_eq!(tags(dir, "oci:b").into_keys().collect::<Vec<_>>(), ["1.0", "2.0", "latest"]);
    // Every tag that the image has goes along with it.
    done(dir, &["push", "oci:b", &format!("{}/again", registry.host)]);
    done(dir, &["copy", "--all", &format!("docker://{}/again", registry.host), "oci:c"]);
    assert_eq!(tags(dir, "oci:c"), tags(dir, "oci:b"));
}

#[test]
fn a_platform_is_taken_out_as_it_is_and_merged_back_to_the_same_digest() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let whole = Sample::image("merge", 1000);
    whole.to_layout(&dir.join("whole"));
    Sample::of_platform("merge", "linux/arm64", 1000).to_layout(&dir.join("arm64"));
    Sample::of_platform("merge", "linux/amd64", 1000).to_layout(&dir.join("amd64"));
    done(dir, &["copy", "--into-index", "oci:arm64", "oci:amd64", "oci:merged"]);
    assert_eq!(tags(dir, "oci:merged")["1.0"], whole.root().digest);

    done(dir, &["copy", "--platform", "linux/arm64", "oci:whole", "oci:lone"]);
    let lone = tags(dir, "oci:lone")["1.0"].clone();
    assert!(Layout::open(&dir.join("lone")).unwrap().blobs().unwrap().len() == 4);
    assert!(Layout::open(&dir.join("whole")).unwrap().blobs().unwrap().contains(&lone));
    let error = refused(dir, 1, &["copy", "--platform", "linux/s390x", "oci:whole", "oci:none"]);
    assert!(error.contains("linux/s390x") && error.contains("linux/amd64"), "{error}");

    Sample::of_platform("other", "linux/arm64", 1000).to_layout(&dir.join("other"));
    let error = refused(dir, 2, &["copy", "--into-index", "oci:amd64", "oci:other", "oci:bad"]);
    assert!(error.contains("`dev.cargo-plugin-build.name`"), "{error}");
    Sample::of_platform("merge", "linux/arm64", 999).to_layout(&dir.join("changed"));
    let error = refused(dir, 2, &["copy", "--into-index", "oci:arm64", "oci:changed", "oci:bad"]);
    assert!(error.contains("two sources have an image for linux/arm64"), "{error}");
    assert!(!dir.join("bad").exists() && !dir.join("none").exists());
}

#[test]
fn a_delta_holds_what_the_other_side_lacks_and_goes_nowhere_else() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let (base, new) = (Sample::image("delta", 60_000), Sample::of_platform("delta", "linux/amd64", 60_000));
    base.to_layout(&dir.join("there"));
    new.to_layout(&dir.join("here"));
    Sample::image("news", 2000).to_layout(&dir.join("here-too"));
    let size = |name: &str| std::fs::metadata(dir.join(name)).unwrap().len();
    done(dir, &["copy", "oci:here", "oci-archive:full.tar"]);
    done(dir, &["copy", "--have", "there", "oci:here:1.0", "oci-archive:delta.tar:new"]);
    assert!(size("full.tar") > 120_000 && size("delta.tar") < 10_000, "{}", size("delta.tar"));
    // A list of digests, as a listing gives them.
    let list: Vec<String> = base.layers_and_configs().iter().map(|digest| format!("{digest}  17")).collect();
    std::fs::write(dir.join("list"), format!("# there\n\n{}\n", list.join("\n"))).unwrap();
    done(dir, &["copy", "--have", "list", "oci:here:1.0", "oci-archive:delta2.tar:new"]);
    assert_eq!(std::fs::read(dir.join("delta.tar")).unwrap(), std::fs::read(dir.join("delta2.tar")).unwrap());

    done(dir, &["copy", "oci-archive:delta.tar", "oci:there"]);
    assert_eq!(tags(dir, "oci:there")["new"], new.root().digest);
    let before = std::fs::read(dir.join("here-too/index.json")).unwrap();
    let error = refused(dir, 1, &["copy", "oci-archive:delta.tar", "oci:here-too"]);
    assert!(error.contains("lacks blob"), "{error}");
    assert_eq!(std::fs::read(dir.join("here-too/index.json")).unwrap(), before);
    assert!(refused(dir, 1, &["copy", "oci-archive:delta.tar", "oci:nowhere"]).contains("lacks blob"));

    std::fs::write(dir.join("list"), "sha256:short\n").unwrap();
    assert!(refused(dir, 2, &["copy", "--have", "list", "oci:here", "oci:x"]).contains("line 1 of `list`"));
    let error = refused(dir, 2, &["copy", "--have", "there", "oci:here", "docker://localhost:1/x"]);
    assert!(error.contains("not into a registry"), "{error}");
}

#[test]
fn a_pull_by_digest_needs_no_tag_and_a_tag_does_not_move_when_told() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let registry = MemoryRegistry::honest();
    let repository = format!("{}/pull", registry.server.host());
    let (old, new) = (Sample::image("old", 1000), Sample::image("new", 1000));
    old.to_layout(&dir.join("old"));
    new.to_layout(&dir.join("new"));
    let printed = done(dir, &["push", "oci:old", &repository]);
    assert_eq!(printed.trim_end(), format!("{repository}@{}", old.root().digest));
    let by_digest = format!("{repository}@{}", old.root().digest);
    assert_eq!(done(dir, &["pull", &by_digest, "pulled"]).trim_end(), format!("oci:pulled@{}", old.root().digest));
    let layout = Layout::open(&dir.join("pulled")).unwrap();
    assert_eq!(layout.resolve(&Selector::Only).unwrap().digest, old.root().digest);

    let posts = registry.memory.count("POST", "/");
    let error = refused(dir, 1, &["push", "--no-clobber", "oci:new", &repository]);
    assert!(error.contains("tag `1.0`") && error.contains("already names"), "{error}");
    assert_eq!(registry.memory.count("POST", "/"), posts);
    let error = refused(dir, 1, &["copy", "--no-clobber", "oci:new", "oci:old"]);
    assert!(error.contains("tag `1.0`"), "{error}");
    // Without the word it moves, and that is told.
    let moved = run(dir, &["push", "oci:new", &repository]);
    let short = |sample: &Sample| sample.root().digest.short().to_owned();
    assert!(moved.stderr.contains(&short(&old)) && moved.stderr.contains(&short(&new)), "{}", moved.stderr);
}

#[test]
fn what_cannot_mean_one_thing_is_a_usage_error() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    Sample::image("one", 100).to_layout(&dir.join("one"));
    Sample::image("two", 100).to_layout(&dir.join("two"));
    done(dir, &["copy", "oci:one", "oci:both:a"]);
    done(dir, &["copy", "oci:two", "oci:both:b"]);
    for (arguments, said) in [
        (&["copy", "oci:both", "oci:x"][..], "2 tags and none was named"),
        (&["copy", "--all", "oci:both:a", "oci:x"], "takes every tag"),
        (&["copy", "oci:one", "oci:two", "oci:x:tag"], "names one tag, and 2 images"),
        (&["copy", "--all", "--platform", "linux/amd64", "oci:one", "oci:x"], "cannot be given together"),
        (&["copy", "--into-index", "--platform", "linux/amd64", "oci:one", "oci:x"], "cannot be given together"),
        (&["copy", "none", "oci:x"], "names no image"),
        (&["copy", "oci:one"], ""),
        (&["push", "oci:one"], "no repository"),
        (&["push", "oci:one", "oci:two"], "is no repository"),
        (&["pull", "localhost:1/UPPER", "x"], "not a repository reference"),
        (&["pull", "localhost:1/x", "a:b"], "has a `:`"),
        (&["pull", "oci:one", "h.example/x"], "a directory is wanted there"),
    ] {
        let error = refused(dir, 2, arguments);
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
    let digest = Sample::image("one", 100).root().digest.clone();
    assert!(refused(dir, 2, &["copy", "oci:one", &format!("oci:x@{digest}")]).contains("by tag, not by digest"));
    assert!(!dir.join("x").exists());
}

#[test]
fn results_are_json_objects_when_asked() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let sample = Sample::image("json", 100);
    sample.to_layout(&dir.join("a"));
    let printed = done(dir, &["copy", "--message-format", "json", "oci:a", "oci:b"]);
    let objects: Vec<serde_json::Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let result = objects.iter().find(|object| object["reason"] == "copied").unwrap();
    assert_eq!(result["schema"], 1);
    assert_eq!(result["digest"], sample.root().digest.to_string());
    assert_eq!((&result["image"], &result["tags"][0]), (&"oci:b:1.0".into(), &"1.0".into()));
}

#[test]
fn what_sources_share_is_counted_once() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let sample = Sample::image("shared", 1000);
    sample.to_layout(&dir.join("one"));
    done(dir, &["copy", "oci:one:1.0", "oci:two:2.0"]);
    let run = run(dir, &["copy", "oci:one", "oci:two", "oci:both"]);
    assert_eq!(run.stdout, "oci:both:1.0\n");
    assert!(run.stderr.contains("Finished 8 new") && !run.stderr.contains("there already"), "{}", run.stderr);
    assert_eq!(tags(dir, "oci:both").into_keys().collect::<Vec<_>>(), ["1.0", "2.0"]);
    // Two images with something in common.
    done(dir, &["copy", "--platform", "linux/amd64", "oci:one", "oci:part:3.0"]);
    let run = ran(plugin_build(dir).args(["copy", "oci:one", "oci:part", "oci:third"]));
    assert!(run.stderr.contains("Finished 8 new") && !run.stderr.contains("there already"), "{}", run.stderr);
}

#[test]
#[ignore = "needs docker-registry"]
fn several_repositories_of_one_registry_get_each_blob_once() {
    let Some(registry) = DockerRegistry::start() else { return };
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let sample = Sample::image("several", 40_000);
    sample.to_layout(&dir.join("image"));
    let digest = sample.root().digest.to_string();
    let repositories = ["one", "two:latest", "deep/three:9"].map(|name| format!("{}/{name}", registry.host));
    let mut arguments = vec!["push", "oci:image"];
    arguments.extend(repositories.iter().map(String::as_str));
    let printed = done(dir, &arguments);
    assert_eq!(registry.uploads(), sample.layers_and_configs().len(), "two of the three are mounted");
    assert_eq!(printed.lines().count(), 3);
    for (name, tag) in [("one", "1.0"), ("two", "latest"), ("deep/three", "9")] {
        assert!(printed.contains(&format!("{}/{name}@{digest}\n", registry.host)), "{printed}");
        done(dir, &["pull", &format!("{}/{name}:{tag}", registry.host), &format!("pulled-{tag}")]);
        assert_eq!(tags(dir, &format!("oci:pulled-{tag}"))[tag], sample.root().digest);
    }
}

/// What a person sees who waits: total, rate and time left of each blob, and none of them made up.
#[test]
#[ignore = "needs script"]
fn a_slow_blob_shows_its_total_its_rate_and_the_time_left_on_a_terminal() {
    let Some(script) = tools::require("script") else { return };
    let registry = MemoryRegistry::scripted(Quirks::default(), |request, memory| {
        let digest = request.path.rsplit('/').next()?.parse().ok()?;
        let content = memory.blob(&digest).filter(|_| request.is("GET", "/blobs/"))?;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len());
        Some(Answer::Slow([head.as_bytes(), &content].concat()))
    });
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    Sample::of_platform("slow", "linux/amd64", 4_000_000).to_layout(&dir.join("image"));
    done(dir, &["push", "oci:image", &format!("{}/r", registry.server.host())]);
    let pull = format!("{} pull {}/r:1.0 layout", env!("CARGO_BIN_EXE_cargo-plugin-build"), registry.server.host());
    let mut command = plugin_build(dir);
    let environment: Vec<_> = command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
    command = Command::new(script);
    command.current_dir(dir).env_clear().envs(environment).env("TERM", "xterm");
    let shown = tools::stdout(command.args(["-q", "-e", "-c", &format!("stty cols 120 rows 24 && {pull}"), "typescript"]));
    let frames: Vec<&str> = shown.split("Pulling").filter(|frame| frame.contains(" eta ")).collect();
    assert!(frames.len() > 20, "{shown}");
    for frame in frames {
        assert!(frame.contains("/3.81 MiB "), "the total: {frame}");
        let (rate, left) = frame.split_once("MiB ").unwrap().1.split_once("/s eta ").unwrap();
        let (number, unit) = rate.split_once(' ').unwrap();
        let rate: f64 = number.parse::<f64>().unwrap() * if unit == "MiB" { 1.0 } else { 1.0 / 1024.0 };
        assert!((0.2..4.0).contains(&rate) && unit != "GiB", "about 1.5 MB a second: {frame}");
        assert!(left.starts_with(|first: char| first.is_ascii_digit()), "{frame}");
    }
}

#[test]
fn a_copy_that_fails_leaves_no_new_directory_and_keeps_one_that_was_there() {
    let scene = tempfile::tempdir().unwrap();
    let dir = scene.path();
    let sample = Sample::image("torn", 100_000);
    sample.to_layout(&dir.join("torn"));
    for digest in sample.layers_and_configs() {
        let blob = Layout::open(&dir.join("torn")).unwrap().blob_path(&digest);
        let mut bytes = std::fs::read(&blob).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&blob, bytes).unwrap();
    }
    std::fs::create_dir(dir.join("there")).unwrap();
    for target in ["new", "there"] {
        refused(dir, 1, &["copy", "oci:torn", &format!("oci:{target}")]);
    }
    assert!(!dir.join("new").exists());
    assert!(sorted_listing(&dir.join("there")).unwrap().is_empty());
}
