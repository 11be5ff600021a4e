//! From a one-line change of a plugin to the new version at its host: `cargo bench --bench road`, by hand, as it takes minutes.
//!
//! The plugin is that of the template for Cosmo Router, its dependencies vendored, or with `--template executable` a small program. The ways: `cargo build --release` alone; this
//! tool (`push`, which builds, and `pull`; then `install`); `docker build`, once with a cache mount and once with the layers of
//! cargo-chef, `docker push`, and the same `pull`.
//! Measured is each way cold (once; nothing compiled, no layer cached), after a one-line change, and without any change, in turn
//! for several rounds. Prints medians with the ratio to cargo's own time, and draws
//! `target/road/<template>/road.svg`. Options after `--`:
//! `--rounds N`; `--program FILE`, another build of this tool than the one that cargo has made for the bench; `--image NAME`, an
//! image with Rust and cargo-chef in the daemon that `docker` talks to, without which docker is left out; `--baseline FILE`.

mod plot;
#[path = "../ratios/mod.rs"]
mod ratios;
#[path = "../registry/mod.rs"]
mod registry;
mod ways;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use ways::{Scene, TEMPLATES, Way};

/// What is measured.
pub const STEPS: [&str; 3] = ["cold", "one changed line", "no change"];

/// A way, and the median time of each of [`STEPS`].
pub struct Row {
    /// What is done.
    pub name: &'static str,
    /// How long it took.
    pub times: [Duration; 3],
}

fn main() -> ExitCode {
    let (mut rounds, mut baseline, mut image, mut template) = (5, None, None, TEMPLATES[0]);
    let mut program = PathBuf::from(env!("CARGO_BIN_EXE_cargo-plugin-build"));
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => rounds = args.next().and_then(|n| n.parse().ok()).expect("`--rounds` wants a number"),
            "--program" => program = args.next().expect("`--program` wants a file").into(),
            "--template" => {
                let wanted = args.next().expect("`--template` wants a name");
                template = TEMPLATES.into_iter().find(|(name, ..)| *name == wanted).expect("a template of the bench");
            }
            "--image" => image = Some(args.next().expect("`--image` wants a name")),
            "--baseline" => baseline = Some(ratios::baseline(&mut args)),
            "--bench" => {} // from cargo
            other => panic!("no such option: {other}"),
        }
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("road").join(template.0);
    fs::create_dir_all(&folder).expect("a folder");
    let ways: Vec<Way> = Way::ALL.into_iter().filter(|way| image.is_some() || !way.is_docker()).collect();
    let scene = Scene::new(&folder, template, program, image);
    let mut times = vec![[const { Vec::<Duration>::new() }; 3]; ways.len()];
    for (way, times) in ways.iter().zip(&mut times) {
        eprintln!("{}: {}", way.name(), STEPS[0]);
        scene.forget(*way);
        times[0].push(scene.run(*way));
    }
    for round in 1..=rounds {
        scene.change(round);
        for (step, name) in STEPS.iter().enumerate().skip(1) {
            for (way, times) in ways.iter().zip(&mut times) {
                eprintln!("round {round} of {rounds}: {}: {name}", way.name());
                times[step].push(scene.run(*way));
            }
        }
    }
    let rows: Vec<Row> = ways.iter().zip(times).map(|(way, times)| Row { name: way.name(), times: times.map(median) }).collect();
    print!("{}", table(&rows));
    for (name, bytes) in scene.sizes(&ways) {
        println!("{name}: {bytes} bytes in the registry");
    }
    let plot = folder.join("road.svg");
    fs::write(&plot, plot::svg(&rows)).expect("a plot");
    println!("\nPlot: {}", plot.display());
    let mut ratios = ratios::Ratios::new();
    for row in &rows[1..] {
        ratios.insert(format!("{}: {} to cargo", row.name, STEPS[1]), ratio(row.times[1], rows[0].times[1]));
    }
    ratios::keep(&ratios, &folder, baseline.as_deref())
}

fn table(rows: &[Row]) -> String {
    let mut text = format!("| way | {} | {} | {} |\n|---|--:|--:|--:|\n", STEPS[0], STEPS[1], STEPS[2]);
    for row in rows {
        let cell = |step: usize| {
            let (time, of) = (row.times[step], ratio(row.times[step], rows[0].times[step]));
            format!("{:.2} s ({of:.2})", time.as_secs_f64())
        };
        let _ = writeln!(text, "| {} | {} | {} | {} |", row.name, cell(0), cell(1), cell(2));
    }
    text
}

/// A time relative to another.
pub fn ratio(time: Duration, to: Duration) -> f64 {
    time.as_secs_f64() / to.as_secs_f64()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
