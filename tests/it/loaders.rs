//! What starts in an image is found as kernel and loaders find it: in images of a few bytes that each have one peculiarity.

use crate::support::elf::{RPATH, RUNPATH, cache, elf, old_cache};
use crate::support::packed::Packed;
use crate::support::program::{plugin_build, ran};

const GLIBC: &str = "/lib64/ld-linux-x86-64.so.2";
const MUSL: &str = "/lib/ld-musl-x86_64.so.1";

/// An image that starts `/app`, in the making.
struct Scene(Packed);

impl Scene {
    fn new() -> Self {
        Self(Packed { kind: None, ..Packed::new("executable", "/app") })
    }

    /// With a program, its loader, and what it needs.
    fn of(loader: &str, needed: &[&str]) -> Self {
        Self::new().file("app", 0o755, elf(Some(loader), needed, &[])).file(&loader[1..], 0o755, elf(None, &[], &[]))
    }

    fn file(self, path: &str, mode: u32, content: impl Into<Vec<u8>>) -> Self {
        Self(self.0.file(path, mode, content))
    }

    /// With a library that needs nothing.
    fn library(self, path: &str) -> Self {
        self.file(path, 0o644, elf(None, &[], &[]))
    }

    fn symlink(mut self, path: &str, target: &str) -> Self {
        self.0.links.push((path.to_owned(), true, target.to_owned()));
        self
    }

    fn hard_link(mut self, path: &str, target: &str) -> Self {
        self.0.links.push((path.to_owned(), false, target.to_owned()));
        self
    }

    fn told(self) -> String {
        let dir = tempfile::tempdir().unwrap();
        let image = self.0.write(dir.path());
        let verified = ran(plugin_build(dir.path()).args(["verify", &image]));
        assert!([0, 3].contains(&verified.code), "{}{}", verified.stdout, verified.stderr);
        verified.stdout.lines().filter(|line| line.contains("[start-")).collect::<Vec<_>>().join("\n")
    }

    #[track_caller]
    fn starts(self) {
        assert_eq!(self.told(), "");
    }

    #[track_caller]
    fn lacks(self, rule: &str, why: &str) {
        let told = self.told();
        assert!(told.contains(&format!("[{rule}]")) && told.contains(why), "{told} is not {rule}: {why}");
    }
}

#[test]
fn glibcs_loader_reads_the_cache_and_not_what_that_is_made_from() {
    let deep = || Scene::of(GLIBC, &["libdeep.so.1"]).library("opt/deep/libdeep.so.1");
    let conf = || deep().file("etc/ld.so.conf", 0o644, "/opt/deep\n");
    let entry = ("libdeep.so.1", "/opt/deep/libdeep.so.1");
    let cached = |cache: Vec<u8>| deep().file("etc/ld.so.cache", 0o644, cache);
    Scene::of(GLIBC, &["libdeep.so.1"]).library("lib/libdeep.so.1").starts();
    let why = "no library libdeep.so.1, which /app needs: layer 1 has /opt/deep/libdeep.so.1, where nothing looks for it";
    deep().lacks("start-library", why);
    conf().lacks("start-library", why);
    conf().file("etc/ld.so.cache", 0o644, cache(&[("libother.so.1", "/lib/libother.so.1")])).lacks("start-library", why);
    cached(cache(&[("libother.so.1", "/x"), entry, ("libz.so.1", "/z")])).starts();
    cached(old_cache(&[("libother.so.1", "/x"), entry], &[])).starts();
    cached(old_cache(&[("libother.so.1", "/x")], &cache(&[entry]))).starts();
    // Only the new one behind the old one counts.
    cached(old_cache(&[entry], &cache(&[]))).lacks("start-library", why);
    // Another library under that name, a file that is not there, and what is no cache.
    cached(cache(&[("libdeep.so.10", entry.1)])).lacks("start-library", why);
    cached(cache(&[("libdeep.so.1", "/opt/gone/libdeep.so.1")])).lacks("start-library", why);
    cached(b"\0/opt/deep/libdeep.so.1\0".to_vec()).lacks("start-library", why);
    cached(cache(&[entry])[..60].to_vec()).lacks("start-library", why);
    // The first file counts, whatever it is, unless it is for another machine.
    let first = |bytes: &[u8]| {
        let scene = Scene::of(GLIBC, &["libdeep.so.1"]).file("lib64/libdeep.so.1", 0o644, bytes);
        scene.library("usr/lib/libdeep.so.1")
    };
    first(b"text").lacks("start-library", "which /app needs: /lib64/libdeep.so.1 is none for this machine");
    first(&[b"\x7fELF\x01\x01\x01".as_slice(), &[0; 200]].concat()).starts();
    let gone = cache(&[("libdeep.so.1", "/opt/gone/libdeep.so.1")]);
    Scene::of(GLIBC, &["libdeep.so.1"]).library("usr/lib/libdeep.so.1").file("etc/ld.so.cache", 0o644, gone).starts();
}

