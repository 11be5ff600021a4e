//! The router's execution configuration: which image each of its plugins comes from.
//!
//! `wgc router compose` writes the configuration and knows no images: with what it writes, the router looks for plugins in its
//! file system. Here a plugin's `version` and `imageReference` are written into that file, pinned by digest, and nothing else
//! changes, byte for byte: composing is left to wgc. What wgc composed must be what the image was built for, or the router
//! would call what the plugin does not serve: schema, proto and mapping are compared with the image's contract
//! ([`crate::hosts::cosmo::contract`]) before anything is written.
//!
//! | file | holds |
//! |---|---|
//! | `scan.rs` | JSON by spans, in memory that does not grow with it |
//! | `plugins.rs` | where a configuration names plugins |
//! | `mapping.rs` | when two mappings are the same |
//! | `file.rs` | reading and replacing the file |
//! | `images.rs` | images, their versions and contracts |

mod error;
pub mod file;
mod images;
mod mapping;
mod plugins;
pub mod scan;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use error::ExecutionError;
pub use images::Wanted;

use file::{ConfigFile, Edit};
use images::Image;
use plugin_oci::failure::Error;
use plugin_oci::finding::Finding;
use plugin_oci::stores::open::Stores;
use plugin_oci::values::digest::{Digest, Hasher};
use plugin_oci::values::text;
use plugins::PluginEntry;
use scan::ScanError;

/// What is done with a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is written.
    Set,
    /// It is compared.
    Check,
}

/// What was found, and perhaps written.
#[derive(Clone, Debug, Serialize)]
pub struct ExecutionReport {
    /// The file.
    pub config: PathBuf,
    /// Whether it was changed.
    pub changed: bool,
    /// Each plugin that was named.
    pub plugins: Vec<Plugin>,
    /// What does not agree. When setting, nothing was written if there is any.
    #[serde(skip)]
    pub findings: Vec<Finding>,
    /// Plugins of the configuration for which no image was named.
    pub others: Vec<String>,
}

/// A plugin and its image.
#[derive(Clone, Debug, Serialize)]
pub struct Plugin {
    /// The plugin's name.
    pub name: String,
    /// `HOST/REPO@DIGEST`.
    pub image: String,
    /// The image's digest.
    pub digest: Digest,
    /// The image's version.
    pub version: Option<String>,
    /// Where the configuration names it.
    pub places: Vec<String>,
}

/// Sets or compares the images of plugins.
pub fn set(config: &Path, wanted: &[Wanted], mode: Mode, stores: &Stores<'_>) -> Result<ExecutionReport, Error> {
    let images = images::resolve(wanted, stores)?;
    let file = ConfigFile::open(config, mode == Mode::Set)?;
    let (places, digest) = file.read(|input| plugins::places(input)).map_err(malformed(&file.path()))?;
    let mut report = ExecutionReport {
        config: file.path(),
        changed: false,
        plugins: Vec::new(),
        findings: Vec::new(),
        others: known(&places).difference(&images.iter().map(|image| image.name.clone()).collect()).cloned().collect(),
    };
    let mut edits = Vec::new();
    for image in &images {
        let named: Vec<&PluginEntry> = places.iter().filter(|place| place.name == image.name).collect();
        if named.is_empty() {
            let (path, known) = (file.path(), known(&places).into_iter().collect());
            return Err(ExecutionError::Unknown { path, name: image.name.clone(), known }.into());
        }
        for place in &named {
            report.findings.extend(contract_findings(place, image));
            if mode == Mode::Check {
                report.findings.extend(image_findings(place, image));
            }
            edits.extend(edits_of(place, image));
        }
        report.plugins.push(Plugin {
            name: image.name.clone(),
            image: image.text(),
            digest: image.digest.clone(),
            version: image.version.clone(),
            places: named.iter().map(|place| place.at.clone()).collect(),
        });
    }
    if mode == Mode::Set && report.findings.is_empty() && !edits.is_empty() {
        edits.sort_by_key(|edit| edit.span.start);
        file.edit(&edits, &digest)?;
        report.changed = true;
    }
    Ok(report)
}

