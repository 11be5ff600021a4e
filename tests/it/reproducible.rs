//! The same sources give the same digest, whatever else differs: one image, built under every circumstance that must make
//! no difference, with a build script, assets, a dependency from the registry and one from git.
//!
//! Circumstances that cannot hide each other share a build; a build that differs is explained by our own `diff`.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use crate::support::git::git_dependency;
use crate::support::program::{Ran, plugin_build, ran};
use crate::support::project::{Project, copy};
use crate::support::tools::{require, skip, stdout};

/// The first build, which all others are compared with.
struct First {
    /// Everything of these tests.
    root: PathBuf,
    sources: PathBuf,
    digest: String,
}

static FIRST: LazyLock<First> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reproducible");
    drop(fs::remove_dir_all(&root));
    fs::create_dir_all(&root).unwrap();
    let root = root.canonicalize().unwrap();
    let repository = git_dependency(&root.join("git/orbit"));
    let sources = sources(&root.join("sources"), &repository);
    let mut lock = Command::new("cargo");
    lock.args(["generate-lockfile", "--quiet"]).current_dir(&sources).env("CARGO_HOME", cargo_home(&root.join("locking")));
    stdout(&mut lock);
    let first = First { root, sources, digest: String::new() };
    let digest = Circumstances::new(&first, "first").build().1;
    First { digest, ..first }
});

/// The fixture with assets and two dependencies more.
fn sources(dir: &Path, repository: &str) -> PathBuf {
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/plugins/buildscript"), dir);
    let edit = |file: &str, from: &str, to: &str| {
        let text = fs::read_to_string(dir.join(file)).unwrap();
        assert!(text.contains(from), "{file} has no `{from}`");
        fs::write(dir.join(file), text.replacen(from, to, 1)).unwrap();
    };
    let files = "[package.metadata.plugin-build]\nfiles = [{ from = \"assets/**\", to = \"share/\" }]";
    edit("Cargo.toml", "[package.metadata.plugin-build]", files);
    let dependencies = format!("[workspace]\n\n[dependencies]\nfnv = \"1.0.7\"\norbit = {{ git = \"{repository}\" }}");
    edit("Cargo.toml", "[workspace]", &dependencies);
    let use_them = "fn main() {\n    let count = env::args().count();\n    let mut hasher = fnv::FnvHasher::default();\n    \
                    std::hash::Hasher::write_usize(&mut hasher, count);\n    \
                    println!(\"{} {}\", orbit::place(count - 1), std::hash::Hasher::finish(&hasher));";
    edit("src/main.rs", "fn main() {", use_them);
    for name in ["b", "a", "c/d", "c/e", "z"] {
        let path = dir.join("assets").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("asset {name}\n")).unwrap();
    }
    dir.to_owned()
}

/// A `CARGO_HOME` of its own; only downloads are shared with the developer's.
#[expect(clippy::disallowed_methods, reason = "tests run in the developer's environment")]
fn cargo_home(dir: &Path) -> PathBuf {
    let var = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let developers = var("CARGO_HOME").unwrap_or_else(|| var("HOME").unwrap().join(".cargo"));
    fs::create_dir_all(dir.join("registry")).unwrap();
    for name in ["registry/cache", "registry/index"] {
        fs::create_dir_all(developers.join(name)).unwrap();
        drop(std::os::unix::fs::symlink(developers.join(name), dir.join(name)));
    }
    dir.to_owned()
}

/// Where rustup keeps toolchains, which must not move with `HOME`.
#[expect(clippy::disallowed_methods, reason = "tests run in the developer's environment")]
fn rustup_home() -> OsString {
    std::env::var_os("RUSTUP_HOME").unwrap_or_else(|| Path::new(&std::env::var_os("HOME").unwrap()).join(".rustup").into())
}

/// One build and what is special about it.
struct Circumstances<'a> {
    first: &'a First,
    name: &'static str,
    /// The sources' directory, below the tests' own.
    path: PathBuf,
    /// Programs in front of ours.
    prefix: Vec<OsString>,
    env: Vec<(&'static str, OsString)>,
    args: Vec<OsString>,
}

