//! Which linker a target gets, whether it is there, and what it is.
//!
//! Order, as in cargo and rustc: `CARGO_TARGET_<TRIPLE>_LINKER`, `target.<triple>.linker`, `-C linker` among the
//! rustflags, then rustc's own choice: `cc` for most, a mingw compiler for windows-gnu, the bundled `rust-lld` for wasm.
//! The host's `cc` links for the host's machine only.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ask::{Ask, Question};
use super::rustc::Rustc;
use super::{ToolchainError, config, find_program};
use plugin_oci::environment::Environment;
use plugin_oci::fs::stamps::{Fingerprint, Hints};
use plugin_oci::progress::Progress;
use plugin_oci::values::digest::Digest;

/// A target's linker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Linker {
    /// The program as named.
    pub program: PathBuf,
    /// Whether the user named it.
    pub chosen: bool,
}

/// What a linker puts of itself into an artifact: facts for the provenance, never for the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LinkerFacts {
    /// The first line of `<linker> --version`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The digest of the `libc.a` that a static gnu executable embeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub libc: Option<String>,
    /// The version that this `libc.a` says it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libc_version: Option<String>,
}

/// What a linker says.
#[derive(Debug, Serialize, Deserialize)]
struct Words {
    version: Option<String>,
    libc: Option<PathBuf>,
}

impl Linker {
    /// The linker that a target gets.
    pub fn of(target: &str, configured: Option<PathBuf>, rustflags: &[String]) -> Self {
        if let Some(program) = configured.or_else(|| flag(rustflags)) {
            return Self { program, chosen: true };
        }
        let program = match target {
            _ if target.starts_with("wasm") => "rust-lld",
            "x86_64-pc-windows-gnu" => "x86_64-w64-mingw32-gcc",
            "i686-pc-windows-gnu" => "i686-w64-mingw32-gcc",
            _ if target.ends_with("-windows-gnullvm") => "clang",
            _ if target.ends_with("-windows-msvc") => "link.exe",
            _ => "cc",
        };
        Self { program: PathBuf::from(program), chosen: false }
    }

    /// The linker of `--builder zigbuild`.
    pub fn zig() -> Self {
        Self { program: PathBuf::from("zig"), chosen: true }
    }

    /// Fails when the linker is not there, or is the host's and the target another machine's; `zig_could` says whether
    /// cargo-zigbuild is a way out.
    pub fn check(&self, target: &str, rustc: &Rustc, zig_could: bool, env: &Environment) -> Result<(), ToolchainError> {
        let no = |reason: String, cure: String, zig: bool| {
            Err(ToolchainError::NoLinker { target: target.to_owned(), reason, cure, zig })
        };
        let name = self.program.display();
        // rustc finds the linkers it brings itself, and Visual Studio's without PATH.
        if target.starts_with("wasm") && !self.chosen || name.to_string().starts_with("rust-lld") || target.ends_with("msvc") {
            return Ok(());
        }
        if find_program(&self.program, env).is_none() {
            let reason = format!("its linker `{name}` is not there");
            return no(reason, install(&self.program, target), false);
        }
        if !self.chosen && self.program == Path::new("cc") && !same_machine(target, &rustc.host) {
            let reason = format!("`cc` links for {} only, and no linker is configured for it", rustc.host);
            return no(reason, cross_cure(target), zig_could);
        }
        Ok(())
    }

    /// Asks the linker's version, and for a static gnu executable which libc it embeds.
    ///
    /// The linker says where that libc lies, and could name any file: `is_seen` tells whose digest may be told. `hints` know what
    /// this very file said before.
    pub fn facts(
        &self,
        static_gnu: bool,
        (place, env): (&dyn Ask, &Environment),
        is_seen: impl Fn(&Path) -> bool,
        hints: &Hints,
        progress: &dyn Progress,
    ) -> LinkerFacts {
        let find = || Ok::<_, Infallible>(self.words(static_gnu, place, progress));
        let show = |words: &Words| {
            let is_whole = words.version.is_some() && (!static_gnu || words.libc.as_ref().is_some_and(|path| path.is_file()));
            if is_whole { serde_json::to_string(words).ok() } else { None }
        };
        let parse = |fact: &str| serde_json::from_str(fact).ok();
        let Ok(Words { version, libc }) = hints.known_or(self.fingerprint(static_gnu, env), parse, find, show);
        let libc = libc.filter(|path| is_seen(path) && path.is_file()).and_then(|path| archive(&path, hints));
        let (libc, libc_version) = libc.map_or((None, None), |(digest, version)| (Some(digest), version));
        LinkerFacts { version, libc, libc_version }
    }

