//! Our rustflags beside the user's.
//!
//! Cargo takes rustflags from one place only (`toolchain::config`), so ours must go where the user's are:
//!
//! - In the environment: they are global there, and ours are appended to them.
//! - Else ours become `--config target.<triple>.rustflags=[..]`, which cargo appends to the user's `target.<triple>` and
//!   `target.<cfg>` flags. It would displace `build.rustflags`, so those are repeated in front of ours.
//!
//! Flags by environment would break a user's per-target `target-cpu`; hence the second way wherever possible.

use crate::build::kinds::Product;
use crate::build::manifest::Plugin;
use crate::build::toolchain::config::{Rustflags, RustflagsOrigin};
use crate::build::toolchain::linker::Linker;

/// What a target's compilations get.
#[derive(Clone, Debug)]
pub struct TargetFlags {
    /// The user's flags.
    pub users: Rustflags,
    pub remaps: Vec<String>,
    pub linker: Linker,
    /// Whether the sources' configuration names it, under `--hermetic`.
    pub linker_is_of_sources: bool,
}

impl TargetFlags {
    pub fn ours(&self, target: &str, plugin: &Plugin) -> Vec<String> {
        let mut flags = self.remaps.clone();
        flags.extend(self.crt(target, plugin).map(|sign| format!("-Ctarget-feature={sign}crt-static")));
        flags
    }

    /// Ours, with the user's in front where the new place would displace them.
    pub fn for_config(&self, ours: &[String]) -> Vec<String> {
        let displaced = if self.users.origin == RustflagsOrigin::Build { self.users.flags.as_slice() } else { &[] };
        [displaced, ours].concat()
    }

    /// Whether the C runtime is to be linked statically or dynamically, where that is not the target's own choice. What the
    /// user says about it stands.
    fn crt(&self, target: &str, plugin: &Plugin) -> Option<char> {
        if self.users.flags.iter().any(|flag| flag.contains("crt-static")) {
            return None;
        }
        match &plugin.product {
            Product::Bin(_) if is_linux_gnu(target) && wants_static(plugin, target) => Some('+'),
            // musl links statically by default, and a static cdylib does not exist: cargo would drop it.
            Product::Lib(_) if target.contains("-linux-musl") => Some('-'),
            _ => None,
        }
    }
}

/// Whether a plugin's program finds no loader where it is started.
pub fn wants_static(plugin: &Plugin, target: &str) -> bool {
    plugin.kind.is_process() && plugin.base_of(target).is_none() && plugin.config.bundle_libs != Some(true)
}

/// Whether a target's libc is glibc.
pub fn is_linux_gnu(target: &str) -> bool {
    target.contains("-linux-gnu")
}
