//! SPDX 2.3, as JSON: <https://spdx.github.io/spdx-spec/v2.3/>.
//!
//! The document describes the plugin's package. Files are packages of the purpose `FILE`: the format wants SHA-1 of what it calls
//! a file. Each artifact says by `STATIC_LINK` what is linked into it. The time that the format demands is the image's epoch,
//! and the name space follows from the content.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::bill::{Bill, PlatformBill};
use super::cyclonedx::files;
use super::format::TOOL;
use super::graph::{Package, Scope};
use super::licence;
use super::sorted::sorted;
use plugin_oci::documents::json::to_canonical;
use plugin_oci::values::digest::Digest;

const NO_ASSERTION: &str = "NOASSERTION";
const DOCUMENT: &str = "SPDXRef-DOCUMENT";

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SpdxPackage {
    #[serde(rename = "SPDXID")]
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_info: Option<String>,
    primary_package_purpose: &'static str,
    download_location: &'static str,
    files_analyzed: bool,
    license_concluded: &'static str,
    license_declared: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    license_comments: Option<String>,
    copyright_text: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<Value>,
}

/// The document, canonical.
pub fn document(bill: &Bill) -> Vec<u8> {
    let mut all = Packages::default();
    for (platform, file) in files(bill) {
        let of = file_key(platform, &file.path);
        all.add(SpdxPackage { checksums: checksum(file.digest.hex()), ..SpdxPackage::new("FILE", &of, &file.path) });
    }
    let root = bill.platforms.first().map(|platform| id(&platform.graph.root)).unwrap_or_default();
    for (platform, file) in files(bill) {
        all.relate(&root, "CONTAINS", &id(&file_key(platform, &file.path)));
    }
    for platform in &bill.platforms {
        all.add_platform(platform);
    }
    if let Some(subject) = all.packages.get_mut(&root) {
        subject.name.clone_from(&bill.name);
        subject.primary_package_purpose = "APPLICATION";
    }
    all.relate(DOCUMENT, "DESCRIBES", &root);
    let document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": format!("{}-{}", bill.name, bill.version),
        "creationInfo": { "created": bill.epoch.rfc3339(), "creators": [format!("Tool: {TOOL}")] },
        "packages": all.packages.into_values().collect::<Vec<_>>(),
        "relationships": all.relationships.into_iter().map(|(of, how, to)| json!({
            "spdxElementId": of, "relationshipType": how, "relatedSpdxElement": to,
        })).collect::<Vec<_>>(),
    });
    to_canonical(&named(sorted(document)))
}

/// The document under a name space that is its content's alone.
fn named(mut document: Value) -> Value {
    let digest = Digest::of(&to_canonical(&document));
    document["documentNamespace"] = format!("https://cargo-plugin-build.dev/spdx/{}", digest.hex()).into();
    document
}

#[derive(Default)]
struct Packages {
    packages: BTreeMap<String, SpdxPackage>,
    relationships: BTreeSet<(String, &'static str, String)>,
}

impl Packages {
    fn add(&mut self, package: SpdxPackage) {
        self.packages.entry(package.id.clone()).or_insert(package);
    }

    fn relate(&mut self, of: &str, how: &'static str, to: &str) {
        self.relationships.insert((of.to_owned(), how, to.to_owned()));
    }

    fn add_platform(&mut self, platform: &PlatformBill) {
        let artifact = id(&file_key(Some(&platform.platform), &platform.artifact.path));
        let root = id(&platform.graph.root);
        for package in &platform.graph.packages {
            let own = id(&package.purl);
            self.add(SpdxPackage::of_package(package));
            match package.scope {
                Scope::Required => self.relate(&artifact, "STATIC_LINK", &own),
                Scope::Excluded => self.relate(&own, "BUILD_DEPENDENCY_OF", &root),
            }
            for below in &package.dependencies {
                self.relate(&own, "DEPENDS_ON", &id(below));
            }
        }
        let compiler = &platform.compiler;
        let of_rust = |part, purpose| SpdxPackage {
            version_info: Some(compiler.release.clone()),
            license_declared: "MIT OR Apache-2.0".to_owned(),
            external_refs: purl(&compiler.purl(part)),
            ..SpdxPackage::new(purpose, &compiler.purl(part), part)
        };
        self.add(of_rust("rust-std", "LIBRARY"));
        self.relate(&artifact, "STATIC_LINK", &id(&compiler.purl("rust-std")));
        self.add(of_rust("rustc", "APPLICATION"));
        self.relate(&id(&compiler.purl("rustc")), "BUILD_TOOL_OF", &root);
        if let Some(linker) = &platform.linker {
            let of = format!("linker {linker}");
            self.add(SpdxPackage { version_info: Some(linker.clone()), ..SpdxPackage::new("APPLICATION", &of, "linker") });
            self.relate(&id(&of), "BUILD_TOOL_OF", &root);
        }
        if let Some(libc) = &platform.libc {
            let of = format!("{}#{}", libc.purl(), platform.platform);
            self.add(SpdxPackage {
                version_info: libc.version.clone(),
                checksums: libc.digest.iter().flat_map(|digest| checksum(digest.hex())).collect(),
                external_refs: purl(&libc.purl()),
                ..SpdxPackage::new("LIBRARY", &of, libc.name)
            });
            self.relate(&artifact, "STATIC_LINK", &id(&of));
        }
    }
}

impl SpdxPackage {
    fn new(purpose: &'static str, key: &str, name: &str) -> Self {
        Self {
            id: id(key),
            name: name.to_owned(),
            version_info: None,
            primary_package_purpose: purpose,
            download_location: NO_ASSERTION,
            files_analyzed: false,
            license_concluded: NO_ASSERTION,
            license_declared: NO_ASSERTION.to_owned(),
            license_comments: None,
            copyright_text: NO_ASSERTION,
            checksums: Vec::new(),
            external_refs: Vec::new(),
        }
    }

    fn of_package(package: &Package) -> Self {
        let expression = package.license.as_deref().and_then(licence::expression);
        let stated =
            package.license.as_ref().filter(|_| expression.is_none()).map(|stated| format!("the manifest says: {stated}"));
        let in_file = package.license_file.as_ref().map(|file| format!("in file {file}"));
        Self {
            version_info: Some(package.version.clone()),
            license_declared: expression.unwrap_or_else(|| NO_ASSERTION.to_owned()),
            license_comments: stated.or(in_file),
            checksums: package.checksum.iter().flat_map(|hex| checksum(hex)).collect(),
            external_refs: purl(&package.purl),
            ..Self::new("LIBRARY", &package.purl, &package.name)
        }
    }
}

fn checksum(hex: &str) -> Vec<Value> {
    vec![json!({ "algorithm": "SHA256", "checksumValue": hex })]
}

fn purl(locator: &str) -> Vec<Value> {
    vec![json!({ "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator })]
}

fn file_key(platform: Option<&str>, path: &str) -> String {
    platform.map_or_else(|| format!("file:{path}"), |platform| format!("file:{platform}:{path}"))
}

/// An identifier: letters, digits, dots and dashes. What stands for other characters must keep two keys apart.
fn id(key: &str) -> String {
    let readable: String = key.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    format!("SPDXRef-{}-{}", readable.trim_matches('-'), Digest::of(key.as_bytes()).short())
}
