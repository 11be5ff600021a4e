//! The ways, each as a script in a copy of the plugin of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::registry::Registry;

/// How a change gets to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// What the compiler takes, whoever drives it.
    Cargo,
    /// By a registry.
    Push,
    /// On the same machine.
    Install,
    /// With a Dockerfile, in a cache that outlives its builds.
    Docker,
    /// With a Dockerfile, dependencies in a layer of their own.
    Chef,
}

impl Way {
    /// In the order in which they run.
    pub const ALL: [Self; 5] = [Self::Cargo, Self::Push, Self::Install, Self::Docker, Self::Chef];

    /// Whether it wants a daemon.
    pub const fn is_docker(self) -> bool {
        matches!(self, Self::Docker | Self::Chef)
    }

    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cargo => "cargo build --release",
            Self::Push => "plugin-build push, pull",
            Self::Install => "plugin-build install",
            Self::Docker => "docker: cache mount, push, pull",
            Self::Chef => "docker: cargo-chef, push, pull",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Cargo => "cargo",
            Self::Push => "push",
            Self::Install => "install",
            Self::Docker => "docker",
            Self::Chef => "chef",
        }
    }
}

/// What all ways work on.
pub struct Scene {
    folder: PathBuf,
    program: PathBuf,
    image: Option<String>,
    template: Template,
    registry: Registry,
}

/// A template, the file with the line that changes, and how that begins, up to somewhere in a string.
pub type Template = (&'static str, &'static str, &'static str);

/// Those that can be taken.
pub const TEMPLATES: [Template; 2] = [
    ("cosmo-router", "src/service.rs", "let salutation = \"Hello"),
    ("executable", "src/main.rs", "const USAGE: &str = \"usage"),
];

const VENDORED: &str = "\
[source.crates-io]
replace-with = 'vendored-sources'
[source.vendored-sources]
directory = 'vendor'
";
const MOUNT: &str = "\
FROM rust AS build
WORKDIR /work
COPY vendor vendor
COPY . .
RUN --mount=type=cache,target=/target cargo build --release --offline --target-dir /target && cp /target/release/road /road
";
const CHEF: &str = "\
FROM rust AS plan
WORKDIR /work
COPY . .
RUN cargo chef prepare --recipe-path recipe.json
FROM rust AS build
WORKDIR /work
COPY .cargo .cargo
COPY vendor vendor
COPY --from=plan /work/recipe.json recipe.json
RUN cargo chef cook --release --offline --recipe-path recipe.json
COPY . .
RUN cargo build --release --offline && cp target/release/road /road
";
const LAST: &str = "\
FROM scratch
COPY --from=build /road /road
ENTRYPOINT [\"/road\"]
";

impl Scene {
    /// Makes the plugin once for each way, unless an earlier run did.
    pub fn new(folder: &Path, template: Template, program: PathBuf, image: Option<String>) -> Self {
        let registry = Registry::start(&folder.join("registry"));
        let scene = Self { folder: folder.to_owned(), program, image, template, registry };
        let made = folder.join("made/road");
        if !made.join("vendor").exists() {
            let (program, made) = (scene.program.display(), made.display());
            sh(folder, &format!("rm -rf made; {program} new -q {made} --template {}", template.0));
            sh(folder, &format!("cd {made}; mkdir -p .cargo vendor; echo '[workspace]' >> Cargo.toml; cargo vendor -q vendor"));
            fs::write(scene.folder.join("made/road/.cargo/config.toml"), VENDORED).expect("a file");
        }
        for way in Way::ALL {
            sh(folder, &format!("mkdir -p {0}; [ -e {0}/road ] || cp -a made/road {0}/road", way.word()));
        }
        if let Some(image) = &scene.image {
            for (way, file) in [(Way::Docker, MOUNT), (Way::Chef, CHEF)] {
                let file = format!("FROM {image} AS rust\n{file}{LAST}");
                fs::write(scene.plugin(way).join("Dockerfile"), file).expect("a file");
                fs::write(scene.plugin(way).join(".dockerignore"), "target\nhost\n").expect("a file");
            }
        }
        scene
    }

    fn plugin(&self, way: Way) -> PathBuf {
        self.folder.join(way.word()).join("road")
    }

    /// Takes away what is compiled and cached.
    pub fn forget(&self, way: Way) {
        sh(&self.plugin(way), "rm -rf target host plugins");
        if way.is_docker() {
            sh(&self.plugin(way), "docker builder prune -af");
        }
    }

    /// Changes a line of each plugin.
    pub fn change(&self, round: usize) {
        let (_, file, line) = self.template;
        for way in Way::ALL {
            let file = self.plugin(way).join(file);
            let text = fs::read_to_string(&file).expect("the template");
            let (before, rest) = text.split_once(line).expect("the line of the template");
            let rest = rest.split_once('"').expect("the end of a string").1;
            fs::write(&file, format!("{before}{line} {round}\"{rest}")).expect("a file");
        }
    }

    /// Goes the way once.
    pub fn run(&self, way: Way) -> Duration {
        let (program, host) = (self.program.display(), &self.registry.host);
        let registry = format!("-q --plain-http {host}");
        let script = match way {
            Way::Cargo => "cargo build -q --release --offline".to_owned(),
            Way::Push => {
                format!("{program} push {registry} --offline {host}/ours:1; {program} pull {registry} {host}/ours:1 host")
            }
            Way::Install => format!("{program} install -q --offline plugins"),
            Way::Docker | Way::Chef => format!(
                "DOCKER_BUILDKIT=1 docker build -q --network none -t {host}/{0}:1 .; docker push -q {host}/{0}:1; \
                 {program} pull {registry} {host}/{0}:1 host",
                way.word()
            ),
        };
        let start = Instant::now();
        sh(&self.plugin(way), &script);
        start.elapsed()
    }

    /// The bytes of each way's image that a host pulls.
    pub fn sizes(&self, ways: &[Way]) -> Vec<(&'static str, u64)> {
        let pulled = ways.iter().filter(|way| way.is_docker() || **way == Way::Push);
        pulled
            .map(|way| {
                let host = self.folder.join(way.word()).join("sized");
                let (program, at) = (self.program.display(), &self.registry.host);
                let name = if *way == Way::Push { "ours" } else { way.word() };
                let script = format!("rm -rf {0}; {program} pull -q --plain-http {at} {at}/{name}:1 {0}", host.display());
                sh(&self.folder, &script);
                let files = walkdir::WalkDir::new(host.join("blobs")).into_iter().filter_map(Result::ok);
                let bytes =
                    files.filter_map(|file| file.metadata().ok()).filter(fs::Metadata::is_file).map(|file| file.len()).sum();
                (way.name(), bytes)
            })
            .collect()
    }
}

fn sh(folder: &Path, script: &str) {
    let mut command = Command::new("sh");
    let status = command.args(["-ec", script]).current_dir(folder).stdout(Stdio::null()).status().expect("sh");
    assert!(status.success(), "{script}");
}
