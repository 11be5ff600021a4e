//! `proxy-wasm`: a filter for Envoy, Istio and their kin, in the "compat" shape of an ordinary image
//! (<https://github.com/solo-io/wasm/blob/master/spec/spec-compat.md>).
//!
//! The last layer is tar+gzip (readers reject zstd) and holds `plugin.wasm`; the manifest carries the annotation
//! `module.wasm.image/variant=compat`. A manifest of its own: readers look for no wasm platform in an index.

use super::Placement;
use plugin_oci::failure::Failure;

/// The annotation that tells the variant.
pub const VARIANT_ANNOTATION: (&str, &str) = ("module.wasm.image/variant", "compat");

/// The name that every reader looks for.
pub(super) fn place() -> Placement {
    Placement { path: "plugin.wasm".to_owned(), mode: 0o644, entrypoint: Vec::new() }
}

/// Fails unless the artifact is a core module that says which version of the interface it speaks, by exporting a function
/// of that name: hosts look for it first, and load nothing without it.
pub fn check(exports: &[String], is_module: bool) -> Result<(), ProxyWasmError> {
    if !is_module {
        return Err(ProxyWasmError::Component);
    }
    let speaks = exports.iter().any(|name| name.starts_with("proxy_abi_version_"));
    if speaks { Ok(()) } else { Err(ProxyWasmError::NoAbi) }
}

/// Why a proxy would refuse the module.
#[derive(Debug, thiserror::Error)]
pub enum ProxyWasmError {
    #[error("proxies load core modules, and this is a component")]
    Component,
    /// No version of the interface.
    #[error("the module exports no `proxy_abi_version_*`, so that no proxy would load it")]
    NoAbi,
}

impl Failure for ProxyWasmError {}
