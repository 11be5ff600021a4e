//! What the loader, or the kernel, sees of a file.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use crate::build::inspect::dynamic::{self, Dynamic};

/// Bytes of a text that the loader reads.
pub(super) const TEXT: u64 = 1 << 20;
/// Who is who.
pub const USERS: &str = "etc/passwd";
pub const GROUPS: &str = "etc/group";
/// Bytes of a program or library.
const BINARY: u64 = 2 << 30;
/// What is kept costs so much beside its texts.
const EACH: usize = 128;

/// What a file turned out to be.
#[derive(Clone, Debug)]
pub enum Look {
    /// Something that a loader could load.
    Elf(Arc<Dynamic>),
    /// A script: the interpreter, and the word that the kernel makes of the rest of its first line.
    Script(Vec<String>),
    /// Something else.
    Other,
}

impl Look {
    /// About how many bytes are kept.
    pub(super) fn weight(&self) -> usize {
        let texts = |list: &[String]| list.iter().map(|text| text.len() + size_of::<String>()).sum::<usize>();
        match self {
            Self::Other => EACH,
            Self::Script(words) => EACH + texts(words),
            Self::Elf(found) => {
                let wants = found.wants.iter().map(|(a, b)| a.len() + b.len() + 2 * size_of::<String>()).sum::<usize>();
                EACH + wants
                    + [&found.needed, &found.rpath, &found.runpath, &found.has].map(|list| texts(list)).iter().sum::<usize>()
            }
        }
    }
}

/// Keeps what the loader sees of a file of so many bytes. Content that is neither ELF nor a script is passed over.
pub(super) fn set_aside(size: u64, body: &mut dyn Read) -> io::Result<Look> {
    let mut start = Vec::new();
    body.take(2).read_to_end(&mut start)?;
    if !matches!(start.as_slice(), b"\x7fE" | b"#!") || size > BINARY {
        return Ok(Look::Other);
    }
    let mut aside = tempfile::tempfile()?;
    io::copy(&mut start.as_slice().chain(body), &mut aside)?;
    look_into(&mut aside)
}

pub(super) fn look_into(file: &mut File) -> io::Result<Look> {
    let mut line = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    Read::by_ref(file).take(256).read_to_end(&mut line)?;
    if let Some(line) = line.strip_prefix(b"#!") {
        // binfmt_script.c: blanks are space and tab; a NUL ends it too.
        let line = line.split(|byte| matches!(byte, b'\n' | b'\0')).next().unwrap_or_default();
        let (line, blank) = (String::from_utf8_lossy(line), [' ', '\t']);
        let words = line.trim_matches(blank).splitn(2, blank).map(|word| word.trim_start_matches(blank).to_owned());
        return Ok(Look::Script(words.filter(|word| !word.is_empty()).collect()));
    }
    Ok(dynamic::read(file)?.map_or(Look::Other, |found| Look::Elf(Arc::new(found))))
}

/// What stands behind the last `/` of a path.
pub fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// What tells loaders where libraries lie, and who is who; directories above may be links.
pub(super) fn is_setting(path: &str) -> bool {
    let name = name_of(path);
    let is_of_users = |file: &str| path.strip_suffix(file).is_some_and(|above| above.is_empty() || above.ends_with('/'));
    is_of_users(USERS)
        || is_of_users(GROUPS)
        || name == "ld.so.cache"
        || name.starts_with("ld-musl-") && Path::new(name).extension().is_some_and(|end| end == "path")
}
