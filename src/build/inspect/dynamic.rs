//! What an ELF file asks of the loader and offers to others: only what the loader itself looks at, with bounds on everything.
//!
//! The files come out of images, so nothing in them is trusted: every number is read where it lies and checked, no table is
//! read whole, and a file that contradicts itself is none that is understood (`None`). No section is looked at: the loader
//! knows only segments, and stripped files have nothing else.

use std::io::{self, Read, Seek, SeekFrom};

/// Bytes of a name, and of all that is kept of a file.
const NAME: u64 = 4096;
const KEPT: usize = 64 << 10;
/// Program headers, entries of the dynamic section, and versions of a file.
const ENTRIES: u64 = 4096;

/// An ELF file as the loader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dynamic {
    /// Width, byte order and `e_machine`: what files that are loaded together share.
    pub machine: (u8, u8, u16),
    /// The loader that it names (`PT_INTERP`).
    pub interpreter: Option<String>,
    /// The libraries that it names (`DT_NEEDED`).
    pub needed: Vec<String>,
    /// `DT_RPATH`, its directories.
    pub rpath: Vec<String>,
    /// `DT_RUNPATH`, its directories.
    pub runpath: Vec<String>,
    /// Versions that it must find: library and version (`DT_VERNEED`; weak ones left out).
    pub wants: Vec<(String, String)>,
    /// Versions that it has (`DT_VERDEF`).
    pub has: Vec<String>,
}

/// Reads what the loader would; `None` for what is no ELF file, or a broken one.
pub fn read(file: &mut (impl Read + Seek)) -> io::Result<Option<Dynamic>> {
    match Reader::open(file).and_then(|mut reader| reader.dynamic()) {
        Ok(found) => Ok(Some(found)),
        Err(Broken::Not) => Ok(None),
        Err(Broken::Read(error)) => Err(error),
    }
}

enum Broken {
    Not,
    Read(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof { Self::Not } else { Self::Read(error) }
    }
}

/// A loaded piece of the file: address, offset, bytes.
#[derive(Clone, Copy)]
struct Segment {
    address: u64,
    offset: u64,
    size: u64,
}

struct Reader<'a, F> {
    file: &'a mut F,
    wide: bool,
    little: bool,
    machine: (u8, u8, u16),
    left: usize,
    loaded: Vec<Segment>,
    interpreter: Option<Segment>,
    table: Option<Segment>,
}

impl<'a, F: Read + Seek> Reader<'a, F> {
    /// Reads the headers.
    fn open(file: &'a mut F) -> Result<Self, Broken> {
        let mut ident = [0; 16];
        file.seek(SeekFrom::Start(0))?;
        file.read_exact(&mut ident)?;
        let [0x7f, b'E', b'L', b'F', class @ (1 | 2), order @ (1 | 2), ..] = ident else { return Err(Broken::Not) };
        let mut reader = Self {
            file,
            wide: class == 2,
            little: order == 1,
            machine: (class, order, 0),
            left: KEPT,
            loaded: Vec::new(),
            interpreter: None,
            table: None,
        };
        reader.machine.2 = u16::try_from(reader.number(18, 2)?).unwrap_or_default();
        let (start, entry, count) = if reader.wide { (32, 54, 56) } else { (28, 42, 44) };
        let start = reader.word(start)?;
        let (size, count) = (reader.number(entry, 2)?, reader.number(count, 2)?);
        for number in 0..count.min(ENTRIES) {
            let at = start.checked_add(number * size).ok_or(Broken::Not)?;
            let kind = reader.number(at, 4)?;
            if !matches!(kind, 1..=3) {
                continue;
            }
            let (offset, address, bytes) = if reader.wide { (8, 16, 32) } else { (4, 8, 16) };
            let segment = Segment {
                offset: reader.word(at + offset)?,
                address: reader.word(at + address)?,
                size: reader.word(at + bytes)?,
            };
            match kind {
                1 => reader.loaded.push(segment),
                2 => reader.table = Some(segment),
                _ => reader.interpreter = Some(segment),
            }
        }
        Ok(reader)
    }

    fn dynamic(&mut self) -> Result<Dynamic, Broken> {
        let mut found = Dynamic { machine: self.machine, ..Dynamic::default() };
        if let Some(at) = self.interpreter {
            found.interpreter = Some(self.text(at.offset, at.size)?);
        }
        let Some(table) = self.table else { return Ok(found) };
        let width = if self.wide { 8 } else { 4 };
        let (mut strings, mut wants, mut has) = (None, (0, 0), (0, 0));
        let mut names = Vec::new();
        for number in 0..(table.size / (2 * width)).min(ENTRIES) {
            let at = table.offset.checked_add(number * 2 * width).ok_or(Broken::Not)?;
            let bytes = usize::try_from(width).unwrap_or(8);
            let (tag, value) = (self.number(at, bytes)?, self.number(at + width, bytes)?);
            match tag {
                0 => break,
                1 | 15 | 29 => names.push((tag, value)),
                5 => strings = Some(value),
                0x6fff_fffe => wants.0 = value,
                0x6fff_ffff => wants.1 = value,
                0x6fff_fffc => has.0 = value,
                0x6fff_fffd => has.1 = value,
                _ => {}
            }
        }
        let Some(strings) = strings.map(|address| self.offset_of(address)).transpose()? else { return Ok(found) };
        for (tag, value) in names {
            let name = self.name(strings, value)?;
            match tag {
                1 => found.needed.push(name),
                15 => found.rpath.extend(directories(&name)),
                _ => found.runpath.extend(directories(&name)),
            }
        }
        self.versions_wanted(strings, wants, &mut found)?;
        self.versions_had(strings, has, &mut found)?;
        Ok(found)
    }

