//! What people call an image: a reference, or the path of a store that exists.
//!
//! Every verb reads images by [`image`] and directories by [`directory`], so that what one verb prints, all others take:
//!
//! | written | read as |
//! |---|---|
//! | `oci:DIR[:TAG][@DIGEST]`, `oci-archive:FILE[:TAG][@DIGEST]`, `docker://HOST/REPO[:TAG][@DIGEST]` | what it says |
//! | `HOST/REPO[:TAG][@DIGEST]`, the host with a dot or port, or `localhost` | an image in a registry |
//! | `/PATH`, `./PATH`, `../PATH`, with `[:TAG][@DIGEST]` | a layout; an archive where it is a file |
//! | `PATH` of a layout or archive that exists, with `[:TAG][@DIGEST]` | the same |
//! | what is both of these | nothing: whoever wrote it has to say which |
//! | anything else | nothing. A short name becomes Docker Hub only where it cannot be but a repository |

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::layout::MARKER_FILE;
use crate::values::reference::{LocalReference, Reference, ReferenceError, has_transport};

/// Reads what names an image. Relative paths are looked for in `dir`, and stay relative.
pub fn image(text: &str, dir: &Path) -> Result<Reference, ReferenceError> {
    if has_transport(text) {
        return text.parse();
    }
    if is_path(text) {
        let local = LocalReference::parse(text)?;
        let found = is_archive(&dir.join(&local.path));
        return Ok(if found { Reference::Archive(local) } else { Reference::Layout(local) });
    }
    match (store_at(text, dir), text.parse()) {
        (Some(_), Ok(_)) => Err(ReferenceError::TwoReadings(text.to_owned())),
        (Some(store), Err(_)) => Ok(store),
        (None, Err(ReferenceError::NoTransport(text))) => Err(ReferenceError::NotThere(text)),
        (None, parsed) => parsed,
    }
}

/// Refuses an image where a directory is wanted, for whoever forgot one of two words. What exists and is no layout is a
/// directory, whatever it is called.
pub fn directory<'p>(path: &'p Path, dir: &Path) -> Result<&'p Path, ReferenceError> {
    let Some(text) = path.to_str() else { return Ok(path) };
    let is_image = has_transport(text)
        || store_at(text, dir).is_some()
        || !is_path(text) && text.parse::<Reference>().is_ok() && !dir.join(path).is_dir();
    if is_image { Err(ReferenceError::NotADirectory(text.to_owned())) } else { Ok(path) }
}

/// Whether a text can be a path only.
fn is_path(text: &str) -> bool {
    let path = text.split_once(':').map_or(text, |(path, _)| path);
    path.starts_with('/') || ["./", "../"].iter().any(|start| path.starts_with(start)) || path == "." || path == ".."
}

/// The layout or archive that lies at a path, with what is wanted of it.
fn store_at(text: &str, dir: &Path) -> Option<Reference> {
    let local = LocalReference::parse(text).ok()?;
    let path = dir.join(&local.path);
    if path.join(MARKER_FILE).is_file() {
        Some(Reference::Layout(local))
    } else if is_archive(&path) {
        Some(Reference::Archive(local))
    } else {
        None
    }
}

/// Whether a file is a tar, by what POSIX says stands in the first header.
pub fn is_archive(path: &Path) -> bool {
    let mut header = [0; 262];
    path.is_file() && File::open(path).is_ok_and(|mut file| file.read_exact(&mut header).is_ok()) && header.ends_with(b"ustar")
}