impl<'a> Circumstances<'a> {
    fn new(first: &'a First, name: &'static str) -> Self {
        let env = vec![("CARGO_HOME", cargo_home(&first.root.join(name).join("cargo")).into())];
        Self { first, name, path: first.root.join(name).join("ws"), prefix: Vec::new(), env, args: Vec::new() }
    }

    fn path(mut self, path: &str) -> Self {
        self.path = self.first.root.join(self.name).join(path);
        self
    }

    fn env(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name, value.as_ref().to_owned()));
        self
    }

    fn prefix(mut self, words: &[&str]) -> Self {
        self.prefix.extend(words.iter().map(OsString::from));
        self
    }

    fn umask(self, mask: &str) -> Self {
        let script = format!("umask {mask}; exec \"$@\"");
        self.prefix(&["sh", "-c", &script, "sh"])
    }

    fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Copies the sources where they are not yet, and gives the directory.
    fn check_out(&self) -> &Path {
        if !self.path.exists() {
            copy(&self.first.sources, &self.path);
        }
        &self.path
    }

    fn layout(&self) -> PathBuf {
        self.first.root.join(self.name).join("image")
    }

    fn command(&self, args: &[&str]) -> Command {
        let program = OsString::from(env!("CARGO_BIN_EXE_cargo-plugin-build"));
        let mut words = self.prefix.iter().chain([&program]);
        let mut command = Command::new(words.next().unwrap());
        let plain = plugin_build(self.check_out());
        command.args(words).current_dir(&self.path).env_clear();
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("RUSTUP_HOME", rustup_home());
        command.envs(self.env.iter().map(|(name, value)| (*name, value))).args(args);
        command
    }

    /// Builds; the digest.
    fn build(&self) -> (Ran, String) {
        let mut command = self.command(&["build", "-q", "--locked", "--message-format", "json", "-o"]);
        let ran = ran(command.arg(self.layout()).args(&self.args));
        assert_eq!(ran.code, 0, "{}: {}", self.name, ran.stderr);
        let image: Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
        assert_eq!(image["reason"], "plugin-image");
        let digest = image["digest"].as_str().unwrap().to_owned();
        (ran, digest)
    }

    /// Builds, and explains how the result differs from the first build's.
    fn makes_no_difference(&self) {
        let digest = self.build().1;
        if digest != self.first.digest {
            let image = |layout: &Path| format!("oci:{}:0.1.0", layout.display());
            let mut diff = plugin_build(&self.first.root);
            diff.arg("diff").arg(image(&self.first.root.join("first/image"))).arg(image(&self.layout()));
            panic!("{}: {} -> {digest}\n{}", self.name, self.first.digest, ran(&mut diff).stdout);
        }
    }
}

#[test]
#[ignore = "slow"]
fn neither_paths_nor_homes_nor_locale_nor_umask_nor_jobs_make_a_difference() {
    let first = &*FIRST;
    let root = first.root.display();
    Circumstances::new(first, "open").path("x").umask("000").env("HOME", format!("{root}/nobody")).makes_no_difference();
    let long = "a/much/longer/path/with-a-name-of-many-characters/and-some-more-of-them/until-nothing-fits/workspace";
    let strict = Circumstances::new(first, "strict").path(long).umask("077").arg("-j1").env("HOME", "/");
    strict.env("TZ", "Pacific/Chatham").env("LANG", "tr_TR.UTF-8").env("LC_ALL", "tr_TR.UTF-8").makes_no_difference();
}

#[test]
#[ignore = "needs taskset"]
fn neither_processors_nor_users_make_a_difference() {
    let first = &*FIRST;
    let (Some(_), Some(_)) = (require("taskset"), require("unshare")) else { return };
    Circumstances::new(first, "one-processor").umask("022").prefix(&["taskset", "-c", "0"]).makes_no_difference();
    let several = Circumstances::new(first, "another-user").prefix(&["taskset", "-c", "0,1"]);
    let user = ["unshare", "--user", "--map-user=12345", "--map-group=54321"];
    if !Command::new(user[0]).args(&user[1..]).arg("true").status().unwrap().success() {
        skip("no user namespaces here");
        return;
    }
    several.prefix(&user).env("TZ", "America/St_Johns").env("LANG", "ja_JP.EUC-JP").makes_no_difference();
}

