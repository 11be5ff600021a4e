//! Installing: a plugin's files where a host loads them from the file system.
//!
//! The image's root becomes `<PLUGINS_DIR>/<name>`. An image comes from anywhere, and what it holds runs in the host's own
//! file system: the strict rules of [`plugin_oci::layers::unpack`] apply, and the name, which becomes a path, is checked wherever it
//! comes from. The same image again changes nothing, unless what lies there was changed: then it is made anew.

mod error;
mod evidence;
mod laid;
mod place;
pub mod survey;

use plugin_oci::deltas::{self, Rebuilt};
use plugin_oci::documents::Descriptor;
use plugin_oci::failure::Error;
use plugin_oci::finding::Finding;
use plugin_oci::interrupt::on_interrupt;
use plugin_oci::layers::unpack::{ExtractOptions, Extraction, Limits, Rules, remove_tree};
use plugin_oci::listing::OnPlatform;
use plugin_oci::progress::Progress;
use plugin_oci::stores::{
    PlatformImage, Selector, Source, platform_images, platform_of, read_document, resolve_for, select_platform,
};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::platform::Platform;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::unpack::{ImageLayer, apply, layers_of, warn_of_dropped};
use crate::build::kinds::Kind;
use crate::build::plan::annotations::{KIND_KEY, NAME_KEY};
pub use error::InstallError;
pub use evidence::Evidence;
use laid::{Laid, LaidBases};
use place::{Dirs, Identity, LockedDirs, Record, State, installed_names, link_target};
use survey::{Item, Survey, compare, survey};

/// What to install, and where.
#[derive(Clone, Debug)]
pub struct InstallOptions {
    /// Which image of the source.
    pub selector: Selector,
    /// The directory that the host reads.
    pub plugins_dir: PathBuf,
    /// The plugin's name; `None` takes the image's own.
    pub name: Option<String>,
    /// Which platforms; none of them means all for the Cosmo Router's kind and for images of unknown kind, which keep
    /// platforms apart by file name, and the host's for others.
    pub platforms: Vec<Platform>,
    /// Place the directory itself instead of a link to it.
    pub copy: bool,
    /// Upper bounds.
    pub limits: Limits,
    /// Take layers as deltas of those that are installed, where the source offers them.
    pub patched: bool,
    /// The keys that have signed it, of those that it was judged by; `None` where nobody judged.
    pub signed_by: Option<Vec<Digest>>,
}

impl InstallOptions {
    /// An image under its own name, judged by nobody, taken whole and linked to.
    pub fn new(selector: Selector, plugins_dir: PathBuf) -> Self {
        let (name, platforms, limits) = (None, Vec::new(), Limits::default());
        Self { selector, plugins_dir, name, platforms, copy: false, limits, patched: false, signed_by: None }
    }
}

/// What is installed now.
#[derive(Clone, Debug, Serialize)]
pub struct Installed {
    /// The plugin's name.
    pub name: String,
    /// What the host loads.
    pub path: PathBuf,
    /// What the image is called.
    #[serde(flatten)]
    pub image: Identity,
    /// Digest of what of it is installed: the one platform's manifest, or the image's own.
    pub manifest: Digest,
    /// Where it came from.
    pub source: String,
    /// The keys that it was judged by and that have signed it, each by the SHA-256 of its DER.
    pub signed_by: Vec<Digest>,
    /// The platforms that are in it.
    pub platforms: Vec<OnPlatform>,
    /// Whether anything changed.
    pub changed: bool,
    /// Whether its files are there: what is no longer kept is only remembered.
    pub is_kept: bool,
    /// What was there before, and is what `--rollback` brings back.
    pub previous: Option<Digest>,
    /// How people call what was there before.
    #[serde(skip)]
    pub previous_called: Option<String>,
}

/// What `--check` looks at.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// The directory that the host reads.
    pub plugins_dir: PathBuf,
    /// Which plugin; `None` means all.
    pub name: Option<String>,
    /// The digest that must be installed, where one is known.
    pub expected: Option<Digest>,
}

