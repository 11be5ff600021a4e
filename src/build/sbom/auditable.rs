//! The list of crates that a program carries in itself, as cargo-auditable has it: scanners of file systems find it there.
//! (rust-secure-code/cargo-auditable, `PARSING.md`: zlib around JSON, in a section of this name)

use std::io::Write as _;

use auditable_serde::{DependencyKind, Package as Listed, Source, VersionInfo};

use super::graph::{Graph, Package, Scope};

/// The section's name.
pub const SECTION: &str = ".dep-v0";

/// What the section of a program holds; `None` where a version is none that cargo knows.
pub fn section(graph: &Graph) -> Option<Vec<u8>> {
    let mut packages: Vec<&Package> = graph.packages.iter().collect();
    packages.sort_by_key(|package| (&package.name, &package.version, &package.purl));
    let position = |purl: &String| packages.iter().position(|package| package.purl == *purl);
    let listed = packages.iter().map(|package| {
        let mut dependencies: Vec<usize> = package.dependencies.iter().filter_map(position).collect();
        dependencies.sort_unstable();
        Some(Listed {
            name: package.name.clone(),
            version: package.version.parse().ok()?,
            source: source(&package.purl),
            kind: if package.scope == Scope::Required { DependencyKind::Runtime } else { DependencyKind::Build },
            dependencies,
            root: package.purl == graph.root,
        })
    });
    let list = VersionInfo { packages: listed.collect::<Option<_>>()?, format: 0 };
    let json = serde_json::to_vec(&list).ok()?;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&json).ok()?;
    encoder.finish().ok()
}

/// Where a package is from, by its qualifier.
fn source(purl: &str) -> Source {
    match purl.split_once('?').and_then(|(_, qualifiers)| qualifiers.split_once('=')) {
        None => Source::CratesIo,
        Some(("vcs_url", _)) => Source::Git,
        Some(("repository_url", _)) => Source::Registry,
        Some(_) => Source::Local,
    }
}
