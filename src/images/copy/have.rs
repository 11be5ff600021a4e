//! `--have`: what the other side of an air gap has already.
//!
//! Either a store (everything that its entries reach) or a file with one digest a line; what stands after a digest is
//! not read, so that listings of other tools will do. Empty lines and those that start with `#` do not count.

use plugin_oci::failure::Error;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::CopyError;
use plugin_oci::documents::{Descriptor, Document, NESTING_LIMIT};
use plugin_oci::fs::FileError;
use plugin_oci::stores::named;
use plugin_oci::stores::open::Stores;
use plugin_oci::stores::{Source, StoreError, read_document};
use plugin_oci::values::digest::Digest;

/// A list of a million digests is shorter.
const LIST_LIMIT: u64 = 128 << 20;

/// The digests that the other side has.
pub fn digests(text: &str, stores: &Stores<'_>) -> Result<BTreeSet<Digest>, Error> {
    let path = Path::new(text);
    if !path.is_file() || named::is_archive(path) {
        return reachable(stores.source(&named::image(text, Path::new(""))?)?.as_ref());
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LIST_LIMIT).read_to_end(&mut bytes)).map_err(FileError::at("read", path))?;
    let mut found = BTreeSet::new();
    for (number, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
        let Some(word) = line.split_ascii_whitespace().next().filter(|word| !word.starts_with('#')) else { continue };
        let digest = word.parse().map_err(|_| CopyError::DigestList { path: text.to_owned(), line: number + 1 })?;
        found.insert(digest);
    }
    Ok(found)
}

/// The store itself.
pub(super) fn store<'s>(text: &str, stores: &'s Stores<'_>) -> Result<Box<dyn Source + 's>, Error> {
    let path = Path::new(text);
    if path.is_file() && !named::is_archive(path) {
        return Err(CopyError::DeltaOfList(text.to_owned()).into());
    }
    Ok(stores.source(&named::image(text, Path::new(""))?)?)
}

fn reachable(source: &dyn Source) -> Result<BTreeSet<Digest>, Error> {
    let mut found = BTreeSet::new();
    let tagged = source.tags()?.into_iter().map(|tagged| tagged.root);
    for root in tagged.chain(source.untagged()?) {
        follow(source, &root, 0, &mut found)?;
    }
    Ok(found)
}

fn follow(source: &dyn Source, at: &Descriptor, depth: usize, found: &mut BTreeSet<Digest>) -> Result<(), StoreError> {
    if depth > NESTING_LIMIT {
        return Err(StoreError::TooDeep { object: at.digest.to_string() });
    }
    if !found.insert(at.digest.clone()) || !at.is_manifest_or_index() {
        return Ok(());
    }
    let (document, _) = read_document(source, at)?;
    let nested = matches!(document, Document::Index(_));
    for child in document.children() {
        if nested {
            follow(source, child, depth + 1, found)?;
        } else {
            found.insert(child.digest.clone());
        }
    }
    for referrer in source.referrers(&at.digest)? {
        follow(source, &referrer, depth + 1, found)?;
    }
    Ok(())
}
