//! What sources could have run before the sandbox is there.
//!
//! Planning asks the compiler and the linker what they are, and `cargo fetch` asks the compiler; both happen outside. Cargo
//! reads `.cargo/config.toml` from the sources, which may name any program as the compiler, its wrapper, the linker or a
//! helper for credentials. One that lies in the sources themselves is refused.

use std::path::Path;

use toml::{Table, Value};

use super::HermeticError;
use crate::environment::Environment;
use crate::toolchain::{cargo_home, config, home};

/// Fails when the sources' configuration names a program of theirs. To be called before any tool is asked.
pub fn check_sources(env: &Environment) -> Result<(), HermeticError> {
    let own = [cargo_home(env), home(env).map(|home| home.join(".cargo"))];
    for file in config::files(env) {
        let Some(directory) = file.parent() else { continue };
        // The caller's own configuration may name the caller's own programs.
        if own.iter().flatten().any(|own| own == directory) {
            continue;
        }
        let base = directory.parent().unwrap_or(directory);
        for (key, program) in programs(&config::read_file(&file)?) {
            let path = base.join(&program);
            if program.contains('/') && lies_in(&path, base) {
                return Err(HermeticError::OwnProgram { file, key, program: path });
            }
        }
    }
    Ok(())
}

/// Whether a path, however it is written, ends below a directory.
fn lies_in(path: &Path, directory: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    path.starts_with(directory) && !path.components().any(|part| part.as_os_str() == "..")
        || real(path).starts_with(real(directory))
}

/// The programs that a configuration names, with their keys.
fn programs(table: &Table) -> Vec<(String, String)> {
    const HELPERS: [&str; 2] = ["credential-provider", "global-credential-providers"];
    let mut found = Vec::new();
    let mut add = |key: String, value: Option<&Value>| match value {
        Some(Value::String(text)) => found.extend(text.split_whitespace().map(|word| (key.clone(), word.to_owned()))),
        Some(Value::Array(items)) => {
            found.extend(items.iter().filter_map(Value::as_str).map(|word| (key.clone(), word.to_owned())));
        }
        _ => {}
    };
    let tables = |name: &str| table.get(name).and_then(Value::as_table).into_iter().flatten();
    for (key, value) in tables("build") {
        if key.starts_with("rustc") || key == "rustdoc" {
            add(format!("build.{key}"), Some(value));
        }
    }
    for (name, value) in tables("target") {
        add(format!("target.{name}.linker"), value.get("linker"));
    }
    for key in HELPERS {
        add(format!("registry.{key}"), table.get("registry").and_then(|registry| registry.get(key)));
        for (name, value) in tables("registries") {
            add(format!("registries.{name}.{key}"), value.get(key));
        }
    }
    for (name, value) in tables("credential-alias") {
        add(format!("credential-alias.{name}"), Some(value));
    }
    let flags = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.split_whitespace().map(str::to_owned).collect(),
        Some(Value::Array(items)) => items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    };
    let build = table.get("build").and_then(|build| build.get("rustflags"));
    let all = [("build".to_owned(), build)].into_iter();
    let all = all.chain(tables("target").map(|(name, value)| (format!("target.{name}"), value.get("rustflags"))));
    for (key, value) in all {
        let linkers = flags(value).into_iter().filter_map(|flag| Some(flag.split_once("linker=")?.1.to_owned()));
        found.extend(linkers.map(|linker| (format!("{key}.rustflags"), linker)));
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
        check_sources(&Environment::new([("HOME".into(), root.path().join("home").into())], &project))
    }

    #[test]
    fn sources_may_name_the_systems_programs_and_none_of_their_own() {
        for harmless in [
            "[target.t]\nlinker = 'aarch64-linux-gnu-gcc'\n",
            "[target.t]\nlinker = '/opt/cross/bin/gcc'\n",
            "[build]\nrustflags = ['-Clink-arg=-T./memory.ld']\n",
            "[registry]\nglobal-credential-providers = ['cargo:token']\n",
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
        ] {
            assert!(matches!(check(harmful), Err(HermeticError::OwnProgram { .. })), "{harmful}");
        }
    }
}
