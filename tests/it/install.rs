//! `install`: a plugin where its host loads it, checked and brought back.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::hints::hint;
use plugin_build::images::install::{CheckOptions, InstallOptions, Installed, check, install, rollback};
use plugin_oci::failure::{Class, Error};
use plugin_oci::fs::sorted_listing;
use plugin_oci::progress::Silent;
use plugin_oci::stores::Selector;
use plugin_oci::stores::layout::Layout;
use plugin_oci::values::compression::Compression;
use serde_json::{Value, json};

use crate::support::hostile::archive::Archive;
use crate::support::layouts::HandLayout;
use crate::support::program::{plugin_build, ran};
use crate::support::tools::{require, skip, stdout};

struct Scene {
    dir: tempfile::TempDir,
}

fn options(tag: &str, plugins_dir: PathBuf) -> InstallOptions {
    InstallOptions::new(Selector::Tag(tag.to_owned()), plugins_dir)
}

impl Scene {
    /// A layout with two versions of a router plugin for two platforms, and images that are no such thing.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut layout = HandLayout::new(&dir.path().join("layout"));
        let ours = |kind: &str| json!({"dev.cargo-plugin-build.name": "greeter", "dev.cargo-plugin-build.kind": kind});
        for version in ["1", "2"] {
            let assets = Archive::new().dir("share/").file("share/hello", version.as_bytes()).end();
            let images = ["amd64", "arm64"].map(|arch| {
                let program = Archive::new().dir("bin/").file_with(&format!("bin/linux_{arch}"), version.as_bytes(), 0o755).end();
                layout.image(&format!("linux/{arch}"), &[assets.clone(), program], Compression::Gzip)
            });
            let index = layout.index(&images, &ours("cosmo-router"));
            layout.tag(version, index);
        }
        let image = |layout: &HandLayout, tar: Archive| layout.image("linux/amd64", &[tar.end()], Compression::Zstd);
        let foreign = image(&layout, Archive::new().file("a", b"a"));
        layout.tag("foreign", foreign);
        let clash = ["amd64", "arm64"].map(|arch| {
            layout.image(&format!("linux/{arch}"), &[Archive::new().file("same", arch.as_bytes()).end()], Compression::Gzip)
        });
        let clash = layout.index(&clash, &ours("cosmo-router"));
        layout.tag("clash", clash);
        for (tag, tar) in [
            ("evil-link", Archive::new().symlink("a", "/etc/passwd")),
            ("evil-name", Archive::new().file("../a", b"")),
            ("evil-link-by-a-link", Archive::new().dir("d/").symlink("d/x", ".").symlink("d/y", "x/../../outside")),
            ("evil-second-name", Archive::new().dir("d/").dir("d/e/").symlink("d/e/x", "../../y").hard_link("x", "d/e/x")),
            ("evil-whiteout", Archive::new().file(".wh..wh.plnk", b"")),
        ] {
            let evil = image(&layout, tar);
            let evil = layout.index(&[evil], &ours("cosmo-router"));
            layout.tag(tag, evil);
        }
        let image = image(&layout, Archive::new().file("a", b""));
        let named = layout.index(&[image], &json!({"dev.cargo-plugin-build.name": "../../x"}));
        layout.tag("evil-plugin-name", named);
        Self { dir }
    }

    fn plugins(&self) -> PathBuf {
        self.dir.path().join("plugins")
    }

    fn options(&self, tag: &str) -> InstallOptions {
        options(tag, self.plugins())
    }

    fn run(&self, options: &InstallOptions) -> Result<Installed, Error> {
        install(&Layout::open(&self.dir.path().join("layout")).unwrap(), options, &Silent)
    }

    fn install(&self, tag: &str) -> Result<Installed, Error> {
        self.run(&self.options(tag))
    }

    fn hello(&self) -> String {
        fs::read_to_string(self.plugins().join("greeter/share/hello")).unwrap()
    }

    fn rules(&self) -> Vec<&'static str> {
        let options = CheckOptions { plugins_dir: self.plugins(), name: Some("greeter".to_owned()), expected: None };
        check(&options).unwrap().remove(0).findings.into_iter().map(|finding| finding.rule).collect()
    }
}

