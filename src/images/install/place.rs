//! Where installations of one plugin lie, and how the current one changes.
//!
//! ```text
//! <PLUGINS_DIR>/<name>                          a link to the current one (or, as a copy, the directory itself)
//! <PLUGINS_DIR>/.store/<name>/<id>/             one installation, never changed after it is whole
//! <PLUGINS_DIR>/.store/<name>/<id>.evidence/    what its image is judged by
//! <PLUGINS_DIR>/.store/<name>/installed.json    what is current, what was before, and every file of both
//! <PLUGINS_DIR>/.store/<name>/.lock             held by whoever changes any of it
//! ```
//!
//! Threat: another writer of these directories who puts links in the way. `<PLUGINS_DIR>` may be a link, as the user named
//! it; everything below is reached from open directories, one name at a time, and no link among them is followed.
//!
//! What survives a crash: a host sees the old plugin or the new one, because the link moves by one rename after the new
//! directory reached the disk. `installed.json` is written before that; a run that finds the link elsewhere than the
//! record says puts it there. A copy moves by two renames, so a host may find nothing for an instant.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::InstallError;
use super::evidence::{self, Evidence};
use super::laid::Laid;
use super::survey::{Survey, survey};
use plugin_oci::documents::{Descriptor, json};
use plugin_oci::failure::Error;
use plugin_oci::fs::anchor::Anchor;
use plugin_oci::fs::lock::Lock;
use plugin_oci::fs::{FileError, create_dirs, sorted_listing, sync_dir, write_atomically};
use plugin_oci::interrupt::{Registration, on_interrupt};
use plugin_oci::layers::unpack::{Extraction, remove_tree};
use plugin_oci::progress::Progress;
use plugin_oci::stores::Source;
use plugin_oci::values::digest::Digest;
use plugin_oci::values::text;

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
    /// What the image says of itself; records of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Identity>,
    /// The keys by which it was judged when it was installed and that have signed it, each by its SHA-256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signed_by: Vec<Digest>,
    /// Everything in it.
    pub files: Survey,
    /// Its layers, as far as deltas can be applied to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Laid>,
}

/// What an image that was installed is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Digest of its root, which `build` and `push` print.
    pub digest: Digest,
    /// The tag that it was taken by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The version of its package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The licences of its package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licenses: Option<String>,
}

impl Record {
    /// The digest that people know the image by.
    pub fn root(&self) -> &Digest {
        self.image.as_ref().map_or(&self.digest, |image| &image.digest)
    }

    /// What the image is called, as far as it was recorded.
    pub fn identity(&self) -> Identity {
        let unknown = || Identity { digest: self.digest.clone(), tag: None, version: None, licenses: None };
        self.image.clone().unwrap_or_else(unknown)
    }
}

impl Identity {
    /// How people call it: its version or tag, and its digest.
    pub fn called(&self) -> String {
        let digest = format!("sha256:{}", self.digest.short());
        let name = self.version.as_deref().or(self.tag.as_deref());
        name.map_or_else(|| digest.clone(), |name| format!("{} ({digest})", text::field(name)))
    }
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
    /// What was there before that, the last one first, without its files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Record>,
}

/// How many installations are remembered besides those that are kept.
const REMEMBERED: usize = 30;

impl State {
    /// What was there before and is none of these, the last one first, without its files.
    pub fn without(&self, kept: [Option<&Record>; 2]) -> Vec<Record> {
        let is_kept = |record: &Record| kept.iter().flatten().any(|kept| kept.id == record.id);
        let gone = std::iter::once(&self.current).chain(&self.previous).filter(|record| !is_kept(record));
        let gone = gone.map(|record| Record { files: Survey::new(), layers: Vec::new(), ..record.clone() });
        gone.chain(self.earlier.iter().cloned()).take(REMEMBERED).collect()
    }
}

/// The places of one plugin.
pub struct LockedDirs {
    dirs: Arc<Dirs>,
    _cleanup: Registration,
    _lock: Lock,
}

/// The open directories of one plugin.
pub struct Dirs {
    name: String,
    plugins: Anchor,
    store: Anchor,
    own: Anchor,
}

const STORE: &str = ".store";
const STATE: &str = "installed.json";
/// Ends the name of what an installation is judged by.
const EVIDENCE: &str = ".evidence";
const LOCK: &str = ".lock";
/// Where a copy goes that is none of the recorded installations; the garbage collector takes it.
const REPLACED: &str = "replaced";

