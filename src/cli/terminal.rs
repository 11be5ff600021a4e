//! The only printer: events become cargo-like lines, progress bars, or JSON.
//!
//! stdout carries results and, as JSON, errors (with `--message-format json-progress` events too); everything for people goes to stderr. Bars appear
//! only on a terminal and only for work that lasts over a second.
//!
//! Texts hold what images, archives and servers say: all of them go through [`plugin_oci::values::text`], so that nothing but this file
//! commands the terminal, and nothing fills it. Two kinds pass as they are: JSON, which is for programs, and the log of a plugin
//! that the user has started, which may be coloured.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anstream::{AutoStream, ColorChoice as StreamChoice};
use anstyle::{AnsiColor, Style};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use serde::Serialize;

use super::global::{ColorChoice, GlobalArgs, MessageFormat};
use super::hints;
use super::output::json_line;
use super::rendered::{CYAN, RED};
use plugin_oci::progress::{Event, LogLevel, Outcome, Progress};
use plugin_oci::values::text::{self, human_size, message};

const GREEN: Style = AnsiColor::BrightGreen.on_default().bold();
const YELLOW: Style = AnsiColor::BrightYellow.on_default().bold();

/// How long work lasts before it gets a bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// Renders events.
pub struct Terminal {
    quiet: bool,
    verbose: u8,
    /// Whether stdout carries what is being done, too.
    events: bool,
    color: StreamChoice,
    bars: Option<MultiProgress>,
    blobs: Mutex<BTreeMap<String, Blob>>,
    /// Why a result did not reach stdout.
    unwritten: OnceLock<io::Error>,
}

struct Blob {
    verb: &'static str,
    done: u64,
    since: Instant,
    /// Measures from the beginning, so that rate and time left are right when it is shown.
    bar: Option<ProgressBar>,
    is_shown: bool,
}

impl Terminal {
    /// Decides colours and bars.
    pub fn new(global: &GlobalArgs) -> Self {
        let json = global.message_format != MessageFormat::Human;
        let events = !global.quiet && (global.message_format == MessageFormat::JsonProgress || json && global.verbose > 0);
        let color = match global.color {
            ColorChoice::Auto => StreamChoice::Auto,
            ColorChoice::Always => StreamChoice::Always,
            ColorChoice::Never => StreamChoice::Never,
        };
        let bars = (std::io::stderr().is_terminal() && !global.quiet && !json).then(MultiProgress::new);
        Self {
            quiet: global.quiet,
            verbose: global.verbose,
            events,
            color,
            bars,
            blobs: Mutex::default(),
            unwritten: OnceLock::new(),
        }
    }

    /// Prints a result line for people.
    pub fn print(&self, line: &str) {
        self.print_json(&text::lines(line));
    }

    /// Prints an object for programs, on a line of its own. What is no JSON is not written: [`Terminal::unwritten`].
    pub fn print_object(&self, reason: &str, object: &impl Serialize) {
        match json_line(reason, object) {
            Ok(line) => self.print_json(&line),
            Err(error) => drop(self.unwritten.set(error.into())),
        }
    }

    /// Prints a result line for programs.
    pub fn print_json(&self, line: &str) {
        self.print_bytes(format!("{line}\n").as_bytes());
    }

    /// Prints bytes as they are. A reader that went away is no error of ours, a full disk is one: [`Terminal::unwritten`].
    pub fn print_bytes(&self, bytes: &[u8]) {
        self.suspended(|| {
            let mut out = std::io::stdout().lock();
            if let Err(error) = out.write_all(bytes).and_then(|()| out.flush())
                && error.kind() != io::ErrorKind::BrokenPipe
            {
                let _ = self.unwritten.set(error);
            }
        });
    }

    /// Why something that was printed did not get to stdout.
    pub fn unwritten(&self) -> Option<&io::Error> {
        self.unwritten.get()
    }

    /// Prints an error, as [`failure`](super::failure) has made it.
    pub fn error(&self, text: &str) {
        self.stderr(text);
    }

    /// Takes down whatever bars are left.
    pub fn finish(&self) {
        if let Some(bars) = &self.bars {
            drop(bars.clear());
        }
    }

    fn warning(&self, text: &str, hint: Option<&str>) {
        let hint = hint.map(|hint| format!("\n{CYAN}help{CYAN:#}: {}", message(hint))).unwrap_or_default();
        self.stderr(&format!("{YELLOW}warning{YELLOW:#}: {}{hint}", message(text)));
    }

    fn stderr(&self, text: &str) {
        self.suspended(|| {
            let mut out = AutoStream::new(std::io::stderr().lock(), self.color);
            drop(writeln!(out, "{text}"));
        });
    }

    fn suspended(&self, print: impl FnOnce()) {
        match &self.bars {
            Some(bars) => bars.suspend(print),
            None => print(),
        }
    }

    fn status_line(&self, verb: &str, text: &str) {
        self.stderr(&format!("{GREEN}{verb:>12}{GREEN:#} {}", message(text)));
    }

    /// A plugin's debug lines need `-v`, its trace lines `-vv`; with `-q` only its errors are left.
    fn shows(&self, level: LogLevel) -> bool {
        match level {
            LogLevel::Trace => self.verbose > 1,
            LogLevel::Debug => self.verbose > 0,
            LogLevel::Info | LogLevel::Warn => !self.quiet,
            LogLevel::Error => true,
        }
    }

