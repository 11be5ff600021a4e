//! A blob that arrives in parts: what a cut-off try has left is gone on with by the next.
//!
//! It lies in a temporary file that its digest names, under a lock of its own, and is hashed from its first byte whenever it is
//! taken up: what is wrong there costs a new start and nothing else. The next commit to the layout sweeps what nobody took up.

use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use crate::documents::Descriptor;
use crate::fs::{FileError, TEMP_PREFIX, TempFile};
use crate::stores::error::UNKNOWN;
use crate::stores::{OpenFrom, StoreError, Verified};

/// Blobs below this size, and beginnings of them, are fetched again.
const LEAST: u64 = 1 << 20;

/// Fetches what an earlier try has left to be fetched: all of the blob then, or `None` where it has to be put as any other.
pub(super) fn arrive(dir: &Path, blob: &Descriptor, open: &OpenFrom<'_>) -> Result<Option<TempFile>, StoreError> {
    if blob.size < LEAST {
        return Ok(None);
    }
    let Some(mut part) = TempFile::taken_up(&path(dir, blob))? else { return Ok(None) };
    let mut begun = part.seek_end()?;
    let mut rest = match begun {
        begun if begun > blob.size => None,
        begun if begun == blob.size => Some(Box::new(io::empty()) as Box<dyn Read + Send>),
        begun => open(begun)?,
    };
    if rest.is_none() {
        part.clear()?;
        begun = 0;
        rest = open(0)?;
    }
    let Some(rest) = rest else {
        part.remove();
        return Ok(None);
    };
    match fill(&mut part, begun, rest, blob) {
        Ok(()) => Ok(Some(part)),
        Err(StoreError::Corrupt { .. }) if begun > 0 => {
            part.remove();
            Ok(None)
        }
        Err(error) => {
            if matches!(error, StoreError::Corrupt { .. }) || part.seek_end().is_ok_and(|kept| kept < LEAST) {
                part.remove();
            }
            Err(error)
        }
    }
}

/// How many bytes a try has left that failed.
pub(super) fn kept(dir: &Path, blob: &Descriptor) -> Option<u64> {
    std::fs::symlink_metadata(path(dir, blob)).ok().map(|found| found.len())
}

fn path(dir: &Path, blob: &Descriptor) -> PathBuf {
    dir.join(format!("{TEMP_PREFIX}part-{}-{}", blob.digest.algorithm().as_str(), blob.digest.hex()))
}

/// Checks the beginning and the rest as one, and writes the rest behind the beginning.
fn fill(part: &mut TempFile, begun: u64, rest: Box<dyn Read + Send + '_>, blob: &Descriptor) -> Result<(), StoreError> {
    let beginning = part.reopen()?.take(begun);
    let mut content = Verified::new(beginning.chain(rest), blob);
    let mut buffer = vec![0; 256 << 10];
    let mut known = begun;
    loop {
        let count = match content.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(StoreError::reading(UNKNOWN, blob, error)),
        };
        let skipped = known.min(count as u64);
        known -= skipped;
        let new = &buffer[usize::try_from(skipped).unwrap_or(count)..count];
        part.write_all(new).map_err(FileError::at("write", part.path()))?;
    }
}
