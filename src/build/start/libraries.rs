//! The loader of a dynamic program, its libraries and their versions, as the loader in the image would find them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::cache;
use super::look::{Look, name_of};
use super::root::LayerPath;
use super::{Command, Lack, Root, Started};
use crate::build::inspect::bundle::multiarch;
use crate::build::inspect::dynamic::Dynamic;
use plugin_oci::failure::Error;
use plugin_oci::layers::tar::shown;

/// A file that a loader would try: its path, the path behind links, and its place.
type Candidate = (String, String, LayerPath);

/// Steps from a program to the last library, and libraries.
const ROUNDS: usize = 64;
const LIBRARIES: usize = 256;
/// Lacks that are told one by one.
const TOLD: usize = 8;
/// Directories that one file, or the settings, may name.
const DIRECTORIES: usize = 64;
/// Bytes of the directories that a file hands on.
const HANDED: usize = 32 << 10;

pub(super) struct Walk<'a, 'b> {
    root: &'a mut Root<'b>,
    started: &'a mut Started,
    architecture: &'a str,
    /// Directories of `LD_LIBRARY_PATH`.
    environment: Vec<String>,
    /// The cache of glibc's loader, and whether its byte order is the little one.
    cache: Option<Arc<[u8]>>,
    is_little: bool,
    /// Whether the loader is musl's.
    is_musl: bool,
    /// Directories of the settings, or the usual ones.
    system: Vec<String>,
    loaded: BTreeMap<String, Arc<Dynamic>>,
}

/// A file whose needs are to be found.
struct Asker {
    path: String,
    file: Arc<Dynamic>,
    /// `DT_RPATH` of itself and of those that led to it; to musl `DT_RUNPATH` is the same.
    rpath: Vec<String>,
}

impl<'a, 'b> Walk<'a, 'b> {
    pub(super) fn new(root: &'a mut Root<'b>, command: &Command, architecture: &'a str, started: &'a mut Started) -> Self {
        let environment = command.variable("LD_LIBRARY_PATH").unwrap_or_default();
        let environment = environment.split([':', ';']).filter(|path| path.starts_with('/')).map(str::to_owned).collect();
        let (system, loaded) = (Vec::new(), BTreeMap::new());
        Self { root, started, architecture, environment, cache: None, is_little: true, is_musl: false, system, loaded }
    }

    /// Finds everything for a program at its real path.
    pub(super) fn program(mut self, path: &str, program: &Arc<Dynamic>) -> Result<(), Error> {
        let Some(interpreter) = &program.interpreter else { return Ok(()) };
        let name = name_of(interpreter).to_owned();
        if self.root.find(interpreter).is_none() {
            self.root.learn([name.clone()])?;
        }
        let found = self.root.find(interpreter);
        if let Some((_, place)) = &found {
            self.root.look([place.clone()])?;
        }
        let loader = found.and_then(|(real, place)| match self.root.seen(&place) {
            Look::Elf(loader) if loader.machine == program.machine => Some((real, Arc::clone(loader))),
            _ => None,
        });
        let Some((real, loader)) = loader else {
            let told = shown(interpreter.as_bytes());
            let message = format!("it has no loader {told}, which /{path} needs: {}", self.root.whereabouts(&name));
            self.started.lacks.push(Lack { rule: "start-loader", message });
            return Ok(());
        };
        if let Some(mode) = self.root.not_executable(&real) {
            let told = shown(interpreter.as_bytes());
            let message = format!("its loader {told}, which /{path} needs, cannot be executed: its mode is {mode:04o}");
            self.started.lacks.push(Lack { rule: "start-loader", message });
        }
        self.is_musl = name.starts_with("ld-musl-");
        self.is_little = loader.machine.1 == 1;
        self.settings(interpreter, &real);
        self.loaded.insert(name, loader);
        self.started.loader = Some(real);
        self.needs(Asker { path: path.to_owned(), file: Arc::clone(program), rpath: Vec::new() })
    }

