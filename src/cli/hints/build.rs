//! Ways out of what manifests, plans, toolchains and artifacts are refused for.

use std::error::Error;

use super::{ask, of};
use plugin_build::build::AssembleError;
use plugin_build::build::compile::CompileError;
use plugin_build::build::compile::check::CheckError;
use plugin_build::build::hermetic::HermeticError;
use plugin_build::build::inspect::bundle::BundleError;
use plugin_build::build::inspect::start::StartError;
use plugin_build::build::kinds::infer::InferError;
use plugin_build::build::kinds::proxy_wasm::ProxyWasmError;
use plugin_build::build::kinds::{KindError, Product};
use plugin_build::build::manifest::PluginError;
use plugin_build::build::manifest::files::FilesError;
use plugin_build::build::nearest::nearest;
use plugin_build::build::plan::{Misplaced, PlanError};
use plugin_build::build::start::CannotStart;
use plugin_build::build::toolchain::ToolchainError;

pub fn hint(error: &(dyn Error + 'static)) -> Option<String> {
    ask!(
        error,
        plugin: PluginError,
        files: FilesError,
        kind: KindError,
        infer: InferError,
        proxy_wasm: ProxyWasmError,
        plan: PlanError,
        misplaced: Misplaced,
        assemble: AssembleError,
        cannot_start: CannotStart,
        toolchain: ToolchainError,
        hermetic: HermeticError,
        compile: CompileError,
        check: CheckError,
        start: StartError,
        bundle: BundleError,
    )
}

const FETCH_YOURSELF: &str = "if it wants a credential helper, an SSH agent or git's own configuration: those are out of reach here; \
                              `cargo fetch --locked`, then build with `--offline`";

fn plugin(error: &PluginError) -> Option<String> {
    match error {
        PluginError::Contradiction { flag } => match flag.as_str() {
            "--release" | "-r" => of("that is the profile unless `--profile`, before `--`, names another"),
            "--message-format" => of("what cargo says is read here; `--message-format json`, before `--`, tells the results"),
            _ => of("give it before `--`"),
        },
        PluginError::UnknownTable { meant, .. } => Some(format!("did you mean [{meant}]?")),
        PluginError::UnknownKey { nearest: Some(nearest), .. } => Some(format!("did you mean `{nearest}`?")),
        PluginError::UnknownKey { known, .. } => Some(format!("the keys are {}", known.join(", "))),
        PluginError::NothingSelected { members, .. } => {
            Some(format!("add the table (it may be empty), or name a package with -p: {}", members.join(", ")))
        }
        PluginError::UnknownPackage { spec, members, .. } => match nearest(spec, members.iter().map(String::as_str), 0.7) {
            Some(name) => Some(format!("did you mean `{name}`?")),
            None => Some(format!("the members are {}", members.join(", "))),
        },
        PluginError::SameName { .. } => of("set `name` in one of them"),
        _ => None,
    }
}

fn files(error: &FilesError) -> Option<String> {
    match error {
        FilesError::Outside { .. } => of("`from` is relative to the package; copy or link the files into it"),
        FilesError::Nothing { ignored, .. } if *ignored > 0 => {
            Some(format!("{ignored} matching files are left out by .gitignore; name a file literally to pack it all the same"))
        }
        FilesError::Twice { .. } => of("give one of them another `to`"),
        _ => None,
    }
}

fn kind(error: &KindError) -> Option<String> {
    match error {
        KindError::Target { kind, .. } if kind.is_wasm() => of("wasm kinds want a wasm target such as `wasm32-wasip1`"),
        KindError::Target { .. } => of("wasm targets want the kind `wasm` or `proxy-wasm`"),
    }
}

fn infer(error: &InferError) -> Option<String> {
    match error {
        InferError::Several { candidates, .. } => Some(format!(
            "say `kind = \"{}\"` or `kind = \"{}\"` in [package.metadata.plugin-build], or `--kind`",
            candidates.first()?,
            candidates.last()?
        )),
        InferError::NoProduct { .. } => of("the kinds are executable and cosmo-router (from a binary), library (from a \
                                            `cdylib`), wasm and proxy-wasm (from either)"),
        InferError::NoBin { .. } => of("add src/main.rs, or choose another `kind`"),
        InferError::NoCdylib { .. } => of("add `crate-type = [\"cdylib\"]` to [lib]"),
        InferError::UnknownBin { elsewhere, .. } if !elsewhere.is_empty() => {
            Some(format!("{} has it: `-p {}`", elsewhere.join(", "), elsewhere[0]))
        }
        InferError::UnknownBin { bins, .. } if bins.is_empty() => of("the package has no binaries at all"),
        InferError::UnknownBin { bins, .. } => Some(format!("the package has {}", bins.join(", "))),
        InferError::SeveralBins { .. } => of("name one with `bin` in [package.metadata.plugin-build], or `--bin`"),
    }
}

fn proxy_wasm(error: &ProxyWasmError) -> Option<String> {
    match error {
        ProxyWasmError::Component => of("build for wasm32-wasip1 or wasm32-unknown-unknown"),
        ProxyWasmError::NoAbi => of("call `proxy_wasm::main!` in the library, or choose the kind `wasm`"),
    }
}

fn plan(error: &PlanError) -> Option<String> {
    match error {
        PlanError::SamePlatform { .. } => of("an image has one manifest a platform: build one of them under another tag"),
        PlanError::Glibc { triple, .. } => Some(format!("use `--builder zigbuild`, or `{triple}`")),
        PlanError::ZigStatic { musl, .. } => {
            let musl = musl.map(|musl| format!("build for `{musl}`, or ")).unwrap_or_default();
            Some(format!("{musl}set a `base` or `bundle-libs = true`"))
        }
        PlanError::NoData { package, .. } => Some(format!("`cargo add --dev {package}`, which nobody compiles")),
        PlanError::UnpinnedBase(_) => of("add `@sha256:...`; building once without `--locked` tells the digest"),
    }
}

fn misplaced(_: &Misplaced) -> Option<String> {
    of("compose with what `cargo plugin-build contract IMAGE DIR` writes, not with this package")
}

fn cannot_start(error: &CannotStart) -> Option<String> {
    of(match error.lacks.first().map(|lack| lack.rule) {
        Some("start-user") => "list it in `passwd`, write its number, or build on a `base` that knows it",
        Some("start-program" | "start-interpreter") => {
            "pack it with `files` and `mode = \"0755\"`, build on a `base` that has it, or leave `entrypoint` out: the program itself is \
             the default"
        }
        _ => "build on a `base` that has what lacks, link statically (a musl target), or set `bundle-libs = true`",
    })
}

fn assemble(error: &AssembleError) -> Option<String> {
    match error {
        AssembleError::Targets { .. } => of("build one target at a time, each under a tag of its own"),
        AssembleError::Compression { .. } => of("its readers know no other compression"),
        AssembleError::Base { .. } => of("leave `base` out"),
        AssembleError::Offline { .. } => of("build once without `--offline`; a base that is named by digest is kept"),
        AssembleError::TooMuch { .. } => None,
        AssembleError::Embed { .. } => of("leave `auditable` out where this target is built; the SBOM has the same list"),
        AssembleError::Collision { .. } => of("rename one of them"),
        AssembleError::Unreadable { package, .. } => {
            Some(format!("lock another version of it: `cargo update {package} --precise VERSION`"))
        }
        AssembleError::Changed { .. } => of("build again when nothing writes to them"),
    }
}

fn toolchain(error: &ToolchainError) -> Option<String> {
    match error {
        ToolchainError::NoLinker { cure, zig: true, .. } => Some(format!("{cure}, or use `--builder zigbuild`")),
        ToolchainError::NoStd { cure, .. } => {
            Some(format!("{cure}; where nobody has compiled one, nightly does from rust-src: `-- -Zbuild-std`"))
        }
        ToolchainError::NoLinker { cure, .. } => Some(cure.clone()),
        ToolchainError::UnknownTarget { nearest: Some(nearest), .. } => Some(format!("did you mean `{nearest}`?")),
        ToolchainError::UnknownTarget { .. } => of("`rustc --print target-list` lists them"),
        ToolchainError::Fetch(_) => of(FETCH_YOURSELF),
        ToolchainError::Brought { .. } => of(
            "if it is to be trusted, link it (`rustup toolchain link NAME DIR`) and name it with `cargo +NAME`, or set RUSTC and CARGO",
        ),
        ToolchainError::NoZigbuild => of("cargo install --locked cargo-zigbuild, and install zig"),
        ToolchainError::Start { program, .. } if program.ends_with("cargo") => {
            of("install Rust (https://rustup.rs), or set CARGO to a cargo")
        }
        _ => None,
    }
}

fn hermetic(error: &HermeticError) -> Option<String> {
    match error {
        HermeticError::NotLinux => of("build in a Linux machine, or leave `--hermetic` out"),
        HermeticError::Exposed { .. } => of("move the sources into a directory of their own, or set HOME and CARGO_HOME"),
        HermeticError::Led { .. } => of("remove the link, and look at who put it there"),
        HermeticError::OwnProgram { .. } => of("name it yourself: by CARGO_TARGET_<TRIPLE>_LINKER, or in CARGO_HOME/config.toml"),
        HermeticError::Foreign { .. } => of("keep what belongs together in one git repository, or name it by a flag"),
        HermeticError::Refused { cure, .. } => Some(cure.clone()),
        HermeticError::Toolchain(_) | HermeticError::Broken(_) => None,
    }
}

fn compile(error: &CompileError) -> Option<String> {
    match error {
        CompileError::Occupied { .. } => {
            of("a hermetic build begins with nothing: remove it, or choose another place with `--target-dir`")
        }
        CompileError::Fetch { .. } => of(FETCH_YOURSELF),
        CompileError::Absent { product: Product::Lib(_), .. } => {
            of("the target may know no dynamic libraries; cargo's warnings above tell")
        }
        CompileError::Absent { .. } => of("its `required-features` may not be enabled: see `--features`"),
        _ => None,
    }
}

fn check(error: &CheckError) -> Option<String> {
    match error {
        CheckError::NoFile { .. } | CheckError::Elsewhere { .. } => {
            of("a build script, a procedural macro or a linker has put it there: look at the sources")
        }
        CheckError::Unseen { .. } => of("install the library with the system's, or link statically"),
        CheckError::Leak { leak, .. } => Some(format!("it is probably {}", leak.cause())),
    }
}

fn start(error: &StartError) -> Option<String> {
    match error {
        StartError::Dynamic { .. } => of(
            "link it statically (a musl target, or no `-crt-static` in your rustflags), build on a `base` that has them, or set \
             `bundle-libs = true`",
        ),
        StartError::Machine { .. } => None,
    }
}

fn bundle(_: &BundleError) -> Option<String> {
    of("install it, build on a `base` that has it, or link statically")
}
