//! The tar of a layer, byte for byte.
//!
//! The law of format 1, on top of [`crate::layers::tree`]'s rules for what is in it and in which order:
//!
//! - **T1** Every header field is set here. Nothing is taken from a file's metadata, and nothing from the machine.
//! - **T2** Names are relative without `./`; a directory's ends in a slash.
//! - **T3** Modes are the tree's: directories 0755, files as declared, symbolic links 0777.
//! - **T4** uid, gid and device numbers are 0; user and group names are empty; the link name is empty but for links.
//! - **T5** The mtime of every entry is the epoch.
//! - **T6** Headers are POSIX ustar (`ustar\0`, `00`), numbers in octal, zero-filled, NUL-terminated. A name up to 100
//!   bytes stands in the name field alone; a longer one is split at the last slash that leaves at most 155 bytes before
//!   and 100 after it. Bytes beyond ASCII stay as they are.
//! - **T7** What ustar cannot hold goes into one PAX extended header in front of the entry, and nothing else does: `path`
//!   when no split fits, `linkpath` above 100 bytes, `size` and `mtime` above 8589934591 (the ustar field is then 0).
//!   Records are sorted by key. The extended header is called `././@PaxHeader`, mode 0644, mtime 0. The ustar name or link
//!   name behind it is the beginning of the real one, cut at 100 bytes or, inside a character, before it.
//! - **T8** Content is padded with zeros to 512 bytes, and two zero blocks end the tar. No sparse files, no hard links.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use tar::{EntryType, Header};

use super::LayerError;
use super::block::Cutter;
use crate::layers::tree::{Content, Entry, Mode, Tree};
use crate::values::epoch::Epoch;

const BLOCK: usize = 512;
const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// Where the fields that this file writes itself begin, and how long they are.
const NAME: usize = 0;
const LINK_NAME: usize = 157;
const PREFIX: usize = 345;
const FIELD: usize = 100;
const PREFIX_FIELD: usize = 155;

/// The largest number of eleven octal digits.
const MAX_OCTAL: u64 = 0o777_7777_7777;

/// Writes the tar of `tree`.
pub(super) fn write(tree: &Tree, epoch: Epoch, out: &mut Cutter) -> Result<(), LayerError> {
    let mut head = Vec::with_capacity(4 * BLOCK);
    for (path, entry) in tree.iter() {
        head.clear();
        put_head(&mut head, path, entry, epoch);
        out.put(&head)?;
        if let Entry::File { content, .. } = entry {
            match content {
                Content::Memory(bytes) => out.put(bytes)?,
                Content::Disk { path, size } => copy(path, *size, out)?,
            }
            out.put(padding(content.size()))?;
        }
    }
    out.put(&END)
}

/// How many bytes [`write`] writes.
pub(super) fn size(tree: &Tree, epoch: Epoch) -> u64 {
    let mut head = Vec::with_capacity(4 * BLOCK);
    let entries = tree.iter().map(|(path, entry)| {
        head.clear();
        put_head(&mut head, path, entry, epoch);
        let content = content_size(entry);
        head.len() as u64 + content + padding(content).len() as u64
    });
    entries.sum::<u64>() + END.len() as u64
}

fn content_size(entry: &Entry) -> u64 {
    match entry {
        Entry::File { content, .. } => content.size(),
        Entry::Directory | Entry::Symlink { .. } => 0,
    }
}

/// The zeros that fill the last block of `size` bytes.
fn padding(size: u64) -> &'static [u8] {
    let beyond = usize::try_from(size % BLOCK as u64).unwrap_or_default();
    if beyond == 0 { &[] } else { &END[beyond..BLOCK] }
}