/// A plugin that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// The plugin's name.
    pub name: String,
    /// What the host loads.
    pub path: PathBuf,
    /// Digest of the image that was installed, as `build` and `push` print it.
    pub digest: Digest,
    /// Digest of what of it is installed: the one platform's manifest, or the image's own.
    pub manifest: Digest,
    /// Where it came from.
    pub source: String,
    /// What is not as it was installed.
    pub findings: Vec<Finding>,
    /// What its image is judged by.
    #[serde(skip)]
    pub evidence: Evidence,
}

/// Installs an image.
pub fn install(source: &dyn Source, options: &InstallOptions, progress: &dyn Progress) -> Result<Installed, Error> {
    let chosen = choose(source, options)?;
    let place = LockedDirs::open(&options.plugins_dir, &chosen.name, progress)?;
    match install_at(source, &chosen, &place, options, progress) {
        Ok(installed) => Ok(installed),
        Err(error) => {
            place.abandon();
            Err(error)
        }
    }
}

fn install_at(
    source: &dyn Source,
    chosen: &Chosen,
    place: &LockedDirs,
    options: &InstallOptions,
    progress: &dyn Progress,
) -> Result<Installed, Error> {
    let before = place.state()?;
    place.check_replaceable(before.as_ref())?;
    let known = before.as_ref().and_then(|state| {
        let records = std::iter::once(&state.current).chain(&state.previous);
        records.filter(|record| chosen.is(record)).find(|record| place.intact(state, record).is_some())
    });
    let current = match known {
        // The same files may be installed by another tag, or from elsewhere.
        Some(record) => {
            let known = if *record.root() == chosen.image.digest { record.signed_by.clone() } else { Vec::new() };
            let signed_by = options.signed_by.clone().unwrap_or(known);
            Record { image: Some(chosen.image.clone()), source: source.name(), signed_by, ..record.clone() }
        }
        None => patched(source, chosen, place, before.as_ref(), options, progress)?,
    };
    if options.signed_by.is_some() {
        place.keep_evidence(source, &chosen.root, &current)?;
    } else if place.dirs().evidence(&current).read().is_none() {
        // Whoever asked for nothing now may do without.
        drop(place.keep_evidence(source, &chosen.root, &current));
    }
    // What was current stays for a rollback, unless it is the same image (changed, or placed otherwise).
    let previous = before.as_ref().and_then(|state| {
        let same = state.current.digest == current.digest && state.current.platforms == current.platforms;
        if same { state.previous.clone() } else { Some(state.current.clone()) }
    });
    let previous = previous.filter(|previous| previous.id != current.id);
    let earlier = before.as_ref().map_or_else(Vec::new, |state| state.without([Some(&current), previous.as_ref()]));
    let state = State { schema: 1, copied: options.copy, current, previous, earlier };
    let ids = |state: &State| (state.current.id.clone(), state.copied);
    let changed = before.as_ref().map(ids) != Some(ids(&state)) || !is_visible(place, &chosen.name, &state);
    if changed || before.as_ref() != Some(&state) {
        place.place(&state)?;
    }
    Ok(report(place, chosen.name.clone(), &state, changed))
}

/// Brings back what was installed before; doing it twice changes nothing.
pub fn rollback(plugins_dir: &Path, name: &str, progress: &dyn Progress) -> Result<Installed, Error> {
    let (place, before) = locked(plugins_dir, name, progress)?;
    let previous = before.previous.clone().filter(|record| place.intact(&before, record).is_some());
    let previous = previous.ok_or_else(|| InstallError::NoPrevious { name: name.to_owned() })?;
    let state = State { current: previous, previous: Some(before.current), ..before };
    place.place(&state)?;
    Ok(report(&place, name.to_owned(), &state, true))
}

/// What is installed under a name, locked to be changed. Nothing is made where nothing is.
fn locked(plugins_dir: &Path, name: &str, progress: &dyn Progress) -> Result<(LockedDirs, State), Error> {
    check_name(name)?;
    let absent = || InstallError::Absent { name: name.to_owned(), plugins_dir: plugins_dir.to_owned() };
    Dirs::find(plugins_dir, name)?.ok_or_else(absent)?.state()?.ok_or_else(absent)?;
    let place = LockedDirs::open(plugins_dir, name, progress)?;
    let state = place.state()?.ok_or_else(absent)?;
    place.check_replaceable(Some(&state))?;
    Ok((place, state))
}