/// Every path with what changes when anything is touched.
fn stamps(dir: &Path) -> Vec<(PathBuf, u64, i64, i64)> {
    let entries = walkdir::WalkDir::new(dir).sort_by_file_name().into_iter().map(|entry| {
        let metadata = entry.as_ref().unwrap().path().symlink_metadata().unwrap();
        (entry.unwrap().into_path(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
    });
    entries.collect()
}

#[test]
fn a_plugin_is_placed_replaced_and_brought_back() {
    let scene = Scene::new();
    let first = scene.install("1").unwrap();
    assert_eq!((first.name.as_str(), first.changed, first.previous), ("greeter", true, None));
    assert!(first.platforms.iter().map(|on| on.platform.as_str()).eq(["linux/amd64", "linux/arm64"]));
    for program in ["bin/linux_amd64", "bin/linux_arm64"] {
        let metadata = fs::metadata(first.path.join(program)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o755);
    }
    assert!(fs::read_link(&first.path).unwrap().is_relative(), "the directory can be mounted elsewhere");
    let before = stamps(&scene.plugins());
    assert!(!scene.install("1").unwrap().changed);
    assert_eq!(stamps(&scene.plugins()), before, "the same image again touches nothing");
    let second = scene.install("2").unwrap();
    assert_eq!((scene.hello().as_str(), second.previous), ("2", Some(first.image.digest.clone())));
    let back = rollback(&scene.plugins(), "greeter", &Silent).unwrap();
    assert_eq!(
        (scene.hello().as_str(), &back.image.digest, back.previous),
        ("1", &first.image.digest, Some(second.image.digest))
    );
    rollback(&scene.plugins(), "greeter", &Silent).unwrap();
    assert_eq!(scene.hello(), "2");
    assert!(scene.rules().is_empty());
    // Two installations with what was kept to judge them by, the record, the lock.
    assert_eq!(sorted_listing(&scene.plugins().join(".store/greeter")).unwrap().len(), 6);
    let mut options = scene.options("1");
    options.platforms = vec!["linux/arm64".parse().unwrap()];
    let one = scene.run(&options).unwrap();
    assert_ne!(one.manifest, first.manifest);
    assert_eq!(one.image.digest, first.image.digest, "the digest that people see is the image's");
    assert!(!one.path.join("bin/linux_amd64").exists());
    assert_eq!(sorted_listing(&scene.plugins().join(".store/greeter")).unwrap().len(), 6, "the oldest went");
}

#[test]
fn a_copy_needs_no_link_and_can_become_one() {
    let scene = Scene::new();
    let copied = |tag: &str| InstallOptions { copy: true, ..scene.options(tag) };
    let first = scene.run(&copied("1")).unwrap();
    assert!(!first.path.is_symlink());
    let before = stamps(&scene.plugins());
    assert!(!scene.run(&copied("1")).unwrap().changed);
    assert_eq!(stamps(&scene.plugins()), before);
    scene.run(&copied("2")).unwrap();
    assert_eq!(scene.hello(), "2");
    rollback(&scene.plugins(), "greeter", &Silent).unwrap();
    assert_eq!(scene.hello(), "1");
    assert!(!first.path.is_symlink() && scene.rules().is_empty());
    let linked = scene.install("1").unwrap();
    assert!(linked.path.is_symlink() && linked.changed && scene.rules().is_empty());
    scene.run(&copied("1")).unwrap();
    assert!(!first.path.is_symlink() && scene.rules().is_empty());
    rollback(&scene.plugins(), "greeter", &Silent).unwrap();
    assert_eq!(scene.hello(), "2");
}

#[test]
fn a_changed_installation_is_found_and_made_anew() {
    for copy in [false, true] {
        let scene = Scene::new();
        let options = |tag| InstallOptions { copy, ..scene.options(tag) };
        let installed = scene.run(&options("1")).unwrap();
        scene.run(&options("2")).unwrap();
        fs::write(installed.path.join("share/hello"), "x").unwrap();
        fs::write(installed.path.join("more"), "x").unwrap();
        fs::set_permissions(installed.path.join("bin/linux_amd64"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::remove_file(installed.path.join("bin/linux_arm64")).unwrap();
        assert_eq!(scene.rules(), ["changed-mode", "missing-file", "unexpected-file", "changed-content"]);
        assert!(scene.run(&options("2")).unwrap().changed);
        assert!(scene.rules().is_empty() && scene.hello() == "2");
        rollback(&scene.plugins(), "greeter", &Silent).unwrap();
        assert_eq!(scene.hello(), "1", "repairing keeps what was before");
    }
    let scene = Scene::new();
    let first = scene.install("1").unwrap();
    fs::remove_file(&first.path).unwrap();
    assert_eq!(scene.rules(), ["missing-link"]);
    std::os::unix::fs::symlink("elsewhere", &first.path).unwrap();
    assert_eq!(scene.rules(), ["changed-link"]);
    assert!(scene.install("1").is_err(), "a link of somebody else is not replaced");
    fs::remove_file(&first.path).unwrap();
    assert!(scene.install("1").unwrap().changed);
    let expected = Some(plugin_oci::values::digest::Digest::of(b"another"));
    let options = CheckOptions { plugins_dir: scene.plugins(), name: None, expected };
    assert_eq!(check(&options).unwrap()[0].findings[0].rule, "other-image");
}

#[test]
fn what_cannot_be_installed_leaves_nothing() {
    let scene = Scene::new();
    let links = ["evil-link", "evil-link-by-a-link", "evil-second-name"];
    for tag in links.into_iter().chain(["foreign", "clash", "evil-name", "evil-whiteout", "evil-plugin-name"]) {
        let error = scene.install(tag).unwrap_err();
        let left = if scene.plugins().exists() { sorted_listing(&scene.plugins()).unwrap() } else { Vec::new() };
        assert!(left.is_empty(), "{tag}: {error}: {left:?}");
    }
    let error = scene.install("foreign").unwrap_err();
    assert_eq!((error.class(), hint(error.inner()).unwrap().contains("--name")), (Class::Usage, true));
    let named = InstallOptions { name: Some("mine".to_owned()), ..scene.options("foreign") };
    assert_eq!(fs::read(scene.run(&named).unwrap().path.join("a")).unwrap(), b"a");
    for name in ["", ".", "..", ".hidden", "a/b", "a\nb", "-x"] {
        let named = InstallOptions { name: Some(name.to_owned()), ..scene.options("foreign") };
        assert_eq!(scene.run(&named).unwrap_err().class(), Class::Usage, "{name:?}");
    }
    fs::create_dir_all(scene.plugins().join("greeter")).unwrap();
    assert!(scene.install("1").is_err(), "a directory of somebody else is not replaced");
    assert!(rollback(&scene.plugins(), "greeter", &Silent).is_err());
    let error = rollback(&scene.plugins(), "mine", &Silent).unwrap_err();
    assert!(error.to_string().contains("nothing was installed before"), "{error}");
}

#[test]
fn a_record_that_leads_elsewhere_is_refused() {
    let scene = Scene::new();
    scene.install("1").unwrap();
    scene.install("2").unwrap();
    let path = scene.plugins().join(".store/greeter/installed.json");
    let good: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for (pointer, value) in [("/current/id", "../../x"), ("/previous/id", "."), ("/current/id", "sha/../.."), ("/schema", "2")] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = json!(value);
        fs::write(&path, bad.to_string()).unwrap();
        let options = CheckOptions { plugins_dir: scene.plugins(), name: None, expected: None };
        assert!(check(&options).is_err() && scene.install("1").is_err(), "{pointer} {value}");
    }
}

/// CVE-2026-50162 (oras-go): an image whose own name leads through a link that lies in the directory.
#[test]
fn a_name_of_an_image_leads_through_no_link_of_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let mut layout = HandLayout::new(&dir.path().join("layout"));
    let (plugins, sentinel) = (dir.path().join("plugins"), dir.path().join("sentinel"));
    fs::create_dir(&plugins).unwrap();
    fs::create_dir(&sentinel).unwrap();
    std::os::unix::fs::symlink("../sentinel", plugins.join("out")).unwrap();
    let names = ["out", "out/pwn", "out/", "./out/pwn", "plugins/../out/pwn", "../sentinel/pwn", "/tmp", ".store", "out\\pwn"];
    for (number, name) in names.iter().enumerate() {
        let image = layout.image("linux/amd64", &[Archive::new().file("a", b"").end()], Compression::Gzip);
        let index = layout.index(&[image], &json!({"dev.cargo-plugin-build.name": name}));
        layout.tag(&number.to_string(), index);
    }
    let layout = Layout::open(&dir.path().join("layout")).unwrap();
    for (number, name) in names.iter().enumerate() {
        let options = options(&number.to_string(), plugins.clone());
        let error = install(&layout, &options, &Silent).unwrap_err();
        assert!(
            error.to_string().contains("name") || error.to_string().contains("was not installed by this tool"),
            "{name}: {error}"
        );
        assert_eq!(fs::read_link(plugins.join("out")).unwrap(), Path::new("../sentinel"), "{name}");
        assert_eq!(sorted_listing(&plugins).unwrap(), ["out"], "{name}");
        assert!(sorted_listing(&sentinel).unwrap().is_empty(), "{name}");
    }
}

/// What a Kubernetes initContainer has: a user of no name, a root that cannot be written to, no environment, and one
/// directory.
#[test]
#[ignore = "needs namespaces"]
#[expect(clippy::disallowed_methods, reason = "CI must not skip")]
fn any_user_can_install_where_only_one_directory_can_be_written_to() {
    if !fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        assert!(std::env::var_os("CI").is_none(), "CI runs this as root");
        skip("only root can become another user on a read-only root");
        return;
    }
    let (Some(unshare), Some(_)) = (require("unshare"), require("setpriv")) else { return };
    let scene = Scene::new();
    fs::set_permissions(scene.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = scene.dir.path().join("program");
    fs::copy(env!("CARGO_BIN_EXE_cargo-plugin-build"), &program).unwrap();
    fs::create_dir(scene.plugins()).unwrap();
    // Whatever the umask.
    stdout(Command::new("chmod").args(["-R", "a+rX"]).arg(scene.dir.path()));
    let script = r#"
        set -eu
        mount -t tmpfs -o mode=0777 tmpfs "$1/plugins"
        mount -o remount,bind,ro /
        as_nobody() { setpriv --reuid 65532 --regid 65532 --clear-groups --no-new-privs "$DIR/program" "$@" 2>&1; }
        DIR=$1
        cd /
        ! as_nobody unpack "oci:$DIR/layout:1" --platform linux/amd64 "$DIR/elsewhere"
        as_nobody install "oci:$DIR/layout:1" "$DIR/plugins"
        as_nobody install "oci:$DIR/layout:2" "$DIR/plugins"
        as_nobody install --rollback --name greeter "$DIR/plugins"
        as_nobody install --check "$DIR/plugins"
        as_nobody unpack "oci:$DIR/layout:2" --platform linux/amd64 "$DIR/plugins/by-hand"
        cat "$DIR/plugins/greeter/share/hello" "$DIR/plugins/by-hand/share/hello"
        stat -c %u "$DIR/plugins/greeter/share/hello"
    "#;
    let mut shell = Command::new(unshare);
    shell.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]).arg(scene.dir.path()).env_clear();
    let text = stdout(shell.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"));
    assert!(text.contains("1265532\n"), "{text}");
}

#[test]
fn to_check_where_nothing_is_installed_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    fs::create_dir(dir.path().join("empty")).unwrap();
    let digest = format!("sha256:{}", "0".repeat(64));
    for place in ["absent", "empty", "file"] {
        for more in [&[][..], &["--digest", &digest]] {
            let told = ran(plugin_build(dir.path()).args(["install", "--check", place]).args(more));
            assert_eq!((told.code, told.stdout.as_str()), (1, ""), "{place} {more:?} {}", told.stderr);
            assert!(told.stderr.contains("nothing is installed in"), "{}", told.stderr);
        }
    }
}

