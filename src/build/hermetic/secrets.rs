//! Cargo's configuration files without their secrets: tokens and credential providers of registries, and everything about
//! the network (a proxy's URL may hold a password). `credentials.toml` is not among the files at all.

use toml::{Table, Value};

/// Cargo's configuration without secrets.
pub fn cargo_config(mut table: Table) -> String {
    const SECRET: [&str; 3] = ["token", "secret-key", "credential-provider"];
    // What decides about a build; whatever else stands in a file is none of it.
    const SECTIONS: [&str; 15] = [
        "build",
        "doc",
        "env",
        "future-incompat-report",
        "host",
        "patch",
        "paths",
        "profile",
        "registries",
        "registry",
        "resolver",
        "source",
        "target",
        "term",
        "unstable",
    ];
    table.retain(|section, _| SECTIONS.contains(&section));
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

/// What of cargo's configuration is needed to fetch, and safe for it: where packages come from, and how the network is used.
/// Of the caller's files tokens are kept, for `registries` only, whose index the caller names; of the sources' those registries
/// are left out altogether, and so is what they say about the network.
pub fn fetch_config(table: &Table, registries: &[String], is_callers: bool) -> String {
    let same = |a: &str, b: &str| a.replace('-', "_").eq_ignore_ascii_case(&b.replace('-', "_"));
    let is_known = |name: &str| registries.iter().any(|known| same(known, name));
    let mut kept = Table::new();
    for (section, value) in table {
        match (section.as_str(), value) {
            ("source" | "patch" | "paths" | "resolver" | "unstable", _) => {
                kept.insert(section.clone(), value.clone());
            }
            ("http" | "net" | "cache", _) if is_callers => {
                kept.insert(section.clone(), value.clone());
            }
            ("registry", Value::Table(registry)) => {
                let default =
                    registry.iter().filter(|(key, _)| *key == "default").map(|(key, value)| (key.clone(), value.clone()));
                kept.insert(section.clone(), Value::Table(default.collect()));
            }
            ("registries", Value::Table(named)) => {
                let mut found = Table::new();
                for (name, registry) in named.iter().filter(|(name, _)| is_callers || !is_known(name)) {
                    let may_have_token = is_callers && is_known(name);
                    let fields = registry.as_table().into_iter().flatten();
                    let fields = fields.filter(|(key, _)| {
                        matches!(key.as_str(), "index" | "protocol") || may_have_token && key.as_str() == "token"
                    });
                    found.insert(name.clone(), Value::Table(fields.map(|(key, value)| (key.clone(), value.clone())).collect()));
                }
                kept.insert(section.clone(), Value::Table(found));
            }
            _ => {}
        }
    }
    kept.to_string()
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
    fn what_fetches_gets_tokens_for_the_callers_registries_only() {
        let callers = "[registries.own-1]\nindex = 'i'\ntoken = 'mine'\n[registries.other]\ntoken = 's3cret'\n[registry]\n\
                       default = 'own-1'\ntoken = 's3cret'\nglobal-credential-providers = ['s3cret']\n[http]\nproxy = 'p'\n[env]\n\
                       PATH = 's3cret'\n";
        let text = fetch_config(&callers.parse().unwrap(), &["OWN_1".to_owned()], true);
        assert!(text.contains("mine") && text.contains("proxy") && text.contains("default"), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
        let sources = "[registries.own-1]\nindex = 'evil'\n[registries.theirs]\nindex = 'j'\ncredential-provider = 'evil'\n[http]\n\
                       proxy = 'evil'\n[net]\ngit-fetch-with-cli = 'evil'\n[target.t]\nrunner = 'evil'\n[build]\nrustc = 'evil'\n";
        let text = fetch_config(&sources.parse().unwrap(), &["OWN_1".to_owned()], false);
        assert!(!text.contains("evil") && text.contains("index = \"j\""), "{text}");
    }
}