/// Names of everything that was installed into a directory.
pub fn installed_names(plugins_dir: &Path) -> Result<Vec<String>, FileError> {
    let Some(plugins) = there(Anchor::open(plugins_dir)).map_err(FileError::at("open", plugins_dir))? else {
        return Ok(Vec::new());
    };
    let at = plugins.shown(STORE);
    let Some(store) = there(plugins.below(STORE)).map_err(FileError::at("open", &at))? else { return Ok(Vec::new()) };
    let names = sorted_listing(&store.base())?.into_iter().filter_map(|name| name.into_string().ok());
    Ok(names.filter(|name| store.below(name).and_then(|own| own.file(STATE)).is_ok()).collect())
}

/// `None` where nothing is.
fn there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        other => other.map(Some),
    }
}

impl Dirs {
    /// Opens what is there; `None` when a part of it is missing.
    pub fn find(plugins_dir: &Path, name: &str) -> Result<Option<Self>, FileError> {
        let Some(plugins) = there(Anchor::open(plugins_dir)).map_err(FileError::at("open", plugins_dir))? else {
            return Ok(None);
        };
        let Some(store) = there(plugins.below(STORE)).map_err(FileError::at("open", &plugins.shown(STORE)))? else {
            return Ok(None);
        };
        let Some(own) = there(store.below(name)).map_err(FileError::at("open", &store.shown(name)))? else { return Ok(None) };
        Ok(Some(Self { name: name.to_owned(), plugins, store, own }))
    }

    /// Opens them, making what is missing.
    fn make(plugins_dir: &Path, name: &str) -> Result<Self, FileError> {
        create_dirs(plugins_dir)?;
        let plugins = Anchor::open(plugins_dir).map_err(FileError::at("open", plugins_dir))?;
        let store = plugins.make(STORE)?;
        let own = store.make(name)?;
        Ok(Self { name: name.to_owned(), plugins, store, own })
    }

    /// What is recorded; `None` when nothing is.
    pub fn state(&self) -> Result<Option<State>, Error> {
        let path = self.own.shown(STATE);
        let mut bytes = Vec::new();
        match self.own.file(STATE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.and_then(|mut file| file.read_to_end(&mut bytes)).map_err(FileError::at("read", &path))?,
        };
        let state: State = json::parse_as(&bytes).map_err(|source| InstallError::BadRecord { path: path.clone(), source })?;
        let ids = std::iter::once(&state.current).chain(&state.previous).map(|record| &record.id);
        if state.schema != 1 || !ids.into_iter().all(|id| is_id(id)) {
            return Err(InstallError::UnknownRecord { path }.into());
        }
        Ok(Some(state))
    }

    /// What a host loads, as the user knows it.
    pub fn shown(&self) -> PathBuf {
        self.plugins.shown(&self.name)
    }

    /// The directory that an installation lies in: in the store, or, for the current one of a copy, where the host looks.
    fn holder(&self, state: &State, record: &Record) -> (&Anchor, String) {
        if state.copied && record.id == state.current.id {
            (&self.plugins, self.name.clone())
        } else {
            (&self.own, record.id.clone())
        }
    }

    /// Opens an installation where it should lie.
    pub fn installation(&self, state: &State, record: &Record) -> io::Result<Anchor> {
        let (holder, name) = self.holder(state, record);
        holder.below(name)
    }

    /// The same as people know it.
    pub fn location(&self, state: &State, record: &Record) -> PathBuf {
        let (holder, name) = self.holder(state, record);
        holder.shown(name)
    }

    /// Where lies what an installation was judged by.
    pub fn evidence(&self, record: &Record) -> Evidence {
        Evidence { dir: self.own.shown(evidence_of(&record.id)), image: record.root().clone() }
    }

    /// Where the link that a host follows leads.
    pub fn link(&self) -> io::Result<PathBuf> {
        fs::read_link(self.plugins.at(&self.name))
    }

    /// Removes the places of a plugin that was never installed. Only for the holder of the lock.
    fn take_back(&self) {
        if fs::symlink_metadata(self.own.at(STATE)).is_err() {
            drop(fs::remove_file(self.own.at(LOCK)));
            drop(fs::remove_dir(self.store.at(&self.name)));
            drop(fs::remove_dir(self.plugins.at(STORE)));
        }
    }
}