/// Brings back what was there before the last change, and keeps what is there now. The two may differ in what [`set`] writes
/// alone: a configuration that was composed since has another graph.
pub fn rollback(config: &Path) -> Result<PathBuf, Error> {
    let file = ConfigFile::open(config, true)?;
    let path = file.path();
    let previous = file.previous()?.ok_or_else(|| ExecutionError::NoPrevious { path: file.previous_path() })?;
    let now = skeleton(file.file()).map_err(malformed(&path))?;
    let before = skeleton(&previous).map_err(malformed(&file.previous_path()))?;
    if now != before {
        return Err(ExecutionError::Composed { path }.into());
    }
    file.exchange(&previous)?;
    Ok(path)
}

fn malformed(path: &Path) -> impl FnOnce(ScanError) -> ExecutionError {
    let path = path.to_owned();
    move |source| ExecutionError::Malformed { path, source }
}

fn known(places: &[PluginEntry]) -> BTreeSet<String> {
    places.iter().map(|place| place.name.clone()).collect()
}

/// What a place was composed with, and the image was not built for.
fn contract_findings(place: &PluginEntry, image: &Image) -> Vec<Finding> {
    let parts = [
        ("config-schema", "federation.serviceSdl", "schema", &place.composed.schema, &image.contract.schema),
        ("config-proto", "grpc.protoSchema", "proto", &place.composed.proto, &image.contract.proto),
        ("config-mapping", "grpc.mapping", "mapping", &place.composed.mapping, &image.contract.mapping),
    ];
    let differing = parts.into_iter().filter(|(.., found, wanted)| found != wanted);
    let finding = |(rule, member, part, ..): (&'static str, &str, &str, _, _)| {
        let message = format!("`{member}` of `{}` is not the {part} of {}", text::name(&place.name), image.text());
        Finding::new(&place.at, rule, message)
    };
    differing.map(finding).collect()
}

/// What a place says of its image that is not so.
fn image_findings(place: &PluginEntry, image: &Image) -> Vec<Finding> {
    let mut findings = Vec::new();
    let name = text::name(&place.name);
    match &place.reference {
        None => {
            let message = format!("`{name}` names no image: the router looks for it in its file system");
            findings.push(Finding::new(&place.at, "config-image", message));
        }
        Some((_, reference)) if *reference != image.reference => {
            let there = format!("{}:{}", reference.repository, reference.reference);
            let message = format!("`{name}` names {}, and {} is another", text::name(&there), image.text());
            findings.push(Finding::new(&place.at, "config-image", message));
        }
        Some(_) => {}
    }
    let stated = place.version.as_ref().map(|(_, version)| version);
    if image.version.is_some() && stated != image.version.as_ref() {
        let (stated, version) = (stated.map_or("none", String::as_str), image.version.as_deref().unwrap_or_default());
        let message = format!("`{name}` has version {}, its image {}", text::name(stated), text::name(version));
        findings.push(Finding::new(&place.at, "config-version", message));
    }
    findings
}

/// What makes a place name the image: nothing where it does.
fn edits_of(place: &PluginEntry, image: &Image) -> Vec<Edit> {
    let (mut edits, mut members) = (Vec::new(), Vec::new());
    let (end, gap) = place.last.clone().unwrap_or((place.plugin.start + 1, Vec::new()));
    let gap = String::from_utf8(gap).unwrap_or_default();
    let space = if gap.is_empty() { "" } else { " " };
    if let Some(version) = &image.version {
        let value = quoted(version);
        match &place.version {
            Some((_, stated)) if stated == version => {}
            Some((span, _)) => edits.push(Edit { span: span.clone(), text: value }),
            None => members.push(format!("{gap}\"version\":{space}{value}")),
        }
    }
    let (repository, reference) = (quoted(&image.reference.repository), quoted(&image.reference.reference));
    let value = format!("{{\"repository\":{space}{repository},{space}\"reference\":{space}{reference}}}");
    match &place.reference {
        Some((_, stated)) if *stated == image.reference => {}
        Some((span, _)) => edits.push(Edit { span: span.clone(), text: value }),
        None => members.push(format!("{gap}\"imageReference\":{space}{value}")),
    }
    if !members.is_empty() {
        let comma = if place.last.is_some() { "," } else { "" };
        edits.push(Edit { span: end..end, text: format!("{comma}{}", members.join(",")) });
    }
    edits
}

