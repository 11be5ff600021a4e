//! Values of flags and arguments: the words that clap knows, and what lies on the disk.

use std::path::Path;

use clap::Arg;
use clap::builder::ValueHint;

use super::Candidate;
use crate::templates::TEMPLATES;
use plugin_oci::fs::sorted_listing;
use plugin_oci::stores::Source as _;
use plugin_oci::stores::layout::{Layout, MARKER_FILE};
use plugin_oci::values::platform;

/// Names of values that are images or stores.
const IMAGES: [&str; 8] = ["IMAGE", "STORE", "STORE|FILE", "A", "B", "SRC... DST", "[IMAGE] PLUGINS_DIR", "[NAME=]IMAGE"];
/// The same with a registry's repository after it, which nothing here knows.
const PUSHED: &str = "[IMAGE] REPO";
/// Names of values that are files or directories, where the type does not say so.
const PATHS: [&str; 3] = ["DIR", "FILE", "PATH"];

/// What may be the value, as far as it is written.
pub(super) fn of(arg: &Arg, word: &str, dir: &Path) -> Vec<Candidate> {
    let words = arg.get_possible_values();
    if !words.is_empty() {
        let shown = words.iter().filter(|value| !value.is_hide_set());
        let meaning = |value: &clap::builder::PossibleValue| value.get_help().map(ToString::to_string).unwrap_or_default();
        return shown.map(|value| (value.get_name().to_owned(), meaning(value))).collect();
    }
    let name = arg.get_value_names().and_then(<[_]>::first).map_or("", |name| name.as_str());
    let plain = |word: String| (word, String::new());
    match name {
        "TEMPLATE" => TEMPLATES.iter().map(|template| (template.name.to_owned(), template.summary.to_owned())).collect(),
        "PLATFORM" => platform::with_targets().map(|platform| plain(platform.to_owned())).collect(),
        "KIND:I/N" => ["slice:", "hash:"].map(str::to_owned).into_iter().map(plain).collect(),
        name if IMAGES.contains(&name) || name == PUSHED => images(word, dir),
        name if PATHS.contains(&name) || arg.get_value_hint() == ValueHint::AnyPath => {
            paths(word, dir).map(|(path, _)| plain(path)).collect()
        }
        _ => Vec::new(),
    }
}

/// Images: the transports, then layouts and archives as paths, then the tags of a layout.
fn images(word: &str, dir: &Path) -> Vec<Candidate> {
    let Some((transport, rest)) = word.split_once(':').filter(|(transport, _)| ["oci", "oci-archive"].contains(transport)) else {
        let transports = [("oci:", "a layout"), ("oci-archive:", "a layout as one file"), ("docker://", "a registry")];
        let transports = transports.map(|(word, meaning)| (word.to_owned(), meaning.to_owned()));
        return transports
            .into_iter()
            .filter(|(transport, _)| transport.starts_with(word))
            .chain(layouts(word, dir, ""))
            .collect();
    };
    match transport {
        "oci" => layouts(rest, dir, "oci:"),
        _ => paths(rest, dir).map(|(path, _)| (format!("oci-archive:{path}"), String::new())).collect(),
    }
}

/// Layouts with their tags, and directories on the way to some.
fn layouts(word: &str, dir: &Path, prefix: &str) -> Vec<Candidate> {
    if let Some((path, _)) = word.split_once(':') {
        return tags(path, dir, prefix);
    }
    let mut found = Vec::new();
    for (path, is_dir) in paths(word, dir).filter(|(_, is_dir)| *is_dir) {
        let bare = path.trim_end_matches('/');
        if is_dir && dir.join(bare).join(MARKER_FILE).is_file() {
            found.push((format!("{prefix}{bare}"), "a layout".to_owned()));
            found.extend(tags(bare, dir, prefix));
        } else {
            found.push((format!("{prefix}{path}"), String::new()));
        }
    }
    found
}

fn tags(path: &str, dir: &Path, prefix: &str) -> Vec<Candidate> {
    let tags = Layout::open(&dir.join(path)).and_then(|layout| layout.tags()).unwrap_or_default();
    let tagged = tags.into_iter().map(|tagged| (format!("{prefix}{path}:{}", tagged.tag), tagged.root.digest.to_string()));
    tagged.collect()
}

/// What begins with a word on the disk, as it would be typed: directories with a slash, hidden names only where a dot is typed.
fn paths(word: &str, dir: &Path) -> impl Iterator<Item = (String, bool)> {
    let (folder, begun) = word.rsplit_once('/').map_or(("", word), |(folder, begun)| (&word[..=folder.len()], begun));
    let at = dir.join(folder);
    let (folder, begun) = (folder.to_owned(), begun.to_owned());
    let names = sorted_listing(&at).unwrap_or_default().into_iter().filter_map(|name| name.into_string().ok());
    let shown = names.filter(move |name| name.starts_with(&begun) && (begun.starts_with('.') || !name.starts_with('.')));
    shown.map(move |name| {
        let is_dir = at.join(&name).is_dir();
        (format!("{folder}{name}{}", if is_dir { "/" } else { "" }), is_dir)
    })
}
