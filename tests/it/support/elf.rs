//! ELF files of nothing but what loaders look at.

/// Tags of the dynamic section.
const NEEDED: u64 = 1;
const STRINGS: u64 = 5;
pub const RPATH: u64 = 15;
pub const RUNPATH: u64 = 29;

/// A file for this machine that names a loader, libraries, and directories by their tags.
pub fn elf(interpreter: Option<&str>, needed: &[&str], directories: &[(u64, &str)]) -> Vec<u8> {
    const HEADERS: usize = 64 + 3 * 56;
    let machine: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
    let mut strings = vec![0];
    let mut keep = |text: &str| {
        let at = strings.len() as u64;
        strings.extend_from_slice(text.as_bytes());
        strings.push(0);
        at
    };
    let named = interpreter.map(|interpreter| (keep(interpreter), interpreter.len() as u64 + 1));
    let needed = needed.iter().map(|name| (NEEDED, *name));
    let mut entries: Vec<(u64, u64)> = needed.chain(directories.iter().copied()).map(|(tag, text)| (tag, keep(text))).collect();
    entries.extend([(STRINGS, HEADERS as u64), (0, 0)]);
    strings.resize(strings.len().next_multiple_of(8), 0);
    let table = (HEADERS + strings.len()) as u64;
    let size = table + 16 * entries.len() as u64;
    let (at, bytes) = named.map_or((0, 0), |(at, bytes)| (HEADERS as u64 + at, bytes));
    let kind = if interpreter.is_some() { 3 } else { 0 };

    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    for (value, bytes) in [(3, 2), (u64::from(machine), 2), (1, 4), (0, 8), (64, 8), (0, 8), (0, 4), (64, 2), (56, 2), (3, 2)] {
        file.extend_from_slice(&u64::to_le_bytes(value)[..bytes]);
    }
    file.resize(64, 0);
    for (kind, offset, size) in [(1, 0, size), (kind, at, bytes), (2, table, 16 * entries.len() as u64)] {
        file.extend([kind, 5].map(u32::to_le_bytes).concat());
        file.extend([offset, offset, offset, size, size, 8].map(u64::to_le_bytes).concat());
    }
    file.extend(strings);
    file.extend(entries.into_iter().flat_map(|(tag, value)| [tag, value]).flat_map(u64::to_le_bytes));
    file
}

/// An `ld.so.cache` in the format of glibc 2.32 and later.
pub fn cache(libraries: &[(&str, &str)]) -> Vec<u8> {
    let mut file = b"glibc-ld.so.cache1.1".to_vec();
    let count = u32::try_from(libraries.len()).unwrap();
    let texts: String = libraries.iter().flat_map(|(name, path)| [name, "\0", path, "\0"]).collect();
    file.extend([count, u32::try_from(texts.len()).unwrap(), 2, 0, 0, 0, 0].map(u32::to_le_bytes).concat());
    let mut at = 48 + 24 * count;
    for (name, path) in libraries {
        let [name, path] = [name, path].map(|text| u32::try_from(text.len() + 1).unwrap());
        file.extend([0x303, at, at + name, 0, 0, 0].map(u32::to_le_bytes).concat());
        at += name + path;
    }
    file.extend(texts.bytes());
    file
}

/// One in the format before that, which may have the other behind it.
pub fn old_cache(libraries: &[(&str, &str)], behind: &[u8]) -> Vec<u8> {
    let mut file = b"ld.so-1.7.0\0".to_vec();
    file.extend(u32::try_from(libraries.len()).unwrap().to_le_bytes());
    let mut at = 0;
    for (name, path) in libraries {
        let [name, path] = [name, path].map(|text| u32::try_from(text.len() + 1).unwrap());
        file.extend([3, at, at + name].map(u32::to_le_bytes).concat());
        at += name + path;
    }
    if !behind.is_empty() {
        file.resize(file.len().next_multiple_of(8), 0);
        file.extend(behind);
    }
    file.extend(libraries.iter().flat_map(|(name, path)| format!("{name}\0{path}\0").into_bytes()));
    file
}
