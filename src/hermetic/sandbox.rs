//! Decides what the build sees, from what is known about the workspace. Reads, and writes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::variables::{Fixed, HOME, TMP, names_a_tool, variables};
use super::view::{Content, Role, View, trace};
use super::{HermeticError, TARGET, secrets};
use crate::environment::Environment;
use crate::fs::sorted_listing;
use crate::plugin::Workspace;
use crate::repository::{Repository, repositories};
use crate::toolchain::{self, cargo, cargo_home, config, find_program};

/// The system's programs and libraries, and what the linker and the loader look things up in.
const SYSTEM: [&str; 13] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/gnu/store",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
];

/// Where the system's programs are.
const PATH: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// What the build sees and gets: decided, not yet enforced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sandbox {
    /// The cargo of the toolchain; one that chooses a toolchain first could not do so inside.
    pub cargo: PathBuf,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// The file system.
    #[serde(flatten)]
    pub view: View,
    /// The directories that must be there, and that the caller makes.
    pub directories: Vec<PathBuf>,
    /// Whether there is something to fetch.
    pub fetches: bool,
}

/// What a sandbox is for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The workspace.
    pub workspace: &'a Workspace,
    /// The linkers.
    pub linkers: &'a [PathBuf],
    /// Cargo's own arguments: `--config` may name files.
    pub cargo_args: &'a [String],
    /// Whether the network may be used before the build.
    pub online: bool,
    /// The caller's environment.
    pub env: &'a Environment,
}

/// A command for the sandbox.
#[derive(Clone, Debug)]
pub struct Inside<'a> {
    /// Its arguments; the program is the sandbox's cargo.
    pub args: &'a [String],
    /// Variables over the sandbox's own.
    pub env: &'a BTreeMap<String, String>,
    /// The working directory.
    pub cwd: &'a Path,
}

impl Sandbox {
    /// Decides.
    pub fn decide(wanted: Wanted<'_>) -> Result<Self, HermeticError> {
        if !cfg!(target_os = "linux") {
            return Err(HermeticError::NotLinux);
        }
        let workspace = wanted.workspace;
        let target = workspace.target_directory.join(TARGET);
        let build = workspace.build_directory.join(TARGET);
        let mut decider = Decider { wanted, view: View::default(), path: Vec::new() };
        // Where two claim a path, the first has it: what may be written, then what hides, then what may be read.
        for (directory, writable) in [(&workspace.target_directory, &target), (&workspace.build_directory, &build)] {
            // A link in the sources could lead the build's writes anywhere.
            let real = trace(writable).real;
            if real != trace(directory).real.join(TARGET) {
                return Err(HermeticError::Led { path: writable.clone(), real });
            }
            decider.view.add(writable, Role::Target, Content::Writable);
            if !workspace.root.starts_with(directory) {
                decider.view.add(directory, Role::Cover, Content::Empty);
            }
        }
        decider.view.add(Path::new(TMP), Role::Temporary, Content::Scratch);
        decider.view.add(Path::new(HOME), Role::Cover, Content::Empty);
        let cargo_home = decider.cargo_home();
        let (cargo, rustc) = decider.toolchain();
        decider.sources()?;
        decider.tools();
        for path in SYSTEM {
            decider.view.add(Path::new(path), Role::System, Content::ReadOnly);
        }
        decider.configuration()?;
        decider.cover();
        // An empty directory on the way is enough for cargo to start in.
        if !decider.view.shows(&wanted.env.cwd) {
            decider.view.add(&wanted.env.cwd, Role::Cover, Content::Empty);
        }
        decider.path.extend(PATH.map(PathBuf::from));
        let build_directory = (build != target).then(|| build.clone());
        let fixed = Fixed { path: decider.path, cargo_home, rustc, build_directory };
        let mut directories = vec![target, build];
        directories.extend(fixed.cargo_home.clone());
        directories.dedup();
        Ok(Self {
            cargo,
            env: variables(wanted.env, &fixed),
            view: decider.view,
            directories,
            fetches: wanted.online && !is_vendored(workspace),
        })
    }
}

struct Decider<'a> {
    wanted: Wanted<'a>,
    view: View,
    path: Vec<PathBuf>,
}

