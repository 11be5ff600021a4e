//! What one run keeps for a later one to compare with: ratios within the run, which tell of a regression on any machine and
//! beside any other work; times do not. A ratio is ours to something else, so that more is worse.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// How much more counts: rounds differ by a tenth.
const TOLERANCE: f64 = 1.15;

/// Ratios by what they compare.
pub type Ratios = BTreeMap<String, f64>;

/// The file that stands behind `--baseline`.
pub fn baseline(args: &mut impl Iterator<Item = String>) -> PathBuf {
    PathBuf::from(args.next().expect("`--baseline` wants a file"))
}

/// Writes the ratios of this run into `folder`, and tells which are worse than those of another.
pub fn keep(ratios: &Ratios, folder: &Path, baseline: Option<&Path>) -> ExitCode {
    let before = baseline.map(|path| {
        let bytes = fs::read(path).expect("the baseline");
        serde_json::from_slice::<Ratios>(&bytes).expect("the ratios of an earlier run")
    });
    let file = folder.join("ratios.json");
    fs::write(&file, serde_json::to_vec_pretty(ratios).expect("JSON")).expect("the ratios of this run");
    println!("Ratios: {}", file.display());
    let worse = worse(ratios, &before.unwrap_or_default());
    for line in &worse {
        println!("worse: {line}");
    }
    if worse.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The ratios that have grown by more than [`TOLERANCE`]; what only one of the runs has is passed over.
fn worse(now: &Ratios, before: &Ratios) -> Vec<String> {
    let both = now.iter().filter_map(|(name, now)| before.get(name).map(|before| (name, *before, *now)));
    both.filter(|(_, before, now)| *now > before * TOLERANCE)
        .map(|(name, before, now)| format!("{name}: {before:.3} before, {now:.3} now"))
        .collect()
}
