//! What is packed: one executable, and a folder of everything. Made once, kept in the target folder.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use walkdir::WalkDir;

/// A folder to pack.
pub struct Input {
    /// `executable` or `mixed`.
    pub name: &'static str,
    /// Where it is.
    pub folder: PathBuf,
}

const LIBRARIES: u64 = 240 << 20;
const SOURCES: u64 = 140 << 20;
const NOISE: u64 = 256 << 20;

/// Both inputs.
pub fn all(folder: &Path) -> [Input; 2] {
    let executable = Input { name: "executable", folder: folder.join("executable") };
    fs::create_dir_all(&executable.folder).expect("a folder");
    let program = executable.folder.join("plugin");
    fs::copy(env!("CARGO_BIN_EXE_cargo-plugin-build"), program).expect("this crate's own program");
    let mixed = Input { name: "mixed", folder: folder.join("mixed") };
    if !mixed.folder.exists() {
        let making = folder.join("mixed.new");
        let _ = fs::remove_dir_all(&making);
        make_mixed(&making);
        fs::rename(making, &mixed.folder).expect("a finished folder");
    }
    [executable, mixed]
}

/// The toolchain's libraries, the sources of this crate's dependencies, and noise.
fn make_mixed(folder: &Path) {
    let sysroot = PathBuf::from(stdout("rustc", &["--print", "sysroot"]).trim());
    collect(&sysroot.join("lib"), &folder.join("libraries"), LIBRARIES);
    let metadata = stdout("cargo", &["metadata", "--format-version=1", "--offline"]);
    let metadata = cargo_metadata::MetadataCommand::parse(metadata).expect("cargo's metadata");
    let mut left = SOURCES;
    for package in metadata.packages.iter().filter(|package| package.source.is_some()) {
        let from = package.manifest_path.parent().expect("a manifest in a folder");
        left = collect(from.as_std_path(), &folder.join("sources").join(from.file_name().unwrap_or("package")), left);
    }
    let mut file = fs::File::create(folder.join("noise")).expect("a file");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64; // xorshift64*
    for _ in 0..NOISE / 4096 {
        let mut block = Vec::with_capacity(4096);
        while block.len() < 4096 {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            block.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes());
        }
        file.write_all(&block).expect("room for noise");
    }
}

/// Copies regular files until `left` bytes are used up; what is left.
fn collect(from: &Path, to: &Path, mut left: u64) -> u64 {
    fs::create_dir_all(to).expect("a folder");
    for entry in WalkDir::new(from).sort_by_file_name().into_iter().flatten().filter(|entry| entry.file_type().is_file()) {
        let size = entry.metadata().map_or(0, |metadata| metadata.len());
        if size <= left {
            let at = to.join(entry.path().strip_prefix(from).expect("a path below"));
            fs::create_dir_all(at.parent().expect("a parent")).expect("a folder");
            fs::copy(entry.path(), at).expect("a copy");
            left -= size;
        }
    }
    left
}

fn stdout(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().expect(program);
    String::from_utf8(output.stdout).expect("UTF-8")
}
