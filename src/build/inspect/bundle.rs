//! Finds exactly the loader and libraries that a dynamically linked program needs, so that it can start in an image that
//! has nothing else.
//!
//! Libraries are sought as glibc's loader seeks them (ld.so(8)): the runpath of the file that asks, or else its rpath and
//! those of the files that led to it; then the directories of `/etc/ld.so.conf`; then the usual ones. `LD_LIBRARY_PATH`
//! does not count: it is no property of the program. A file for another machine is passed over, as the loader does.
//!
//! In the image the loader lies where the program names it. All libraries lie in the directory where the C library was
//! found, because the loader has that one built in; without a cache it would find no others. What a program opens by
//! itself at run time (`dlopen`) cannot be seen here, except for glibc's name service: who
//! calls `getaddrinfo` and its kin gets the modules `files` and `dns`, and an `nsswitch.conf` that names them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use object::{Object as _, ObjectSymbol as _};

use super::{Executable, ExecutableError, dynamic, inspect};
use plugin_oci::failure::Failure;

/// A file that travels with a program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct BundledFile {
    /// Its path from the image root.
    pub path: String,
    /// The file on disk.
    pub source: PathBuf,
    /// Permission bits.
    pub mode: u32,
}

/// Where the system keeps libraries.
#[derive(Clone, Debug, Default)]
pub struct LibraryPaths {
    /// The directory that stands for `/`.
    pub root: PathBuf,
    /// Directories from `/etc/ld.so.conf`, in order.
    pub configured: Vec<PathBuf>,
}

impl LibraryPaths {
    /// The running system's.
    pub fn of_system() -> Self {
        Self::of_root(Path::new("/"))
    }

    /// Those of a system that lies below `root`.
    pub fn of_root(root: &Path) -> Self {
        let mut configured = Vec::new();
        configuration(root, Path::new("/etc/ld.so.conf"), 0, &mut configured);
        Self { root: root.to_owned(), configured }
    }

