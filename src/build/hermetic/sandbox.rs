//! Decides what is seen in a sandbox, from what is known about the sources. Reads, and writes nothing.
//!
//! | sandbox | for | network | writable |
//! |---|---|---|---|
//! | [`Ground::questions`] | `cargo metadata`, the compiler's targets and cfgs | none | `/tmp` |
//! | [`Ground::fetching`] | `cargo fetch` | yes | `/tmp`, the caches of `CARGO_HOME` |
//! | [`Ground::building`] | `cargo build`, the linker's version | none | `/tmp`, `target/hermetic` |

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::sources::Sources;
use super::variables::{Fixed, HOME, TMP, TRUST, names_a_tool, quiet, to_fetch, variables};
use super::view::{Content, Role, View, trace};
use super::{HermeticError, TARGET, checkout, secrets};
use crate::build::toolchain::config::CargoConfig;
use crate::build::toolchain::find::{Toolchain, find};
use crate::build::toolchain::{self, ToolchainError, cargo_home, config, find_program};
use plugin_oci::environment::Environment;
use plugin_oci::fs::stamps;
use plugin_oci::progress::Progress;

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

/// What names and certificates are looked up in: for fetching.
const NETWORK: [&str; 12] = [
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/pki",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl",
    "/var/lib/ca-certificates",
];

/// What cargo locks in `CARGO_HOME` while it writes to the caches: shared with every other cargo.
const CACHE_LOCK: &str = ".package-cache";

/// Where the system's programs are.
const PATH: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// What is seen in a sandbox, and what it gets: decided, not yet enforced.
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
    /// Where questions are asked.
    #[serde(skip)]
    pub cwd: PathBuf,
    /// Whether it has the caller's network.
    #[serde(skip)]
    pub network: bool,
}

/// Where a hermetic build writes.
#[derive(Clone, Copy, Debug)]
pub struct Output<'a> {
    /// The target directory.
    pub target: &'a Path,
    /// The directory for intermediate files, possibly the same.
    pub build: &'a Path,
    /// Whether a flag names the target directory.
    pub is_given: bool,
}

/// A linker that the build needs.
#[derive(Clone, Debug)]
pub struct WantedLinker {
    /// The program as named.
    pub program: PathBuf,
    /// Whether the sources name it, and nobody else.
    pub is_of_sources: bool,
}

/// A command for a sandbox.
#[derive(Clone, Debug)]
pub struct Inside<'a> {
    /// The program; `None` for the sandbox's cargo.
    pub program: Option<&'a Path>,
    /// Its arguments.
    pub args: &'a [String],
    /// Variables over the sandbox's own.
    pub env: &'a BTreeMap<String, String>,
    /// The working directory.
    pub cwd: &'a Path,
}

/// What programs say inside is what the sources let them say: nothing that is told decides about what a sandbox shows.
/// Git's own way over the border of file systems; libraries have none.
const ACROSS: &str = "GIT_DISCOVERY_ACROSS_FILESYSTEM";

/// What all sandboxes of one build stand on. Nothing of the sources has run when it is known.
#[derive(Clone, Debug)]
pub struct Ground {
    pub sources: Sources,
    /// What compiles them.
    pub toolchain: Toolchain,
    /// Cargo's whole configuration.
    config: CargoConfig,
    /// The caller's part of it.
    own: CargoConfig,
    cargo_args: Vec<String>,
    env: Environment,
}

impl Ground {
    /// Finds the sources and the toolchain.
    pub fn find(
        manifest_path: Option<&Path>,
        config: &CargoConfig,
        cargo_args: &[String],
        env: &Environment,
        progress: &dyn Progress,
    ) -> Result<Self, HermeticError> {
        if !cfg!(target_os = "linux") {
            return Err(HermeticError::NotLinux);
        }
        let sources = Sources::survey(manifest_path, env)?;
        let own = CargoConfig::of_caller(env, cargo_args)?;
        let toolchain = find(&own, env, progress)?;
        // Cargo's proxy leaves its choice in variables, so that only those which it does not set are the caller's word.
        let homes = env.path("RUSTUP_HOME").map(|home| env.resolve(&home).join("toolchains"));
        let is_callers = env.path("RUSTC").is_some() || homes.is_some_and(|homes| toolchain.root.starts_with(homes));
        if sources.holds(&toolchain.root) && !is_callers {
            return Err(ToolchainError::Brought { rustc: toolchain.rustc }.into());
        }
        let (config, cargo_args, env) = (config.clone(), cargo_args.to_owned(), env.clone());
        Ok(Self { sources, toolchain, config, own, cargo_args, env })
    }

