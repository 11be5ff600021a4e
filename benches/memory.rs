//! Peak memory of packing, for an asset of 1 MiB and one of 1 GiB: `cargo bench --bench memory`.
//!
//! Each size is packed by a process of its own, which tells its own high-water mark (`VmHWM`, Linux). No layer is ever held
//! in memory, so the two differ by buffers, not by the payload.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;

use plugin_oci::layers::pack::Packer;
use plugin_oci::layers::tree::{Content, Mode, Tree};
use plugin_oci::progress::Silent;
use plugin_oci::values::compression::Compression;
use plugin_oci::values::epoch::Epoch;

const WORD: &str = "pack-in-child";

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, word, path, compression] = args.as_slice()
        && word == WORD
    {
        return pack(Path::new(path), compression.parse().expect("a compression"));
    }
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(dir).expect("the target directory");
    println!("| compression | 1 MiB | 1 GiB | difference |\n|---|--:|--:|--:|");
    for compression in Compression::ALL {
        let peaks: Vec<u64> = [1_u64, 1024].into_iter().map(|mebibytes| peak(dir, mebibytes, compression)).collect();
        let difference = peaks[1].saturating_sub(peaks[0]);
        println!("| {compression} | {} KiB | {} KiB | {difference} KiB |", peaks[0], peaks[1]);
    }
}

fn peak(dir: &Path, mebibytes: u64, compression: Compression) -> u64 {
    let path = dir.join(format!("memory-{mebibytes}"));
    let mut file = File::create(&path).expect("an asset");
    let (mut state, mut block) = (0x9e37_79b9_7f4a_7c15_u64, vec![0_u8; 1 << 20]);
    for _ in 0..mebibytes {
        // Half noise, half text: both paths of the compressor.
        for chunk in block.chunks_mut(16) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            chunk[..8].copy_from_slice(&state.to_le_bytes());
            chunk[8..].copy_from_slice(b"plugins ");
        }
        file.write_all(&block).expect("space for the asset");
    }
    drop(file);
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program).arg(WORD).arg(&path).arg(compression.as_str()).output().expect("a child");
    std::fs::remove_file(&path).expect("the asset");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number of KiB")
}

fn pack(path: &Path, compression: Compression) {
    let mut builder = Tree::builder();
    builder.file("asset", Mode::PLAIN, Content::of_file(path).expect("the asset")).expect("a plain name");
    let tree = builder.finish().expect("a tree");
    let workers = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let packer = Packer { compression, epoch: Epoch::default(), workers };
    packer.pack("asset", &tree, &mut std::io::sink(), &Silent).expect("a layer");
    let mut status = String::new();
    File::open("/proc/self/status").and_then(|mut file| file.read_to_string(&mut status)).expect("Linux");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a high-water mark");
    println!("{}", peak.trim().trim_end_matches(" kB"));
}