    /// The needs of a file and of what it needs, step by step: the files of one step are looked into together.
    fn needs(&mut self, program: Asker) -> Result<(), Error> {
        let mut asked = vec![program];
        let mut all = Vec::new();
        let mut missing = BTreeSet::new();
        for _ in 0..ROUNDS {
            let mut wanted: BTreeMap<String, (usize, Vec<Candidate>)> = BTreeMap::new();
            for (number, asker) in asked.iter_mut().enumerate() {
                let counts = asker.file.runpath.is_empty();
                let own = if self.is_musl && !counts { &asker.file.runpath } else { &asker.file.rpath };
                let own = self.expanded(own, &asker.path);
                self.started.has_fixed_rpath |= counts && asker.file.rpath.iter().any(|path| !path.starts_with('$'));
                asker.rpath.splice(0..0, own);
                asker.rpath = bounded(std::mem::take(&mut asker.rpath));
                for name in &asker.file.needed {
                    let is_own = self.is_musl && is_musls_own(name);
                    if !is_own && !self.loaded.contains_key(name) && !missing.contains(name) && !wanted.contains_key(name) {
                        if wanted.len() + self.loaded.len() + missing.len() > LIBRARIES {
                            return Err(Root::too_much());
                        }
                        wanted.insert(name.clone(), (number, self.candidates(name, asker)));
                    }
                }
            }
            // A library may have any name.
            let absent = wanted.iter().filter(|(_, (_, candidates))| candidates.is_empty());
            self.root.learn(absent.map(|(name, _)| name_of(name).to_owned()).collect::<Vec<_>>())?;
            for (name, (number, candidates)) in wanted.iter_mut().filter(|(_, (_, candidates))| candidates.is_empty()) {
                *candidates = self.candidates(name, &asked[*number]);
            }
            let places = wanted.values().flat_map(|(_, candidates)| candidates.iter().map(|(_, _, place)| place.clone()));
            self.root.look(places.collect::<Vec<_>>())?;
            let mut next = Vec::new();
            for (name, (number, candidates)) in wanted {
                let asker = &asked[number];
                // Only what is for another machine is passed over.
                let is_passed =
                    |place: &LayerPath| matches!(self.root.seen(place), Look::Elf(other) if other.machine != asker.file.machine);
                let first = candidates.first().map(|(path, ..)| shown(path.as_bytes()));
                let found = candidates.into_iter().find(|(_, _, place)| self.is_musl || !is_passed(place));
                let found = found.and_then(|(path, real, place)| match self.root.seen(&place) {
                    Look::Elf(library) if library.machine == asker.file.machine => Some((path, real, Arc::clone(library))),
                    _ => None,
                });
                let Some((path, real, file)) = found else {
                    let told = shown(name.as_bytes());
                    let whereabouts = match first {
                        Some(path) => format!("{path} is none for this machine"),
                        None => self.root.whereabouts(name_of(&name)),
                    };
                    let message = format!(
                        "it has no library {told}, which /{} needs: {whereabouts}",
                        shown(asker.path.trim_start_matches('/').as_bytes())
                    );
                    self.lack("start-library", message);
                    missing.insert(name);
                    continue;
                };
                self.started.libraries.push((name.clone(), real));
                self.loaded.insert(name, Arc::clone(&file));
                next.push(Asker { path, file, rpath: asker.rpath.clone() });
            }
            all.extend(asked.into_iter().map(|asker| (asker.path, asker.file)));
            if next.is_empty() {
                break;
            }
            asked = next;
        }
        if !self.is_musl {
            self.versions(&all);
        }
        Ok(())
    }

    /// Holds the versions that files ask for against those that the libraries have.
    fn versions(&mut self, files: &[(String, Arc<Dynamic>)]) {
        let mut told = BTreeSet::new();
        for (path, file) in files {
            for (library, version) in &file.wants {
                let Some(found) = self.loaded.get(library) else { continue };
                if found.has.is_empty() || found.has.contains(version) || !told.insert((library, version)) {
                    continue;
                }
                let family = version.split_once('_').map_or(version.as_str(), |(family, _)| family);
                let newest = found.has.iter().filter_map(|had| Some((numbers(had, family)?, had))).max();
                let newest = newest.map(|(_, had)| format!("; the newest that it has is {}", shown(had.as_bytes())));
                let message = format!(
                    "its {} has no version {}, which /{} needs{}",
                    shown(library.as_bytes()),
                    shown(version.as_bytes()),
                    shown(path.trim_start_matches('/').as_bytes()),
                    newest.unwrap_or_default(),
                );
                self.lack("start-version", message);
            }
        }
    }

    fn lack(&mut self, rule: &'static str, message: String) {
        if self.started.lacks.len() < TOLD {
            self.started.lacks.push(Lack { rule, message });
        }
    }

