//! The templates that come with this program, embedded when it is compiled.
//!
//! A template is a folder of `templates/`. What comes of its files:
//!
//! - `{{name}}` becomes the package's name, `{{snake}}` the name of its crate, `{{pascal}}` the same for types, and
//!   `{{rpc}}` the name of the Rust module that holds the code for the gRPC service `{{pascal}}Service`. Nothing else in
//!   braces is touched.
//! - `Cargo.toml.in` loses its `.in` (cargo would take the folder for a package of its own) and `gitignore.in` becomes
//!   `.gitignore`. No other file may end so.
//!
//! The list of files below is kept by a test that walks `templates/`.

mod name;
pub mod new;

pub use name::Name;

use plugin_oci::failure::{Class, Failure};

/// A package to start from.
#[derive(Debug)]
pub struct Template {
    /// Its name on the command line, which is the kind of plugin that comes of it.
    pub name: &'static str,
    /// What it makes, in one line.
    pub summary: &'static str,
    files: &'static [(&'static str, &'static str)],
}

macro_rules! files {
    ($template:literal: $($path:literal)*) => {
        &[$(($path, include_str!(concat!("../../templates/", $template, "/", $path)))),*]
    };
}

/// Every template; the first is what a user gets who names none.
pub const TEMPLATES: [Template; 5] = [
    Template {
        name: "executable",
        summary: "a program, and files that it reads at run time",
        files: files!("executable":
            "Cargo.toml.in" "README.md" "assets/phrases.txt" "gitignore.in" "src/main.rs" "tests/program.rs"),
    },
    Template {
        name: "cosmo-router",
        summary: "a gRPC plugin of the Cosmo Router (GraphQL federation)",
        files: files!("cosmo-router":
            "Cargo.toml.in" "Makefile" "README.md" "assets/greeting.txt" "build.rs" "generated/mapping.json"
            "generated/service.proto" "generated/service.proto.lock.json" "gitignore.in" "graph.yaml"
            "proto/controller.proto" "router.yaml" "src/http_client.rs" "src/lib.rs" "src/main.rs" "src/plugin/calls.rs"
            "src/plugin/log.rs" "src/plugin/mod.rs" "src/plugin/panics.rs" "src/plugin/socket.rs" "src/plugin/startup.rs"
            "src/plugin/telemetry/anonymise.rs" "src/plugin/telemetry/export.rs" "src/plugin/telemetry/mod.rs"
            "src/plugin/telemetry/propagate.rs" "src/plugin/testing.rs" "src/plugin/untraced.rs" "src/schema.graphql"
            "src/service.rs" "tests/host/mod.rs" "tests/router.rs" "tests/telemetry.rs"),
    },
    Template {
        name: "wasm",
        summary: "a WebAssembly module",
        files: files!("wasm": "Cargo.toml.in" "README.md" "gitignore.in" "src/lib.rs"),
    },
    Template {
        name: "proxy-wasm",
        summary: "an HTTP filter for Envoy and others that speak proxy-wasm",
        files: files!("proxy-wasm": "Cargo.toml.in" "README.md" "gitignore.in" "src/lib.rs" "src/rules.rs"),
    },
    Template {
        name: "library",
        summary: "a dynamic library with a C interface",
        files: files!("library": "Cargo.toml.in" "README.md" "gitignore.in" "src/lib.rs"),
    },
];

impl Template {
    /// Finds a template by its name.
    pub fn named(name: &str) -> Result<&'static Self, TemplateError> {
        TEMPLATES.iter().find(|template| template.name == name).ok_or_else(|| TemplateError::Unknown { name: name.to_owned() })
    }

    /// The files of a new package: paths relative to it, with `/`, and their content.
    pub fn files(&self, name: &Name) -> Result<Vec<(String, String)>, TemplateError> {
        if self.dependencies().any(|dependency| dependency == name.as_str()) {
            return Err(TemplateError::Dependency { name: name.to_string(), template: self.name });
        }
        let file = |(path, content): &(&str, &str)| (target(path), fill(content, name));
        Ok(self.files.iter().map(file).collect())
    }

    /// The names of the packages that the template's own manifest depends on.
    fn dependencies(&self) -> impl Iterator<Item = &'static str> {
        let manifest = self.files.iter().find(|(path, _)| *path == "Cargo.toml.in").map_or("", |(_, content)| *content);
        let mut inside = false;
        manifest.lines().filter_map(move |line| {
            if let Some(table) = line.strip_prefix('[') {
                inside = table.ends_with("dependencies]");
            }
            line.split_once(" = ").map(|(key, _)| key).filter(|_| inside)
        })
    }
}