/// The link that a host follows, as it must read.
pub fn link_target(name: &str, id: &str) -> PathBuf {
    Path::new(STORE).join(name).join(id)
}

fn evidence_of(id: &str) -> String {
    format!("{id}{EVIDENCE}")
}

/// A directory name of ours, and nothing that leads elsewhere.
fn is_id(id: &str) -> bool {
    id.starts_with("sha") && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._+".contains(&byte))
}

impl LockedDirs {
    /// Makes the places and takes the lock.
    pub fn open(plugins_dir: &Path, name: &str, progress: &dyn Progress) -> Result<Self, Error> {
        let dirs = Arc::new(Dirs::make(plugins_dir, name)?);
        let waiting = || progress.status("Blocking", format!("waiting for {}", dirs.store.shown(name).display()));
        let lock = Lock::exclusive(&dirs.own.at(LOCK), waiting)?;
        let cleanup = {
            let dirs = Arc::clone(&dirs);
            on_interrupt(move || dirs.take_back())
        };
        Ok(Self { dirs, _cleanup: cleanup, _lock: lock })
    }

    /// The open directories.
    pub fn dirs(&self) -> &Dirs {
        &self.dirs
    }

    fn visible(&self) -> PathBuf {
        self.dirs.plugins.at(&self.dirs.name)
    }

    /// What is recorded.
    pub fn state(&self) -> Result<Option<State>, Error> {
        self.dirs.state()
    }

    /// Refuses to replace what this tool did not put there.
    pub fn check_replaceable(&self, state: Option<&State>) -> Result<(), Error> {
        let ours = match fs::symlink_metadata(self.visible()) {
            Err(_) => true,
            Ok(found) if found.is_symlink() => {
                let above = Path::new(STORE).join(&self.dirs.name);
                self.dirs.link().is_ok_and(|target| target.parent() == Some(&above))
            }
            Ok(_) => state.is_some_and(|state| state.copied),
        };
        if ours { Ok(()) } else { Err(InstallError::InTheWay { path: self.dirs.shown() }.into()) }
    }

    /// Whether the files of a recorded installation are all there and unchanged, and where.
    pub fn intact(&self, state: &State, record: &Record) -> Option<PathBuf> {
        let recorded = (self.dirs.installation(state, record), self.dirs.location(state, record));
        // A crash can leave a copy where it was before the last rename.
        let stored = (self.dirs.own.below(&record.id), self.dirs.own.shown(&record.id));
        let mut places = [recorded, stored].into_iter();
        places.find(|(place, _)| place.as_ref().is_ok_and(|place| is(place, record))).map(|(_, shown)| shown)
    }

    /// Looks at a new installation.
    pub fn survey(&self, id: &str) -> Result<Survey, FileError> {
        let place = self.dirs.own.below(id).map_err(FileError::at("open", &self.dirs.own.shown(id)))?;
        survey(&place)
    }

    /// Looks at an installation that is being put together.
    pub fn survey_staged(&self, extraction: &Extraction) -> Result<Survey, FileError> {
        let name = extraction.path().file_name().unwrap_or_default();
        let staged = self.dirs.own.below(name).map_err(FileError::at("open", extraction.path()))?;
        survey(&staged)
    }

    /// A name in the store that nothing has yet.
    pub fn fresh_id(&self, digest: &Digest, suffix: &str) -> String {
        let base = format!("{}-{}{suffix}", digest.algorithm().as_str(), digest.hex());
        let numbered = (1_u32..).map(|number| format!("{base}.{number}"));
        let mut ids = std::iter::once(base.clone()).chain(numbered);
        ids.find(|id| fs::symlink_metadata(self.dirs.own.at(id)).is_err()).unwrap_or(base)
    }

    /// Where an installation is put together.
    pub fn in_store(&self, id: &str) -> PathBuf {
        self.dirs.own.at(id)
    }