/// Everything that is installed in a directory, sorted by name; with `history` each is followed by what was there before.
pub fn list(plugins_dir: &Path, history: bool) -> Result<Vec<Installed>, Error> {
    let mut listed = Vec::new();
    for name in installed_names(plugins_dir)? {
        let Some(dirs) = Dirs::find(plugins_dir, &name)? else { continue };
        let Some(state) = dirs.state()? else { continue };
        listed.push(describe(&dirs, name.clone(), &state.current, state.previous.as_ref(), false));
        for record in state.previous.iter().chain(&state.earlier).filter(|_| history) {
            let is_kept = state.previous.as_ref() == Some(record);
            listed.push(Installed { is_kept, ..describe(&dirs, name.clone(), record, None, false) });
        }
    }
    Ok(listed)
}

/// The name of the only plugin that is installed.
pub fn only_name(plugins_dir: &Path) -> Result<String, Error> {
    let mut names = installed_names(plugins_dir)?;
    match names.len() {
        0 => Err(InstallError::Empty { plugins_dir: plugins_dir.to_owned() }.into()),
        1 => Ok(names.remove(0)),
        _ => Err(InstallError::Several { names }.into()),
    }
}

/// Removes a plugin, and what it was before; what was removed.
pub fn uninstall(plugins_dir: &Path, name: &str, progress: &dyn Progress) -> Result<Installed, Error> {
    let (place, state) = locked(plugins_dir, name, progress)?;
    let removed = report(&place, name.to_owned(), &state, true);
    place.remove(&state)?;
    Ok(removed)
}

/// Compares what lies there with what was installed.
pub fn check(options: &CheckOptions) -> Result<Vec<Checked>, Error> {
    let names = match &options.name {
        Some(name) => vec![name.clone()],
        None => installed_names(&options.plugins_dir)?,
    };
    if names.is_empty() {
        return Err(InstallError::Empty { plugins_dir: options.plugins_dir.clone() }.into());
    }
    names.into_iter().map(|name| check_one(options, name)).collect()
}

fn check_one(options: &CheckOptions, name: String) -> Result<Checked, Error> {
    check_name(&name)?;
    let plugins_dir = &options.plugins_dir;
    let absent = || InstallError::Absent { name: name.clone(), plugins_dir: plugins_dir.clone() };
    let dirs = Dirs::find(plugins_dir, &name)?.ok_or_else(absent)?;
    let state = dirs.state()?.ok_or_else(absent)?;
    let path = dirs.shown();
    let object = path.display().to_string();
    let mut findings = Vec::new();
    if !state.copied {
        let wanted = link_target(&name, &state.current.id);
        match dirs.link() {
            Ok(target) if target == wanted => {}
            Ok(target) => {
                let message = format!("it points to `{}` instead of `{}`", target.display(), wanted.display());
                findings.push(Finding::new(&object, "changed-link", message));
            }
            Err(_) => findings.push(Finding::new(&object, "missing-link", "the host finds no link here")),
        }
    }
    if let Ok(place) = dirs.installation(&state, &state.current) {
        findings.extend(compare(&object, &state.current.files, &survey(&place)?));
    } else {
        let place = dirs.location(&state, &state.current).display().to_string();
        findings.push(Finding::new(place, "missing-file", "the installed directory is gone"));
    }
    let is_it = |expected: &&Digest| [&state.current.digest, state.current.root()].contains(expected);
    if let Some(expected) = options.expected.as_ref().filter(|expected| !is_it(expected)) {
        let message = format!("{} is installed, not {expected}", state.current.root());
        findings.push(Finding::new(&object, "other-image", message));
    }
    let evidence = dirs.evidence(&state.current);
    let digest = state.current.root().clone();
    let Record { digest: manifest, source, .. } = state.current;
    Ok(Checked { name, path, digest, manifest, source, findings, evidence })
}

/// What of an image is installed, and as what.
struct Chosen {
    name: String,
    digest: Digest,
    root: Descriptor,
    image: Identity,
    kind: Option<String>,
    /// Told apart from another choice of the same image.
    suffix: String,
    images: Vec<(Platform, PlatformImage)>,
}

