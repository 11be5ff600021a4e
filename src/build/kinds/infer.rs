//! Which kind a crate is when its author did not say.
//!
//! | targets | crate | kind |
//! |---|---|---|
//! | wasm, or none named | has a `bin` or `cdylib`, and depends on a crate of `GUESTS` | `proxy-wasm` or `wasm` |
//! | wasm | has a `bin` or `cdylib` | `wasm` |
//! | native | has a `bin`, and the contract's files | `cosmo-router` |
//! | native | has a `bin` (or one is named) and no `cdylib` | `executable` |
//! | native | has a `cdylib` and no `bin` | `library` |
//!
//! Everything else fits none or several and is the user's to decide.

use super::{Kind, Product};
use plugin_oci::failure::{Class, Failure};

/// Crates that code for a WebAssembly host is written with, the kind of what depends on one, and the target that its host
/// loads: a core module, or a component.
const GUESTS: [(&str, Kind, &str); 7] = [
    ("proxy-wasm", Kind::ProxyWasm, "wasm32-wasip1"),
    ("extism-pdk", Kind::Wasm, "wasm32-wasip1"),
    ("zellij-tile", Kind::Wasm, "wasm32-wasip1"),
    ("spin-sdk", Kind::Wasm, "wasm32-wasip2"),
    ("wasmcloud-component", Kind::Wasm, "wasm32-wasip2"),
    ("wstd", Kind::Wasm, "wasm32-wasip2"),
    ("wit-bindgen", Kind::Wasm, "wasm32-wasip2"),
];

/// What a dependency tells of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guest {
    kind: Kind,
    /// The target, where nobody names one.
    pub target: &'static str,
    /// Whether the package has this dependency for native targets too, where it would be of no use.
    everywhere: bool,
}

impl Guest {
    /// Of a package with these normal dependencies, each with whether it is one always, for every target.
    pub fn of(dependencies: &[(&str, bool)]) -> Option<Self> {
        GUESTS.iter().find_map(|&(guest, kind, target)| {
            let (_, everywhere) = *dependencies.iter().find(|(name, _)| *name == guest)?;
            Some(Self { kind, target, everywhere })
        })
    }
}

/// What inference looks at.
#[derive(Clone, Debug, Default)]
pub struct Traits {
    /// The package's name, for messages.
    pub package: String,
    /// The names of its `bin` targets.
    pub bins: Vec<String>,
    /// The name of its library, where that is a `cdylib`.
    pub cdylib: Option<String>,
    /// The `bin` the user named.
    pub bin: Option<String>,
    /// The members of the workspace that have it.
    pub with_bin: Vec<String>,
    /// The binary `cargo run` would take.
    pub default_run: Option<String>,
    /// The targets wanted, where known.
    pub targets: Vec<String>,
    /// What it is written for, where its dependencies tell.
    pub guest: Option<Guest>,
    /// The contract of a router plugin is configured or lies where it is by default.
    pub has_contract: bool,
}

/// Chooses a kind.
pub fn kind(traits: &Traits) -> Result<Kind, InferError> {
    let package = || traits.package.clone();
    let wasm = traits.targets.iter().filter(|target| target.starts_with("wasm")).count();
    let has_bin = traits.bin.is_some() || !traits.bins.is_empty();
    if !has_bin && traits.cdylib.is_none() {
        return Err(InferError::NoProduct { package: package() });
    }
    if let Some(guest) = traits.guest.filter(|guest| guest.everywhere) {
        return Ok(guest.kind);
    }
    if wasm > 0 && wasm < traits.targets.len() {
        let of = |is_wasm: bool| {
            let targets = traits.targets.iter().filter(|target| target.starts_with("wasm") == is_wasm).cloned().collect();
            kind(&Traits { targets, ..traits.clone() })
        };
        return Err(InferError::Several { package: package(), candidates: vec![of(false)?, of(true)?] });
    }
    if wasm > 0 {
        return Ok(traits.guest.map_or(Kind::Wasm, |guest| guest.kind));
    }
    match (has_bin, traits.cdylib.is_some() && traits.bin.is_none()) {
        (true, true) => Err(InferError::Several { package: package(), candidates: vec![Kind::Executable, Kind::Library] }),
        (true, false) if traits.has_contract => Ok(Kind::CosmoRouter),
        (true, false) => Ok(Kind::Executable),
        (false, _) => Ok(Kind::Library),
    }
}

/// Chooses the cargo target that a kind is made from.
pub fn product(kind: Kind, traits: &Traits) -> Result<Product, InferError> {
    let package = || traits.package.clone();
    let cdylib = traits.cdylib.clone().map(Product::Lib);
    match kind {
        Kind::Executable | Kind::CosmoRouter => bin(traits)?.ok_or_else(|| InferError::NoBin { package: package(), kind }),
        Kind::Library => cdylib.ok_or_else(|| InferError::NoCdylib { package: package(), kind }),
        Kind::Wasm | Kind::ProxyWasm if traits.bin.is_some() => {
            bin(traits)?.ok_or_else(|| InferError::NoBin { package: package(), kind })
        }
        Kind::Wasm | Kind::ProxyWasm => match cdylib {
            Some(library) => Ok(library),
            None => bin(traits)?.ok_or_else(|| InferError::NoProduct { package: package() }),
        },
    }
}

