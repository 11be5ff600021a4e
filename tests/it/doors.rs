//! One image, three doors: the same digest starts under a real go-plugin host when it was pulled and unpacked, when it is
//! installed, and from a read-only directory that is mounted where the host looks; its assets are found each time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use plugin_build::images::install::{InstallOptions, install};
use plugin_build::images::unpack::{UnpackOptions, unpack};
use plugin_oci::environment::Environment;
use plugin_oci::layers::unpack::{ExtractOptions, Limits, Rules};
use plugin_oci::progress::Silent;
use plugin_oci::stores::copy::{CopyOptions, copy};
use plugin_oci::stores::layout::Layout;
use plugin_oci::stores::registry::{Client, Repository, Settings};
use plugin_oci::stores::{Selector, Source, select_platform};
use plugin_oci::values::platform::Platform;

use crate::go_host::{go_host, has, request};
use crate::support::memory_registry::MemoryRegistry;
use crate::support::plugins;
use crate::support::program::{plugin_build, ran};
use crate::support::tools::skip;

/// The template, packed by our own program: a layout of one image.
fn packed() -> &'static Layout {
    static PACKED: OnceLock<Layout> = OnceLock::new();
    PACKED.get_or_init(|| Layout::open(&plugins::packed("cosmo-router", "greeter")).unwrap())
}

/// Where the program of this machine lies in a plugin's directory.
fn program() -> String {
    let platform = Platform::host();
    format!("bin/{}_{}", platform.os, platform.architecture)
}

fn unpacked(source: &dyn Source, target: PathBuf) -> PathBuf {
    let extract = ExtractOptions { limits: Limits::default(), rules: Rules::Strict };
    let options = UnpackOptions { selector: Selector::Only, platform: Platform::host(), target, extract };
    unpack(source, &options, &Silent).unwrap().path
}

/// Has the host start, call and stop the plugin in `root`; `before` comes before the host's own words.
fn judge(before: &[&str], host: &Path, root: &Path, cwd: &Path) {
    let mut words: Vec<String> = before.iter().map(|&word| word.to_owned()).collect();
    words.extend([host.display().to_string(), "-plugin".to_owned(), root.join(program()).display().to_string()]);
    words.extend(["-cwd".to_owned(), cwd.display().to_string()]);
    words.extend(["-method", "/service.GreeterService/QueryHello", "-request", &request("Ana")].map(str::to_owned));
    let output = Command::new(&words[0]).args(&words[1..]).output().unwrap();
    let lines: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert!(output.status.success(), "{lines:?}\n{}", String::from_utf8_lossy(&output.stderr));
    // The greeting in the answer is the asset's.
    assert!(lines.iter().any(|line| line.starts_with("response=") && line.contains(&request("Hello, Ana!")[2..])), "{lines:?}");
    assert!(has(&lines, "graceful=true"), "{lines:?}");
}

#[test]
#[ignore = "slow: compiles a template; needs docker-registry, skopeo and namespaces"]
fn the_first_door_is_a_registry() {
    let Some(host) = go_host() else { return };
    let (registry, dir) = (MemoryRegistry::honest(), tempfile::tempdir().unwrap());
    let client = Client::new(Settings::default(), &Environment::default(), &Silent);
    let at = plugin_oci::values::reference::RegistryReference {
        tag: Some("1.0".parse().unwrap()),
        ..registry.repository("team/greeter")
    };
    let root = packed().resolve(&Selector::Only).unwrap();
    let options = CopyOptions { tags: vec!["latest".parse().unwrap()], ..CopyOptions::default() };
    copy(packed(), &Repository::new(&client, &at).writing(), &root, &options, &Silent).unwrap();
    let source = Repository::new(&client, &at);
    assert_eq!(source.resolve(&Selector::Only).unwrap().digest, root.digest);
    let place = unpacked(&source, dir.path().join("pulled"));
    judge(&[], host, &place, &place);
}

#[test]
#[ignore = "slow: compiles a template; needs docker-registry, skopeo and namespaces"]
fn the_second_door_is_the_directory_of_plugins() {
    let Some(host) = go_host() else { return };
    let dir = tempfile::tempdir().unwrap();
    let options = InstallOptions::new(Selector::Only, dir.path().join("plugins"));
    let installed = install(packed(), &options, &Silent).unwrap();
    // The image has one platform, and what is installed is named by that platform's manifest.
    let root = packed().resolve(&Selector::Only).unwrap();
    assert_eq!(installed.manifest, select_platform(packed(), &root, &Platform::host()).unwrap().descriptor.digest);
    assert_eq!(installed.path, dir.path().join("plugins/greeter"));
    judge(&[], host, &installed.path, dir.path());
}

#[test]
#[ignore = "slow: compiles a template; needs docker-registry, skopeo and namespaces"]
fn the_third_door_is_a_read_only_mount() {
    let Some(host) = go_host() else { return };
    let dir = tempfile::tempdir().unwrap();
    let place = unpacked(packed(), dir.path().join("volume"));
    let mount_point = dir.path().join("plugins/greeter");
    fs::create_dir_all(&mount_point).unwrap();
    let script =
        "mount --bind \"$1\" \"$2\" && mount -o remount,bind,ro \"$2\" && shift 2 && ! touch \"$0/x\" 2>/dev/null && exec \"$@\"";
    let (from, to) = (place.display().to_string(), mount_point.display().to_string());
    let namespace = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, &to, &from, &to];
    let possible = Command::new("unshare").args(["--user", "--map-root-user", "--mount", "true"]).status();
    if !possible.is_ok_and(|status| status.success()) {
        assert!(!plugins::in_ci(), "user namespaces are needed when CI=true");
        skip("no user namespaces");
        return;
    }
    judge(&namespace, host, &mount_point, dir.path());
}

#[test]
#[ignore = "slow: compiles a template"]
fn the_packed_image_carries_what_a_call_needs() {
    let package = plugins::package("cosmo-router", "greeter");
    let cache = tempfile::tempdir().unwrap();
    let mut command = plugin_build(&package);
    command.args(["run", "--call", "QueryHello", r#"{"name":"Ana"}"#, "--cache-dir"]).arg(cache.path().join("run"));
    let called = ran(command.arg(format!("oci:{}", packed().dir().display())));
    assert_eq!(called.code, 0, "{}", called.stderr);
    assert_eq!(called.stdout, "{\"hello\":{\"id\":\"Ana\",\"text\":\"Hello, Ana!\"}}\n");
}
