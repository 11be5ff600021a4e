//! `diff`: every difference of two images, from the index down to a section of a program, and no consequence twice.
//!
//! A byte of one file shows in its tar, in the layer's digest, in the configuration's diff id, in the manifest and in the
//! index. Only the byte is told: digests and sizes of what is looked into are never differences themselves. Where
//! everything that is looked at agrees and the bytes do not, that is told at the place where they part.
//!
//! - `tools`: compilers, linkers and libcs that the provenances name, the cause of everything else where they differ.
//! - `documents`: index, platforms, manifests, annotations, configuration, history.
//! - `layers`: order, compression, and which layer is to be compared with which.
//! - `entries`: what is in a layer.
//! - `contents`: what is in a file: `sections` of programs with their `strings` and `symbols`, `paths` in them, keys of JSON,
//!   lines of text.
//!
//! # Memory
//!
//! Layers are streamed, and more than once: first to hash each entry, then for the facts of those that differ, then for
//! the content of the first few files that do. Content goes to temporary files, of which programs are read in pieces.
//!
//! Differences are told as long as `TOLD` bytes hold them, and counted after that. Layers are looked into until
//! [`READ_TOGETHER`] bytes of tar were read.

mod contents;
mod documents;
mod entries;
mod json;
mod layers;
mod paths;
mod ranges;
mod sections;
mod strings;
mod symbols;
mod tools;

use std::io;

use serde::Serialize;

use plugin_oci::documents::Descriptor;
use plugin_oci::failure::{Error, Failure};
use plugin_oci::layers::unpack::READ_TOGETHER;
use plugin_oci::progress::Progress;
use plugin_oci::stores::{Selector, Source};
use plugin_oci::values::digest::Digest;
use plugin_oci::values::platform::Platform;
pub use tools::{Tools, compare as compare_tools};

/// One of the two images.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// Where it lies.
    pub source: &'a dyn Source,
    /// Which it is.
    pub selector: &'a Selector,
}

/// One difference, shaped like a [`Finding`](plugin_oci::finding::Finding).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What differs: a chain from the outside in.
    pub object: String,
    /// The kind of difference as a short stable word, for scripts.
    pub rule: &'static str,
    /// One line for a person.
    pub message: String,
    /// What the first image has; absent where it has nothing of the kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// What the second image has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second: Option<String>,
}

/// The [`Difference::rule`] of a program, library or module with other content.
pub const PROGRAM: &str = "program";

/// How much two images differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The same digest.
    Same,
    /// The same contents (diff ids), compressed otherwise.
    OtherCompression,
    /// The same contents, described otherwise.
    OtherDescription,
    OtherContents,
}

impl Verdict {
    /// The verdict as half a sentence.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Same => "the same digest",
            Self::OtherCompression => "same contents (diff ids equal), other compression",
            Self::OtherDescription => "same contents (diff ids equal), other description",
            Self::OtherContents => "other contents",
        }
    }
}

/// What a comparison found.
#[derive(Clone, Debug, Serialize)]
pub struct DiffReport {
    /// Digest of the first image.
    pub first: Digest,
    /// Digest of the second image.
    pub second: Digest,
    /// How much they differ.
    pub verdict: Verdict,
    /// Whether the same tools were at work; absent where nothing differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Tools>,
    /// Every difference: other tools, then from the outside in.
    pub differences: Vec<Difference>,
}

/// Compares two images; of their platforms only `platforms`, or all where that is empty.
pub fn diff(first: Side<'_>, second: Side<'_>, platforms: &[Platform], progress: &dyn Progress) -> Result<DiffReport, Error> {
    let roots = [first.source.resolve(first.selector)?, second.source.resolve(second.selector)?];
    let sources = [first.source, second.source];
    let (verdict, mut differences) = compare(sources, &roots, platforms, progress)?;
    let mut tools = None;
    if !differences.is_empty() {
        let (found, told) = tools::recorded(sources, &roots, platforms)?;
        tools = Some(found);
        differences.splice(0..0, told);
    }
    let [first, second] = roots.map(|root| root.digest);
    Ok(DiffReport { first, second, verdict, tools, differences })
}

/// Compares what two descriptors name.
pub fn compare(
    sources: [&dyn Source; 2],
    roots: &[Descriptor; 2],
    platforms: &[Platform],
    progress: &dyn Progress,
) -> Result<(Verdict, Vec<Difference>), Error> {
    let mut comparison =
        Comparison { sources, platforms, progress, differences: Vec::new(), held: 0, more: 0, read: 0, verdict: Verdict::Same };
    comparison.roots(roots)?;
    if comparison.more > 0 {
        let text = format!("{} more differences", comparison.more);
        comparison.differences.push(Difference::note("", "more", text));
    }
    Ok((comparison.verdict, comparison.differences))
}

