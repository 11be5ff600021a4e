//! The configuration as a file that a router may read at any time.
//!
//! It is replaced by one rename, after its content reached the disk: a reader sees the old text or the new one, whatever
//! happens in between. What was there before is kept beside it, as `NAME.previous`. After a crash at most a temporary file is
//! left, which the next run removes.
//!
//! Defences: *a link* at the name is refused, and both files are opened in a directory that is held open
//! ([`plugin_oci::fs::anchor`]). *Another writer*: two runs wait for each other by a lock of the file itself; whoever writes
//! without one is noticed, since what is copied must be what was read, up to the rename.

use plugin_oci::failure::Error;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::error::ExecutionError;
use super::scan::Span;
use plugin_oci::fs::anchor::Anchor;
use plugin_oci::fs::{FileError, TempFile, is_at, sweep, sync_dir};
use plugin_oci::values::digest::{Digest, Hasher};

/// Text in place of what lies in a span; an insertion has an empty one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// What is replaced.
    pub span: Span,
    /// With what.
    pub text: String,
}

/// A file that is opened, and locked until this is dropped.
pub struct ConfigFile {
    dir: Anchor,
    name: OsString,
    file: File,
    metadata: Metadata,
}

impl ConfigFile {
    /// Opens a file. To change it, whoever else does so with this tool is waited for.
    pub fn open(path: &Path, to_change: bool) -> Result<Self, Error> {
        let name = path.file_name().ok_or_else(|| ExecutionError::NoFile { path: path.to_owned() })?.to_owned();
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let dir = Anchor::open(parent).map_err(FileError::at("open", parent))?;
        if to_change {
            sweep(&dir.base());
        }
        loop {
            let file = open_in(&dir, &name)?;
            if to_change {
                file.lock().map_err(FileError::at("lock", path))?;
            }
            if !to_change || is_at(&file, &dir.at(&name)) {
                let metadata = file.metadata().map_err(FileError::at("read", path))?;
                return Ok(Self { dir, name, file, metadata });
            }
        }
    }

