//! The law of byte format 1, as far as it can be seen in an image.
//!
//! - Documents are canonical JSON: sorted keys, no white space.
//! - An image kind is an index; every child has a platform, in sorted order; a wasm kind is a lone manifest.
//! - No media type of Docker's in anything that was written here.
//! - `Env` is sorted; `created` is one time in the configuration and every history entry of ours; one history entry
//!   a layer, where a base has any.
//! - In a layer of ours: sorted names, owner 0:0, 0755 directories, 0777 links, one modification time (the epoch), no hard links, no
//!   whiteouts.

use std::collections::BTreeMap;

use crate::build::plan::annotations::KIND_KEY;
use plugin_oci::documents::image::CREATED_BY;
use plugin_oci::documents::{Config, Index, Manifest, json};
use plugin_oci::layers::pack::{FORMAT, FORMAT_KEY};
use plugin_oci::layers::unpack::{Entry, Kind};

/// A rule and what breaks it.
type Problems = Vec<(&'static str, String)>;

/// Whether the annotations are those of an image made here in a format that is known.
pub fn is_ours(annotations: &BTreeMap<String, String>) -> bool {
    annotations.get(FORMAT_KEY).is_some_and(|format| format == FORMAT)
}

/// Checks an index of ours; of another's only that each child that is an image could be chosen.
pub fn index(index: &Index, bytes: &[u8], problems: &mut Problems) {
    if !is_ours(&index.annotations) {
        return;
    }
    canonical(bytes, problems);
    if index.manifests.iter().any(|child| child.platform.is_none()) {
        problems.push(("platform", "a manifest has no platform".to_owned()));
    }
    if !index.manifests.is_sorted_by(|a, b| a.platform < b.platform) {
        problems.push(("platform-order", "the platforms are not in sorted order, each once".to_owned()));
    }
    let types = std::iter::once(&index.media_type).chain(index.manifests.iter().map(|child| &child.media_type));
    docker_types(types, problems);
}

/// Checks a manifest of ours.
pub fn manifest(manifest: &Manifest, bytes: &[u8], parent: Option<&Index>, problems: &mut Problems) {
    if !is_ours(&manifest.annotations) {
        return;
    }
    canonical(bytes, problems);
    let types = [&manifest.media_type, &manifest.config.media_type].into_iter();
    docker_types(types.chain(manifest.layers.iter().map(|layer| &layer.media_type)), problems);
    // The other kinds are in an index until somebody takes one platform out of it, which is none the worse for that.
    if let (Some(kind @ ("wasm" | "proxy-wasm")), Some(_)) = (manifest.annotations.get(KIND_KEY).map(String::as_str), parent) {
        problems.push(("index", format!("a {kind} image must not be in an index")));
    }
}

/// Checks a configuration of ours.
pub fn config(config: &Config, manifest: &Manifest, problems: &mut Problems) {
    let execution = config.spec().config().as_ref();
    let env = execution.and_then(|execution| execution.env().clone()).unwrap_or_default();
    if !env.is_sorted_by(|a, b| a.split('=').next() < b.split('=').next()) {
        problems.push(("env-order", "`Env` is not sorted by name, each once".to_owned()));
    }
    let history = config.spec().history().as_deref().unwrap_or_default();
    let filled = history.iter().filter(|entry| !entry.empty_layer().unwrap_or(false)).count();
    if filled != manifest.layers.len() && !base_has_no_history(config) {
        problems.push(("history", "there is not exactly one history entry a layer".to_owned()));
    }
    // The last is ours, whatever it says of itself.
    if history.iter().rev().take(own_layers(config).max(1)).any(|entry| entry.created() != config.spec().created()) {
        problems.push(("created", "a history entry of ours has another time than the image".to_owned()));
    }
}

/// How many layers at the end are ours: those that the history says so of. The others are a base's.
pub fn own_layers(config: &Config) -> usize {
    let history = config.spec().history().as_deref().unwrap_or_default();
    history.iter().rev().take_while(|entry| entry.created_by().as_deref() == Some(CREATED_BY)).count()
}

/// Whether every entry of the history is of a layer of ours: the history of a base is kept as it is, and a base need have none.
pub fn base_has_no_history(config: &Config) -> bool {
    let history = config.spec().history().as_deref().unwrap_or_default();
    !history.is_empty() && own_layers(config) == history.len()
}

fn canonical(bytes: &[u8], problems: &mut Problems) {
    let canonical = json::parse(bytes).is_ok_and(|value| json::to_canonical(&value) == bytes);
    if !canonical {
        problems.push(("canonical-json", "the document is not canonical JSON".to_owned()));
    }
}

fn docker_types<'a>(types: impl Iterator<Item = &'a String>, problems: &mut Problems) {
    for media_type in types.filter(|media_type| media_type.contains("docker")) {
        problems.push(("docker-media-type", format!("it holds the media type `{media_type}`")));
    }
}

