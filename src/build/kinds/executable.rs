//! `executable`: a program in the image root, started by its absolute path.
//!
//! An image without a base holds no loader and no libc, so the program must be static there; `executable::start_check`
//! refuses the others after the build.

use super::{Placement, Subject};

/// The program lies at `/<name>`, on Windows with `.exe`: the name that somebody gave the plugin, or else the binary's.
pub(super) fn place(subject: &Subject<'_>) -> Placement {
    let suffix = if subject.platform.os == "windows" { ".exe" } else { "" };
    let name = if subject.is_named { subject.name } else { subject.product.name() };
    let path = format!("{name}{suffix}");
    Placement { entrypoint: vec![format!("/{path}")], path, mode: 0o755 }
}
