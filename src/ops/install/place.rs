//! Where installations of one plugin lie, and how the current one changes.
//!
//! ```text
//! <PLUGINS_DIR>/<name>                          a link to the current one (or, as a copy, the directory itself)
//! <PLUGINS_DIR>/.store/<name>/<id>/             one installation, never changed after it is whole
//! <PLUGINS_DIR>/.store/<name>/installed.json    what is current, what was before, and every file of both
//! <PLUGINS_DIR>/.store/<name>/.lock             held by whoever changes any of it
//! ```
//!
//! What survives a crash: a host sees the old plugin or the new one, because the link moves by one rename after the new
//! directory reached the disk. `installed.json` is written before that; a run that finds the link elsewhere than the
//! record says puts it there. A copy moves by two renames, so a host may find nothing for an instant.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::InstallError;
use super::survey::{Survey, survey};
use crate::digest::Digest;
use crate::extract::remove_tree;
use crate::failure::Error;
use crate::fs::{FileError, create_dirs, sorted_listing, sync_dir, write_atomically};
use crate::interrupt::{Registration, on_interrupt};
use crate::lock::Lock;
use crate::oci::json;
use crate::progress::Progress;

/// One installation, as recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The directory's name in the store.
    pub id: String,
    /// Digest of the image: of its index, or of the one platform's manifest that was chosen.
    pub digest: Digest,
    /// The store that it came from.
    pub source: String,
    /// The platforms that are in it.
    pub platforms: Vec<String>,
    /// Everything in it.
    pub files: Survey,
}

/// What `installed.json` holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Version of this document.
    pub schema: u32,
    /// Whether `<PLUGINS_DIR>/<name>` is the directory itself instead of a link to it.
    pub copied: bool,
    /// What a host loads.
    pub current: Record,
    /// What `--rollback` brings back.
    pub previous: Option<Record>,
}

/// The places of one plugin.
pub struct Place {
    plugins_dir: PathBuf,
    name: String,
    store: PathBuf,
    _cleanup: Registration,
    _lock: Lock,
}

const STORE: &str = ".store";
const STATE: &str = "installed.json";
const LOCK: &str = ".lock";
/// Where a copy goes that is none of the recorded installations; the garbage collector takes it.
const REPLACED: &str = "replaced";

/// Paths of one plugin below a plugins directory: what the host loads, and the plugin's part of the store.
fn paths(plugins_dir: &Path, name: &str) -> (PathBuf, PathBuf) {
    (plugins_dir.join(name), plugins_dir.join(STORE).join(name))
}

/// Names of everything that was installed into a directory.
pub fn installed_names(plugins_dir: &Path) -> Result<Vec<String>, FileError> {
    let store = plugins_dir.join(STORE);
    if !store.is_dir() {
        return Ok(Vec::new());
    }
    let names = sorted_listing(&store)?.into_iter().filter_map(|name| name.into_string().ok());
    Ok(names.filter(|name| store.join(name).join(STATE).is_file()).collect())
}

/// Reads what is recorded about a plugin; `None` when nothing is.
pub fn read_state(plugins_dir: &Path, name: &str) -> Result<Option<State>, Error> {
    let path = paths(plugins_dir, name).1.join(STATE);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(FileError::at("read", &path))?,
    };
    let state: State = json::parse_as(&bytes).map_err(|source| InstallError::BadRecord { path: path.clone(), source })?;
    let ids = std::iter::once(&state.current).chain(&state.previous).map(|record| &record.id);
    if state.schema != 1 || !ids.into_iter().all(|id| is_id(id)) {
        return Err(InstallError::UnknownRecord { path }.into());
    }
    Ok(Some(state))
}

/// Where the files of an installation lie: in the store, or, for the current one of a copy, where the host looks.
pub fn location(plugins_dir: &Path, name: &str, state: &State, record: &Record) -> PathBuf {
    let (visible, store) = paths(plugins_dir, name);
    if state.copied && record.id == state.current.id { visible } else { store.join(&record.id) }
}

/// The link that a host follows, as it must read.
pub fn link_target(name: &str, id: &str) -> PathBuf {
    Path::new(STORE).join(name).join(id)
}

/// A directory name of ours, and nothing that leads elsewhere.
fn is_id(id: &str) -> bool {
    id.starts_with("sha") && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._+".contains(&byte))
}

impl Place {
    /// Makes the places and takes the lock.
    pub fn open(plugins_dir: &Path, name: &str, progress: &dyn Progress) -> Result<Self, Error> {
        let store = paths(plugins_dir, name).1;
        create_dirs(&store)?;
        let lock =
            Lock::exclusive(&store.join(LOCK), || progress.status("Blocking", format!("waiting for {}", store.display())))?;
        let cleanup = {
            let store = store.clone();
            on_interrupt(move || take_back(&store))
        };
        Ok(Self { plugins_dir: plugins_dir.to_owned(), name: name.to_owned(), store, _cleanup: cleanup, _lock: lock })
    }

    /// What a host loads.
    pub fn visible(&self) -> PathBuf {
        paths(&self.plugins_dir, &self.name).0
    }

    /// What is recorded.
    pub fn state(&self) -> Result<Option<State>, Error> {
        read_state(&self.plugins_dir, &self.name)
    }