#[test]
fn an_interrupt_leaves_nothing_of_a_first_installation() {
    let dir = tempfile::tempdir().unwrap();
    let mut layout = HandLayout::new(&dir.path().join("layout"));
    let large = Archive::new().file("large", &vec![0; 200 << 20]).end();
    let image = layout.image("linux/amd64", &[large], Compression::Zstd);
    layout.tag("1", image);
    let plugins = dir.path().join("plugins");
    let store = plugins.join(".store/large");
    // While it is filled, and when it is whole but nothing records it.
    for (phase, signal, code) in [(".plugin-build-", "INT", 130), ("sha256-", "INT", 130), ("sha256-", "TERM", 143)] {
        let mut install = plugin_build(dir.path());
        install.args(["-q", "install", "--name", "large", "--max-ratio", "1000000", "oci:layout:1", "plugins"]);
        let mut child = install.spawn().unwrap();
        let reached = || {
            let names = sorted_listing(&store).unwrap_or_default();
            names.iter().any(|name| name.to_string_lossy().starts_with(phase))
        };
        assert!((0..20_000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            reached()
        }));
        stdout(Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", signal]).arg(child.id().to_string()));
        assert_eq!(child.wait().unwrap().code(), Some(code), "{phase} {signal}");
        assert!(sorted_listing(&plugins).unwrap().is_empty(), "{phase} {signal}: {:?}", sorted_listing(&store));
    }
}