    /// The caller's part of the configuration.
    pub fn own_config(&self) -> &CargoConfig {
        &self.own
    }

    /// Where everything is asked that the sources' configuration decides about.
    pub fn questions(&self) -> Result<Sandbox, HermeticError> {
        self.asking(|_| ())
    }

    /// Where git is asked about the sources: it sees what it tracks around them too, as in [`building`](Self::building).
    pub fn questions_to_git(&self) -> Result<Sandbox, HermeticError> {
        let mut sandbox = self.asking(Decider::repository)?;
        sandbox.view.settle();
        sandbox.env.insert(ACROSS.to_owned(), "1".to_owned());
        Ok(sandbox)
    }

    fn asking<'a>(&'a self, show: impl FnOnce(&mut Decider<'a>)) -> Result<Sandbox, HermeticError> {
        let mut decider = Decider::new(self);
        let cargo_home = decider.cargo_home();
        decider.rest(&[&self.sources.root.join("target")], &[])?;
        show(&mut decider);
        decider.configuration(false)?;
        decider.cover();
        let mut sandbox = decider.done(cargo_home, None);
        sandbox.env.extend(quiet(&self.toolchain.rustc));
        Ok(sandbox)
    }

    /// Where cargo fetches: it reads the sources, and runs none of them.
    pub fn fetching(&self) -> Result<Sandbox, HermeticError> {
        let mut decider = Decider::new(self);
        let mut directories = Vec::new();
        let cargo_home = cargo_home(&self.env);
        if let Some(home) = &cargo_home {
            for part in ["registry", "git"] {
                decider.view.add(&home.join(part), Role::Cache, Content::Writable);
                directories.push(home.join(part));
            }
            decider.view.add(&home.join(CACHE_LOCK), Role::Cache, Content::WritableFile);
            decider.credentials(home);
            decider.view.add(home, Role::Cover, Content::Scratch);
        }
        decider.configuration(true)?;
        decider.rest(&[&self.sources.root.join("target")], &[])?;
        for path in NETWORK {
            decider.view.add(Path::new(path), Role::System, Content::ReadOnly);
        }
        for path in TRUST.iter().filter_map(|name| self.env.path(name)).chain(self.own.path(&["http", "cainfo"])) {
            decider.view.add(&self.env.resolve(&path), Role::System, Content::ReadOnly);
        }
        decider.cover();
        let mut sandbox = decider.done(cargo_home, None);
        sandbox.env.extend(quiet(&self.toolchain.rustc));
        sandbox.env.extend(to_fetch(&self.env, &self.own.registries()));
        sandbox.env.remove("CARGO_NET_OFFLINE");
        Ok(Sandbox { directories, network: true, ..sandbox })
    }

    /// Where the sources are built.
    pub fn building(&self, output: Output<'_>, linkers: &[WantedLinker], online: bool) -> Result<Sandbox, HermeticError> {
        self.check(output)?;
        let target = output.target.join(TARGET);
        let build = output.build.join(TARGET);
        let mut decider = Decider::new(self);
        for (directory, writable) in [(output.target, &target), (output.build, &build)] {
            // A link in the sources could lead the build's writes anywhere.
            let real = trace(writable).real;
            if real != trace(directory).real.join(TARGET) {
                return Err(HermeticError::Led { path: writable.clone(), real });
            }
            decider.view.add(writable, Role::Target, Content::Writable);
            if !self.sources.root.starts_with(directory) {
                decider.view.add(directory, Role::Cover, Content::Empty);
            }
        }
        let cargo_home = decider.cargo_home();
        decider.rest(&[output.target, output.build], linkers)?;
        decider.repository();
        decider.view.stand = checkout::stand(trace(output.target).real.join(stamps::DIRECTORY).join("git"), &self.sources.root);
        decider.configuration(false)?;
        decider.cover();
        let build_directory = (build != target).then(|| build.clone());
        let mut sandbox = decider.done(cargo_home.clone(), build_directory);
        sandbox.view.settle();
        if sandbox.view.stand.is_none() {
            sandbox.env.insert(ACROSS.to_owned(), "1".to_owned());
        }
        let mut directories = vec![target, build];
        directories.dedup();
        Ok(Sandbox { directories, fetches: online && !self.is_vendored(), ..sandbox })
    }