    /// Files by that name, in the order of the search: path, real path, place.
    fn candidates(&self, name: &str, asker: &Asker) -> Vec<Candidate> {
        let found = |path: String| self.root.find(&path).map(|(real, place)| (path, real, place));
        if name.contains('/') {
            return found(name.to_owned()).into_iter().collect();
        }
        let in_folders = |folders: &[String]| folders.iter().map(|folder| format!("{folder}/{name}")).collect::<Vec<_>>();
        if self.is_musl {
            // It takes the first that is there, whatever that is.
            let folders = [self.environment.as_slice(), &asker.rpath, &self.system];
            return folders.into_iter().flat_map(in_folders).find_map(found).into_iter().collect();
        }
        let runpath = self.expanded(&asker.file.runpath, &asker.path);
        let rpath = if runpath.is_empty() { asker.rpath.as_slice() } else { &[] };
        let first = [rpath, &self.environment, &runpath].into_iter().flat_map(in_folders);
        let cached = self.cache.as_ref().map(|cache| cache::paths(cache, self.is_little, name)).unwrap_or_default();
        let mut seen = BTreeSet::new();
        let all = first.chain(cached).chain(in_folders(&self.system));
        all.filter_map(found).filter(|(_, _, place)| seen.insert(place.clone())).take(4).collect()
    }

    /// Directories with what the loader puts for its words.
    fn expanded(&self, paths: &[String], asker: &str) -> Vec<String> {
        let real = self.root.find(asker).map_or_else(|| asker.to_owned(), |(real, _)| real);
        let folder = |path: &str| {
            path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("/{}", folder.trim_start_matches('/')))
        };
        let origins = BTreeSet::from([folder(asker), folder(&real)]);
        let mut libs = vec!["lib64".to_owned(), "lib".to_owned()];
        libs.extend(multiarch(self.architecture).map(|name| format!("lib/{name}")));
        let mut expanded = Vec::new();
        for path in paths.iter().take(DIRECTORIES) {
            for origin in &origins {
                let path = path.replace("${ORIGIN}", origin).replace("$ORIGIN", origin);
                if path.contains("$LIB") || path.contains("${LIB}") {
                    expanded.extend(libs.iter().map(|lib| path.replace("${LIB}", lib).replace("$LIB", lib)));
                } else {
                    expanded.push(path);
                }
            }
        }
        bounded(expanded)
    }

    /// Reads what the image tells its loader, and knows what that has built in.
    fn settings(&mut self, interpreter: &str, real: &str) {
        if self.is_musl {
            // Beside the loader's directory, by the name that the program has for it.
            let machine = name_of(interpreter).trim_start_matches("ld-musl-").split('.').next().unwrap_or_default();
            let prefix = interpreter.rsplitn(3, '/').nth(2).unwrap_or_default();
            let content = self.root.content(&format!("{prefix}/etc/ld-musl-{machine}.path"));
            let list = content.as_ref().map_or("/lib:/usr/local/lib:/usr/lib".into(), |content| String::from_utf8_lossy(content));
            self.system =
                list.split([':', '\n']).filter(|path| path.starts_with('/')).take(DIRECTORIES).map(str::to_owned).collect();
            return;
        }
        self.cache = self.root.content("/etc/ld.so.cache");
        let own = real.rsplit_once('/').map_or("/", |(folder, _)| folder).to_owned();
        let of_machine =
            multiarch(self.architecture).into_iter().flat_map(|name| [format!("/lib/{name}"), format!("/usr/lib/{name}")]);
        let usual = ["/lib64", "/usr/lib64", "/lib", "/usr/lib", "/lib32", "/usr/lib32", "/libx32", "/usr/libx32"];
        self.system = of_machine.chain(usual.map(str::to_owned)).chain([own]).collect();
    }
}

/// Libraries that musl's loader is itself, by the names that others have for them.
fn is_musls_own(name: &str) -> bool {
    let own = ["c", "pthread", "rt", "m", "dl", "util", "xnet"];
    let part = name.strip_prefix("lib").and_then(|name| name.split_once('.'));
    part.is_some_and(|(part, _)| own.contains(&part))
}

/// As many directories as are looked into.
fn bounded(directories: Vec<String>) -> Vec<String> {
    let mut left = HANDED;
    let mut fits = |path: &String| {
        left = left.saturating_sub(path.len());
        left > 0
    };
    directories.into_iter().take(DIRECTORIES).take_while(|path| fits(path)).collect()
}

/// The numbers of a version of a family: `GLIBC_2.36` of `GLIBC`.
fn numbers(version: &str, family: &str) -> Option<Vec<u32>> {
    version.strip_prefix(family)?.strip_prefix('_')?.split('.').map(|number| number.parse().ok()).collect()
}
