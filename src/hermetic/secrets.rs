//! Cargo's configuration files without their secrets: tokens and credential providers of registries, and everything about
//! the network (a proxy's URL may hold a password). `credentials.toml` is not among the files at all.

use toml::{Table, Value};

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
}
