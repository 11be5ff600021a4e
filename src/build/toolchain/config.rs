//! Cargo's configuration, read the way cargo reads it, as far as it decides about bytes.
//!
//! Cargo looks for `.cargo/config.toml` (or `.cargo/config`) in the working directory and each of its parents, then in
//! `CARGO_HOME`; nearer files win. A file's `include` is merged below the file itself. `--config` wins over every file. Tables
//! merge by key, lists are joined with the stronger last, others replaced (<https://doc.rust-lang.org/cargo/reference/config.html>).

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{ToolchainError, cargo_home};
use plugin_oci::environment::Environment;

/// Merged configuration.
#[derive(Clone, Debug, Default)]
pub struct CargoConfig {
    table: Table,
    env: Environment,
}

/// Rustflags and where they come from, because that decides how more can be added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rustflags {
    /// The flags cargo would use.
    pub flags: Vec<String>,
    /// Where they come from.
    pub origin: RustflagsOrigin,
}

/// Where cargo takes rustflags from: the first of these that is set, never two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RustflagsOrigin {
    /// `CARGO_ENCODED_RUSTFLAGS` or `RUSTFLAGS`, the same for every target.
    Environment,
    /// `target.<triple>` and `target.'cfg(..)'`.
    Target,
    /// `build.rustflags`.
    Build,
    /// Nowhere.
    #[default]
    Unset,
}

impl CargoConfig {
    /// Reads every file that cargo would, and the `--config` flags among `cargo_args`.
    pub fn load(env: &Environment, cargo_args: &[String]) -> Result<Self, ToolchainError> {
        let files = files(env);
        let mut table = Table::new();
        for file in files.iter().rev() {
            merge(&mut table, read(file, 0, ANYWHERE)?);
        }
        for argument in config_arguments(cargo_args) {
            merge(&mut table, read_argument(argument, env)?);
        }
        Ok(Self { table, env: env.clone() })
    }

    /// The caller's own: that of `CARGO_HOME`, and the `--config` flags, without anything that lies in or above the sources.
    pub fn of_caller(env: &Environment, cargo_args: &[String]) -> Result<Self, ToolchainError> {
        let mut table = match callers_file(env) {
            Some(file) => read(&file, 0, ANYWHERE)?,
            None => Table::new(),
        };
        for argument in config_arguments(cargo_args) {
            merge(&mut table, read_argument(argument, env)?);
        }
        Ok(Self { table, env: env.clone() })
    }

    /// A value by path.
    fn get(&self, path: &[&str]) -> Option<&Value> {
        let (last, tables) = path.split_last()?;
        let mut table = &self.table;
        for key in tables {
            table = table.get(*key)?.as_table()?;
        }
        table.get(*last)
    }

    /// A text by path, with the environment variable that overrides it.
    fn text(&self, path: &[&str]) -> Option<String> {
        let variable = format!("CARGO_{}", path.join("_").replace(['-', '.'], "_").to_uppercase());
        self.env.text(&variable).map(str::to_owned).or_else(|| self.get(path)?.as_str().map(str::to_owned))
    }

    /// Whether `target.<cfg>` tables matter, so that the compiler's cfgs must be known.
    pub fn needs_cfgs(&self) -> bool {
        self.get(&["target"]).and_then(Value::as_table).is_some_and(|targets| targets.keys().any(|key| key.starts_with("cfg(")))
    }

    /// The rustflags cargo would use for a target, whose cfgs (`rustc --print cfg`) decide which `target.<cfg>` apply.
    pub fn rustflags(&self, target: &str, cfgs: &[cargo_metadata::cargo_platform::Cfg]) -> Rustflags {
        if let Some(flags) = environment_flags(&self.env) {
            return Rustflags { flags, origin: RustflagsOrigin::Environment };
        }
        let mut flags = Vec::new();
        flags.extend(list(self.get(&["target", target, "rustflags"])));
        let variable = format!("CARGO_TARGET_{}_RUSTFLAGS", variable_name(target));
        flags.extend(words(self.env.text(&variable).unwrap_or_default()));
        for (key, table) in self.get(&["target"]).and_then(Value::as_table).into_iter().flatten() {
            if matches_cfg(key, target, cfgs) {
                flags.extend(list(table.get("rustflags")));
            }
        }
        if !flags.is_empty() {
            return Rustflags { flags, origin: RustflagsOrigin::Target };
        }
        flags.extend(list(self.get(&["build", "rustflags"])));
        flags.extend(words(self.env.text("CARGO_BUILD_RUSTFLAGS").unwrap_or_default()));
        let origin = if flags.is_empty() { RustflagsOrigin::Unset } else { RustflagsOrigin::Build };
        Rustflags { flags, origin }
    }

