//! Looks into what cargo produced, without running it.
//!
//! - [`inspect`]: format, machine, what it needs to start, what it exports.
//! - [`start`]: whether it can start where it is going.
//! - [`bundle`]: the loader and libraries that a dynamic program needs.
//! - [`dynamic`]: what the loader sees of a file that nobody trusts.
//! - [`leak`]: paths of this machine inside it.
//! - [`wasm`]: modules and components.
//!
//! Files are read piece by piece; an artifact of any size costs little memory.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use object::read::elf::{ElfFile, FileHeader, ProgramHeader};
use object::{Architecture, Endianness, FileKind, NameOrOrdinal, Object, ReadCache, ReadRef, elf};
use serde::Serialize;

use plugin_oci::failure::Failure;

pub mod bundle;
pub mod dynamic;
pub mod leak;
pub mod start;
pub mod wasm;

/// What an artifact is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Executable {
    pub format: Format,
    /// The machine in Go's words, `amd64`; the object format's own word where Go has none.
    pub architecture: String,
    /// The loader it names (ELF `PT_INTERP`).
    pub interpreter: Option<String>,
    /// The libraries it names (ELF `DT_NEEDED`, Mach-O and PE imports).
    pub needed: Vec<String>,
    /// Where it asks for them to be sought (ELF).
    pub search: Search,
    /// The lowest glibc that has every symbol version it asks for, `2.34`.
    pub glibc: Option<String>,
    /// Names it exports, sorted.
    pub exports: Vec<String>,
    /// What is known of WebAssembly.
    pub wasm: Option<wasm::Wasm>,
}

/// An object format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Linux and its kin.
    Elf,
    /// Apple's systems.
    MachO,
    /// Windows.
    Pe,
    /// WebAssembly.
    Wasm,
    /// Something else.
    Other,
}

/// Library search paths that an ELF file carries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Search {
    /// `DT_RPATH`: for its own libraries and theirs; without effect beside a runpath.
    pub rpath: Vec<String>,
    /// `DT_RUNPATH`: for its own libraries only.
    pub runpath: Vec<String>,
}

impl Format {
    /// The format that an operating system starts.
    pub fn of_os(os: &str) -> Self {
        match os {
            "darwin" | "ios" => Self::MachO,
            "windows" => Self::Pe,
            "wasip1" | "wasip2" | "js" => Self::Wasm,
            _ => Self::Elf,
        }
    }

    /// Its name for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Elf => "ELF",
            Self::MachO => "Mach-O",
            Self::Pe => "PE",
            Self::Wasm => "WebAssembly",
            Self::Other => "unknown",
        }
    }
}

impl Executable {
    /// Whether it needs neither loader nor libraries.
    pub fn is_static(&self) -> bool {
        self.interpreter.is_none() && self.needed.is_empty()
    }
}

/// Looks into a file.
pub fn inspect(path: &Path) -> Result<Executable, ExecutableError> {
    let read = |source| ExecutableError::Read { path: path.to_owned(), source };
    let bad = |detail: String| ExecutableError::Malformed { path: path.to_owned(), detail };
    let cache = ReadCache::new(File::open(path).map_err(read)?);
    if matches!((&cache).read_bytes_at(0, 4), Ok(b"\0asm")) {
        let bytes = std::fs::read(path).map_err(read)?;
        return wasm::inspect(&bytes).map(of_wasm).map_err(|error| bad(error.to_string()));
    }
    let parsed = match FileKind::parse(&cache) {
        Ok(FileKind::Elf32) => ElfFile::parse(&cache).and_then(|file| of_elf::<elf::FileHeader32<Endianness>, _>(&file)),
        Ok(FileKind::Elf64) => ElfFile::parse(&cache).and_then(|file| of_elf::<elf::FileHeader64<Endianness>, _>(&file)),
        Ok(kind) => object::File::parse(&cache).and_then(|file| of_object(&file, format_of(kind))),
        Err(error) => Err(error),
    };
    parsed.map_err(|error| bad(error.to_string()))
}

fn format_of(kind: FileKind) -> Format {
    match kind {
        FileKind::MachO32 | FileKind::MachO64 => Format::MachO,
        FileKind::Pe32 | FileKind::Pe64 => Format::Pe,
        _ => Format::Other,
    }
}

