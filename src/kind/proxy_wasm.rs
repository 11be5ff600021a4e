//! `proxy-wasm`: a filter for Envoy, Istio and their kin, in the "compat" shape of an ordinary image
//! (<https://github.com/solo-io/wasm/blob/master/spec/spec-compat.md>).
//!
//! The last layer is tar+gzip (readers reject zstd) and holds `plugin.wasm`; the manifest carries the annotation
//! `module.wasm.image/variant=compat`. A manifest of its own: readers look for no wasm platform in an index.

use super::Place;

/// The annotation that tells the variant.
pub const VARIANT_ANNOTATION: (&str, &str) = ("module.wasm.image/variant", "compat");

/// The name that every reader looks for.
pub(super) fn place() -> Place {
    Place { path: "plugin.wasm".to_owned(), mode: 0o644, entrypoint: Vec::new() }
}
