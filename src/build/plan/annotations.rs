//! What an image says about itself, from `Cargo.toml`: the keys of OCI's `annotations.md` that a package has, which commit of which repository its sources are, and
//! `dev.cargo-plugin-build.{format,name,kind}`. The user's annotations win. No tool version, no time, no host.

use std::collections::BTreeMap;

use crate::build::kinds::{Kind, proxy_wasm};
use crate::build::manifest::Plugin;
use crate::build::repository::revision::Revision;
use plugin_oci::layers::pack::{FORMAT, FORMAT_KEY};

/// OCI's annotation of the commit.
pub const REVISION_KEY: &str = "org.opencontainers.image.revision";
/// OCI's annotation of where the sources can be had.
pub const SOURCE_KEY: &str = "org.opencontainers.image.source";
/// The annotation of the plugin's name.
pub const NAME_KEY: &str = "dev.cargo-plugin-build.name";
/// The annotation of the plugin's kind.
pub const KIND_KEY: &str = "dev.cargo-plugin-build.kind";
/// The annotation of a platform manifest that tells what was asked of cargo.
pub const REQUEST_KEY: &str = "dev.cargo-plugin-build.request";

/// The annotations of every manifest and of the index.
pub(super) fn of(plugin: &Plugin, revision: Option<&Revision>) -> BTreeMap<String, String> {
    let package = &plugin.package;
    let mut annotations = BTreeMap::new();
    let mut set = |key: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            annotations.insert(format!("org.opencontainers.image.{key}"), value);
        }
    };
    set("title", Some(plugin.name.clone()));
    set("version", Some(package.version.to_string()));
    set("description", package.description.as_ref().map(|text| text.trim().to_owned()));
    set("authors", Some(package.authors.join(", ")));
    set("licenses", package.license.clone());
    set("url", package.homepage.clone());
    set("source", package.repository.clone().or_else(|| revision?.source.clone()));
    set("revision", revision.map(Revision::text));
    set("documentation", package.documentation.clone());
    let ours = [(FORMAT_KEY, FORMAT), (NAME_KEY, &plugin.name), (KIND_KEY, plugin.kind.as_str())];
    annotations.extend(plugin.config.annotations.clone().unwrap_or_default());
    annotations.extend(ours.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
    if plugin.kind == Kind::ProxyWasm {
        let (key, value) = proxy_wasm::VARIANT_ANNOTATION;
        annotations.insert(key.to_owned(), value.to_owned());
    }
    annotations
}