    /// The linker configured for a target.
    pub fn linker(&self, target: &str, cfgs: &[cargo_metadata::cargo_platform::Cfg]) -> Option<PathBuf> {
        let variable = format!("CARGO_TARGET_{}_LINKER", variable_name(target));
        if let Some(linker) = self.env.path(&variable) {
            return Some(linker);
        }
        if let Some(linker) = self.get(&["target", target, "linker"]).and_then(Value::as_str) {
            return Some(PathBuf::from(linker));
        }
        let targets = self.get(&["target"])?.as_table()?;
        let cfg = targets.iter().filter(|(key, _)| matches_cfg(key, target, cfgs));
        cfg.filter_map(|(_, table)| table.get("linker")?.as_str()).map(PathBuf::from).next()
    }

    /// `build.target`: what cargo builds for when no target is named.
    pub fn build_targets(&self) -> Vec<String> {
        match (self.env.text("CARGO_BUILD_TARGET"), self.get(&["build", "target"])) {
            (Some(one), _) if !one.is_empty() => vec![one.to_owned()],
            (_, Some(value)) => list(Some(value)).collect(),
            _ => Vec::new(),
        }
    }

    /// The compiler: `RUSTC`, then `build.rustc`.
    pub fn rustc(&self) -> Option<PathBuf> {
        self.env.path("RUSTC").or_else(|| self.text(&["build", "rustc"]).map(PathBuf::from))
    }

    /// The compiler's wrapper: `RUSTC_WRAPPER`, then `build.rustc-wrapper`; an empty one is none.
    pub fn wrapper(&self) -> Option<PathBuf> {
        let set = self.env.text("RUSTC_WRAPPER").map(str::to_owned);
        set.or_else(|| self.text(&["build", "rustc-wrapper"])).filter(|text| !text.is_empty()).map(PathBuf::from)
    }

    /// `build.rustc-workspace-wrapper`.
    pub fn workspace_wrapper(&self) -> Option<PathBuf> {
        self.text(&["build", "rustc-workspace-wrapper"]).filter(|text| !text.is_empty()).map(PathBuf::from)
    }

    /// Whether a value stands in a file or in a `--config` flag: `build.target-dir`.
    pub fn has(&self, path: &[&str]) -> bool {
        self.get(path).is_some()
    }

    /// Whether two configurations say the same.
    pub fn agrees(&self, other: &Self, path: &[&str]) -> bool {
        self.get(path) == other.get(path)
    }

    /// A text that is a path, as it stands there.
    pub fn path(&self, path: &[&str]) -> Option<PathBuf> {
        self.get(path)?.as_str().map(PathBuf::from)
    }

    /// The names of registries whose index is told here or by a variable.
    pub fn registries(&self) -> Vec<String> {
        let tables = self.get(&["registries"]).and_then(Value::as_table).into_iter().flatten();
        let named = tables.filter(|(_, registry)| registry.get("index").is_some()).map(|(name, _)| name.clone());
        let variable = |name: &str| Some(name.strip_prefix("CARGO_REGISTRIES_")?.strip_suffix("_INDEX")?.to_owned());
        named.chain(self.env.vars().filter_map(|(name, _)| variable(name.to_str()?))).collect()
    }

    /// Whether `[env]` gives a variable to all that cargo starts.
    pub fn sets_variable(&self, name: &str) -> bool {
        self.get(&["env", name]).is_some()
    }

    /// Whether the standard library is built from source, so that none needs to be installed.
    pub fn builds_std(&self, cargo_args: &[String]) -> bool {
        cargo_args.iter().any(|argument| argument.contains("build-std"))
            || self.text(&["unstable", "build-std"]).is_some()
            || self.get(&["unstable", "build-std"]).is_some()
    }