    /// Refuses to replace what this tool did not put there.
    pub fn check_replaceable(&self, state: Option<&State>) -> Result<(), Error> {
        let visible = self.visible();
        let ours = match fs::symlink_metadata(&visible) {
            Err(_) => true,
            Ok(found) if found.is_symlink() => {
                fs::read_link(&visible).is_ok_and(|target| target.parent() == Some(&Path::new(STORE).join(&self.name)))
            }
            Ok(_) => state.is_some_and(|state| state.copied),
        };
        if ours { Ok(()) } else { Err(InstallError::InTheWay { path: visible }.into()) }
    }

    /// Whether the files of a recorded installation are all there and unchanged, and where.
    pub fn intact(&self, state: &State, record: &Record) -> Option<PathBuf> {
        let recorded_place = location(&self.plugins_dir, &self.name, state, record);
        // A crash can leave a copy where it was before the last rename.
        let places = [recorded_place, self.store.join(&record.id)];
        places.into_iter().find(|place| {
            let real = fs::symlink_metadata(place).is_ok_and(|found| found.is_dir());
            real && survey(place).is_ok_and(|found| found == record.files)
        })
    }

    /// A name in the store that nothing has yet.
    pub fn fresh_id(&self, digest: &Digest, suffix: &str) -> String {
        let base = format!("{}-{}{suffix}", digest.algorithm().as_str(), digest.hex());
        let numbered = (1_u32..).map(|number| format!("{base}.{number}"));
        let mut ids = std::iter::once(base.clone()).chain(numbered);
        ids.find(|id| fs::symlink_metadata(self.store.join(id)).is_err()).unwrap_or(base)
    }

    /// Where an installation is put together.
    pub fn in_store(&self, id: &str) -> PathBuf {
        self.store.join(id)
    }

    /// Records a state and makes it what the host sees.
    pub fn place(&self, state: &State) -> Result<(), Error> {
        if self.state()?.as_ref() != Some(state) {
            write_atomically(&self.store.join(STATE), &json::to_canonical(state))?;
        }
        if state.copied {
            self.place_copy(state)?;
        } else {
            self.place_link(state)?;
        }
        sync_dir(&self.plugins_dir)?;
        self.collect_garbage(state);
        Ok(())
    }

    fn place_link(&self, state: &State) -> Result<(), Error> {
        let visible = self.visible();
        let target = link_target(&self.name, &state.current.id);
        if fs::read_link(&visible).is_ok_and(|now| now == target) {
            return Ok(());
        }
        self.put_copy_away(state)?;
        let make = |path: &Path| make_link(&target, path);
        let link = tempfile::Builder::new().prefix(".plugin-build-").make_in(&self.store, make);
        let link = link.map_err(|source| InstallError::Link { path: visible.clone(), source })?;
        link.into_temp_path().persist(&visible).map_err(|error| FileError::at("rename to", &visible)(error.error))?;
        Ok(())
    }

    fn place_copy(&self, state: &State) -> Result<(), Error> {
        let (visible, staged) = (self.visible(), self.store.join(&state.current.id));
        if !staged.exists() {
            return Ok(());
        }
        if fs::symlink_metadata(&visible).is_ok_and(|found| found.is_symlink()) {
            fs::remove_file(&visible).map_err(FileError::at("remove", &visible))?;
        }
        let away = self.put_copy_away(state)?;
        if let Err(error) = fs::rename(&staged, &visible) {
            if let Some(away) = away {
                drop(fs::rename(away, &visible));
            }
            return Err(FileError::at("rename to", &visible)(error).into());
        }
        Ok(())
    }

    /// Moves a copy from where the host looks back into the store; returns where to. What it is, its files say: after a
    /// crash it need not be what was recorded last, and what somebody changed is no installation any more.
    fn put_copy_away(&self, state: &State) -> Result<Option<PathBuf>, Error> {
        let visible = self.visible();
        if !fs::symlink_metadata(&visible).is_ok_and(|found| found.is_dir()) {
            return Ok(None);
        }
        let files = survey(&visible)?;
        let mut records = std::iter::once(&state.current).chain(&state.previous);
        let known = records.find(|record| record.files == files && !self.store.join(&record.id).exists());
        let away = self.store.join(known.map_or(REPLACED, |record| &record.id));
        drop(remove_tree(&away));
        fs::rename(&visible, &away).map_err(FileError::at("rename", &visible))?;
        Ok(Some(away))
    }

    /// Takes back what a first installation that failed has made.
    pub fn abandon(self) {
        take_back(&self.store);
    }

    /// Removes what is neither current nor previous. What cannot be removed now is tried again next time.
    fn collect_garbage(&self, state: &State) {
        let kept = [STATE, LOCK, &state.current.id, state.previous.as_ref().map_or("", |previous| &previous.id)];
        for name in sorted_listing(&self.store).unwrap_or_default() {
            if !kept.iter().any(|kept| name == *kept) {
                let path = self.store.join(&name);
                drop(if path.is_symlink() { fs::remove_file(&path) } else { remove_tree(&path) });
            }
        }
    }
}

/// Removes the places of a plugin that was never installed. Only for the holder of the lock.
fn take_back(store: &Path) {
    if !store.join(STATE).exists() {
        drop(fs::remove_file(store.join(LOCK)));
        drop(fs::remove_dir(store));
        drop(store.parent().map(fs::remove_dir));
    }
}

#[cfg(unix)]
fn make_link(target: &Path, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(windows)]
fn make_link(target: &Path, path: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_dir(target, path)
}