fn quoted(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

/// The digest of a configuration in which each plugin is its name alone.
fn skeleton(file: &File) -> Result<Digest, ScanError> {
    let (places, _) = file::read(file, |input| plugins::places(input))?;
    let cut = |place: PluginEntry| Edit { span: place.plugin, text: quoted(&place.name) };
    let mut edits: Vec<Edit> = places.into_iter().map(cut).collect();
    edits.sort_by_key(|edit| edit.span.start);
    let mut hash = Hash(Hasher::new());
    file::read(file, |input| file::apply(input, &edits, &mut hash))?;
    Ok(hash.0.finish())
}

struct Hash(Hasher);

impl Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugins::{Composed, ImageReference};

    const SAMPLE: &str = include_str!("../../../../fixtures/execution/wgc-0.112.7.json");

    fn edited(text: &[u8], edits: &[Edit]) -> Vec<u8> {
        let mut output = Vec::new();
        file::apply(&mut &text[..], edits, &mut output).unwrap();
        output
    }

    fn cut(text: &[u8], places: &[PluginEntry]) -> Vec<u8> {
        let cut: Vec<Edit> = places.iter().map(|place| Edit { span: place.plugin.clone(), text: quoted(&place.name) }).collect();
        edited(text, &cut)
    }

    /// Whatever a text is: it is refused, or what is set can be read back and all else is as it was.
    #[test]
    fn what_is_set_is_read_back_and_all_else_stays_in_any_text() {
        let (mut state, mut taken) = (0x5eed_u64, 0);
        let mut random = |end: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % end as u64).unwrap()
        };
        let version = Some("1.0.0 \"\\\u{7}".to_owned());
        let reference = ImageReference { repository: "a\"b@sha256".to_owned(), reference: "00".to_owned() };
        let image = Image::of_test("hello", reference.clone(), version.clone(), Composed::default());
        let starts = SAMPLE.find("\"grpc\"").unwrap();
        for round in 0..4000 {
            let mut text = SAMPLE.as_bytes().to_vec();
            for _ in 0..round % 4 {
                // Mostly where it matters.
                let at = if random(2) == 0 { random(text.len()) } else { starts + random(text.len() - starts) };
                match random(3) {
                    0 => text[at] = b"\0{}[]\":,\\ a0\n_"[random(14)],
                    1 => drop(text.drain(at..(at + random(60)).min(text.len()))),
                    _ => {
                        let piece = text[at..(at + random(200)).min(text.len())].to_vec();
                        let to = random(text.len());
                        drop(text.splice(to..to, piece));
                    }
                }
                if text.len() <= starts + 1 {
                    break;
                }
            }
            let Ok(places) = plugins::places(text.as_slice()) else { continue };
            let mine: Vec<&PluginEntry> = places.iter().filter(|place| place.name == image.name).collect();
            let mut edits: Vec<Edit> = mine.iter().flat_map(|place| edits_of(place, &image)).collect();
            edits.sort_by_key(|edit| edit.span.start);
            let set = edited(&text, &edits);
            let again = plugins::places(set.as_slice()).unwrap();
            assert_eq!(cut(&text, &places), cut(&set, &again));
            for place in again.iter().filter(|place| place.name == image.name) {
                taken += 1;
                assert_eq!(place.reference.as_ref().map(|(_, reference)| reference), Some(&reference));
                assert_eq!(place.version.as_ref().map(|(_, stated)| stated), version.as_ref());
                assert!(edits_of(place, &image).is_empty());
            }
        }
        assert!(taken > 1000, "{taken}");
    }
}