#[test]
fn what_nobody_may_execute_does_not_start() {
    let loader = elf(None, &[], &[]);
    let app = |mode: u32| Scene::new().file("app", mode, elf(Some(GLIBC), &[], &[]));
    app(0o755).file(&GLIBC[1..], 0o755, loader.clone()).starts();
    let why = format!("its loader {GLIBC}, which /app needs, cannot be executed: its mode is 0644");
    app(0o755).file(&GLIBC[1..], 0o644, loader.clone()).lacks("start-loader", &why);
    app(0o755).file("lib/real", 0o600, loader.clone()).symlink(&GLIBC[1..], "../lib/real").lacks("start-loader", "0600");
    app(0o644).file(&GLIBC[1..], 0o755, loader).lacks("start-program", "its program /app cannot be executed: its mode is 0644");
    Scene::new().file("app", 0o400, "#!/bin/sh\n").file("bin/sh", 0o755, elf(None, &[], &[])).lacks("start-program", "0400");
    let script = || Scene::new().file("app", 0o755, "#!/bin/sh\n");
    let why = "its /bin/sh, which the script /app needs, cannot be executed: its mode is 0644";
    script().file("bin/sh", 0o644, elf(None, &[], &[])).lacks("start-interpreter", why);
    // Libraries are only read.
    Scene::of(GLIBC, &["liba.so"]).file("lib/liba.so", 0o444, elf(None, &[], &[])).starts();
    // In `PATH`, the next one is taken.
    let mut scene = Scene::new().file("a/app", 0o644, elf(None, &[], &[])).file("b/app", 0o755, elf(None, &[], &[]));
    scene.0.settings.entrypoint = vec!["app".to_owned()];
    scene.0.settings.execution.env = [("PATH".to_owned(), "/a:/b".to_owned())].into();
    scene.starts();
}

#[test]
fn a_file_is_found_under_any_name() {
    let scene = || Scene::of(GLIBC, &["libdeep.so.1"]);
    scene().library("opt/blob").symlink("lib/libdeep.so.1", "../opt/blob").starts();
    scene().library("opt/blob").hard_link("lib/libdeep.so.1", "opt/blob").starts();
    let chain = || scene().library("opt/blob-1").hard_link("opt/blob", "opt/blob-1").symlink("opt/current", "blob");
    chain().symlink("lib/libdeep.so.1", "/opt/current").starts();
    scene().library("opt/x/blob").symlink("opt/y", "x").symlink("lib/libdeep.so.1", "/opt/y/blob").starts();
    scene().symlink("lib/libdeep.so.1", "../opt/blob").lacks("start-library", "no library libdeep.so.1");
    scene().file("opt/blob", 0o644, "text").symlink("lib/libdeep.so.1", "/opt/blob").lacks("start-library", "libdeep.so.1");
    let round = scene().symlink("lib/libdeep.so.1", "/opt/a").symlink("opt/a", "b").symlink("opt/b", "a");
    round.lacks("start-library", "no library libdeep.so.1");
    // Names that are asked for.
    Scene::of("/opt/loader", &["deep"]).library("lib/deep").starts();
    Scene::of("/opt/loader", &["deep"]).library("opt/blob").symlink("lib/deep", "/opt/blob").starts();
    Scene::of("/opt/loader", &["deep"]).lacks("start-library", "no library deep, which /app needs: no layer has it");
    Scene::of("/opt/loader", &["/opt/deep"]).library("opt/deep").starts();
}