fn target(path: &str) -> String {
    match path {
        "gitignore.in" => ".gitignore".to_owned(),
        path => path.strip_suffix(".in").unwrap_or(path).to_owned(),
    }
}

fn fill(content: &str, name: &Name) -> String {
    let fields =
        [("{{name}}", name.to_string()), ("{{snake}}", name.snake()), ("{{pascal}}", name.pascal()), ("{{rpc}}", name.rpc())];
    fields.iter().fold(content.to_owned(), |text, (field, value)| text.replace(field, value))
}

/// Why a template gives no package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No template has this name.
    #[error("there is no template `{name}`")]
    Unknown { name: String },
    /// The name cannot be a package's.
    #[error("`{name}` cannot be the name of a package: {reason}")]
    Name { name: String, reason: String },
    /// The package would depend on one of its own name.
    #[error("`{name}` cannot be the name of a package from template `{template}`, which depends on a package of that name")]
    Dependency { name: String, template: &'static str },
}

impl Failure for TemplateError {
    fn class(&self) -> Class {
        Class::Usage
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn walk(dir: &Path, below: &str, found: &mut Vec<String>) {
        for name in plugin_oci::fs::sorted_listing(dir).unwrap() {
            let path = dir.join(&name);
            let relative = format!("{below}{}", name.to_str().unwrap());
            if path.is_dir() {
                walk(&path, &format!("{relative}/"), found);
            } else {
                found.push(relative);
            }
        }
    }

    #[test]
    fn every_file_of_every_template_is_embedded() {
        let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let mut names: Vec<_> = TEMPLATES.iter().map(|template| template.name.to_owned()).collect();
        names.sort();
        let folders: Vec<_> =
            plugin_oci::fs::sorted_listing(&home).unwrap().into_iter().map(|name| name.into_string().unwrap()).collect();
        assert_eq!(folders, names);
        for template in &TEMPLATES {
            let mut found = Vec::new();
            walk(&home.join(template.name), "", &mut found);
            found.retain(|path| !path.starts_with("target/") && path != "Cargo.lock");
            let mut embedded: Vec<_> = template.files.iter().map(|(path, _)| (*path).to_owned()).collect();
            embedded.sort();
            found.sort();
            assert_eq!(embedded, found, "{}", template.name);
        }
    }

    #[test]
    fn no_placeholder_and_no_in_suffix_survives() {
        let name: Name = "my-plugin".parse().unwrap();
        for template in &TEMPLATES {
            for (path, content) in template.files(&name).unwrap() {
                assert!(path.strip_suffix(".in").is_none() && path != "gitignore", "{path}");
                for field in ["{{name}}", "{{snake}}", "{{pascal}}", "{{rpc}}"] {
                    assert!(!content.contains(field), "{}: {path}", template.name);
                }
            }
        }
    }

    #[test]
    fn a_package_cannot_have_the_name_of_its_own_dependency() {
        let router = Template::named("cosmo-router").unwrap();
        for name in ["tonic", "serde_json", "protox", "tonic-health"] {
            let error = router.files(&name.parse().unwrap()).unwrap_err();
            assert!(matches!(error, TemplateError::Dependency { .. }), "{name}");
        }
        assert!(Template::named("executable").unwrap().files(&"tonic".parse().unwrap()).is_ok());
    }

    #[test]
    fn an_unknown_template_is_told_the_known_ones() {
        let error = Template::named("docker").unwrap_err();
        assert_eq!(error.class(), Class::Usage);
    }
}
