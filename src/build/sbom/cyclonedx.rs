//! `CycloneDX` 1.6 (ECMA-424), as JSON: <https://cyclonedx.org/docs/1.6/json/>.
//!
//! - The subject is the plugin's package; `components` are the crates, the standard library, compiler and linker, the C library
//!   that is linked in, and the image's files.
//! - `scope`: `required` is linked or packed, `excluded` took part in the build alone.
//! - `bom-ref` is the purl where there is one.
//! - What is linked names its platforms in a property: one bill tells of all platforms of an image.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use super::bill::{Bill, HashedFile, PlatformBill};
use super::format::TOOL;
use super::graph::{Package, Scope};
use super::licence;
use super::sorted::sorted;
use plugin_oci::documents::json::to_canonical;
use plugin_oci::values::digest::Digest;

/// Property: a platform whose artifact holds the component.
pub const PLATFORM: &str = "dev.cargo-plugin-build.platform";

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Component {
    #[serde(rename = "type")]
    kind: &'static str,
    bom_ref: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<Scope>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    licenses: Option<[Licence; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property>,
}

#[derive(Clone, Debug, Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Licence {
    Expression(String),
    License { name: String },
}

#[derive(Clone, Debug, Serialize)]
struct Property {
    name: &'static str,
    value: String,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    #[serde(rename = "ref")]
    of: String,
    depends_on: Vec<String>,
}

/// The document, canonical.
pub fn document(bill: &Bill) -> Vec<u8> {
    let mut all = Components::default();
    for platform in &bill.platforms {
        all.add_platform(platform);
    }
    for file in &bill.files {
        all.add(Component { hashes: hashes(&file.digest), ..Component::new("file", &format!("file:{}", file.path), &file.path) });
    }
    let root = bill.platforms.first().map(|platform| platform.graph.root.clone()).unwrap_or_default();
    let subject = all.components.remove(&root).map(|package| Component {
        kind: "application",
        name: bill.name.clone(),
        scope: None,
        properties: Vec::new(),
        ..package
    });
    let dependencies = all.dependencies.into_iter().map(|(of, depends_on)| Dependency { of, depends_on });
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": subject,
            "tools": { "components": [{ "type": "application", "name": TOOL }] },
        },
        "components": all.components.into_values().collect::<Vec<_>>(),
        "dependencies": dependencies.collect::<Vec<_>>(),
    });
    to_canonical(&sorted(document))
}

#[derive(Default)]
struct Components {
    components: BTreeMap<String, Component>,
    dependencies: BTreeMap<String, Vec<String>>,
}

impl Components {
    /// Adds a component. What several platforms have is one, linked where it is linked for any.
    fn add(&mut self, component: Component) {
        match self.components.get_mut(&component.bom_ref) {
            Some(known) => {
                known.scope = known.scope.min(component.scope);
                known.properties.extend(component.properties);
            }
            None => {
                self.components.insert(component.bom_ref.clone(), component);
            }
        }
    }

    fn add_platform(&mut self, platform: &PlatformBill) {
        let here = || vec![Property { name: PLATFORM, value: platform.platform.clone() }];
        let root = &platform.graph.root;
        for package in &platform.graph.packages {
            let linked = package.scope == Scope::Required;
            let properties = if linked { here() } else { Vec::new() };
            self.add(Component { properties, ..Component::of_package(package) });
            self.dependencies.entry(package.purl.clone()).or_default().extend(package.dependencies.iter().cloned());
        }
        let compiler = &platform.compiler;
        let of_rust = |kind, part, scope, properties| Component {
            version: Some(compiler.release.clone()),
            scope: Some(scope),
            licenses: Some([Licence::Expression("MIT OR Apache-2.0".to_owned())]),
            purl: Some(compiler.purl(part)),
            properties,
            ..Component::new(kind, &compiler.purl(part), part)
        };
        self.add(of_rust("library", "rust-std", Scope::Required, here()));
        self.add(of_rust("application", "rustc", Scope::Excluded, Vec::new()));
        let mut needs = vec![compiler.purl("rust-std")];
        if let Some(linker) = &platform.linker {
            let component = Component::new("application", &format!("linker {linker}"), "linker");
            self.add(Component { version: Some(linker.clone()), scope: Some(Scope::Excluded), ..component });
        }
        if let Some(libc) = &platform.libc {
            // Of each platform it is another file.
            let of = format!("{}#{}", libc.purl(), platform.platform);
            self.add(Component {
                version: libc.version.clone(),
                hashes: libc.digest.iter().flat_map(hashes).collect(),
                purl: Some(libc.purl()),
                properties: here(),
                ..Component::new("library", &of, libc.name)
            });
            needs.push(of);
        }
        for file in platform.libraries.iter().chain([&platform.artifact]) {
            let of = format!("file:{}:{}", platform.platform, file.path);
            self.add(Component { hashes: hashes(&file.digest), properties: here(), ..Component::new("file", &of, &file.path) });
        }
        self.dependencies.entry(root.clone()).or_default().extend(needs);
    }
}

impl Component {
    fn new(kind: &'static str, bom_ref: &str, name: &str) -> Self {
        let (version, hashes, licenses, purl, properties) = (None, Vec::new(), None, None, Vec::new());
        let scope = Some(Scope::Required);
        let (bom_ref, name) = (bom_ref.to_owned(), name.to_owned());
        Self { kind, bom_ref, name, version, scope, hashes, licenses, purl, properties }
    }

    fn of_package(package: &Package) -> Self {
        let stated = package.license.as_ref().map(|stated| match licence::expression(stated) {
            Some(expression) => Licence::Expression(expression),
            None => Licence::License { name: stated.clone() },
        });
        let in_file = || package.license_file.as_ref().map(|file| Licence::License { name: format!("in file {file}") });
        Self {
            version: Some(package.version.clone()),
            scope: Some(package.scope),
            hashes: package.checksum.iter().map(|content| Hash { alg: "SHA-256", content: content.clone() }).collect(),
            licenses: stated.filter(|_| package.license.as_deref() != Some("")).or_else(in_file).map(|licence| [licence]),
            purl: Some(package.purl.clone()),
            ..Self::new("library", &package.purl, &package.name)
        }
    }
}

fn hashes(digest: &Digest) -> Vec<Hash> {
    vec![Hash { alg: "SHA-256", content: digest.hex().to_owned() }]
}

/// A file's path and hash, for other formats.
pub(super) fn files(bill: &Bill) -> impl Iterator<Item = (Option<&str>, &HashedFile)> {
    let own = bill.platforms.iter().flat_map(|platform| {
        platform.libraries.iter().chain([&platform.artifact]).map(|file| (Some(platform.platform.as_str()), file))
    });
    own.chain(bill.files.iter().map(|file| (None, file)))
}
