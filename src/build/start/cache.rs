//! `/etc/ld.so.cache`, which alone tells glibc's loader where other libraries lie: `ld.so.conf` is for `ldconfig`, which
//! writes it.
//!
//! By glibc's `sysdeps/generic/dl-cache.h` and `elf/dl-cache.c`, in the byte order of the machine:
//!
//! ```text
//! old   "ld.so-1.7.0" pad, u32 count, count * (u32 flags, u32 name, u32 path)           texts from behind the entries
//! new   "glibc-ld.so.cache1.1", u32 count, u32 bytes of texts, u8 order, 27 bytes,
//!       count * (u32 flags, u32 name, u32 path, u32, u64 capabilities)                  texts from the header's begin
//! ```
//!
//! A file in the old format may have one in the new behind its entries, at a multiple of 8, and that is then the one that
//! counts. A file that contradicts itself is none to the loader; here, an entry that does is none.

const OLD: &[u8] = b"ld.so-1.7.0";
const NEW: &[u8] = b"glibc-ld.so.cache1.1";
/// Bytes of the headers, and of an entry.
const OLD_HEAD: usize = 16;
const OLD_ENTRY: usize = 12;
const NEW_HEAD: usize = 48;
const NEW_ENTRY: usize = 24;
/// Bytes of a path, and paths of one library.
const TEXT: usize = 4096;
const PATHS: usize = 16;
/// The kind of library in an entry's flags: one for glibc 2.
const KIND: usize = 0xff;
const LIBC6: usize = 3;

/// The paths of a library by its name: those for every machine first.
///
/// What is for a kind of processor only (`glibc-hwcaps`) counts too: on which the image is to start nobody knows here. That
/// a library is for this architecture is seen in itself.
pub fn paths(bytes: &[u8], is_little: bool, name: &str) -> Vec<String> {
    let mut found = Cache { bytes, is_little, name: name.as_bytes() }.paths().unwrap_or_default();
    found.sort_by_key(|(is_special, _)| *is_special);
    found.into_iter().map(|(_, path)| path).collect()
}

#[derive(Clone, Copy)]
struct Cache<'a> {
    bytes: &'a [u8],
    is_little: bool,
    /// The library that is looked for.
    name: &'a [u8],
}

impl Cache<'_> {
    fn paths(self) -> Option<Vec<(bool, String)>> {
        if self.bytes.starts_with(NEW) {
            return self.new_paths();
        }
        if !self.bytes.starts_with(OLD) {
            return None;
        }
        let count = self.count(12, OLD_HEAD, OLD_ENTRY)?;
        let texts = OLD_HEAD + count * OLD_ENTRY;
        let behind = Self { bytes: self.bytes.get(texts.next_multiple_of(8)..).unwrap_or_default(), ..self };
        if behind.bytes.len() >= NEW_HEAD && behind.bytes.starts_with(NEW) {
            return behind.new_paths();
        }
        let entry = |number: usize| self.entry(OLD_HEAD + number * OLD_ENTRY, texts, false);
        Some((0..count).filter_map(entry).take(PATHS).collect())
    }

    fn new_paths(self) -> Option<Vec<(bool, String)>> {
        let order = self.bytes.get(28)? & 3;
        // 0: by an ldconfig that did not say.
        if order == 1 || order == if self.is_little { 3 } else { 2 } {
            return None;
        }
        let count = self.count(20, NEW_HEAD, NEW_ENTRY)?;
        let entry = |number: usize| {
            let at = NEW_HEAD + number * NEW_ENTRY;
            let capabilities = self.bytes.get(at + 16..at + 24)?;
            self.entry(at, 0, capabilities.iter().any(|byte| *byte != 0))
        };
        Some((0..count).filter_map(entry).take(PATHS).collect())
    }

    /// How many entries there are: no more than the file has room for.
    fn count(self, at: usize, head: usize, entry: usize) -> Option<usize> {
        let count = self.number(at)?;
        (count <= self.bytes.len().checked_sub(head)? / entry).then_some(count)
    }

    /// The path of an entry for the library, if it is one.
    fn entry(self, at: usize, texts: usize, is_special: bool) -> Option<(bool, String)> {
        let name = self.bytes.get(texts.checked_add(self.number(at + 4)?)?..)?;
        if name.strip_prefix(self.name)?.first() != Some(&0) || self.number(at)? & KIND != LIBC6 {
            return None;
        }
        let path = self.bytes.get(texts.checked_add(self.number(at + 8)?)?..)?;
        let path = &path[..path.len().min(TEXT)];
        let path = String::from_utf8(path[..path.iter().position(|byte| *byte == 0)?].to_vec()).ok()?;
        path.starts_with('/').then_some((is_special, path))
    }

    fn number(self, at: usize) -> Option<usize> {
        let bytes: [u8; 4] = self.bytes.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(if self.is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) }).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn old(name: &[u8], path: &[u8]) -> Vec<u8> {
        let end = u32::try_from(name.len() + 1).unwrap();
        let numbers = [1, 3, 0, end].map(u32::to_le_bytes).concat();
        [OLD, b"\0", &numbers, name, b"\0", path, b"\0"].concat()
    }

    fn new(flags: u32, order: u8, name: &[u8], path: &[u8]) -> Vec<u8> {
        let texts = u32::try_from(NEW_HEAD + NEW_ENTRY).unwrap();
        let second = texts + u32::try_from(name.len() + 1).unwrap();
        let mut bytes = [NEW, &[1, 0].map(u32::to_le_bytes).concat(), &[order], &[0; 19]].concat();
        bytes.extend([flags, texts, second, 0, 0, 0].map(u32::to_le_bytes).concat());
        [&bytes, name, b"\0", path, b"\0"].concat()
    }

    #[test]
    fn both_formats_and_one_behind_the_other_are_read() {
        let paths = |bytes: &[u8]| paths(bytes, true, "liba.so.1");
        assert_eq!(paths(&new(0x303, 2, b"liba.so.1", b"/x/liba.so.1")), ["/x/liba.so.1"]);
        assert_eq!(paths(&new(0x303, 0, b"liba.so.1", b"/x/liba.so.1")), ["/x/liba.so.1"]);
        assert_eq!(paths(&old(b"liba.so.1", b"/o/liba.so.1")), ["/o/liba.so.1"]);
        let mut both = [OLD, b"\0", &[0; 4]].concat();
        both.extend(new(0x303, 2, b"liba.so.1", b"/x/liba.so.1"));
        assert_eq!(paths(&both), ["/x/liba.so.1"]);
        // For another byte order, for libc 5, relative, and nothing of the kind.
        for none in [new(0x303, 3, b"liba.so.1", b"/x"), new(1, 2, b"liba.so.1", b"/x"), new(3, 2, b"liba.so.1", b"x")] {
            assert_eq!(paths(&none), [""; 0]);
        }
        assert_eq!(paths(b"/x/liba.so.1\0"), [""; 0]);
        assert_eq!(paths(&new(0x303, 2, b"liba.so.10", b"/x")), [""; 0]);
    }

    proptest! {
        #[test]
        fn a_broken_cache_is_read_or_not(
            changes in prop::collection::vec((0_usize..160, any::<u8>()), 0..16), cut in 0_usize..160, behind in any::<bool>(),
        ) {
            let mut bytes = if behind { [OLD, b"\0", &[0; 4]].concat() } else { Vec::new() };
            bytes.extend(new(0x303, 2, b"liba.so.1", b"/x/liba.so.1"));
            for (at, byte) in changes {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            bytes.truncate(cut);
            paths(&bytes, true, "liba.so.1");
            paths(&bytes, false, "liba.so.1");
        }
    }
}
