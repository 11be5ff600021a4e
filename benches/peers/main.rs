//! The same work (packing; pushing, pulling and unpacking) by this crate and by the tools people use for it, side by side:
//! `cargo bench --bench peers`.
//!
//! Every contestant runs as a process of its own, all of them in turn, for several rounds; tools that are not on `PATH`
//! are left out by name. Prints a table of medians, ratios, output sizes and peak memory, and draws
//! `target/peers/peers.svg`. Options after `--`: `--rounds N`, `--baseline FILE` (`target/peers/ratios.json` of an earlier run: what
//! became worse since is told, and fails), and words that a row (`executable: umoci insert`) must contain.

mod input;
mod measure;
mod moves;
#[path = "../ratios/mod.rs"]
mod ratios;
#[path = "../registry/mod.rs"]
mod registry;
mod report;
mod rows;

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use report::Result;
use rows::Row;

fn main() -> ExitCode {
    let args: Vec<OsString> = env::args_os().skip(1).collect();
    match args.split_first() {
        Some((word, rest)) if word == measure::WORD => measure::child(rest),
        Some((word, rest)) if word == rows::PACK_WORD => rows::pack_child(rest),
        _ => compare(&args),
    }
}

fn compare(args: &[OsString]) -> ExitCode {
    let mut rounds = 5;
    let (mut words, mut baseline) = (Vec::new(), None);
    let mut args = args.iter().map(|arg| arg.to_string_lossy().into_owned());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => rounds = args.next().and_then(|n| n.parse().ok()).expect("`--rounds` wants a number"),
            "--baseline" => baseline = Some(ratios::baseline(&mut args)),
            "--bench" => {} // from cargo
            _ => words.push(arg),
        }
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("peers");
    let moves = moves::Moves::start(&folder);
    let (rows, missing) = rows::all(&folder, moves.as_ref());
    let rows: Vec<Row> = rows.into_iter().filter(|row| words.iter().all(|word| row.title().contains(word))).collect();
    let mut results: Vec<Result> = rows.iter().map(Result::of).collect();
    for round in 1..=rounds {
        let mut turn: Vec<usize> = (0..rows.len()).collect();
        if round % 2 == 0 {
            turn.reverse(); // so that nobody always runs after the same other
        }
        for at in turn {
            let row = &rows[at];
            eprintln!("round {round} of {rounds}: {}", row.title());
            match measure::run(row) {
                Ok(sample) => results[at].samples.push(sample),
                Err(complaint) => eprintln!("  {complaint}"),
            }
        }
    }
    results.retain(|result| !result.samples.is_empty());
    print!("{}", report::table(&results));
    if !missing.is_empty() {
        println!("\nNot on PATH: {}.", missing.join(", "));
    }
    let plot = folder.join("peers.svg");
    std::fs::write(&plot, report::plot(&results)).expect("a plot");
    println!("\nPlot: {}", plot.display());
    ratios::keep(&report::ratios(&results), &folder, baseline.as_deref())
}