impl Chosen {
    fn platforms(&self) -> Vec<String> {
        self.images.iter().map(|(platform, _)| platform.to_string()).collect()
    }

    fn is(&self, record: &Record) -> bool {
        record.digest == self.digest && record.platforms == self.platforms()
    }
}

fn choose(source: &dyn Source, options: &InstallOptions) -> Result<Chosen, Error> {
    let platform = match options.platforms.as_slice() {
        [] => Some(Platform::host()),
        [only] => Some(only.clone()),
        _ => None,
    };
    let root = resolve_for(source, &options.selector, platform.as_ref())?;
    let annotations = read_document(source, &root)?.0.annotations().clone();
    let name = options.name.clone().or_else(|| annotations.get(NAME_KEY).cloned());
    let name = name.ok_or_else(|| InstallError::NoName { image: source.name() })?;
    check_name(&name)?;
    let kind = annotations.get(KIND_KEY).cloned();
    let apart = kind.as_deref().is_none_or(|kind| kind == Kind::CosmoRouter.as_str());
    let mut all = Vec::new();
    for image in platform_images(source, &root)? {
        let platform = platform_of(source, &image)?.unwrap_or_else(Platform::host);
        // Provenance that other tools put beside images has a platform called unknown.
        if platform.os != "unknown" {
            all.push((platform, image));
        }
    }
    let whole = all.len();
    let images = if !options.platforms.is_empty() {
        let select = |wanted: &Platform| Ok((wanted.clone(), select_platform(source, &root, wanted)?));
        options.platforms.iter().map(select).collect::<Result<_, Error>>()?
    } else if apart || whole == 1 {
        all
    } else {
        vec![(Platform::host(), select_platform(source, &root, &Platform::host())?)]
    };
    let annotation = |key: &str| annotations.get(key).cloned();
    let image = Identity {
        digest: root.digest.clone(),
        tag: match &options.selector {
            Selector::Tag(tag) => Some(tag.clone()),
            Selector::Only | Selector::Digest(_) => root.ref_name().map(str::to_owned),
        },
        version: annotation("org.opencontainers.image.version"),
        licenses: annotation("org.opencontainers.image.licenses"),
    };
    let digest = match &images[..] {
        [(_, image)] => image.descriptor.digest.clone(),
        _ => root.digest.clone(),
    };
    let mut chosen = Chosen { name, digest, root, image, kind, suffix: String::new(), images };
    if chosen.images.len() != whole && chosen.images.len() > 1 {
        chosen.suffix = format!("+{}", chosen.platforms().join("+").replace('/', "_"));
    }
    Ok(chosen)
}

/// Lets through what can be one directory beside others, and no hidden one.
fn check_name(name: &str) -> Result<(), InstallError> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if plain && name.len() <= 128 && name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        Ok(())
    } else {
        Err(InstallError::BadName { name: name.to_owned() })
    }
}

/// Unpacks an image, with layers that are made of those that are installed where the source has deltas.
fn patched(
    source: &dyn Source,
    chosen: &Chosen,
    place: &LockedDirs,
    before: Option<&State>,
    options: &InstallOptions,
    progress: &dyn Progress,
) -> Result<Record, Error> {
    let before = before.filter(|state| options.patched && !state.current.layers.is_empty());
    let Some(state) = before else { return unpack_into(source, chosen, place, options, progress) };
    let (root, record) = (place.dirs().location(state, &state.current), &state.current);
    let bases = LaidBases { root, layers: &record.layers, files: &record.files };
    let deltas = deltas::offered(source, &chosen.image.digest, progress);
    let (dir, limits) = (place.in_store(""), options.limits.clone());
    unpack_into(&Rebuilt { source, bases: &bases, deltas, dir, limits, progress }, chosen, place, options, progress)
}

