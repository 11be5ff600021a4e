//! `wasm`: a module or component as a CNCF WebAssembly artifact
//! (<https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>).
//!
//! The manifest holds exactly one raw `application/wasm` layer, so there is no place for other files. A manifest of its
//! own, without an index. Its config's `os` is `wasip1` for core modules and `wasip2` for components.

use super::{Placement, Subject};

/// The module has no path in an artifact; the name is what `unpack` gives it.
pub(super) fn place(subject: &Subject<'_>) -> Placement {
    Placement { path: format!("{}.wasm", subject.name), mode: 0o644, entrypoint: Vec::new() }
}
