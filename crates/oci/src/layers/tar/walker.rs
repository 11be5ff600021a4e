//! From a stream of bytes to tar entries, block by block.
//!
//! Threats, and what stands against each:
//! - *Smuggling* (CVE-2025-62518, CVE-2026-33055): two readers that disagree about an entry's size see different entries
//!   after it. The PAX size always wins over the header's; an extension belongs to the next real entry; two extensions of
//!   one kind, or two ways to say the same name, are refused; entries without content must have size zero.
//! - *Memory*: extension bodies are capped before they are read, everything else streams.
//! - *Hidden tails*: the archive ends with two zero blocks (or with one that is the last of the stream), and nothing but
//!   zeros may follow.
//!
//! A layer may also end where its last entry's content does, without padding and end marker: those of `umoci insert` do
//! (0.4.7), Go's reader takes them, and the digest says that they are whole. What ends anywhere else is cut short.

use super::header::{self, BLOCK, Flag, Header};
use super::pax;
use super::{EXTENSION_LIMIT, TarError, shown};

/// Where the bytes come from: large pieces, lent one at a time.
pub trait Stream {
    /// What can go wrong with it, what is wrong with the tar among others.
    type Error: From<TarError>;
    /// The rest of the current piece, or the next one; empty at the end.
    fn fill(&mut self) -> Result<&[u8], Self::Error>;
    /// Takes bytes off the current piece.
    fn consume(&mut self, bytes: usize);
    /// Leaves bytes out without reading them, where the stream can; how many.
    fn skip(&mut self, bytes: u64) -> Result<u64, Self::Error> {
        let _ = bytes;
        Ok(0)
    }
}

/// An entry as the archive states it: names unchecked.
pub struct RawEntry {
    /// What it is.
    pub flag: Flag,
    /// Its name as stated.
    pub name: Vec<u8>,
    /// Its link target, for links.
    pub link: Vec<u8>,
    /// Permission bits and more.
    pub mode: u32,
    /// User and group.
    pub owner: (u64, u64),
    /// Bytes of content.
    pub size: u64,
    /// Seconds since 1970, and nanoseconds.
    pub mtime: (i64, u32),
    /// Number of extended attributes that are dropped.
    pub xattrs: u64,
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
pub struct Walker<S> {
    stream: S,
    offset: u64,
    /// Content of the current entry that nobody has taken yet.
    body: u64,
    padding: u64,
    may_end_bare: bool,
    hands_out: HandsOut,
}

/// What else than files, directories and links comes out of an archive.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HandsOut {
    Nothing,
    Devices,
    Everything,
}

impl<S: Stream> Walker<S> {
    /// Starts at the beginning of an archive that ends with its marker.
    pub const fn new(stream: S) -> Self {
        Self { stream, offset: 0, body: 0, padding: 0, may_end_bare: false, hands_out: HandsOut::Nothing }
    }

    /// Starts at the beginning of an archive that a digest vouches for: it may end without a marker.
    pub const fn vouched(stream: S) -> Self {
        Self { stream, offset: 0, body: 0, padding: 0, may_end_bare: true, hands_out: HandsOut::Nothing }
    }

    /// Hands device nodes out instead of refusing them: who asks for them makes none.
    #[must_use]
    pub const fn with_devices(mut self, wanted: bool) -> Self {
        self.hands_out = if wanted { HandsOut::Devices } else { HandsOut::Nothing };
        self
    }

    /// Hands out whatever there is, to be told.
    #[must_use]
    pub const fn with_everything(mut self) -> Self {
        self.hands_out = HandsOut::Everything;
        self
    }

