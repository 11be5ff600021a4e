//! Programs, libraries and modules: which sections differ, and which symbols.
//!
//! Sections are hashed where they lie in the file. Symbols that came, went or changed their size are the cause of what
//! moved behind them, so that mere moves are told only where nothing else is. Of symbols that differ by nothing but the
//! hash in their names, the crates were compiled under other circumstances: features, flags, versions, or a source path.
//!
//! Threat: a header may claim any size. Everything that is read as a whole comes out of one budget; without it the file
//! counts as opaque.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, ReadCache};
use tempfile::SpooledTempFile;

use super::{Difference, below};
use crate::digest::{Digest, Hasher};

/// The most bytes of headers, or of symbols, of one file.
const BUDGET: u64 = 24 << 20;
/// The most symbols of one file.
const MOST_SYMBOLS: usize = 100_000;
/// The most symbols that are told.
const MOST_TOLD: usize = 10;
/// The most bytes of `.comment` that are told.
const COMMENT_LIMIT: u64 = 4096;

/// What differs of two programs.
pub(super) struct Parts {
    /// The differing sections as half a sentence.
    pub(super) what: String,
    /// More about them.
    pub(super) differences: Vec<Difference>,
}

/// A stretch of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Range {
    offset: u64,
    size: u64,
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
    let symbols = if a.format == "wasm" { Vec::new() } else { symbols([first, second], &below(chain, "symbols"))? };
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

