//! What the compiler says about itself.

use std::path::{Path, PathBuf};

use cargo_metadata::cargo_platform::Cfg;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::ask::{Answer, Ask, Question};
use super::{ToolchainError, find_program};
use crate::build::nearest::nearest;
use plugin_oci::environment::Environment;
use plugin_oci::fs::stamps::{Fingerprint, Hints};
use plugin_oci::progress::Progress;

/// A compiler's facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rustc {
    /// The program that was asked.
    pub program: PathBuf,
    pub release: Version,
    /// The commit of the compiler, where it tells one: standard library paths hold it.
    pub commit_hash: Option<String>,
    /// The host triple.
    pub host: String,
    /// Where its libraries lie.
    pub sysroot: PathBuf,
    /// `rustc -vV`, whole.
    pub verbose_version: String,
}

/// A compiler to be asked, or one that has been already.
#[derive(Debug)]
pub struct Asked {
    program: PathBuf,
    questions: Option<Questions>,
}

/// Two questions under way.
#[derive(Debug)]
struct Questions {
    version: Answer,
    sysroot: Answer,
}

/// What the compiler says.
#[derive(Debug, Serialize, Deserialize)]
struct Answers {
    version: String,
    sysroot: String,
}

/// Asks a compiler.
///
/// A proxy or a wrapper, which may start another compiler tomorrow, is asked at once, beside `cargo metadata`. A
/// toolchain's own program says the same until it is replaced, and may be known already.
pub fn ask(program: PathBuf, place: &dyn Ask, progress: &dyn Progress) -> Result<Asked, ToolchainError> {
    let questions = if is_toolchains(&program) { None } else { Some(Questions::put(&program, place, progress)?) };
    Ok(Asked { program, questions })
}

/// The compiler that cargo uses: the configured one, one beside cargo, or that of `PATH`.
pub fn program(configured: Option<PathBuf>, env: &Environment) -> PathBuf {
    configured.or_else(|| beside_cargo(env)).unwrap_or_else(|| PathBuf::from("rustc"))
}

/// The compiler in the directory of `$CARGO`, when that is a toolchain's and not a directory of proxies: it spares the
/// proxy's start. Only where cargo itself gets to it: by `PATH`, or by a proxy there that was told cargo's toolchain.
pub(super) fn beside_cargo(env: &Environment) -> Option<PathBuf> {
    let cargo = env.path("CARGO").filter(|cargo| cargo.is_absolute())?;
    let directory = cargo.parent()?;
    let rustc = directory.join(if cfg!(windows) { "rustc.exe" } else { "rustc" });
    let leads_here = find_program("rustc".as_ref(), env).is_none_or(|found| {
        let is_told = env.os("RUSTUP_TOOLCHAIN").is_some() && found.with_file_name("rustup").exists();
        is_told || found == rustc || matches!((found.canonicalize(), rustc.canonicalize()), (Ok(a), Ok(b)) if a == b)
    });
    (is_toolchains(&rustc) && rustc.is_file() && leads_here).then_some(rustc)
}

/// Whether a program lies in a toolchain's `bin`, with the libraries beside it.
pub(super) fn is_toolchains(program: &Path) -> bool {
    let toolchain = program.parent().and_then(Path::parent).filter(|toolchain| toolchain.is_absolute());
    program.file_stem().is_some_and(|name| name == "rustc")
        && toolchain.is_some_and(|toolchain| toolchain.join("lib/rustlib").is_dir())
}

