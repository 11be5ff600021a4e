//! How an image came to be, for the provenance attachment: what was asked, what went in, and with which tools.
//!
//! The facts about tools never get into the image itself: where they make no difference, the digest must not show them.
//! Where they do, they are the first thing that a failed rebuild looks at.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::base::ResolvedBase;
use super::statement::{Dependency, Provenance};
use crate::build::plan::rustflags::is_linux_gnu;
use crate::build::plan::{ImagePlan, Plan};
use crate::build::toolchain::ask::Ask;
use crate::build::toolchain::linker::LinkerFacts;
use crate::build::toolchain::metadata;
use plugin_oci::attachments;
use plugin_oci::environment::Environment;
use plugin_oci::failure::Error;
use plugin_oci::progress::Progress;
use plugin_oci::stores::{Source, StoreError, read_blob};
use plugin_oci::values::digest::Digest;

/// Says how to read the parameters.
const BUILD_TYPE: &str = "https://cargo-plugin-build.dev/build/v1";
/// Whoever ran this program; who that was is for a signature to say.
const BUILDER: &str = "https://cargo-plugin-build.dev/builder/v1";
/// The most bytes of a statement that are read back.
const STATEMENT_LIMIT: u64 = 16 << 20;

/// The tools whose bytes or decisions end up in artifacts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Toolchain {
    /// `rustc -vV`.
    pub rustc: String,
    /// The linker of each target.
    pub linkers: BTreeMap<String, LinkerFacts>,
}

impl Toolchain {
    /// Asks the linkers of an image's targets.
    pub fn of(plan: &Plan, image: &ImagePlan, env: &Environment, progress: &dyn Progress) -> Self {
        let place: &dyn Ask = match &plan.hermetic {
            Some(sandbox) => sandbox,
            None => env,
        };
        let is_seen = |path: &Path| {
            let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
            plan.hermetic.as_ref().is_none_or(|sandbox| sandbox.view.shows(&real))
        };
        let facts = image.targets.iter().filter_map(|target| {
            let linker = plan.linkers.get(&target.target)?;
            let static_gnu = target.must_be_static && is_linux_gnu(&target.target);
            Some((target.target.clone(), linker.facts(static_gnu, place, is_seen, progress)))
        });
        Self { rustc: plan.rustc.verbose_version.trim().to_owned(), linkers: facts.collect() }
    }

    /// What the provenance attached to an image says; `None` where there is none of ours. Of several, the first that is.
    pub fn recorded(source: &dyn Source, subject: &Digest) -> Result<Option<Self>, StoreError> {
        for manifest in attachments::find(source, subject, Provenance::ARTIFACT_TYPE)? {
            let Some(layer) = manifest.layers.first() else { continue };
            let statement = plugin_oci::documents::json::parse(&read_blob(source, layer, STATEMENT_LIMIT)?).unwrap_or_default();
            let definition = &statement["predicate"]["buildDefinition"];
            let of_subject = |named: &Value| named["digest"][subject.algorithm().as_str()] == subject.hex();
            let about_it = statement["subject"].as_array().is_some_and(|subjects| subjects.iter().any(of_subject));
            if about_it && definition["buildType"] == BUILD_TYPE {
                let toolchain = definition["internalParameters"]["toolchain"].clone();
                return Ok(serde_json::from_value(toolchain).ok());
            }
        }
        Ok(None)
    }
}