    /// Whether a source (as `Cargo.lock` spells it) is replaced by one on this disk, so that nothing needs to be fetched.
    pub fn is_local(&self, source: &str) -> bool {
        const MOST_STEPS: usize = 16;
        let Some(sources) = self.get(&["source"]).and_then(Value::as_table) else { return false };
        let text = |name: &str, key: &str| sources.get(name)?.get(key)?.as_str();
        let url = source.split_once('+').map_or(source, |(_, url)| url);
        let url = url.split(['?', '#']).next().unwrap_or(url);
        let first = match url {
            "https://github.com/rust-lang/crates.io-index" => Some("crates-io"),
            _ => sources.keys().map(String::as_str).find(|name| {
                ["registry", "git"].iter().filter_map(|key| text(name, key)).any(|own| own.trim_start_matches("sparse+") == url)
            }),
        };
        let mut next = first;
        for _ in 0..MOST_STEPS {
            let Some(name) = next else { return false };
            if text(name, "directory").or_else(|| text(name, "local-registry")).is_some() {
                return true;
            }
            next = text(name, "replace-with");
        }
        false
    }

    /// Directories of local registries: every `source.<name>.local-registry`.
    pub fn local_registries(&self) -> Vec<PathBuf> {
        let sources = self.get(&["source"]).and_then(Value::as_table);
        let directories = sources.into_iter().flatten().filter_map(|(_, source)| source.get("local-registry")?.as_str());
        directories.map(|directory| self.env.resolve(Path::new(directory))).collect()
    }

    /// Directories of vendored sources: every `source.<name>.directory`.
    pub fn vendor_directories(&self) -> Vec<PathBuf> {
        let sources = self.get(&["source"]).and_then(Value::as_table);
        let directories = sources.into_iter().flatten().filter_map(|(_, source)| source.get("directory")?.as_str());
        directories.map(|directory| self.env.resolve(Path::new(directory))).collect()
    }

    /// The keys of a profile that configuration or environment set, `a.b` for nested ones.
    pub fn profile(&self, name: &str) -> std::collections::BTreeMap<String, serde_json::Value> {
        let mut keys = std::collections::BTreeMap::new();
        if let Some(profile) = self.get(&["profile", name]).and_then(Value::as_table) {
            flatten("", profile, &mut keys);
        }
        let prefix = format!("CARGO_PROFILE_{}_", variable_name(name));
        for (variable, value) in self.env.vars() {
            if let (Some(variable), Some(value)) = (variable.to_str(), value.to_str())
                && let Some(key) = variable.strip_prefix(&prefix)
            {
                keys.insert(key.to_lowercase().replace('_', "-"), scalar(value));
            }
        }
        keys
    }
}

/// Flattens nested tables into dotted keys.
pub fn flatten(prefix: &str, table: &Table, keys: &mut std::collections::BTreeMap<String, serde_json::Value>) {
    for (key, value) in table {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(table) => flatten(&path, table, keys),
            other => {
                keys.insert(path, serde_json::json!(other));
            }
        }
    }
}

/// A variable's text as cargo reads it into a profile key.
fn scalar(text: &str) -> serde_json::Value {
    match (text.parse::<bool>(), text.parse::<i64>()) {
        (Ok(flag), _) => flag.into(),
        (_, Ok(number)) => number.into(),
        _ => text.into(),
    }
}

/// `CARGO_ENCODED_RUSTFLAGS`, else `RUSTFLAGS`. An empty one is still set: it hides the configuration's.
fn environment_flags(env: &Environment) -> Option<Vec<String>> {
    if let Some(encoded) = env.text("CARGO_ENCODED_RUSTFLAGS") {
        return Some(encoded.split('\u{1f}').filter(|flag| !flag.is_empty()).map(str::to_owned).collect());
    }
    env.text("RUSTFLAGS").map(|flags| words(flags).collect())
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_ascii_whitespace().map(str::to_owned)
}

/// A list of flags: an array, or words of a text.
fn list(value: Option<&Value>) -> impl Iterator<Item = String> {
    let flags: Vec<String> = match value {
        Some(Value::String(text)) => words(text).collect(),
        Some(Value::Array(items)) => items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    };
    flags.into_iter()
}

/// A target or profile name as part of a variable's name.
pub fn variable_name(name: &str) -> String {
    name.to_uppercase().replace(['-', '.'], "_")
}

fn matches_cfg(key: &str, target: &str, cfgs: &[cargo_metadata::cargo_platform::Cfg]) -> bool {
    key.starts_with("cfg(")
        && key.parse::<cargo_metadata::cargo_platform::Platform>().is_ok_and(|platform| platform.matches(target, cfgs))
}

/// The files that cargo reads, strongest first.
pub fn files(env: &Environment) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for directory in env.cwd.ancestors() {
        files.extend(config_in(&directory.join(".cargo")));
    }
    if let Some(home) = cargo_home(env)
        && let Some(file) = config_in(&home)
        && !files.iter().any(|known| same_file(known, &file))
    {
        files.push(file);
    }
    files
}