#[test]
fn a_script_needs_its_interpreter() {
    let script = |line: &str| Scene::new().file("app", 0o755, format!("{line}\nexit 0\n"));
    let busybox = || elf(None, &[], &[]);
    let why = "it has no /bin/sh, which the script /app needs: no layer has it";
    script("#!/bin/sh").lacks("start-interpreter", why);
    script("#! /bin/sh -eu").lacks("start-interpreter", why);
    script("#!/bin/sh").symlink("bin/sh", "busybox").lacks("start-interpreter", "it has no /bin/sh");
    // A program that is static and has many names, as busybox.
    script("#!/bin/sh").file("bin/busybox", 0o755, busybox()).symlink("bin/sh", "busybox").starts();
    script("#!/bin/sh").file("bin/busybox", 0o755, busybox()).hard_link("bin/sh", "bin/busybox").starts();
    Scene::new().file("bin/busybox", 0o755, busybox()).symlink("app", "bin/busybox").starts();
    script("#!/bin/sh").file("bin/sh", 0o755, elf(Some(MUSL), &[], &[])).lacks("start-loader", MUSL);
    script("#!/bin/sh").file("usr/bin/sh", 0o755, busybox()).symlink("bin", "usr/bin").starts();
}

#[test]
fn musls_loader_has_rules_of_its_own() {
    let scene = || Scene::of(MUSL, &["libdeep.so.1"]);
    for folder in ["lib", "usr/local/lib", "usr/lib"] {
        scene().library(&format!("{folder}/libdeep.so.1")).starts();
    }
    for folder in ["lib64", "usr/lib64", "lib/x86_64-linux-gnu", "opt"] {
        let why = format!("layer 1 has /{folder}/libdeep.so.1, where nothing looks for it");
        scene().library(&format!("{folder}/libdeep.so.1")).lacks("start-library", &why);
    }
    // Its settings are instead of the usual directories, and no cache is read.
    let path = "etc/ld-musl-x86_64.path";
    scene().library("opt/libdeep.so.1").file(path, 0o644, "/x:/opt\n").starts();
    scene().library("opt/libdeep.so.1").file(path, 0o644, "/x\n/opt\n").starts();
    scene().library("lib/libdeep.so.1").file(path, 0o644, "/opt\n").lacks("start-library", "libdeep.so.1");
    scene().library("lib/libdeep.so.1").file(path, 0o644, "").lacks("start-library", "libdeep.so.1");
    let cached = cache(&[("libdeep.so.1", "/opt/libdeep.so.1")]);
    scene().library("opt/libdeep.so.1").file("etc/ld.so.cache", 0o644, cached).lacks("start-library", "libdeep.so.1");
    // They lie beside the loader's directory.
    let elsewhere = || Scene::of("/opt/m/lib/ld-musl-x86_64.so.1", &["libdeep.so.1"]).library("x/libdeep.so.1");
    elsewhere().file("opt/m/etc/ld-musl-x86_64.path", 0o644, "/x").starts();
    elsewhere().file(path, 0o644, "/x").lacks("start-library", "libdeep.so.1");
    // It is itself what libc is elsewhere.
    Scene::of(MUSL, &["libc.so", "libc.so.6", "libm.so.6", "libpthread.so.0", "libc.musl-x86_64.so.1"]).starts();
    Scene::of(MUSL, &["libcrypt.so.1"]).lacks("start-library", "no library libcrypt.so.1");
    // The first file of a name is taken, and directories of a file hold for all that it leads to.
    let first = scene().file("lib/libdeep.so.1", 0o644, "text").library("usr/lib/libdeep.so.1");
    first.lacks("start-library", "libdeep.so.1");
    for (tag, of_glibc) in [(RUNPATH, false), (RPATH, true)] {
        let near = |loader: &str| {
            let app = elf(Some(loader), &["liba.so"], &[(tag, "$ORIGIN/near")]);
            let scene = Scene::new().file("app", 0o755, app).file(&loader[1..], 0o755, elf(None, &[], &[]));
            scene.file("near/liba.so", 0o644, elf(None, &["libdeep.so.1"], &[])).library("near/libdeep.so.1")
        };
        near(MUSL).starts();
        if of_glibc { near(GLIBC).starts() } else { near(GLIBC).lacks("start-library", "which /near/liba.so needs") }
    }
}
