//! What sources could have run before the sandbox is there.
//!
//! Planning asks the compiler and the linker what they are, and `cargo metadata` and `cargo fetch` ask the compiler; all
//! of that happens outside. Cargo reads `.cargo/config.toml` from the sources, which may name any program as the compiler,
//! its wrapper, the linker or a helper for credentials. One that lies in the sources themselves is refused, and so is what
//! has a program of the machine run something of theirs:
//!
//! - arguments of a helper for credentials: `sh -c ..`;
//! - rustflags with which the compiler loads or reads a file: `-Zcodegen-backend`, `--sysroot`, `@file`;
//! - variables in `[env]`, which cargo sets for the compiler, that decide what it is or loads: `PATH`, `LD_PRELOAD`.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::HermeticError;
use crate::environment::Environment;
use crate::toolchain::config::{config_arguments, files, read_file};
use crate::toolchain::{cargo_home, home};

/// Fails when the sources' configuration, or a file that `--config` names, has something of theirs run. To be called before
/// any tool is asked.
pub fn check_sources(env: &Environment, cargo_args: &[String]) -> Result<(), HermeticError> {
    let own = [cargo_home(env), home(env).map(|home| home.join(".cargo"))];
    let given = config_arguments(cargo_args).map(|argument| env.resolve(Path::new(argument))).filter(|path| path.is_file());
    for file in files(env).into_iter().chain(given) {
        let Some(directory) = file.parent() else { continue };
        // The caller's own configuration may name the caller's own programs.
        if own.iter().flatten().any(|own| own == directory) {
            continue;
        }
        let base = directory.parent().unwrap_or(directory);
        let table = read_file(&file)?;
        let named = programs(&table).into_iter().chain(variables(&table));
        if let Some(Named { key, text, .. }) = { named }.find(|named| named.is_of(base)) {
            return Err(HermeticError::OwnProgram { file, key, program: text });
        }
    }
    Ok(())
}

/// Something that a configuration has run or loaded.
#[derive(Debug)]
pub struct Named {
    /// The key that names it.
    pub key: String,
    /// As it stands there.
    pub text: String,
    what: What,
}

#[derive(Debug)]
enum What {
    /// A program: a bare name is looked up on the machine.
    Program(PathBuf),
    /// A path, also without a slash.
    Path(PathBuf),
    /// What the sources decide, wherever it lies.
    Theirs,
}

impl Named {
    fn is_of(&self, base: &Path) -> bool {
        match &self.what {
            What::Program(program) => program.components().count() > 1 && is_in(program, base),
            What::Path(path) => is_in(path, base),
            What::Theirs => true,
        }
    }
}

/// Whether a path, however it is written, ends below a directory. A relative one starts in the sources.
fn is_in(path: &Path, directory: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    path.is_relative()
        || path.starts_with(directory) && !path.components().any(|part| part.as_os_str() == "..")
        || real(path).starts_with(real(directory))
}

/// The programs that a configuration names, and what its rustflags have the compiler load.
pub fn programs(table: &Table) -> Vec<Named> {
    const HELPERS: [&str; 2] = ["credential-provider", "global-credential-providers"];
    let mut found = Vec::new();
    let tables = |name: &str| table.get(name).and_then(Value::as_table).into_iter().flatten();
    let mut program = |key: String, value: Option<&Value>| {
        found.extend(value.and_then(Value::as_str).map(|text| Named {
            key,
            text: text.to_owned(),
            what: What::Program(text.into()),
        }));
    };
    for (key, value) in tables("build") {
        if key.starts_with("rustc") || key == "rustdoc" {
            program(format!("build.{key}"), Some(value));
        }
    }
    for (name, value) in tables("target") {
        program(format!("target.{name}.linker"), value.get("linker"));
    }
    let registry = table.get("registry");
    let providers = tables("registries").map(|(name, own)| (format!("registries.{name}.{}", HELPERS[0]), own.get(HELPERS[0])));
    let providers = providers.chain([(format!("registry.{}", HELPERS[0]), registry.and_then(|all| all.get(HELPERS[0])))]);
    let providers =
        providers.chain(tables("credential-alias").map(|(name, own)| (format!("credential-alias.{name}"), Some(own))));
    found.extend(providers.filter_map(|(key, value)| helper(key, &words(value))));
    let all = registry.and_then(|registry| registry.get(HELPERS[1])).and_then(Value::as_array);
    let all = all.into_iter().flatten().filter_map(|one| helper(format!("registry.{}", HELPERS[1]), &words(Some(one))));
    found.extend(all);
    let build = ("build".to_owned(), table.get("build").and_then(|build| build.get("rustflags")));
    let targets = tables("target").map(|(name, value)| (format!("target.{name}"), value.get("rustflags")));
    for (key, value) in std::iter::once(build).chain(targets) {
        found.extend(loaded(&words(value)).into_iter().map(|named| Named { key: format!("{key}.rustflags"), ..named }));
    }
    found
}