fn hash(file: &mut SpooledTempFile, range: Option<Range>) -> io::Result<Option<Digest>> {
    let Some(range) = range else { return Ok(None) };
    file.seek(SeekFrom::Start(range.offset))?;
    let mut hasher = Hasher::new();
    io::copy(&mut file.by_ref().take(range.size), &mut hasher)?;
    Ok(Some(hasher.finish()))
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

/// A symbol: its size, and where its content lies in the file.
type Symbols = BTreeMap<String, (u64, Option<Range>)>;

fn symbols(files: [&mut SpooledTempFile; 2], chain: &str) -> io::Result<Vec<Difference>> {
    let [first, second] = files;
    let (Some(mut a), Some(mut b)) = (table(first), table(second)) else { return Ok(Vec::new()) };
    let mut told = Vec::new();
    let renamed = take_renamed(&mut a, &mut b);
    if let Some((count, example)) = renamed {
        let text = format!(
            "{count} differ only in the hash of their names, such as {}: the crates were compiled with other features, flags, \
             versions or source paths",
            super::cut(&example)
        );
        told.push(Difference::told(chain, "symbol-hash", text));
    }
    let mut changes: Vec<Difference> = Vec::new();
    for (side, [own, other]) in [[&a, &b], [&b, &a]].into_iter().enumerate() {
        let only = own.keys().filter(|name| !other.contains_key(*name));
        changes.extend(only.map(|name| Difference::only(chain, "symbol", side, name.as_str())));
    }
    for (name, (size, _)) in &a {
        if let Some((other, _)) = b.get(name).filter(|(other, _)| other != size) {
            let sizes = [format!("{size} bytes"), format!("{other} bytes")];
            changes.push(Difference::changed(below(chain, name), "symbol", "", sizes));
        }
    }
    if changes.is_empty() && told.is_empty() {
        for (name, (_, range)) in &a {
            let other = b.get(name).and_then(|(_, range)| *range);
            if changes.len() <= MOST_TOLD && hash(first, *range)? != hash(second, other)? {
                changes.push(Difference::told(below(chain, name), "symbol", "other content of the same size"));
            }
        }
    }
    let more = changes.len().saturating_sub(MOST_TOLD);
    changes.truncate(MOST_TOLD);
    told.extend(changes);
    if more > 0 {
        told.push(Difference::told(chain, "more", "more symbols differ"));
    }
    Ok(told)
}

/// The defined symbols with a name; `None` where there are none, or too many.
fn table(file: &mut SpooledTempFile) -> Option<Symbols> {
    let cache = ReadCache::new(Budget::new(file));
    let parsed = object::File::parse(&cache).ok()?;
    let mut places: BTreeMap<usize, (u64, Range)> = BTreeMap::new();
    for section in parsed.sections() {
        if let Some((offset, size)) = section.file_range() {
            places.insert(section.index().0, (section.address(), Range { offset, size }));
        }
    }
    let mut found = Symbols::new();
    for symbol in parsed.symbols().filter(object::ObjectSymbol::is_definition) {
        let Ok(name) = symbol.name() else { continue };
        // What LLVM adds to names that it had to make unique depends on the whole module.
        let name = name.split(".llvm.").next().unwrap_or(name);
        if name.starts_with("anon.") || name.is_empty() {
            continue;
        }
        let place = symbol.section_index().and_then(|index| places.get(&index.0));
        let range = place.and_then(|(address, section)| {
            let start = symbol.address().checked_sub(*address)?;
            let fits = start.checked_add(symbol.size())? <= section.size;
            fits.then(|| Range { offset: section.offset + start, size: symbol.size() })
        });
        // Local names repeat; which is which cannot be told.
        found.entry(name.to_owned()).or_insert((symbol.size(), range));
        if found.len() > MOST_SYMBOLS {
            return None;
        }
    }
    (!found.is_empty()).then_some(found)
}

/// Takes out symbols that have a partner of the same name without its hash; their number, and one of them.
fn take_renamed(a: &mut Symbols, b: &mut Symbols) -> Option<(usize, String)> {
    let only = |own: &Symbols, other: &Symbols| -> BTreeMap<String, String> {
        let names = own.keys().filter(|name| !other.contains_key(*name));
        names.map(|name| (without_hash(name), name.clone())).collect()
    };
    let (mine, theirs) = (only(a, b), only(b, a));
    let mut count = 0;
    let mut example = None;
    for (plain, name) in mine {
        if let Some(other) = theirs.get(&plain).filter(|_| plain != name) {
            a.remove(&name);
            b.remove(other);
            count += 1;
            example.get_or_insert(plain);
        }
    }
    example.map(|example| (count, example))
}

/// A mangled name without what stands for the circumstances of its crate: `17h<16 hex>E` of the legacy scheme, `Cs<base
/// 62>_` of v0 (rustc book, "Symbol Mangling").
fn without_hash(name: &str) -> String {
    if let Some(at) = name.rfind("17h")
        && name[at + 3..].len() >= 16
        && name.as_bytes()[at + 3..at + 19].iter().all(u8::is_ascii_hexdigit)
    {
        return format!("{}{}", &name[..at], &name[at + 19..]);
    }
    if !name.starts_with("_R") {
        return name.to_owned();
    }
    let mut plain = String::new();
    let mut rest = name;
    while let Some(at) = rest.find("Cs") {
        let hash = rest[at + 2..].bytes().take_while(u8::is_ascii_alphanumeric).count();
        let end = at + 2 + hash;
        plain.push_str(&rest[..=at]);
        rest = if rest[end..].starts_with('_') { &rest[end + 1..] } else { &rest[at + 2..] };
    }
    plain + rest
}

/// A reader that gives up after so many bytes.
struct Budget<'a> {
    file: &'a mut SpooledTempFile,
    left: u64,
}

impl<'a> Budget<'a> {
    fn new(file: &'a mut SpooledTempFile) -> Self {
        Self { file, left: BUDGET }
    }
}

impl Read for Budget<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.len() as u64 > self.left {
            return Err(io::Error::other("more is to be read than a header may hold"));
        }
        let count = self.file.read(buffer)?;
        self.left -= count as u64;
        Ok(count)
    }
}

impl Seek for Budget<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_in_names_do_not_count() {
        assert_eq!(without_hash("_ZN4core3fmt17h0123456789abcdefE"), "_ZN4core3fmtE");
        assert_eq!(without_hash("_RNvCsabc12_4main3run"), "_RNvC4main3run");
        assert_eq!(without_hash("main"), "main");
    }
}