    fn plugin_line(&self, level: LogLevel, text: &str) {
        let style = match level {
            LogLevel::Error => RED,
            LogLevel::Warn => YELLOW,
            LogLevel::Trace | LogLevel::Debug | LogLevel::Info => CYAN,
        };
        self.stderr(&format!("{style}{:>12}{style:#} {text}", level.as_str()));
    }

    fn blobs(&self) -> MutexGuard<'_, BTreeMap<String, Blob>> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn advance(&self, key: &str, bytes: u64) {
        let mut blobs = self.blobs();
        let Some(blob) = blobs.get_mut(key) else { return };
        blob.done += bytes;
        let (Some(bars), Some(bar)) = (&self.bars, &blob.bar) else { return };
        bar.set_position(blob.done);
        if !blob.is_shown && blob.since.elapsed() >= PATIENCE {
            blob.is_shown = true;
            bar.set_prefix(format!("{:>12}", blob.verb));
            bar.set_message(shortened(key));
            bars.add(bar.clone());
        }
    }

    fn finish_blob(&self, key: &str, outcome: Outcome, bytes: u64) {
        let blob = self.blobs().remove(key);
        if let Some(bar) = blob.as_ref().and_then(|blob| blob.bar.as_ref()) {
            bar.finish_and_clear();
        }
        let verb = match outcome {
            Outcome::Copied => blob.as_ref().map_or("Copied", |blob| past(blob.verb)),
            Outcome::Present => "Present",
            Outcome::Mounted => "Mounted",
            Outcome::LeftOut => "Left out",
        };
        let shown = match outcome {
            Outcome::Copied if blob.as_ref().is_some_and(|blob| blob.verb != "Writing") => {
                self.bars.is_none() || self.verbose > 0
            }
            _ => self.verbose > 0,
        };
        if shown && !self.quiet {
            self.status_line(verb, &format!("{} ({})", shortened(key), human_size(bytes)));
        }
    }
}

impl Progress for Terminal {
    fn event(&self, event: Event) {
        if self.events && !matches!(event, Event::BlobAdvanced { .. }) {
            self.print_object("progress", &event);
        }
        match event {
            Event::Status { verb, text } if !self.quiet => self.status_line(verb, &text),
            Event::Detail { text } if self.verbose > 0 => self.stderr(&message(&text)),
            Event::Warning { text, hint } if !self.quiet => self.warning(&text, hint.as_deref()),
            Event::Hazard { text, hint, .. } if !self.quiet => self.warning(&text, Some(&hint)),
            Event::Note { text } if !self.quiet => self.stderr(&format!("{CYAN}note{CYAN:#}: {}", message(&text))),
            Event::BlobStarted { blob, verb, total } => {
                let bar = self.bars.is_some().then(|| new_bar(total));
                let entry = Blob { verb, done: 0, since: Instant::now(), bar, is_shown: false };
                self.blobs().insert(blob, entry);
            }
            Event::BlobAdvanced { blob, bytes } => self.advance(&blob, bytes),
            Event::BlobFinished { blob, outcome, bytes } => self.finish_blob(&blob, outcome, bytes),
            Event::Wrote { path } if self.verbose > 1 => self.stderr(&message(&format!("wrote {path}"))),
            Event::Removed { path } if self.verbose > 0 => self.stderr(&message(&format!("removed {path}"))),
            Event::Spawned { command } if self.verbose > 0 => self.stderr(&message(&format!("running `{command}`"))),
            Event::PluginLog { level, text } if self.shows(level) => self.plugin_line(level, &text),
            Event::TagMoved { tag, old: Some(old), new } if !self.quiet => {
                self.status_line(
                    "Moved",
                    &format!("tag {tag}: {} -> {}", shortened(&old.to_string()), shortened(&new.to_string())),
                );
            }
            _ => {}
        }
    }

    fn caution(&self, warning: &(dyn std::error::Error + 'static)) {
        self.warn(warning.to_string(), hints::hint(warning));
    }
}

/// A bar that is not shown yet, of what fits: a line that wraps cannot be drawn over.
fn new_bar(total: Option<u64>) -> ProgressBar {
    let columns = terminal_size::terminal_size_of(io::stderr()).map_or(80, |(width, _)| width.0);
    let template = match total {
        Some(_) if columns >= 100 => "{prefix:.green.bold} [{bar:24}] {bytes}/{total_bytes} {bytes_per_sec} eta {eta} {wide_msg}",
        Some(_) if columns >= 64 => "{prefix:.green.bold} [{bar:16}] {percent}% of {total_bytes} eta {eta} {wide_msg}",
        Some(_) => "{prefix:.green.bold} {percent}% of {total_bytes} {wide_msg}",
        None => "{prefix:.green.bold} {spinner} {bytes} {wide_msg}",
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden()).with_style(style.progress_chars("=> "))
}

fn past(verb: &'static str) -> &'static str {
    match verb {
        "Compressing" => "Compressed",
        "Pushing" => "Pushed",
        "Pulling" => "Pulled",
        "Writing" => "Wrote",
        "Copying" => "Copied",
        other => other,
    }
}

fn shortened(key: &str) -> String {
    let key = text::field(key);
    key.split_once(':')
        .map_or_else(|| key.to_string(), |(algorithm, hex)| format!("{algorithm}:{}", hex.get(..12).unwrap_or(hex)))
}