    /// Whether every source that the lock file names is on this disk.
    pub fn is_vendored(&self) -> bool {
        let Ok(text) = std::fs::read_to_string(self.sources.root.join("Cargo.lock")) else { return false };
        let Ok(lock) = text.parse::<toml::Table>() else { return false };
        let packages = lock.get("package").and_then(toml::Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut sources = packages.iter().filter_map(|package| package.get("source")?.as_str());
        sources.all(|source| self.config.is_local(source))
    }

    /// Sees that nothing outside of the sources is written to because they say so: to be asked before anything is.
    pub fn check(&self, output: Output<'_>) -> Result<(), HermeticError> {
        let is_callers = |key: &[&str], variables: &[&str]| {
            variables.iter().any(|name| self.env.path(name).is_some()) || self.own.has(key) && self.own.agrees(&self.config, key)
        };
        let target_is_callers =
            output.is_given || is_callers(&["build", "target-dir"], &["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"]);
        let within = &self.sources.root;
        let refuse = |path: &Path| {
            let (path, within) = (path.to_owned(), within.clone());
            Err(HermeticError::Foreign { what: "the directory of the build,", path, within })
        };
        // Of a link in the sources nobody knows who put it there.
        let is_within = |path: &Path| trace(path).real.starts_with(trace(within).real);
        if !is_within(output.target) && !target_is_callers {
            return refuse(output.target);
        }
        let is_own = is_within(output.build) || output.build == output.target;
        if !is_own && !is_callers(&["build", "build-dir"], &["CARGO_BUILD_BUILD_DIR"]) {
            return refuse(output.build);
        }
        let records = output.target.join(stamps::DIRECTORY);
        if trace(&records).real != trace(output.target).real.join(stamps::DIRECTORY) {
            return Err(HermeticError::Led { real: trace(&records).real, path: records });
        }
        Ok(())
    }
}

struct Decider<'a> {
    ground: &'a Ground,
    view: View,
    path: Vec<PathBuf>,
}

impl<'a> Decider<'a> {
    /// Where two claim a path, the first has it: what may be written, then what hides, then what may be read.
    fn new(ground: &'a Ground) -> Self {
        let mut view = View::default();
        view.add(Path::new(TMP), Role::Temporary, Content::Scratch);
        view.add(Path::new(HOME), Role::Cover, Content::Empty);
        Self { ground, view, path: Vec::new() }
    }

    /// What every sandbox shows.
    fn rest(&mut self, without: &[&Path], linkers: &[WantedLinker]) -> Result<(), HermeticError> {
        self.toolchain();
        self.sources(without)?;
        for path in SYSTEM {
            self.view.add(Path::new(path), Role::System, Content::ReadOnly);
        }
        self.tools(linkers)
    }

    fn done(mut self, cargo_home: Option<PathBuf>, build_directory: Option<PathBuf>) -> Sandbox {
        let env = &self.ground.env;
        // An empty directory on the way is enough for cargo to start in.
        if !self.view.shows(&env.cwd) && env.cwd.parent().is_some() {
            self.view.add(&env.cwd, Role::Cover, Content::Empty);
        }
        self.path.extend(PATH.map(PathBuf::from));
        let toolchain = &self.ground.toolchain;
        let rustc = Some(&toolchain.rustc).filter(|rustc| !rustc.starts_with(toolchain.root.join("bin"))).cloned();
        let fixed = Fixed { path: self.path, cargo_home, rustc, build_directory };
        Sandbox {
            cargo: toolchain.cargo.clone(),
            env: variables(env, &fixed),
            view: self.view,
            directories: Vec::new(),
            fetches: false,
            cwd: env.cwd.clone(),
            network: false,
        }
    }