/// Copies a file that must have, and keep, the size and the modification time that it has when opened.
fn copy(path: &Path, size: u64, out: &mut Cutter) -> Result<(), LayerError> {
    let failed = |source| LayerError::Read { path: path.to_owned(), source };
    let changed = || LayerError::Changed { path: path.to_owned() };
    let mut file = File::open(path).map_err(failed)?;
    let before = file.metadata().map_err(failed)?;
    if !before.is_file() || before.len() != size {
        return Err(changed());
    }
    let mut left = size;
    while left > 0 {
        let got = out.fill(|block, room| file.by_ref().take(left.min(room as u64)).read_to_end(block).map_err(failed))?;
        if got == 0 {
            return Err(changed());
        }
        left -= got as u64;
    }
    let after = file.metadata().map_err(failed)?;
    if after.len() != size || after.modified().ok() != before.modified().ok() {
        return Err(changed());
    }
    Ok(())
}

/// Everything that stands before an entry's content.
fn put_head(head: &mut Vec<u8>, path: &str, entry: &Entry, epoch: Epoch) {
    let (kind, mode, target) = match entry {
        Entry::Directory => (EntryType::Directory, Mode::EXECUTABLE.bits(), ""),
        Entry::File { mode, .. } => (EntryType::Regular, mode.bits(), ""),
        Entry::Symlink { target } => (EntryType::Symlink, 0o777, target.as_str()),
    };
    let slash = if kind == EntryType::Directory { "/" } else { "" };
    let name = format!("{path}{slash}");
    let (size, mtime) = (content_size(entry), epoch.seconds());
    let mut records = Vec::new();
    let mut header = blank(kind, mode);
    let bytes = header.as_mut_bytes();
    if let Some((prefix, rest)) = split(&name) {
        put(bytes, PREFIX, prefix.as_bytes());
        put(bytes, NAME, rest.as_bytes());
    } else {
        put(bytes, NAME, beginning(&name));
        records.push(("path", name));
    }
    put(bytes, LINK_NAME, beginning(target));
    if target.len() > FIELD {
        records.push(("linkpath", target.to_owned()));
    }
    if size > MAX_OCTAL {
        records.push(("size", size.to_string()));
    }
    if mtime > MAX_OCTAL {
        records.push(("mtime", mtime.to_string()));
    }
    header.set_size(if size > MAX_OCTAL { 0 } else { size });
    header.set_mtime(if mtime > MAX_OCTAL { 0 } else { mtime });
    header.set_cksum();
    if !records.is_empty() {
        records.sort_unstable();
        put_extension(head, &records);
    }
    head.extend_from_slice(header.as_bytes());
}

/// A header without name, link name, size and mtime.
fn blank(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_ustar(); // the magic; all else zero
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    if let Some(ustar) = header.as_ustar_mut() {
        ustar.set_device_major(0);
        ustar.set_device_minor(0);
    }
    header
}

/// The PAX extended header with these records.
fn put_extension(head: &mut Vec<u8>, records: &[(&str, String)]) {
    let body: String = records.iter().map(|(key, value)| record(key, value)).collect();
    let mut header = blank(EntryType::XHeader, Mode::PLAIN.bits());
    put(header.as_mut_bytes(), NAME, b"././@PaxHeader");
    header.set_size(body.len() as u64);
    header.set_mtime(0);
    header.set_cksum();
    head.extend_from_slice(header.as_bytes());
    head.extend_from_slice(body.as_bytes());
    head.extend_from_slice(padding(body.len() as u64));
}

/// A PAX record: its own length in decimal, that length's digits included, then the key and the value.
fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len();
    loop {
        let record = format!("{length}{rest}");
        if record.len() == length {
            return record;
        }
        length = record.len();
    }
}

/// A name as ustar's prefix and name, when it fits.
fn split(name: &str) -> Option<(&str, &str)> {
    if name.len() <= FIELD {
        return Some(("", name));
    }
    let fits = |&(slash, _): &(usize, &str)| slash <= PREFIX_FIELD && (1..=FIELD).contains(&(name.len() - slash - 1));
    let (slash, _) = name.rmatch_indices('/').find(fits)?;
    Some((&name[..slash], &name[slash + 1..]))
}

/// As many whole characters as a name field holds.
fn beginning(text: &str) -> &[u8] {
    &text.as_bytes()[..text.floor_char_boundary(FIELD)]
}

