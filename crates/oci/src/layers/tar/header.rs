//! One 512-byte tar header: its checksum, its numbers and its kind. The `tar` crate lends the field offsets and the
//! joining of ustar's prefix and name; numbers are decoded here, because a size must not be guessed.
//!
//! Threats: a size that two readers decode differently hides entries from one of them (so: octal with an optional
//! terminator, or base-256, nothing else; negative and beyond 63 bits refused); a block of file data taken for a header
//! (so: the checksum must hold).

use super::TarError;

/// Size of a tar block.
pub(super) const BLOCK: usize = 512;

/// What a header announces. Extension headers are consumed by the walker and never come out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// A regular file.
    File,
    /// A second name for an earlier file.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A directory.
    Directory,
    /// PAX records for the next entry.
    PaxLocal,
    /// PAX records for every entry after it.
    PaxGlobal,
    /// A name for the next entry.
    GnuLongName,
    /// A link target for the next entry.
    GnuLongLink,
    /// A device node, in words: refused, unless the walker is told to hand it out.
    Device(&'static str),
    /// Something that is refused, in words.
    Refused(&'static str),
}

/// A decoded header.
pub(super) struct Header {
    pub(super) flag: Flag,
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) mode: u32,
    /// User and group; 0 where they are no numbers, as nobody gives files away.
    pub(super) owner: (u64, u64),
    pub(super) size: u64,
    pub(super) mtime: i64,
}

/// Decodes a block that is not all zero.
pub(super) fn decode(block: &[u8; BLOCK], offset: u64) -> Result<Header, TarError> {
    let bad = |what| TarError::Malformed { offset, what };
    let header = tar::Header::from_byte_slice(block);
    let old = header.as_old();
    let stated = number(&old.cksum).ok_or_else(|| bad("its checksum is not a number"))?;
    if stated != checksum(block) {
        return Err(bad("its checksum does not hold"));
    }
    let name = header.path_bytes().into_owned();
    let flag = match old.linkflag[0] {
        // Before POSIX there was no directory flag: a trailing slash said it.
        0 if name.ends_with(b"/") => Flag::Directory,
        0 | b'0' | b'7' => Flag::File,
        b'1' => Flag::HardLink,
        b'2' => Flag::Symlink,
        b'3' => Flag::Device("a character device"),
        b'4' => Flag::Device("a block device"),
        b'5' => Flag::Directory,
        b'6' => Flag::Refused("a FIFO"),
        b'x' => Flag::PaxLocal,
        b'g' => Flag::PaxGlobal,
        b'L' => Flag::GnuLongName,
        b'K' => Flag::GnuLongLink,
        b'S' => Flag::Refused("a GNU sparse file"),
        _ => Flag::Refused("an entry of unknown type"),
    };
    let size = number(&old.size).ok_or_else(|| bad("its size is not a number"))?;
    let size = u64::try_from(size).map_err(|_| bad("its size is negative"))?;
    let mode = number(&old.mode).and_then(|mode| u32::try_from(mode).ok()).ok_or_else(|| bad("its mode is not a number"))?;
    let id = |field: &[u8]| number(field).and_then(|id| u64::try_from(id).ok()).unwrap_or_default();
    let owner = (id(&old.uid), id(&old.gid));
    let mtime = number(&old.mtime).ok_or_else(|| bad("its time is not a number"))?;
    let link = header.link_name_bytes().map_or_else(Vec::new, std::borrow::Cow::into_owned);
    Ok(Header { flag, name, link, mode, owner, size, mtime })
}

/// The sum of all bytes, those of the checksum field counted as spaces.
fn checksum(block: &[u8; BLOCK]) -> i64 {
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| i64::from(byte)).sum::<i64>();
    sum(&block[..148]) + 8 * i64::from(b' ') + sum(&block[156..])
}

/// A number field: octal digits between optional spaces and NULs (all blank is zero), or base-256 as GNU and star write
/// it (first bit set, two's complement). `None` for anything else and for what 63 bits cannot hold.
fn number(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        let negative = first & 0x40 != 0;
        let fill: u8 = if negative { 0xff } else { 0 };
        let mut bytes = field.to_vec();
        // The marking bit is no part of the number; the sign bit below it spreads.
        bytes[0] = if negative { first } else { first & 0x7f };
        let (high, low) = bytes.split_at(bytes.len().saturating_sub(8));
        let mut all = [fill; 8];
        all[8 - low.len()..].copy_from_slice(low);
        let value = i64::from_be_bytes(all);
        return (high.iter().all(|&byte| byte == fill) && (value < 0) == negative).then_some(value);
    }
    let text = field.trim_ascii_start();
    let end = text.iter().position(|&byte| byte == 0 || byte == b' ').unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if !rest.iter().all(|&byte| byte == 0 || byte == b' ') {
        return None;
    }
    digits.iter().try_fold(0_i64, |value, &byte| match byte {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(byte - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256_and_nothing_else() {
        assert_eq!(number(b"00000000017\0"), Some(15));
        assert_eq!(number(b"       17 \0\0"), Some(15));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"777777777777"), Some(0o777_777_777_777));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\0\0\0\x01\0"), Some(256));
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe"), Some(-2));
        for bad in [
            b"-0000000001\0",
            b"0000000000x\0",
            b"00000 00001\0",
            b"0x000000010\0",
            b"+0000000001\0",
            b"\x80\0\0\x01\0\0\0\0\0\0\0\0",
            b"\x80\0\0\0\x80\0\0\0\0\0\0\0",
        ] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
    }
}