    /// What was fetched, read-only, in a directory that holds nothing else: no credentials, no programs.
    fn cargo_home(&mut self) -> Option<PathBuf> {
        let home = cargo_home(&self.ground.env)?;
        self.view.add(&home, Role::Cover, Content::Empty);
        for part in ["registry", "git"] {
            self.view.add(&home.join(part), Role::Fetched, Content::ReadOnly);
        }
        Some(home)
    }

    /// The toolchain; cargo, and rustc where they are not the toolchain's.
    fn toolchain(&mut self) {
        let toolchain = &self.ground.toolchain;
        self.view.add(&toolchain.root, Role::Toolchain, Content::ReadOnly);
        self.path.push(toolchain.root.join("bin"));
        // This program may have to stand between cargo and rustc.
        for program in [&toolchain.cargo, &toolchain.rustc].into_iter().chain(&self.ground.env.program) {
            if !self.view.shows(&trace(program).real) {
                self.view.add(program, Role::Toolchain, Content::ReadOnly);
            }
        }
    }

    /// The workspace, vendored sources, path dependencies. No repository's tokens.
    fn sources(&mut self, without: &[&Path]) -> Result<(), HermeticError> {
        let ground = self.ground;
        let sources = &ground.sources;
        let mut add = |path: &Path, role: Role, what: &'static str| {
            let real = trace(path).real;
            if real == Path::new("/") || self.secrets().contains(&real) {
                return Err(HermeticError::Exposed { what, path: path.to_owned() });
            }
            checkout::show_all(&real, without, &mut self.view);
            self.view.add(path, role, Content::ReadOnly);
            Ok(())
        };
        add(&sources.root, Role::Workspace, "the workspace")?;
        for directory in &sources.outside {
            add(directory, Role::PathDependency, "the package")?;
        }
        let config = &ground.config;
        // The sources' configuration names them, and could name any other directory.
        let callers = ground.own.vendor_directories();
        let may_show = |path: &PathBuf| callers.contains(path) || sources.may_show_vendored(path);
        let vendored = config.vendor_directories().into_iter().filter(may_show);
        let registries = config.local_registries().into_iter().filter(|path| sources.may_show_registry(path));
        for directory in vendored.chain(registries) {
            add(&directory, Role::Vendor, "the vendor directory")?;
        }
        // A package may inherit from a workspace above it.
        let above = sources.outside.iter().flat_map(|directory| directory.ancestors().skip(1));
        for manifest in above.map(|above| above.join("Cargo.toml")).chain(sources.manifests.iter().cloned()) {
            // A link could lead to any file.
            let is_own = manifest.symlink_metadata().is_ok_and(|found| found.is_file());
            if is_own && !self.view.shows(&manifest) {
                self.view.add(&manifest, Role::PathDependency, Content::ReadOnly);
            }
        }
        Ok(())
    }

    /// What git tracks around the workspace.
    fn repository(&mut self) {
        let sources = &self.ground.sources;
        let real = |path: &PathBuf| trace(path).real;
        let Some(tree) = sources.repository().map(|tree| trace(tree).real) else { return };
        let own = [&sources.root].into_iter().chain(&sources.outside).map(real);
        let without: Vec<PathBuf> = own.chain(self.secrets()).collect();
        checkout::show_tree(&real(&sources.root), &tree, &without, &mut self.view);
    }

    /// Directories that hold secrets: followed, as the view's paths are.
    fn secrets(&self) -> Vec<PathBuf> {
        let homes = [toolchain::home(&self.ground.env), cargo_home(&self.ground.env)];
        homes.into_iter().flatten().map(|home| trace(&home).real).collect()
    }

    /// Linkers, C compilers and drivers outside the system's directories: the caller's, who names them by a variable, in
    /// `CARGO_HOME`, or by `PATH`. Sources make nothing readable by naming it.
    fn tools(&mut self, linkers: &[WantedLinker]) -> Result<(), HermeticError> {
        let env = &self.ground.env;
        let is_system = |path: &Path| SYSTEM.iter().any(|system| path.starts_with(system));
        let named = env.vars().filter(|(name, _)| name.to_str().is_some_and(names_a_tool));
        let named = named.filter_map(|(_, value)| value.to_str()?.split_whitespace().next().map(PathBuf::from));
        let mut programs: Vec<(PathBuf, bool)> =
            linkers.iter().map(|linker| (linker.program.clone(), linker.is_of_sources)).collect();
        programs.extend(named.filter(|word| !word.starts_with("-")).map(|word| (word, false)));
        programs.extend(["cargo-zigbuild", "zig"].map(|name| (PathBuf::from(name), false)));
        for (named, is_of_sources) in programs {
            let Some(program) = find_program(&named, env) else { continue };
            let real = trace(&program).real;
            if is_system(&program) && is_system(&real) || self.view.shows(&program) && self.view.shows(&real) {
                continue;
            }
            if is_of_sources {
                return Err(HermeticError::OwnProgram { program });
            }
            self.path.extend(program.parent().map(Path::to_owned));
            self.view.add(&program, Role::Linker, Content::ReadOnly);
            if let Some(prefix) = self.prefix(&real) {
                self.view.add(&prefix, Role::Linker, Content::ReadOnly);
            }
        }
        self.path.dedup();
        Ok(())
    }

    /// What belongs to a program: the directory above its `bin`, else its own; nothing where that could hold secrets.
    fn prefix(&self, program: &Path) -> Option<PathBuf> {
        let directory = program.parent()?;
        let above = directory.parent().filter(|_| directory.ends_with("bin"));
        let hidden = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let harmless = |path: &Path| !hidden(path) && !self.secrets().iter().any(|secret| secret.starts_with(path));
        above.filter(|path| harmless(path)).or(Some(directory).filter(|path| harmless(path))).map(Path::to_owned)
    }

    /// The files of cargo's configuration that lie where nothing else is seen, and those that `--config` names. `to_fetch`
    /// leaves only what says where packages come from, in the sources too: no program, and no registry under a name of the
    /// caller's, who may have a token for it.
    fn configuration(&mut self, to_fetch: bool) -> Result<(), HermeticError> {
        let env = &self.ground.env;
        let given = config::config_arguments(&self.ground.cargo_args).map(|argument| env.resolve(Path::new(argument)));
        let given: Vec<PathBuf> = given.filter(|path| path.is_file()).collect();
        let callers: Vec<PathBuf> = config::callers_file(env).into_iter().chain(given.iter().cloned()).collect();
        let registries = self.ground.own.registries();
        for file in config::files(env).into_iter().chain(given) {
            let is_callers = callers.contains(&file);
            // What the sources name as configuration must be theirs, whatever links or includes lead to it.
            let is_theirs = !is_callers && self.ground.sources.names(&file);
            let may_read = |real: &Path| !is_theirs || self.ground.sources.holds(real);
            let text = match to_fetch {
                true => secrets::fetch_config(&config::read_file(&file, &may_read)?, &registries, is_callers),
                false if self.view.shows(&trace(&file).real) => continue,
                false => secrets::cargo_config(config::read_file(&file, &may_read)?),
            };
            self.view.add(&file, Role::Configuration, Content::Text(text));
        }
        Ok(())
    }

    /// The caller's tokens for the registries that the caller names.
    fn credentials(&mut self, home: &Path) {
        for name in ["credentials", "credentials.toml"] {
            let file = home.join(name);
            let text = if file.is_file() { std::fs::read_to_string(&file).unwrap_or_default() } else { continue };
            let text = secrets::fetch_config(&text.parse().unwrap_or_default(), &self.ground.own.registries(), true);
            self.view.add(&file, Role::Configuration, Content::Text(text));
        }
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
