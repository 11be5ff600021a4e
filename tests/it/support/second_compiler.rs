//! Debian's compiler beside the one that runs the tests: another version, with the standard library for aarch64, and the
//! sources to make others from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::plugins::package;
use super::program::{plugin_build, ran};
use super::tools::{require, require_file, skip, stdout};

/// This machine's target.
pub const HOST: &str = "x86_64-unknown-linux-gnu";
/// The other machine's.
pub const ARM: &str = "aarch64-unknown-linux-gnu";
/// Linker of WebAssembly modules.
pub const WASM_LD: &str = "/usr/bin/wasm-ld-19";

/// Whether it is there, with all that it needs for [`ARM`].
pub fn is_there() -> bool {
    let needed = ["/usr/bin/cargo", "/usr/bin/rustc", "/usr/lib/rustlib/aarch64-unknown-linux-gnu/lib"];
    needed.iter().all(|path| require_file(path)) && require("aarch64-linux-gnu-gcc").is_some()
}

/// Whether it is no older than what this package asks for: older ones want files for Windows that no sources have.
pub fn is_recent() -> bool {
    let minor = |version: &str| version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok()).unwrap_or_default();
    let version = stdout(Command::new("/usr/bin/rustc").arg("--version"));
    let is_recent = minor(&version) >= minor(env!("CARGO_PKG_RUST_VERSION"));
    if !is_recent {
        skip(&format!("{} is older than what is wanted", version.trim()));
    }
    is_recent
}

/// Our program, driving the second compiler.
pub fn second(dir: &Path) -> Command {
    let mut command = plugin_build(dir);
    command.envs([("CARGO", "/usr/bin/cargo"), ("RUSTC", "/usr/bin/rustc"), ("RUSTC_BOOTSTRAP", "1")]);
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc");
    command
}

/// Whether the compiler is there, the sources of its standard library, and these files.
pub fn available(more: &[&str]) -> bool {
    let needed = ["/usr/bin/cargo", "/usr/bin/rustc", "/usr/lib/rustlib/src/rust/library/std/Cargo.toml"];
    needed.iter().chain(more).all(|path| require_file(path))
}

/// Where it compiles a package, so that the standard library is made once: paths hidden from one package are no paths of
/// another, and in one directory each would displace the other's.
pub fn target(package: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("second-compiler").join(package)
}

/// A package of a wasm template, packed: the layout, which has one tag. `None` where the compiler is missing.
pub fn packed_wasm(template: &str, name: &str) -> Option<PathBuf> {
    static PACKED: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    if !available(&[WASM_LD]) {
        return None;
    }
    let mut packed = PACKED.lock().unwrap_or_else(PoisonError::into_inner);
    let make = || {
        let dir = package(template, name);
        let mut command = second(&dir);
        command.args(["-q", "-o", "out", "--target-dir"]).arg(target(name));
        let linker = format!("target.wasm32-unknown-unknown.linker={WASM_LD:?}");
        let built = ran(command.args(["--", "-Zbuild-std=std,panic_abort", "--config", &linker]));
        assert_eq!(built.code, 0, "{}", built.stderr);
        dir.join("out")
    };
    Some(packed.entry(name.to_owned()).or_insert_with(make).clone())
}