fn of_wasm(wasm: wasm::Wasm) -> Executable {
    Executable {
        format: Format::Wasm,
        architecture: "wasm".to_owned(),
        interpreter: None,
        needed: Vec::new(),
        search: Search::default(),
        glibc: None,
        exports: wasm.exports.clone(),
        wasm: Some(wasm),
    }
}

/// What every format tells.
fn of_object<'data>(file: &impl Object<'data>, format: Format) -> object::Result<Executable> {
    let mut needed = Vec::new();
    for library in file.import_libraries()? {
        needed.push(text(library?.name()));
    }
    let mut exports = Vec::new();
    for export in file.exports()? {
        if let NameOrOrdinal::Name(name) = export?.name() {
            exports.push(text(name));
        }
    }
    exports.sort_unstable();
    exports.dedup();
    Ok(Executable {
        format,
        architecture: architecture(file.architecture(), file.is_little_endian()),
        interpreter: None,
        needed,
        search: Search::default(),
        glibc: None,
        exports,
        wasm: None,
    })
}

/// What ELF tells besides.
fn of_elf<'data, Elf, R>(file: &ElfFile<'data, Elf, R>) -> object::Result<Executable>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let endian = file.elf_header().endian()?;
    let mut executable = of_object(file, Format::Elf)?;
    for header in file.elf_program_headers() {
        if let Some(interpreter) = header.interpreter(endian, file.data())? {
            executable.interpreter = Some(text(interpreter));
        }
    }
    let dynamic = file.elf_dynamic_table()?;
    for entry in &dynamic {
        let list = match entry.tag {
            elf::DT_RPATH => &mut executable.search.rpath,
            elf::DT_RUNPATH => &mut executable.search.runpath,
            _ => continue,
        };
        list.extend(text(dynamic.string(entry)?).split(':').filter(|path| !path.is_empty()).map(str::to_owned));
    }
    executable.glibc = glibc(file, endian)?;
    Ok(executable)
}

/// The highest `GLIBC_` version among the symbol versions asked for.
fn glibc<'data, Elf, R>(file: &ElfFile<'data, Elf, R>, endian: Endianness) -> object::Result<Option<String>>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let sections = file.elf_section_table();
    let Some((mut needs, link)) = sections.gnu_verneed(endian, file.data())? else { return Ok(None) };
    let strings = sections.strings(endian, file.data(), link)?;
    let mut highest: Option<Vec<u32>> = None;
    while let Some((_, mut versions)) = needs.next()? {
        while let Some(version) = versions.next()? {
            let name = text(version.name(endian, strings)?);
            let Some(numbers) = name.strip_prefix("GLIBC_") else { continue };
            let numbers: Option<Vec<u32>> = numbers.split('.').map(|number| number.parse().ok()).collect();
            highest = highest.max(numbers);
        }
    }
    Ok(highest.map(|numbers| numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(".")))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Go's word for a machine.
fn architecture(architecture: Architecture, little: bool) -> String {
    let word = match (architecture, little) {
        (Architecture::X86_64, _) => "amd64",
        (Architecture::Aarch64, _) => "arm64",
        (Architecture::I386, _) => "386",
        (Architecture::Arm, _) => "arm",
        (Architecture::LoongArch64, _) => "loong64",
        (Architecture::Mips, true) => "mipsle",
        (Architecture::Mips, false) => "mips",
        (Architecture::Mips64, true) => "mips64le",
        (Architecture::Mips64, false) => "mips64",
        (Architecture::PowerPc64, true) => "ppc64le",
        (Architecture::PowerPc64, false) => "ppc64",
        (Architecture::Riscv64, _) => "riscv64",
        (Architecture::S390x, _) => "s390x",
        (Architecture::Wasm32 | Architecture::Wasm64, _) => "wasm",
        (other, _) => return format!("{other:?}").to_lowercase(),
    };
    word.to_owned()
}

/// Why an artifact cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ExecutableError {
    /// It cannot be read.
    #[error("failed to read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// It is no object file, or a broken one.
    #[error("{} is no executable that can be understood: {detail}", path.display())]
    Malformed { path: PathBuf, detail: String },
    /// It cannot start where it is going.
    #[error("{0}")]
    Start(#[from] start::StartError),
    /// What it needs cannot be found.
    #[error("{0}")]
    Bundle(#[from] bundle::BundleError),
}

impl Failure for ExecutableError {}