    /// What decides about a linker's words. A wrapper may start another program tomorrow, so only what is called as linkers are
    /// is taken for one.
    fn fingerprint(&self, static_gnu: bool, env: &Environment) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        fingerprint.text(&format!("linker {static_gnu}"));
        for variable in ["COMPILER_PATH", "GCC_EXEC_PREFIX", "LIBRARY_PATH"] {
            fingerprint.text(&env.os(variable).unwrap_or_default().to_string_lossy());
        }
        let real = find_program(&self.program, env).and_then(|found| found.canonicalize().ok());
        let name = real.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let is_known = name.split('-').any(|word| ["gcc", "clang", "ld", "ld.bfd", "ld.lld", "lld", "mold"].contains(&word));
        match real.filter(|path| is_known && !is_script(path)) {
            Some(path) => fingerprint.file(&path),
            None => fingerprint.unknown(),
        }
        fingerprint
    }

    fn words(&self, static_gnu: bool, place: &dyn Ask, progress: &dyn Progress) -> Words {
        let ask = |argument: &str| {
            let child = Question::new(&self.program, &[argument]).put(place, progress).ok()?;
            let output = child.output().ok().filter(|output| output.status.success())?;
            String::from_utf8(output.stdout).ok()?.lines().next().map(|line| line.trim().to_owned())
        };
        let libc = static_gnu.then(|| ask("-print-file-name=libc.a")).flatten().map(PathBuf::from);
        let version =
            if *self == Self::zig() { ask("version").map(|version| format!("zig {version}")) } else { ask("--version") };
        Words { version, libc }
    }
}

/// The last `-C linker=`.
fn flag(rustflags: &[String]) -> Option<PathBuf> {
    let mut found = None;
    for (index, flag) in rustflags.iter().enumerate() {
        let option = match flag.strip_prefix("-C").or_else(|| flag.strip_prefix("--codegen=")) {
            Some("") => rustflags.get(index + 1).map(String::as_str),
            other => other,
        };
        if let Some(linker) = option.and_then(|option| option.trim().strip_prefix("linker=")) {
            found = Some(PathBuf::from(linker));
        }
    }
    found
}

/// The digest of a `libc.a`, and the version that it says.
pub fn archive(path: &Path, hints: &Hints) -> Option<(String, Option<String>)> {
    let mut fingerprint = Fingerprint::default();
    fingerprint.text("libc");
    fingerprint.file(path);
    let find = || {
        let bytes = std::fs::read(path).map_err(drop)?;
        Ok::<_, ()>((Digest::of(&bytes).to_string(), glibc_version(&bytes)))
    };
    let parse = |fact: &str| serde_json::from_str(fact).ok();
    hints.known_or(fingerprint, parse, find, |found| serde_json::to_string(found).ok()).ok()
}

/// glibc has its version in a sentence (`csu/version.c`).
fn glibc_version(archive: &[u8]) -> Option<String> {
    let sentence: &[u8] = b"GNU C Library ";
    let start = memchr::memmem::find(archive, sentence)?;
    let rest = archive.get(start..)?.get(..300)?;
    let words: &[u8] = b"release version ";
    let at = memchr::memmem::find(rest, words)? + words.len();
    let version: String =
        rest[at..].iter().map(|byte| char::from(*byte)).take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    Some(version.trim_end_matches('.').to_owned()).filter(|version| !version.is_empty())
}

