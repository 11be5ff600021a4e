//! One run of one contestant: its time, its peak memory, the size of what it made.
//!
//! The command runs below a copy of this program, which waits for it and asks the kernel for the largest of its
//! descendants; nothing else tells the peak of a single command.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

use crate::rows::Row;

/// The first argument of such a copy.
pub const WORD: &str = "measure-child";

/// What one run gave.
#[derive(Clone, Copy)]
pub struct Sample {
    /// Wall-clock time.
    pub time: Duration,
    /// Peak memory of the largest process, in bytes.
    pub memory: u64,
    /// Size of the output, in bytes.
    pub size: u64,
}

/// Prepares and runs a row once.
pub fn run(row: &Row) -> Result<Sample, String> {
    let _ = fs::remove_dir_all(&row.scratch);
    fs::create_dir_all(&row.scratch).map_err(|error| error.to_string())?;
    let program = env::current_exe().map_err(|error| error.to_string())?;
    // What is read is in memory and the disk idle: nobody reads for those who come later, or waits for what others wrote.
    let script = format!("{}; find '{}' -type f -exec cat {{}} + > /dev/null; sync", row.prepare, row.reads.display());
    let status = Command::new("sh").args(["-ec", &script]).current_dir(&row.scratch).stdout(Stdio::null()).status();
    if !status.is_ok_and(|status| status.success()) {
        return Err(format!("`{script}` failed"));
    }
    let output = Command::new(program).arg(WORD).args(&row.command).current_dir(&row.scratch).output();
    let output = output.map_err(|error| error.to_string())?;
    let report = String::from_utf8_lossy(&output.stdout);
    let mut numbers = report.split_whitespace().map_while(|word| word.parse().ok());
    match (output.status.success(), numbers.next(), numbers.next()) {
        (true, Some(micros), Some(memory)) => Ok(Sample { time: Duration::from_micros(micros), memory, size: largest(row) }),
        _ => Err(format!("failed: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// The layer is the largest file that a contestant leaves, intermediate ones aside.
fn largest(row: &Row) -> u64 {
    let files = walkdir::WalkDir::new(row.scratch.join("out")).into_iter().flatten();
    files.filter_map(|entry| entry.metadata().ok()).filter(fs::Metadata::is_file).map(|file| file.len()).max().unwrap_or(0)
}

/// Runs the command in `args`, and prints its microseconds and bytes.
pub fn child(args: &[OsString]) -> ExitCode {
    let Some((program, args)) = args.split_first() else { return ExitCode::FAILURE };
    let start = Instant::now();
    let status = Command::new(program).args(args).stdin(Stdio::null()).stdout(Stdio::null()).status();
    let time = start.elapsed().as_micros();
    if !status.is_ok_and(|status| status.success()) {
        return ExitCode::FAILURE;
    }
    let kibibytes = getrusage(UsageWho::RUSAGE_CHILDREN).map_or(0, |usage| usage.max_rss());
    println!("{time} {}", kibibytes * 1024);
    ExitCode::SUCCESS
}
