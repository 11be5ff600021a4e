//! Configuration files without their secrets.
//!
//! - Cargo's: tokens and credential providers of registries, and everything about the network (a proxy's URL may hold a
//!   password). `credentials.toml` is not among the files at all.
//! - git's: only what git needs to read the repository, no remotes. A CI checkout keeps its token in `.git/config`, as an `http`
//!   header or in a remote's URL.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::fs::sorted_listing;

/// Cargo's configuration without secrets.
pub fn cargo_config(mut table: Table) -> String {
    const SECRET: [&str; 3] = ["token", "secret-key", "credential-provider"];
    for section in ["http", "net", "credential-alias"] {
        table.remove(section);
    }
    let clean = |table: &mut Table| {
        for key in SECRET {
            table.remove(key);
        }
    };
    if let Some(Value::Table(registry)) = table.get_mut("registry") {
        clean(registry);
        registry.remove("global-credential-providers");
    }
    if let Some(Value::Table(registries)) = table.get_mut("registries") {
        registries.iter_mut().filter_map(|(_, registry)| registry.as_table_mut()).for_each(clean);
    }
    if let Some(Value::Table(build)) = table.get_mut("build") {
        // Off inside: see `variables`.
        build.remove("rustc-wrapper");
    }
    table.to_string()
}

/// git's configuration without secrets: the keys that say how to read the repository.
pub fn git_config(text: &str) -> String {
    const KEYS: [&str; 9] = [
        "autocrlf",
        "bare",
        "eol",
        "filemode",
        "ignorecase",
        "logallrefupdates",
        "precomposeunicode",
        "repositoryformatversion",
        "symlinks",
    ];
    let mut kept = String::new();
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            section = match header.split_once(']') {
                Some(("core", "")) => "core",
                Some(("extensions", "")) => "extensions",
                _ => "",
            };
            kept.push_str(if section.is_empty() { "" } else { line });
        } else if let Some((key, value)) = line.split_once('=') {
            let key = key.trim().to_lowercase();
            let plain = value.trim().bytes().all(|b| b.is_ascii_alphanumeric());
            if plain && (section == "extensions" || section == "core" && KEYS.contains(&key.as_str())) {
                kept.push_str(line);
            }
        }
        kept.push('\n');
    }
    kept
}

/// The directories of repositories at and below a directory: one may have been cloned into another. Not below `without`.
pub fn repositories(directory: &Path, without: &[&PathBuf]) -> Vec<PathBuf> {
    let walk = walkdir::WalkDir::new(directory).into_iter().filter_entry(|entry| {
        entry.file_type().is_dir() && entry.file_name() != ".git" && !without.iter().any(|path| path.as_path() == entry.path())
    });
    walk.flatten().map(walkdir::DirEntry::into_path).filter(|path| path.join(".git").is_dir()).collect()
}

/// The configuration files of the repository in a directory, its submodules' among them.
pub fn git_configs(directory: &Path) -> Vec<PathBuf> {
    const DEEPEST: usize = 8;
    let mut found = Vec::new();
    let mut next = vec![(directory.join(".git"), 0)];
    while let Some((repository, depth)) = next.pop() {
        for name in ["config", "config.worktree"] {
            found.extend(Some(repository.join(name)).filter(|file| file.is_file()));
        }
        // A submodule's name may hold slashes: whatever is below `modules` may be a repository.
        let below = if depth == 0 || repository.join("HEAD").is_file() { repository.join("modules") } else { repository };
        if depth < DEEPEST {
            for name in sorted_listing(&below).unwrap_or_default() {
                next.extend(Some((below.join(name), depth + 1)).filter(|(path, _)| path.is_dir()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_cargo_stay_outside() {
        let table = "[registry]\ndefault = 'own'\ntoken = 's3cret'\n[registries.own]\nindex = 'sparse+https://r.example/'\ntoken = \
                     's3cret'\n[http]\nproxy = 'http://u:s3cret@p.example'\n[build]\nrustflags = ['-Ca']\nrustc-wrapper = 'x'\n";
        let text = cargo_config(table.parse().unwrap());
        assert!(!text.contains("s3cret") && !text.contains("wrapper"), "{text}");
        let table: Table = text.parse().unwrap();
        assert_eq!(table["registries"]["own"]["index"].as_str(), Some("sparse+https://r.example/"));
        assert_eq!(table["build"]["rustflags"][0].as_str(), Some("-Ca"));
    }

    #[test]
    fn tokens_of_git_stay_outside() {
        let text = "[core]\n\trepositoryformatversion = 1\n\tsshCommand = ssh -i s3cret\n[extensions]\n\tobjectformat = sha256\n\
                    [remote \"origin\"]\n\turl = https://u:s3cret@h.example/r\n[http \"https://h.example/\"]\n\textraheader = \
                    AUTHORIZATION: basic s3cret\n[submodule \"a\"]\n\tactive = true\n\turl = https://u:s3cret@h.example/a\n\
                    [Credential] helper = store --file s3cret\n[core] pager = s3cret=\n";
        let kept = git_config(text);
        assert!(!kept.contains("s3cret"), "{kept}");
        assert!(kept.contains("repositoryformatversion = 1\n") && kept.contains("objectformat = sha256"), "{kept}");
    }
}