fn is_script(path: &Path) -> bool {
    let mut start = [0; 2];
    let read = std::fs::File::open(path).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut start));
    read.is_err() || start == *b"#!"
}

/// Whether one `cc` serves both: same system and architecture, 32-bit x86 beside 64-bit.
fn same_machine(target: &str, host: &str) -> bool {
    let cpu = |triple: &str| {
        let cpu = triple.split('-').next().unwrap_or_default().to_owned();
        if ["i586", "i686"].contains(&cpu.as_str()) { "x86_64".to_owned() } else { cpu }
    };
    let system = |triple: &str| {
        ["linux", "apple", "windows", "freebsd", "netbsd", "openbsd"].into_iter().find(|system| triple.contains(system))
    };
    let apple = target.contains("apple-darwin") && host.contains("apple-darwin");
    apple || cpu(target) == cpu(host) && system(target) == system(host)
}

/// The prefix of GNU cross compilers for a target's machine.
fn gnu_prefix(target: &str) -> Option<&'static str> {
    Some(match target.split('-').next()? {
        "aarch64" => "aarch64-linux-gnu",
        "x86_64" => "x86_64-linux-gnu",
        "i586" | "i686" => "i686-linux-gnu",
        "arm" | "armv7" | "thumbv7neon" if target.ends_with("hf") => "arm-linux-gnueabihf",
        "arm" | "armv5te" | "armv7" => "arm-linux-gnueabi",
        "riscv64gc" => "riscv64-linux-gnu",
        "powerpc64le" => "powerpc64le-linux-gnu",
        "s390x" => "s390x-linux-gnu",
        "loongarch64" => "loongarch64-linux-gnu",
        _ => return None,
    })
}

fn cross_cure(target: &str) -> String {
    let variable = format!("CARGO_TARGET_{}_LINKER", config::variable_name(target));
    match gnu_prefix(target).filter(|_| target.contains("linux")) {
        Some(prefix) if target.contains("musl") => {
            format!("set {variable}=rust-lld (pure Rust), or apt-get install gcc-{prefix} and set it to {prefix}-gcc")
        }
        Some(prefix) => format!("apt-get install gcc-{prefix} and set {variable}={prefix}-gcc"),
        None => format!("install a linker for it and set {variable} to it"),
    }
}

fn install(program: &Path, target: &str) -> String {
    let name = program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match name.as_str() {
        "cc" | "gcc" => "apt-get install gcc libc6-dev, or your system's C compiler".to_owned(),
        "x86_64-w64-mingw32-gcc" | "i686-w64-mingw32-gcc" => "apt-get install gcc-mingw-w64".to_owned(),
        "clang" => "apt-get install clang".to_owned(),
        _ => match name.strip_suffix("-gcc") {
            Some(prefix) => format!("apt-get install gcc-{}", prefix.replace('_', "-")),
            None => format!("install it, or set CARGO_TARGET_{}_LINKER to another", config::variable_name(target)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linker_is_the_users_before_the_compilers() {
        let flags = ["-Clto".to_owned(), "-C".to_owned(), "linker=my-ld".to_owned()];
        assert_eq!(Linker::of("t", None, &flags).program, Path::new("my-ld"));
        assert_eq!(Linker::of("t", Some("own".into()), &flags).program, Path::new("own"));
        assert_eq!(Linker::of("wasm32-wasip1", None, &[]).program, Path::new("rust-lld"));
        assert!(!Linker::of("x86_64-unknown-linux-gnu", None, &[]).chosen);
    }

    #[test]
    fn the_hosts_linker_serves_its_own_machine_only() {
        assert!(same_machine("x86_64-unknown-linux-musl", "x86_64-unknown-linux-gnu"));
        assert!(same_machine("i686-unknown-linux-gnu", "x86_64-unknown-linux-gnu"));
        assert!(same_machine("aarch64-apple-darwin", "x86_64-apple-darwin"));
        assert!(!same_machine("aarch64-unknown-linux-gnu", "x86_64-unknown-linux-gnu"));
        assert!(!same_machine("x86_64-apple-darwin", "x86_64-unknown-linux-gnu"));
    }
}