/// Everything that is known of a build.
pub fn provenance(
    plan: &Plan,
    image: &ImagePlan,
    bases: &[ResolvedBase],
    env: &Environment,
    progress: &dyn Progress,
) -> Result<Provenance, Error> {
    let requests = image.targets.iter().map(|target| {
        let request: Value = serde_json::from_str(&target.request).unwrap_or_default();
        (target.platform.to_string(), request)
    });
    let mut dependencies = locked(plan)?;
    dependencies.extend(bases.iter().map(|base| Dependency {
        uri: format!("oci:{}", base.name),
        digest: BTreeMap::from([(base.root.algorithm().as_str().to_owned(), base.root.hex().to_owned())]),
    }));
    Ok(Provenance {
        name: image.name.clone(),
        build_type: BUILD_TYPE.to_owned(),
        external: json!({
            "requests": requests.collect::<BTreeMap<_, _>>(),
            "version": image.version,
            "compression": image.compression,
            "source-date-epoch": plan.epoch,
        }),
        internal: json!({ "toolchain": Toolchain::of(plan, image, env, progress) }),
        dependencies,
        builder: BUILDER.to_owned(),
        versions: BTreeMap::from([(env!("CARGO_PKG_NAME").to_owned(), env!("CARGO_PKG_VERSION").to_owned())]),
    })
}

/// The packages of `Cargo.lock` that say what they are: by checksum from a registry, by commit from git.
fn locked(plan: &Plan) -> Result<Vec<Dependency>, Error> {
    let path = plan.workspace_root.join("Cargo.lock");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(plugin_oci::fs::FileError::at("read", &path)(error).into()),
    };
    Ok(dependencies(&text))
}

fn dependencies(lock: &str) -> Vec<Dependency> {
    let lock: toml::Table = lock.parse().unwrap_or_default();
    let packages = lock.get("package").and_then(toml::Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let known = packages.iter().filter_map(|package| {
        let field = |name: &str| package.get(name).and_then(toml::Value::as_str);
        let (name, version, source) = (field("name")?, field("version")?, field("source")?);
        if let Some(checksum) = field("checksum") {
            let uri = match source.split_once('+') {
                Some((_, registry)) if source != metadata::CRATES_IO => {
                    format!("pkg:cargo/{name}@{version}?repository_url={}", public(registry))
                }
                _ => format!("pkg:cargo/{name}@{version}"),
            };
            return Some(Dependency { uri, digest: BTreeMap::from([("sha256".to_owned(), checksum.to_owned())]) });
        }
        let (url, commit) = source.strip_prefix("git+")?.rsplit_once('#')?;
        let uri = format!("pkg:cargo/{name}@{version}?vcs_url=git+{}", public(url.split('?').next().unwrap_or(url)));
        Some(Dependency { uri, digest: BTreeMap::from([("gitCommit".to_owned(), commit.to_owned())]) })
    });
    known.collect()
}

/// Where a package comes from, without what is nobody else's business: a place on this machine, and a user or token.
fn public(url: &str) -> String {
    if url.starts_with("file:") {
        return "file:".to_owned();
    }
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) =
        rest.split_once('/').map_or((rest, String::new()), |(authority, path)| (authority, format!("/{path}")));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_is_told_with_its_registry_and_without_secrets() {
        let package = |source: &str, checksum: &str| {
            format!("[[package]]\nname = \"p\"\nversion = \"1.0.0\"\nsource = \"{source}\"\n{checksum}")
        };
        let uri = |source: &str, checksum: &str| dependencies(&package(source, checksum)).pop().unwrap().uri;
        for (source, told) in [
            ("registry+https://github.com/rust-lang/crates.io-index", "pkg:cargo/p@1.0.0"),
            ("sparse+https://me:token@crates.example/index/", "pkg:cargo/p@1.0.0?repository_url=https://crates.example/index/"),
            ("registry+file:///home/me/index", "pkg:cargo/p@1.0.0?repository_url=file:"),
        ] {
            assert_eq!(uri(source, "checksum = \"00\"\n"), told);
        }
        for (source, told) in [
            ("git+https://me:token@git.example/p?branch=x#0a", "pkg:cargo/p@1.0.0?vcs_url=git+https://git.example/p"),
            ("git+ssh://git@git.example/p.git#0a", "pkg:cargo/p@1.0.0?vcs_url=git+ssh://git.example/p.git"),
            ("git+file:///home/me/p#0a", "pkg:cargo/p@1.0.0?vcs_url=git+file:"),
        ] {
            assert_eq!(uri(source, ""), told);
        }
    }
}
