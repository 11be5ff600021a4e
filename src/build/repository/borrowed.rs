//! Objects that a repository borrows from another (`git clone --shared` or `--reference`): `objects/info/alternates`.
//!
//! The lender does not know of it, so that sources could name the objects of any repository here, and read them. A directory
//! counts as lent only where it holds nothing but objects, and an object in it that the borrower lacks is one that a
//! reference of the borrower names: whoever wrote that down knew what is there. (Who knows one commit of a repository gets all
//! of its objects.) What a lender borrows itself is lent along.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Repository, is_own};
use plugin_oci::fs::sorted_listing;

/// The directories of objects that a repository borrows from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lenders {
    /// Those that may be shown.
    pub proven: Vec<PathBuf>,
    /// Those that may not.
    pub unproven: Vec<PathBuf>,
}

/// As git follows them.
const DEEPEST: usize = 5;

/// The most references that are read.
const MOST_REFERENCES: usize = 10_000;

impl Repository {
    /// The directories of objects that this one borrows from, absolute.
    pub fn lenders(&self) -> Lenders {
        let mut lenders = Lenders::default();
        let own = self.common.join("objects");
        let named = self.alternates();
        if named.is_empty() {
            return lenders;
        }
        let names = self.names();
        for lender in named {
            let real = lender.canonicalize().ok().filter(|real| holds_objects(real));
            let is_lent = |real: &PathBuf| names.iter().any(|name| !holds(&own, name) && holds(real, name));
            if real.as_ref().is_some_and(is_lent) {
                lend(&lender, DEEPEST, &mut lenders);
            } else {
                lenders.unproven.push(lender);
            }
        }
        lenders
    }

    pub(super) fn alternates(&self) -> Vec<PathBuf> {
        alternates(&self.common.join("objects"))
    }

    /// The objects that references name, in hexadecimal digits.
    fn names(&self) -> Vec<String> {
        let packed = self.common.join("packed-refs");
        let walk = walkdir::WalkDir::new(self.common.join("refs")).into_iter().flatten().take(MOST_REFERENCES);
        let loose = walk.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path);
        let files = [self.state.join("HEAD"), packed].into_iter().filter(|file| is_own(file)).chain(loose);
        let texts: Vec<String> = files.filter_map(|file| fs::read_to_string(file).ok()).collect();
        let words = texts.iter().flat_map(|text| text.lines()).filter_map(|line| line.trim_start_matches('^').split(' ').next());
        let is_name = |word: &&str| matches!(word.len(), 40 | 64) && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        words.filter(is_name).map(str::to_lowercase).take(MOST_REFERENCES).collect()
    }
}

fn alternates(objects: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(objects.join("info/alternates")).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '"']));
    lines.map(|line| objects.join(line)).collect()
}

fn lend(lender: &Path, depth: usize, lenders: &mut Lenders) {
    if lenders.proven.iter().any(|known| known == lender) {
        return;
    }
    lenders.proven.push(lender.to_owned());
    for further in alternates(lender) {
        let is_lent = depth > 1 && further.canonicalize().is_ok_and(|real| holds_objects(&real));
        if is_lent { lend(&further, depth - 1, lenders) } else { lenders.unproven.push(further) }
    }
}

/// Whether a directory is one of objects, and of nothing else.
fn holds_objects(directory: &Path) -> bool {
    let is_of_objects = |name: &std::ffi::OsString| {
        let text = name.to_string_lossy();
        let is_known = matches!(&*text, "pack" | "info") || text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_known && directory.join(name).symlink_metadata().is_ok_and(|found| found.is_dir())
    };
    sorted_listing(directory).is_ok_and(|names| names.iter().all(is_of_objects))
}

/// Whether an object is there: a file of its own, or in the table of a pack.
fn holds(objects: &Path, name: &str) -> bool {
    let (front, rest) = name.split_at(2);
    if objects.join(front).join(rest).is_file() {
        return true;
    }
    let digits = |at: usize| u8::from_str_radix(name.get(at..at + 2)?, 16).ok();
    let Some(hash) = (0..name.len()).step_by(2).map(digits).collect::<Option<Vec<u8>>>() else { return false };
    let packs = sorted_listing(&objects.join("pack")).unwrap_or_default().into_iter();
    let mut tables =
        packs.map(|name| objects.join("pack").join(name)).filter(|path| path.extension().is_some_and(|e| e == "idx"));
    tables.any(|table| fs::read(table).is_ok_and(|bytes| lists(&bytes, &hash).unwrap_or(false)))
}

/// Whether a pack's table of version 2 lists an object (gitformat-pack(5)): a header of 8 bytes, 256 running counts by first
/// byte, the sorted names.
fn lists(table: &[u8], hash: &[u8]) -> Option<bool> {
    if !table.starts_with(b"\xfftOc\0\0\0\x02") {
        return Some(false);
    }
    let count = |byte: usize| Some(u32::from_be_bytes(table.get(8 + 4 * byte..12 + 4 * byte)?.try_into().ok()?) as usize);
    let byte = usize::from(*hash.first()?);
    let first = if byte == 0 { 0 } else { count(byte - 1)? };
    let names = table.get(8 + 1024..)?;
    let names = names.get(first * hash.len()..count(byte)? * hash.len())?;
    Some(names.chunks_exact(hash.len()).any(|name| name == hash))
}