/// Checks the entries of one layer in order.
pub struct TarLaw {
    epoch: Option<i64>,
    last: Option<String>,
    broken: BTreeMap<&'static str, String>,
}

impl TarLaw {
    /// The law for a layer of an image with this configuration.
    pub fn new(config: &Config) -> Self {
        let created = config.spec().created().as_deref().and_then(|text| humantime::parse_rfc3339(text).ok());
        let seconds = created.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        let epoch = seconds.and_then(|seconds| i64::try_from(seconds.as_secs()).ok());
        Self { epoch, last: None, broken: BTreeMap::new() }
    }

    /// Checks the next entry.
    pub fn entry(&mut self, entry: &Entry) {
        if self.last.as_ref().is_some_and(|last| last.as_bytes() >= entry.path.as_bytes()) {
            self.broken("entry-order", format!("`{}` is not in sorted order", entry.path));
        }
        self.last = Some(entry.path.clone());
        if self.epoch.is_some_and(|epoch| epoch != entry.mtime) {
            self.broken("entry-time", format!("`{}` has modification time {}", entry.path, entry.mtime));
        }
        if (entry.uid, entry.gid) != (0, 0) {
            self.broken("entry-owner", format!("`{}` belongs to {}:{}", entry.path, entry.uid, entry.gid));
        }
        match entry.kind {
            Kind::Directory if entry.mode != 0o755 => {
                self.broken("entry-mode", format!("directory `{}` has mode {:04o}", entry.path, entry.mode));
            }
            Kind::Symlink { .. } if entry.mode != 0o777 => {
                self.broken("entry-mode", format!("link `{}` has mode {:04o}", entry.path, entry.mode));
            }
            Kind::File if entry.mode & !0o777 != 0 => {
                self.broken("entry-mode", format!("`{}` has mode {:04o}", entry.path, entry.mode));
            }
            Kind::HardLink { .. } | Kind::Whiteout | Kind::Opaque => {
                self.broken("entry-kind", format!("`{}` is a hard link or whiteout", entry.path));
            }
            Kind::Other(kind) => self.broken("entry-kind", format!("`{}` is {kind}", entry.path)),
            _ => {}
        }
    }

    /// The first breach of each rule.
    pub fn finish(self) -> Problems {
        self.broken.into_iter().collect()
    }

    fn broken(&mut self, rule: &'static str, message: String) {
        self.broken.entry(rule).or_insert(message);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_history_entry_of_ours_has_the_time_of_the_image() {
        let problems = |times: [&str; 3]| {
            let entry = |(time, by)| json!({"created": format!("{time}-01-01T00:00:00Z"), "created_by": by});
            let history: Vec<_> = times.into_iter().zip(["another tool", CREATED_BY, CREATED_BY]).map(entry).collect();
            let config = Config::from_value(json!({
                "architecture": "amd64", "os": "linux", "created": "1970-01-01T00:00:00Z", "history": history,
                "rootfs": {"type": "layers", "diff_ids": []},
            }));
            let manifest = json!({
                "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": [],
                "config": {"mediaType": "x", "size": 0, "digest": format!("sha256:{}", "0".repeat(64))},
            });
            let mut problems = Vec::new();
            let manifest = Manifest::parse(manifest.to_string().as_bytes(), None).unwrap();
            super::config(&config.unwrap(), &manifest, &mut problems);
            problems.iter().any(|(rule, _)| *rule == "created")
        };
        assert!(!problems(["2020", "1970", "1970"]), "a base has its own times");
        assert!(problems(["1970", "1970", "2020"]));
        assert!(problems(["1970", "2020", "1970"]));
    }
}
