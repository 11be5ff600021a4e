//! The catalogue in `fixtures/hostile/`: each image in a process of its own, with something outside to harm.

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use plugin_oci::fs::sorted_listing;
use plugin_oci::layers::unpack::{ExtractError, ExtractOptions, Extraction, LayerInput, Rehearsal, Rules, read_entries};
use plugin_oci::values::compression::Compression;

use crate::support::hostile::bulk::{Layer, Packing};
use crate::support::hostile::catalogue::{Case, Outcome, all};

/// Kilobytes that no case may need, the test program included.
const MEMORY: u64 = 96 << 10;

/// The variable that makes a test binary a child: `first..last`, a scene.
const CHILD: &str = "PLUGIN_BUILD_HOSTILE";

fn input(layer: &Layer) -> LayerInput<'static> {
    let compression = match layer.packing {
        Packing::None => Compression::None,
        Packing::Gzip => Compression::Gzip,
        Packing::Zstd => Compression::Zstd,
    };
    LayerInput { reader: (layer.open)(), compression, diff_id: None }
}

fn unpack(case: &Case, target: &Path, rules: Rules) -> Result<(), ExtractError> {
    let mut extraction = Extraction::begin(target, ExtractOptions { rules, ..ExtractOptions::default() })?;
    for layer in &case.layers {
        extraction = extraction.apply(input(layer))?;
    }
    extraction.commit().map(drop)
}

fn rehearse(case: &Case, rules: Rules) -> Result<(), ExtractError> {
    let mut rehearsal = Rehearsal::begin(ExtractOptions { rules, ..ExtractOptions::default() })?;
    case.layers.iter().try_for_each(|layer| rehearsal.apply(input(layer), &mut |_| {}).map(drop))
}

/// Everything outside that could change.
fn sentinel(dir: &Path) -> Vec<String> {
    let lines = walkdir::WalkDir::new(dir).sort_by_file_name().into_iter().map(|entry| {
        let entry = entry.unwrap();
        let metadata = entry.path().symlink_metadata().unwrap();
        let content = if metadata.is_file() { fs::read(entry.path()).unwrap() } else { Vec::new() };
        let (mode, links, ino) = (metadata.mode(), metadata.nlink(), metadata.ino());
        format!("{} {mode:o} {links} {ino} {} {content:?}", entry.path().display(), metadata.mtime_nsec())
    });
    lines.collect()
}

fn paths(root: &Path) -> Vec<String> {
    let entries = walkdir::WalkDir::new(root).min_depth(1).sort_by_file_name();
    entries.into_iter().map(|entry| entry.unwrap().path().strip_prefix(root).unwrap().display().to_string()).collect()
}

/// Runs one case and says what is wrong with what became of it.
fn judge(case: &Case, scene: &Path, rules: Rules) -> Vec<String> {
    let (outside, work) = (scene.join("sentinel"), scene.join("work"));
    let target = work.join("out");
    let before = sentinel(&outside);
    let result = unpack(case, &target, rules);
    let mut wrong = Vec::new();
    if sentinel(&outside) != before {
        wrong.push("something outside changed".to_owned());
    }
    if result.is_err() && !sorted_listing(&work).unwrap().is_empty() {
        wrong.push("something is left after the failure".to_owned());
    }
    let expected = match (&case.outcome, rules) {
        // The strict rules may refuse more.
        (Outcome::Holds(_), Rules::Strict) if result.is_err() => true,
        (Outcome::Refused(_), Rules::Strict) => result.is_err(),
        (Outcome::Harmless, _) => true,
        (Outcome::Refused(rule), Rules::Foreign) => result.as_ref().err().and_then(ExtractError::rule) == Some(*rule),
        (Outcome::Holds(expected), _) => result.is_ok() && paths(&target) == *expected,
    };
    if !expected {
        wrong.push(format!("expected {:?}, got {result:?}", case.outcome));
    }
    if result.is_ok() {
        fs::remove_dir_all(&target).unwrap();
    }
    let rehearsed = rehearse(case, rules).err().and_then(|error| error.rule());
    let refused = result.err().and_then(|error| error.rule());
    if rehearsed != refused {
        wrong.push(format!("unpacking says {refused:?}, a rehearsal says {rehearsed:?}"));
    }
    wrong
}