fn put(header: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    header[at..at + bytes.len()].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(path: &str, entry: &Entry, epoch: &str) -> Vec<u8> {
        let mut head = Vec::new();
        put_head(&mut head, path, entry, Epoch::parse(epoch).unwrap());
        head
    }

    fn text(bytes: &[u8]) -> String {
        bytes.escape_ascii().to_string()
    }

    fn file_of(size: u64) -> Entry {
        Entry::File { mode: Mode::PLAIN, content: Content::Disk { path: "unread".into(), size } }
    }

    #[test]
    fn a_header_is_ustar_with_every_field_set() {
        let head = head("bin/greeter", &file_of(0o1234), "1700000000");
        assert_eq!(head.len(), BLOCK);
        assert_eq!(text(&head[..100]), format!("bin/greeter{}", "\\x00".repeat(89)));
        assert_eq!(text(&head[100..124]), r"0000644\x000000000\x000000000\x00");
        assert_eq!(text(&head[124..148]), r"00000001234\x0014524770400\x00");
        assert_eq!(text(&head[156..158]), r"0\x00");
        assert_eq!(text(&head[257..266]), r"ustar\x0000\x00");
        assert!(head[265..329].iter().all(|&byte| byte == 0), "user and group name");
        assert_eq!(text(&head[329..345]), r"0000000\x000000000\x00");
        assert!(head[345..].iter().all(|&byte| byte == 0), "prefix and padding");
    }

    #[test]
    fn names_are_split_where_ustar_can_hold_them_and_extended_where_not() {
        let deep = |first: usize, rest: usize| format!("{}/{}", "d".repeat(first), "f".repeat(rest));
        for (name, prefix, blocks) in [
            ("f".repeat(100), 0, 1),
            ("f".repeat(101), 0, 3),
            (deep(155, 100), 155, 1),
            (deep(156, 99), 0, 3),
            (deep(155, 101), 0, 3),
            (format!("a/{}/{}", "b".repeat(100), "c".repeat(20)), 102, 1),
        ] {
            let head = head(&name, &file_of(0), "0");
            assert_eq!(head.len(), blocks * BLOCK, "{name}");
            assert_eq!(head[PREFIX..500].iter().filter(|&&byte| byte != 0).count(), prefix, "{name}");
        }
        assert_eq!(split(&format!("{}/", "d".repeat(100))), None, "a directory's name keeps its slash");
    }

    #[test]
    fn what_ustar_cannot_hold_stands_in_sorted_records_under_a_fixed_name() {
        let name = "ä".repeat(60);
        let head = head(&name, &file_of(8_589_934_592), "8589934592");
        assert_eq!(text(&head[..16]), r"././@PaxHeader\x00\x00");
        assert_eq!(text(&head[136..148]), r"00000000000\x00");
        let body = format!("20 mtime=8589934592\n130 path={name}\n19 size=8589934592\n");
        assert_eq!(&head[BLOCK..BLOCK + body.len()], body.as_bytes());
        let header = &head[2 * BLOCK..];
        assert_eq!(text(&header[124..148]), r"00000000000\x0000000000000\x00");
        assert_eq!(&header[..100], "ä".repeat(50).as_bytes());
    }

    #[test]
    fn a_link_name_of_100_bytes_fits_and_one_of_101_does_not() {
        for (length, blocks) in [(100, 1), (101, 3)] {
            let head = head("l", &Entry::Symlink { target: "t".repeat(length) }, "0");
            assert_eq!(head.len(), blocks * BLOCK);
            assert_eq!(&head[head.len() - BLOCK..][LINK_NAME..LINK_NAME + 100], "t".repeat(100).as_bytes());
        }
    }

    #[test]
    fn a_record_counts_its_own_digits() {
        assert_eq!(record("path", "x"), "9 path=x\n");
        assert_eq!(record("path", &"x".repeat(90)), format!("99 path={}\n", "x".repeat(90)));
        assert_eq!(record("path", &"x".repeat(91)), format!("101 path={}\n", "x".repeat(91)));
    }
}
