//! `executable`: a program in the image root, started by its absolute path.
//!
//! An image without a base holds no loader and no libc, so the program must be static there; `executable::start_check`
//! refuses the others after the build.

use super::{Placement, Subject};

/// The program lies at `/<name>`, on Windows with `.exe`.
pub(super) fn place(subject: &Subject<'_>) -> Placement {
    let suffix = if subject.platform.os == "windows" { ".exe" } else { "" };
    let path = format!("{}{suffix}", subject.name);
    Placement { entrypoint: vec![format!("/{path}")], path, mode: 0o755 }
}
