//! Pushing and pulling blobs through this server and through Debian's `docker-registry`, both on the same disk:
//! `cargo bench -p plugin-registry --bench throughput`.
//!
//! One client for both, which sends and reads as little more than sockets do: connections that stay open, blobs that do not
//! compress, each new to the server. Pushed is in one body (`POST`, `PUT`) and as docker does it (`POST`, `PATCH` in HTTP's
//! chunks, `PUT`), by 1 client and by 16 at once; pulled is what was pushed, which is still in memory. Both servers take every
//! row of a round in turn, and what a row wrote is removed before the next. Prints medians and ratios, draws
//! `target/throughput/throughput.svg`. Options after `--`: `--rounds N`, `--baseline FILE` (`target/throughput/ratios.json` of an
//! earlier run), `--program FILE` (another build of the server), `--ours` (without `docker-registry`), and words that a row
//! (`push small, 16 clients`) must contain.
//!
//! Both sync a blob before they answer: `docker-registry` its files 11 times a blob, 16 times as docker pushes, and no directory; this
//! server the file and its directory, 2 times and 3, so that the name survives a loss of power too.

mod client;
mod plot;
#[path = "../../../../benches/ratios/mod.rs"]
mod ratios;
#[path = "../../../../benches/registry/mod.rs"]
mod registry;
mod servers;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use client::{Blobs, Load, Way};
use servers::Servers;

/// Blobs of a row: what they are called, how large they are, and how many there are for 1 client and for more.
const SIZES: [(&str, usize, [usize; 2]); 3] =
    [("small", 10_000, [1_000, 1_000]), ("medium", 10_000_000, [32, 64]), ("large", 256 << 20, [2, 16])];
const CLIENTS: [usize; 2] = [1, 16];

/// One kind of work.
pub struct Row {
    /// Of which blobs, by how many clients.
    load: Load,
    way: Way,
    /// What it is called.
    pub title: String,
    /// The times of each server, in the order of [`Servers::names`].
    pub times: Vec<Vec<Duration>>,
}

impl Row {
    /// The middle one of a server's times.
    pub fn median(&self, server: usize) -> Duration {
        let mut times = self.times[server].clone();
        times.sort_unstable();
        times[times.len() / 2]
    }

    /// The times of the first server beside those of another.
    pub fn ratio(&self, to: usize) -> f64 {
        self.median(0).as_secs_f64() / self.median(to).as_secs_f64()
    }

    /// Megabytes a second, or blobs a second where they are small.
    pub fn rate(&self, server: usize) -> String {
        let per_second = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / self.median(server).as_secs_f64();
        if self.load.size < 1 << 20 {
            format!("{:.0}/s", per_second(self.load.count))
        } else {
            format!("{:.0} MB/s", per_second(self.load.count * (self.load.size / 1000)) / 1000.0)
        }
    }
}

fn main() -> ExitCode {
    let (mut rounds, mut words, mut baseline, mut with_peer) = (5, Vec::new(), None, true);
    let mut program = PathBuf::from(env!("CARGO_BIN_EXE_plugin-registry"));
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => rounds = args.next().and_then(|n| n.parse().ok()).expect("`--rounds` wants a number"),
            "--baseline" => baseline = Some(ratios::baseline(&mut args)),
            "--program" => program = args.next().expect("`--program` wants a file").into(),
            "--ours" => with_peer = false,
            "--bench" => {} // from cargo
            _ => words.push(arg),
        }
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("throughput");
    fs::create_dir_all(&folder).expect("a folder");
    let servers = Servers::start(&folder, &program, with_peer);
    let mut blobs = Blobs::new();
    let mut rows = rows(&words, servers.names().len());
    for round in 1..=rounds {
        for row in &mut rows {
            measure(row, &servers, &mut blobs, round);
        }
        eprintln!("round {round} of {rounds}");
    }
    print!("{}", table(&rows, servers.names()));
    let image = folder.join("throughput.svg");
    fs::write(&image, plot::svg(&rows, servers.names())).expect("a plot");
    println!("\nPlot: {}", image.display());
    let mut all = ratios::Ratios::new();
    for row in rows.iter().filter(|_| with_peer) {
        all.insert(row.title.clone(), row.ratio(1));
    }
    ratios::keep(&all, &folder, baseline.as_deref())
}

/// The rows whose titles have all of these words.
fn rows(words: &[String], servers: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, size, counts) in SIZES {
        for (clients, count) in CLIENTS.into_iter().zip(counts) {
            for way in Way::ALL {
                let many = if clients == 1 { "1 client" } else { &format!("{clients} clients") };
                let title = format!("{} {name}, {many}", way.name());
                let load = Load { size, count, clients };
                rows.push(Row { load, way, title, times: vec![Vec::new(); servers] });
            }
        }
    }
    rows.retain(|row| words.iter().all(|word| row.title.contains(word)));
    rows
}

/// A round of one row.
fn measure(row: &mut Row, servers: &Servers, blobs: &mut Blobs, round: usize) {
    let mut turn: Vec<usize> = (0..servers.names().len()).collect();
    if round.is_multiple_of(2) {
        turn.reverse(); // so that nobody always runs after the same other
    }
    for server in turn {
        let (host, new) = (&servers.hosts()[server], blobs.next(row.load));
        if row.way == Way::Pull {
            client::run(host, row.load, Way::Push, &new);
        }
        servers::settle();
        let took = client::run(host, row.load, row.way, &new);
        eprintln!("  {}: {}: {:.3} s", row.title, servers.names()[server], took.as_secs_f64());
        row.times[server].push(took);
        servers.forget();
    }
}

fn table(rows: &[Row], names: &[&str]) -> String {
    use std::fmt::Write as _;
    let mut text = format!("| work | {} | time × |\n|---|{}--:|\n", names.join(" | "), "--:|".repeat(names.len()));
    for row in rows {
        let cells: Vec<String> =
            (0..names.len()).map(|server| format!("{:.3} s ({})", row.median(server).as_secs_f64(), row.rate(server))).collect();
        let ratio = if names.len() > 1 { format!("{:.2}", row.ratio(1)) } else { String::new() };
        // A text takes whatever is written.
        let _ = writeln!(text, "| {} | {} | {ratio} |", row.title, cells.join(" | "));
    }
    text
}