/// Words of a text, or a list of them.
fn words(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => text.split_whitespace().map(str::to_owned).collect(),
        Some(Value::Array(items)) => items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

/// A helper for credentials: `cargo:token` and its kin are cargo's own, all but one; with arguments a program does what those
/// say.
fn helper(key: String, words: &[String]) -> Option<Named> {
    let program = words.first()?;
    if program.starts_with("cargo:") && program != "cargo:token-from-stdout" {
        return None;
    }
    let what = if words.len() > 1 { What::Theirs } else { What::Program(program.into()) };
    Some(Named { key, text: words.join(" "), what })
}

/// What rustflags have the compiler run or load: a linker, a code generator, another sysroot, a file of more flags.
pub fn loaded(flags: &[String]) -> Vec<Named> {
    let mut found = Vec::new();
    for (index, flag) in flags.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| flags[before].as_str());
        let (option, value) = match flag.split_once('=') {
            Some((option, value)) => (option.replace('_', "-"), value),
            None if before == Some("--sysroot") => ("--sysroot".to_owned(), flag.as_str()),
            None => (String::new(), ""),
        };
        let what = if let Some(file) = flag.strip_prefix('@') {
            What::Path(file.into())
        } else if option.trim_end() == "--sysroot" || option.trim_end().ends_with("codegen-backend") && value.contains('.') {
            What::Path(value.into())
        } else if option.trim_end().ends_with("linker") {
            What::Program(value.into())
        } else {
            continue;
        };
        found.push(Named { key: "rustflags".to_owned(), text: flag.clone(), what });
    }
    found
}

/// The variables that decide which compiler is found and what is loaded into it.
fn variables(table: &Table) -> Vec<Named> {
    let decides =
        |name: &str| matches!(name, "PATH" | "HOME") || ["LD_", "DYLD_", "RUSTUP_"].iter().any(|family| name.starts_with(family));
    let mut found = Vec::new();
    for (name, value) in table.get("env").and_then(Value::as_table).into_iter().flatten().filter(|(name, _)| decides(name)) {
        let text = value.as_str().or_else(|| value.get("value")?.as_str()).unwrap_or_default();
        let is_relative = value.get("relative").and_then(Value::as_bool).unwrap_or(false);
        for part in text.split(|c: char| c == ':' || c.is_whitespace()) {
            let what = if is_relative { What::Theirs } else { What::Path(part.into()) };
            found.push(Named { key: format!("env.{name}"), text: part.to_owned(), what });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: &str) -> Result<(), HermeticError> {
        let root = tempfile::tempdir().unwrap();
        let project = root.path().join("home/project");
        std::fs::create_dir_all(project.join(".cargo")).unwrap();
        std::fs::create_dir_all(root.path().join("home/.cargo")).unwrap();
        std::fs::write(project.join(".cargo/config.toml"), config).unwrap();
        std::fs::write(root.path().join("home/.cargo/config.toml"), "[build]\nrustc-wrapper = 'bin/own'\n").unwrap();
        check_sources(&Environment::new([("HOME".into(), root.path().join("home").into())], &project), &[])
    }

    #[test]
    fn sources_may_name_the_systems_programs_and_none_of_their_own() {
        for harmless in [
            "[target.t]\nlinker = 'aarch64-linux-gnu-gcc'\n",
            "[target.t]\nlinker = '/opt/cross/bin/gcc'\n",
            "[build]\nrustflags = ['-Clink-arg=-T./memory.ld']\n",
            "[registry]\nglobal-credential-providers = ['cargo:token']\n",
            "[registries.own]\ncredential-provider = 'cargo-credential-own'\n",
            "[env]\nCONST_RANDOM_SEED = 'x'\nLD_LIBRARY_PATH = '/opt/cuda/lib64'\n",
        ] {
            check(harmless).unwrap();
        }
        for harmful in [
            "[build]\nrustc = './rustc'\n",
            "[build]\nrustc-wrapper = 'tools/wrap'\n",
            "[target.t]\nlinker = 'tools/../ld.sh'\n",
            "[build]\nrustflags = '-C opt-level=3 -C linker=./ld.sh'\n",
            "[target.'cfg(unix)']\nrustflags = ['-Clinker=./ld.sh']\n",
            "[registries.own]\ncredential-provider = ['./helper', '--x']\n",
            "[credential-alias]\nx = './helper'\n",
            "[registries.own]\ncredential-provider = ['cargo:token-from-stdout', 'sh', 'helper']\n",
            "[registry]\nglobal-credential-providers = ['cargo:token', 'sh helper']\n",
            "[env]\nPATH = { value = 'bin', relative = true, force = true }\n",
            "[env]\nPATH = '/usr/bin:bin'\n",
            "[env]\nLD_PRELOAD = './own.so'\n",
            "[build]\nrustflags = ['-Zcodegen_backend=own.so']\n",
            "[build]\nrustflags = ['--sysroot', 'own']\n",
            "[build]\nrustflags = ['@flags']\n",
        ] {
            assert!(matches!(check(harmful), Err(HermeticError::OwnProgram { .. })), "{harmful}");
        }
    }
}
