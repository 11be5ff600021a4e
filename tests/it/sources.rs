//! The same sources give the same bytes wherever they lie: another directory, another `CARGO_HOME`, target and build
//! directories elsewhere, from a registry, from git, or vendored.

use std::path::{Path, PathBuf};
use std::process::Command;

use plugin_build::build::compile::check::check;
use plugin_build::build::compile::compile;
use plugin_build::build::manifest::BuildFlags;
use plugin_oci::environment::Environment;
use plugin_oci::fs::stamps::Hints;
use plugin_oci::values::digest::Digest;

use crate::support::project::{Project, plan_in};
use crate::support::recorder::Recorder;

/// A function whose panic message holds the path of its source, compiled into whoever uses it.
const GENERIC: &str = "#[track_caller]\npub fn first<T: Clone>(items: &[T]) -> T { items.iter().next().expect(\"one\").clone() }\n\
                       pub fn here<T>(_: T) -> &'static str { file!() }\n";

/// The same environment in another working directory.
fn at(mut env: Environment, cwd: &Path) -> Environment {
    cwd.clone_into(&mut env.cwd);
    env
}

fn run(program: &str, args: &[&str], env: &Environment) -> String {
    let mut command = Command::new(program);
    command.env_clear().envs(env.vars()).current_dir(&env.cwd).args(args);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Sources that a project depends on: a git repository and a registry of our own.
struct Upstream {
    project: Project,
}

impl Upstream {
    fn new() -> Self {
        let project = Project::new(&[
            ("git/Cargo.toml", "[package]\nname = \"from-git\"\nversion = \"0.2.0\"\nedition = \"2024\"\n"),
            ("git/src/lib.rs", GENERIC),
            (
                "crate/Cargo.toml",
                "[package]\nname = \"from-registry\"\nversion = \"0.3.0\"\nedition = \"2024\"\ndescription = \"d\"\nlicense = \"MIT\"\n",
            ),
            ("crate/src/lib.rs", GENERIC),
        ]);
        let upstream = Self { project };
        upstream.commit("git");
        let packing = at(upstream.project.env(), &upstream.path("crate"));
        run("cargo", &["package", "--no-verify", "--allow-dirty", "--offline", "--target-dir", "../packed"], &packing);
        let name = "from-registry-0.3.0.crate";
        std::fs::create_dir(upstream.path("files")).unwrap();
        std::fs::copy(upstream.path("packed/package").join(name), upstream.path("files").join(name)).unwrap();
        let checksum = Digest::of(&std::fs::read(upstream.path("files").join(name)).unwrap());
        let files = upstream.path("files");
        upstream
            .project
            .write("index/config.json", &format!("{{\"dl\":\"file://{}/{{crate}}-{{version}}.crate\"}}", files.display()));
        let line = format!(
            "{{\"name\":\"from-registry\",\"vers\":\"0.3.0\",\"deps\":[],\"cksum\":\"{}\",\"features\":{{}},\"yanked\":false}}\n",
            checksum.hex()
        );
        upstream.project.write("index/fr/om/from-registry", &line);
        upstream.commit("index");
        upstream
    }

    fn path(&self, name: &str) -> PathBuf {
        self.project.root.join(name)
    }

    fn commit(&self, name: &str) {
        let env = at(self.project.env(), &self.path(name));
        run("git", &["init", "-q", "-b", "main"], &env);
        run("git", &["add", "."], &env);
        run("git", &["-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "-q", "-m", "a"], &env);
    }

    /// A project that uses both, and a member of its own.
    fn project(&self) -> Project {
        let manifest = format!(
            "[package]\nname = \"p\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\nmembers = [\"own\"]\n[dependencies]\n\
             own = {{ path = \"own\" }}\nfrom-git = {{ git = \"file://{}\" }}\nfrom-registry = {{ version = \"0.3\", registry = \"ours\" }}\n",
            self.path("git").display()
        );
        let main = "fn main() {\n    println!(\"{} {} {}\", own::here(1), from_git::here(1), from_registry::here(1));\n    \
                    let items: Vec<u8> = std::env::args().map(|a| a.len() as u8).collect();\n    \
                    println!(\"{}\", own::first(&items) + from_git::first(&items) + from_registry::first(&items));\n}\n";
        Project::new(&[
            ("Cargo.toml", &manifest),
            ("own/Cargo.toml", "[package]\nname = \"own\"\nversion = \"0.1.0\"\nedition = \"2024\"\n"),
            ("own/src/lib.rs", GENERIC),
            ("src/main.rs", main),
            (".cargo/config.toml", &format!("[registries.ours]\nindex = \"file://{}\"\n", self.path("index").display())),
        ])
    }
}

/// An environment with a `CARGO_HOME` of its own inside `project`.
fn own_home(project: &Project) -> Environment {
    let mut env = project.env();
    env.set("CARGO_HOME", project.root.with_file_name("cargo-home").into_os_string());
    env
}

/// The program, after checking that it tells nothing of this machine.
fn program(env: &Environment, flags: &BuildFlags) -> Vec<u8> {
    let flags = BuildFlags { quiet: true, ..flags.clone() };
    let recorder = Recorder::default();
    let plan = plan_in(&flags, env, &recorder).unwrap();
    let artifacts = compile(&plan, env, &recorder).unwrap().artifacts;
    let hints = Hints::open(&plan.target_directory.join("hints.json"), &Environment::default());
    let checked = check(&plan, &artifacts, &[hints], true, env, &recorder).unwrap();
    assert_eq!(checked[0].leaks, [], "{}", recorder.texts().join("\n"));
    std::fs::read(&artifacts[0].path).unwrap()
}

#[test]
#[ignore = "slow"]
#[cfg(target_os = "linux")]
fn sources_give_the_same_bytes_wherever_they_lie_and_come_from() {
    let upstream = Upstream::new();
    let first = upstream.project();
    let expected = program(&own_home(&first), &BuildFlags::default());

    let elsewhere = upstream.project();
    let outside = elsewhere.root.join("../outside");
    let flags = BuildFlags { target_dir: Some(outside.join("target")), jobs: Some("1".to_owned()), ..BuildFlags::default() };
    let mut env = own_home(&elsewhere);
    env.set("TZ", "Asia/Tokyo");
    env.set("LANG", "de_DE.UTF-8");
    assert!(program(&env, &flags) == expected, "another directory, target directory and CARGO_HOME");

    env.set("CARGO_BUILD_BUILD_DIR", outside.join("build").into_os_string());
    assert!(program(&env, &BuildFlags::default()) == expected, "a build directory elsewhere");

    let linked = elsewhere.root.join("../linked");
    link(&elsewhere.root, &linked);
    let env = at(own_home(&elsewhere), &linked);
    assert!(program(&env, &BuildFlags::default()) == expected, "through a symlink");

    let vendored = upstream.project();
    let env = own_home(&vendored);
    let config = run("cargo", &["vendor", "--versioned-dirs", "vendored sources"], &env);
    let known = std::fs::read_to_string(vendored.root.join(".cargo/config.toml")).unwrap();
    vendored.write(".cargo/config.toml", &format!("{known}\n{config}"));
    std::fs::remove_dir_all(vendored.root.with_file_name("cargo-home")).unwrap();
    let flags = BuildFlags { frozen: true, ..BuildFlags::default() };
    assert!(program(&env, &flags) == expected, "vendored");
}

#[cfg(unix)]
fn link(original: &Path, link: &Path) {
    std::os::unix::fs::symlink(original, link).unwrap();
}