/// The file in `CARGO_HOME`, which is the caller's and not the sources'.
pub fn callers_file(env: &Environment) -> Option<PathBuf> {
    config_in(&cargo_home(env)?)
}

/// One file, with what it includes merged into it.
///
/// Fails where the file or an included one really lies where `may_read` does not hold.
pub fn read_file(path: &Path, may_read: MayRead<'_>) -> Result<Table, ToolchainError> {
    read(path, 0, may_read)
}

/// Says of a path without links whether configuration may come from there.
pub type MayRead<'a> = &'a dyn Fn(&Path) -> bool;

/// Whatever cargo itself would read.
pub const ANYWHERE: MayRead<'static> = &|_| true;

/// `config` wins over `config.toml` where both exist, as in cargo.
fn config_in(directory: &Path) -> Option<PathBuf> {
    ["config", "config.toml"].into_iter().map(|name| directory.join(name)).find(|file| file.is_file())
}

fn same_file(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Reads a file and what it includes.
fn read(path: &Path, depth: usize, may_read: MayRead<'_>) -> Result<Table, ToolchainError> {
    let failed = |source| ToolchainError::Config { path: path.to_owned(), source };
    if !path.canonicalize().is_ok_and(|real| may_read(&real)) {
        return Err(failed(std::io::Error::other("it is none of the sources' files")));
    }
    // Whoever opens a pipe waits, and a device has no end.
    if path.metadata().map_err(failed)?.is_file() {
        let text = std::fs::read_to_string(path).map_err(failed)?;
        return read_text(&text, path, depth, may_read);
    }
    Err(failed(std::io::Error::other("it is no regular file")))
}

fn read_text(text: &str, path: &Path, depth: usize, may_read: MayRead<'_>) -> Result<Table, ToolchainError> {
    let mut own = parse(text, &path.display().to_string())?;
    let directory = path.parent().unwrap_or(path);
    root_paths(&mut own, directory.parent().unwrap_or(directory));
    include(own, directory, depth, may_read)
}

/// Makes the paths that this module hands out absolute: in a file they start at the directory that holds `.cargo`. A
/// program's bare name stays one.
fn root_paths(table: &mut Table, base: &Path) {
    let root = |value: Option<&mut Value>, is_program: bool| {
        if let Some(Value::String(path)) = value
            && (!is_program || path.contains(['/', '\\']))
        {
            *path = base.join(&path).display().to_string();
        }
    };
    for (name, key, is_program) in
        [("source", "directory", false), ("source", "local-registry", false), ("target", "linker", true)]
    {
        let entries = table.get_mut(name).and_then(Value::as_table_mut).into_iter().flat_map(|entries| entries.iter_mut());
        entries.for_each(|(_, entry)| root(entry.get_mut(key), is_program));
    }
    if let Some(Value::Table(build)) = table.get_mut("build") {
        for key in ["rustc", "rustc-wrapper", "rustc-workspace-wrapper"] {
            root(build.get_mut(key), true);
        }
    }
}

/// Parses text; an error names the place.
fn parse(text: &str, place: &str) -> Result<Table, ToolchainError> {
    text.parse::<Table>().map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        ToolchainError::ConfigContent { place: format!("{place}:{line}"), detail: error.message().to_owned() }
    })
}

/// Merges a table over what its `include` names: a path, or a list of paths and of `{ path, optional }`.
fn include(mut own: Table, directory: &Path, depth: usize, may_read: MayRead<'_>) -> Result<Table, ToolchainError> {
    const DEEPEST: usize = 16;
    let Some(include) = own.remove("include") else { return Ok(own) };
    let bad = |detail: &str| ToolchainError::ConfigContent { place: directory.display().to_string(), detail: detail.to_owned() };
    if depth == DEEPEST {
        return Err(bad("`include` is nested too deeply"));
    }
    let items = match include {
        Value::Array(items) => items,
        one => vec![one],
    };
    let mut table = Table::new();
    for item in &items {
        let path = item.as_str().or_else(|| item.get("path")?.as_str()).ok_or_else(|| bad("`include` wants paths"))?;
        let optional = item.get("optional").and_then(Value::as_bool).unwrap_or(false);
        let path = directory.join(path);
        if !optional || path.exists() {
            merge(&mut table, read(&path, depth + 1, may_read)?);
        }
    }
    merge(&mut table, own);
    Ok(table)
}