/// Everything that must not change, outside the plugins directory: what a link to it would let be removed or written over.
fn outside(scene: &Scene) -> PathBuf {
    let outside = scene.dir.path().join("outside");
    fs::create_dir_all(outside.join("sha256-old/dir")).unwrap();
    fs::write(outside.join("sha256-old/dir/file"), "untouched").unwrap();
    fs::write(outside.join("other"), "untouched").unwrap();
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o711)).unwrap();
    outside
}

fn every_step(scene: &Scene) -> [Result<(), Error>; 5] {
    let options = CheckOptions { plugins_dir: scene.plugins(), name: Some("greeter".to_owned()), expected: None };
    [
        scene.install("1").map(drop),
        scene.install("2").map(drop),
        rollback(&scene.plugins(), "greeter", &Silent).map(drop),
        check(&options).map(drop),
        scene.run(&InstallOptions { copy: true, ..scene.options("1") }).map(drop),
    ]
}

#[test]
fn a_link_in_the_place_of_the_store_is_not_followed() {
    for (level, steps) in [(".store", 0), (".store/greeter", 0), (".store", 2), (".store/greeter", 2)] {
        let scene = Scene::new();
        for tag in ["1", "2"].iter().take(steps) {
            scene.install(tag).unwrap();
        }
        let outside = outside(&scene);
        let link = scene.plugins().join(level);
        if steps > 0 {
            fs::rename(&link, scene.plugins().join(".moved")).unwrap();
        }
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&outside, &link).unwrap();
        let before = stamps(&outside);
        for result in every_step(&scene) {
            let error = result.unwrap_err().to_string();
            assert!(error.contains("cannot open") || error.contains("is not installed"), "{level}: {error}");
            assert!(!error.contains("/proc/"), "{error}");
        }
        assert_eq!(stamps(&outside), before, "{level}");
    }
}

