//! `router set`: the execution configuration of a router, and nothing in it but the images of its plugins.
//!
//! `fixtures/execution/wgc-0.112.7.json` is what `wgc router compose` 0.112.7 writes for the plugin beside it,
//! with line breaks.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::memory_registry::MemoryRegistry;
use crate::support::program::{self, Ran, plugin_build, ran};
use crate::support::project::Project;
use crate::support::wgc::template;

const SAMPLE: &str = include_str!("../../fixtures/execution/wgc-0.112.7.json");

/// A registry with the plugin `hello`, and a directory with a configuration.
pub struct Scene {
    registry: MemoryRegistry,
    project: Project,
    config: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let project = template();
        let config = project.root.join("router/config.json");
        project.write("router/config.json", SAMPLE);
        Self { registry: MemoryRegistry::honest(), project, config }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        program::run(&self.project.root, arguments)
    }

    fn done(&self, arguments: &[&str]) -> String {
        program::done(&self.project.root, arguments)
    }

    fn repository(&self) -> String {
        format!("{}/plugins/hello", self.registry.server.host())
    }

    /// Builds with a version and pushes; the image with its digest, as `push` prints it.
    fn push(&self, version: &str) -> String {
        let manifest = fs::read_to_string(self.project.root.join("Cargo.toml")).unwrap();
        let mut lines: Vec<&str> = manifest.lines().collect();
        let line = format!("version = \"{version}\"");
        lines[2] = &line;
        self.project.write("Cargo.toml", &(lines.join("\n") + "\n"));
        self.done(&["build", "-q", "-o", "out"]);
        self.done(&["push", &format!("oci:out:{version}"), &self.repository()]).trim().to_owned()
    }

    fn set(&self, arguments: &[&str]) -> Ran {
        let words: Vec<&str> = ["router", "set", "router/config.json"].iter().chain(arguments).copied().collect();
        self.run(&words)
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.config).unwrap()
    }

    /// Names in the configuration's directory.
    fn names(&self) -> Vec<String> {
        let names = plugin_oci::fs::sorted_listing(self.config.parent().unwrap()).unwrap();
        names.into_iter().map(|name| name.into_string().unwrap()).collect()
    }
}

/// The sample as it is when it names an image.
fn named(text: &str, version: &str, image: &str) -> String {
    let hex = image.rsplit(':').next().unwrap();
    let gap = "\n                            ";
    let reference = format!("{{\"repository\": \"plugins/hello@sha256\", \"reference\": \"{hex}\"}}");
    text.replace("\"version\": \"0.1.0\"", &format!("\"version\": \"{version}\",{gap}\"imageReference\": {reference}"))
}

/// The line with the result; the others tell of progress.
fn result(ran: &Ran) -> Value {
    let mut lines = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.find(|line| line["reason"] == "router-plugin").unwrap()
}

fn plugin_of(config: &Value) -> &Value {
    &config["engineConfig"]["datasourceConfigurations"][0]["customGraphql"]["grpc"]["plugin"]
}

#[test]
fn the_image_is_named_by_digest_and_nothing_else_changes() {
    let scene = Scene::new();
    let first = scene.push("0.1.0");
    let tagged = format!("hello={}:0.1.0", scene.repository());
    let ran = scene.set(&[&tagged]);
    assert_eq!((ran.code, ran.stdout.trim()), (0, format!("hello {first}").as_str()), "{}", ran.stderr);
    assert_eq!(scene.text(), named(SAMPLE, "0.1.0", &first));

    let before = fs::metadata(&scene.config).unwrap();
    let again = scene.set(&[&tagged]);
    assert!(again.code == 0 && again.stderr.contains("Unchanged"), "{}", again.stderr);
    assert_eq!(fs::metadata(&scene.config).unwrap().ino(), before.ino(), "a file that is right already stays");

    let second = scene.push("0.2.0");
    let bare = format!("docker://{}:0.2.0", scene.repository());
    let ran = scene.set(&[&bare, "--message-format", "json"]);
    let line = result(&ran);
    assert_eq!((&line["reason"], &line["image"], &line["changed"]), (&json!("router-plugin"), &json!(second), &json!(true)));
    assert_eq!(scene.text(), named(SAMPLE, "0.2.0", &second));
    assert_eq!(scene.names(), ["config.json", "config.json.previous"]);
}