    /// Every directory, in the order of the search.
    fn directories(&self, architecture: &str) -> Vec<PathBuf> {
        let mut directories = self.configured.clone();
        let multiarch = multiarch(architecture);
        for base in ["/lib", "/usr/lib"] {
            directories.extend(multiarch.map(|name| Path::new(base).join(name)));
        }
        directories.extend(["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(PathBuf::from));
        // Where distributions keep the libraries of their cross compilers.
        directories.extend(multiarch.map(|name| Path::new("/usr").join(name).join("lib")));
        directories
    }

    /// A path of the system as a path of this machine.
    fn on_disk(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }
}

/// Reads one `ld.so.conf` and what it includes.
fn configuration(root: &Path, file: &Path, depth: usize, directories: &mut Vec<PathBuf>) {
    let on_disk = root.join(file.strip_prefix("/").unwrap_or(file));
    let Ok(text) = std::fs::read_to_string(on_disk) else { return };
    for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
        match line.strip_prefix("include ") {
            Some(pattern) if depth < 8 => {
                for included in matching(root, Path::new(pattern.trim())) {
                    configuration(root, &included, depth + 1, directories);
                }
            }
            _ if line.starts_with('/') => directories.push(PathBuf::from(line)),
            _ => {}
        }
    }
}

/// The files that `DIR/PATTERN` means, sorted.
fn matching(root: &Path, pattern: &Path) -> Vec<PathBuf> {
    let (Some(directory), Some(name)) = (pattern.parent(), pattern.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let Ok(glob) = globset::Glob::new(name) else { return Vec::new() };
    let matcher = glob.compile_matcher();
    let on_disk = root.join(directory.strip_prefix("/").unwrap_or(directory));
    let entries = walkdir::WalkDir::new(on_disk).min_depth(1).max_depth(1).sort_by_file_name();
    let names = entries.into_iter().flatten().map(|entry| entry.file_name().to_owned());
    names.filter(|name| matcher.is_match(name)).map(|name| directory.join(name)).collect()
}

/// Debian's directory name for a machine.
pub fn multiarch(architecture: &str) -> Option<&'static str> {
    Some(match architecture {
        "amd64" => "x86_64-linux-gnu",
        "arm64" => "aarch64-linux-gnu",
        "386" => "i386-linux-gnu",
        "arm" => "arm-linux-gnueabihf",
        "ppc64le" => "powerpc64le-linux-gnu",
        "riscv64" => "riscv64-linux-gnu",
        "s390x" => "s390x-linux-gnu",
        "loong64" => "loongarch64-linux-gnu",
        _ => return None,
    })
}

/// Everything that a program needs beside itself, sorted by path.
pub fn bundle(program: &Path, paths: &LibraryPaths) -> Result<Bundled, ExecutableError> {
    let executable = inspect(program)?;
    let mut search = Walk { paths, architecture: executable.architecture.clone(), found: BTreeMap::new(), home: None };
    let interpreter = executable.interpreter.clone();
    let loader = interpreter.as_deref().map(|path| search.loader(program, Path::new(path))).transpose()?;
    let loader_name =
        interpreter.as_deref().and_then(|path| Path::new(path).file_name()).map(|name| name.to_string_lossy().into_owned());
    search.needs_of(program, &executable, &[], loader_name.as_deref())?;

    let name_service = search.name_service(program)?;
    let home = search.home.unwrap_or_else(|| PathBuf::from("/lib"));
    let inside = |path: &Path| path.to_string_lossy().trim_start_matches('/').to_owned();
    let mut files: Vec<BundledFile> = loader.into_iter().collect();
    let libraries = search.found.into_iter();
    files.extend(libraries.map(|(name, source)| BundledFile { path: inside(&home.join(name)), source, mode: 0o755 }));
    files.sort();
    Ok(Bundled { files, name_service })
}

/// The files that travel with a program, and what they do not say.
#[derive(Clone, Debug, Default)]
pub struct Bundled {
    /// Sorted by path.
    pub files: Vec<BundledFile>,
    /// Whether the program looks up names, and which modules for that are not on this machine.
    pub name_service: Option<Vec<&'static str>>,
}

/// Where glibc reads which modules look names up, and what it is told where nothing else is packed.
pub const NSSWITCH: (&str, &str) =
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n");
/// The modules that it names.
const MODULES: [&str; 2] = ["libnss_files.so.2", "libnss_dns.so.2"];
/// What glibc looks up by such modules.
const LOOKUPS: [&str; 7] = ["getaddrinfo", "getnameinfo", "gethostby", "getpw", "getgr", "getserv", "initgroups"];

struct Walk<'a> {
    paths: &'a LibraryPaths,
    architecture: String,
    /// Name -> file.
    found: BTreeMap<String, PathBuf>,
    /// The directory in which the C library lies.
    home: Option<PathBuf>,
}