/// A comparison under way.
struct Comparison<'a> {
    sources: [&'a dyn Source; 2],
    platforms: &'a [Platform],
    progress: &'a dyn Progress,
    differences: Vec<Difference>,
    /// Bytes of their texts.
    held: usize,
    /// How many there was no room for.
    more: usize,
    /// Bytes of tar that were read.
    read: u64,
    verdict: Verdict,
}

/// Bytes of memory for all differences.
const TOLD: usize = 8 << 20;
/// Bytes of memory for a difference beside its texts.
const OVERHEAD: usize = 200;

impl Comparison<'_> {
    /// Adds a difference in what the contents are.
    fn content(&mut self, difference: Difference) {
        self.verdict = Verdict::OtherContents;
        self.push(difference);
    }

    fn push(&mut self, difference: Difference) {
        let texts = [Some(&difference.object), Some(&difference.message), difference.first.as_ref(), difference.second.as_ref()];
        self.held += OVERHEAD + texts.into_iter().flatten().map(String::len).sum::<usize>();
        if self.more == 0 && self.held <= TOLD {
            self.differences.push(difference);
        } else {
            self.more += 1;
        }
    }

    /// How many differences there are so far.
    fn count(&self) -> usize {
        self.differences.len() + self.more
    }

    /// Whether nothing more is looked into, as so much was read or there is no room to tell of it; what is not looked into is
    /// told or counted.
    fn is_enough(&mut self, chain: &str) -> bool {
        let enough = self.read >= READ_TOGETHER || self.more > 0;
        if enough {
            self.content(Difference::note(
                chain,
                "more",
                format!("not looked into: {READ_TOGETHER} bytes of other layers were read"),
            ));
        }
        enough
    }

    /// Adds a difference in what is said about the contents.
    fn description(&mut self, difference: Difference) {
        self.verdict = self.verdict.max(Verdict::OtherDescription);
        self.push(difference);
    }
}

impl Difference {
    /// Something that both have, with other values.
    fn changed(object: impl Into<String>, rule: &'static str, what: &str, values: [String; 2]) -> Self {
        let [first, second] = values;
        let message = format!("{what}{}{} -> {}", if what.is_empty() { "" } else { " " }, cut(&first), cut(&second));
        Self { object: object.into(), rule, message, first: Some(first), second: Some(second) }
    }

    /// Something that only one of them has: `side` 0 is the first.
    fn only(object: impl Into<String>, rule: &'static str, side: usize, what: impl Into<String>) -> Self {
        let what = what.into();
        let (message, first, second) = match side {
            0 => (format!("only in the first: {}", cut(&what)), Some(what), None),
            _ => (format!("only in the second: {}", cut(&what)), None, Some(what)),
        };
        Self { object: object.into(), rule, message, first, second }
    }

    /// Something that is no pair of values.
    fn note(object: impl Into<String>, rule: &'static str, message: impl Into<String>) -> Self {
        Self { object: object.into(), rule, message: message.into(), first: None, second: None }
    }
}

/// Text of foreign origin for a message: one line, not too long.
fn cut(text: &str) -> String {
    const MOST: usize = 160;
    let shown: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    let shown = shown.replace("\\\"", "\"").replace("\\'", "'");
    if text.chars().nth(MOST).is_some() { shown + "..." } else { shown }
}

/// A digest for a message.
fn short(digest: &Digest) -> String {
    format!("{}:{}", digest.algorithm().as_str(), digest.short())
}

/// A chain one link longer.
fn below(chain: &str, link: &str) -> String {
    if chain.is_empty() { cut(link) } else { format!("{chain} > {}", cut(link)) }
}

/// Why images could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// Content could not be put aside for a closer look.
    #[error("cannot set aside the content of {object} for comparison")]
    SetAside { object: String, source: io::Error },
}

impl Failure for DiffError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_one_short_line() {
        assert_eq!(cut("a\x1b[2J\n\"b\""), "a\\u{1b}[2J\\n\"b\"");
        assert!(cut(&"x".repeat(1000)).len() < 200);
    }

    #[test]
    fn the_worst_difference_decides_the_verdict() {
        assert!(Verdict::OtherContents > Verdict::OtherDescription && Verdict::OtherDescription > Verdict::OtherCompression);
    }
}