/// Highest memory use of this process so far, in kilobytes.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Not a test by itself: what the processes started by the tests below do.
#[test]
#[expect(clippy::disallowed_methods, reason = "how a child is told what to do")]
fn child_of_the_hostile_tests() {
    let Ok(job) = env::var(CHILD) else { return };
    let (range, scene) = job.split_once(' ').unwrap();
    let (first, end) = range.split_once("..").unwrap();
    let (first, end): (usize, usize) = (first.parse().unwrap(), end.parse().unwrap());
    let scene = Path::new(scene);
    for (number, case) in all(scene.join("sentinel").to_str().unwrap()).iter().enumerate().take(end).skip(first) {
        // The large ones once: the strict rules are about names.
        let rules = if end - first == 1 { &[Rules::Foreign][..] } else { &[Rules::Foreign, Rules::Strict] };
        for &rules in rules {
            for wrong in judge(case, scene, rules) {
                println!("WRONG {number} ({}, {rules:?}): {wrong}", case.sentence);
            }
        }
        // What only shows against the layers below, or on the disk, cannot show when reading; everything else must.
        if let Outcome::Refused(rule) = &case.outcome
            && !rule.starts_with("entry-")
            && *rule != "limit"
        {
            let options = ExtractOptions::default();
            let read = |layer| read_entries(input(layer), &options, &mut |_, body| io::copy(body, &mut io::sink()).map(drop));
            if case.layers.iter().all(|layer| read(layer).is_ok()) {
                println!("WRONG {number} ({}): reading it finds nothing", case.sentence);
            }
        }
        if memory() > MEMORY {
            println!("WRONG {number} ({}): it needed {} kB of memory", case.sentence, memory());
        }
    }
    println!("DONE {} kB", memory());
}

fn scene() -> tempfile::TempDir {
    let scene = tempfile::tempdir().unwrap();
    let outside = scene.path().join("sentinel");
    fs::create_dir_all(outside.join("dir/inner")).unwrap();
    fs::create_dir(scene.path().join("work")).unwrap();
    fs::write(outside.join("file"), "untouched").unwrap();
    fs::write(outside.join("dir/inner/file"), "untouched").unwrap();
    fs::set_permissions(outside.join("file"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(outside.join("dir"), fs::Permissions::from_mode(0o750)).unwrap();
    scene
}

/// Judges the cases of a range in one child, whose working directory is the sentinel.
fn run(first: usize, end: usize) -> String {
    let scene = scene();
    let log = scene.path().join("log");
    let status = Command::new(env::current_exe().unwrap())
        .args(["--exact", "hostile::child_of_the_hostile_tests", "--nocapture", "--test-threads=1"])
        .env(CHILD, format!("{first}..{end} {}", scene.path().display()))
        .current_dir(scene.path().join("sentinel"))
        .stdout(File::create(&log).unwrap())
        .status()
        .unwrap();
    let log = fs::read_to_string(&log).unwrap();
    assert!(status.success() && log.contains("DONE"), "the child of {first}..{end} died: {status}\n{log}");
    log.lines().filter(|line| line.contains("WRONG")).collect::<Vec<_>>().join("\n")
}

/// Where the cases begin that need a process, and some time, of their own.
fn bulk_begins(cases: &[Case]) -> usize {
    cases.iter().position(|case| case.sentence.starts_with("a gzip bomb")).unwrap()
}

#[test]
#[ignore = "slow"]
fn no_image_of_the_catalogue_does_harm() {
    let end = bulk_begins(&all("/outside"));
    assert!(end > 400, "the matrix is there");
    let wrong = run(0, end);
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
#[ignore = "slow"]
fn bombs_and_floods_are_stopped_in_bounded_memory() {
    let cases = all("/outside");
    let wrong: String = (bulk_begins(&cases)..cases.len()).map(|number| run(number, number + 1)).collect();
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
#[ignore = "needs bsdtar"]
fn smuggled_sizes_are_read_as_bsdtar_reads_them() {
    let Some(bsdtar) = crate::support::tools::require("bsdtar") else { return };
    let dir = tempfile::tempdir().unwrap();
    for case in all("/outside").iter().filter(|case| case.sentence.contains("PAX says")) {
        let path = dir.path().join("layer.tar");
        io::copy(&mut (case.layers[0].open)(), &mut File::create(&path).unwrap()).unwrap();
        let listed = crate::support::tools::stdout(Command::new(&bsdtar).arg("-tf").arg(&path));
        let mut listed: Vec<&str> = listed.lines().collect();
        listed.sort_unstable();
        assert_eq!(
            case.outcome,
            Outcome::Holds(listed.iter().map(|line| &*line.to_string().leak()).collect()),
            "{}",
            case.sentence
        );
    }
}
