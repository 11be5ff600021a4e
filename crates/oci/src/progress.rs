//! What work says while it goes on. The engine emits [`Event`]s; whoever holds the [`Progress`] renders or counts them.
//!
//! Nothing below the command line prints.

use serde::Serialize;

use crate::values::digest::Digest;

/// One thing that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A cargo-like status line: a verb in the past or present tense, and what it is about.
    Status {
        /// `Packaged`, `Pushed`.
        verb: &'static str,
        /// What it is about.
        text: String,
    },
    /// Something only shown with `-v`.
    Detail {
        /// One line.
        text: String,
    },
    /// Something a user should know, though the work goes on.
    Warning {
        /// One line.
        text: String,
        /// The way out.
        hint: Option<String>,
    },
    /// Something that is known to make the bytes differ from build to build.
    Hazard {
        /// The kind as a short stable word.
        rule: &'static str,
        /// One line.
        text: String,
        /// The way out.
        hint: String,
    },
    /// A fact that explains the result, less than a warning.
    Note {
        /// One line.
        text: String,
    },
    /// A blob starts to move or to be made.
    BlobStarted {
        /// What a person calls it: a digest or a path. The key of the following events.
        blob: String,
        /// `Compressing`, `Pushing`.
        verb: &'static str,
        /// Its size in bytes, where known.
        total: Option<u64>,
    },
    /// Some more of a blob has moved.
    BlobAdvanced {
        /// The key.
        blob: String,
        /// Bytes since the last event.
        bytes: u64,
    },
    /// A blob is where it should be.
    BlobFinished {
        /// The key.
        blob: String,
        /// How it got there.
        outcome: Outcome,
        /// Its size in bytes.
        bytes: u64,
    },
    /// A layer was compressed (never sent for one found in the layout).
    Compressed {
        /// Digest of the uncompressed tar.
        diff_id: Digest,
        /// Digest of the compressed blob.
        digest: Digest,
    },
    /// A file came to be under its final name.
    Wrote {
        /// Its path.
        path: String,
    },
    /// A file was removed.
    Removed {
        /// Its path.
        path: String,
    },
    /// A process was started.
    Spawned {
        /// Program and arguments.
        command: String,
    },
    /// A plugin that runs here logged something.
    PluginLog {
        /// How loud its host would have it.
        level: LogLevel,
        /// The message, and after it ` key=value` for each field.
        text: String,
    },
    /// A tag now names another digest.
    TagMoved {
        /// The tag.
        tag: String,
        /// What it named; `None` for a new tag.
        old: Option<Digest>,
        /// What it names.
        new: Digest,
    },
}

/// How loud a plugin's log line is, in hclog's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Shown by hosts at `trace` only.
    Trace,
    /// Shown by hosts at `debug` and below.
    Debug,
    /// Shown by default.
    Info,
    /// Shown unless only errors are.
    Warn,
    /// Always shown.
    Error,
}

impl LogLevel {
    /// The word in hclog's `@level`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// How a blob got to where it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Its bytes were written or sent.
    Copied,
    /// It was there already.
    Present,
    /// The registry took it from another of its repositories.
    Mounted,
    /// The other side has it: a delta leaves it out.
    LeftOut,
}

/// A receiver of events. Called from several threads.
pub trait Progress: Sync {
    /// Takes one event.
    fn event(&self, event: Event);

    /// Reports a cargo-like status line.
    fn status(&self, verb: &'static str, text: String) {
        self.event(Event::Status { verb, text });
    }

    /// Reports something only shown with `-v`.
    fn detail(&self, text: String) {
        self.event(Event::Detail { text });
    }

    /// Reports a warning.
    fn warn(&self, text: String, hint: Option<String>) {
        self.event(Event::Warning { text, hint });
    }

    /// Reports what would be an error if the work could not go on. Who shows it adds the way out, as for an error.
    fn caution(&self, warning: &(dyn std::error::Error + 'static)) {
        self.warn(warning.to_string(), None);
    }
}

/// Drops every event.
#[derive(Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _event: Event) {}
}