/// The `bin` named, the only one, or `default-run`.
fn bin(traits: &Traits) -> Result<Option<Product>, InferError> {
    if let Some(wanted) = &traits.bin {
        if !traits.bins.contains(wanted) {
            return Err(InferError::UnknownBin {
                package: traits.package.clone(),
                bin: wanted.clone(),
                bins: traits.bins.clone(),
                elsewhere: traits.with_bin.clone(),
            });
        }
        return Ok(Some(Product::Bin(wanted.clone())));
    }
    match (traits.bins.as_slice(), &traits.default_run) {
        ([], _) => Ok(None),
        ([only], _) => Ok(Some(Product::Bin(only.clone()))),
        (_, Some(default)) => Ok(Some(Product::Bin(default.clone()))),
        (bins, None) => Err(InferError::SeveralBins { package: traits.package.clone(), bins: bins.to_vec() }),
    }
}

/// Why no kind or product could be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InferError {
    /// More than one kind fits.
    #[error("package `{package}` could be {}", list(candidates))]
    Several { package: String, candidates: Vec<Kind> },
    /// Neither a `bin` nor a `cdylib`.
    #[error("package `{package}` fits no kind: it has neither a binary nor a library of crate type `cdylib`")]
    NoProduct { package: String },
    /// The kind wants a binary.
    #[error("kind `{kind}` wants a binary, and package `{package}` has none")]
    NoBin { package: String, kind: Kind },
    /// The kind wants a cdylib.
    #[error("kind `{kind}` wants a library of crate type `cdylib`, and package `{package}` has none")]
    NoCdylib { package: String, kind: Kind },
    /// The named binary is none of the package's.
    #[error("package `{package}` has no binary `{bin}`")]
    UnknownBin {
        package: String,
        bin: String,
        bins: Vec<String>,
        /// The members of the workspace that have one of that name.
        elsewhere: Vec<String>,
    },
    /// Several binaries and no choice.
    #[error("package `{package}` has several binaries: {}", bins.join(", "))]
    SeveralBins { package: String, bins: Vec<String> },
}

fn list(kinds: &[Kind]) -> String {
    kinds.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(" or ")
}

impl Failure for InferError {
    fn class(&self) -> Class {
        Class::Usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traits(bins: &[&str], cdylib: Option<&str>, targets: &[&str]) -> Traits {
        Traits {
            package: "p".to_owned(),
            bins: bins.iter().map(|&name| name.to_owned()).collect(),
            cdylib: cdylib.map(str::to_owned),
            targets: targets.iter().map(|&target| target.to_owned()).collect(),
            ..Traits::default()
        }
    }

    #[test]
    fn a_kind_is_inferred_from_what_cargo_can_build() {
        let native = ["x86_64-unknown-linux-musl"];
        assert_eq!(kind(&traits(&["a"], None, &native)), Ok(Kind::Executable));
        assert_eq!(kind(&traits(&["a", "b"], None, &[])), Ok(Kind::Executable));
        assert_eq!(kind(&traits(&[], Some("l"), &native)), Ok(Kind::Library));
        assert_eq!(kind(&traits(&[], Some("l"), &["wasm32-wasip1"])), Ok(Kind::Wasm));
        let guest = |name, everywhere| Guest::of(&[("serde", true), (name, everywhere)]);
        assert_eq!(kind(&Traits { guest: guest("proxy-wasm", true), ..traits(&[], Some("l"), &[]) }), Ok(Kind::ProxyWasm));
        assert_eq!(kind(&Traits { guest: guest("extism-pdk", true), ..traits(&[], Some("l"), &native) }), Ok(Kind::Wasm));
        assert_eq!(kind(&Traits { guest: guest("zellij-tile", true), ..traits(&["a"], None, &[]) }), Ok(Kind::Wasm));
        assert_eq!(kind(&Traits { guest: guest("wit-bindgen", false), ..traits(&["a"], None, &native) }), Ok(Kind::Executable));
        assert_eq!(guest("serde_json", true), None);
        assert_eq!(kind(&Traits { has_contract: true, ..traits(&["a"], None, &native) }), Ok(Kind::CosmoRouter));
        assert_eq!(kind(&Traits { bin: Some("a".into()), ..traits(&["a"], Some("l"), &native) }), Ok(Kind::Executable));
    }

    #[test]
    fn a_crate_that_fits_none_or_several_kinds_names_the_candidates() {
        let several = kind(&traits(&["a"], Some("l"), &[])).unwrap_err();
        assert_eq!(several.to_string(), "package `p` could be `executable` or `library`");
        assert!(matches!(kind(&traits(&[], None, &[])), Err(InferError::NoProduct { .. })));
        let mixed = traits(&["a"], None, &["wasm32-wasip1", "x86_64-unknown-linux-gnu"]);
        assert_eq!(kind(&mixed).unwrap_err().to_string(), "package `p` could be `executable` or `wasm`");
        let library = traits(&[], Some("l"), &["wasm32-wasip1", "x86_64-unknown-linux-gnu"]);
        assert_eq!(kind(&library).unwrap_err().to_string(), "package `p` could be `library` or `wasm`");
    }

    #[test]
    fn one_of_several_binaries_has_to_be_named() {
        let two = traits(&["a", "b"], None, &[]);
        assert!(matches!(product(Kind::Executable, &two), Err(InferError::SeveralBins { .. })));
        let named = Traits { bin: Some("b".into()), ..two.clone() };
        assert_eq!(product(Kind::Executable, &named), Ok(Product::Bin("b".into())));
        let default = Traits { default_run: Some("a".into()), ..two.clone() };
        assert_eq!(product(Kind::Executable, &default), Ok(Product::Bin("a".into())));
        let unknown = Traits { bin: Some("c".into()), ..two };
        assert_eq!(product(Kind::Executable, &unknown).unwrap_err().to_string(), "package `p` has no binary `c`");
    }
}
