//! Debian's compiler beside the one that runs the tests: another version, with the standard libraries of more targets.

use std::path::Path;
use std::process::Command;

use super::program::plugin_build;
use super::tools::{require, require_file};

/// This machine's target.
pub const HOST: &str = "x86_64-unknown-linux-gnu";
/// The other machine's.
pub const ARM: &str = "aarch64-unknown-linux-gnu";

/// Whether it is there, with all that it needs for [`ARM`].
pub fn is_there() -> bool {
    let needed = ["/usr/bin/cargo", "/usr/bin/rustc", "/usr/lib/rustlib/aarch64-unknown-linux-gnu/lib"];
    needed.iter().all(|path| require_file(path)) && require("aarch64-linux-gnu-gcc").is_some()
}

/// Our program, driving the second compiler.
pub fn second(dir: &Path) -> Command {
    let mut command = plugin_build(dir);
    command.envs([("CARGO", "/usr/bin/cargo"), ("RUSTC", "/usr/bin/rustc"), ("RUSTC_BOOTSTRAP", "1")]);
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc");
    command
}
