//! Adds a section to a program that is linked already. Nothing loads it; tools read it.
//!
//! Every byte that was there stays where it was, but for the fields that say where the sections are.

use std::fs;

use super::error::AssembleError;
use crate::build::Compiled;
use crate::build::compile::Artifact;
use crate::build::inspect::Format;
use crate::build::plan::{ImagePlan, Plan};
use crate::build::sbom::auditable::{SECTION, section};
use crate::build::sbom::graph::Graph;
use plugin_oci::failure::Error;
use plugin_oci::fs::{FileError, create_dirs, write_atomically};

/// The artifacts with the lists of their crates in them, beside what cargo made.
pub fn auditable(plan: &Plan, image: &ImagePlan, compiled: &[Compiled<'_>], graphs: &[Graph]) -> Result<Vec<Artifact>, Error> {
    let directory = plan.records.join("auditable").join(&image.package);
    let mut artifacts = Vec::new();
    for (Compiled { artifact, checked }, graph) in compiled.iter().zip(graphs) {
        let bytes = fs::read(&artifact.path).map_err(FileError::at("read", &artifact.path))?;
        let format = checked.executable.format;
        let with = section(graph).and_then(|content| match format {
            Format::Elf => elf(bytes, SECTION, &content),
            Format::Wasm => Some(wasm(bytes, SECTION, &content)),
            _ => None,
        });
        let with = with.ok_or_else(|| AssembleError::Embed { path: artifact.path.clone(), format })?;
        let directory = directory.join(&artifact.target);
        create_dirs(&directory)?;
        let path = directory.join(artifact.path.file_name().unwrap_or_default());
        // One that is the same keeps its time, so that nothing need be read again.
        if fs::read(&path).ok().as_ref() != Some(&with) {
            write_atomically(&path, &with)?;
        }
        artifacts.push(Artifact { path, ..(*artifact).clone() });
    }
    Ok(artifacts)
}

/// Where a class of ELF files has what is changed here. (gABI, "ELF Header" and "Sections")
struct Places {
    word: usize,
    table: usize,
    entry_size: usize,
    offset: usize,
    size: usize,
    align: usize,
    entry: usize,
}

const NARROW: Places = Places { word: 4, table: 32, entry_size: 46, offset: 16, size: 20, align: 32, entry: 40 };
const WIDE: Places = Places { word: 8, table: 40, entry_size: 58, offset: 24, size: 32, align: 48, entry: 64 };
/// `SHT_PROGBITS`.
const PROGBITS: usize = 1;
/// `SHN_LORESERVE`: from here on, the count of sections is told elsewhere.
const RESERVED: usize = 0xff00;

/// One that has a section of this name keeps it. `None` where there is no table of sections.
fn elf(mut bytes: Vec<u8>, name: &str, content: &[u8]) -> Option<Vec<u8>> {
    let at = match bytes.get(4)? {
        1 => NARROW,
        2 => WIDE,
        _ => return None,
    };
    let is_big = *bytes.get(5)? == 2;
    let get = |bytes: &[u8], at: usize, length: usize| -> Option<usize> {
        let field = bytes.get(at..at.checked_add(length)?)?.iter();
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        usize::try_from(if is_big { field.fold(0, add) } else { field.rev().fold(0, add) }).ok()
    };
    let set = |bytes: &mut [u8], at: usize, length: usize, number: usize| -> Option<()> {
        let field = bytes.get_mut(at..at.checked_add(length)?)?;
        let number = (number as u64).to_be_bytes();
        field.copy_from_slice(&number[8 - length..]);
        if !is_big {
            field.reverse();
        }
        Some(())
    };
    let part = |bytes: &[u8], at: usize, length: usize| Some(bytes.get(at..at.checked_add(length)?)?.to_vec());
    let (table, count) = (get(&bytes, at.table, at.word)?, get(&bytes, at.entry_size + 2, 2)?);
    if get(&bytes, at.entry_size, 2)? != at.entry || count == 0 || count + 1 >= RESERVED {
        return None;
    }
    let mut entries = part(&bytes, table, count * at.entry)?;
    let names = get(&bytes, at.entry_size + 4, 2)? * at.entry;
    let mut strings = part(&bytes, get(&entries, names + at.offset, at.word)?, get(&entries, names + at.size, at.word)?)?;
    if strings.split(|byte| *byte == 0).any(|known| known == name.as_bytes()) {
        return Some(bytes);
    }
    let mut entry = vec![0; at.entry];
    set(&mut entry, 0, 4, strings.len())?;
    set(&mut entry, 4, 4, PROGBITS)?;
    set(&mut entry, at.offset, at.word, bytes.len())?;
    set(&mut entry, at.size, at.word, content.len())?;
    set(&mut entry, at.align, at.word, 1)?;
    bytes.extend(content);
    strings.extend(name.as_bytes());
    strings.push(0);
    set(&mut entries, names + at.offset, at.word, bytes.len())?;
    set(&mut entries, names + at.size, at.word, strings.len())?;
    bytes.extend(strings);
    bytes.resize(bytes.len().next_multiple_of(at.word), 0);
    let new_table = bytes.len();
    set(&mut bytes, at.table, at.word, new_table)?;
    set(&mut bytes, at.entry_size + 2, 2, count + 1)?;
    bytes.extend(entries);
    bytes.extend(entry);
    Some(bytes)
}

/// A custom section at the end. (WebAssembly core specification, "Custom Section"; components have the same)
fn wasm(mut bytes: Vec<u8>, name: &str, content: &[u8]) -> Vec<u8> {
    let mut section = Vec::new();
    leb128(&mut section, name.len());
    section.extend(name.as_bytes());
    section.extend(content);
    bytes.push(0);
    leb128(&mut bytes, section.len());
    bytes.extend(section);
    bytes
}

fn leb128(bytes: &mut Vec<u8>, mut number: usize) {
    loop {
        let low = number.to_le_bytes()[0] & 0x7f;
        number >>= 7;
        bytes.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return;
        }
    }
}