impl Decider<'_> {
    /// What was fetched, read-only, in a directory that holds nothing else: no credentials, no programs.
    fn cargo_home(&mut self) -> Option<PathBuf> {
        let home = cargo_home(self.wanted.env)?;
        self.view.add(&home, Role::Cover, Content::Empty);
        for part in ["registry", "git"] {
            self.view.add(&home.join(part), Role::Fetched, Content::ReadOnly);
        }
        Some(home)
    }

    /// The toolchain; cargo, and rustc where it is not simply the toolchain's.
    fn toolchain(&mut self) -> (PathBuf, Option<PathBuf>) {
        let env = self.wanted.env;
        let rustc = &self.wanted.workspace.rustc;
        self.view.add(&rustc.sysroot, Role::Toolchain, Content::ReadOnly);
        self.path.push(rustc.sysroot.join("bin"));
        // A proxy that chooses a toolchain lies beside the program that manages them.
        let is_proxy = |program: &Path| program.parent().is_some_and(|directory| directory.join("rustup").exists());
        let own = rustc.sysroot.join("bin/cargo");
        let named = find_program(&cargo(env), env);
        let cargo = match named {
            Some(named) if !is_proxy(&named) => named,
            _ if own.is_file() => own,
            Some(named) => named,
            None => own,
        };
        let chosen = Some(env.resolve(&rustc.program)).filter(|program| {
            rustc.program.components().count() > 1 && !is_proxy(program) && !program.starts_with(rustc.sysroot.join("bin"))
        });
        // It may have to stand between cargo and rustc.
        for program in [Some(&cargo), chosen.as_ref(), env.program.as_ref()].into_iter().flatten() {
            if !self.view.shows(&trace(program).real) {
                self.view.add(program, Role::Toolchain, Content::ReadOnly);
            }
        }
        (cargo, chosen)
    }

    /// The workspace, vendored sources, path dependencies. No repository's tokens.
    fn sources(&mut self) -> Result<(), HermeticError> {
        let workspace = self.wanted.workspace;
        let mut add = |path: &Path, role: Role, what: &'static str| {
            let real = trace(path).real;
            if real == Path::new("/") || self.secrets().contains(&real) {
                return Err(HermeticError::Exposed { what, path: path.to_owned() });
            }
            let without = [&workspace.target_directory, &workspace.build_directory];
            for repository in repositories(&real, &without) {
                show(&repository, &mut self.view);
            }
            if let Some(repository) = Repository::above(&real).and_then(|above| Repository::at(&above)) {
                if repository.dot_git.is_file() {
                    self.view.add(&repository.dot_git, Role::Cover, Content::ReadOnly);
                }
                show(&repository, &mut self.view);
            }
            self.view.add(path, role, Content::ReadOnly);
            Ok(())
        };
        add(&workspace.root, Role::Workspace, "the workspace")?;
        // Links may lead out of it.
        let root = trace(&workspace.root).real;
        for member in workspace.members.iter().filter(|member| !trace(member).real.starts_with(&root)) {
            add(member, Role::Workspace, "the member")?;
        }
        let config = &workspace.cargo_config;
        // The sources' configuration names them, and could name any other directory.
        let vendored = config.vendor_directories().into_iter().filter(|path| holds_packages(path));
        let registries = config.local_registries().into_iter().filter(|path| path.join("index").is_dir());
        for directory in vendored.chain(registries) {
            add(&directory, Role::Vendor, "the vendor directory")?;
        }
        for package in workspace.foreign.iter().filter(|package| package.is_path) {
            add(&package.directory, Role::PathDependency, "the path dependency")?;
        }
        // A package may inherit from a workspace above it.
        for package in workspace.foreign.iter().filter(|package| package.is_path) {
            for manifest in package.directory.ancestors().skip(1).map(|above| above.join("Cargo.toml")) {
                if manifest.is_file() && !self.view.shows(&manifest) {
                    self.view.add(&manifest, Role::PathDependency, Content::ReadOnly);
                }
            }
        }
        Ok(())
    }

    /// Directories that hold secrets: followed, as the view's paths are.
    fn secrets(&self) -> Vec<PathBuf> {
        let homes = [toolchain::home(self.wanted.env), cargo_home(self.wanted.env)];
        homes.into_iter().flatten().map(|home| trace(&home).real).collect()
    }

    /// Linkers, C compilers and drivers outside the system's directories.
    fn tools(&mut self) {
        let env = self.wanted.env;
        let named = env.vars().filter(|(name, _)| name.to_str().is_some_and(names_a_tool));
        let named = named.filter_map(|(_, value)| value.to_str()?.split_whitespace().next().map(PathBuf::from));
        let mut programs: Vec<PathBuf> = self.wanted.linkers.to_vec();
        programs.extend(named.filter(|word| !word.starts_with("-")));
        programs.extend(["cargo-zigbuild", "zig"].map(PathBuf::from));
        for program in programs.iter().filter_map(|program| find_program(program, env)) {
            let real = trace(&program).real;
            let is_system = |path: &Path| SYSTEM.iter().any(|system| path.starts_with(system));
            if is_system(&program) && is_system(&real) || self.view.shows(&program) && self.view.shows(&real) {
                continue;
            }
            self.path.extend(program.parent().map(Path::to_owned));
            self.view.add(&program, Role::Linker, Content::ReadOnly);
            if let Some(prefix) = self.prefix(&real) {
                self.view.add(&prefix, Role::Linker, Content::ReadOnly);
            }
        }
        self.path.dedup();
    }

    /// What belongs to a program: the directory above its `bin`, else its own; nothing where that could hold secrets.
    fn prefix(&self, program: &Path) -> Option<PathBuf> {
        let directory = program.parent()?;
        let above = directory.parent().filter(|_| directory.ends_with("bin"));
        let hidden = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let harmless = |path: &Path| !hidden(path) && !self.secrets().iter().any(|secret| secret.starts_with(path));
        above.filter(|path| harmless(path)).or(Some(directory).filter(|path| harmless(path))).map(Path::to_owned)
    }

    /// The files of cargo's configuration that lie where the build sees nothing else, and those that `--config` names.
    fn configuration(&mut self) -> Result<(), HermeticError> {
        let env = self.wanted.env;
        let given = config::config_arguments(self.wanted.cargo_args).map(|argument| env.resolve(Path::new(argument)));
        let given: Vec<PathBuf> = given.filter(|path| path.is_file()).collect();
        for file in config::files(env).into_iter().chain(given) {
            if !self.view.shows(&trace(&file).real) {
                let text = secrets::cargo_config(config::read_file(&file)?);
                self.view.add(&file, Role::Configuration, Content::Text(text));
            }
        }
        Ok(())
    }

    /// Hides the home directory where it lies in something that can be seen.
    fn cover(&mut self) {
        for secret in self.secrets() {
            if self.view.shows(&secret) && secret.is_dir() {
                self.view.add(&secret, Role::Cover, Content::Empty);
            }
        }
    }
}

/// Shows git what it needs of a repository, and hides the rest.
fn show(repository: &Repository, view: &mut View) {
    for directory in repository.directories() {
        view.add(directory, Role::Cover, Content::Empty);
    }
    for part in repository.parts() {
        let content = part.text.map_or(Content::ReadOnly, Content::Text);
        view.add(&part.path, Role::Cover, content);
    }
    for objects in repository.alternates() {
        view.add(&objects, Role::Cover, Content::ReadOnly);
    }
}

/// Whether a directory is what `cargo vendor` makes.
fn holds_packages(directory: &Path) -> bool {
    let names = sorted_listing(directory).unwrap_or_default();
    names.iter().any(|name| directory.join(name).join(".cargo-checksum.json").is_file())
}

/// Whether every source that the lock file names is on this disk.
fn is_vendored(workspace: &Workspace) -> bool {
    let Ok(text) = std::fs::read_to_string(workspace.root.join("Cargo.lock")) else { return false };
    let Ok(lock) = text.parse::<toml::Table>() else { return false };
    let packages = lock.get("package").and_then(toml::Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut sources = packages.iter().filter_map(|package| package.get("source")?.as_str());
    sources.all(|source| workspace.cargo_config.is_local(source))
}
