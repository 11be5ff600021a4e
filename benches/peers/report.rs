//! The table and the plot.

use std::fmt::Write;
use std::time::Duration;

use crate::measure::Sample;
use crate::ratios::Ratios;
use crate::rows::Row;

/// A row's samples.
pub struct Result {
    work: String,
    name: String,
    /// One a round.
    pub samples: Vec<Sample>,
}

impl Result {
    /// A row without samples yet.
    pub fn of(row: &Row) -> Self {
        Self { work: row.work.clone(), name: row.name.clone(), samples: Vec::new() }
    }

    fn median(&self) -> Duration {
        let mut times: Vec<Duration> = self.samples.iter().map(|sample| sample.time).collect();
        times.sort_unstable();
        times[times.len() / 2]
    }

    fn memory(&self) -> u64 {
        self.samples.iter().map(|sample| sample.memory).max().unwrap_or(0)
    }

    fn size(&self) -> u64 {
        self.samples.last().map_or(0, |sample| sample.size)
    }
}

/// A Markdown table: each contestant beside the first of the same work.
pub fn table(results: &[Result]) -> String {
    let mut table =
        String::from("| work | contestant | time × | size × | median | output | peak memory |\n|---|---|--:|--:|--:|--:|--:|\n");
    for result in results {
        let first = first(results, result);
        let time = ratio(result.median().as_secs_f64(), first.median().as_secs_f64());
        let size = ratio(float(result.size()), float(first.size()));
        let seconds = result.median().as_secs_f64();
        let _ = writeln!(
            table,
            "| {} | {} | {time:.2} | {size:.3} | {seconds:.3} s | {} | {:.1} MiB |",
            result.work,
            result.name.replace('|', "\\|"),
            grouped(result.size()),
            float(result.memory()) / 1_048_576.0,
        );
    }
    table
}

/// Our time and size to those of each other contestant.
pub fn ratios(results: &[Result]) -> Ratios {
    let mut ratios = Ratios::new();
    for result in results {
        let (first, title) = (first(results, result), format!("{}: {}", result.work, result.name));
        if first.name != result.name {
            let time = ratio(first.median().as_secs_f64(), result.median().as_secs_f64());
            ratios.insert(format!("{title}, size"), ratio(float(first.size()), float(result.size())));
            ratios.insert(format!("{title}, time"), time);
        }
    }
    ratios
}

/// Bars of time, one group for each work, each as long as its ratio to the slowest.
pub fn plot(results: &[Result]) -> String {
    let height = 30 + 22 * results.len();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"900\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (line, result) in results.iter().enumerate() {
        let slowest = results.iter().filter(|other| other.work == result.work).map(Result::median).max().unwrap_or_default();
        let y = 20 + 22 * line;
        let width = 400.0 * ratio(result.median().as_secs_f64(), slowest.as_secs_f64());
        let colour = if result.name.starts_with("plugin-build") { "#2a7" } else { "#99a" };
        let _ = writeln!(
            svg,
            "<text x=\"280\" y=\"{}\" text-anchor=\"end\">{}: {}</text>\
             <rect x=\"290\" y=\"{y}\" width=\"{width:.1}\" height=\"16\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{}\">{:.3} s, {} bytes</text>",
            y + 13,
            result.work,
            result.name,
            width + 296.0,
            y + 13,
            result.median().as_secs_f64(),
            grouped(result.size()),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn first<'a>(results: &'a [Result], of: &'a Result) -> &'a Result {
    results.iter().find(|other| other.work == of.work).unwrap_or(of)
}

fn ratio(value: f64, base: f64) -> f64 {
    if base == 0.0 { 0.0 } else { value / base }
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn float(value: u64) -> f64 {
    value as f64
}

/// 1234567 as 1 234 567.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}