#[test]
fn a_link_in_the_place_of_a_file_of_the_store_is_not_followed() {
    for name in ["installed.json", ".lock", "current"] {
        let scene = Scene::new();
        scene.install("1").unwrap();
        scene.install("2").unwrap();
        let outside = outside(&scene);
        let own = scene.plugins().join(".store/greeter");
        let state: Value = serde_json::from_slice(&fs::read(own.join("installed.json")).unwrap()).unwrap();
        let (name, target) = match name {
            "current" => (state["current"]["id"].as_str().unwrap(), outside.clone()),
            other => (other, outside.join("made")),
        };
        let _ = fs::remove_dir_all(own.join(name));
        let _ = fs::remove_file(own.join(name));
        std::os::unix::fs::symlink(&target, own.join(name)).unwrap();
        let before = stamps(&outside);
        let _ = every_step(&scene);
        assert_eq!(stamps(&outside), before, "{name}");
    }
}

#[test]
fn who_swaps_what_is_in_the_store_for_links_reaches_nothing_outside() {
    let scene = Scene::new();
    let outside = outside(&scene);
    scene.install("1").unwrap();
    let before = stamps(&outside);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let own = scene.plugins().join(".store/greeter");
            let aside = scene.plugins().join(".aside");
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                for name in sorted_listing(&own).unwrap_or_default() {
                    let at = own.join(&name);
                    if fs::rename(&at, &aside).is_ok() {
                        let _ = std::os::unix::fs::symlink(&outside, &at);
                        std::thread::yield_now();
                        let _ = fs::remove_file(&at);
                        let _ = fs::rename(&aside, &at);
                    }
                }
            }
        });
        for _ in 0..60 {
            let _ = every_step(&scene);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(stamps(&outside), before);
}

#[test]
fn a_plugins_directory_may_be_a_link() {
    let scene = Scene::new();
    fs::create_dir(scene.dir.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", scene.plugins()).unwrap();
    for result in every_step(&scene) {
        result.unwrap();
    }
    assert_eq!(scene.hello(), "1");
}

#[test]
fn who_swaps_the_store_for_a_link_again_and_again_reaches_nothing_outside() {
    let scene = Scene::new();
    let outside = outside(&scene);
    scene.install("1").unwrap();
    let before = stamps(&outside);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let plugins = scene.plugins();
            let levels = [plugins.join(".store"), plugins.join(".store/greeter")];
            let aside = plugins.join(".aside");
            for at in levels.iter().cycle() {
                if done.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                if fs::rename(at, &aside).is_ok() {
                    let _ = std::os::unix::fs::symlink(&outside, at);
                    std::thread::yield_now();
                    let _ = fs::remove_file(at);
                    let _ = fs::rename(&aside, at);
                }
            }
        });
        for _ in 0..40 {
            let _ = every_step(&scene);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(stamps(&outside), before);
}