    /// Where in the stream the current entry's content is, or what is left of it.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next entry; `None` after the end marker, once the whole stream was read.
    pub fn next_entry(&mut self) -> Result<Option<RawEntry>, S::Error> {
        let mut pending = Pending::default();
        loop {
            self.skip_content()?;
            if self.is_at_end()? && self.may_end_bare && self.offset > 0 && pending.is_empty() {
                return Ok(None);
            }
            let offset = self.offset;
            let malformed = |what| TarError::Malformed { offset, what };
            let block = self.block()?;
            if block.iter().all(|&byte| byte == 0) {
                if !pending.is_empty() {
                    return Err(malformed("an extension header without an entry after it").into());
                }
                self.end()?;
                return Ok(None);
            }
            let header = header::decode(&block, offset)?;
            match header.flag {
                Flag::PaxGlobal => {
                    if !pending.is_empty() {
                        return Err(malformed("a global header between an extension and its entry").into());
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
    pub fn content(&mut self) -> Result<&[u8], S::Error> {
        if self.body == 0 {
            return Ok(&[]);
        }
        let offset = self.offset;
        let piece = self.stream.fill()?;
        if piece.is_empty() {
            return Err(TarError::Truncated { offset }.into());
        }
        Ok(&piece[..piece.len().min(usize::try_from(self.body).unwrap_or(usize::MAX))])
    }

    /// Takes bytes off the content.
    pub fn consume(&mut self, bytes: usize) {
        self.stream.consume(bytes);
        self.offset += bytes as u64;
        self.body = self.body.saturating_sub(bytes as u64);
    }

    fn entry(&mut self, header: Header, pending: Pending, offset: u64) -> Result<RawEntry, S::Error> {
        let malformed = |what| TarError::Malformed { offset, what };
        let pax = pending.pax.unwrap_or_default();
        let name = either(pax.path, pending.name, offset)?.unwrap_or(header.name);
        let link = either(pax.link, pending.link, offset)?.unwrap_or(header.link);
        match header.flag {
            Flag::Device(_) if self.hands_out != HandsOut::Nothing => {}
            Flag::Refused(_) if matches!(self.hands_out, HandsOut::Everything) => {}
            Flag::Refused(kind) | Flag::Device(kind) => return Err(TarError::Kind { path: shown(&name), kind }.into()),
            _ => {}
        }
        let size = pax.size.unwrap_or(header.size);
        if size != 0 && header.flag != Flag::File {
            return Err(malformed("an entry that has no content states a size").into());
        }
        self.expect(size, offset)?;
        let mtime = pax.mtime.unwrap_or((header.mtime, 0));
        let owner = (pax.uid.unwrap_or(header.owner.0), pax.gid.unwrap_or(header.owner.1));
        Ok(RawEntry { flag: header.flag, name, link, mode: header.mode, owner, size, mtime, xattrs: pax.xattrs })
    }

    /// Sets how much content, and how much padding, comes next.
    fn expect(&mut self, size: u64, offset: u64) -> Result<(), S::Error> {
        if self.offset.checked_add(size).and_then(|end| end.checked_add(BLOCK as u64)).is_none() {
            return Err(TarError::Malformed { offset, what: "its size is beyond any archive" }.into());
        }
        self.body = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
        Ok(())
    }

    fn extension(&mut self, header: &Header, offset: u64) -> Result<Vec<u8>, S::Error> {
        if header.size > EXTENSION_LIMIT {
            return Err(TarError::Limit { what: "bytes of extension header", allowed: EXTENSION_LIMIT }.into());
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
    fn long_text(&mut self, header: &Header, offset: u64) -> Result<Vec<u8>, S::Error> {
        let mut body = self.extension(header, offset)?;
        while body.last() == Some(&0) {
            body.pop();
        }
        if body.is_empty() {
            return Err(TarError::Malformed { offset, what: "a GNU long name is empty" }.into());
        }
        Ok(body)
    }

    fn skip_content(&mut self) -> Result<(), S::Error> {
        let skipped = self.stream.skip(self.body)?;
        self.offset += skipped;
        self.body -= skipped;
        while self.body > 0 {
            let taken = self.content()?.len();
            self.consume(taken);
        }
        Ok(())
    }

    /// Takes the padding, and looks whether anything comes after it.
    fn is_at_end(&mut self) -> Result<bool, S::Error> {
        loop {
            let piece = self.stream.fill()?;
            if piece.is_empty() {
                return Ok(true);
            }
            if self.padding == 0 {
                return Ok(false);
            }
            let taken = piece.len().min(usize::try_from(self.padding).unwrap_or(usize::MAX));
            self.stream.consume(taken);
            self.offset += taken as u64;
            self.padding -= taken as u64;
        }
    }

    /// One whole block.
    fn block(&mut self) -> Result<[u8; BLOCK], S::Error> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            let piece = self.stream.fill()?;
            if piece.is_empty() {
                return Err(TarError::Truncated { offset: self.offset }.into());
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
    fn end(&mut self) -> Result<(), S::Error> {
        loop {
            let offset = self.offset;
            let piece = self.stream.fill()?;
            if piece.is_empty() {
                return Ok(());
            }
            if piece.iter().any(|&byte| byte != 0) {
                return Err(TarError::Malformed { offset, what: "something follows the end of the archive" }.into());
            }
            let taken = piece.len();
            self.stream.consume(taken);
            self.offset += taken as u64;
        }
    }
}

fn once<T>(slot: &mut Option<T>, value: T, offset: u64) -> Result<(), TarError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(TarError::Malformed { offset, what: "two extension headers of one kind before one entry" }),
    }
}

fn either(pax: Option<Vec<u8>>, gnu: Option<Vec<u8>>, offset: u64) -> Result<Option<Vec<u8>>, TarError> {
    if pax.is_some() && gnu.is_some() {
        return Err(TarError::Malformed { offset, what: "both PAX and GNU extensions name the same entry" });
    }
    Ok(pax.or(gnu))
}
