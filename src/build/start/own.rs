//! Whether a file that is going to be packed is one that the kernel starts. Whoever packs it can still mend it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::build::inspect;
use plugin_oci::failure::Error;
use plugin_oci::fs::FileError;

/// Bytes that the kernel looks at (`BINPRM_BUF_SIZE`).
const START: u64 = 256;
/// `e_type` of what is started.
const PROGRAMS: [u16; 2] = [2, 3];
/// Machines that also start programs of a smaller one.
const SMALLER: [(&str, &str); 2] = [("amd64", "386"), ("arm64", "arm")];

/// Why it does not start on that machine. Of formats that a kernel may have been taught nothing is said.
pub(super) fn not_startable(disk: &Path, architecture: &str) -> Result<Option<String>, Error> {
    let mut start = Vec::new();
    let file = File::open(disk).map_err(FileError::at("read", disk))?;
    file.take(START).read_to_end(&mut start).map_err(FileError::at("read", disk))?;
    if start.is_empty() {
        return Ok(Some("is empty".to_owned()));
    }
    if start.starts_with(b"\x7fELF") {
        return Ok(elf(disk, &start, architecture));
    }
    let is_text = !start.starts_with(b"#!") && !start.contains(&0);
    Ok(is_text.then(|| "is a text whose first line names no interpreter, as `#!/bin/sh` does".to_owned()))
}

fn elf(disk: &Path, start: &[u8], architecture: &str) -> Option<String> {
    let Ok(found) = inspect::inspect(disk) else { return Some("is a broken ELF file".to_owned()) };
    let kind: [u8; 2] = start.get(16..18)?.try_into().ok()?;
    let kind = if start[5] == 2 { u16::from_be_bytes(kind) } else { u16::from_le_bytes(kind) };
    if !PROGRAMS.contains(&kind) {
        return Some("is an ELF file, but no program".to_owned());
    }
    let fits = found.architecture == architecture || SMALLER.contains(&(architecture, &found.architecture));
    (!fits).then(|| format!("is a program for {}, and the image is for {architecture}", found.architecture))
}
