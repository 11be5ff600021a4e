//! Who takes part, and with which command. Everything runs in `scratch` and leaves its result below `scratch/out`.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::available_parallelism;

use plugin_oci::layers::pack::Packer;
use plugin_oci::layers::tree::{Mode, Tree};
use plugin_oci::progress::Silent;
use plugin_oci::values::epoch::Epoch;

use crate::input::{self, Input};
use crate::moves::{self, Moves};

/// The first argument of the copy of this program that packs a folder.
pub const PACK_WORD: &str = "pack-child";

/// One contestant at one piece of work.
pub struct Row {
    /// The work: rows of one name are compared with each other, and with the first of them.
    pub work: String,
    /// The contestant.
    pub name: String,
    /// Where it runs; emptied before each run.
    pub scratch: PathBuf,
    /// A shell script that is not timed.
    pub prepare: String,
    /// The folder that the command reads.
    pub reads: PathBuf,
    /// The timed command.
    pub command: Vec<OsString>,
}

impl Row {
    /// Work and contestant.
    pub fn title(&self) -> String {
        format!("{}: {}", self.work, self.name)
    }
}

/// A tool that packs: name, the programs it takes, what to prepare, what to run. `$INPUT` is the folder.
type Tool = (&'static str, &'static [&'static str], &'static str, &'static str);

const PACKERS: [Tool; 6] = [
    ("umoci insert", &["umoci"], "umoci init --layout out && umoci new --image out:1", "umoci insert --image out:1 \"$INPUT\" /"),
    ("tar | pigz -6", &["tar", "pigz"], "mkdir out", "tar -C \"$INPUT\" -cf - . | pigz -6 > out/layer"),
    ("tar | gzip -6", &["tar", "gzip"], "mkdir out", "tar -C \"$INPUT\" -cf - . | gzip -6 > out/layer"),
    ("tar | zstd -3 -T0", &["tar", "zstd"], "mkdir out", "tar -C \"$INPUT\" -cf - . | zstd -q -3 -T0 > out/layer"),
    (
        "buildah add, commit",
        &["buildah"],
        "buildah from --name bench-peers scratch || { buildah rm bench-peers && buildah from --name bench-peers scratch; }",
        "buildah add bench-peers \"$INPUT\" / && buildah commit --disable-compression=false --rm bench-peers oci:out:1",
    ),
    (
        "tar, crane append",
        &["tar", "crane"],
        "mkdir out",
        "tar -C \"$INPUT\" -cf layer.tar . && crane append --oci-empty-base -f layer.tar -t bench.invalid/plugin:1 -o out/image",
    ),
];

/// Every row that can run here, and the programs that would be needed for the others.
pub fn all(folder: &Path, moves: Option<&Moves>) -> (Vec<Row>, Vec<&'static str>) {
    let mut rows = Vec::new();
    let programs = PACKERS.iter().flat_map(|tool| tool.1).copied().chain(moves::NEEDED);
    let mut missing: Vec<&str> = programs.filter(|program| !is_on_path(program)).collect();
    missing.sort_unstable();
    missing.dedup();
    for input in input::all(folder) {
        let scratch = folder.join("scratch");
        rows.extend(["gzip", "zstd", "none"].map(|compression| ours(&input, compression, &scratch)));
        let able = PACKERS.iter().filter(|(_, programs, ..)| programs.iter().all(|program| is_on_path(program)));
        rows.extend(able.map(|tool| theirs(&input, *tool, &scratch)));
        rows.extend(moves.into_iter().flat_map(|moves| moves.rows(&input, &scratch)));
    }
    (rows, missing)
}

fn ours(input: &Input, compression: &str, scratch: &Path) -> Row {
    let program = env::current_exe().expect("this program");
    let words = [PACK_WORD.into(), input.folder.clone().into_os_string(), compression.into()];
    Row {
        work: format!("pack {}", input.name),
        name: format!("plugin-build {compression}"),
        scratch: scratch.to_owned(),
        prepare: "mkdir out".to_owned(),
        reads: input.folder.clone(),
        command: [program.into_os_string()].into_iter().chain(words).collect(),
    }
}

fn theirs(input: &Input, (name, _, prepare, command): Tool, scratch: &Path) -> Row {
    Row {
        work: format!("pack {}", input.name),
        name: name.to_owned(),
        scratch: scratch.to_owned(),
        prepare: prepare.to_owned(),
        reads: input.folder.clone(),
        command: shell(&format!("INPUT='{}'; {command}", input.folder.display())),
    }
}

/// A script as a command.
pub fn shell(script: &str) -> Vec<OsString> {
    vec!["sh".into(), "-ec".into(), script.into()]
}

/// Whether a program can be started by its name.
#[expect(clippy::disallowed_methods, reason = "a benchmark runs in the developer's environment")]
pub fn is_on_path(program: &str) -> bool {
    env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|folder| folder.join(program).is_file())
}

/// Our side: packs the folder `args[0]` with the compression `args[1]` into `out/layer`, on every core.
pub fn pack_child(args: &[OsString]) -> ExitCode {
    let [folder, compression] = args else { return ExitCode::FAILURE };
    let folder = Path::new(folder);
    let mut builder = Tree::builder();
    for entry in walkdir::WalkDir::new(folder).min_depth(1) {
        let entry = entry.expect("a readable folder");
        let at = entry.path().strip_prefix(folder).expect("a path below");
        builder.disk(at, Mode::PLAIN, entry.path()).expect("an entry");
    }
    let packer = Packer {
        compression: compression.to_string_lossy().parse().expect("a compression"),
        epoch: Epoch::default(),
        workers: available_parallelism().expect("a number of cores"),
    };
    fs::create_dir_all("out").expect("a folder");
    let mut out = File::create("out/layer").expect("a file");
    packer.pack("layer", &builder.finish().expect("a tree"), &mut out, &Silent).expect("a layer");
    ExitCode::SUCCESS
}
