//! From a stream of bytes to tar entries, block by block.
//!
//! Threats, and what stands against each:
//! - *Smuggling* (CVE-2025-62518, CVE-2026-33055): two readers that disagree about an entry's size see different entries
//!   after it. The PAX size always wins over the header's; an extension belongs to the next real entry; two extensions of
//!   one kind, or two ways to say the same name, are refused; entries without content must have size zero.
//! - *Memory*: extension bodies are capped before they are read, everything else streams.
//! - *Hidden tails*: the archive ends with two zero blocks (or with one that is the last of the stream), and nothing but
//!   zeros may follow. An archive without an end marker counts as cut short.

use super::error::{ExtractError, shown};
use super::header::{self, BLOCK, Flag, Header};
use super::limits::Limits;
use super::pax;

/// Where the bytes come from: large pieces, lent one at a time.
pub(super) trait Stream {
    /// The rest of the current piece, or the next one; empty at the end.
    fn fill(&mut self) -> Result<&[u8], ExtractError>;
    /// Takes bytes off the current piece.
    fn consume(&mut self, bytes: usize);
}

/// An entry as the archive states it: names unchecked.
pub(super) struct RawEntry {
    pub(super) flag: Flag,
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) mode: u32,
    /// User and group.
    pub(super) owner: (u64, u64),
    pub(super) size: u64,
    pub(super) mtime: (i64, u32),
    /// Number of extended attributes that are dropped.
    pub(super) xattrs: u64,
}