fn answer(asked: Answer, program: &Path, question: &str) -> Result<String, ToolchainError> {
    let bad = |detail: String| ToolchainError::Answer { command: format!("{} {question}", program.display()), detail };
    let output = asked.output().map_err(|error| bad(error.to_string()))?;
    if !output.status.success() {
        return Err(bad(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    String::from_utf8(output.stdout).map_err(|error| bad(error.to_string()))
}

impl Questions {
    fn put(program: &Path, place: &dyn Ask, progress: &dyn Progress) -> Result<Self, ToolchainError> {
        let version = Question::new(program, &["-vV"]).put(place, progress)?;
        let sysroot = Question::new(program, &["--print", "sysroot"]).put(place, progress)?;
        Ok(Self { version, sysroot })
    }

    fn answers(self, program: &Path) -> Result<Answers, ToolchainError> {
        let version = answer(self.version, program, "-vV")?;
        let sysroot = answer(self.sysroot, program, "--print sysroot")?;
        Ok(Answers { version, sysroot })
    }
}

impl Asked {
    /// Waits for the answers; asks for them where `hints` does not know them of this very file.
    pub fn answer(
        self,
        hints: &Path,
        env: &Environment,
        place: &dyn Ask,
        progress: &dyn Progress,
    ) -> Result<Rustc, ToolchainError> {
        let answers = match self.questions {
            Some(questions) => questions.answers(&self.program)?,
            None => remembered(&self.program, hints, env, place, progress)?,
        };
        answers.rustc(self.program)
    }
}

/// What a toolchain's own compiler said last time, or says now. Kept in `hints` once a build has made the directory around it:
/// the first plan makes none.
fn remembered(
    program: &Path,
    hints: &Path,
    env: &Environment,
    place: &dyn Ask,
    progress: &dyn Progress,
) -> Result<Answers, ToolchainError> {
    let ask = || Questions::put(program, place, progress)?.answers(program);
    if !hints.parent().is_some_and(Path::is_dir) {
        return ask();
    }
    let known = Hints::open(&hints.join("rustc.json"), env);
    let mut fingerprint = Fingerprint::default();
    fingerprint.text(&program.to_string_lossy());
    fingerprint.file(&program.canonicalize().unwrap_or_else(|_| program.to_owned()));
    let answers = known.known_or(
        fingerprint,
        |fact| serde_json::from_str(fact).ok(),
        ask,
        |answers| serde_json::to_string(answers).ok(),
    )?;
    known.save();
    Ok(answers)
}

impl Answers {
    fn rustc(self, program: PathBuf) -> Result<Rustc, ToolchainError> {
        let bad =
            |detail: &str| ToolchainError::Answer { command: format!("{} -vV", program.display()), detail: detail.to_owned() };
        let field = |name: &str| self.version.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let release = field("release:").and_then(|text| Version::parse(text).ok()).ok_or_else(|| bad("no release"))?;
        Ok(Rustc {
            release,
            commit_hash: field("commit-hash:").filter(|hash| *hash != "unknown").map(str::to_owned),
            host: field("host:").ok_or_else(|| bad("no host"))?.to_owned(),
            sysroot: PathBuf::from(self.sysroot.trim_end()),
            verbose_version: self.version,
            program,
        })
    }
}

impl Rustc {
    /// Whether `--remap-path-scope` is stable here.
    pub fn has_remap_scope(&self) -> bool {
        (self.release.major, self.release.minor) >= (1, 95)
    }

    /// Where a target's standard library lies.
    pub fn target_libdir(&self, target: &str) -> PathBuf {
        self.sysroot.join("lib/rustlib").join(target).join("lib")
    }

    /// The compiler's cfgs for a target.
    pub fn cfgs(&self, target: &str, place: &dyn Ask, progress: &dyn Progress) -> Result<Vec<Cfg>, ToolchainError> {
        let question = Question::new(&self.program, &["--print", "cfg", "--target", target]);
        let child = question.put(place, progress)?;
        let text = answer(child, &self.program, "--print cfg")?;
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// Fails when the compiler has no standard library for a target, with the command that installs it.
    pub fn check_std(&self, target: &str, place: &dyn Ask, progress: &dyn Progress) -> Result<(), ToolchainError> {
        if self.target_libdir(target).is_dir() {
            return Ok(());
        }
        let known = Question::new(&self.program, &["--print", "target-list"])
            .put(place, progress)
            .and_then(|child| answer(child, &self.program, "--print target-list"))
            .unwrap_or_default();
        if !known.is_empty() && !known.lines().any(|name| name == target) {
            let nearest = nearest(target, known.lines(), 0.85).map(str::to_owned);
            return Err(ToolchainError::UnknownTarget { target: target.to_owned(), nearest });
        }
        Err(ToolchainError::NoStd { target: target.to_owned(), sysroot: self.sysroot.clone(), cure: self.cure(target) })
    }

    /// The command that installs a target.
    fn cure(&self, target: &str) -> String {
        if self.sysroot.join("lib/rustlib/multirust-channel-manifest.toml").is_file() {
            return format!("rustup target add {target}");
        }
        match debian_architecture(target) {
            Some(architecture) => format!(
                "install your distribution's standard library for {target} (Debian: `apt-get install libstd-rust-dev:{architecture}`), \
                 or use rustup's toolchain and `rustup target add {target}`"
            ),
            None => format!("use rustup's toolchain and `rustup target add {target}`"),
        }
    }
}

fn debian_architecture(target: &str) -> Option<&'static str> {
    Some(match target {
        "x86_64-unknown-linux-gnu" => "amd64",
        "aarch64-unknown-linux-gnu" => "arm64",
        "armv7-unknown-linux-gnueabihf" => "armhf",
        "i686-unknown-linux-gnu" => "i386",
        "powerpc64le-unknown-linux-gnu" => "ppc64el",
        "riscv64gc-unknown-linux-gnu" => "riscv64",
        "s390x-unknown-linux-gnu" => "s390x",
        _ => return None,
    })
}
