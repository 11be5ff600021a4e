//! What a plugin is to its host: which cargo product it is made from, where the artifact lies in the image, how it is
//! started, and what must hold before it is packed.
//!
//! One small module per kind; this file only dispatches. A kind knows neither cargo nor images, so that the rules of a
//! host can be read in one place.
//!
//! | kind | compiled from | in the image | started by |
//! |---|---|---|---|
//! | [`executable`] | a `bin` | `/<name>`, the binary's unless the plugin is given one | entrypoint `["/<name>"]` |
//! | [`cosmo-router`](cosmo) | a `bin` | `bin/<os>_<arch>` | entrypoint `["./bin/<os>_<arch>"]` |
//! | [`wasm`] | a `bin` or `cdylib` for a wasm target | the raw module, one layer | the runtime |
//! | [`proxy_wasm`] | a `cdylib` or `bin` for a wasm target | `plugin.wasm` | the proxy |
//! | [`library`] | a `cdylib` | the library under its platform's name | the loading program |

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hosts::cosmo::rules as cosmo;
use plugin_oci::failure::{Class, Error, Failure};
use plugin_oci::values::platform::{Platform, PlatformError};

pub mod executable;
pub mod infer;
pub mod library;
pub mod proxy_wasm;
pub mod wasm;

/// What a plugin is to its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A program that the image starts.
    Executable,
    /// A gRPC plugin of the Cosmo Router.
    CosmoRouter,
    /// A WebAssembly module or component as a CNCF artifact.
    Wasm,
    /// A WebAssembly filter for Envoy and its kin.
    ProxyWasm,
    /// A dynamic library as an artifact.
    Library,
}

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 5] = [Self::Executable, Self::CosmoRouter, Self::Wasm, Self::ProxyWasm, Self::Library];

    /// The word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Executable => "executable",
            Self::CosmoRouter => "cosmo-router",
            Self::Wasm => "wasm",
            Self::ProxyWasm => "proxy-wasm",
            Self::Library => "library",
        }
    }

    /// The kind of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Who loads what no image starts, as a sentence.
    pub const fn loaded_by(self) -> Option<&'static str> {
        match self {
            Self::Executable | Self::CosmoRouter => None,
            Self::Wasm => Some("a WebAssembly runtime, such as wasmtime, loads it"),
            Self::ProxyWasm => Some("a proxy that speaks proxy-wasm, such as Envoy, loads it"),
            Self::Library => Some("a program loads it with dlopen"),
        }
    }

    /// Whether the artifact is WebAssembly.
    pub const fn is_wasm(self) -> bool {
        matches!(self, Self::Wasm | Self::ProxyWasm)
    }

    /// Whether the image starts the artifact as a process, so that it must be able to start in that image.
    pub const fn is_process(self) -> bool {
        matches!(self, Self::Executable | Self::CosmoRouter)
    }

    /// Whether an OCI image index wraps the manifests. The two wasm kinds are lone manifests: in an index some consumers
    /// find no platform that they could choose.
    pub const fn has_index(self) -> bool {
        !self.is_wasm()
    }

    /// The target when none is named: the host's, except for wasm.
    pub const fn default_target(self) -> Option<&'static str> {
        if self.is_wasm() { Some("wasm32-wasip1") } else { None }
    }

    /// Whether a target that was named for all that is built here is one for this kind: cargo's `build.target`. Proxies load
    /// core modules, and those of `wasip2` and later are components.
    pub fn suits(self, target: &str) -> bool {
        let is_component = target.contains("-wasip") && !target.contains("-wasip1");
        self.is_wasm() == target.starts_with("wasm") && !(self == Self::ProxyWasm && is_component)
    }

    /// The target that a `--platform` means for this kind: a static one for a process in an image without a base, the
    /// platform's usual one for what is loaded into something that exists already.
    pub fn target_of_platform(self, platform: &Platform, has_base: bool) -> Result<String, PlatformError> {
        let target = platform.static_target()?;
        if has_base || self == Self::Library { Ok(target.replace("-musl", "-gnu")) } else { Ok(target.to_owned()) }
    }

    /// The platform that code of this kind for a target runs on. `wasm32-unknown-unknown` names no system; OCI's words
    /// for wasm need one, and `wasip1` is what core modules are filed under.
    pub fn platform_of_target(self, target: &str) -> Result<Platform, PlatformError> {
        if self.is_wasm() && target.starts_with("wasm32") && target.ends_with("unknown-unknown") {
            return Ok(Platform::new("wasip1", "wasm"));
        }
        Platform::of_target(target)
    }

    /// Where the artifact lies and how it is started.
    pub fn place(self, subject: &Subject<'_>) -> Result<Placement, Error> {
        if self.is_wasm() != subject.target.starts_with("wasm") {
            return Err(KindError::Target { kind: self, target: subject.target.to_owned() }.into());
        }
        Ok(match self {
            Self::Executable => executable::place(subject),
            Self::CosmoRouter => {
                let path = cosmo::place(subject.platform)?;
                Placement { entrypoint: vec![format!("./{path}")], path, mode: 0o755 }
            }
            Self::Wasm => wasm::place(subject),
            Self::ProxyWasm => proxy_wasm::place(),
            Self::Library => library::place(subject),
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The cargo target that becomes the artifact.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Product {
    /// `--bin NAME`.
    Bin(String),
    /// `--lib`, and the library's name.
    Lib(String),
}

impl Product {
    /// The cargo target's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Bin(name) | Self::Lib(name) => name,
        }
    }

    /// Whether this is a `bin`.
    pub const fn is_bin(&self) -> bool {
        matches!(self, Self::Bin(_))
    }
}

/// What is placed: one plugin for one target.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The plugin's name.
    pub name: &'a str,
    /// Whether somebody gave it that name.
    pub is_named: bool,
    /// What cargo builds.
    pub product: &'a Product,
    /// The target triple.
    pub target: &'a str,
    pub platform: &'a Platform,
}

/// Where an artifact lies in the image and how it is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Placement {
    /// Path from the image root, without a leading slash.
    pub path: String,
    /// Permission bits.
    #[serde(serialize_with = "crate::build::manifest::files::octal")]
    pub mode: u32,
    /// The entrypoint unless the user sets another; empty for what is not started.
    pub entrypoint: Vec<String>,
}

/// Why a kind cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum KindError {
    /// A native kind for a wasm target, or the other way round.
    #[error("kind `{kind}` cannot be built for target `{target}`")]
    Target { kind: Kind, target: String },
}

impl Failure for KindError {
    fn class(&self) -> Class {
        Class::Usage
    }
}