#[test]
#[ignore = "slow"]
fn products_may_lie_anywhere() {
    let first = &*FIRST;
    let outside = first.root.join("outside/somewhere/target");
    Circumstances::new(first, "outside").arg("--target-dir").arg(&outside).makes_no_difference();
    let inside = Circumstances::new(first, "inside").arg("--target-dir").arg("products/of/cargo");
    inside.env("CARGO_BUILD_BUILD_DIR", first.root.join("inside-build-dir")).makes_no_difference();
}

#[test]
fn vendored_sources_are_those_of_registry_and_git() {
    let first = &*FIRST;
    let vendored = Circumstances::new(first, "vendored");
    let mut vendor = Command::new("cargo");
    vendor.args(["vendor", "--locked", "--versioned-dirs", "third-party"]).current_dir(vendored.check_out());
    vendor.envs(vendored.env.iter().map(|(name, value)| (*name, value)));
    let config = stdout(&mut vendor);
    assert!(config.contains("git+file://") || config.contains("git = \"file://"), "{config}");
    fs::create_dir_all(vendored.path.join(".cargo")).unwrap();
    fs::write(vendored.path.join(".cargo/config.toml"), config).unwrap();
    vendored.arg("--offline").makes_no_difference();
}

#[test]
#[ignore = "slow"]
fn an_installed_standard_library_source_makes_no_difference() {
    let first = &*FIRST;
    let sysroot = PathBuf::from(stdout(Command::new("rustc").args(["--print", "sysroot"])).trim());
    let copy = first.root.join("with-src/toolchain");
    fs::create_dir_all(copy.parent().unwrap()).unwrap();
    let linked = Command::new("cp").arg("-al").arg(&sysroot).arg(&copy).output().unwrap().status.success();
    if !linked {
        drop(fs::remove_dir_all(&copy));
        stdout(Command::new("cp").arg("-a").arg(&sysroot).arg(&copy));
    }
    // rustc looks for this one file to decide whether the sources are there.
    let std = copy.join("lib/rustlib/src/rust/library/std/src/lib.rs");
    if std.exists() {
        fs::remove_dir_all(copy.join("lib/rustlib/src")).unwrap();
    } else {
        fs::create_dir_all(std.parent().unwrap()).unwrap();
        fs::write(&std, "").unwrap();
    }
    let with_src = Circumstances::new(first, "with-src").env("RUSTC", copy.join("bin/rustc"));
    with_src.makes_no_difference();
    drop(fs::remove_dir_all(copy));
}

#[test]
#[ignore = "needs faketime"]
fn the_clock_makes_no_difference() {
    let first = &*FIRST;
    let Some(_) = require("faketime") else { return };
    let future = Circumstances::new(first, "clock").prefix(&["faketime", "2033-05-18 03:33:20"]);
    // rustc's allocator and libfaketime wait for each other at the start; cargo, build scripts and we get the other time.
    let rustc = PathBuf::from(stdout(Command::new("rustc").args(["--print", "sysroot"])).trim()).join("bin/rustc");
    let script = first.root.join("clock/rustc");
    fs::write(&script, format!("#!/bin/sh\nLD_PRELOAD= exec {} \"$@\"\n", rustc.display())).unwrap();
    assert!(Command::new("chmod").arg("+x").arg(&script).status().unwrap().success());
    future.env("NO_FAKE_STAT", "1").env("RUSTC", &script).makes_no_difference();
}

#[test]
#[ignore = "needs disorderfs"]
fn the_order_of_directories_makes_no_difference() {
    let first = &*FIRST;
    let Some(_) = require("disorderfs") else { return };
    let disordered = Circumstances::new(first, "disorder").path("mounted");
    let behind = first.root.join("disorder/behind");
    copy(&first.sources, &behind);
    fs::create_dir_all(&disordered.path).unwrap();
    let mut mount = Command::new("disorderfs");
    mount.args(["--shuffle-dirents=yes", "--sort-dirents=no", "--multi-user=no"]).arg(&behind).arg(&disordered.path);
    let mounted = mount.output().unwrap();
    if !mounted.status.success() {
        skip(&format!("no FUSE here: {}", String::from_utf8_lossy(&mounted.stderr)));
        return;
    }
    let _unmount = Unmount(disordered.path.clone());
    disordered.arg("--target-dir").arg(first.root.join("disorder/target")).makes_no_difference();
}

struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        drop(Command::new("fusermount").arg("-uz").arg(&self.0).status());
    }
}

#[test]
#[ignore = "needs sccache"]
fn a_compiler_cache_makes_no_difference() {
    let first = &*FIRST;
    let Some(sccache) = require("sccache") else { return };
    let cached = |name: &'static str| {
        let one = Circumstances::new(first, name).env("RUSTC_WRAPPER", &sccache);
        let one = one.env("SCCACHE_SERVER_PORT", "42917").env("SCCACHE_IDLE_TIMEOUT", "120");
        one.env("SCCACHE_DIR", first.root.join("sccache"))
    };
    let (filling, using) = (cached("cache-filling"), cached("cache-using"));
    filling.makes_no_difference();
    using.makes_no_difference();
    let mut stop = Command::new(&sccache);
    stop.arg("--stop-server").envs(using.env.iter().map(|(name, value)| (*name, value)));
    drop(stop.output());
}

#[test]
fn a_wrapper_of_workspace_members_is_warned_of() {
    let first = &*FIRST;
    let wrapped = Circumstances::new(first, "wrapped");
    let wrapper = first.root.join("wrapper");
    fs::write(&wrapper, "#!/bin/sh\nexec \"$@\"\n").unwrap();
    assert!(Command::new("chmod").arg("+x").arg(&wrapper).status().unwrap().success());
    let mut build = wrapped.command(&["build", "-o"]);
    let ran = ran(build.arg(wrapped.layout()).env("RUSTC_WORKSPACE_WRAPPER", &wrapper));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("RUSTC_WORKSPACE_WRAPPER"), "{}", ran.stderr);
}

#[test]
#[ignore = "slow"]
fn a_rebuild_of_an_image_with_every_kind_of_dependency_is_the_same() {
    let first = &*FIRST;
    let one = Circumstances::new(first, "rebuilt");
    assert_eq!(one.build().1, first.digest);
    let mut verify = one.command(&["verify", "--rebuild", "-q"]);
    let verified = ran(verify.arg(format!("oci:{}:0.1.0", one.layout().display())));
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
}

#[test]
fn a_time_that_is_none_is_a_usage_error() {
    let project = Project::fixture("buildscript");
    for wrong in ["abc", "-1", "", "9223372036854775808", "253402300800", "1.5", " 1"] {
        let ran = ran(plugin_build(&project.root).args(["build", "-q"]).env("SOURCE_DATE_EPOCH", wrong));
        assert_eq!(ran.code, 2, "`{wrong}`: {}", ran.stderr);
        assert!(ran.stderr.contains("SOURCE_DATE_EPOCH"), "{}", ran.stderr);
    }
    assert!(!project.root.join("target/plugin-build").exists());
}

#[test]
fn a_stale_lock_file_is_cargos_error_and_stays_as_it_is() {
    let project = Project::fixture("buildscript");
    let manifest = fs::read_to_string(project.root.join("Cargo.toml")).unwrap();
    project.write("Cargo.toml", &format!("{manifest}\n[dependencies]\nother = {{ path = 'other' }}\n"));
    project.write("other/Cargo.toml", "[package]\nname = 'other'\nversion = '0.1.0'\nedition = '2024'\n");
    project.write("other/src/lib.rs", "");
    let before = fs::read(project.root.join("Cargo.lock")).unwrap();
    let ran = ran(plugin_build(&project.root).args(["build", "--locked"]));
    assert!(ran.code == 1 || ran.code == 2, "{}: {}", ran.code, ran.stderr);
    assert!(ran.stderr.contains("--locked"), "{}", ran.stderr);
    assert_eq!(fs::read(project.root.join("Cargo.lock")).unwrap(), before);
    assert!(!project.root.join("target/plugin-build").exists());
}