/// The values of `--config` among cargo's arguments, in their order: of two that say the same, the last wins.
pub fn config_arguments(cargo_args: &[String]) -> impl Iterator<Item = &str> {
    cargo_args.iter().enumerate().filter_map(|(index, argument)| {
        let is_value = index.checked_sub(1).is_some_and(|before| cargo_args[before] == "--config");
        argument.strip_prefix("--config=").or_else(|| is_value.then_some(argument))
    })
}

/// `--config KEY=VALUE` or `--config FILE`.
fn read_argument(argument: &str, env: &Environment) -> Result<Table, ToolchainError> {
    let file = env.resolve(Path::new(argument));
    if file.is_file() {
        return read(&file, 0, ANYWHERE);
    }
    let mut table = parse(argument, "--config")?;
    root_paths(&mut table, &env.cwd);
    include(table, &env.cwd, 0, ANYWHERE)
}

/// Merges a stronger table over a weaker one.
fn merge(weak: &mut Table, strong: Table) {
    for (key, value) in strong {
        match (weak.get_mut(&key), value) {
            (Some(Value::Table(weak)), Value::Table(strong)) => merge(weak, strong),
            (Some(Value::Array(weak)), Value::Array(strong)) => weak.extend(strong),
            (_, value) => {
                weak.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(toml: &str, vars: &[(&str, &str)]) -> CargoConfig {
        let vars = vars.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        CargoConfig { table: toml.parse().unwrap(), env: Environment::new(vars, "/w") }
    }

    const BOTH: &str = "[build]\nrustflags = '-Ca -Cb'\n[target.t]\nrustflags = ['-Cc']\n";

    #[test]
    fn cargo_takes_rustflags_from_one_place_only() {
        let flags = |toml, vars: &[(&str, &str)]| config(toml, vars).rustflags("t", &[]);
        assert_eq!(flags(BOTH, &[]), Rustflags { flags: vec!["-Cc".into()], origin: RustflagsOrigin::Target });
        let build = "[build]\nrustflags = '-Ca -Cb'\n";
        assert_eq!(flags(build, &[]).flags, ["-Ca", "-Cb"]);
        assert_eq!(flags(build, &[("CARGO_TARGET_T_RUSTFLAGS", "-Cd")]).flags, ["-Cd"]);
        assert_eq!(flags(BOTH, &[("RUSTFLAGS", "-Ce")]).flags, ["-Ce"]);
        let encoded = [("RUSTFLAGS", "-Ce"), ("CARGO_ENCODED_RUSTFLAGS", "-C\u{1f}f g")];
        assert_eq!(flags(BOTH, &encoded).flags, ["-C", "f g"]);
    }

    #[test]
    fn cfg_tables_apply_where_they_match() {
        let config = config("[target.'cfg(unix)']\nrustflags = ['-Cu']\n[target.'cfg(windows)']\nrustflags = ['-Cw']\n", &[]);
        let unix = "unix".parse().unwrap();
        assert!(config.needs_cfgs());
        assert_eq!(config.rustflags("t", &[unix]).flags, ["-Cu"]);
    }

    #[test]
    fn files_includes_and_arguments_merge_as_in_cargo() {
        let root = tempfile::tempdir().unwrap();
        let project = root.path().join("a/b");
        std::fs::create_dir_all(project.join(".cargo")).unwrap();
        std::fs::create_dir_all(root.path().join("a/.cargo")).unwrap();
        std::fs::write(root.path().join("a/.cargo/config.toml"), "[build]\nrustflags = ['-Couter']\n[target.t]\nlinker='outer'")
            .unwrap();
        std::fs::write(project.join(".cargo/more.toml"), "[build]\nrustflags = ['-Cincluded']\n[target.t]\nlinker='included'")
            .unwrap();
        let own =
            "include = [{ path = 'more.toml' }, { path = 'absent.toml', optional = true }]\n[build]\nrustflags = ['-Cown']\n";
        std::fs::write(project.join(".cargo/config.toml"), own).unwrap();
        let env = Environment::new([], &project);
        let config = CargoConfig::load(&env, &["--config".into(), "build.rustflags=['-Cargument']".into()]).unwrap();
        assert_eq!(config.rustflags("t", &[]).flags, ["-Couter", "-Cincluded", "-Cown", "-Cargument"]);
        assert_eq!(config.linker("t", &[]), Some("included".into()));
    }
}
