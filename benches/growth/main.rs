//! How the time of `build` grows with the work: `cargo bench --bench growth`.
//!
//! Three series, each through the program: plugins in a workspace, files in a plugin, platforms of an image. For every size: the
//! first packing (everything is compiled already), an unchanged build, and a build after one changed file. Prints medians,
//! with what an unchanged build costs for each further item, and draws `target/growth/growth.svg`. Options after `--`:
//! `--rounds N`, `--baseline FILE` (`target/growth/ratios.json` of an earlier run: what became worse since is told, and fails), and
//! words that a series must contain.

mod plot;
#[path = "../ratios/mod.rs"]
mod ratios;
mod series;

use std::env;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use series::{Scene, Series};

/// What was measured for one size.
pub struct Point {
    /// How many.
    pub count: usize,
    /// Medians, in the order of [`STEPS`].
    pub times: [Duration; 3],
}

/// What is measured.
pub const STEPS: [&str; 3] = ["first packing", "unchanged", "one changed file"];

fn main() -> ExitCode {
    let mut rounds = 5;
    let (mut words, mut baseline) = (Vec::new(), None);
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => rounds = args.next().and_then(|n| n.parse().ok()).expect("`--rounds` wants a number"),
            "--baseline" => baseline = Some(ratios::baseline(&mut args)),
            "--bench" => {} // from cargo
            _ => words.push(arg),
        }
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("growth");
    let mut drawn = Vec::new();
    println!(
        "| series | count | {} | {} | {} | unchanged, each further one |\n|---|--:|--:|--:|--:|--:|",
        STEPS[0], STEPS[1], STEPS[2]
    );
    for series in Series::ALL.into_iter().filter(|series| words.iter().all(|word| series.name().contains(word.as_str()))) {
        let mut points: Vec<Point> = Vec::new();
        for count in series.counts() {
            let scene = series.scene(&folder, count);
            let point = Point { count, times: measure(&scene, rounds) };
            let further = points.first().map_or_else(String::new, |first| further(first, &point));
            let [first, unchanged, changed] = point.times.map(|time| format!("{:.3} s", time.as_secs_f64()));
            println!("| {} | {count} | {first} | {unchanged} | {changed} | {further} |", series.name());
            points.push(point);
        }
        drawn.push((series.name(), points));
    }
    let plot = folder.join("growth.svg");
    std::fs::write(&plot, plot::svg(&drawn)).expect("a plot");
    println!("\nPlot: {}", plot.display());
    let mut ratios = ratios::Ratios::new();
    for (name, point) in drawn.iter().flat_map(|(name, points)| points.iter().map(move |point| (name, point))) {
        for (step, time) in STEPS.iter().zip(point.times).skip(1) {
            let ratio = time.as_secs_f64() / point.times[0].as_secs_f64();
            ratios.insert(format!("{} {name}: {step} to {}", point.count, STEPS[0]), ratio);
        }
    }
    ratios::keep(&ratios, &folder, baseline.as_deref())
}

/// What each item more than in `first` adds to an unchanged build.
fn further(first: &Point, point: &Point) -> String {
    let more = u32::try_from(point.count - first.count).expect("a small number");
    let added = point.times[1].saturating_sub(first.times[1]) / more;
    format!("{:.3} ms", added.as_secs_f64() * 1000.0)
}

fn measure(scene: &Scene, rounds: usize) -> [Duration; 3] {
    scene.build(); // compiles
    let mut times = [const { Vec::new() }; 3];
    for round in 0..rounds {
        scene.forget();
        times[0].push(timed(scene));
        scene.settle(); // so that the facts about the new blobs are kept
        times[1].push(timed(scene));
        scene.change(round);
        times[2].push(timed(scene));
    }
    times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    })
}

fn timed(scene: &Scene) -> Duration {
    let start = Instant::now();
    scene.build();
    start.elapsed()
}
