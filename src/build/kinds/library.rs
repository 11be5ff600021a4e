//! `library`: a `cdylib` as an OCI artifact, one manifest per platform under an index.
//!
//! The library keeps the name that its platform's loaders expect. Annotations tell the compiler and a hash of the
//! exported symbols, so that a host can refuse an incompatible one without loading it.

use super::{Placement, Subject};
use plugin_oci::values::digest::Digest;

/// The artifact type of the manifests.
pub const ARTIFACT_TYPE: &str = "application/vnd.cargo-plugin-build.library.v1";

/// `lib<name>.so`, `lib<name>.dylib` or `<name>.dll`.
pub(super) fn place(subject: &Subject<'_>) -> Placement {
    let name = subject.product.name().replace('-', "_");
    let path = match subject.platform.os.as_str() {
        "windows" => format!("{name}.dll"),
        "darwin" => format!("lib{name}.dylib"),
        _ => format!("lib{name}.so"),
    };
    Placement { path, mode: 0o644, entrypoint: Vec::new() }
}

/// The digest of the exported symbols: sorted, one a line.
pub fn exports_digest(exports: &[String]) -> Digest {
    let mut names: Vec<&str> = exports.iter().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    Digest::of(names.join("\n").as_bytes())
}