    fn versions_wanted(&mut self, strings: u64, (address, count): (u64, u64), found: &mut Dynamic) -> Result<(), Broken> {
        let mut at = if count == 0 { 0 } else { self.offset_of(address)? };
        let mut left = ENTRIES;
        for _ in 0..count.min(ENTRIES) {
            let library = self.number(at + 4, 4)?;
            let library = self.name(strings, library)?;
            let mut version = at.checked_add(self.number(at + 8, 4)?).ok_or(Broken::Not)?;
            for _ in 0..self.number(at + 2, 2)? {
                left = left.checked_sub(1).ok_or(Broken::Not)?;
                let (weak, name) = (self.number(version + 4, 2)? & 2 != 0, self.number(version + 8, 4)?);
                let name = self.name(strings, name)?;
                if !weak {
                    self.keep(library.len())?;
                    found.wants.push((library.clone(), name));
                }
                match self.number(version + 12, 4)? {
                    0 => break,
                    next => version = version.checked_add(next).ok_or(Broken::Not)?,
                }
            }
            match self.number(at + 12, 4)? {
                0 => break,
                next => at = at.checked_add(next).ok_or(Broken::Not)?,
            }
        }
        Ok(())
    }

    fn versions_had(&mut self, strings: u64, (address, count): (u64, u64), found: &mut Dynamic) -> Result<(), Broken> {
        let mut at = if count == 0 { 0 } else { self.offset_of(address)? };
        for _ in 0..count.min(ENTRIES) {
            let first = at.checked_add(self.number(at + 12, 4)?).ok_or(Broken::Not)?;
            let name = self.number(first, 4)?;
            found.has.push(self.name(strings, name)?);
            match self.number(at + 16, 4)? {
                0 => break,
                next => at = at.checked_add(next).ok_or(Broken::Not)?,
            }
        }
        Ok(())
    }

    /// Where in the file an address lies.
    fn offset_of(&self, address: u64) -> Result<u64, Broken> {
        let inside = |segment: &&Segment| address.checked_sub(segment.address).is_some_and(|within| within < segment.size);
        let segment = self.loaded.iter().find(inside).ok_or(Broken::Not)?;
        segment.offset.checked_add(address - segment.address).ok_or(Broken::Not)
    }

    fn name(&mut self, strings: u64, offset: u64) -> Result<String, Broken> {
        self.text(strings.checked_add(offset).ok_or(Broken::Not)?, NAME)
    }

    /// Text up to its NUL, or up to the bound.
    fn text(&mut self, at: u64, bound: u64) -> Result<String, Broken> {
        self.seek(at)?;
        let mut bytes = Vec::new();
        let mut piece = [0; 64];
        while (bytes.len() as u64) < bound.min(NAME) {
            let read = self.file.read(&mut piece)?;
            let end = piece[..read].iter().position(|&byte| byte == 0);
            bytes.extend_from_slice(&piece[..end.unwrap_or(read)]);
            if end.is_some() || read == 0 {
                break;
            }
        }
        self.keep(bytes.len() + size_of::<String>())?;
        String::from_utf8(bytes).map_err(|_| Broken::Not)
    }

    fn keep(&mut self, bytes: usize) -> Result<(), Broken> {
        self.left = self.left.checked_sub(bytes).ok_or(Broken::Not)?;
        Ok(())
    }

    fn seek(&mut self, at: u64) -> Result<(), Broken> {
        if at >= 1 << 62 {
            return Err(Broken::Not);
        }
        self.file.seek(SeekFrom::Start(at))?;
        Ok(())
    }

    /// An address or offset.
    fn word(&mut self, at: u64) -> Result<u64, Broken> {
        let word = self.number(at, if self.wide { 8 } else { 4 })?;
        if word < 1 << 62 { Ok(word) } else { Err(Broken::Not) }
    }

    fn number(&mut self, at: u64, bytes: usize) -> Result<u64, Broken> {
        let mut buffer = [0; 8];
        self.seek(at)?;
        self.file.read_exact(&mut buffer[..bytes])?;
        Ok(if self.little {
            u64::from_le_bytes(buffer)
        } else {
            u64::from_be_bytes(buffer) >> (64 - 8 * u32::try_from(bytes).unwrap_or(8))
        })
    }
}

fn directories(list: &str) -> impl Iterator<Item = String> {
    list.split(':').filter(|path| !path.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn this_program_is_read_as_it_is() {
        let mut file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        let found = read(&mut file).unwrap();
        if cfg!(all(target_os = "linux", target_env = "gnu")) {
            let found = found.unwrap();
            assert!(found.needed.contains(&"libc.so.6".to_owned()) && found.interpreter.is_some(), "{found:?}");
            assert!(found.wants.iter().any(|(library, version)| library == "libc.so.6" && version.starts_with("GLIBC_2")));
        }
    }

    proptest! {
        /// Wherever a file is changed or cut, it is read or it is not; nothing panics or hangs.
        #[test]
        fn a_broken_file_is_none(changes in prop::collection::vec((0_usize..4096, any::<u8>()), 0..24), cut in 0_usize..65536) {
            let mut bytes = vec![0; 65536];
            let read_bytes = std::fs::File::open(std::env::current_exe().unwrap()).unwrap().read(&mut bytes).unwrap();
            bytes.truncate(read_bytes.min(cut));
            for (at, byte) in changes {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            read(&mut io::Cursor::new(bytes)).unwrap();
        }
    }
}