/// Extensions that wait for their entry.
#[derive(Default)]
struct Pending {
    pax: Option<pax::Records>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Pending {
    const fn is_empty(&self) -> bool {
        self.pax.is_none() && self.name.is_none() && self.link.is_none()
    }
}

/// Walks an archive once, front to back.
pub(super) struct Walker<S> {
    stream: S,
    offset: u64,
    /// Content of the current entry that nobody has taken yet.
    body: u64,
    padding: u64,
}

impl<S: Stream> Walker<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self { stream, offset: 0, body: 0, padding: 0 }
    }

    /// The next entry; `None` after the end marker, once the whole stream was read.
    pub(super) fn next(&mut self) -> Result<Option<RawEntry>, ExtractError> {
        let mut pending = Pending::default();
        loop {
            self.skip_content()?;
            let offset = self.offset;
            let malformed = |what| ExtractError::Malformed { offset, what };
            let block = self.block()?;
            if block.iter().all(|&byte| byte == 0) {
                if !pending.is_empty() {
                    return Err(malformed("an extension header without an entry after it"));
                }
                self.end()?;
                return Ok(None);
            }
            let header = header::decode(&block, offset)?;
            match header.flag {
                Flag::PaxGlobal => {
                    if !pending.is_empty() {
                        return Err(malformed("a global header between an extension and its entry"));
                    }
                    let body = self.extension(&header, offset)?;
                    pax::global(&body, offset)?;
                }
                Flag::PaxLocal => {
                    let body = self.extension(&header, offset)?;
                    once(&mut pending.pax, pax::local(&body, offset)?, offset)?;
                }
                Flag::GnuLongName => once(&mut pending.name, self.long_text(&header, offset)?, offset)?,
                Flag::GnuLongLink => once(&mut pending.link, self.long_text(&header, offset)?, offset)?,
                _ => return self.entry(header, pending, offset).map(Some),
            }
        }
    }

    /// The next piece of the current entry's content; empty once all of it was consumed.
    pub(super) fn content(&mut self) -> Result<&[u8], ExtractError> {
        if self.body == 0 {
            return Ok(&[]);
        }
        let offset = self.offset;
        let piece = self.stream.fill()?;
        if piece.is_empty() {
            return Err(ExtractError::Truncated { offset });
        }
        Ok(&piece[..piece.len().min(usize::try_from(self.body).unwrap_or(usize::MAX))])
    }

    /// Takes bytes off the content.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.stream.consume(bytes);
        self.offset += bytes as u64;
        self.body = self.body.saturating_sub(bytes as u64);
    }

    fn entry(&mut self, header: Header, pending: Pending, offset: u64) -> Result<RawEntry, ExtractError> {
        let malformed = |what| ExtractError::Malformed { offset, what };
        let pax = pending.pax.unwrap_or_default();
        let name = either(pax.path, pending.name, offset)?.unwrap_or(header.name);
        let link = either(pax.link, pending.link, offset)?.unwrap_or(header.link);
        if let Flag::Refused(kind) = header.flag {
            return Err(ExtractError::Kind { path: shown(&name), kind });
        }
        let size = pax.size.unwrap_or(header.size);
        if size != 0 && header.flag != Flag::File {
            return Err(malformed("an entry that has no content states a size"));
        }
        self.expect(size, offset)?;
        let mtime = pax.mtime.unwrap_or((header.mtime, 0));
        let owner = (pax.uid.unwrap_or(header.owner.0), pax.gid.unwrap_or(header.owner.1));
        Ok(RawEntry { flag: header.flag, name, link, mode: header.mode, owner, size, mtime, xattrs: pax.xattrs })
    }

    /// Sets how much content, and how much padding, comes next.
    fn expect(&mut self, size: u64, offset: u64) -> Result<(), ExtractError> {
        if self.offset.checked_add(size).and_then(|end| end.checked_add(BLOCK as u64)).is_none() {
            return Err(ExtractError::Malformed { offset, what: "its size is beyond any archive" });
        }
        self.body = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
        Ok(())
    }

    fn extension(&mut self, header: &Header, offset: u64) -> Result<Vec<u8>, ExtractError> {
        if header.size > Limits::EXTENSION_BYTES {
            return Err(ExtractError::Limit { what: "bytes of extension header", allowed: Limits::EXTENSION_BYTES });
        }
        self.expect(header.size, offset)?;
        let mut body = Vec::new();
        loop {
            let piece = self.content()?;
            if piece.is_empty() {
                return Ok(body);
            }
            body.extend_from_slice(piece);
            let taken = piece.len();
            self.consume(taken);
        }
    }

    /// A GNU long name: up to its terminating NUL, which is required to be the only one and the last byte.
    fn long_text(&mut self, header: &Header, offset: u64) -> Result<Vec<u8>, ExtractError> {
        let mut body = self.extension(header, offset)?;
        while body.last() == Some(&0) {
            body.pop();
        }
        if body.is_empty() {
            return Err(ExtractError::Malformed { offset, what: "a GNU long name is empty" });
        }
        Ok(body)
    }

    fn skip_content(&mut self) -> Result<(), ExtractError> {
        self.body += std::mem::take(&mut self.padding);
        while self.body > 0 {
            let taken = self.content()?.len();
            self.consume(taken);
        }
        Ok(())
    }

    /// One whole block.
    fn block(&mut self) -> Result<[u8; BLOCK], ExtractError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            let piece = self.stream.fill()?;
            if piece.is_empty() {
                return Err(ExtractError::Truncated { offset: self.offset });
            }
            let taken = piece.len().min(BLOCK - filled);
            block[filled..filled + taken].copy_from_slice(&piece[..taken]);
            filled += taken;
            self.stream.consume(taken);
            self.offset += taken as u64;
        }
        Ok(block)
    }

    /// Reads to the end of the stream after the first zero block.
    fn end(&mut self) -> Result<(), ExtractError> {
        loop {
            let offset = self.offset;
            let piece = self.stream.fill()?;
            if piece.is_empty() {
                return Ok(());
            }
            if piece.iter().any(|&byte| byte != 0) {
                return Err(ExtractError::Malformed { offset, what: "something follows the end of the archive" });
            }
            let taken = piece.len();
            self.stream.consume(taken);
            self.offset += taken as u64;
        }
    }
}

fn once<T>(slot: &mut Option<T>, value: T, offset: u64) -> Result<(), ExtractError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(ExtractError::Malformed { offset, what: "two extension headers of one kind before one entry" }),
    }
}

fn either(pax: Option<Vec<u8>>, gnu: Option<Vec<u8>>, offset: u64) -> Result<Option<Vec<u8>>, ExtractError> {
    if pax.is_some() && gnu.is_some() {
        return Err(ExtractError::Malformed { offset, what: "both PAX and GNU extensions name the same entry" });
    }
    Ok(pax.or(gnu))
}
