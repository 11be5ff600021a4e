//! Programs, libraries and modules: which sections differ, and which symbols.
//!
//! Sections are hashed where they lie in the file; `symbols` and `strings` say what of them is another.
//!
//! Threat: a header may claim any size. Everything that is read as a whole comes out of one budget; without it the file
//! counts as opaque.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

use object::{Object as _, ObjectSection as _, ReadCache};
use tempfile::SpooledTempFile;

use super::ranges::{Budget, Range, hash};
use super::{Difference, below, strings, symbols};

/// The most bytes of `.comment` that are told.
const COMMENT_LIMIT: u64 = 4096;

/// What differs of two programs.
pub(super) struct Parts {
    /// The differing sections as half a sentence.
    pub(super) what: String,
    /// More about them.
    pub(super) differences: Vec<Difference>,
}

/// The sections of a file in some order.
struct Layout {
    format: &'static str,
    sections: BTreeMap<String, Option<Range>>,
}

/// Compares two files that are of one object format; `None` for anything else.
pub(super) fn compare(files: [&mut SpooledTempFile; 2], chain: &str) -> io::Result<Option<Parts>> {
    let [first, second] = files;
    let (Some(a), Some(b)) = (layout(first)?, layout(second)?) else { return Ok(None) };
    if a.format != b.format {
        let told = Difference::changed(below(chain, "format"), "format", "", [a.format.to_owned(), b.format.to_owned()]);
        return Ok(Some(Parts { what: "the formats".to_owned(), differences: vec![told] }));
    }
    let mut differences = Vec::new();
    let mut resized = Vec::new();
    let mut names = Vec::new();
    for (name, range) in &a.sections {
        match b.sections.get(name) {
            None => differences.push(Difference::only(below(chain, &format!("section {name}")), "section", 0, size(*range))),
            Some(other) if hash(first, *range)? != hash(second, *other)? || size(*range) != size(*other) => {
                names.push(name.clone());
                if name == ".comment" {
                    let texts = [comment(first, *range)?, comment(second, *other)?];
                    differences.push(Difference::changed(below(chain, "section .comment"), "compiler", "compilers:", texts));
                } else if size(*range) != size(*other) {
                    let sizes = [size(*range), size(*other)];
                    resized.push(Difference::changed(below(chain, &format!("section {name}")), "section", "", sizes));
                }
            }
            Some(_) => {}
        }
    }
    for (name, range) in b.sections.iter().filter(|(name, _)| !a.sections.contains_key(*name)) {
        differences.push(Difference::only(below(chain, &format!("section {name}")), "section", 1, size(*range)));
    }
    // What the sources say comes first: texts, then the symbols that differ.
    let texts = names.iter().filter(|name| strings::are_in(name));
    let texts: Vec<[Option<Range>; 2]> = texts.map(|name| [a.sections[name], b.sections[name]]).collect();
    differences.splice(0..0, strings::compare([first, second], &texts, &below(chain, "strings"))?);
    let symbols = if a.format == "wasm" { Vec::new() } else { symbols::compare([first, second], &below(chain, "symbols"))? };
    // Sections grow because symbols do.
    differences.extend(if symbols.is_empty() { resized } else { symbols });
    let what = match names.as_slice() {
        [] if differences.is_empty() => format!("{} headers or padding", a.format),
        [] => format!("{} sections", a.format),
        names => format!("{} sections {}", a.format, names.join(", ")),
    };
    Ok(Some(Parts { what, differences }))
}

fn layout(file: &mut SpooledTempFile) -> io::Result<Option<Layout>> {
    file.rewind()?;
    let mut magic = [0; 8];
    let count = file.read(&mut magic)?;
    if magic[..count].starts_with(b"\0asm") {
        return wasm(file);
    }
    let cache = ReadCache::new(Budget::new(file));
    let Ok(parsed) = object::File::parse(&cache) else { return Ok(None) };
    let format = match parsed.format() {
        object::BinaryFormat::Elf => "ELF",
        object::BinaryFormat::MachO => "Mach-O",
        object::BinaryFormat::Pe => "PE",
        _ => return Ok(None),
    };
    let mut sections = BTreeMap::new();
    for section in parsed.sections() {
        let Ok(name) = section.name() else { continue };
        let range = section.file_range().map(|(offset, size)| Range { offset, size });
        insert(&mut sections, name, range);
    }
    Ok(Some(Layout { format, sections }))
}

/// Sections of a WebAssembly module or component (binary format, "Sections": id, LEB128 size, content).
fn wasm(file: &mut SpooledTempFile) -> io::Result<Option<Layout>> {
    const NAMES: [&str; 13] = [
        "custom",
        "type",
        "import",
        "function",
        "table",
        "memory",
        "global",
        "export",
        "start",
        "element",
        "code",
        "data",
        "data count",
    ];
    let mut sections = BTreeMap::new();
    let end = file.seek(SeekFrom::End(0))?;
    let mut at = file.seek(SeekFrom::Start(8))?;
    while at < end {
        let mut id = [0];
        file.read_exact(&mut id)?;
        let Some(size) = leb128(file)? else { return Ok(None) };
        let offset = file.stream_position()?;
        let mut name = NAMES.get(usize::from(id[0])).map_or_else(|| format!("section {}", id[0]), |name| (*name).to_owned());
        if id[0] == 0
            && let Some(length) = leb128(file)?
            && length <= 200
        {
            let mut text = Vec::new();
            file.by_ref().take(length).read_to_end(&mut text)?;
            name = format!("custom {}", String::from_utf8_lossy(&text));
        }
        insert(&mut sections, &name, Some(Range { offset, size }));
        match offset.checked_add(size).filter(|next| *next <= end) {
            Some(next) => at = file.seek(SeekFrom::Start(next))?,
            None => return Ok(None),
        }
    }
    Ok(Some(Layout { format: "wasm", sections }))
}

fn leb128(file: &mut SpooledTempFile) -> io::Result<Option<u64>> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let mut byte = [0];
        if file.read(&mut byte)? == 0 {
            return Ok(None);
        }
        value |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// A name that occurs again is numbered.
fn insert(sections: &mut BTreeMap<String, Option<Range>>, name: &str, range: Option<Range>) {
    let mut unique = name.to_owned();
    let mut number = 1;
    while sections.contains_key(&unique) {
        number += 1;
        unique = format!("{name} #{number}");
    }
    sections.insert(unique, range);
}

fn size(range: Option<Range>) -> String {
    range.map_or_else(|| "nothing in the file".to_owned(), |range| format!("{} bytes", range.size))
}

/// The texts of a `.comment`: the compilers that had a part in the program.
fn comment(file: &mut SpooledTempFile, range: Option<Range>) -> io::Result<String> {
    let Some(range) = range else { return Ok(String::new()) };
    file.seek(SeekFrom::Start(range.offset))?;
    let mut bytes = Vec::new();
    file.by_ref().take(range.size.min(COMMENT_LIMIT)).read_to_end(&mut bytes)?;
    let texts = bytes.split(|byte| *byte == 0).filter(|text| !text.is_empty());
    Ok(texts.map(String::from_utf8_lossy).collect::<Vec<_>>().join(", "))
}
