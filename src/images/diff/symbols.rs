//! Symbols of two programs, those of the sources first.
//!
//! Symbols that came, went or changed their size are the cause of what moved behind them, so that mere moves are told only
//! where nothing else is. Of symbols that differ by nothing but the hash in their names, the crates were compiled under other
//! circumstances: features, flags, versions, or a source path.

use std::collections::BTreeMap;
use std::io;

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, ReadCache};
use tempfile::SpooledTempFile;

use super::ranges::{Budget, Range, hash};
use super::{Difference, below};

/// The most symbols of one file.
const MOST_SYMBOLS: usize = 100_000;
/// The most symbols that are told.
const MOST_TOLD: usize = 10;

/// Crates of the standard library alone.
const STANDARD: [&str; 9] =
    ["__rustc", "alloc", "compiler_builtins", "core", "panic_abort", "panic_unwind", "std", "std_detect", "unwind"];
/// Crates that the standard library is made of, and others may depend on.
const SHARED: [&str; 10] =
    ["addr2line", "adler2", "cfg_if", "gimli", "hashbrown", "libc", "memchr", "miniz_oxide", "object", "rustc_demangle"];

/// Whose code a symbol is: what is the more likely cause comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    /// A crate's of the sources or of their dependencies.
    Sources,
    /// Something of the standard library that is made for one of those.
    Instance,
    /// A dependency's that the standard library has too.
    Shared,
    /// No Rust: libc, start files, other languages.
    Foreign,
    /// The standard library's own.
    Standard,
}

impl Origin {
    /// By the crates in a mangled name (rustc book, "Symbol Mangling").
    fn of(name: &str) -> Self {
        let crates = if name.starts_with("_R") { crates_of_v0(name) } else { crates_of_legacy(name) };
        let is_standard = |name: &String| STANDARD.contains(&name.as_str());
        let is_shared = |name: &String| SHARED.contains(&name.as_str());
        match crates.first() {
            None => Self::Foreign,
            Some(first) if is_shared(first) => Self::Shared,
            Some(first) if !is_standard(first) => Self::Sources,
            Some(_) if crates.iter().any(|name| !is_standard(name) && !is_shared(name)) => Self::Instance,
            Some(_) => Self::Standard,
        }
    }
}

/// A crate's root is `C`, its hash `s<base 62>_`, and its name.
fn crates_of_v0(name: &str) -> Vec<String> {
    let after = name.match_indices("Cs").filter_map(|(at, _)| name[at + 2..].split_once('_'));
    after.filter_map(|(_, rest)| identifier(rest, "_")).map(|(name, _)| name.to_owned()).collect()
}

/// The first part of the path, and in types the word before each first `..`.
fn crates_of_legacy(name: &str) -> Vec<String> {
    let Some(mut rest) = name.strip_prefix("_ZN").filter(|_| name.contains("17h")) else { return Vec::new() };
    let mut crates = Vec::new();
    let mut first = true;
    while let Some((part, after)) = identifier(rest, "") {
        let words = part.split('$').filter_map(|words| words.split_once(".."));
        crates.extend(words.map(|(name, _)| name.trim_start_matches('_').to_owned()).filter(|name| !name.is_empty()));
        if first && !part.contains('$') {
            crates.push(part.to_owned());
        }
        (rest, first) = (after, false);
    }
    crates
}

/// A name behind its length in decimal digits, and what comes after it; v0 may put a separator between them.
fn identifier<'n>(text: &'n str, separator: &str) -> Option<(&'n str, &'n str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let length: usize = text[..digits].parse().ok()?;
    let rest = &text[digits..];
    rest.strip_prefix(separator).unwrap_or(rest).split_at_checked(length)
}

/// A symbol: its size, and where its content lies in the file.
type Symbols = BTreeMap<String, (u64, Option<Range>)>;

pub(super) fn compare(files: [&mut SpooledTempFile; 2], chain: &str) -> io::Result<Vec<Difference>> {
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
        told.push(Difference::note(chain, "symbol-hash", text));
    }
    let mut changes: Vec<(Origin, Difference)> = Vec::new();
    for (side, [own, other]) in [[&a, &b], [&b, &a]].into_iter().enumerate() {
        let only = own.keys().filter(|name| !other.contains_key(*name));
        changes.extend(only.map(|name| (Origin::of(name), Difference::only(chain, "symbol", side, name.as_str()))));
    }
    for (name, (size, _)) in &a {
        if let Some((other, _)) = b.get(name).filter(|(other, _)| other != size) {
            let sizes = [format!("{size} bytes"), format!("{other} bytes")];
            changes.push((Origin::of(name), Difference::changed(below(chain, name), "symbol", "", sizes)));
        }
    }
    if changes.is_empty() && told.is_empty() {
        let mut names: Vec<&String> = a.keys().collect();
        names.sort_by_key(|name| Origin::of(name));
        for name in names {
            let other = b.get(name).and_then(|(_, range)| *range);
            // What comes after those of the sources has moved because of them.
            if Origin::of(name) > Origin::Instance && !changes.is_empty() {
                break;
            }
            if changes.len() <= MOST_TOLD && hash(first, a[name].1)? != hash(second, other)? {
                let told = Difference::note(below(chain, name), "symbol", "other content of the same size");
                changes.push((Origin::of(name), told));
            }
        }
    }
    changes.sort_by_key(|(origin, _)| *origin);
    let more = changes.len().saturating_sub(MOST_TOLD);
    told.extend(changes.into_iter().take(MOST_TOLD).map(|(_, change)| change));
    if more > 0 {
        told.push(Difference::note(chain, "more", "more symbols differ"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_in_names_do_not_count() {
        assert_eq!(without_hash("_ZN4core3fmt17h0123456789abcdefE"), "_ZN4core3fmtE");
        assert_eq!(without_hash("_RNvCsabc12_4main3run"), "_RNvC4main3run");
        assert_eq!(without_hash("main"), "main");
    }

    #[test]
    fn what_comes_from_the_sources_is_told_from_libraries() {
        for (name, origin) in [
            ("_ZN1p4main17h0123456789abcdefE", Origin::Sources),
            ("_RNvCsabc12_4main3run", Origin::Sources),
            ("_RINvNtCsgEmfK2I1SDS_4core5slice4sortCsabc12_4mine", Origin::Instance),
            ("_RNvMNtCsgEmfK2I1SDS_4core5slice4sort", Origin::Standard),
            ("_ZN3std2rt10lang_start17h0123456789abcdefE", Origin::Standard),
            ("_ZN4core3ptr38drop_in_place$LT$mine..Config$GT$17h0123456789abcdefE", Origin::Instance),
            ("_ZN60_$LT$alloc..string..String$u20$as$u20$core..fmt..Display$GT$3fmt17h0123456789abcdefE", Origin::Standard),
            ("_ZN6memchr4arch3run17h0123456789abcdefE", Origin::Shared),
            ("_RNvCsfLfy6EI15iL_7___rustc10rust_panic", Origin::Standard),
            ("main", Origin::Foreign),
            ("_IO_file_fopen", Origin::Foreign),
        ] {
            assert_eq!(Origin::of(name), origin, "{name}");
        }
    }
}