    /// The path by which people know it.
    pub fn path(&self) -> PathBuf {
        self.dir.shown(&self.name)
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where what was there before is kept.
    pub fn previous_path(&self) -> PathBuf {
        self.dir.shown(self.previous_name())
    }

    /// The file with what was there before.
    pub fn previous(&self) -> Result<Option<File>, Error> {
        match open_in(&self.dir, &self.previous_name()) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.is(|error: &FileError| error.source.kind() == io::ErrorKind::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Its text from the start, and the digest of what was read of it.
    pub fn read<T, E>(&self, reader: impl FnOnce(&mut Hashing<&File>) -> Result<T, E>) -> Result<(T, Digest), E>
    where
        E: From<io::Error>,
    {
        read(&self.file, reader)
    }

    /// Puts an edited text in its place. `read` is the digest of the text that the edits are for.
    pub fn edit(self, edits: &[Edit], read_before: &Digest) -> Result<(), Error> {
        let mut temp = self.temp()?;
        let path = self.path();
        let mut output = BufWriter::with_capacity(1 << 20, &mut temp);
        let copied = read(&self.file, |input| apply(input, edits, &mut output));
        let written = copied.and_then(|((), digest)| output.flush().map(|()| digest));
        drop(output);
        if written.map_err(FileError::at("write", &path))? != *read_before {
            return Err(self.changed().into());
        }
        self.replace(temp, &self.file)
    }

    /// Puts the text of another open file in its place.
    pub fn exchange(self, other: &File) -> Result<(), Error> {
        let mut temp = self.temp()?;
        read(other, |input| io::copy(input, &mut temp)).map_err(FileError::at("write", &self.path()))?;
        self.replace(temp, &self.file)
    }

    /// First what is there now is kept, then the new text takes its name.
    fn replace(&self, temp: TempFile, current: &File) -> Result<(), Error> {
        let mut kept = self.temp()?;
        read(current, |input| io::copy(input, &mut kept)).map_err(FileError::at("write", &self.path()))?;
        let mode = mode_of(&self.metadata);
        let now = self.file.metadata().map_err(FileError::at("read", &self.path()))?;
        if !is_at(&self.file, &self.dir.at(&self.name)) || stamp(&now) != stamp(&self.metadata) {
            return Err(self.changed().into());
        }
        kept.persist(&self.dir.at(self.previous_name()), mode)?;
        temp.persist(&self.dir.at(&self.name), mode)?;
        Ok(sync_dir(&self.dir.base())?)
    }

    /// A temporary file beside it that belongs to whom it belongs.
    fn temp(&self) -> Result<TempFile, Error> {
        let temp = TempFile::new_in(&self.dir.base())?;
        own(&temp.reopen()?, &self.metadata);
        Ok(temp)
    }

    fn previous_name(&self) -> OsString {
        let mut name = self.name.clone();
        name.push(".previous");
        name
    }

    fn changed(&self) -> ExecutionError {
        ExecutionError::Changed { path: self.path() }
    }
}

/// Reads an open file from its start, counting its bytes into a digest.
pub fn read<T, E: From<io::Error>>(
    mut file: &File,
    reader: impl FnOnce(&mut Hashing<&File>) -> Result<T, E>,
) -> Result<(T, Digest), E> {
    file.seek(SeekFrom::Start(0))?;
    let mut input = Hashing { inner: file, hasher: Hasher::new() };
    let value = reader(&mut input)?;
    Ok((value, input.hasher.finish()))
}

/// A reader that hashes what passes.
pub struct Hashing<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// Copies a text with its edits, which are in order and apart.
pub fn apply(input: &mut impl Read, edits: &[Edit], output: &mut impl Write) -> io::Result<()> {
    let mut at = 0;
    for Edit { span, text } in edits {
        io::copy(&mut input.take(span.start - at), output)?;
        output.write_all(text.as_bytes())?;
        io::copy(&mut input.take(span.end - span.start), &mut io::sink())?;
        at = span.end;
    }
    io::copy(input, output).map(drop)
}

fn open_in(dir: &Anchor, name: &OsStr) -> Result<File, Error> {
    let shown = dir.shown(name);
    if dir.at(name).symlink_metadata().is_ok_and(|found| found.is_symlink()) {
        return Err(ExecutionError::Link { path: shown }.into());
    }
    Ok(dir.file(name).map_err(FileError::at("open", &shown))?)
}

/// What changes when somebody writes to a file.
fn stamp(metadata: &Metadata) -> (u64, Option<std::time::SystemTime>) {
    (metadata.len(), metadata.modified().ok())
}

#[cfg(unix)]
fn mode_of(metadata: &Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o7777
}

#[cfg(not(unix))]
fn mode_of(_: &Metadata) -> u32 {
    0o644
}

/// Gives a file to the owner of another, where this user may: a router that runs as another one still reads it then.
fn own(file: &File, like: &Metadata) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let is_same = file.metadata().is_ok_and(|own| (own.uid(), own.gid()) == (like.uid(), like.gid()));
        if !is_same {
            drop(std::os::unix::fs::fchown(file, Some(like.uid()), Some(like.gid())));
        }
    }
    #[cfg(not(unix))]
    let _ = (file, like);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_change_what_lies_in_their_spans_alone() {
        let edit = |span: Span, text: &str| Edit { span, text: text.to_owned() };
        let edited = |edits: &[Edit]| {
            let mut output = Vec::new();
            apply(&mut b"0123456789".as_slice(), edits, &mut output).unwrap();
            String::from_utf8(output).unwrap()
        };
        assert_eq!(edited(&[]), "0123456789");
        assert_eq!(edited(&[edit(0..1, "zero"), edit(4..4, "-"), edit(4..6, ""), edit(10..10, "!")]), "zero123-6789!");
    }
}