fn unpack_into(
    source: &dyn Source,
    chosen: &Chosen,
    place: &LockedDirs,
    options: &InstallOptions,
    progress: &dyn Progress,
) -> Result<Record, Error> {
    let id = place.fresh_id(&chosen.digest, &chosen.suffix);
    let target = place.in_store(&id);
    // Nothing records it before this function is done.
    let _cleanup = {
        let target = target.clone();
        on_interrupt(move || drop(remove_tree(&target)))
    };
    let extract = ExtractOptions { limits: options.limits.clone(), rules: Rules::Strict };
    let mut extraction = Extraction::begin(&target, extract)?;
    let mut applied: Vec<ImageLayer> = Vec::new();
    let mut layers = Vec::new();
    for (_, image) in &chosen.images {
        let before = if applied.is_empty() { Survey::new() } else { place.survey_staged(&extraction)? };
        for layer in layers_of(source, image)? {
            // What platforms share is applied once.
            if !applied.contains(&layer) {
                let diff_id = layer.diff_id.clone().unwrap_or_else(|| layer.descriptor.digest.clone());
                let (mut laid, mut ours) = (Laid { diff_id, time: 0, paths: Vec::new() }, true);
                extraction = apply(source, &layer, extraction, &mut |entry| ours &= laid.note(entry), progress)?;
                layers.extend(Some(laid).filter(|_| ours));
                applied.push(layer);
            }
        }
        if !before.is_empty() {
            agree(&before, &place.survey_staged(&extraction)?)?;
        }
    }
    warn_of_dropped(&extraction.commit()?, progress);
    let files = place.survey(&id).inspect_err(|_| drop(remove_tree(&target)))?;
    warn_of_missing_program(chosen, &files, progress);
    Ok(Record {
        id,
        digest: chosen.digest.clone(),
        source: source.name(),
        platforms: chosen.platforms(),
        image: Some(chosen.image.clone()),
        signed_by: options.signed_by.clone().unwrap_or_default(),
        files,
        layers,
    })
}

/// Refuses a platform that changed what another one needs. Directories are not final yet, and hold no content.
fn agree(before: &Survey, after: &Survey) -> Result<(), InstallError> {
    let lost = before.iter().find(|(path, item)| !matches!(item, Item::Directory { .. }) && after.get(*path) != Some(*item));
    lost.map_or(Ok(()), |(path, _)| Err(InstallError::Disagree { path: path.clone() }))
}

/// The Cosmo Router starts `bin/<os>_<arch>` and nothing else.
fn warn_of_missing_program(chosen: &Chosen, files: &Survey, progress: &dyn Progress) {
    if chosen.kind.as_deref().is_some_and(|kind| kind != Kind::CosmoRouter.as_str()) {
        return;
    }
    for (platform, _) in &chosen.images {
        let path = format!("bin/{}_{}", platform.os, platform.architecture);
        let starts =
            matches!(files.get(&path), Some(Item::File { mode, size, .. }) if *size > 0 && (mode & 0o111 != 0 || cfg!(windows)));
        if !starts {
            progress.warn(format!("the image has no program `{path}`, which is what the Cosmo Router starts"), None);
        }
    }
}

fn is_visible(place: &LockedDirs, name: &str, state: &State) -> bool {
    if state.copied {
        return place.intact(state, &state.current) == Some(place.dirs().shown());
    }
    place.dirs().link().is_ok_and(|target| target == link_target(name, &state.current.id))
}

fn report(place: &LockedDirs, name: String, state: &State, changed: bool) -> Installed {
    describe(place.dirs(), name, &state.current, state.previous.as_ref(), changed)
}

fn describe(dirs: &Dirs, name: String, record: &Record, previous: Option<&Record>, changed: bool) -> Installed {
    let shown = dirs.shown();
    Installed {
        name,
        path: shown
            .parent()
            .and_then(|dir| dir.canonicalize().ok())
            .zip(shown.file_name())
            .map_or(shown.clone(), |(dir, name)| dir.join(name)),
        image: record.identity(),
        manifest: record.digest.clone(),
        source: record.source.clone(),
        signed_by: record.signed_by.clone(),
        is_kept: true,
        platforms: record.platforms.iter().map(|platform| OnPlatform { platform: platform.clone() }).collect(),
        changed,
        previous: previous.map(|record| record.root().clone()),
        previous_called: previous.map(|record| record.identity().called()),
    }
}