    /// Keeps what the image of an installation is judged by, in the place of what was kept before.
    pub fn keep_evidence(&self, source: &dyn Source, root: &Descriptor, record: &Record) -> Result<(), Error> {
        let (name, new) = (evidence_of(&record.id), format!("{}.new", evidence_of(&record.id)));
        drop(remove_tree(&self.dirs.own.at(&new)));
        evidence::write(source, root, &self.dirs.own.make(&new)?.base())?;
        drop(remove_tree(&self.dirs.own.at(&name)));
        fs::rename(self.dirs.own.at(&new), self.dirs.own.at(&name))
            .map_err(FileError::at("rename to", &self.dirs.own.shown(&name)))?;
        Ok(())
    }

    /// Records a state and makes it what the host sees.
    pub fn place(&self, state: &State) -> Result<(), Error> {
        if self.state()?.as_ref() != Some(state) {
            write_atomically(&self.dirs.own.at(STATE), &json::serialize(state)?)?;
        }
        if state.copied {
            self.place_copy(state)?;
        } else {
            self.place_link(state)?;
        }
        sync_dir(&self.dirs.plugins.base())?;
        self.collect_garbage(state);
        Ok(())
    }

    fn place_link(&self, state: &State) -> Result<(), Error> {
        let visible = self.visible();
        let target = link_target(&self.dirs.name, &state.current.id);
        if self.dirs.link().is_ok_and(|now| now == target) {
            return Ok(());
        }
        self.put_copy_away(state)?;
        let make = |path: &Path| make_link(&target, path);
        let link = tempfile::Builder::new().prefix(".plugin-build-").make_in(self.dirs.own.base(), make);
        let link = link.map_err(|source| InstallError::Link { path: self.dirs.shown(), source })?;
        link.into_temp_path().persist(&visible).map_err(|error| FileError::at("rename to", &visible)(error.error))?;
        Ok(())
    }

    fn place_copy(&self, state: &State) -> Result<(), Error> {
        let (visible, staged) = (self.visible(), self.dirs.own.at(&state.current.id));
        if self.dirs.own.below(&state.current.id).is_err() {
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
        let Ok(copy) = self.dirs.plugins.below(&self.dirs.name) else { return Ok(None) };
        let files = survey(&copy)?;
        let mut records = std::iter::once(&state.current).chain(&state.previous);
        let known = records.find(|record| record.files == files && fs::symlink_metadata(self.dirs.own.at(&record.id)).is_err());
        let away = self.dirs.own.at(known.map_or(REPLACED, |record| &record.id));
        drop(remove_tree(&away));
        fs::rename(&visible, &away).map_err(FileError::at("rename", &visible))?;
        Ok(Some(away))
    }

    /// Removes the plugin: first what the host sees, then the record, then everything else.
    pub fn remove(self, state: &State) -> Result<(), Error> {
        self.put_copy_away(state)?;
        match fs::remove_file(self.visible()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(FileError::at("remove", &self.dirs.shown())(error).into());
            }
            _ => sync_dir(&self.dirs.plugins.base())?,
        }
        let record = self.dirs.own.at(STATE);
        fs::remove_file(&record).map_err(FileError::at("remove", &self.dirs.own.shown(STATE)))?;
        for name in sorted_listing(&self.dirs.own.base())?.into_iter().filter(|name| name != LOCK) {
            let path = self.dirs.own.at(&name);
            remove_tree(&path).map_err(FileError::at("remove", &self.dirs.own.shown(&name)))?;
        }
        self.dirs.take_back();
        Ok(())
    }

    /// Takes back what a first installation that failed has made.
    pub fn abandon(self) {
        self.dirs.take_back();
    }

    /// Removes what is neither current nor previous. What cannot be removed now is tried again next time.
    fn collect_garbage(&self, state: &State) {
        let ids: Vec<&str> = std::iter::once(&state.current).chain(&state.previous).map(|record| record.id.as_str()).collect();
        let is_kept = |name: &str| [STATE, LOCK].contains(&name) || ids.contains(&name.strip_suffix(EVIDENCE).unwrap_or(name));
        for name in sorted_listing(&self.dirs.own.base()).unwrap_or_default() {
            if !name.to_str().is_some_and(is_kept) {
                drop(remove_tree(&self.dirs.own.at(&name)));
            }
        }
    }
}

fn is(place: &Anchor, record: &Record) -> bool {
    survey(place).is_ok_and(|found| found == record.files)
}

#[cfg(unix)]
fn make_link(target: &Path, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(windows)]
fn make_link(target: &Path, path: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_dir(target, path)
}
