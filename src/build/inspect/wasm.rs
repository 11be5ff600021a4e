//! WebAssembly: core modules and components told apart, imports and exports.
//!
//! Bytes are validated first: a registry is no place to find out that a module is broken.

use serde::Serialize;
use wasmparser::{BinaryReaderError, Encoding, Parser, Payload, Validator, WasmFeatures};

/// What is known of a module or component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Wasm {
    /// What it is.
    pub form: Form,
    /// What it asks of its host, sorted: interfaces (`wasi:cli/environment@0.2.0`) of a component, `module.name` of a module.
    pub imports: Vec<String>,
    /// What it offers, sorted.
    pub exports: Vec<String>,
}

/// The two forms of WebAssembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// A core module.
    Module,
    Component,
}

impl Wasm {
    /// Whether this is a core module.
    pub const fn is_module(&self) -> bool {
        matches!(self.form, Form::Module)
    }

    /// The `os` of a CNCF artifact: `wasip2` for components, which exist since then, else `wasip1`.
    pub const fn os(&self) -> &'static str {
        match self.form {
            Form::Module => "wasip1",
            Form::Component => "wasip2",
        }
    }
}

/// Validates and reads.
pub fn inspect(bytes: &[u8]) -> Result<Wasm, BinaryReaderError> {
    Validator::new_with_features(WasmFeatures::all()).validate_all(bytes)?;
    let mut wasm = Wasm { form: Form::Module, imports: Vec::new(), exports: Vec::new() };
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::Version { encoding, .. } => {
                if depth == 0 && encoding == Encoding::Component {
                    wasm.form = Form::Component;
                }
                depth += 1;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            // Modules and components within a component are its own affair.
            _ if depth > 1 => {}
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    wasm.imports.push(format!("{}.{}", import.module, import.name));
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    wasm.exports.push(export?.name.to_owned());
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    wasm.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    wasm.exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    for names in [&mut wasm.imports, &mut wasm.exports] {
        names.sort_unstable();
        names.dedup();
    }
    Ok(wasm)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(module (import "env" "f" (func)) (func) (export "g" (func 1)))`
    const MODULE: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x09\x01\x03env\x01f\0\0\x03\x02\x01\0\x07\x05\x01\x01g\0\x01\x0a\x04\x01\x02\0\x0b";

    #[test]
    fn a_core_module_tells_its_imports_and_exports() {
        let wasm = inspect(MODULE).unwrap();
        assert_eq!((wasm.form, wasm.os()), (Form::Module, "wasip1"));
        assert_eq!((wasm.imports, wasm.exports), (vec!["env.f".to_owned()], vec!["g".to_owned()]));
    }

    #[test]
    fn a_component_is_told_from_a_module() {
        let empty = b"\0asm\x0d\0\x01\0";
        assert_eq!(inspect(empty).unwrap().form, Form::Component);
    }

    #[test]
    fn broken_bytes_are_no_module() {
        assert!(inspect(&MODULE[..MODULE.len() - 1]).is_err());
    }
}