impl Walk<'_> {
    /// Finds the name service modules, where the program or a library looks names up; those that are not here. A glibc of 2.34
    /// or later has both in itself.
    fn name_service(&mut self, program: &Path) -> Result<Option<Vec<&'static str>>, ExecutableError> {
        let Some(libc) = self.found.get("libc.so.6").cloned() else { return Ok(None) };
        // Libraries of the C library's own look up for whoever calls them.
        let others = self.found.iter().filter(|(name, _)| !matches!(name.as_str(), "libc.so.6" | "libresolv.so.2"));
        let files: Vec<PathBuf> = std::iter::once(program.to_owned()).chain(others.map(|(_, path)| path.clone())).collect();
        let looks_up = |file: &PathBuf| imports(file).iter().any(|name| LOOKUPS.iter().any(|lookup| name.starts_with(lookup)));
        if !files.iter().any(looks_up) {
            return Ok(None);
        }
        let mut missing = Vec::new();
        for module in MODULES {
            match self.find(module, &[]) {
                Some((source, library)) => {
                    self.found.insert(module.to_owned(), source.clone());
                    self.needs_of(&source, &library, &[], None)?;
                }
                None => missing.push(module),
            }
        }
        let has_both = std::fs::File::open(&libc).and_then(|mut file| dynamic::read(&mut file));
        if has_both.is_ok_and(|found| found.is_some_and(|found| found.has.iter().any(|version| version == "GLIBC_2.34"))) {
            missing.clear();
        }
        Ok(Some(missing))
    }

    /// The loader, at the place where the program names it.
    fn loader(&self, program: &Path, named: &Path) -> Result<BundledFile, BundleError> {
        let beside =
            multiarch(&self.architecture).map(|name| Path::new("/usr").join(name).join(named.strip_prefix("/").unwrap_or(named)));
        let source = [Some(named.to_owned()), beside]
            .into_iter()
            .flatten()
            .map(|path| self.paths.on_disk(&path))
            // The program says which file, and any file could be named.
            .find(|path| path.is_file() && inspect(path).is_ok_and(|found| found.architecture == self.architecture));
        let source = source.ok_or_else(|| BundleError::Loader { program: program.to_owned(), loader: named.to_owned() })?;
        Ok(BundledFile { path: named.to_string_lossy().trim_start_matches('/').to_owned(), source, mode: 0o755 })
    }

    /// Finds what a file needs, and what that needs.
    fn needs_of(
        &mut self,
        file: &Path,
        executable: &Executable,
        inherited: &[PathBuf],
        loader: Option<&str>,
    ) -> Result<(), ExecutableError> {
        let origin = file.canonicalize().ok().and_then(|path| path.parent().map(Path::to_owned)).unwrap_or_default();
        let expand = |paths: &[String]| -> Vec<PathBuf> {
            let origin = origin.to_string_lossy();
            paths.iter().map(|path| PathBuf::from(path.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin))).collect()
        };
        let mut rpath = expand(&executable.search.rpath);
        rpath.extend(inherited.iter().cloned());
        let runpath = expand(&executable.search.runpath);
        let first = if executable.search.runpath.is_empty() { &rpath } else { &runpath };
        for name in &executable.needed {
            // The loader is loaded already, and is musl's C library besides.
            if Some(name.as_str()) == loader
                || self.found.contains_key(name)
                || loader.is_some_and(|loader| loader.starts_with("ld-musl") && name == "libc.so")
            {
                continue;
            }
            let (source, library) = self
                .find(name, first)
                .ok_or_else(|| ExecutableError::from(BundleError::Library { file: file.to_owned(), library: name.clone() }))?;
            self.found.insert(name.clone(), source.clone());
            self.needs_of(&source, &library, &rpath, loader)?;
        }
        Ok(())
    }

    /// The first file of that name for this machine.
    fn find(&mut self, name: &str, first: &[PathBuf]) -> Option<(PathBuf, Executable)> {
        let mut seen = BTreeSet::new();
        let own = first.iter().map(|directory| (directory.clone(), directory.clone()));
        let system =
            self.paths.directories(&self.architecture).into_iter().map(|directory| (self.paths.on_disk(&directory), directory));
        for (on_disk, directory) in own.chain(system) {
            let file = on_disk.join(name);
            if !seen.insert(file.clone()) || !file.is_file() {
                continue;
            }
            let Ok(library) = inspect(&file) else { continue };
            if library.architecture == self.architecture {
                if name.starts_with("libc.so") {
                    self.home = Some(home(directory, &self.architecture));
                }
                return Some((file, library));
            }
        }
        None
    }
}

/// The names that a file takes from others.
fn imports(path: &Path) -> Vec<String> {
    let Ok(file) = std::fs::File::open(path) else { return Vec::new() };
    let cache = object::ReadCache::new(file);
    let Ok(file) = object::File::parse(&cache) else { return Vec::new() };
    let names = file
        .dynamic_symbols()
        .filter(object::ObjectSymbol::is_undefined)
        .filter_map(|symbol| symbol.name().ok().map(str::to_owned));
    names.collect()
}

/// Where the libraries of a cross compiler's directory lie on the machine they are for.
fn home(directory: PathBuf, architecture: &str) -> PathBuf {
    match multiarch(architecture) {
        Some(name) if directory == Path::new("/usr").join(name).join("lib") => Path::new("/lib").join(name),
        _ => directory,
    }
}

/// Why what a program needs cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The loader is not here.
    #[error("the loader {} that {} names is not on this machine", loader.display(), program.display())]
    Loader { program: PathBuf, loader: PathBuf },
    /// A library is not here.
    #[error("the library {library} that {} needs is not on this machine", file.display())]
    Library { file: PathBuf, library: String },
}

impl Failure for BundleError {}