#[test]
fn a_compact_configuration_stays_compact() {
    let scene = Scene::new();
    let image = scene.push("0.1.0");
    let compact = serde_json::from_str::<Value>(SAMPLE).unwrap().to_string();
    fs::write(&scene.config, &compact).unwrap();
    assert_eq!(scene.set(&[&image]).code, 0);
    let hex = image.rsplit(':').next().unwrap();
    let reference = format!("\"imageReference\":{{\"repository\":\"plugins/hello@sha256\",\"reference\":\"{hex}\"}}");
    assert_eq!(scene.text(), compact.replace("\"version\":\"0.1.0\"", &format!("\"version\":\"0.1.0\",{reference}")));
    let config: Value = serde_json::from_str(&scene.text()).unwrap();
    assert_eq!(plugin_of(&config)["imageReference"]["reference"], hex);
}

#[test]
fn every_place_of_a_plugin_is_set_those_of_feature_flags_too() {
    let scene = Scene::new();
    let image = scene.push("0.1.0");
    let mut config: Value = serde_json::from_str(SAMPLE).unwrap();
    let source = config["engineConfig"]["datasourceConfigurations"][0].clone();
    config["engineConfig"]["datasourceConfigurations"].as_array_mut().unwrap().push(source.clone());
    let flagged = json!({"version": "static", "engineConfig": {"datasourceConfigurations": [source.clone()]}});
    // Readers of protobuf's JSON take both spellings of a name.
    let spelt = json!({"engine_config": {"datasource_configurations": [source]}});
    config["featureFlagConfigs"] = json!({"configByFeatureFlagName": {"beta": flagged, "gamma": spelt}});
    fs::write(&scene.config, config.to_string()).unwrap();
    let ran = scene.set(&[&image, "--message-format", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(scene.text().matches("imageReference").count(), 4);
    let line = result(&ran);
    assert_eq!(
        line["places"][2],
        "featureFlagConfigs.configByFeatureFlagName[\"beta\"].engineConfig.datasourceConfigurations[0]"
    );
    assert_eq!(scene.set(&["--check", &image]).code, 0);
}

#[test]
fn a_plugin_that_the_configuration_does_not_have_is_named() {
    let scene = Scene::new();
    let image = scene.push("0.1.0");
    let ran = scene.set(&[&format!("hullo={image}")]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("no plugin `hullo`; it has `hello`"), "{}", ran.stderr);
    let other = scene.push("0.2.0");
    let twice = scene.set(&[&image, &format!("hello={other}")]);
    assert_eq!(twice.code, 2);
    assert_eq!(scene.set(&["--check", &image, &format!("hello={image}")]).code, 3, "the same twice is one");
    let elsewhere = scene.set(&[&image, "x=registry.invalid/x:1"]);
    assert!(elsewhere.code == 2 && elsewhere.stderr.contains("one registry"), "{}", elsewhere.stderr);
    assert_eq!(scene.set(&["oci:out:0.1.0"]).code, 2);
    assert_eq!((scene.text().as_str(), scene.names()), (SAMPLE, vec!["config.json".to_owned()]));
}

#[test]
fn a_configuration_of_another_contract_is_left_and_what_to_compose_is_named() {
    let files = [
        ("src/schema.graphql", "Greets someone", "Greets anyone", "config-schema"),
        ("generated/service.proto", "Greets someone", "Greets anyone", "config-proto"),
        ("generated/mapping.json", "\"version\": 1", "\"version\": 2", "config-mapping"),
    ];
    for (path, old, new, rule) in files {
        let scene = Scene::new();
        let text = fs::read_to_string(scene.project.root.join(path)).unwrap();
        scene.project.write(path, &text.replace(old, new));
        let image = scene.push("0.1.0");
        for check in [&["--check"][..], &[]] {
            let ran = scene.set(&[check, &[image.as_str()]].concat());
            assert_eq!(ran.code, 3, "{path}: {}", ran.stderr);
            assert!(
                ran.stdout.contains(&format!("[{rule}]")) && ran.stdout.contains("datasourceConfigurations[0]"),
                "{}",
                ran.stdout
            );
            assert!(ran.stderr.contains("wgc router compose"), "{}", ran.stderr);
        }
        assert_eq!((scene.text().as_str(), scene.names().len()), (SAMPLE, 1));
    }
}

#[test]
fn check_tells_whether_configuration_and_registry_agree() {
    let scene = Scene::new();
    let image = scene.push("0.1.0");
    let tag = format!("{}:latest", scene.repository());
    scene.done(&["push", "oci:out:0.1.0", &tag]);
    let ran = scene.set(&["--check", &tag]);
    assert!(ran.code == 3 && ran.stdout.contains("names no image"), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(scene.set(&[&tag]).code, 0);
    assert_eq!(scene.set(&["--check", &tag]).code, 0);
    scene.push("0.2.0");
    scene.done(&["push", "oci:out:0.2.0", &tag]);
    let ran = scene.set(&["--check", &tag]);
    assert_eq!(ran.code, 3);
    assert!(ran.stdout.contains("[config-image]") && ran.stdout.contains("[config-version]"), "{}", ran.stdout);
    assert_eq!(scene.text(), named(SAMPLE, "0.1.0", &image));
}

#[test]
fn rollback_brings_back_what_was_there_unless_it_was_composed_since() {
    let scene = Scene::new();
    let nothing = scene.set(&["--rollback"]);
    assert!(nothing.code == 1 && nothing.stderr.contains("config.json.previous"), "{}", nothing.stderr);
    let (first, second) = (scene.push("0.1.0"), scene.push("0.2.0"));
    assert_eq!(scene.set(&[&first]).code, 0);
    assert_eq!(scene.set(&[&second]).code, 0);
    for version in [("0.1.0", &first), ("0.2.0", &second), ("0.1.0", &first)] {
        let ran = scene.set(&["--rollback"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(scene.text(), named(SAMPLE, version.0, version.1));
    }
    let composed = scene.text().replace("\"500\"", "\"600\"");
    fs::write(&scene.config, &composed).unwrap();
    let ran = scene.set(&["--rollback"]);
    assert!(ran.code == 1 && ran.stderr.contains("composed anew"), "{}", ran.stderr);
    assert_eq!(scene.text(), composed);
}

#[test]
fn a_file_keeps_its_mode_and_a_link_is_refused() {
    let scene = Scene::new();
    let image = scene.push("0.1.0");
    for mode in [0o444, 0o600, 0o664] {
        fs::write(&scene.config, SAMPLE)
            .or_else(|_| fs::remove_file(&scene.config).and_then(|()| fs::write(&scene.config, SAMPLE)))
            .unwrap();
        fs::set_permissions(&scene.config, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(scene.set(&[&image]).code, 0);
        let now = fs::metadata(&scene.config).unwrap();
        assert_eq!(now.permissions().mode() & 0o7777, mode);
    }
    let elsewhere = scene.project.root.join("elsewhere.json");
    fs::write(&elsewhere, SAMPLE).unwrap();
    for name in ["router/config.json", "router/config.json.previous"] {
        let path = scene.project.root.join(name);
        fs::remove_file(&path).unwrap();
        symlink(&elsewhere, &path).unwrap();
        let arguments: &[&str] = if name.ends_with("previous") { &["--rollback"] } else { &[&image] };
        let ran = scene.set(arguments);
        assert!(ran.code == 1 && ran.stderr.contains("is a link"), "{}", ran.stderr);
        fs::remove_file(&path).unwrap();
        fs::write(&path, SAMPLE).unwrap();
    }
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), SAMPLE);
    assert_eq!(scene.set(&[&image]).code, 0);
}

#[test]
fn where_nothing_can_be_written_nothing_changes() {
    let scene = Scene::new();
    let image = scene.push("0.1.0");
    let dir = scene.config.parent().unwrap();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o555)).unwrap();
    // Root writes everywhere.
    let is_bound = fs::write(dir.join("probe"), "").is_err();
    let ran = scene.set(&[&image]);
    let check = scene.set(&["--check", &image]);
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(check.code, if is_bound { 3 } else { 0 }, "looking needs no right to write");
    if is_bound {
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert_eq!((scene.text().as_str(), scene.names()), (SAMPLE, vec!["config.json".to_owned()]));
    }
    fs::remove_file(&scene.config).unwrap();
    for (path, make) in [("absent", None), ("directory", Some(())), ("text", None)] {
        let at = dir.join(path);
        if make.is_some() {
            fs::create_dir(&at).unwrap();
        } else if path == "text" {
            fs::write(&at, "{\"engineConfig\": {\"datasourceConfigurations\": [}").unwrap();
        }
        let ran = scene.run(&["router", "set", at.to_str().unwrap(), &image]);
        assert!(ran.code == 1 && ran.stderr.contains(path), "{path}: {}", ran.stderr);
    }
}

/// A configuration of this many bytes around the sample's data source.
fn large(bytes: usize) -> String {
    let filler = format!("{{\"typeName\": \"Query\", \"fieldName\": \"{}\"}},\n", "x".repeat(1000));
    let at = "\"fieldConfigurations\": [";
    SAMPLE.replace(at, &format!("{at}\n{}", filler.repeat(bytes / filler.len())))
}

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_configuration() {
    let scene = Scene::new();
    let image = scene.push("0.1.0");
    let text = large(80 << 20);
    fs::write(&scene.config, &text).unwrap();
    // A limit of the address space would count the program; one of the heap and anonymous memory is what the text would need.
    let mut limited = std::process::Command::new("sh");
    let program = env!("CARGO_BIN_EXE_cargo-plugin-build");
    limited.args(["-c", "ulimit -d 60000 && exec \"$@\"", "sh", program, "router", "set", "router/config.json", &image]);
    let ran = ran(limited.current_dir(&scene.project.root));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(scene.text() == named(&text, "0.1.0", &image));
    assert_eq!(scene.set(&["--rollback"]).code, 0);
    assert!(scene.text() == text);
}

#[test]
fn a_run_that_is_killed_while_it_writes_leaves_the_old_text() {
    let scene = Scene::new();
    let image = scene.push("0.1.0");
    let text = large(20 << 20);
    fs::write(&scene.config, &text).unwrap();
    let mut killed = 0;
    for _ in 0..5 {
        let mut command = plugin_build(&scene.project.root);
        command.args(["router", "set", "router/config.json", &image]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        while child.try_wait().unwrap().is_none() && !scene.names().iter().any(|name| name.starts_with(".plugin-build-")) {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        killed += usize::from(!child.wait().unwrap().success());
        let now = scene.text();
        assert!(now == text || now == named(&text, "0.1.0", &image), "half a file");
        fs::write(&scene.config, &text).unwrap();
    }
    assert!(killed > 0, "it was never in time");
    assert_eq!(scene.set(&[&image]).code, 0);
    assert_eq!(scene.names(), ["config.json", "config.json.previous"], "what a kill left is gone");
    assert!(scene.text() == named(&text, "0.1.0", &image));
}

#[test]
fn two_at_once_lose_nothing() {
    let scene = Scene::new();
    let image = scene.push("0.1.0");
    let mut config: Value = serde_json::from_str(SAMPLE).unwrap();
    let sources = config["engineConfig"]["datasourceConfigurations"].as_array_mut().unwrap();
    for count in 1..8 {
        let mut source = sources[0].clone();
        source["customGraphql"]["grpc"]["plugin"]["name"] = format!("hello{count}").into();
        sources.push(source);
    }
    fs::write(&scene.config, config.to_string()).unwrap();
    std::thread::scope(|scope| {
        for count in 1..8 {
            let (scene, word) = (&scene, format!("hello{count}={image}"));
            scope.spawn(move || {
                let ran = scene.set(&[&word]);
                assert_eq!(ran.code, 0, "{}", ran.stderr);
            });
        }
    });
    assert_eq!(scene.text().matches("imageReference").count(), 7);
}
