//! Starting a dynamic program of an image with the image's own loader and libraries.
//!
//! Outside a container the kernel would take the loader of this machine, and that its libraries. So the image's loader is
//! started, and told where the libraries are:
//!
//! ```text
//! <root>/lib/ld-x.so --inhibit-cache --library-path <links>:<root>/lib --argv0 prog <root>/bin/prog ..
//! ```
//!
//! `<links>` is a directory beside the root with one link a library, from the name that is asked for to the file in the root,
//! because a link of the image may lead elsewhere here. Whatever would come before it in the search (an absolute `DT_RPATH`, a
//! library named by path) is refused; `LD_LIBRARY_PATH`, `LD_PRELOAD` and `LD_AUDIT` are not handed on. What the program opens
//! by itself is looked for in the image first, and then on this machine; and its `/proc/self/exe` is the loader.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::RunError;
use crate::build::start::Started;
use plugin_oci::failure::Error;
use plugin_oci::fs::{FileError, create_dirs};
use plugin_oci::values::digest::Digest;

/// Variables by which a caller, or an image, would name libraries of this machine.
pub const NOT_KEPT: [&str; 3] = ["LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT"];
/// Bytes of a loader.
const LOADER: u64 = 16 << 20;

/// The words that start a program of the image with its loader: the last is the program's own path.
pub fn words(root: &Path, started: &Started, program: &Path, name: &str) -> Result<Option<Vec<OsString>>, Error> {
    let Some(loader) = &started.loader else { return Ok(None) };
    let refused = |why: String| Error::from(RunError::Libraries { program: name.to_owned(), why });
    if started.has_fixed_rpath {
        return Err(refused("an absolute DT_RPATH would lead it to this machine's".to_owned()));
    }
    if let Some((library, _)) =
        started.libraries.iter().find(|(name, _)| name.contains('/') || matches!(name.as_str(), "." | ".."))
    {
        return Err(refused(format!(
            "it names {} by its path, which is one of this machine",
            plugin_oci::layers::tar::shown(library.as_bytes())
        )));
    }
    let links = links(root, started)?;
    let mut folders = vec![links];
    for (_, real) in &started.libraries {
        let folder = root.join(real).parent().map(Path::to_owned).unwrap_or_default();
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    if folders.iter().any(|folder| folder.as_os_str().as_encoded_bytes().iter().any(|byte| matches!(byte, b':' | b';'))) {
        return Err(refused("the path of a directory with its libraries holds `:` or `;`; see `--cache-dir`".to_owned()));
    }
    let path = root.join(loader);
    let knows = flags(&path)?;
    let mut words: Vec<OsString> = vec![path.into()];
    if knows.0 {
        words.push("--inhibit-cache".into());
    }
    words.push("--library-path".into());
    words.push(folders.iter().map(|folder| folder.as_os_str()).collect::<Vec<_>>().join(":".as_ref()));
    if knows.1 {
        words.extend(["--argv0".into(), name.into()]);
    }
    words.push(program.into());
    Ok(Some(words))
}

/// Which flags a loader knows: older ones do not know all, and refuse what they do not know.
fn flags(loader: &Path) -> Result<(bool, bool), FileError> {
    let mut bytes = Vec::new();
    let file = fs::File::open(loader).map_err(FileError::at("read", loader))?;
    std::io::Read::read_to_end(&mut std::io::Read::take(file, LOADER), &mut bytes).map_err(FileError::at("read", loader))?;
    let has = |flag: &[u8]| memchr::memmem::find(&bytes, flag).is_some();
    Ok((has(b"inhibit-cache"), has(b"argv0")))
}

/// A directory with one link a library, named by what is in it.
fn links(root: &Path, started: &Started) -> Result<PathBuf, Error> {
    let mut told = started.libraries.clone();
    told.sort();
    let digest = Digest::of(format!("{told:?}").as_bytes());
    let mut dir = root.as_os_str().to_owned();
    dir.push(format!(".libraries-{}", digest.short()));
    let dir = PathBuf::from(dir);
    create_dirs(&dir)?;
    for (name, real) in &told {
        let (link, target) = (dir.join(name), root.join(real));
        if fs::read_link(&link).is_ok_and(|found| found == target) {
            continue;
        }
        #[cfg(unix)]
        match std::os::unix::fs::symlink(&target, &link) {
            // Another run has made it.
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(FileError::at("create", &link)(error).into());
            }
            _ => {}
        }
    }
    Ok(dir)
}
